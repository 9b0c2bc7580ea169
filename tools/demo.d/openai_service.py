#!/usr/bin/env python3
"""A small service that answers like OpenAI's API, and keeps uploaded files like an object store.

Prints the port that it listens on, serves until it is ended.
    POST /v1/chat/completions      a rewritten prompt
    POST /v1/images/generations    an image in base64; 503 for the model "gpt-image-overloaded"
    PUT, GET, HEAD /assets/NAME    the object store
"""
import base64
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(6000)).decode()


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    assets: dict[str, bytes] = {}

    def log_message(self, *_):
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: bytes = b"", content_type: str = "application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", f"req_{time.monotonic_ns():x}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, status: int, document: dict):
        self.answer(status, json.dumps(document).encode())

    def do_POST(self):
        request = json.loads(self.body())
        if self.path == "/v1/chat/completions":
            time.sleep(0.04)
            text = request["messages"][-1]["content"] + ", volumetric light, 35 mm"
            self.answer_json(200, {
                "id": "chatcmpl-demo", "object": "chat.completion", "model": request["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 14, "completion_tokens": 9, "total_tokens": 23},
            })
        elif self.path == "/v1/images/generations" and request["model"] == "gpt-image-overloaded":
            time.sleep(0.02)
            self.answer_json(503, {"error": {"type": "server_error", "code": "overloaded", "message": "try again"}})
        elif self.path == "/v1/images/generations":
            time.sleep(0.15)
            self.answer_json(200, {"created": int(time.time()), "data": [{"b64_json": IMAGE}]})
        else:
            self.answer_json(404, {"error": {"type": "invalid_request_error", "message": "no such route"}})

    def do_PUT(self):
        self.assets[self.path] = self.body()
        time.sleep(0.01)
        self.answer(201)

    def do_GET(self):
        if self.path in self.assets:
            self.answer(200, self.assets[self.path], "image/png")
        else:
            self.answer(404)

    do_HEAD = do_GET


def main() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
