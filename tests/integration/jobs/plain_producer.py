"""Submits jobs in the plain schema: a hash and a sorted set. usage: PORT COUNT, ids on stdout."""

import datetime
import sys
import uuid

import redis

port, count = int(sys.argv[1]), int(sys.argv[2])
client = redis.Redis(port=port, protocol=int(sys.argv[3]) if len(sys.argv) > 3 else 2)
for number in range(count):
    job = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(f"job:{job}", mapping={
            "job_type": "resize", "created_at": now, "priority": number, "payload": "x" * 3000, "status": "pending",
        })
        pipe.zadd("jobs:pending", {job: number})
        pipe.execute()
    print(job, flush=True)
