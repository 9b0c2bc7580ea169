#!/usr/bin/env python3
"""`wirespan run`: the command is what it is without it, and its spans arrive."""

import json
import os
import pty
import signal
import subprocess
import time

from support import case, launched, servers, spans
from support.launched import COMMAND, exporting
from support.process import clean_environment, free_port, wait_until
from support.receiver import Receiver

PYTHON = "/usr/bin/python3"
FACTS = [PYTHON, "-I", str(case.CLIENTS / "facts.py"), "one", "two words", ""]

PINGS = """
import os, socket, sys, time
def pings(count):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        for _ in range(count):
            connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
            assert connection.recv(100) == b"+PONG\\r\\n"
"""

# What is in the process while it does its work, after its exchanges.
INSIDE = PINGS + """
pings(3)
print(sorted(os.listdir("/proc/self/fd"), key=int)[:-1])
print(len(os.listdir("/proc/self/task")))
maps = open("/proc/self/maps").read()
print([name for name in ("libcurl", "libwirespan-worker", "libprotobuf", "jansson") if name in maps])
print("libwirespan.so" in maps)
print(open(f"/proc/self/task/{os.getpid()}/children").read().split())
"""

# A daemon by the book: two forks, a session of its own, nothing of ours held open.
DAEMON = PINGS + """
pings(1)
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    nothing = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    open(sys.argv[2], "w").write(str(os.getpid()))
    while not os.path.exists(sys.argv[3]):
        time.sleep(0.01)
    pings(2)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
print("started")
"""

# More exchanges than a segment holds, while nobody drains; then it says how long the slowest took.
ENDLESS = PINGS + """
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def ping(count):
    for _ in range(count):
        connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
        assert connection.recv(100) == b"+PONG\\r\\n"
ping(10)
print("ready", flush=True)
for line in sys.stdin:
    ping(int(line))
    print("done", flush=True)
"""


