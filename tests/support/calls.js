// What the servers and workers of Node in the tests call with, and how they wait for each other.
'use strict';
const http = require('http');

// Asks the peer for a path that has the name, and for the whole answer.
const call = (name, number, agent) => new Promise((resolve, reject) => {
    http.get(`${process.env.TEST_PEER}/c/${name}/${number}`, { agent }, (answer) => {
        answer.resume();
        answer.on('end', resolve);
    }).on('error', reject);
});
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const numbers = (count) => [...Array(count).keys()];

// Two at a time. Those that wait are started by those that end, as p-limit does.
const limit = { free: 2, waiting: [] };
async function limited(work) {
    if (limit.free === 0) await new Promise((resolve) => limit.waiting.push(resolve));
    else limit.free--;
    try {
        return await work();
    } finally {
        if (limit.waiting.length > 0) limit.waiting.shift()();
        else limit.free++;
    }
}

module.exports = { call, limited, numbers, wait };
