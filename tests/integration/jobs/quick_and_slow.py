"""An API that submits a job for each request, a worker, and their client, each a process of its own.
usage: REDIS-PORT COUNT SECONDS: so many jobs that take no time, then one of so many seconds.

With a role as a fourth argument it is one of them."""

import datetime
import http.client
import http.server
import os
import socketserver
import subprocess
import sys
import time
import uuid

import redis


class Api(http.server.BaseHTTPRequestHandler):
    """Answers at once; the job is for later."""

    protocol_version = "HTTP/1.1"
    client = None

    def log_message(self, *_):
        pass

    def do_POST(self):
        job = str(uuid.uuid4())
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        seconds = self.path.rpartition("=")[2]
        Api.client.hset(f"job:{job}", mapping={"job_type": "sleep", "created_at": now, "seconds": seconds})
        Api.client.zadd("jobs:pending", {job: 1})
        time.sleep(0.01)
        body = job.encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int) -> None:
    Api.client = redis.Redis(port=port)
    with socketserver.TCPServer(("127.0.0.1", 0), Api) as server:
        print(server.server_address[1], flush=True)
        while True:
            server.handle_request()


def work(port: int, count: int) -> None:
    client = redis.Redis(port=port, decode_responses=True)
    for _ in range(count):
        job = client.bzpopmax("jobs:pending", timeout=30)[1]
        fields = client.hgetall(f"job:{job}")
        client.hset(f"job:{job}", "status", "processing")
        time.sleep(float(fields["seconds"]))
        client.get(f"note:{job}")
        client.hset(f"job:{job}", "status", "completed")
        client.zadd("jobs:completed", {job: time.time()})


def main() -> None:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if len(sys.argv) > 4:
        serve(port) if sys.argv[4] == "api" else work(port, count + 1)
        return
    again = [sys.executable, *sys.argv]
    api = subprocess.Popen([*again, "api"], stdout=subprocess.PIPE)
    worker = subprocess.Popen([*again, "worker"])
    client = http.client.HTTPConnection("127.0.0.1", int(api.stdout.readline()), timeout=20)
    for wanted in [*["0"] * count, seconds]:
        client.request("POST", f"/jobs?seconds={wanted}")
        job = client.getresponse().read().decode()
        client.close()
        print(job, flush=True)
    assert worker.wait() == 0
    api.terminate()
    api.wait()
    os._exit(0)


main()
