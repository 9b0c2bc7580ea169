// Jobs of many kinds, on two queues.
// usage: bullmq_mixed.mjs submit COUNT           adds jobs, and says "QUEUE ID KIND" of each
//        bullmq_mixed.mjs work ENDS CONCURRENCY  works until so many attempts have ended, by two workers for each
//                                                queue, and says of each
//                                                "QUEUE ID ATTEMPT KIND PROCESSED SUBMITTED DELAY HOW"
//        bullmq_mixed.mjs hang                   begins a job, says so, and never ends it
//        bullmq_mixed.mjs take                   takes what has stalled, as `work 1 1`
import http from 'node:http';
import { createRequire } from 'node:module';

const load = createRequire(`${process.env.NODE_FOLDER}/`);
const { Queue, Worker } = load(process.env.TEST_BULLMQ);
const { Redis } = load(process.env.TEST_IOREDIS);

const [, , task, count, concurrency] = process.argv;
const connection = { host: '127.0.0.1', port: Number(process.env.TEST_REDIS), maxRetriesPerRequest: null };
const QUEUES = ['pictures', 'sounds'];
// How each is added, and how many of its attempts fail.
const KINDS = {
  plain: [{}, 0],
  failing: [{}, 1],
  again: [{ attempts: 2 }, 1],
  backoff: [{ attempts: 3, backoff: { type: 'fixed', delay: 40 } }, 2],
  hopeless: [{ attempts: 2, backoff: { type: 'exponential', delay: 10 } }, 2],
  delayed: [{ delay: 80 }, 0],
  urgent: [{ priority: 3 }, 0],
  named: [{ attempts: 2 }, 1],
};

class NoRoom extends TypeError {
  constructor(text) {
    super(text);
    this.name = 'NoRoom';
  }
}

async function submit() {
  const queues = QUEUES.map((name) => new Queue(name, { connection }));
  const kinds = Object.keys(KINDS);
  for (let number = 0; number < Number(count); number++) {
    const kind = kinds[number % kinds.length];
    const queue = queues[Math.floor(number / kinds.length) % queues.length];
    // As the ids of jobs that are repeated are made.
    const named = kind === 'named' ? { jobId: `repeat:${kind}:${number}` } : {};
    const job = await queue.add(kind, { secret: 'x'.repeat(300) }, { ...KINDS[kind][0], ...named });
    console.log(queue.name, job.id, kind);
  }
  await Promise.all(queues.map((queue) => queue.close()));
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
const ask = (path) => new Promise((resolve, reject) => {
  http.get({ host: '127.0.0.1', port: Number(process.env.TEST_HTTP), path, agent },
    (answer) => answer.resume().on('end', resolve)).on('error', reject);
});

async function work(options) {
  const redis = new Redis(connection);
  let ended = 0;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const processor = async (job) => {
    await ask(`/x?of=${job.queueName}-${job.id}-${job.attemptsStarted}&`);
    await redis.get(`of=${job.queueName}-${job.id}-${job.attemptsStarted}&`);
    if (job.attemptsStarted <= KINDS[job.name][1]) throw new NoRoom(`no room for ${job.id}, ${job.attemptsStarted}`);
    await job.updateProgress(50);
  };
  const workers = [...QUEUES, ...QUEUES].map((name) => new Worker(name, processor,
    { connection, concurrency: Number(concurrency ?? 1), ...options }));
  const note = (job, how) => {
    // The queue's record is of the last attempt that began. A job's own delay is forgotten once it is due.
    console.log(job.queueName, job.id, job.attemptsStarted, job.name, job.processedOn, job.timestamp,
      job.opts.delay ?? 0, how);
    if (++ended === Number(count ?? 1)) finish();
  };
  for (const worker of workers) {
    worker.on('completed', (job) => note(job, 'completed'));
    worker.on('failed', (job) => note(job, 'failed'));
    worker.on('error', (error) => console.error(error));
  }
  await finished;
  await Promise.all(workers.map((worker) => worker.close()));
  redis.disconnect();
  agent.destroy();
}

// The lock is not renewed, so that another worker finds the job stalled.
function hang() {
  new Worker('pictures', async (job) => {
    await ask(`/x?of=${job.queueName}-${job.id}-${job.attemptsStarted}&`);
    console.log('working');
    await new Promise(() => {});
  }, { connection, lockDuration: 500, skipLockRenewal: true });
}

await { submit, work, hang, take: () => work({ stalledInterval: 200 }) }[task]();
