"""A server that answers like OpenAI's API: JSON, server-sent events, errors; it knows what it said."""

import http.server
import json
import threading
import zlib

SECRET = "the prompt that nobody may see"
ANSWER = "the answer that nobody may see"
HEADERS = {
    "x-request-id": "req_123", "openai-processing-ms": "41", "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9999", "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-tokens": "199990", "openai-organization": "org-secret",
}
CHAT_USAGE = {
    "prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 3},
}
RESPONSE_USAGE = {
    "input_tokens": 36, "output_tokens": 87, "total_tokens": 123,
    "input_tokens_details": {"cached_tokens": 5}, "output_tokens_details": {"reasoning_tokens": 6},
}


def chat(body):
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": body["model"] + "-2024-07-18",
        "choices": [choice], "usage": CHAT_USAGE, "service_tier": "default", "system_fingerprint": "fp_1",
    }


def chat_events(body):
    head = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1700000000, "model": body["model"] + "-s"}
    for word in ANSWER.split():
        choice = {"index": 0, "delta": {"content": word + " "}, "finish_reason": None}
        yield {**head, "choices": [choice], "usage": None}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": None}
    yield {**head, "choices": [], "usage": CHAT_USAGE}


def completion(body):
    return {
        "id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": body["model"],
        "choices": [{"text": ANSWER, "index": 0, "logprobs": None, "finish_reason": "length"}], "usage": CHAT_USAGE,
    }


def embeddings(body):
    return {
        "object": "list", "model": body["model"], "usage": {"prompt_tokens": 8, "total_tokens": 8},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5] * 2000}],
    }


def images(body):
    data = [{"b64_json": "QUJD" * 50000} for _ in range(body.get("n", 1))]
    return {"created": 1700000000, "data": data, "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}}


def response(body, status="completed"):
    message = {
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": ANSWER, "annotations": []}],
    }
    return {
        "id": "resp_1", "object": "response", "created_at": 1700000000, "status": status, "model": body["model"] + "-r",
        "output": [message] if status == "completed" else [], "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [], "usage": RESPONSE_USAGE if status == "completed" else None,
    }


def response_events(body):
    yield {"type": "response.created", "sequence_number": 0, "response": response(body, "in_progress")}
    for number, word in enumerate(ANSWER.split()):
        yield {
            "type": "response.output_text.delta", "sequence_number": number + 1, "delta": word, "item_id": "msg_1",
            "output_index": 0, "content_index": 0, "logprobs": [],
        }
    yield {"type": "response.completed", "sequence_number": 99, "response": response(body)}


class Coder:
    """A body as the client wants it: compressed, each piece of it flushed."""

    BITS = {"gzip": 31, "deflate": 15, "bare": -15}

    def __init__(self, coding):
        self.coder = None if coding is None else zlib.compressobj(6, zlib.DEFLATED, self.BITS[coding])

    def code(self, content, is_last):
        if self.coder is None:
            return content
        return self.coder.compress(content) + self.coder.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def do_POST(self):  # pylint: disable=invalid-name
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        if body.get("model") == "no-such-model":
            error = {"message": SECRET, "type": "invalid_request_error", "param": None, "code": "model_not_found"}
            self.answer({"error": error}, 404)
        elif path.endswith("/chat/completions"):
            if body.get("stream"):
                self.stream(chat_events(body), "[DONE]")
            else:
                self.answer(chat(body))
        elif path.endswith("/responses"):
            if body.get("stream"):
                self.stream(response_events(body), None)
            else:
                self.answer(response(body))
        else:
            makers = {"completions": completion, "embeddings": embeddings, "generations": images}
            self.answer(makers[path.rpartition("/")[2]](body))

    def coding(self):
        """What the client takes and this server gives."""
        return self.server.coding if "gzip, deflate" in self.headers.get("Accept-Encoding", "") else None

    def send_head(self, status, kind, coding):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if coding is not None:
            self.send_header("Content-Encoding", {"bare": "deflate"}.get(coding, coding))
            self.server.coded += 1
        for name, text in HEADERS.items():
            self.send_header(name, text)

    def answer(self, value, status=200):
        content = json.dumps(value).encode()
        # Brotli is not in Python's library; who asks for it is shown another text under its name.
        coding = "br" if value.get("model", "").startswith("brotli") else self.coding()
        content = content if coding == "br" else Coder(coding).code(content, True)
        self.send_head(status, "application/json", coding)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, events, last):
        coding = self.coding()
        coder = Coder(coding)
        self.send_head(200, "text/event-stream; charset=utf-8", coding)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(coder.code(b": a comment first\n\n", False))
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.chunk(coder.code(f"{name}data: {json.dumps(event)}\n\n".encode(), False))
        text = b"" if last is None else f"data: {last}\n\n".encode()
        self.chunk(coder.code(text, True))
        self.chunk(b"", True)

    def chunk(self, content, is_last=False):
        if content or is_last:
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


class OpenaiServer:
    """With `coding` ("gzip", "deflate", "bare") it compresses for whoever takes that."""

    def __init__(self, coding=None):
        self.coding = coding

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.coding = self.coding
        self.server.coded = 0
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
