#!/usr/bin/env python3
"""`wirespan entrypoint` as the first process of a container: a pid namespace made by the test."""

import os
import signal
import socket
import subprocess
import time

from support import case, launched, servers
from support.launched import COMMAND, exporting
from support.process import clean_environment, wait_until
from support.servers import program

PYTHON = "/usr/bin/python3"
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

PINGS = """
import os, signal, socket, sys, time
def pings(count):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        for _ in range(count):
            connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
            assert connection.recv(100) == b"+PONG\\r\\n"
"""

# Says which signals reach it, until SIGTERM, which it takes its time for.
LISTENS = PINGS + """
def handler(number, frame):
    if number == signal.SIGTERM:
        pings(2)
        os.write(1, b"terminated\\n")
        sys.exit(7)
    os.write(1, b"got %d\\n" % number)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
               signal.SIGCONT, signal.SIGTERM):
    signal.signal(number, handler)
pings(1)
print("ready", flush=True)
while True: signal.pause()
"""

# Leaves orphans behind that end, and says how many zombies there are after a while.
ORPHANS = PINGS + """
import glob
for _ in range(50):
    if os.fork() == 0:
        if os.fork() == 0:
            pings(1)
            os._exit(0)
        os._exit(0)
    os.wait()
def zombies():
    states = []
    for name in glob.glob("/proc/[0-9]*/stat"):
        try: states.append(open(name).read().rpartition(")")[2].split()[0])
        except OSError: pass
    return states.count("Z"), len(states)
end = time.monotonic() + 20
# the first process, the drainer, and this one
while zombies() != (0, 3) and time.monotonic() < end: time.sleep(0.02)
print(*zombies())
"""


class Entrypoint(launched.Launched):
    name = "entrypoint"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))

    def arguments(self, *arguments, options: tuple = ()) -> list:
        return [*CONTAINER, COMMAND, self.name, *options, "--", *arguments]

    def contain(self, *arguments, environment: dict | None = None, options: tuple = ()):
        return self.complete(self.arguments(*arguments, options=options), environment or exporting(self.new_path("spans.jsonl")))

    def start(self, *arguments, environment: dict, options: tuple = ()) -> subprocess.Popen:
        return subprocess.Popen(
            [str(one) for one in self.arguments(*arguments, options=options)], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )

    @staticmethod
    def first_process(container: subprocess.Popen) -> int:
        return int(launched.children_of(container.pid)[0])

    def inside(self, container: subprocess.Popen, name: str) -> int:
        """The process in the container that is called so."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [process for process in launched.descendants(container.pid) if launched.name_of(process) == name]
            return bool(found)

        wait_until(is_there, 20, f"a process {name}")
        return found[0]

    # ---- ends ----

    def test_exit_codes(self):
        for code in (0, 1, 7, 126, 127, 128, 143, 255):
            with self.subTest(code):
                finished = self.contain("/bin/sh", "-c", f"exit {code}")
                self.assertEqual((finished.code, finished.output, finished.errors), (code, b"", b""))

    def test_ended_by_a_signal(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP):
            with self.subTest(number):
                finished = self.contain("/bin/sh", "-c", f"ulimit -c 0; kill -{int(number)} $$; sleep 20")
                self.assertEqual(finished.code, 128 + number)

    def test_commands_that_cannot_be_run(self):
        text = self.new_path("text")
        text.write_text("no program\n")
        for command, code in (("/nonexistent/program", 127), ("no-such-program-here", 127), (text, 126), ("/", 126)):
            with self.subTest(command):
                finished = self.contain(command)
                self.assertEqual(finished.code, code, finished.errors)

    def test_spans_are_there_when_it_ends(self):
        for end in ("", "os._exit(7)", "os.kill(os.getpid(), 9)"):
            with self.subTest(end):
                file = self.new_path("spans.jsonl")
                self.contain(PYTHON, "-I", "-c", PINGS + "pings(5)\n" + end, self.redis.port, environment=exporting(file))
                self.assertEqual(len(self.await_spans(file, 5)), 5)

    def test_what_is_left_ends_with_it(self):
        """A container ends with its first process; what the rest had done is exported."""
        file = self.new_path("spans.jsonl")
        script = PINGS + """
if os.fork() == 0:
    pings(2)
    os.write(1, b"done\\n")
    time.sleep(1000)
os.read(0, 1)
pings(1)
"""
        container = subprocess.Popen(
            [str(one) for one in self.arguments(PYTHON, "-I", "-c", script, self.redis.port)], env=exporting(file),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )
        with container:
            self.assertEqual(container.stdout.readline(), b"done\n")
            container.stdin.write(b"\n")
            container.stdin.close()
            self.assertEqual(container.wait(30), 0)
        self.await_spans(file, 3)

    # ---- signals ----

    def test_signals_are_passed_on(self):
        file = self.new_path("spans.jsonl")
        with self.start(PYTHON, "-I", "-c", LISTENS, self.redis.port, environment=exporting(file)) as container:
            self.assertEqual(container.stdout.readline(), b"ready\n")
            first = self.first_process(container)
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
                           signal.SIGCONT):
                os.kill(first, number)
                self.assertEqual(container.stdout.readline(), b"got %d\n" % number)
            os.kill(first, signal.SIGTERM)
            self.assertEqual(container.stdout.readline(), b"terminated\n")
            self.assertEqual(container.wait(30), 7)
            self.assertEqual(container.stderr.read(), b"")
        self.await_spans(file, 3)

    def test_a_second_sigterm(self):
        """Goes the way of the first; the command decides."""
        script = PINGS + """
