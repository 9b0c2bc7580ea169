"""Claims as workers of the queues make them, of jobs whose payloads nobody can read. For each one key is asked for.
usage: poison.py bullmq|rq|celery|plain REDIS-PORT; says its own memory at its largest, in KiB."""

import json
import sys

import memory
import redis

queue, port = sys.argv[1], int(sys.argv[2])
client = redis.Redis(port=port)
DEEP = b"[" * 10_000 + b"]" * 10_000
MANY = b"x" * (10 << 20)
PAYLOADS = {
    "none": b"", "words": b"no JSON at all", "bytes": b"\xff\x00\x01", "large": b'{"a": "' + MANY + b'"}', "raw": MANY,
    "deep": b'{"a": ' + DEEP + b"}", "deeper": b'{"a":' * 10_000, "cut": b'{"a": "trunca', "packed": b"\xde\xff\xff\xc1",
}
MOVE = ("wait active prioritized events stalled limiter delayed paused meta pc marker").split()


def claim(name: str, payload: bytes) -> None:
    if queue == "bullmq":
        client.hset(f"bull:q:{name}", mapping={"name": "resize", "opts": payload, "data": payload, "timestamp": "1795285691897"})
        client.eval("return {redis.call('HGETALL', 'bull:q:' .. ARGV[2]), ARGV[2], 0, 0}", len(MOVE),
                    *(f"bull:q:{key}" for key in MOVE), "bull:q:", name)
    elif queue == "rq":
        client.hset(f"rq:job:{name}", mapping={"data": payload, "description": payload, "started_at": payload, "origin": "q"})
        client.rpush("rq:queue:q", name)
        client.lpop("rq:queue:q")
        client.hgetall(f"rq:job:{name}")
        client.hset(f"rq:job:{name}", mapping={"status": "started", "worker_name": payload, "started_at": payload})
    elif queue == "celery":
        keys = ["q", *(f"q\x06\x16{number}" for number in (3, 6, 9))]
        whole = json.dumps({"headers": {"id": name, "task": "resize"}, "body": "..."}).encode()
        # The last one has its name, and behind it what nobody can read.
        client.rpush("q", payload if name != "cut" else whole[:-1] + b', "more": ' + DEEP)
        client.brpop(keys, timeout=1)
    else:
        client.hset(f"job:{name}", mapping={"payload": payload, "created_at": payload, "job_type": payload})
        client.zadd("jobs:pending", {name: 1})
        client.zpopmax("jobs:pending")
        client.hgetall(f"job:{name}")
    client.get(f"of={name}&")


for name, payload in PAYLOADS.items():
    claim(name, payload)
print(memory.largest_kib())
