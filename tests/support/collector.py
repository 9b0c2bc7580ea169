#!/usr/bin/env python3
"""A fake OTLP/HTTP receiver on a free port of 127.0.0.1.

usage: collector.py SPANS.jsonl [--requests REQUESTS.jsonl] [--tls CERT KEY] [--port N] [BEHAVIOUR ...]

Prints its port on the first line of stdout, serves until its standard input ends. Every span that
it accepts goes to SPANS.jsonl, one JSON object a line (the form of otlp.decode); every request,
accepted or not, to REQUESTS.jsonl: arrival time, connection number, path, headers, bytes, spans,
behaviour, error.

Each request takes the next BEHAVIOUR; the last one stays. Default: 200.
    200, 201, 204, 400, 503, ...   that status
    503+2  429+date:2              the same with Retry-After: seconds, or a date so far ahead
    partial:N:TEXT                 200, N spans rejected
    status:CODE:TEXT               that HTTP status with a google.rpc.Status in the body
    text:CODE:TEXT                 that HTTP status with a plain body
    slow:SECONDS                   answers 200 so late
    silent                         never answers
    close                          reads the request, closes without an answer
    reset                          the same with a TCP reset
    big:BYTES                      200 with a body of so many bytes
    garbage                        bytes that are no HTTP
    http2                          the opening bytes of an HTTP/2 server
    chunked                        200 in chunks, the answer cut over them
    interim                        100 Continue, then 200
    once                           200 and Connection: close

As a module: `with Collector(["503+1", "200"]) as collector: ...; collector.port, .spans, .requests,
.wait_for_spans(n)`.
"""
import argparse
import gzip
import json
import pathlib
import socket
import ssl
import struct
import sys
import threading
import time
from email.utils import formatdate

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import otlp  # noqa: E402

PROTOBUF = "application/x-protobuf"


