// usage: agents_worker.js JOBS: works on the jobs that agents_front.js hands out, five at a time, until so
// many are done.
'use strict';
const http = require('http');
const { Worker } = require('bullmq');
const { Redis } = require('ioredis');
const { createClient } = require('redis');

const peer = process.env.TEST_PEER;
const connection = { port: Number(process.env.TEST_REDIS), host: '127.0.0.1', maxRetriesPerRequest: null };
const redis = new Redis(connection);
const other = createClient({ url: `redis://127.0.0.1:${connection.port}` });
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
const ask = (url) => new Promise((resolve, reject) => {
  http.get(url, { agent }, (answer) => answer.resume().on('end', resolve)).on('error', reject);
});

async function work(job) {
  await ask(`${peer}/c/${job.id}/http`);
  await (await fetch(`${peer}/c/${job.id}/fetch`)).text();
  await redis.get(`id:${job.id}:single`);
  await other.get(`id:${job.id}:other`);
}

let left = Number(process.argv[2]);
other.connect().then(() => {
  const worker = new Worker('agents', work, { connection, concurrency: 5 });
  worker.on('failed', (job, error) => console.error(job?.id, error));
  worker.on('completed', async () => {
    if (--left > 0) return;
    await worker.close();
    redis.disconnect();
    await other.close();
    agent.destroy();
  });
});
