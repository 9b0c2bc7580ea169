// usage: node_front.js PORT
'use strict';
const http = require('http');
const { pathToFileURL } = require('url');
const async = require('async');
const axios = require('axios');
const Bottleneck = require('bottleneck');
const DataLoader = require('dataloader');
const undici = require('undici');
const fastq = require('fastq');
const { Redis } = require('ioredis5');
const plimit = require('p-limit3');
const { createClient } = require('redis');
const { Subject, mergeMap } = require('rxjs');
const { WebSocket } = require('ws');
const { call, limited, numbers, wait } = require('../../support/calls');

const redisPort = Number(process.env.TEST_REDIS);
const redis = new Redis(redisPort, '127.0.0.1');
const piped = new Redis({ port: redisPort, host: '127.0.0.1', enableAutoPipelining: true });
const other = createClient({ url: `redis://127.0.0.1:${redisPort}` });
const peer = process.env.TEST_PEER;
const pooled = new http.Agent({ keepAlive: true, maxSockets: 3 });
const single = new http.Agent({ keepAlive: true, maxSockets: 1 });

const each = (step) => (name, count) => Promise.all(numbers(count).map((number) => step(name, number)));
const several = async (name, number) => {
    await call(name, number, pooled);
    await wait(1);
    await call(name, `${number}b`, pooled);
};
const work = async (job) => { await several(job.name, job.number); };
const limits = { three: plimit(2), fastq: fastq.promise(work, 2), async: async.queue(work, 2) };
const fetched = async (name, number) => { await (await fetch(`${peer}/c/${name}/${number}`)).text(); };

// One call for all that came together: it is a request's own only if all of it is.
const ask = (jobs) => {
    const names = new Set(jobs.map((job) => job.name));
    return call(names.size === 1 ? jobs[0].name : 'bgx0', `${jobs[0].name}.${jobs[0].number}`, pooled);
};
// Who finds the list empty sees to it that it is worked off.
const gathered = (schedule) => {
    const jobs = [];
    return (job) => {
        if (jobs.push(job) > 1) return;
        schedule(() => {
            const all = jobs.splice(0);
            ask(all).then(() => all.forEach(({ done }) => done()));
        });
    };
};
const batches = {
    timer: gathered((flush) => setTimeout(flush, 4)),
    immediate: gathered(setImmediate),
    tick: gathered(process.nextTick),
    nested: gathered((flush) => setTimeout(async () => { await wait(1); setImmediate(flush); }, 2)),
};
const join = (batch) => async (name, count) => {
    for (const number of numbers(count)) {
        await wait(1);
        await new Promise((done) => batch({ name, number, done }));
    }
};
// The same beside what a request does otherwise, and against its clock.
const beside = async (name, count) => {
    for (const number of numbers(count)) {
        const joined = new Promise((done) => batches.timer({ name, number, done }));
        let clock;
        const late = new Promise((resolve) => { clock = setTimeout(resolve, 5000); });
        await Promise.all([Promise.race([joined, late]), call(name, `${number}b`, pooled)]);
        clearTimeout(clock);
    }
};
const loaded = (options) => {
    const loader = new DataLoader(async (jobs) => {
        await ask(jobs);
        return jobs.map(() => true);
    }, { cache: false, ...options });
    return async (name, count) => {
        await wait(1);
        await Promise.all(numbers(count).map((number) => loader.load({ name, number })));
    };
};

// Two workers, which the first request begins, and whoever has a job wakes.
const hall = { jobs: [], idle: [], workers: 0 };
async function toil() {
    for (;;) {
        while (hall.jobs.length === 0) await new Promise((wake) => hall.idle.push(wake));
        const { name, number, done } = hall.jobs.shift();
        await call(name, number, pooled);
        done();
    }
}
const merged = new Subject();
merged.pipe(mergeMap(async ({ name, number, done }) => {
    await call(name, number, pooled);
    done();
}, 2)).subscribe();
const bottleneck = new Bottleneck({ maxConcurrent: 2 });

const load = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;

