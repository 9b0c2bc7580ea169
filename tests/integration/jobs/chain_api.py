"""An API that stores a job for each request: /JOB, one after the other. usage: REDIS-PORT; its port on stdout."""

import http.server
import sys

import redis

client = redis.Redis(port=int(sys.argv[1]))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        job = self.path.strip("/")
        client.hset(f"job:{job}", mapping={
            "id": job, "service_required": "openai_image", "priority": 75, "created_at": "2026-11-21T10:00:00.000Z",
            "retry_count": 0, "customer_id": "customer-1", "status": "pending", "payload": '{"prompt": "x"}',
        })
        client.zadd("jobs:pending", {job: 75})
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
for _ in range(int(sys.argv[2])):
    server.handle_request()