def tag(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def partial_success(rejected: int, text: str) -> bytes:
    inner = b"\x08" + varint(rejected) if rejected else b""
    return tag(1, inner + tag(2, text.encode()))


def rpc_status(text: str) -> bytes:
    return b"\x08\x03" + tag(2, text.encode())


class Collector:
    """Serves from the constructor until close(); thread per connection."""

    def __init__(self, behaviours=(), spans_file=None, requests_file=None, tls=None, port=0):
        self.behaviours = list(behaviours) or ["200"]
        self.spans: list[dict] = []
        self.requests: list[dict] = []
        self.changed = threading.Condition()
        self.spans_file = open(spans_file, "w", encoding="utf-8") if spans_file else None
        self.requests_file = open(requests_file, "w", encoding="utf-8") if requests_file else None
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
            self.tls.set_alpn_protocols(["http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.open_sockets: set[socket.socket] = set()
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stops listening and breaks every connection."""
        self.closed = True
        # A thread blocked in accept keeps the socket listening until it is shut down.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.changed:
            for one in list(self.open_sockets):
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.changed.notify_all()
        for file in (self.spans_file, self.requests_file):
            if file:
                file.close()

    def wait_for(self, condition, seconds=20.0, what="the collector"):
        """Waits until condition(self) holds; fails loudly after the deadline."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), seconds):
                raise AssertionError(
                    f"{what}: not within {seconds} s; {len(self.spans)} spans, {len(self.requests)} requests"
                )

    def wait_for_spans(self, count: int, seconds=20.0):
        self.wait_for(lambda self: len(self.spans) >= count, seconds, f"{count} spans")
        return self.spans

    # ---- connections ----

    def _accept(self):
        while not self.closed:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with self.changed:
                self.open_sockets.add(connection)
            with connection.makefile("rb") as stream:
                while self._one_request(connection, stream, number):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            with self.changed:
                self.open_sockets.discard(connection)
            connection.close()

    def _one_request(self, connection, stream, number) -> bool:
        line = stream.readline()
        if not line:
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := stream.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._body(stream, headers)
        arrived = time.time()
        with self.changed:
            behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        record = {
            "time": arrived,
            "connection": number,
            "method": method,
            "path": path,
            "headers": headers,
            "bytes": len(body),
            "behaviour": behaviour,
            "spans": 0,
        }
        spans = []
        try:
            plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            if headers.get("content-type") != PROTOBUF:
                raise ValueError(f"content type {headers.get('content-type')}")
            spans = otlp.decode(plain)
            record["spans"] = len(spans)
        except (ValueError, OSError, EOFError) as error:
            record["error"] = str(error)
            behaviour = f"status:400:{error}"
        return self._answer(connection, behaviour, record, spans)

    @staticmethod
    def _body(stream, headers: dict) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return stream.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        while stream.readline().strip():
            pass
        return body

    # ---- answers ----

    def _note(self, record, spans):
        with self.changed:
            self.requests.append(record)
            self.spans.extend(spans)
            if self.requests_file and not self.requests_file.closed:
                self.requests_file.write(json.dumps(record) + "\n")
                self.requests_file.flush()
            if self.spans_file and not self.spans_file.closed:
                for span in spans:
                    self.spans_file.write(json.dumps(span) + "\n")
                self.spans_file.flush()
            self.changed.notify_all()

    def _answer(self, connection, behaviour, record, spans) -> bool:
        kind, _, argument = behaviour.partition(":")
        if kind == "slow":
            # Not a sleep: close() ends it.
            with self.changed:
                self.changed.wait_for(lambda: self.closed, float(argument))
            kind = "200"
        accepted = kind[:1] == "2" or kind in ("partial", "big", "chunked", "interim", "once")
        self._note(record, spans if accepted else [])
        if kind == "silent":
            with self.changed:
                self.changed.wait_for(lambda: self.closed)
            return False
        if kind == "close":
            return False
        if kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if kind == "garbage":
            connection.sendall(b"\x15\x03\x01 this is not HTTP\n")
            return False
        if kind == "http2":
            # SETTINGS with two entries, then GOAWAY: what a gRPC server says to HTTP/1.1.
            connection.sendall(bytes.fromhex("00000c040000000000" "000300000064" "000400100000"))
            connection.sendall(bytes.fromhex("000008070000000000" "00000000" "00000001"))
            return False
        if kind == "interim":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            kind = "200"
        if kind == "chunked":
            body = partial_success(0, "in chunks")
            connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            for byte in body:
                connection.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            return True
        status, content_type, body, extra = 200, PROTOBUF, b"", []
        if kind == "partial":
            rejected, _, text = argument.partition(":")
            body = partial_success(int(rejected), text)
        elif kind == "status":
            code, _, text = argument.partition(":")
            status, body = int(code), rpc_status(text)
        elif kind == "text":
            code, _, text = argument.partition(":")
            status, body, content_type = int(code), text.encode(), "text/plain; charset=utf-8"
        elif kind == "big":
            body = b"\0" * int(argument)
            content_type = "application/octet-stream"
        elif kind == "once":
            extra.append("Connection: close")
        else:
            code, _, wait = behaviour.removeprefix("interim").partition("+") if kind != "200" else ("200", "", "")
            status = int(code)
            if wait.startswith("date:"):
                extra.append("Retry-After: " + formatdate(time.time() + float(wait[5:]), usegmt=True))
            elif wait:
                extra.append("Retry-After: " + wait)
        head = [f"HTTP/1.1 {status} Said", f"Content-Type: {content_type}", *extra]
        if status != 204:
            head.append(f"Content-Length: {len(body)}")
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + body)
        return kind != "once"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("spans")
    parser.add_argument("--requests")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("behaviours", nargs="*")
    options = parser.parse_args()
    collector = Collector(options.behaviours, options.spans, options.requests, options.tls, options.port)
    print(collector.port, flush=True)
    sys.stdin.read()
    collector.close()


if __name__ == "__main__":
    main()
