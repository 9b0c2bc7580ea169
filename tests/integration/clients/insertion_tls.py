"""Sends requests through TLS in every way that Python's ssl has, and prints what each call returned.

usage: insertion_tls.py PORT SCENARIO
"""

import select
import socket
import ssl
import sys

BODY = b"GET /not-a-head HTTP/1.1\r\n\r\n"
HEAD = b"POST /path HTTP/1.1\r\nHost: in.test\r\nContent-Length: %d\r\n\r\n" % len(BODY)
REQUEST = HEAD + BODY

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


def receive(to, until=b"!", count=1):
    got = b""
    while got.count(until) < count or not got.endswith(until):
        more = to.receive()
        assert more, got
        got += more
    return got


def every_way():
    for way in WAYS:
        with way() as to:
            for _ in range(5):
                send_all(to, REQUEST)
                print(receive(to))


def large():
    body = bytes(range(256)) * 4096
    head = b"PUT /large HTTP/1.1\r\nHost: in.test\r\nContent-Length: %d\r\n\r\n" % len(body)
    for way in WAYS:
        with way() as to:
            for _ in range(3):
                send_all(to, head + body)
                print(receive(to))


def conversations():
    def connect():
        return Socket(True)

    with connect() as to:  # several in one call, then one alone
        print(to.send(REQUEST * 3))
        print(receive(to, count=3))
        print(to.send(REQUEST))
        print(receive(to))
    with connect() as to:
        head = HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        print(to.send(head), receive(to, b"\r\n\r\n"), to.send(BODY), receive(to))
    with connect() as to:
        print(to.send(b"GET /ws HTTP/1.1\r\nHost: in.test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"))
        print(receive(to, b"\r\n\r\n"), to.send(REQUEST), to.send(REQUEST))
        to.end()
    with connect() as to:
        print(to.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)), to.send(REQUEST))
        to.end()
    with connect() as to:
        print(to.send(b"CONNECT in.test:80 HTTP/1.1\r\nHost: in.test:80\r\n\r\n"), receive(to, b"\r\n\r\n"))
        print(to.send(REQUEST), receive(to), to.send(REQUEST), receive(to))
    own = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for field in (b"traceparent: " + own, b"TRACEPARENT:" + own, b"tRaCePaReNt : x", b"traceparent:", b"Tracestate: a=b",
                  b"x: 1\r\nTraceParent: \t" + own):
        for head in (HEAD.replace(b"Host", field + b"\r\nHost"), HEAD.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")):
            with connect() as to:
                print(to.send(head + BODY))
                to.end()
    with connect() as to:  # in pieces
        for byte in REQUEST:
            print(to.send(bytes([byte])), end=" ")
        print(receive(to))
    with connect() as to:  # no HTTP after all
        print(to.send(b"GET "), to.send(b"\0\1\2\3"))
        to.end()
    with connect() as to:
        print(to.send(b"POST /x HTTP/1.1\nHost: in.test\n\n"))
        to.end()


SCENARIOS = {"every_way": every_way, "large": large, "conversations": conversations}
SCENARIOS[sys.argv[2]]()
