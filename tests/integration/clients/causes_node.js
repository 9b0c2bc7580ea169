// usage: causes_node.js HTTP-URL REDIS-PORT: a server that answers GET /MODE/ID by calls whose path or
// key carries the ID. Says "port N"; ends with stdin.
'use strict';
const http = require('http');
const { Redis } = require('ioredis5');
const { createClient } = require('redis');
const { limited, wait } = require('../../support/calls');

const [, , peer, redisPort] = process.argv;
const options = { port: Number(redisPort), host: '127.0.0.1' };
const shared = new Redis(options);
const piped = new Redis({ ...options, enableAutoPipelining: true });
const collects = createClient({ url: `redis://127.0.0.1:${redisPort}` });
const pooled = new http.Agent({ keepAlive: true, maxSockets: 3 });
const single = new http.Agent({ keepAlive: true, maxSockets: 1 });
let lazy = null;
let refreshing = null;

const get = (path, agent, then) => http.get(peer + path, { agent }, (answer) => {
    answer.resume();
    answer.on('end', then);
});
const call = (id, agent = pooled) => new Promise((resolve) => get(`/slow?id=${id}`, agent, resolve));

const modes = {
    pool: (id) => Promise.all([call(id), call(id)]),
    single: (id) => new Promise((resolve) => get(`/hello?id=${id}`, single, resolve)),
    callbacks: (id) => new Promise((resolve) => get(`/slow?id=${id}`, pooled, () => get(`/hello?id=${id}`, pooled, resolve))),
    fetch: async (id) => (await fetch(`${peer}/slow?id=${id}`)).text(),
    // The path is the same for all, so that it tells nothing.
    same: (id) => new Promise((resolve) => http.get(`${peer}/hello`, { agent: pooled, headers: { 'User-Agent': `id=${id}` } }, (answer) => {
        answer.resume();
        answer.on('end', resolve);
    })),
    async timers(id) {
        await wait(2);
        await new Promise(setImmediate);
        await call(id);
    },
    async refresh(id) {
        refreshing ??= call('shared').finally(() => { refreshing = null; });
        await refreshing;
        await call(id);
    },
    limited: (id) => limited(() => call(id)),
    async redis(id) {
        await shared.get(`id=${id}`);
        await wait(1);
        await shared.pipeline().get(`id=${id}`).get(`id=${id}`).exec();
    },
    // Sent together with others' commands, in one of their turns.
    piped: (id) => piped.get(`id=${id}`),
    collected: (id) => collects.get(`id=${id}`),
    async lazy(id) {
        lazy ??= new Redis({ ...options, lazyConnect: true });
        await lazy.get(`id=${id}`);
    },
};

const server = http.createServer(async (request, response) => {
    const [, mode, id] = request.url.split('/');
    await modes[mode](id);
    response.end('done');
});
collects.connect().then(() => {
    server.listen(0, '127.0.0.1', () => console.log('port', server.address().port));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
