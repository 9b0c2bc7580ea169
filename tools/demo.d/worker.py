#!/usr/bin/env python3
"""An ordinary worker for image jobs of an OpenAI-like service: redis-py, requests, http.server.

It knows nothing of tracing. It takes jobs from two places: POST /jobs of its own HTTP server, where
the answer waits for the job, and the Redis list jobs:pending:openai.
"""
import base64
import json
import os
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import redis
import requests

OPENAI = os.environ["OPENAI_BASE_URL"]
WORKER_ID = os.environ.get("WORKER_ID", "demo-openai-worker-0")


class Worker:
    """One for each thread: a connection is used by one thread at a time."""

    def __init__(self):
        # Redis before 7.2 does not know the command by which a client names its library.
        self.redis = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True,
                                          lib_name=None, lib_version=None)
        self.http = requests.Session()

    def process(self, job_id: str) -> dict:
        key = f"job:{job_id}"
        job = self.redis.hgetall(key)
        payload = json.loads(job["payload"])
        self.redis.hset(key, mapping={"status": "processing", "worker_id": WORKER_ID, "started_at": time.time()})
        try:
            result = self.generate(job_id, payload)
        except requests.HTTPError as error:
            self.redis.hset(key, mapping={"status": "failed", "error": str(error.response.status_code)})
            self.redis.publish("complete_job", json.dumps({"job_id": job_id, "status": "failed"}))
            return {"job_id": job_id, "status": "failed"}
        self.redis.hset(key, mapping={"status": "completed", "result": json.dumps(result), "completed_at": time.time()})
        self.redis.publish("complete_job", json.dumps({"job_id": job_id, "status": "completed"}))
        return {"job_id": job_id, "status": "completed", **result}

    def generate(self, job_id: str, payload: dict) -> dict:
        answer = self.http.post(f"{OPENAI}/v1/images/generations", json={
            "model": payload["model"], "prompt": payload["prompt"], "size": "1024x1024", "n": 1,
        }, headers={"Authorization": "Bearer sk-demo-not-a-secret"}, timeout=30)
        answer.raise_for_status()
        image = base64.b64decode(answer.json()["data"][0]["b64_json"])
        url = f"{OPENAI}/assets/{job_id}.png?sig=demo-signature"
        self.http.put(url, data=image, headers={"Content-Type": "image/png"}, timeout=30).raise_for_status()
        self.http.head(url, timeout=30)
        return {"url": url.partition("?")[0], "bytes": len(image)}


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    worker: Worker

    def log_message(self, *_):
        pass

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        job_id = f"job-{uuid.uuid4()}"
        self.worker.redis.hset(f"job:{job_id}", mapping={
            "id": job_id, "service_required": "openai", "priority": 75, "customer_id": "cust_demo",
            "payload": json.dumps(payload), "status": "pending", "created_at": time.time(),
        })
        result = self.worker.process(job_id)
        body = json.dumps(result).encode()
        self.send_response(200 if result["status"] == "completed" else 502)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def take_from_queue(stop: threading.Event):
    worker = Worker()
    while not stop.is_set():
        taken = worker.redis.brpop(["jobs:pending:openai"], timeout=1)
        if taken:
            worker.process(taken[1])


def main() -> int:
    stop = threading.Event()
    Endpoint.worker = Worker()
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    queue = threading.Thread(target=take_from_queue, args=(stop,))

    def end(*_):
        stop.set()
        # shutdown waits for serve_forever, which runs on the thread of this handler.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    queue.start()
    print(server.server_address[1], flush=True)
    server.serve_forever(poll_interval=0.1)
    queue.join()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
