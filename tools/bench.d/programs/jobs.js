"use strict";
// A worker of a BullMQ queue that was filled before: jobs.js PORT JOBS; jobs.js PORT JOBS fill
const { Queue, Worker } = require("bullmq");
const { measured } = require("./phases.js");

const connection = { port: Number(process.argv[2]), host: "127.0.0.1", maxRetriesPerRequest: null };
const count = Number(process.argv[3]);
const warmUpCount = 500;

async function fill() {
    const queue = new Queue("bench", { connection });
    const job = { name: "resize", data: { source: "s3://bucket/image.png", width: 640 } };
    for (let left = count + warmUpCount; left > 0; left -= 500) {
        await queue.addBulk(Array(Math.min(left, 500)).fill(job));
    }
    await queue.close();
}

async function take() {
    let done = 0;
    let target = warmUpCount;
    let reached;
    const worker = new Worker("bench", async (job) => ({ width: job.data.width }), {
        connection,
        concurrency: 8,
        autorun: false,
    });
    worker.on("completed", () => {
        if (++done === target) {
            worker.pause(true);
            reached();
        }
    });
    const until = (more) => {
        target = more;
        return new Promise((resolve) => (reached = resolve));
    };
    await measured(
        () => {
            const warm = until(warmUpCount);
            worker.run();
            return warm;
        },
        async () => {
            const all = until(warmUpCount + count);
            worker.resume();
            await all;
        },
    );
    await worker.close();
}

(process.argv[4] === "fill" ? fill() : take()).catch((error) => {
    console.error(error);
    process.exit(1);
});
