"""Sends requests by every sending call and prints what each call returned.

usage: insertion.py PORT SCENARIO
"""

import ctypes
import os
import select
import socket
import sys

from insertion_talk import LARGE, REQUEST, conversations, receive

# More than the request with what may be written into it.
CUTS = len(REQUEST) + 80


class Connection(socket.socket):
    def __init__(self, blocking=True):
        super().__init__()
        self.connect(("127.0.0.1", int(sys.argv[1])))
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.setblocking(blocking)

    def receive(self):
        while True:
            select.select([self], [], [], 10)
            try:
                return self.recv(65536)
            except BlockingIOError:
                pass

    def end(self):
        self.shutdown(socket.SHUT_WR)
        while self.receive():
            pass


def thirds(data):
    first = data.find(b"\r\n\r\n") + 4
    return [part for part in (data[:first], data[first:first + 5], data[first + 5:]) if part]


def words(data):
    """The head in pieces that end anywhere."""
    head = data.find(b"\r\n\r\n") + 4
    return [data[at:min(at + 5, head)] for at in range(0, head, 5)] + [data[head:]]


def lines(data):
    """The head line by line, the body with its last one."""
    *fields, rest = data.split(b"\r\n", 3)
    return [field + b"\r\n" for field in fields] + [rest]


CALLS = {
    "send": lambda to, data: to.send(data),
    "send with flags": lambda to, data: to.send(data, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT),
    "write": lambda to, data: os.write(to.fileno(), data),
    "writev": lambda to, data: os.writev(to.fileno(), thirds(data)),
    "writev of words": lambda to, data: os.writev(to.fileno(), words(data)),
    "sendmsg": lambda to, data: to.sendmsg(thirds(data)),
    "sendmsg of lines": lambda to, data: to.sendmsg(lines(data)),
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


def cut_everywhere(rooms_of):
    cut_calls = ctypes.CDLL(None).cut_calls
    for blocking in (True, False):
        for call in CALLS:
            with Connection(blocking) as to:
                for cut in range(CUTS):
                    rooms = rooms_of(cut)
                    cut_calls(to.fileno(), (ctypes.c_size_t * len(rooms))(*rooms), ctypes.c_size_t(len(rooms)))
                    send_all(to, REQUEST, call, lambda *_: None)
                    print(receive(to))


def every_call():
    for blocking in (True, False):
        with Connection(blocking) as to:
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
    for blocking in (True, False):
        for call in CALLS:
            with Connection(blocking) as to:
                if not blocking:
                    to.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                send_all(to, LARGE, call, lambda *_: None)
                print(receive(to))


SCENARIOS = {
    "every_call": every_call,
    "large": large,
    "conversations": lambda: conversations(Connection),
    # The first call finds so much room; then what is owed goes whole, or byte by byte.
    "cut_once": lambda: cut_everywhere(lambda cut: [cut]),
    "cut_on": lambda: cut_everywhere(lambda cut: [cut, 1, 0, 2, 40]),
}
SCENARIOS[sys.argv[2]]()
