"""Submits jobs to RQ. usage: PORT COUNT; ids on stdout."""

import sys

import redis
import rq
import rq_tasks

queue = rq.Queue("pictures", connection=redis.Redis(port=int(sys.argv[1])))
for number in range(int(sys.argv[2])):
    print(queue.enqueue(rq_tasks.resize, number, "x" * 3000).id, flush=True)
