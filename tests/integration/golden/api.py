"""An API that submits jobs for what is posted to it, as many as it is told. usage: REDIS-PORT COUNT
The port that it listens on is the first line of its output. With SSL_CERT_FILE it asks Redis over TLS."""

import http.server
import json
import os
import socketserver
import sys

import redis

AUTHORITY = os.environ.get("SSL_CERT_FILE")
client = redis.Redis(
    port=int(sys.argv[1]), protocol=2, driver_info=None,
    ssl=AUTHORITY is not None, ssl_ca_certs=AUTHORITY,
)


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "api"
    sys_version = ""

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def do_POST(self):  # pylint: disable=invalid-name
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with client.pipeline(transaction=False) as pipe:
            pipe.hset(f"job:{job['id']}", mapping=job)
            pipe.zadd("jobs:pending", {job["id"]: job["priority"]})
            pipe.execute()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


with socketserver.TCPServer(("127.0.0.1", 0), Api) as server:
    print(server.server_address[1], flush=True)
    for _ in range(int(sys.argv[2])):
        server.handle_request()
