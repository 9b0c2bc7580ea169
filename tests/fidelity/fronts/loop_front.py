"""usage: loop_front.py PORT poll|select|epoll: a loop of the program's own, which nothing of Python's knows of.

Calls go over three connections that requests take in turn: whoever's answer is read makes room for another one's.
"""

import os
import selectors
import socket
import sys

HOST, PEER = os.environ["TEST_PEER"].split("//")[1].split(":")
CONNECTIONS = 3
KINDS = {"poll": selectors.PollSelector, "select": selectors.SelectSelector, "epoll": selectors.EpollSelector}
loop = KINDS[sys.argv[2]]()
free: list[socket.socket] = []
waiting: list["Work"] = []


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.received = b""
        connection.setblocking(False)
        loop.register(connection, selectors.EVENT_READ, self.read)

    def read(self):
        received = self.connection.recv(65536)
        if not received:
            loop.unregister(self.connection)
            self.connection.close()
            return
        self.received += received
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            _, _, name, _, count = head.split(b" ")[1].decode().split("/")
            Work(self.connection, name, int(count)).go_on()


class Work:
    made = 0

    def __init__(self, client, name, count):
        self.client, self.name, self.count = client, name, count
        self.number = 0
        self.peer = None
        self.answer = b""

    def go_on(self):
        if self.number == self.count:
            self.client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif free:
            self.call(free.pop())
        elif Work.made < CONNECTIONS:
            Work.made += 1
            self.call(socket.create_connection((HOST, int(PEER))))
        else:
            waiting.append(self)

    def call(self, peer):
        self.peer = peer
        self.answer = b""
        peer.setblocking(False)
        loop.register(peer, selectors.EVENT_READ, self.read)
        peer.sendall(f"GET /c/{self.name}/{self.number} HTTP/1.1\r\nHost: peer\r\n\r\n".encode())
        self.number += 1

    def read(self):
        self.answer += self.peer.recv(65536)
        if b"\r\n\r\n" not in self.answer or not self.answer.endswith(f"/{self.number - 1}\n".encode()):
            return
        loop.unregister(self.peer)
        free.append(self.peer)
        if waiting:
            waiting.pop(0).go_on()
        self.go_on()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
loop.register(listener, selectors.EVENT_READ, lambda: Client(listener.accept()[0]))
while True:
    for key, _ in loop.select():
        key.data()
