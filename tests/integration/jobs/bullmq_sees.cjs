// What a program can see of its workers: says of jobs that fail in every way where they failed, what the queue keeps
// of it, and what the workers look like.
// usage: bullmq_sees.cjs
'use strict';
const { format } = require('node:util');
const load = require('node:module').createRequire(`${process.env.NODE_FOLDER}/`);
const { Queue, Worker } = load(process.env.TEST_BULLMQ);
const { Redis } = load(process.env.TEST_IOREDIS);
const connection = { host: '127.0.0.1', port: Number(process.env.TEST_REDIS), maxRetriesPerRequest: null };
const redis = new Redis(connection);
const url = `http://127.0.0.1:${process.env.TEST_HTTP}/sees`;

// In no order of their own.
const told = [];
const tell = (...what) => told.push(format(...what));

class Own extends Worker {
  async processJob(...given) {
    tell('own', given.length, new Error('inside').stack);
    return super.processJob(...given);
  }
}

const WAYS = {
  atOnce() { throw new Error('at once'); },
  async inTurn() { throw new Error('in turn'); },
  async later() {
    await (await fetch(url)).text();
    throw new Error('later');
  },
  async tells() {
    await (await fetch(url)).text();
    return new Error('told').stack;
  },
  rejects() { return Promise.reject(new TypeError('rejected')); },
};

function describe(worker) {
  const { processJob } = worker;
  console.log(
    Object.getOwnPropertyNames(worker), Object.keys(worker).length, worker.eventNames(), worker.listenerCount('active'),
    processJob.name, processJob.length, typeof processJob, Object.hasOwn(worker, 'processJob'),
    Object.getOwnPropertyNames(Worker.prototype), Object.keys(Worker.prototype),
    Object.entries(Object.getOwnPropertyDescriptor(Worker.prototype, 'processJob')).filter(([name]) => name !== 'value'));
}

async function work(queue, Kind, rounds) {
  let left = rounds * Object.keys(WAYS).length;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const worker = new Kind(queue.name, (job) => WAYS[job.name](), { connection, autorun: false });
  const say = (how) => async (job, result) => {
    const kept = await redis.hget(queue.toKey(job.id), 'stacktrace');
    tell(how, job.name, result?.stack ?? result, kept);
    if (--left === 0) finish();
  };
  worker.on('completed', say('completed'));
  worker.on('failed', say('failed'));
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(WAYS)) await queue.add(name, {});
  }
  worker.run();
  await finished;
  describe(worker);
  await worker.close();
}

async function main() {
  const queue = new Queue('seen', { connection });
  await redis.flushall();
  await work(queue, Worker, 3);
  await work(queue, Own, 2);
  await queue.close();
  await redis.quit();
  console.log(told.sort().join('\n'));
}

main();
