#!/usr/bin/env python3
"""`wirespan agent`: who may ask it, who finds it, and what does not disturb it."""

import mmap
import os
import random
import signal
import socket
import stat
import struct
import subprocess
import time

from support import case, launched, servers, spans
from support.launched import COMMAND, exporting
from support.process import clean_environment, wait_until

PYTHON = "/usr/bin/python3"
MAGIC = 0x72656E6165736977
VERSION = 2
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))

# A PING for each line, each on a connection of its own if the line says so.
WORKER = """
import socket, sys
def ping(connection):
    connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
    assert connection.recv(100) == b"+PONG\\r\\n"
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
            ping(connection)
    print("done", flush=True)
"""


class Worker:
    """A program that knows of an agent, and makes PINGs when it is told to."""

    def __init__(self, path, redis_port: int, **more):
        self.process = subprocess.Popen(
            [PYTHON, "-I", "-c", WORKER, str(redis_port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=clean_environment(LD_PRELOAD=str(case.LIBRARY), WIRESPAN_AGENT=str(path)), start_new_session=True, **more,
        )
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *ignored) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def pings(self, count: int) -> None:
        self.process.stdin.write(b"%d\n" % count)
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"done\n"

    def end(self) -> None:
        output, errors = self.process.communicate(timeout=30)
        assert (self.process.returncode, output, errors) == (0, b"", b"")


def hello(*, magic: int = MAGIC, version: int = VERSION, process: int | None = None, is_loading: int = 1) -> bytes:
    return struct.pack("<QIiII16s", magic, version, os.getpid() if process is None else process, is_loading, 0, bytes(16))


def ask(path, message: bytes | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(10)
    connection.connect(str(path))
    if message is not None:
        connection.send(message)
    return connection


def answer(connection: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, descriptors, _, _ = socket.recv_fds(connection, 100, 4)
    except ConnectionResetError:
        return b"", []
    return message, descriptors


class Agent(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))

    def start(self, path, file, *options, **more) -> subprocess.Popen:
        agent = subprocess.Popen(
            [str(COMMAND), "agent", "--socket", str(path), *options], env=exporting(file), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **more,
        )
        self.addCleanup(self.kill, agent)
        said = agent.stderr.readline()
        self.assertEqual(said, f"wirespan agent: listening on {path}\n".encode())
        return agent

    @staticmethod
    def kill(agent: subprocess.Popen) -> None:
        if agent.poll() is None:
            agent.kill()
        agent.communicate()

    def stop(self, agent: subprocess.Popen) -> None:
        agent.send_signal(signal.SIGTERM)
        output, errors = agent.communicate(timeout=30)
        self.assertEqual((agent.returncode, output, errors), (0, b"", b""))

    def is_served(self, path, file) -> None:
        """The agent does its work: a worker's exchanges arrive."""
        before = len(self.pings(file))
        with Worker(path, self.redis.port) as worker:
            worker.pings(3)
            worker.end()
        wait_until(lambda: len(self.pings(file)) == before + 3, 20, "three more spans")

    @staticmethod
    def pings(file) -> list[spans.Span]:
        return [span for span in launched.read_growing(file) if span.name.startswith("PING")]

    # ---- the socket ----

    def test_serves_and_flushes_at_the_end(self):
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        with Worker(path, self.redis.port) as one, Worker(path, self.redis.port) as other:
            one.pings(5)
            other.pings(3)
            self.stop(agent)
            # What was finished is there when the agent has ended, and the workers run on.
            self.assertEqual(len(self.pings(file)), 8)
            self.assertFalse(path.exists())
            one.pings(2)
            one.end()
            other.end()
        spans.check_ids(self.pings(file))

    def test_a_socket_that_nobody_listens_on_is_replaced(self):
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        agent.kill()
        agent.wait()
        self.assertTrue(path.exists())
        self.start(path, file)
        self.is_served(path, file)

    def test_a_second_agent_is_refused(self):
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        self.start(path, file)
        finished = self.complete([COMMAND, "agent", "--socket", path], exporting(file))
        self.assertEqual((finished.code, finished.output), (1, b""))
        self.assertEqual(finished.errors, f"wirespan agent: {path}: another agent listens there\n".encode())
        self.is_served(path, file)

    def test_what_is_no_socket_stays(self):
        path = self.new_path("agent.sock")
        path.write_text("mine\n")
        finished = self.complete([COMMAND, "agent", "--socket", path], exporting(self.new_path("spans.jsonl")))
        self.assertEqual(finished.code, 1)
        self.assertEqual(path.read_text(), "mine\n")

    def test_a_stranger_is_refused(self):
        """Another user's agent: root may ask it, others may not, whatever the socket's mode is."""
        if os.geteuid() != 0:
            raise AssertionError("this test needs root")
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        path.parent.chmod(0o777)
        file.parent.chmod(0o777)
        agent = self.start(path, file, user=65534, group=65534)
        path.chmod(0o666)
        self.is_served(path, file)  # root
        script = "import socket, sys; c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(sys.argv[1]);" \
                 "c.send(bytes.fromhex(sys.argv[2])); c.settimeout(10)\n" \
                 "try: print(len(c.recv(100)))\nexcept ConnectionResetError: print(0)"
        for user, size in ((65534, b"24\n"), (12345, b"0\n")):
            finished = self.complete([PYTHON, "-I", "-c", script, path, hello().hex()], clean_environment(), user=user, group=user)
            self.assertEqual((finished.code, finished.output), (0, size), finished.errors)
        self.stop(agent)

    # ---- programs and agents that come and go ----

    def test_a_program_that_begins_first(self):
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        with Worker(path, self.redis.port) as worker:
            worker.pings(1)
            agent = self.start(path, file)
            self.until_found(worker, file, 0)
            worker.end()
            self.stop(agent)

    def until_found(self, worker: Worker, file, before: int) -> None:
        """The worker looks for an agent again with a connection, at most every five seconds. From
        when it found it every exchange arrives."""
        end = time.monotonic() + 30
        while len(self.pings(file)) == before:
            self.assertLess(time.monotonic(), end, "the worker does not find the agent")
            worker.pings(1)
            time.sleep(0.1)
        known = len(self.pings(file))
        worker.pings(20)
        wait_until(lambda: len(self.pings(file)) >= known + 20, 20, "twenty more spans")

    def test_an_agent_that_is_killed_and_comes_back(self):
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        with Worker(path, self.redis.port) as worker:
            worker.pings(5)
            wait_until(lambda: len(self.pings(file)) == 5, 20, "five spans")
            agent.kill()
            agent.wait()
            worker.pings(5)
            agent = self.start(path, file)
            self.until_found(worker, file, len(self.pings(file)))
            worker.end()
            self.stop(agent)
        spans.check_ids(self.pings(file))

    # ---- rubbish ----

    def test_rubbish_on_the_socket(self):
        print(f"seed {SEED}", flush=True)
        chance = random.Random(SEED)
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        self.is_served(path, file)  # it has opened all that it needs
        descriptors = len(launched.open_descriptors(agent.pid))
        good = hello()
        messages = [b"", b"\0", good[:-1], good + b"\0", good[:8], good * 100, hello(magic=0), hello(version=0), hello(version=VERSION + 1)]
        messages += [chance.randbytes(chance.choice((1, 8, 39, 40, 41, 4096, 60000))) for _ in range(300)]
        messages += [bytes(chance.choice((byte, chance.randrange(256))) if index < 12 else byte
                           for index, byte in enumerate(good)) for _ in range(100)]
        for message in messages:
            with ask(path, message) as connection:
                said, handed = answer(connection)
                for descriptor in handed:
                    os.close(descriptor)
                if message[:12] != good[:12] or len(message) != len(good):
                    self.assertEqual((said, handed), (b"", []), message[:50])
        self.is_served(path, file)
        wait_until(lambda: len(launched.open_descriptors(agent.pid)) <= descriptors + 1, 20, "the agent to let go")
        self.stop(agent)

    def test_silent_connections_by_the_hundred(self):
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        silent = [ask(path, None) for _ in range(500)]
        self.is_served(path, file)
        self.assertLess(len(launched.open_descriptors(agent.pid)), 120)
        for connection in silent:
            connection.close()
        self.is_served(path, file)
        self.stop(agent)

    def test_a_hello_that_lies(self):
        """Numbers of others, of nobody; again and again from one process. The kernel's word counts."""
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        with Worker(path, self.redis.port) as victim:
            victim.pings(2)
            for process in (victim.process.pid, agent.pid, 1, 0, -1, 2**31 - 1, -2**31):
                for is_loading in (0, 1, 0xFFFFFFFF):
                    with ask(path, hello(process=process, is_loading=is_loading)) as connection:
                        said, handed = answer(connection)
                        self.assertEqual((len(said), len(handed)), (24, 2))
                        for descriptor in handed:
                            os.close(descriptor)
            victim.pings(2)
            wait_until(lambda: len(self.pings(file)) == 4, 20, "the victim's four spans")
            victim.end()
        self.is_served(path, file)
        self.stop(agent)

    def test_an_arena_full_of_rubbish(self):
        """Who was handed an arena writes what it likes into it, and asks for more."""
        print(f"seed {SEED}", flush=True)
        chance = random.Random(SEED)
        path, file = self.new_path("agent.sock"), self.new_path("spans.jsonl")
        agent = self.start(path, file)
        for turn in range(30):
            with ask(path, hello()) as connection:
                said, (arena, bell) = answer(connection)
                size = struct.unpack("<QIIQ", said)[2 + 1]
                with self.assertRaises(OSError):
                    os.ftruncate(arena, 4096)
                with mmap.mmap(arena, size) as memory, mmap.mmap(bell, 4096) as page:
                    for _ in range(200):
                        at = chance.randrange(2000) if chance.random() < 0.7 else chance.randrange(size - 4096)
                        memory[at : at + 8] = chance.choice((bytes(8), b"\xff" * 8, chance.randbytes(8), b"\x02\0\0\0" * 2))
                    # Places said to be taken, an environment without an end, claims by the dozen.
                    if turn % 2:
                        memory[0:69632] = chance.randbytes(69632)
                    struct.pack_into("<II", page, 0, chance.randrange(1 << 32), chance.randrange(3))
                    time.sleep(0.02)
                os.close(arena)
                os.close(bell)
            self.assertIsNone(agent.poll())
        self.is_served(path, file)
        self.stop(agent)


if __name__ == "__main__":
    case.main()
