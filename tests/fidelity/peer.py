"""The peer that the programs under test call: it answers late, and remembers whom it was asked for.

A call is GET /c/ID/CALL. Who caused it stands in the path alone, where nothing of wirespan looks for it.
"""

import hashlib
import socket
import threading
import time

TICK = 0.012


class Peer:
    """Serves until closed. `calls` are the paths in the order in which they came."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.in_step = False  # answers leave at the ticks of one clock, many at a time
        self.lock = threading.Lock()
        self.calls: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *ignored) -> None:
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _delay(self, path: str) -> float:
        if self.in_step:
            return TICK - time.monotonic() % TICK
        return hashlib.sha256(path.encode()).digest()[0] / 255 * 0.015

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in buffer:
                    try:
                        received = connection.recv(65536)
                    except OSError:
                        return
                    if not received:
                        return
                    buffer += received
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                with self.lock:
                    self.calls.append(path)
                time.sleep(self._delay(path))
                body = path.encode() + b"\n"
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                except OSError:
                    return
