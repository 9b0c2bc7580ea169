"""Sends requests by every sending call and prints what each call returned.

usage: insertion.py PORT SCENARIO
"""

import ctypes
import os
import select
import socket
import sys

BODY = b"GET /not-a-head HTTP/1.1\r\n\r\n"
HEAD = b"POST /path HTTP/1.1\r\nHost: in.test\r\nContent-Length: %d\r\n\r\n" % len(BODY)
REQUEST = HEAD + BODY
# More than the request with what may be written into it.
CUTS = len(REQUEST) + 80


def connect(blocking=True):
    found = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.setblocking(blocking)
    return found


def thirds(data):
    first = data.find(b"\r\n\r\n") + 4
    return [part for part in (data[:first], data[first:first + 5], data[first + 5:]) if part]


CALLS = {
    "send": lambda to, data: to.send(data),
    "send with flags": lambda to, data: to.send(data, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT),
    "write": lambda to, data: os.write(to.fileno(), data),
    "writev": lambda to, data: os.writev(to.fileno(), thirds(data)),
    "sendmsg": lambda to, data: to.sendmsg(thirds(data)),
}


def send_all(to, data, call, says=print):
    """As a careful program does. Ends when the last byte went."""
    sent, results = 0, []
    while sent < len(data):
        try:
            result = CALLS[call](to, data[sent:])
            assert 0 < result <= len(data) - sent, result
            sent += result
            results.append(result)
        except OSError as error:
            results.append(error.errno)
            select.select([], [to], [], 10)
    says(call, results)


def receive(to, until=b"!", count=1):
    """Answers that end so: the hash of a body, or a head."""
    got = b""
    while got.count(until) < count or not got.endswith(until):
        select.select([to], [], [], 10)
        try:
            more = to.recv(65536)
        except BlockingIOError:
            continue
        assert more, got
        got += more
    return got


def cut_everywhere(rooms_of):
    cut_calls = ctypes.CDLL(None).cut_calls
    for blocking in (True, False):
        for call in CALLS:
            with connect(blocking) as to:
                for cut in range(CUTS):
                    rooms = rooms_of(cut)
                    cut_calls(to.fileno(), (ctypes.c_size_t * len(rooms))(*rooms), ctypes.c_size_t(len(rooms)))
                    send_all(to, REQUEST, call, lambda *_: None)
                    print(receive(to))


def every_call():
    for blocking in (True, False):
        with connect(blocking) as to:
            for call in CALLS:
                send_all(to, REQUEST, call)
                print(receive(to))
            for fd in (to.fileno(), 9999):
                for size in (0, 1):
                    try:
                        print(os.write(fd, REQUEST[:size] if fd == 9999 else b""))
                    except OSError as error:
                        print(error.errno)


def large():
    body = bytes(range(256)) * 4096
    head = b"PUT /large HTTP/1.1\r\nHost: in.test\r\nContent-Length: %d\r\n\r\n" % len(body)
    for blocking in (True, False):
        for call in CALLS:
            with connect(blocking) as to:
                if not blocking:
                    to.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                send_all(to, head + body, call, lambda *_: None)
                print(receive(to))


def conversations():
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
    with connect() as to:
        print(to.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)), to.send(REQUEST))
    with connect() as to:
        print(to.send(b"CONNECT in.test:80 HTTP/1.1\r\nHost: in.test:80\r\n\r\n"), receive(to, b"\r\n\r\n"))
        print(to.send(REQUEST), receive(to), to.send(REQUEST), receive(to))
    own = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for field in (b"traceparent: " + own, b"TRACEPARENT:" + own, b"tRaCePaReNt : x", b"traceparent:", b"Tracestate: a=b",
                  b"x: 1\r\nTraceParent: \t" + own):
        for head in (HEAD.replace(b"Host", field + b"\r\nHost"), HEAD.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")):
            with connect() as to:
                print(to.send(head + BODY))
                to.shutdown(socket.SHUT_WR)
                while to.recv(65536):
                    pass
    with connect() as to:  # in pieces
        for byte in REQUEST:
            print(to.send(bytes([byte])), end=" ")
        print(receive(to))
    with connect() as to:  # no HTTP after all
        print(to.send(b"GET "), to.send(b"\0\1\2\3"))
    with connect() as to:
        print(to.send(b"POST /x HTTP/1.1\nHost: in.test\n\n"))
        to.shutdown(socket.SHUT_WR)
        while to.recv(65536):
            pass


SCENARIOS = {
    "every_call": every_call,
    "large": large,
    "conversations": conversations,
    # The first call finds so much room; then what is owed goes whole, or byte by byte.
    "cut_once": lambda: cut_everywhere(lambda cut: [cut]),
    "cut_on": lambda: cut_everywhere(lambda cut: [cut, 1, 0, 2, 40]),
}
SCENARIOS[sys.argv[2]]()
