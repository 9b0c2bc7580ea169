#!/usr/bin/env python3
"""Programs that fork: prefork servers, job queues, shells, and every way to a child there is, under
`wirespan run` and exporting by themselves. Every exchange is exported once; nothing hangs, no
process and no descriptor is left."""

import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter

from support import case, launched, losses, servers, spans
from support.launched import COMMAND, exporting
from support.process import Daemon, clean_environment, free_port, wait_until
from support.servers import program

PYTHON = "/usr/bin/python3"
RUN = "run"
ITSELF = "by itself"
MODES = (RUN, ITSELF)
# The launcher's side with two hundred workers.
LARGEST_DRAINER_KIB = 64 << 10

# How many PINGs each way of clients/forks.c makes.
C_WAYS = {
    "fork": 6, "grandchild": 6, "vfork": 6, "raw_clone": 6, "raw_clone3": 6, "clone_stack": 6, "new_namespace": 6,
    "forkpty": 6, "daemon": 6, "close_all": 6, "close_each": 6, "reexec": 6,
}

# Not yet by themselves: a copy of a process that is made without fork(3) may be made while the
# exporter's thread holds a lock; and daemon(3) ends the parent inside of the C library.
BY_LAUNCHER = {"raw_clone", "raw_clone3", "clone_stack", "new_namespace", "daemon"}

PYTHON_SPAWN = """
import os, subprocess, sys
command = ["redis-cli", "-p", sys.argv[1], "PING"]
for more in ({}, {"close_fds": False}, {"start_new_session": True}, {"preexec_fn": lambda: None}, {"shell": True}):
    if more.get("shell"):
        command = " ".join(command)
    assert subprocess.run(command, stdout=subprocess.DEVNULL, **more).returncode == 0
for spawn in (os.posix_spawnp,):
    process = spawn("redis-cli", ["redis-cli", "-p", sys.argv[1], "PING"], os.environ)
    assert os.waitpid(process, 0)[1] == 0
import multiprocessing, socket
def ping():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
        assert connection.recv(100) == b"+PONG\\r\\n"
if __name__ == "__main__":
    processes = [multiprocessing.get_context("fork").Process(target=ping) for _ in range(4)]
    for process in processes: process.start()
    for process in processes: process.join()
    assert all(process.exitcode == 0 for process in processes)
"""

NODE_SPAWN = """
const child_process = require('child_process');
const port = process.argv[1];
let left = 10;
for (let i = 0; i < 5; i++) {
    child_process.execFile('redis-cli', ['-p', port, 'PING'], () => { left--; });
    child_process.exec('redis-cli -p ' + port + ' PING', () => { left--; });
}
for (let i = 0; i < 5; i++) child_process.execFileSync('redis-cli', ['-p', port, 'PING']);
process.on('exit', () => { if (left) process.exitCode = 1; });
"""


