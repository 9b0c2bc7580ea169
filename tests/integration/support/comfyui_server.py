"""A server that answers like ComfyUI: prompts over HTTP, what becomes of them over a WebSocket, compressed if wanted.

A prompt is run when its client asks for the queue, so that nothing depends on who is faster; one whose id
says `early` is run before it is answered.
"""

import base64
import hashlib
import http.server
import json
import random
import struct
import threading
import urllib.parse
import zlib

SECRET = "the prompt that nobody may see"
STEPS = 40
EXTENSIONS = {
    None: None,
    "shared": "permessage-deflate",
    "alone": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
}


def script(prompt_id):
    """The messages of a run, as ComfyUI sends them; bytes are a preview, None a ping."""

    def message(kind, **data):
        return {"type": kind, "data": {**data, "prompt_id": prompt_id}}

    yield {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "s"}}
    yield message("execution_start", timestamp=1700000000000)
    yield message("execution_cached", nodes=["4", "5"], timestamp=1700000000001)
    yield message("executing", node="3", display_node="3")
    if "failed" in prompt_id:
        yield message(
            "execution_error", node_id="3", node_type="KSampler", exception_type="RuntimeError",
            exception_message=SECRET, traceback=[SECRET], current_inputs={"text": SECRET},
        )
        return
    if "cancelled" in prompt_id:
        yield message("execution_interrupted", node_id="3", node_type="KSampler", executed=[])
        return
    for step in range(STEPS):
        yield message("progress", value=step + 1, max=STEPS, node="3")
        if step % 16 == 0:
            yield struct.pack(">II", 1, 1) + random.Random(step).randbytes(20000)
            yield None
    yield message("executed", node="9", output={"images": [{"filename": "a.png"}], "text": [SECRET] * 100})
    if "old" not in prompt_id:
        yield message("execution_success", timestamp=1700000000002)
    yield message("executing", node=None)


class Session:
    """The server's end of a WebSocket."""

    def __init__(self, stream, coding):
        self.stream = stream
        self.coding = coding
        self.coder = self.new_coder()

    @staticmethod
    def new_coder():
        return zlib.compressobj(6, zlib.DEFLATED, -15)

    def frame(self, first, payload):
        size = len(payload)
        if size < 126:
            head = bytes([first, size])
        elif size < 65536:
            head = struct.pack(">BBH", first, 126, size)
        else:
            head = struct.pack(">BBQ", first, 127, size)
        self.stream.write(head + payload)

    def send(self, message):
        if message is None:
            self.frame(0x89, b"still there?")
            return
        is_binary = isinstance(message, bytes)
        payload = message if is_binary else json.dumps(message).encode()
        opcode = 2 if is_binary else 1
        if self.coding is not None:
            if self.coding == "alone":
                self.coder = self.new_coder()
            payload = (self.coder.compress(payload) + self.coder.flush(zlib.Z_SYNC_FLUSH))[:-4]
            opcode |= 0x40
        if len(payload) % 3 == 0:
            # In two frames, a ping between them.
            self.frame(opcode, payload[:7])
            self.frame(0x89, b"")
            self.frame(0x80, payload[7:])
        else:
            self.frame(0x80 | opcode, payload)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def run(self, prompt_id):
        for message in script(prompt_id):
            self.server.sessions[self.server.clients[prompt_id]].send(message)

    def do_POST(self):  # pylint: disable=invalid-name
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt_id = body["extra_data"]["wanted_id"]
        self.server.clients[prompt_id] = body["client_id"]
        if "early" in prompt_id:
            self.run(prompt_id)
        else:
            self.server.queue.append(prompt_id)
        self.answer({"prompt_id": prompt_id, "number": len(self.server.clients), "node_errors": {}})

    def do_GET(self):  # pylint: disable=invalid-name
        path, _, query = self.path.partition("?")
        if path == "/ws":
            self.open_session(urllib.parse.parse_qs(query)["clientId"][0])
        elif path == "/queue":
            while self.server.queue:
                self.run(self.server.queue.pop(0))
            self.answer({"queue_running": [], "queue_pending": []})
        else:
            prompt_id = path.rpartition("/")[2]
            status = {"status_str": "success", "completed": True, "messages": []}
            outputs = {"9": {"images": [{"filename": "a.png"}]}}
            self.answer({prompt_id: {"prompt": [1, prompt_id, {}], "outputs": outputs, "status": status}})

    def open_session(self, client):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        offers = "permessage-deflate" in self.headers.get("Sec-WebSocket-Extensions", "")
        coding = self.server.coding if offers else None
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        if coding is not None:
            self.send_header("Sec-WebSocket-Extensions", EXTENSIONS[coding])
        self.end_headers()
        self.server.sessions[client] = Session(self.wfile, coding)
        # What the client sends are pongs, prompts and a close frame; nobody else writes once that has come.
        decoder = zlib.decompressobj(-15)
        while True:
            frame = self.read_frame()
            if frame is None:
                break
            opcode, payload = frame
            if opcode & 0x0F == 8:
                self.server.sessions[client].frame(0x88, struct.pack(">H", 1000))
                break
            if opcode & 0x0F == 1:
                if opcode & 0x40:
                    decoder = decoder if coding == "shared" else zlib.decompressobj(-15)
                    payload = decoder.decompress(payload + b"\0\0\xff\xff")
                text = payload.decode()
                if text.startswith('{"type":') and "prompt" in json.loads(text)["type"]:
                    self.take_prompt(client, json.loads(text))
        self.close_connection = True

    def read_frame(self):
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", self.rfile.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.rfile.read(8))[0]
        mask = self.rfile.read(4)
        payload = self.rfile.read(size)
        whole = mask * (size // 4 + 1)
        return head[0], bytes(byte ^ key for byte, key in zip(payload, whole))

    def take_prompt(self, client, message):
        """A prompt that came by the WebSocket; without an id of its own it gets one."""
        prompt_id = message.get("prompt_id") or message["data"]["extra_data"]["wanted_id"]
        self.server.clients[prompt_id] = client
        queued = {"prompt_id": prompt_id, "number": len(self.server.clients)}
        self.server.sessions[client].send({"type": "prompt_queued", "data": queued})
        self.run(prompt_id)


class ComfyuiServer:
    """`coding`: None, "shared" (one window for all messages) or "alone" (one for each)."""

    def __init__(self, coding=None):
        self.coding = coding

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.coding = self.coding
        self.server.sessions = {}
        self.server.clients = {}
        self.server.queue = []
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
