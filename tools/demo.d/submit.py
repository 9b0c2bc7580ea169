#!/usr/bin/env python3
"""Submits the demo's jobs, and waits until each is done: two over HTTP, three through Redis.

usage: submit.py REDIS_PORT WORKER_PORT
"""
import json
import sys
import time
import uuid

import redis
import requests

DEADLINE_SECONDS = 60


def enqueue(client: redis.Redis, queue: str, payload: dict) -> str:
    job_id = f"job-{uuid.uuid4()}"
    client.hset(f"job:{job_id}", mapping={
        "id": job_id, "service_required": queue, "priority": 50, "customer_id": "cust_demo",
        "payload": json.dumps(payload), "status": "pending", "created_at": time.time(),
    })
    client.lpush(f"jobs:pending:{queue}", job_id)
    return job_id


def main() -> int:
    redis_port, worker_port = map(int, sys.argv[1:])
    client = redis.Redis(port=redis_port, decode_responses=True)
    completions = client.pubsub(ignore_subscribe_messages=True)
    completions.subscribe("complete_job")
    waiting = {
        enqueue(client, "openai", {"model": "gpt-image-1", "prompt": "a lighthouse in fog"}): "a job from Redis (Python)",
        enqueue(client, "comfyui", {"prompt": "a lighthouse in fog"}): "a job from Redis (Node)",
        enqueue(client, "comfyui", {"prompt": "a city of glass"}): "another job from Redis (Node)",
    }
    for model in ("gpt-image-1", "gpt-image-overloaded"):
        # The worker serves one connection after the other.
        answer = requests.post(f"http://127.0.0.1:{worker_port}/jobs?source=demo", timeout=DEADLINE_SECONDS,
                               json={"model": model, "prompt": "a fox, watercolour"},
                               headers={"Connection": "close"})
        print(f"  a job over HTTP (Python): {answer.json()['status']}", flush=True)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while waiting:
        message = completions.get_message(timeout=1)
        job = json.loads(message["data"]) if message else {}
        if job.get("job_id") in waiting:
            print(f"  {waiting.pop(job['job_id'])}: {job['status']}", flush=True)
        if time.monotonic() > deadline:
            print(f"still waiting for {', '.join(waiting.values())}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
