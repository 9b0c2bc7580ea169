"""Stores one job of the plain schema, and enqueues it in one of several manners. usage: PORT MANNER"""

import sys
import uuid

import redis

port, manner = int(sys.argv[1]), sys.argv[2]
client = redis.Redis(port=port)
job = "17" if manner == "numbered" else str(uuid.uuid4())
fields = {"created_at": "2026-11-21T10:00:00Z", "job_type": "resize", "status": "pending"}
if manner in ("forget", "sequence"):
    client.hset(f"job:{job}", mapping=fields)
    if manner == "sequence":
        client.zadd("jobs:pending", {job: 1})
else:
    if manner == "refused":
        client.set("jobs:pending", "no sorted set")
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(f"job:{job}", mapping=fields)
        pipe.zadd("jobs:pending", {job: 1})
        pipe.execute(raise_on_error=False)
