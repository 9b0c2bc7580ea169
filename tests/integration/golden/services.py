"""The services that golden/worker.py calls, with answers that are always the same."""

import base64
import hashlib
import http.server
import json
import struct
import threading

IMAGE = {"created": 1700000000, "data": [{"b64_json": "aW1hZ2U="}], "size": "1024x1024", "quality": "high",
         "output_format": "png", "usage": {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068}}
PROMPT = "4f1d0c3a-97c5-4ab0-8d9e-0123456789ab"
HISTORY = {PROMPT: {"prompt": [1, PROMPT], "outputs": {"9": {"images": [{"filename": "a.png", "type": "output"}]}},
                    "status": {"status_str": "success", "completed": True}}}

# What ComfyUI tells of its work to who listens.
MESSAGES = [
    {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}},
    {"type": "execution_start", "data": {"prompt_id": PROMPT}},
    {"type": "execution_cached", "data": {"nodes": ["4"], "prompt_id": PROMPT}},
    {"type": "executing", "data": {"node": "3", "prompt_id": PROMPT}},
    {"type": "progress", "data": {"value": 10, "max": 20, "prompt_id": PROMPT, "node": "3"}},
    {"type": "progress", "data": {"value": 20, "max": 20, "prompt_id": PROMPT, "node": "3"}},
    {"type": "executed", "data": {"node": "9", "output": {"images": [{"filename": "a.png"}]}, "prompt_id": PROMPT}},
    {"type": "execution_success", "data": {"prompt_id": PROMPT}},
]
WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "services"
    sys_version = ""

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def date_time_string(self, timestamp=None):
        return "Sat, 21 Nov 2026 12:00:00 GMT"

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):  # pylint: disable=invalid-name
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/v2/models/"):
            outputs = [{"name": "upscaled", "datatype": "FP32", "shape": [1], "data": [0.5]}]
            self.answer(200, json.dumps({"model_name": "upscaler", "model_version": "3", "outputs": outputs}).encode())
        elif self.path == "/prompt":
            self.server.asked = 3 if "client_id" in body else 0
            self.answer(200, json.dumps({"prompt_id": PROMPT, "number": 1, "node_errors": {}}).encode())
        elif body["model"] == "no-such-model":
            error = {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}}
            self.answer(404, json.dumps(error).encode(), x_request_id="req-2")
        else:
            self.answer(200, json.dumps(IMAGE).encode(), x_request_id="req-1", openai_processing_ms="1200",
                        x_ratelimit_limit_requests="500", x_ratelimit_remaining_requests="499",
                        content_type="application/json")

    def tell(self) -> None:
        """By WebSocket, once it is asked to."""
        key = (self.headers["Sec-WebSocket-Key"] + WEBSOCKET).encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
        self.end_headers()
        asked = json.loads(self.read_frame())
        told = [json.dumps(message).encode() for message in MESSAGES]
        if asked["type"] == "prompt":
            told.insert(0, json.dumps({"type": "prompt_queued", "data": {"prompt_id": PROMPT, "number": 1}}).encode())
        self.wfile.write(b"".join(
            b"\x81" + (bytes([len(text)]) if len(text) < 126 else b"\x7e" + struct.pack(">H", len(text))) + text
            for text in told
        ))
        self.read_frame()
        self.wfile.write(b"\x88\x02\x03\xe8")
        self.close_connection = True

    def read_frame(self) -> bytes:
        """One of a client's."""
        size = self.rfile.read(2)[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", self.rfile.read(2))[0]
        mask = self.rfile.read(4)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(size)))

    def do_GET(self):  # pylint: disable=invalid-name
        if self.path.startswith("/ws"):
            self.tell()
            return
        if self.path.startswith("/models/"):
            self.answer(200, b"weights" * 1000)
            return
        if self.path.startswith("/devstore/"):
            self.answer(200, b"picture", x_ms_request_id="00000000-0000-0000-0000-000000000000")
            return
        # ComfyUI knows nothing of what it is at.
        self.server.asked += 1
        self.answer(200, json.dumps(HISTORY if self.server.asked == 4 else {}).encode())

    def do_HEAD(self):  # pylint: disable=invalid-name
        self.answer(200)

    def do_PUT(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, x_ms_request_id="00000000-0000-0000-0000-000000000000")


class Services:
    def __enter__(self) -> "Services":
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked = 0
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
