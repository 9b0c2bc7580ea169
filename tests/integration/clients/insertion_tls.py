"""Sends requests through TLS in every way that Python's ssl has, and prints what each call returned.

usage: insertion_tls.py PORT SCENARIO
"""

import select
import socket
import ssl
import sys

from insertion_talk import LARGE, REQUEST, conversations, receive

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


class Socket:
    """A TLS socket; one that does not block has a small buffer, so that OpenSSL wants to be called again."""

    def __init__(self, blocking):
        self.plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(self.plain)
        self.tls.setblocking(blocking)
        self.blocking = blocking
        if not blocking:
            self.tls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    def call(self, function, *arguments):
        while True:
            try:
                return function(*arguments)
            except ssl.SSLWantReadError:
                select.select([self.tls], [], [], 10)
            except ssl.SSLWantWriteError:
                select.select([], [self.tls], [], 10)

    def send(self, data):
        return self.call(self.tls.send, data)

    def receive(self):
        return self.call(self.tls.recv, 65536)

    def end(self):
        self.tls.setblocking(True)
        try:
            self.tls.unwrap()
        except OSError:
            pass


class Memory(Socket):
    """TLS between memory buffers, whose bytes pass a socket, as event loops do it."""

    blocking = True

    def __init__(self, _):
        self.plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.call(self.tls.do_handshake)

    def __exit__(self, *_):
        self.plain.close()

    def call(self, function, *arguments):
        while True:
            try:
                result = function(*arguments)
                self.plain.sendall(self.outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.plain.sendall(self.outgoing.read())
                self.incoming.write(self.plain.recv(65536))

    def send(self, data):
        return self.call(self.tls.write, data)

    def receive(self):
        return self.call(self.tls.read, 65536)


WAYS = (lambda: Socket(True), lambda: Socket(False), lambda: Memory(True))


def send_all(to, data):
    sent, results = 0, []
    while sent < len(data):
        result = to.send(data[sent:])
        assert 0 < result <= len(data) - sent, result
        sent += result
        results.append(result)
    # Where the socket blocks, or never does, they are always the same.
    print(results if to.blocking else sent)


def every_way():
    for way in WAYS:
        with way() as to:
            for _ in range(5):
                send_all(to, REQUEST)
                print(receive(to))


def large():
    for way in WAYS:
        with way() as to:
            for _ in range(3):
                send_all(to, LARGE)
                print(receive(to))


SCENARIOS = {"every_way": every_way, "large": large, "conversations": lambda: conversations(WAYS[0])}
SCENARIOS[sys.argv[2]]()
