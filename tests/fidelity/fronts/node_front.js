// usage: node_front.js PORT
'use strict';
const http = require('http');

const peer = process.env.TEST_PEER;
const pooled = new http.Agent({ keepAlive: true, maxSockets: 3 });
const single = new http.Agent({ keepAlive: true, maxSockets: 1 });

const call = (name, number, agent) => new Promise((resolve, reject) => {
    http.get(`${peer}/c/${name}/${number}`, { agent }, (answer) => {
        answer.resume();
        answer.on('end', resolve);
    }).on('error', reject);
});
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const numbers = (count) => [...Array(count).keys()];
let refreshing = null;

const modes = {
    async seq(name, count) {
        for (const number of numbers(count)) await call(name, number, pooled);
    },
    async all(name, count) {
        await Promise.all(numbers(count).map((number) => call(name, number, pooled)));
    },
    async single(name, count) {
        await Promise.all(numbers(count).map((number) => call(name, number, single)));
    },
    async fetch(name, count) {
        for (const number of numbers(count)) await (await fetch(`${peer}/c/${name}/${number}`)).text();
    },
    async timers(name, count) {
        for (const number of numbers(count)) {
            await wait(2);
            await new Promise(setImmediate);
            await call(name, number, pooled);
        }
    },
    async refresh(name, count) {
        refreshing ??= call(name, 'token', pooled).finally(() => { refreshing = null; });
        await refreshing;
        await modes.seq(name, count);
    },
};

http.createServer(async (request, response) => {
    const [, , name, mode, count] = request.url.split('/');
    await modes[mode](name, Number(count));
    response.end(name);
}).listen(Number(process.argv[2]), '127.0.0.1');
