"""A small HTTP/1.1 and WebSocket server that remembers what it received and what it answered.

Its log is what the spans are compared with, so it is written on sockets and not on a library: the
bytes counted are those that passed. One thread serves one connection.

    /hello 200 text      /empty 204      /cached 304     /redirect 302 to /hello
    /echo 200 the body   /big 300,000 B  /error 500      /slow 200 after 50 ms
    /chunked 200 in five chunks          /close 200 ended by closing, no length
    /interim 103, then 200               /cut 1,000 bytes promised, 500 sent, then closed
    /never no answer until the client closes             /ws WebSocket, echoes
    anything else 404
"""

import base64
import hashlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

HELLO = b"hello, world\n"
BIG = b"0123456789" * 30000
CHUNK = b"c" * 1000
WEBSOCKET_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Exchange:
    """One request and its answer, as this end saw them. Times are CLOCK_REALTIME nanoseconds."""

    connection: int
    client_port: int
    method: str
    target: str
    version: str
    headers: dict[str, str]
    received_ns: int  # after its first byte was read
    request_body: int = 0
    status: int = 0
    response_body: int = 0
    answered_ns: int = 0  # before the first byte of the answer was written
    finished_ns: int = 0  # after the last byte of the answer was written
    cut: bool = False  # the answer was not completed


@dataclass
class WebSocketSession:
    """Frames of one session; [0] received by this end, [1] sent by it."""

    connection: int
    client_port: int
    target: str
    text: list[int] = field(default_factory=lambda: [0, 0])
    binary: list[int] = field(default_factory=lambda: [0, 0])
    pings: list[int] = field(default_factory=lambda: [0, 0])
    payload: list[int] = field(default_factory=lambda: [0, 0])
    close_code: list[int] = field(default_factory=lambda: [0, 0])
    began_ns: int = 0  # after the first frame was read
    ended_ns: int = 0  # before the close frame was answered


class _Ended(Exception):
    """The client closed, or broke off."""


