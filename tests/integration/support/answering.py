"""A server that answers every GET with a text. usage: answering.py TEXT: its port on stdout; ends with stdin."""

import http.server
import sys
import threading


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    text = b"ok"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Answering.text = sys.argv[1].encode()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