let refreshing = null;
// The peer speaks no WebSocket: the handshake is the call, and it is refused.
const knock = (url) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.on('error', () => {});
    socket.on('close', resolve);
});

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
    async limited(name, count) {
        await Promise.all(numbers(count).map((number) => limited(() => call(name, number, pooled))));
    },
    callbacks: (name, count) => new Promise((resolve) => {
        const next = (number) => (number === count ? resolve() : setTimeout(() => setImmediate(() => {
            http.get(`${peer}/c/${name}/${number}`, { agent: pooled }, (answer) => {
                answer.resume().on('end', () => next(number + 1));
            });
        }), 1));
        next(0);
    }),
    async clients(name, count) {
        for (const number of numbers(count)) {
            if (number % 2 === 0) await axios.get(`${peer}/c/${name}/${number}`);
            else await (await undici.request(`${peer}/c/${name}/${number}`)).body.text();
        }
    },
    async ws(name, count) {
        for (const number of numbers(count)) await knock(`${peer.replace('http', 'ws')}/c/${name}/${number}`);
    },
    // Each of the clients of Redis in turn with calls that answer late, at once, and after a timer.
    async redis(name, count) { await commands(redis, name, count); },
    async piped(name, count) { await commands(piped, name, count); },
    async nodeRedis(name, count) { await commands(other, name, count); },
    async pipelines(name, count) {
        const [first, second, third] = [redis.pipeline(), piped.pipeline(), other.multi()];
        for (const number of numbers(count)) {
            for (const batch of [first, second, third]) batch.get(`id:${name}:${number}`);
        }
        await Promise.all([first.exec(), second.exec(), third.execAsPipeline()]);
    },
    async burst(name, count) {
        await Promise.all(numbers(count).map((number) => other.get(`id:${name}:${number}`)));
    },
    // The first keys are those of all; a transaction's commands are asked for in one go.
    async same(name, count) {
        await Promise.all(numbers(count).map(async (number) => {
            const keys = ['shared', `id:${name}:${number}`];
            await Promise.all([
                other.mGet(keys), piped.mget(keys), other.multi().mGet(keys).exec(), piped.multi().mget(keys).exec(),
            ]);
        }));
    },
    // What limits how much is done at a time does the work of all requests, of which each is the
    // owner's of a promise that waits for it (p-limit), or is told when it is over (the others).
    limit3: each((name, number) => limits.three(() => several(name, number))),
    limit: each((name, number) => limits.seven(() => several(name, number))),
    pqueue: each((name, number) => limits.queue.add(() => several(name, number))),
    fastq: each((name, number) => limits.fastq.push({ name, number })),
    async: each((name, number) => limits.async.push({ name, number })),
    fetch3: each((name, number) => limits.three(() => fetched(name, number))),
    fetch7: each((name, number) => limits.seven(() => fetched(name, number))),
    // What is done for several at once is nobody's, and so is what another one's turn begins.
    inTimer: join(batches.timer),
    immediate: join(batches.immediate),
    tick: join(batches.tick),
    nested: join(batches.nested),
    async together(name, count) {
        for (const number of numbers(count)) {
            await (refreshing ??= wait(3).finally(() => { refreshing = null; }));
            await new Promise((done) => batches.tick({ name, number, done }));
        }
    },
    beside,
    loader: loaded({}),
    loaders: loaded({ batchScheduleFn: (flush) => setTimeout(flush, 4) }),
    loop: each(async (name, number) => {
        for (; hall.workers < 2; hall.workers++) toil();
        await wait(number * 5);
        await new Promise((done) => {
            hall.jobs.push({ name, number, done });
            hall.idle.shift()?.();
        });
    }),
    rxjs: each((name, number) => new Promise((done) => merged.next({ name, number, done }))),
    bottleneck: each((name, number) => bottleneck.schedule(() => call(name, number, pooled))),
    // Nothing can be noted on promises that are frozen, and the program does not notice.
    frozen: each((name, number) => Object.freeze(
        Object.freeze(limits.three(() => call(name, number, pooled))).then(() => number))),
    async mixed(name, count) {
        await Promise.all(numbers(count).map(async (number) => {
            const key = `id:${name}:${number}`;
            await Promise.all([piped.get(key), other.get(key), redis.get(key), call(name, number, pooled)]);
        }));
    },
};

async function commands(client, name, count) {
    const key = (number) => `id:${name}:${number}`;
    for (const number of numbers(count)) {
        await client.get(key(number));
        if (number % 2 === 0) await call(name, number, pooled);
    }
    await Promise.all(numbers(count).map((number) => client.get(key(number))));
    await wait(1);
    await client.get(key(0));
    await new Promise(setImmediate);
    await client.get(key(1));
    await new Promise((resolve) => setTimeout(() => resolve(client.get(key(2))), 0));
}

// The same without a promise anywhere.
const direct = {
    answers(name, count, done) { batches.timer({ name, number: count, done }); },
};

const serve = async (mode, name, count, done) => {
    await modes[mode](name, count);
    done();
};
const server = http.createServer((request, response) => {
    const [, , name, mode, count] = request.url.split('/');
    (direct[mode] ?? serve.bind(null, mode))(name, Number(count), () => response.end(name));
});
async function start() {
    limits.seven = (await load('p-limit'))(2);
    limits.queue = new (await load('p-queue'))({ concurrency: 2 });
    await other.connect();
    server.listen(Number(process.argv[2]), '127.0.0.1');
}
start();
