"use strict";
// What the measured programs have in common: they warm up, say "ready", wait for a line, do their
// work, say "done", and end when their input does. The measuring side reads /proc in between.

const input = require("node:readline").createInterface({ input: process.stdin });
const lines = input[Symbol.asyncIterator]();

async function measured(warmUp, work) {
    await warmUp();
    console.log("ready");
    await lines.next();
    const latencies = (await work()) ?? [];
    console.log(`done ${percentiles(latencies)}`);
    await lines.next();
    input.close();
}

// Microseconds: the middle, and what one in a hundred exceeds.
function percentiles(latencies) {
    if (latencies.length === 0) return "";
    const sorted = Float64Array.from(latencies).sort();
    const at = (share) => sorted[Math.floor(share * (sorted.length - 1))].toFixed(1);
    return `${at(0.5)} ${at(0.99)}`;
}

// Runs `one` so many times, so many at once; how long each took, in microseconds.
async function timed(count, concurrency, one) {
    const latencies = [];
    let left = count;
    const lane = async () => {
        while (left-- > 0) {
            const began = process.hrtime.bigint();
            await one();
            latencies.push(Number(process.hrtime.bigint() - began) / 1e3);
        }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
    return latencies;
}

module.exports = { measured, timed };