class _Reader:
    """Buffered reading that notes when the first byte after a mark came."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.buffer = bytearray()
        self.received = 0
        self.first_ns = 0

    def mark(self) -> None:
        self.first_ns = time.time_ns() if self.buffer else 0

    def fill(self) -> None:
        try:
            data = self.connection.recv(65536)
        except OSError as error:
            raise _Ended from error
        if not data:
            raise _Ended
        if not self.first_ns:
            self.first_ns = time.time_ns()
        self.received += len(data)
        self.buffer += data

    def until(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            self.fill()
        taken = bytes(self.buffer[: at + len(mark)])
        del self.buffer[: at + len(mark)]
        return taken

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.fill()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken


class TruthServer:
    """Serves until closed. `exchanges` and `sessions` may be read after `settle`."""

    def __init__(self, host: str = "127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family, backlog=256)
        self.host = host
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Condition()
        self.exchanges: list[Exchange] = []
        self.sessions: list[WebSocketSession] = []
        self.bytes_by_connection: dict[int, tuple[int, int]] = {}
        self.accepted = 0
        self.open = 0
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def __enter__(self) -> "TruthServer":
        return self

    def __exit__(self, *ignored) -> None:
        self.close()

    def close(self) -> None:
        # Wakes the accepting thread, which a plain close would not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def settle(self, deadline_seconds: float = 20) -> None:
        """Waits until every connection has ended: the log is complete then."""
        with self.lock:
            if not self.lock.wait_for(lambda: self.open == 0, deadline_seconds):
                raise TimeoutError(f"{self.open} connections to the truth server are still open")

    def connections(self) -> int:
        """How many there were since the last clear."""
        with self.lock:
            return len(self.bytes_by_connection)

    def clear(self) -> None:
        self.settle()
        with self.lock:
            self.exchanges = []
            self.sessions = []
            self.bytes_by_connection = {}

    # ---- connections ----

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.accepted += 1
                self.open += 1
                number = self.accepted
            threading.Thread(
                target=self._serve, args=(connection, number, peer[1]), daemon=True
            ).start()

    def _serve(self, connection: socket.socket, number: int, client_port: int) -> None:
        reader = _Reader(connection)
        sent = [0]

        def send(data: bytes) -> None:
            try:
                connection.sendall(data)
            except OSError as error:
                raise _Ended from error
            sent[0] += len(data)

        try:
            while self._exchange(reader, send, number, client_port):
                pass
        except _Ended:
            pass
        finally:
            connection.close()
            with self.lock:
                self.bytes_by_connection[number] = (reader.received, sent[0])
                self.open -= 1
                self.lock.notify_all()

    # ---- HTTP ----

    def _read_request(self, reader: _Reader, send, number: int, client_port: int) -> tuple[Exchange, bytes]:
        reader.mark()
        head = reader.until(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
        exchange = Exchange(number, client_port, method, target, version, headers, reader.first_ns)
        with self.lock:
            self.exchanges.append(exchange)
        if headers.get("expect", "").lower() == "100-continue":
            send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(reader.until(b"\r\n").split(b";")[0], 16):
                body += reader.exactly(size)
                reader.exactly(2)
            while reader.until(b"\r\n") != b"\r\n":
                pass
        else:
            body = reader.exactly(int(headers.get("content-length", "0")))
        exchange.request_body = len(body)
        return exchange, body

    def _exchange(self, reader: _Reader, send, number: int, client_port: int) -> bool:
        exchange, body = self._read_request(reader, send, number, client_port)
        path, _, query = exchange.target.partition("?")
        if "://" in path:  # absolute form, as sent to a proxy
            path = "/" + path.split("/", 3)[3]
        closes = exchange.headers.get("connection", "").lower() == "close" or (
            exchange.version == "HTTP/1.0"
            and exchange.headers.get("connection", "").lower() != "keep-alive"
        )
        if exchange.headers.get("upgrade", "").lower() == "websocket" and path == "/ws":
            self._websocket(exchange, reader, send)
            return False
        if path == "/never":
            reader.fill()
            return False
        if path == "/slow":
            time.sleep(0.05)
        exchange.answered_ns = time.time_ns()
        if path == "/interim":
            send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        answers = {
            "/hello": (200, HELLO, ""),
            "/slow": (200, HELLO, ""),
            "/interim": (200, HELLO, ""),
            "/echo": (200, body, ""),
            "/big": (200, BIG, ""),
            "/chunked": (200, CHUNK * 5, ""),
            "/close": (200, CHUNK * 5, ""),
            "/cut": (200, CHUNK, ""),
            "/empty": (204, b"", ""),
            "/cached": (304, b"", 'ETag: "1"\r\n'),
            "/redirect": (302, b"", f"Location: /hello?{query}-redirected\r\n"),
            "/error": (500, b"broken\n", ""),
        }
        status, content, extra = answers.get(path, (404, b"not found\n", ""))
        exchange.status = status
        bare = exchange.method == "HEAD" or status in (204, 304)
        head = f"HTTP/1.1 {status} Status\r\nContent-Type: text/plain\r\n{extra}"
        if path == "/close":
            closes = True
        elif path == "/chunked" and exchange.version != "HTTP/1.0":
            head += "Transfer-Encoding: chunked\r\n"
        elif status not in (204, 304):
            head += f"Content-Length: {len(content)}\r\n"
        if path == "/cut":
            closes = True
            content = content[:500]
            exchange.cut = True
        head += "Connection: close\r\n\r\n" if closes else "\r\n"
        if bare:
            send(head.encode())
        elif path == "/chunked" and exchange.version != "HTTP/1.0":
            send(head.encode())
            for _ in range(5):
                send(b"3e8\r\n" + CHUNK + b"\r\n")
            send(b"0\r\n\r\n")
        else:
            send(head.encode() + content)
        exchange.response_body = 0 if bare else len(content)
        exchange.finished_ns = time.time_ns()
        return not closes

    # ---- WebSocket ----

    def _websocket(self, exchange: Exchange, reader: _Reader, send) -> None:
        key = exchange.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_KEY_SUFFIX).digest()).decode()
        exchange.status = 101
        exchange.answered_ns = time.time_ns()
        session = WebSocketSession(exchange.connection, exchange.client_port, exchange.target)
        with self.lock:
            self.sessions.append(session)
        send(
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            ).encode()
        )
        exchange.finished_ns = time.time_ns()
        while self._frame(session, reader, send):
            pass

    def _frame(self, session: WebSocketSession, reader: _Reader, send) -> bool:
        opcode, payload, last = self._read_frame(reader)
        message = bytearray(payload)
        kind = opcode
        while not last:
            opcode, payload, last = self._read_frame(reader)
            assert opcode == 0, "control frames between fragments are not sent by the clients here"
            message += payload
        session.payload[0] += len(message)
        counter = {1: session.text, 2: session.binary, 9: session.pings}.get(kind)
        if counter:
            counter[0] += 1
        if not session.began_ns:
            session.began_ns = time.time_ns()
        if kind == 8:
            code = struct.unpack(">H", message[:2])[0] if len(message) >= 2 else 1005
            session.close_code = [code, code]
            session.payload[1] += len(message)
            session.ended_ns = time.time_ns()
            send(self._frame_bytes(8, bytes(message)))
            return False
        if kind in (1, 2):
            counter[1] += 1
        session.payload[1] += len(message) if kind != 10 else 0
        if kind != 10:
            send(self._frame_bytes(10 if kind == 9 else kind, bytes(message)))
        return True

    @staticmethod
    def _read_frame(reader: _Reader) -> tuple[int, bytes, bool]:
        first, second = reader.exactly(2)
        length = second & 0x7F
        if length == 126:
            length = struct.unpack(">H", reader.exactly(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", reader.exactly(8))[0]
        mask = reader.exactly(4) if second & 0x80 else b"\0\0\0\0"
        data = reader.exactly(length)
        repeated = (mask * (length // 4 + 1))[:length]
        plain = (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
        return first & 0x0F, plain, bool(first & 0x80)

    @staticmethod
    def _frame_bytes(opcode: int, payload: bytes) -> bytes:
        length = len(payload)
        if length < 126:
            head = struct.pack(">BB", 0x80 | opcode, length)
        elif length < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
        return head + payload