count = 0
def handler(number, frame):
    global count
    count += 1
    os.write(1, b"%d\\n" % count)
    if count == 3: sys.exit(7)
signal.signal(signal.SIGTERM, handler)
print("ready", flush=True)
while True: signal.pause()
"""
        with self.start(PYTHON, "-I", "-c", script, self.redis.port,
                        environment=exporting(self.new_path("spans.jsonl"))) as container:
            self.assertEqual(container.stdout.readline(), b"ready\n")
            for count in range(1, 4):
                os.kill(self.first_process(container), signal.SIGTERM)
                self.assertEqual(container.stdout.readline(), b"%d\n" % count)
            self.assertEqual(container.wait(30), 7)

    def test_only_the_command_is_told_unless_the_group_is_wanted(self):
        # The child outlives the shell that sleeps in its place if nobody tells it.
        script = "trap 'echo shell; exit 7' TERM; sh -c 'trap \"echo child; exit\" TERM; echo ready; while :; do sleep 0.1; done' & while :; do wait; done"
        for options, wanted in (((), {b"shell"}), (("--group",), {b"shell", b"child"})):
            with self.subTest(options):
                with self.start("/bin/sh", "-c", script, options=options,
                                environment=exporting(self.new_path("spans.jsonl"))) as container:
                    self.assertEqual(container.stdout.readline(), b"ready\n")
                    os.kill(self.first_process(container), signal.SIGTERM)
                    self.assertEqual(container.wait(30), 7)
                    said = set(container.stdout.read().split())
                self.assertLessEqual(said, wanted)
                self.assertIn(b"shell", said)

    def test_orphans_are_reaped(self):
        file = self.new_path("spans.jsonl")
        finished = self.contain(PYTHON, "-I", "-c", ORPHANS, self.redis.port, environment=exporting(file))
        self.assertEqual((finished.code, finished.output), (0, b"0 3\n"), finished.errors)
        self.await_spans(file, 50)

    # ---- trouble ----

    def test_the_exporter_is_killed(self):
        with self.start(PYTHON, "-I", "-c", LISTENS, self.redis.port,
                        environment=exporting(self.new_path("spans.jsonl"))) as container:
            self.assertEqual(container.stdout.readline(), b"ready\n")
            os.kill(self.inside(container, launched.DRAINER), signal.SIGKILL)
            self.assertEqual(container.stderr.readline(),
                             b"wirespan entrypoint: the exporter has ended; nothing more is exported\n")
            os.kill(self.first_process(container), signal.SIGUSR1)
            self.assertEqual(container.stdout.readline(), b"got %d\n" % signal.SIGUSR1)
            os.kill(self.first_process(container), signal.SIGTERM)
            self.assertEqual(container.stdout.readline(), b"terminated\n")
            self.assertEqual(container.wait(30), 7)

    def test_the_receiver_hangs(self):
        """The end is held up for as long as it was told, not more."""
        listener = self.enter_socket()
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{listener.getsockname()[1]}")
        began = time.monotonic()
        finished = self.contain(PYTHON, "-I", "-c", PINGS + "pings(3); sys.exit(7)", self.redis.port, environment=environment,
                                options=("--finish-timeout", "2"))
        self.assertEqual(finished.code, 7)
        took = time.monotonic() - began
        self.assertGreater(took, 1.5)
        self.assertLess(took, 20)

    def enter_socket(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.addCleanup(listener.close)
        return listener

    def test_nothing_to_export(self):
        finished = self.contain("/bin/sh", "-c", "echo ${LD_PRELOAD:-none} ${WIRESPAN_AGENT:-none}; exit 7",
                                environment=clean_environment(OTEL_TRACES_EXPORTER="none"))
        self.assertEqual((finished.code, finished.output, finished.errors), (7, b"none none\n", b""))

    def test_nginx(self):
        """A real server, which ends in its own time."""
        file = self.new_path("spans.jsonl")
        folder = self.new_path("nginx")
        (folder / "www").mkdir(parents=True)
        (folder / "www" / "hello").write_text("hello\n")
        folder.parent.chmod(0o755)
        nginx = servers.Nginx(folder, exporting(file), workers=2, before=[*CONTAINER, COMMAND, self.name, "--"])
        with nginx:
            fetched = self.complete([program("curl"), "-s", "--noproxy", "*", f"{nginx.url}/hello?n=1"], clean_environment())
            self.assertEqual(fetched.output, b"hello\n")
            os.kill(self.first_process(nginx.process), signal.SIGQUIT)
            self.assertEqual(nginx.process.wait(30), 0)
        wait_until(lambda: [span for span in launched.read_growing(file) if span.get("url.query") == "n=1"], 20, "its span")


class RunAsFirstProcess(Entrypoint):
    """`run` there is nobody else's child: it does what entrypoint does."""

    name = "run"


if __name__ == "__main__":
    case.main()
