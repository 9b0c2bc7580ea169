// usage: agents_front.js PORT: serves GET /w/ID by a call with each client that OpenTelemetry's agent
// knows, each with the ID in its path or key, and hands the job ID to a queue. Ends with stdin.
'use strict';
const http = require('http');
const axios = require('axios');
const undici = require('undici');
const { Queue } = require('bullmq');
const { Redis } = require('ioredis');
const { createClient } = require('redis');
const { WebSocket, WebSocketServer } = require('ws');

const port = Number(process.argv[2]);
const peer = process.env.TEST_PEER;
const redisAt = { port: Number(process.env.TEST_REDIS), host: '127.0.0.1', maxRetriesPerRequest: null };
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
const redis = new Redis(redisAt);
const piped = new Redis({ ...redisAt, enableAutoPipelining: true });
const other = createClient({ url: `redis://127.0.0.1:${redisAt.port}` });
const queue = new Queue('agents', { connection: redisAt });

// Requests from this one on are served several at a time; two of them go on together.
const ALONE = 3;
let waiting;
const pair = () => new Promise((resolve) => {
  if (waiting === undefined) {
    waiting = resolve;
  } else {
    waiting();
    waiting = undefined;
    resolve();
  }
});
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ask = (url, options = {}, body = undefined) => new Promise((resolve, reject) => {
  http.request(url, { agent, ...options }, (answer) => {
    answer.resume();
    answer.on('end', resolve);
  }).on('error', reject).end(body);
});
const text = async (answer) => (await answer).text();
const talk = (url) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url);
  socket.on('open', () => socket.send('a message'));
  socket.on('message', () => socket.close());
  socket.on('close', resolve);
  socket.on('error', reject);
});

async function work(id) {
  const at = (name) => `${peer}/c/${id}/${name}`;
  await ask(at('http'));
  await ask(at('post'), { method: 'POST' }, 'a body');
  await text(fetch(at('fetch')));
  await (await undici.request(at('undici'))).body.text();
  await axios.get(at('axios'));
  await ask(`http://127.0.0.1:${port}/inner/${id}`);
  await text(fetch(`http://127.0.0.1:${port}/inner/${id}f`));
  await redis.get(`id:${id}:single`);
  await redis.pipeline().get(`id:${id}:pipe1`).get(`id:${id}:pipe2`).exec();
  await other.get(`id:${id}:other`);
  await talk(`ws://127.0.0.1:${port}/ws/${id}`);
  await Promise.all([
    ask(at('all1')), text(fetch(at('all2'))), redis.get(`id:${id}:all3`), other.get(`id:${id}:all4`),
    wait(2).then(() => ask(at('all5'))),
  ]);
  await new Promise(setImmediate);
  if (id >= ALONE) await pair();
  await piped.get(`id:${id}:piped`);
  await queue.add('work', {}, { jobId: `job-${id}` });
}

const server = http.createServer(async (request, response) => {
  const [, what, id] = request.url.split('/');
  if (what === 'w') await work(id);
  else await redis.get(`id:${id}:inner`);
  response.end('done');
});
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(message)));

// What is left then has nothing to do, so that the agent exports before the end.
process.stdin.resume().on('end', async () => {
  await queue.close();
  redis.disconnect();
  piped.disconnect();
  await other.close();
  sockets.close();
  server.close();
  server.closeAllConnections();
  agent.destroy();
  await undici.getGlobalDispatcher().close();
});
Promise.all([other.connect(), redis.ping(), piped.ping(), queue.waitUntilReady()]).then(() => server.listen(port, '127.0.0.1'));