class Forks(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))
        cls.runtimes = cls.install_runtimes()

    # ---- the two modes ----

    def under(self, mode: str, file: pathlib.Path, **more: str) -> tuple[list, dict[str, str]]:
        """What goes before the command, and its environment."""
        if mode == RUN:
            return [COMMAND, "run", "--"], exporting(file, **more)
        return [], case.preload_environment(file, **more)

    def exported(self, file: pathlib.Path, wanted: Counter, deadline_seconds: float = 40) -> list[spans.Span]:
        """Waits for the spans of these queries, and finds each as often as wanted."""
        def texts() -> Counter:
            return Counter(span.get("db.query.text") for span in launched.read_growing(file)
                           if span.get("db.query.text") in wanted)

        wait_until(lambda: sum(texts().values()) >= sum(wanted.values()), deadline_seconds,
                   f"{sum(wanted.values())} spans in {file}")
        self.assertEqual(texts(), wanted)
        found = launched.read_growing(file)
        spans.check_ids(found)
        lost, found = losses.told(found)
        self.assertEqual(losses.spans(lost), 0, lost)
        return found

    def both(self, arguments: list, pings: int, *, code: int = 0, output: bytes | None = None, deadline: float = 60,
             modes=MODES) -> None:
        """Ends as it does plain, and each of its PINGs is exported once."""
        plain = self.complete(arguments, clean_environment(), deadline)
        self.assertEqual(plain.code, code, plain.errors.decode()[-2000:])
        for mode in modes:
            with self.subTest(mode):
                file = self.new_path("spans.jsonl")
                before, others = set(launched.drainers()), set(launched.children())
                prefix, environment = self.under(mode, file)
                finished = self.complete([*prefix, *arguments], environment, deadline)
                self.assertEqual(finished.code, code, finished.errors.decode()[-2000:])
                self.assertEqual(finished.output, plain.output if output is None else output)
                self.exported(file, Counter({"PING": pings}))
                # A daemon of the program's own is an orphan like the drainer.
                for process in set(launched.children()) - others - set(launched.drainers()):
                    launched.reap(process)
                self.await_drainers(before)

    # ---- ways to a child ----

    def test_c(self):
        for way, pings in C_WAYS.items():
            with self.subTest(way):
                code = 7 if way != "daemon" else 0
                modes = (RUN,) if way in BY_LAUNCHER else MODES
                self.both([case.COMPILED / "forks", way, "127.0.0.1", self.redis.port], pings, code=code, modes=modes)
                for process in launched.children():  # the plain one's daemon
                    if process not in launched.drainers() and process != self.redis.process.pid:
                        launched.reap(process)

    def test_four_workers_after_chroot_and_setuid(self):
        """Only a launcher sees them: a file of spans would have to be in their new world."""
        world = self.new_path("world")
        world.mkdir()
        self.both([case.COMPILED / "forks", "chroot", "127.0.0.1", self.redis.port, world], 3 + 4 * 3, code=7, modes=(RUN,))

    def test_python(self):
        self.both([PYTHON, "-I", "-c", PYTHON_SPAWN, self.redis.port], 10)

    def test_node(self):
        self.both([program("node"), "-e", NODE_SPAWN, self.redis.port], 15)

    def test_java(self):
        classes = self.new_path("classes")
        compiled = self.complete([program("javac"), "-d", classes, case.CLIENTS / "SpawnJava.java"], clean_environment())
        self.assertEqual(compiled.code, 0, compiled.errors)
        for way in ("POSIX_SPAWN", "VFORK", "FORK"):
            with self.subTest(way):
                self.both([program("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", f"-Djdk.lang.Process.launchMechanism={way}",
                           "-cp", classes, "SpawnJava", "redis-cli", "-p", self.redis.port, "PING"], 20, deadline=120)

    # ---- servers and queues ----

    def serve(self, arguments: list, mode: str, file: pathlib.Path, **more: str) -> Daemon:
        prefix, environment = self.under(mode, file, TEST_REDIS_PORT=str(self.redis.port), PYTHONPATH=str(case.CLIENTS),
                                         PYTHONDONTWRITEBYTECODE="1", **more)
        return Daemon([*prefix, *arguments], environment, self.new_path("log"), folder=str(file.parent))

    def flush_redis(self) -> None:
        self.complete([program("redis-cli"), "-p", self.redis.port, "FLUSHALL"], clean_environment())

    def test_gunicorn(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for mode in MODES:
            with self.subTest(mode):
                file, port = self.new_path("spans.jsonl"), free_port()
                before = set(launched.drainers())
                arguments = [self.runtimes / "venv/bin/gunicorn", "--workers", 3, "--max-requests", 10, "--bind",
                             f"127.0.0.1:{port}", "jobs_wsgi:application"]
                with self.serve(arguments, mode, file, HOME=str(file.parent)) as server:
                    server.await_port(port)
                    workers = set()
                    for number in range(60):
                        with opener.open(f"http://127.0.0.1:{port}/work-{number}", timeout=30) as answer:
                            workers.add(int(answer.read()))
                    self.assertGreater(len(workers), 3, "no worker was replaced")
                    if mode == ITSELF:
                        # A worker that is told to end while it does so already may die in its last export.
                        self.exported(file, Counter({f"GET work-{number}": 1 for number in range(60)}))
                    self.assertEqual(server.end(), 0)
                found = self.exported(file, Counter({f"GET work-{number}": 1 for number in range(60)}))
                served = [span for span in found if span.kind == spans.SERVER]
                self.assertEqual(Counter(span.get("url.path") for span in served),
                                 Counter({f"/work-{number}": 1 for number in range(60)}))
                self.assertEqual({span.resource["process.pid"] for span in served}, workers)
                # Each worker's query is below the request that it answers.
                by_id = {span.span_id: span for span in served}
                for span in found:
                    if (span.get("db.query.text") or "").startswith("GET work-"):
                        self.assertEqual("/" + span.get("db.query.text").split()[1], by_id[span.parent_id].get("url.path"))
                self.await_drainers(before)

    def test_celery(self):
        celery = self.runtimes / "venv/bin/celery"
        send = ("import jobs_celery\nanswers = [jobs_celery.work.delay(number) for number in range(20)]\n"
                "print(len({answer.get(timeout=60) for answer in answers}))")
        for mode in MODES:
            with self.subTest(mode):
                self.flush_redis()
                file = self.new_path("spans.jsonl")
                before = set(launched.drainers())
                arguments = [celery, "-A", "jobs_celery", "worker", "--pool", "prefork", "--concurrency", 3,
                             "--max-tasks-per-child", 5, "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
                with self.serve(arguments, mode, file) as worker:
                    environment = clean_environment(TEST_REDIS_PORT=str(self.redis.port), PYTHONPATH=str(case.CLIENTS),
                                                    PYTHONDONTWRITEBYTECODE="1")
                    sent = self.complete([self.runtimes / "venv/bin/python", "-c", send], environment, 90)
                    self.assertEqual(sent.code, 0, sent.errors.decode()[-2000:] + worker.said()[-2000:])
                    self.assertGreater(int(sent.output), 3, "no child was replaced")
                    self.assertEqual(worker.end(deadline_seconds=40), 0, worker.said()[-2000:])
                self.exported(file, Counter({f"GET work-{number}": 1 for number in range(20)}))
                self.await_drainers(before)

    def test_rq(self):
        rq = self.runtimes / "venv/bin/rq"
        send = ("import jobs_rq, redis, rq\nqueue = rq.Queue(connection=redis.Redis(port=jobs_rq.PORT))\n"
                "for number in range(12): queue.enqueue(jobs_rq.work, number)")
        for mode in MODES:
            with self.subTest(mode):
                self.flush_redis()
                file = self.new_path("spans.jsonl")
                before = set(launched.drainers())
                environment = clean_environment(TEST_REDIS_PORT=str(self.redis.port), PYTHONPATH=str(case.CLIENTS),
                                                PYTHONDONTWRITEBYTECODE="1")
                sent = self.complete([self.runtimes / "venv/bin/python", "-c", send], environment, 60)
                self.assertEqual(sent.code, 0, sent.errors.decode()[-2000:])
                prefix, environment = self.under(mode, file, **{
                    name: environment[name] for name in ("TEST_REDIS_PORT", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")})
                finished = self.complete(
                    [*prefix, rq, "worker", "--burst", "--url", f"redis://127.0.0.1:{self.redis.port}"], environment, 90)
                self.assertEqual(finished.code, 0, finished.errors.decode()[-2000:])
                found = self.exported(file, Counter({f"GET work-{number}": 1 for number in range(12)}))
                self.assertEqual(len({span.resource["process.pid"] for span in found
                                      if (span.get("db.query.text") or "").startswith("GET work-")}), 12)
                self.await_drainers(before)

    @staticmethod
    def users(process: int) -> set[str]:
        """Whose the process's children are."""
        return {pathlib.Path(f"/proc/{child}/status").read_text().split("Uid:\t")[1].split()[0]
                for child in launched.descendants(process)}

    def test_nginx_workers_that_give_up_root(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for mode in MODES:
            with self.subTest(mode):
                file = self.new_path("spans.jsonl")
                file.parent.chmod(0o777)
                file.touch()
                file.chmod(0o666)
                folder = self.new_path("nginx")
                folder.mkdir()
                folder.parent.chmod(0o755)
                (folder / "www").mkdir()
                (folder / "www" / "hello").write_text("hello\n")
                before = set(launched.drainers())
                prefix, environment = self.under(mode, file)
                nginx = servers.Nginx(folder, environment, workers=4, before=prefix, user="nobody nogroup")
                with nginx:
                    if os.geteuid() == 0:
                        wait_until(lambda: self.users(nginx.process.pid) == {"65534"}, 30,
                                        "workers that are nobody's")
                    for number in range(40):
                        with opener.open(f"{nginx.url}/hello?n={number}", timeout=30) as answer:
                            self.assertEqual(answer.read(), b"hello\n")
                    self.assertEqual(nginx.end(), 0, nginx.said())
                wait_until(lambda: len(self.served(file)) >= 40, 30, "40 spans of nginx")
                self.assertEqual(Counter(span.get("url.query") for span in self.served(file)),
                                 Counter({f"n={number}": 1 for number in range(40)}))
                self.await_drainers(before)

    @staticmethod
    def served(file) -> list[spans.Span]:
        return [span for span in launched.read_growing(file) if span.kind == spans.SERVER and span.get("url.query")]

    # ---- many ----

    def test_ten_thousand_short_lived_children(self):
        """Half of them are programs. While they come and go the drainer holds what lives, no more."""
        script = """
            redis-cli -p "$1" PING
            i=0; while [ $i -lt 5000 ]; do ( : ); i=$((i+1)); done
            i=0; while [ $i -lt 5000 ]; do /bin/true || exit 1; i=$((i+1)); done
            redis-cli -p "$1" PING
            echo done; read line; exit 7
        """
        file = self.new_path("spans.jsonl")
        with subprocess.Popen(
            [str(COMMAND), "run", "--", "/bin/sh", "-c", script, "sh", str(self.redis.port)], env=exporting(file),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        ) as shell:
            drainer = self.new_drainer()
            began = time.monotonic()
            self.assertEqual(shell.stdout.read(len(b"PONG\nPONG\ndone\n")), b"PONG\nPONG\ndone\n")
            print(f"ten thousand children in {time.monotonic() - began:.1f} s", flush=True)
            self.assertEqual(launched.descendants(shell.pid), [], "children were left behind")
            self.assertEqual(launched.descendants(drainer), [])
            # The shell's own arena and the drainer's few; those of the last children go within moments.
            wait_until(lambda: len(launched.open_descriptors(drainer)) < 30, 20, "the drainer to let go")
            memory = self.drainer_memory(drainer)
            self.assertLess(memory, LARGEST_DRAINER_KIB)
            shell.stdin.write(b"\n")
            shell.stdin.close()
            self.assertEqual(shell.wait(30), 7)
        self.assertEqual(launched.reap(drainer), 0)
        self.exported(file, Counter({"PING": 2}))

    @staticmethod
    def drainer_memory(process: int) -> int:
        """KiB: what is private to it, and all that its memory files hold, whoever wrote it."""
        held = 0
        for number, name in launched.open_descriptors(process).items():
            if name.startswith("/memfd:"):
                held += os.stat(f"/proc/{process}/fd/{number}").st_blocks // 2
        return launched.private_kib(process) + held

    def test_two_hundred_workers(self):
        def forked():
            return [[case.COMPILED / "forks", "crowd", "127.0.0.1", self.redis.port]]

        def started():
            return [["/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do \"$@\" <&3 & i=$((i+1)); done 3<&0; wait; exit 7", "sh",
                     case.COMPILED / "forks", "wait", "127.0.0.1", self.redis.port]]

        for arguments in (*forked(), *started()):
            with self.subTest(str(arguments[0])):
                file = self.new_path("spans.jsonl")
                with subprocess.Popen(
                    [str(one) for one in [COMMAND, "run", "--", *arguments]], env=exporting(file), stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, start_new_session=True,
                ) as command:
                    drainer = self.new_drainer()
                    self.assertEqual(command.stdout.read(200 * len(b"ready\n")), b"ready\n" * 200)
                    self.exported(file, Counter({"PING": 600}))
                    memory = self.drainer_memory(drainer)
                    print(f"the drainer of 200 workers: {memory} KiB", flush=True)
                    self.assertLess(memory, LARGEST_DRAINER_KIB)
                    command.stdin.close()
                    self.assertEqual(command.wait(60), 7)
                self.assertEqual(launched.reap(drainer), 0)


if __name__ == "__main__":
    case.main()
