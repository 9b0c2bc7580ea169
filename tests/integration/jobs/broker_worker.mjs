// A worker of a brokered queue: asks a function of the server for a job that it can do, tells its progress, and how it
// ended. usage: REDIS-PORT HTTP-PORT COUNT
import { createRequire } from 'node:module';
import http from 'node:http';

const Redis = createRequire(process.env.NODE_FOLDER + '/')('ioredis');
const [port, server, count] = process.argv.slice(2).map(Number);
const redis = new Redis(port);
const capabilities = JSON.stringify({ worker_id: 'gpu-1-worker-0', services: ['openai_image'], hardware: { vram: 24 } });

const ask = (path) => new Promise((resolve, reject) => {
  http.get({ port: server, path, agent: false }, (answer) => answer.resume().on('end', resolve)).on('error', reject);
});

await redis.call('FUNCTION', 'LOAD', 'REPLACE', `#!lua name=matching
  redis.register_function('findMatchingJob', function(keys, args)
    local popped = redis.call('ZPOPMAX', 'jobs:pending')
    if #popped == 0 then return nil end
    local id, job = popped[1], {}
    local fields = redis.call('HGETALL', 'job:' .. id)
    for i = 1, #fields, 2 do job[fields[i]] = fields[i + 1] end
    redis.call('HSET', 'job:' .. id, 'status', 'assigned')
    return cjson.encode({ jobId = id, job = job })
  end)`);

for (let done = 0; done < count;) {
  const found = await redis.call('FCALL', 'findMatchingJob', 0, capabilities, 100);
  if (found === null) {
    done++;
    continue;
  }
  const { jobId, job } = JSON.parse(found);
  await redis.hmset(`job:${jobId}`, { status: 'in_progress', worker_id: 'gpu-1-worker-0' });
  await ask(`/x?job=${jobId}&`);
  await redis.publish('update_job_progress', JSON.stringify({ job_id: jobId, progress: 50 }));
  const failed = JSON.parse(job.payload).fails;
  await redis.hmset(`job:${jobId}`, { status: failed ? 'failed' : 'completed' });
  await redis.hdel('jobs:active:gpu-1-worker-0', jobId);
  await redis.hset(failed ? 'jobs:failed' : 'jobs:completed', jobId,
    JSON.stringify({ secret: 'x'.repeat(999), ...(failed && { error: `no room for ${jobId}` }) }));
  await redis.publish(failed ? 'job_failed' : 'complete_job', JSON.stringify({ job_id: jobId }));
}
await redis.quit();
