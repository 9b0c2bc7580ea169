// usage: bullmq_front.mjs submit CONCURRENCY JOBS: adds jobs, and says "NAME QUEUE ID" of each.
//        bullmq_front.mjs work CONCURRENCY JOBS: works until so many are done, and on what no job asked for.
// The jobs are read from stdin by the first one, a line each: NAME QUEUE MODE COUNT.
import http from 'node:http';
import readline from 'node:readline';
import { createRequire } from 'node:module';
import { call, numbers, wait } from '../../support/calls.js';

const load = createRequire(`${process.env.NODE_FOLDER}/`);
const { Queue, Worker } = load(process.env.TEST_BULLMQ);
const { Redis } = load(process.env.TEST_IOREDIS);
const { createClient } = createRequire(`${process.env.OTHER_FOLDER}/`)('redis');

const [task, concurrency, jobs] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const peer = process.env.TEST_PEER;
const options = { port: Number(process.env.TEST_REDIS), host: '127.0.0.1', maxRetriesPerRequest: null };
const QUEUES = ['pictures', 'sounds'];

async function submit() {
  const queues = new Map(QUEUES.map((name) => [name, new Queue(name, { connection: options })]));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, queue, mode, count] = line.split(' ');
    const job = await queues.get(queue).add('work', { name, mode, count: Number(count) });
    console.log(name, queue, job.id);
  }
  await Promise.all([...queues.values()].map((queue) => queue.close()));
}

const pooled = new http.Agent({ keepAlive: true, maxSockets: 8 });
const single = new http.Agent({ keepAlive: true, maxSockets: 1 });
let refreshing = null;
let met;
let redis;
let piped;
let other;

const modes = {
  async seq(name, count) {
    for (const number of numbers(count)) await call(name, number, pooled);
  },
  all: (name, count) => Promise.all(numbers(count).map((number) => call(name, number, pooled))),
  single: (name, count) => Promise.all(numbers(count).map((number) => call(name, number, single))),
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
  // One asks for all: what it asks is whoever's came first.
  async refresh(name, count) {
    refreshing ??= wait(3).finally(() => { refreshing = null; });
    await refreshing;
    await modes.seq(name, count);
  },
  async redis(name, count) {
    for (const number of numbers(count)) {
      await redis.get(`id:${name}:${number}`);
      await call(name, number, pooled);
    }
  },
  // Both send what others ask for, too, in one of their turns.
  async collected(name, count) {
    await (met ??= piped.get('met')); // of what a client collects first, only the first command's caller is known
    const asked = numbers(count).map((number) => piped.get(`id:${name}:${number}`));
    for (const number of numbers(count)) {
      await other.get(`id:${name}:${number}`);
      await call(name, number, pooled);
    }
    await Promise.all(asked);
  },
  // Nothing is awaited before the first call, and nothing between the calls.
  async atonce(name, count) {
    const asked = numbers(count).map((number) => redis.get(`id:${name}:${number}`));
    await Promise.all([call(name, 0, pooled), fetch(`${peer}/c/${name}/1`).then((answer) => answer.text()), ...asked]);
  },
  // Without any promise of its own before the calls.
  callbacks: (name, count) => new Promise((resolve) => {
    const ask = (number) => (number === count ? resolve() : setTimeout(() => {
      http.get(`${peer}/c/${name}/${number}`, { agent: pooled }, (answer) => {
        answer.resume();
        answer.on('end', () => ask(number + 1));
      });
    }, 1));
    ask(0);
  }),
};

async function work() {
  redis = new Redis(options);
  piped = new Redis({ ...options, enableAutoPipelining: true });
  other = await createClient({ url: `redis://127.0.0.1:${options.port}` }).connect();
  let done = 0;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  let asked = 0;
  const own = setInterval(() => {
    call('bgx0', asked++, pooled).catch(() => {});
    // What is collected while an answer is awaited goes out with that: a collector that never rests is never met.
    const clients = asked % 10 === 0 ? [redis, piped, other] : [redis, other];
    for (const client of clients) client.get(`id:bgx0:${asked}`).catch(() => {});
  }, 5);
  const workers = [];
  const closed = [];
  // More than one of a queue's may be asked for: then one is closed for a new one now and then.
  const crew = Number(process.env.TEST_WORKERS ?? 1);
  const ended = (name) => {
    if (++done === jobs) finish();
    if (crew > 1 && done % 16 === 0 && done < jobs) {
      closed.push(workers.splice(workers.findIndex((worker) => worker.name === name), 1)[0].close());
      hire(name);
    }
  };
  const shared = process.env.TEST_SHARES === 'true' ? new Redis(options) : undefined;
  const hire = (name) => {
    const worker = new Worker(name, (job) => modes[job.data.mode](job.data.name, job.data.count),
      { connection: shared ?? options, concurrency });
    worker.on('completed', () => ended(name));
    worker.on('failed', (job, error) => { console.log('failed', job.data.name, error.stack); ended(name); });
    workers.push(worker);
  };
  for (let count = 0; count < crew; count++) QUEUES.forEach(hire);
  await finished;
  await Promise.all(closed);
  clearInterval(own);
  await Promise.all(workers.map((worker) => worker.close()));
  redis.disconnect();
  piped.disconnect();
  await other.close();
  shared?.disconnect();
  pooled.destroy();
  single.destroy();
}

await (task === 'submit' ? submit() : work());