class Run(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))

    # ---- the command is what it is without it ----

    def facts(self, prefix: list, **more) -> dict:
        file = self.new_path("spans.jsonl")
        before = set(launched.drainers())
        finished = self.complete([*prefix, *FACTS], exporting(file), **more)
        self.await_drainers(before)
        self.assertEqual(finished.code, 0, finished.errors.decode())
        self.assertEqual(finished.errors, b"")
        found = json.loads(finished.output)
        environment = found["environment"]
        environment.pop("WIRESPAN_FILE")
        found["is_preloaded"] = environment.pop("LD_PRELOAD", None) == str(case.LIBRARY)
        found["has_agent"] = environment.pop("WIRESPAN_AGENT", "").startswith("@wirespan-")
        return found

    def both(self, **more) -> None:
        plain, run = self.facts([], **more), self.facts([COMMAND, "run", "--"], **more)
        self.assertEqual((plain.pop("is_preloaded"), plain.pop("has_agent")), (False, False))
        self.assertEqual((run.pop("is_preloaded"), run.pop("has_agent")), (True, True))
        for name in ("process", "group", "session"):
            mine = plain.pop(name), run.pop(name)
            if name == "process" or more.get("start_new_session", True):
                self.assertNotEqual(*mine)
            else:
                self.assertEqual(*mine)
        self.assertEqual(plain, run)

    def test_facts(self):
        self.both()

    def test_facts_in_the_callers_session(self):
        self.both(start_new_session=False)

    def test_facts_of_an_unusual_caller(self):
        def prepare():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM})
            os.umask(0o027)
            os.nice(3)
            os.chdir("/")

        reader, writer = os.pipe()
        self.both(preexec_fn=prepare, pass_fds=(reader, writer), restore_signals=False)
        os.close(reader)
        os.close(writer)

    def test_closed_streams(self):
        for closed in ((0,), (1,), (2,), (0, 1, 2)):
            with self.subTest(closed):
                script = ("import os, sys\n"
                          "open(sys.argv[1], 'w').write(repr([os.path.exists(f'/proc/self/fd/{n}') for n in range(10)]))")
                said = []
                for prefix in ([], [COMMAND, "run", "--"]):
                    path = self.new_path("said")
                    arguments = [*prefix, PYTHON, "-I", "-c", script, path]
                    before = set(launched.drainers())

                    def close_them(numbers=closed):
                        for number in numbers:
                            os.close(number)

                    process = subprocess.Popen(
                        [str(one) for one in arguments], env=exporting(self.new_path("spans.jsonl")),
                        preexec_fn=close_them, start_new_session=True,
                    )
                    self.assertEqual(process.wait(30), 0)
                    self.await_drainers(before)
                    said.append(path.read_text())
                self.assertEqual(*said)

    def test_the_process_is_the_one_that_was_started(self):
        file = self.new_path("spans.jsonl")
        process = subprocess.Popen([str(COMMAND), "run", "--", *FACTS], env=exporting(file), stdout=subprocess.PIPE)
        output, _ = process.communicate(timeout=60)
        self.await_drainers()
        self.assertEqual(json.loads(output)["process"], process.pid)
        self.assertEqual(json.loads(output)["parent"], os.getpid())

    def test_exit_codes(self):
        for code in (0, 1, 2, 7, 77, 126, 127, 128, 137, 255):
            with self.subTest(code):
                finished = self.launch(["/bin/sh", "-c", f"exit {code}"], exporting(self.new_path("spans.jsonl")))
                self.assertEqual((finished.code, finished.output, finished.errors), (code, b"", b""))

    def test_commands_that_cannot_be_run(self):
        text = self.new_path("text")
        text.write_text("no program\n")
        for command, code in (("/nonexistent/program", 127), ("no-such-program-here", 127), (str(text), 126),
                              ("/", 126), ("", 127)):
            with self.subTest(command):
                plain = self.complete(["/usr/bin/env", "--", command], clean_environment())
                finished = self.launch([command], exporting(self.new_path("spans.jsonl")))
                self.assertEqual(finished.code, code)
                if command:  # env(1) reads an empty one as an assignment of nothing
                    self.assertEqual(finished.code, plain.code)
                self.assertIn(b"wirespan run: ", finished.errors)
                self.assertEqual(finished.errors.count(b"\n"), 1)

    def test_killed_by_each_signal(self):
        passed = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGSTOP, signal.SIGTSTP,
                  signal.SIGTTIN, signal.SIGTTOU}
        for number in sorted(signal.valid_signals() - passed):
            if number >= signal.SIGRTMIN and number % 8:
                continue
            with self.subTest(number):
                finished = self.launch(["/bin/sh", "-c", f"ulimit -c 0; kill -{int(number)} $$; sleep 20"],
                                       exporting(self.new_path("spans.jsonl")))
                self.assertEqual((finished.code, finished.output, finished.errors), (-number, b"", b""))

    def test_streams(self):
        data = os.urandom(3_000_000)
        finished = self.launch(["/bin/sh", "-c", "tee /dev/stderr"], exporting(self.new_path("spans.jsonl")), given=data)
        self.assertEqual((finished.code, finished.output, finished.errors), (0, data, data))

    def test_nothing_of_ours_is_in_the_process(self):
        plain = self.complete([PYTHON, "-I", "-c", INSIDE, self.redis.port], clean_environment())
        file = self.new_path("spans.jsonl")
        run = self.launch([PYTHON, "-I", "-c", INSIDE, self.redis.port], exporting(file))
        self.assertEqual(plain.output.replace(b"False", b"True"), run.output)
        self.assertEqual(run.output, b"['0', '1', '2']\n1\n[]\nTrue\n[]\n")
        self.assertEqual(run.errors, b"")
        self.assertEqual(len(spans.read_file(file)), 3)

    def test_a_script_without_a_first_line(self):
        """As execvp(3) promises, a shell runs it."""
        script = self.new_path("script")
        script.write_text("exit 7\n")
        script.chmod(0o755)
        finished = self.launch([script], exporting(self.new_path("spans.jsonl")))
        self.assertEqual((finished.code, finished.output, finished.errors), (7, b"", b""))

    # ---- terminals ----

    def on_terminal(self, arguments: list, environment: dict[str, str], talk=None) -> tuple[int, bytes]:
        """Runs with a terminal of its own; `talk(read_until, write)` types. Exit code, and the screen."""
        process, terminal = pty.fork()
        if process == 0:
            try:
                os.execve(str(arguments[0]), [str(one) for one in arguments], environment)
            finally:
                os._exit(99)
        screen = bytearray()
        os.set_blocking(terminal, False)
        end = time.monotonic() + 40

        def read_some() -> bool:
            try:
                data = os.read(terminal, 4096)
            except BlockingIOError:
                time.sleep(0.01)
                return True
            except OSError:
                return False
            screen.extend(data)
            return bool(data)

        def read_until(text: bytes) -> None:
            while text not in screen:
                if not read_some() or time.monotonic() > end:
                    raise AssertionError(f"{text!r} does not come: {bytes(screen)!r}")

        try:
            if talk:
                talk(read_until, lambda text: os.write(terminal, text))
            while read_some():
                self.assertLess(time.monotonic(), end, bytes(screen))
        finally:
            os.close(terminal)
            try:
                code = launched.reap(process)
            except BaseException:
                os.kill(process, signal.SIGKILL)
                raise
        return code, bytes(screen)

    def test_facts_on_a_terminal(self):
        told = []
        for prefix in ([], [COMMAND, "run", "--"]):
            code, screen = self.on_terminal([*prefix, *FACTS], exporting(self.new_path("spans.jsonl")))
            self.await_drainers()
            self.assertEqual(code, 0, screen)
            found = json.loads(screen)
            self.assertEqual(found["process"], found["session"])
            self.assertEqual(found["process"], found["group"])
            for name in ("process", "group", "session"):
                del found[name]
            for name in ("LD_PRELOAD", "WIRESPAN_AGENT", "WIRESPAN_FILE"):
                found["environment"].pop(name, None)
            told.append(found)
        self.assertEqual(told[0]["terminal"], [True, True, True, True])
        self.assertEqual(*told)

    def test_keys_reach_the_command_alone(self):
        script = PINGS + """
pings(3)
print("ready", flush=True)
try:
    time.sleep(30)
except KeyboardInterrupt:
    pings(2)
    sys.exit(7)
"""
        file = self.new_path("spans.jsonl")

        def talk(read_until, write):
            read_until(b"ready")
            write(b"\x03")

        code, screen = self.on_terminal([COMMAND, "run", "--", PYTHON, "-I", "-c", script, self.redis.port],
                                        exporting(file), talk)
        self.assertEqual((code, screen), (7, b"ready\r\n^C"))
        self.await_drainers()
        self.assertEqual(len(spans.read_file(file)), 5)

    def test_job_control(self):
        """A shell stops it, lets it run on, and is told how it ended."""
        def talk(read_until, write):
            read_until(b"ready")
            write(b"\x1a")
            read_until(b"Stopped")
            write(b"fg; echo code $?\n")
            read_until(b"run --")  # fg says what it brings back
            write(b"go on\n")
            read_until(b"code 7\r\n")
            write(b"exit\n")

        shell = ["/bin/bash", "--norc", "--noprofile", "-i"]
        environment = exporting(self.new_path("spans.jsonl"), PS1="$ ", HISTFILE="/dev/null", TERM="dumb")

        def talk_all(read_until, write):
            read_until(b"$ ")
            write(f"{COMMAND} run -- sh -c 'echo read\"\"y; read line; exit 7'\n".encode())
            talk(read_until, write)

        code, screen = self.on_terminal(shell, environment, talk_all)
        self.await_drainers()
        self.assertEqual(code, 0, screen)

    def test_status(self):
        script = PINGS + """
pings(3)
end = time.monotonic() + 20
while time.monotonic() < end and not os.path.exists(sys.argv[2]): time.sleep(0.01)
"""
        file, stop = self.new_path("spans.jsonl"), self.new_path("stop")

        def talk(read_until, write):
            read_until(b"3 spans exported, 0 lost")
            stop.touch()

        code, screen = self.on_terminal(
            [COMMAND, "run", "--status", "--", PYTHON, "-I", "-c", script, self.redis.port, stop], exporting(file), talk)
        self.await_drainers()
        self.assertEqual(code, 0)
        self.assertIn(b"wirespan: 1 processes, ", screen)
        # Cleared at the end, one line all the time.
        self.assertNotIn(b"\n", screen)

    def test_silence_without_a_terminal(self):
        for options in ((), ("--status",)):
            finished = self.launch([PYTHON, "-I", "-c", PINGS + "pings(3); time.sleep(1.5)", self.redis.port],
                                   exporting(self.new_path("spans.jsonl")), options=options)
            self.assertEqual((finished.code, finished.output, finished.errors), (0, b"", b""))

    # ---- options ----

    def test_only_and_except(self):
        """The program is chosen by its name; its children are looked at each by itself."""
        script = f"redis-cli -p {self.redis.port} PING; {PYTHON} -I -c 'import sys; exec(sys.argv[2])' {self.redis.port} \"$0\""
        name = os.path.basename(os.path.realpath(PYTHON))
        cases = {
            (): 3 + 1,
            ("--only", "redis-cli"): 1,
            ("--only", name): 3,
            ("--only", f"{name},redis-cli"): 4,
            ("--except", "redis-cli"): 3,
            ("--except", f"{name},redis-cli"): 0,
            ("--only", "nothing"): 0,
        }
        for options, count in cases.items():
            with self.subTest(options):
                file = self.new_path("spans.jsonl")
                finished = self.launch(["/bin/sh", "-c", script, PINGS + "pings(3)"], exporting(file), options=options)
                self.assertEqual((finished.code, finished.output, finished.errors), (0, b"PONG\n", b""))
                found = [span for span in spans.read_file(file) if span.name.startswith("PING ")]
                self.assertEqual(len(found), count)

    def test_options_that_say_where_to(self):
        file = self.new_path("spans.jsonl")
        arguments = [PYTHON, "-I", "-c", PINGS + "pings(3)", self.redis.port]
        self.launch(arguments, clean_environment(), options=("--file", file, "--service-name", "named"))
        found = spans.read_file(file)
        self.assertEqual(len(found), 3)
        self.assertEqual({span.resource["service.name"] for span in found}, {"named"})
        finished = self.launch(arguments, clean_environment(), options=("--console",))
        self.assertEqual(finished.output, b"")
        self.assertEqual(finished.errors.count(b"PING "), 3, finished.errors)
        with Receiver(case.COMPILED / "count_receiver") as receiver:
            self.launch(arguments, clean_environment(), options=("--endpoint", f"http://127.0.0.1:{receiver.port}"))
            self.assertEqual(receiver.counts()["spans"], 3)

    def test_nothing_to_export(self):
        """Without an exporter it is the plain command."""
        for more in ({"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}):
            with self.subTest(more):
                told = []
                for prefix in ([], [COMMAND, "run", "--"]):
                    finished = self.complete([*prefix, *FACTS], clean_environment(**more))
                    self.assertEqual((finished.code, finished.errors), (0, b""))
                    found = json.loads(finished.output)
                    for name in ("process", "group", "session"):
                        del found[name]
                    told.append(found)
                self.assertEqual(*told)
                self.await_drainers_of_nothing()

    def await_drainers_of_nothing(self) -> None:
        for process in launched.drainers():
            launched.reap(process)

    # ---- daemons, and the drainer's end ----

    def start_daemon(self, file, *, merged: bool) -> tuple:
        number, stop = self.new_path("number"), self.new_path("stop")
        began = time.monotonic()
        with subprocess.Popen(
            [str(COMMAND), "run", "--", PYTHON, "-I", "-c", DAEMON, str(self.redis.port), str(number), str(stop)],
            env=exporting(file), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE, start_new_session=True,
        ) as process:
            with subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.PIPE) as pipe:
                process.stdout.close()
                output, _ = pipe.communicate(timeout=30)
            self.assertEqual(process.wait(30), 0)
        self.assertEqual(output, b"started\n")
        return int(number.read_text()), stop, time.monotonic() - began

    def test_a_daemon_outlives_the_command(self):
        for merged in (False, True):
            with self.subTest(merged=merged):
                file = self.new_path("spans.jsonl")
                daemon, stop, took = self.start_daemon(file, merged=merged)
                self.assertLess(took, 20)
                self.assertTrue(launched.is_alive(daemon), "the pipe ended only with the daemon")
                drainer = self.new_drainer()
                # What was finished before is there while the daemon lives.
                self.await_spans(file, 1)
                stop.touch()
                self.assertEqual(launched.reap(daemon), 0)
                self.assertEqual(launched.reap(drainer), 0)
                found = spans.read_file(file)
                self.assertEqual(len(found), 3)
                self.assertEqual(len({span.resource["process.pid"] for span in found}), 2)

    def test_ends_with_the_last_process(self):
        """No process left: not the launcher's helper, not a zombie (the case's clean-up looks)."""
        for _ in range(5):
            file = self.new_path("spans.jsonl")
            finished = self.launch([PYTHON, "-I", "-c", PINGS + "pings(2)", self.redis.port], exporting(file))
            self.assertEqual(finished.code, 0)
            # The spans are there when it returns: the launcher's word.
            self.assertEqual(len(spans.read_file(file)), 2)

    def test_spans_are_there_when_it_returns(self):
        for end in ("", "os._exit(3)", "sys.exit(3)"):
            with self.subTest(end):
                file = self.new_path("spans.jsonl")
                self.launch([PYTHON, "-I", "-c", PINGS + "pings(2)\n" + end, self.redis.port], exporting(file),
                            drains=False)
                self.assertEqual(len(launched.read_growing(file)), 2)
                self.await_drainers()

    # ---- trouble ----

    def test_the_receiver_is_down(self):
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
        began = time.monotonic()
        finished = self.launch([PYTHON, "-I", "-c", PINGS + "pings(3); print('done')", self.redis.port], environment,
                               options=("--finish-timeout", "1"))
        self.assertEqual((finished.code, finished.output), (0, b"done\n"))
        self.assertLess(time.monotonic() - began, 25)

    def test_the_receiver_comes_back(self):
        """What was finished while it was down arrives after the command has ended."""
        port = free_port()
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        before = set(launched.drainers())
        finished = self.launch([PYTHON, "-I", "-c", PINGS + "pings(3)", self.redis.port], environment, drains=False)
        self.assertEqual(finished.code, 0)
        with Receiver(case.COMPILED / "count_receiver", port) as receiver:
            receiver.await_spans(3)
            self.await_drainers(before)
            self.assertEqual(receiver.counts()["spans"], 3)

    def test_the_drainer_is_killed(self):
        """The worker runs on; what finds no room is dropped, and nothing waits."""
        file = self.new_path("spans.jsonl")
        with subprocess.Popen(
            [str(COMMAND), "run", "--", PYTHON, "-I", "-c", ENDLESS, str(self.redis.port)], env=exporting(file),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        ) as worker:
            self.assertEqual(worker.stdout.readline(), b"ready\n")
            drainer = self.new_drainer()
            os.kill(drainer, signal.SIGKILL)
            self.assertEqual(launched.reap(drainer), -signal.SIGKILL)
            worker.stdin.write(b"20000\n")
            worker.stdin.flush()
            self.assertEqual(worker.stdout.readline(), b"done\n")
            began = time.monotonic()
            output, errors = worker.communicate(timeout=60)
            self.assertEqual((worker.returncode, output, errors), (0, b"", b""))
            self.assertLess(time.monotonic() - began, 20)

    def test_the_drainer_is_stopped(self):
        """A drainer that hangs holds the end up for its bound and no longer."""
        file = self.new_path("spans.jsonl")
        with subprocess.Popen(
            [str(COMMAND), "run", "--", PYTHON, "-I", "-c", ENDLESS, str(self.redis.port)], env=exporting(file),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        ) as worker:
            self.assertEqual(worker.stdout.readline(), b"ready\n")
            drainer = self.new_drainer()
            os.kill(drainer, signal.SIGSTOP)
            worker.stdin.write(b"20000\n")
            worker.stdin.close()
            self.assertEqual(worker.stdout.readline(), b"done\n")
            worker.wait(60)
            self.assertEqual(worker.returncode, 0)
            os.kill(drainer, signal.SIGCONT)
            self.assertEqual(launched.reap(drainer), 0)
        # Its segment was full; what it had finished before that is there.
        self.assertGreater(len(spans.read_file(file)), 1000)

    def test_inside_another(self):
        """The inner launcher takes what its command does; nothing comes twice."""
        outer, inner = self.new_path("outer.jsonl"), self.new_path("inner.jsonl")
        script = f"redis-cli -p {self.redis.port} PING; {COMMAND} run --file {inner} -- redis-cli -p {self.redis.port} PING"
        finished = self.launch(["/bin/sh", "-c", script], exporting(outer))
        self.assertEqual((finished.code, finished.output, finished.errors), (0, b"PONG\nPONG\n", b""))
        self.await_drainers()
        for file in (outer, inner):
            self.assertEqual(len([span for span in spans.read_file(file) if span.name.startswith("PING")]), 1)


if __name__ == "__main__":
    case.main()
