#!/usr/bin/env python3
"""The framers on recordings of a real redis-server: redis-benchmark, redis-cli in RESP2 and RESP3,
and what those do not send. No direction is lost, each command has its answer, no value is shown."""

import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Callable

from support.process import clean_environment, run, wait_until
from support.servers import RedisServer, program

READER = sys.argv.pop(1)
EXAMPLES = pathlib.Path(__file__).with_name("redis_examples.txt")
SECRET = "hidden-value"


class Recorder:
    """A proxy that keeps what either side of each connection sent."""

    def __init__(self, port: int, folder: pathlib.Path):
        self.target = port
        self.folder = folder
        self.threads: list[threading.Thread] = []
        self.sockets: list[socket.socket] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept)
        self.acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            number = self.connections
            self.connections += 1
            self.sockets += [client, server]
            for source, sink, name in ((client, server, "commands"), (server, client, "replies")):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(
                    target=self._pump, args=(source, sink, self.folder / f"{number}.{name}"))
                thread.start()
                self.threads.append(thread)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, path: pathlib.Path) -> None:
        with open(path, "wb") as file:
            while True:
                try:
                    data = source.recv(65536)
                except ConnectionError:
                    data = b""
                file.write(data)
                if not data:
                    break
                try:
                    sink.sendall(data)
                except OSError:
                    pass  # the client left; what the server still says is recorded
            try:
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def finish(self) -> None:
        """Waits until every connection has ended."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join()
        for thread in self.threads:
            thread.join()
        for each in self.sockets:
            each.close()


class Recording(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        server = RedisServer(self.folder, "--enable-debug-command", "yes")
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.recorder = Recorder(server.port, self.folder)

    def run_client(self, arguments: list, given: bytes = b"") -> None:
        finished = run(arguments, clean_environment(), given=given)
        self.assertEqual(finished.code, 0, finished.errors)

    def check(self, least: int) -> tuple[list[str], int]:
        """Reads all connections, in pieces of several sizes. Returns the commands and how many
        pushes there were."""
        self.recorder.finish()
        texts: list[str] = []
        total = pushes = 0
        for number in range(self.recorder.connections):
            said = set()
            for size in (1, 7, 1448, 1 << 20):
                read = subprocess.run(
                    [READER, self.folder / f"{number}.commands", self.folder / f"{number}.replies", str(size)],
                    stdout=subprocess.PIPE, check=False)
                self.assertEqual(read.returncode, 0, f"connection {number}: {read.stdout[-300:]!r}")
                said.add(read.stdout.decode())
            self.assertEqual(len(said), 1, "the pieces make a difference")
            *commands, totals = said.pop().splitlines()
            match = re.fullmatch(r"commands (\d+) expected (\d+) replies (\d+) pushes (\d+) good", totals)
            self.assertIsNotNone(match, totals)
            self.assertEqual(match[2], match[3], f"connection {number}: {totals}")
            texts += commands
            total += int(match[1])
            pushes += int(match[4])
        self.assertGreaterEqual(total, least)
        print(f"{self.id()}: {self.recorder.connections} connections, {total} commands, {pushes} pushes")
        return texts, pushes

    def test_benchmark(self) -> None:
        tests = "set,get,incr,lpush,lpop,sadd,hset,spop,zadd,zpopmin,lrange,mset"
        for pipeline in (1, 16):
            self.run_client([program("redis-benchmark"), "-p", self.recorder.port, "-t", tests, "-n", 320,
                             "-c", 4, "-P", pipeline, "-q", "-r", 1000])
        self.check(least=2 * 12 * 320)

    def check_examples(self, *options: str) -> None:
        self.run_client([program("redis-cli"), "-p", self.recorder.port, *options], EXAMPLES.read_bytes())
        examples = [line for line in EXAMPLES.read_text().splitlines() if line]
        texts, _ = self.check(least=len(examples))
        for text in texts:
            self.assertNotIn(SECRET, text)
        names = [text.split()[0] for text in texts]
        for example in examples:
            self.assertIn(example.split()[0], names)

    def test_examples_in_resp2(self) -> None:
        self.check_examples("-2")

    def test_examples_in_resp3(self) -> None:
        self.check_examples("-3")

    def talk(self, sent: bytes, awaited: bytes) -> None:
        """Sends on a connection of its own, then reads until the awaited bytes were seen."""
        with socket.create_connection(("127.0.0.1", self.recorder.port), timeout=20) as connection:
            connection.sendall(sent)
            self.read_until(connection, lambda seen: awaited in seen)

    def read_until(self, connection: socket.socket, is_enough: Callable[[bytes], bool]) -> None:
        seen = b""
        while not is_enough(seen):
            data = connection.recv(65536)
            self.assertTrue(data, f"closed after {seen!r}")
            seen += data

    def subscribers(self, channel: str) -> int:
        """How many the server knows, asked past the recorder."""
        answer = run([program("redis-cli"), "-p", self.recorder.target, "PUBSUB", "NUMSUB", channel],
                     clean_environment()).output
        return int(answer.split()[1])

    def test_subscriptions(self) -> None:
        for hello, push in ((b"", b"*"), (b"HELLO 3\r\n", b">")):
            self.talk(hello + b"SUBSCRIBE a b c\r\nPSUBSCRIBE n*\r\n", b":4\r\n")
            with socket.create_connection(("127.0.0.1", self.recorder.port), timeout=20) as subscriber:
                subscriber.sendall(hello + b"SUBSCRIBE a b\r\nPSUBSCRIBE a*\r\nPING\r\n")
                self.read_until(subscriber, lambda seen: b"pong" in seen.lower())
                # The server may not have noticed yet that the subscriber before has gone.
                wait_until(lambda: self.subscribers("a") == 1, 20, "one subscriber")
                self.talk(b"PUBLISH a text\r\n", b":2\r\n")
                message = push + b"4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$4\r\ntext\r\n"
                self.read_until(subscriber, lambda seen: message in seen)
                subscriber.sendall(b"UNSUBSCRIBE a b\r\nPUNSUBSCRIBE a*\r\nPING last\r\n")
                self.read_until(subscriber, lambda seen: b"last\r\n" in seen)
        _, pushes = self.check(least=10)
        self.assertEqual(pushes, 4)

    def test_replies_switched_off(self) -> None:
        self.talk(b"CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nGET a\r\nECHO end\r\n",
                  b"end\r\n")
        self.check(least=7)

    def test_tracking(self) -> None:
        self.talk(b"HELLO 3 SETNAME x\r\nCLIENT TRACKING ON\r\nGET a\r\nSET a 1\r\nECHO end\r\n", b"end\r\n")
        _, pushes = self.check(least=5)
        self.assertEqual(pushes, 1)

    def test_attributes_and_types(self) -> None:
        kinds = "string integer double null array set map attrib push verbatim true false bignum".split()
        debug = "".join(f"DEBUG PROTOCOL {kind}\r\n" for kind in kinds)
        self.talk(f"HELLO 3\r\n{debug}ECHO end\r\n".encode(), b"end\r\n")
        _, pushes = self.check(least=15)
        self.assertEqual(pushes, 1)


if __name__ == "__main__":
    unittest.main()
