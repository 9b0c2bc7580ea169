// Works on jobs of BullMQ: each asks a server over HTTP; every third one fails at its first attempt.
// usage: REDIS-PORT HTTP-PORT COUNT CONCURRENCY; a line for each end: id, attempt, processedOn,
// timestamp, completed or failed.
import http from "node:http";
import { createRequire } from "node:module";
const { Worker } = createRequire(`${process.env.NODE_FOLDER}/`)("bullmq");

const [port, server, count, concurrency] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true });
const ask = (path) =>
  new Promise((resolve, reject) => {
    http
      .get({ host: "127.0.0.1", port: server, path, agent }, (answer) => answer.resume().on("end", resolve))
      .on("error", reject);
  });
let ended = 0;
const worker = new Worker(
  "pictures",
  async (job) => {
    await ask(`/x?job=${job.id}&attempt=${job.attemptsStarted}`);
    await job.updateProgress(50);
    if (job.data.number % 3 === 2 && job.attemptsStarted === 1) {
      throw new Error(`no room for ${job.id}`);
    }
  },
  { connection: { host: "127.0.0.1", port }, concurrency },
);
const done = new Promise((resolve) => {
  const note = (job, how) => {
    console.log(job.id, job.attemptsStarted, job.processedOn, job.timestamp, how);
    if (++ended === count) {
      resolve();
    }
  };
  worker.on("completed", (job) => note(job, "completed"));
  worker.on("failed", (job) => note(job, "failed"));
});
await done;
await worker.close();
agent.destroy();
