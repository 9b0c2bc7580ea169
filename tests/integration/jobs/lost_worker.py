"""A worker that is lost in its work, of one of the queues that every language has clients for: claims a job, says
"working", and does not end. With `done` it ends the job at once.
usage: lost_worker.py plain|brokered|list REDIS-PORT hang|done"""

import json
import sys
import time

import redis

queue, port, manner = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = redis.Redis(port=port, decode_responses=True)
if queue == "plain":
    job = client.zpopmax("jobs:pending")[0][0]
    client.hgetall(f"job:{job}")
elif queue == "brokered":
    job = json.loads(client.fcall("findMatchingJob", 0, json.dumps({"worker_id": "w-1"}), 10))["jobId"]
else:
    job = json.loads(client.blpop("pictures:jobs")[1])["job_id"]
client.get(f"note:{job}")
if manner == "hang":
    print("working", flush=True)
    time.sleep(600)
if queue != "list":
    client.hset(f"job:{job}", "status", "completed")
