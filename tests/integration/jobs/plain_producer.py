"""Submits jobs in the plain schema: a hash and a sorted set. usage: PORT COUNT [RESP [vip]], ids on stdout. With `vip`
every fifth is for a customer of that tier."""

import datetime
import sys
import uuid

import redis

port, count = int(sys.argv[1]), int(sys.argv[2])
client = redis.Redis(port=port, protocol=int(sys.argv[3]) if len(sys.argv) > 3 else 2)
for number in range(count):
    job = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    tier = {"customer_tier": "vip" if number % 5 == 4 else "free"} if sys.argv[4:] == ["vip"] else {}
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(f"job:{job}", mapping={
            "job_type": "resize", "created_at": now, "priority": number, "payload": "x" * 3000, "status": "pending", **tier,
        })
        pipe.zadd("jobs:pending", {job: number})
        pipe.execute()
    print(job, flush=True)
