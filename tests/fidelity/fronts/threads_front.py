"""usage: threads_front.py PORT: a thread for each connection, by the standard library."""

import http.client
import http.server
import os
import sys

import redis

HOST = os.environ["TEST_PEER"].split("//")[1]
store = redis.Redis(port=int(os.environ["TEST_REDIS"]))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, _, name, _, count = self.path.split("/")
        peer = http.client.HTTPConnection(HOST)
        for number in range(int(count)):
            store.get(f"id:{name}:{number}")
            peer.request("GET", f"/c/{name}/{number}")
            assert peer.getresponse().read()
        peer.close()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
