// Jobs that are not added one by one.
// usage: bullmq_flows.mjs submit        a parent with two children, three at once, and a job that is repeated once; says
//                                       "ID KIND" of those that it has added
//        bullmq_flows.mjs work COUNT    works until so many have ended, and says "ID KIND" of each
import { createRequire } from 'node:module';

const load = createRequire(`${process.env.NODE_FOLDER}/`);
const { Queue, Worker, FlowProducer } = load(process.env.TEST_BULLMQ);
const { Redis } = load(process.env.TEST_IOREDIS);

const [, , task, count] = process.argv;
const connection = { host: '127.0.0.1', port: Number(process.env.TEST_REDIS), maxRetriesPerRequest: null };
const tell = (job) => console.log(job.id, job.name);

async function submit() {
  const flow = new FlowProducer({ connection });
  const children = [1, 2].map((data) => ({ name: 'part', queueName: 'pictures', data: { data } }));
  const tree = await flow.add({ name: 'whole', queueName: 'pictures', data: {}, children });
  [tree, ...tree.children].forEach((node) => tell(node.job));
  const queue = new Queue('pictures', { connection });
  const added = await queue.addBulk([{}, { delay: 50 }, { priority: 2 }].map((opts) => ({ name: 'bulk', data: {}, opts })));
  added.forEach(tell);
  await queue.upsertJobScheduler('often', { every: 200, limit: 2 }, { name: 'repeated' });
  await Promise.all([flow.close(), queue.close()]);
}

async function work() {
  const redis = new Redis(connection);
  let finish;
  let ended = 0;
  const finished = new Promise((resolve) => { finish = resolve; });
  const worker = new Worker('pictures', (job) => redis.get(`of=${job.id}&`), {
    connection, limiter: { max: 3, duration: 50 },
  });
  worker.on('completed', (job) => {
    tell(job);
    if (++ended === Number(count)) finish();
  });
  worker.on('error', (error) => console.error(error));
  await finished;
  await worker.close();
  redis.disconnect();
}

await { submit, work }[task]();
