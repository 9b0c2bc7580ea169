"""A proxy before a redis-server that remembers every command and its reply.

What a client library sends on its own (HELLO, CLIENT SETINFO, INFO) differs by library and version;
the proxy's log holds it all, so that nothing has to be known about them. Bytes pass untouched.
"""

import socket
import threading
import time
from dataclasses import dataclass

SUBSCRIBES = {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"}
PUSHES = {b"message", b"pmessage", b"smessage"}


@dataclass
class Command:
    """One command and its reply. Times are CLOCK_REALTIME nanoseconds."""

    connection: int
    client_port: int
    name: str  # as sent
    arguments: list[bytes]
    request_bytes: int
    received_ns: int  # after its last byte was read
    reply_type: str = ""
    error_prefix: str = ""
    response_bytes: int = 0
    answered_ns: int = 0  # before the last byte of the reply was passed on
    queued: bool = False


class _Parser:
    """Splits a stream of RESP values; gives each as (value, size)."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data: bytes):
        self.buffer += data
        while True:
            taken = self._value(0)
            if taken is None:
                return
            value, end = taken
            del self.buffer[:end]
            yield value, end

    def _line(self, at: int):
        end = self.buffer.find(b"\r\n", at)
        return None if end < 0 else (bytes(self.buffer[at:end]), end + 2)

    def _value(self, at: int):
        line = self._line(at)
        if line is None:
            return None
        text, at = line
        kind, rest = text[:1], text[1:]
        if kind in b"+-:_,#(":
            return (kind, rest), at
        if kind in b"$=!":
            length = int(rest)
            if length < 0:
                return (kind, None), at
            if len(self.buffer) < at + length + 2:
                return None
            return (kind, bytes(self.buffer[at : at + length])), at + length + 2
        if kind in b"*~>%":
            count = int(rest)
            if count < 0:
                return (kind, None), at
            items = []
            for _ in range(count * 2 if kind == b"%" else count):
                item = self._value(at)
                if item is None:
                    return None
                items.append(item[0])
                at = item[1]
            return (kind, items), at
        return (b"inline", text.split()), at


class RedisTruth:
    """Proxies to 127.0.0.1:`upstream` until closed. `commands` may be read after `settle`."""

    def __init__(self, upstream: int):
        self.upstream = upstream
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.host = "127.0.0.1"
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Condition()
        self.commands: list[Command] = []
        self.pushes = 0
        self.unmatched = 0
        self.accepted = 0
        self.open = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "RedisTruth":
        return self

    def __exit__(self, *ignored) -> None:
        self.close()

    def close(self) -> None:
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def settle(self, deadline_seconds: float = 20) -> None:
        with self.lock:
            if not self.lock.wait_for(lambda: self.open == 0, deadline_seconds):
                raise TimeoutError(f"{self.open} connections to the Redis proxy are still open")
        assert not self.unmatched, f"{self.unmatched} replies answered no command"

    def clear(self) -> None:
        self.settle()
        with self.lock:
            self.commands = []
            self.pushes = 0

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
                self.open += 1
                number = self.accepted
            threading.Thread(target=self._serve, args=(connection, number, peer[1]), daemon=True).start()

    def _serve(self, client: socket.socket, number: int, client_port: int) -> None:
        server = socket.create_connection(("127.0.0.1", self.upstream))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting: list[Command] = []

        def commands() -> None:
            parser = _Parser()
            while data := _receive(client):
                now = time.time_ns()
                with self.lock:
                    for (_, items), size in parser.feed(data):
                        arguments = [item[1] if isinstance(item, tuple) else item for item in items]
                        command = Command(
                            number, client_port, arguments[0].decode("latin-1"), arguments[1:], size, now
                        )
                        self.commands.append(command)
                        waiting.append(command)
                if not _send(server, data):
                    break
            _shut(server, socket.SHUT_WR)

        thread = threading.Thread(target=commands, daemon=True)
        thread.start()
        parser = _Parser()
        while data := _receive(server):
            now = time.time_ns()
            with self.lock:
                for (kind, value), size in parser.feed(data):
                    self._reply(waiting, kind, value, size, now)
            if not _send(client, data):
                break
        _shut(client, socket.SHUT_RDWR)
        _shut(server, socket.SHUT_RDWR)
        thread.join()
        client.close()
        server.close()
        with self.lock:
            self.open -= 1
            self.lock.notify_all()

    def _reply(self, waiting: list[Command], kind: bytes, value, size: int, now: int) -> None:
        first = value[0][1] if kind in (b"*", b">") and value else None
        if first in PUSHES and (kind == b">" or len(value) in (3, 4)):
            self.pushes += 1
            return
        if kind == b">" and first is not None and first.upper() not in SUBSCRIBES:
            self.pushes += 1
            return
        if not waiting:
            self.unmatched += 1
            return
        command = waiting.pop(0)
        command.reply_type = kind.decode()
        command.response_bytes = size
        command.answered_ns = now
        command.queued = kind == b"+" and value == b"QUEUED"
        if kind in (b"-", b"!"):
            command.error_prefix = value.split(b" ")[0].decode()


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _send(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
        return True
    except OSError:
        return False


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:
        pass
