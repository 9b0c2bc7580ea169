// Submits jobs to BullMQ. usage: PORT COUNT ATTEMPTS; ids on stdout.
import { createRequire } from "node:module";
const { Queue } = createRequire(`${process.env.NODE_FOLDER}/`)("bullmq");

const [port, count, attempts] = process.argv.slice(2).map(Number);
const queue = new Queue("pictures", { connection: { host: "127.0.0.1", port } });
for (let number = 0; number < count; number++) {
  const job = await queue.add("resize", { number, secret: "x".repeat(3000) }, { attempts });
  console.log(job.id);
}
await queue.close();
