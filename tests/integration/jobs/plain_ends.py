"""A worker of the plain schema that ends each job in another way: as its number says. usage: REDIS-PORT COUNT"""

import sys

import redis

ENDS = ["completed", "failed", "timeout", "cancelled", "pending"]
client = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
for _ in range(int(sys.argv[2])):
    job = client.zpopmax("jobs:pending")[0][0]
    number = int(client.hget(f"job:{job}", "priority"))
    client.hset(f"job:{job}", "status", "processing")
    client.hset(f"job:{job}", "status", ENDS[number])
