#!/usr/bin/env python3
"""Ways of ending: the program's own exit status, no hang, and what was finished is exported."""

import os
import signal
import subprocess

from support import case, redis_truth, servers, spans
from support.process import clean_environment, run, wait_until
from support.servers import program

# How many PINGs each way makes; all of them are answered before the end, so all must be exported.
C_WAYS = {
    "return": 3, "exit": 3, "_exit": 3, "_Exit": 3, "quick_exit": 3, "exit_group": 3, "abort": 3, "exec": 3,
    "failed_exec": 6, "exit_in_thread": 3, "last_thread": 6, "fork_return": 6, "fork__exit": 6, "fork_idle": 3,
    "vfork_exec": 6, "close_all": 6,
}

PYTHON = """
import os, socket, subprocess, sys, threading
host, port, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def pings():
    with socket.create_connection((host, port)) as connection:
        for _ in range(3):
            connection.sendall(b"PING\\r\\n" if way == "inline" else b"*1\\r\\n$4\\r\\nPING\\r\\n")
            assert connection.recv(100) == b"+PONG\\r\\n"
pings()
if way == "return": pass
elif way == "exit": sys.exit(7)
elif way == "_exit": os._exit(7)
elif way == "raise": raise RuntimeError("as planned")
elif way == "exec": os.execv("/bin/sh", ["sh", "-c", "exit 7"])
elif way == "daemon_thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
elif way == "subprocess": sys.exit(subprocess.run([sys.executable, "-c", "raise SystemExit(7)"], close_fds=True).returncode)
elif way == "multiprocessing":
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=pings)
    child.start(); child.join(); sys.exit(child.exitcode)
elif way == "wait":
    print("ready", flush=True); threading.Event().wait()
elif way == "own_handler":
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    os.kill(os.getpid(), signal.SIGTERM)
"""
PYTHON_WAYS = {
    "return": 3, "exit": 3, "_exit": 3, "raise": 3, "exec": 3, "daemon_thread": 3, "subprocess": 3,
    "multiprocessing": 6, "own_handler": 3, "inline": 3,
}

NODE = """
const net = require('net');
const [host, port, way] = process.argv.slice(1);
const connection = net.connect(Number(port), host, () => connection.write('*1\\r\\n$4\\r\\nPING\\r\\n'));
let answers = 0;
connection.on('data', () => {
    if (++answers < 3) return connection.write('*1\\r\\n$4\\r\\nPING\\r\\n');
    if (way === 'exit') process.exit(7);
    if (way === 'throw') throw new Error('as planned');
    if (way === 'abort') process.abort();
    if (way === 'wait') return console.log('ready');
    if (way === 'own_handler') {
        process.on('SIGTERM', () => process.exit(7));
        process.kill(process.pid, 'SIGTERM');
        return;
    }
    connection.end();
});
"""
NODE_WAYS = {"return": 3, "exit": 3, "throw": 3, "abort": 3, "own_handler": 3}

BASH_WAYS = {
    'redis-cli -h {host} -p {port} PING; redis-cli -h {host} -p {port} PING; exit 7': 2,
    'exec redis-cli -h {host} -p {port} PING': 1,
    'redis-cli -h {host} -p {port} PING & wait; exit 7': 1,
    '(redis-cli -h {host} -p {port} PING); kill -TERM $$': 1,
    'x=$(redis-cli -h {host} -p {port} PING); [ "$x" = PONG ] && exit 7': 1,
}


class Endings(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))
        cls.proxy = cls.enter(redis_truth.RedisTruth(cls.redis.port))

    def both(self, arguments: list, pings: int) -> None:
        plain = run(arguments, clean_environment(), 30)
        self.proxy.clear()
        file = self.new_path("spans.jsonl")
        preloaded = run(arguments, case.preload_environment(file), 30)
        self.proxy.settle()
        self.assertEqual(plain.code, preloaded.code, preloaded.errors.decode()[-1000:])
        self.assertEqual(plain.output, preloaded.output)
        # exports may still be in the hands of a process that outlives its parent
        wait_until(lambda: len(self.pings(file)) >= pings, 10, f"{pings} spans in {file}")
        found = spans.read_file(file)
        spans.check_ids(found)
        self.assertEqual(len(self.pings(file)), pings)
        self.assertEqual(len(found), len(self.proxy.commands), [span.name for span in found])

    @staticmethod
    def pings(file) -> list[spans.Span]:
        return [span for span in spans.read_file(file) if span.name.startswith("PING ")]

    def ended_from_outside(self, arguments: list, by: int) -> None:
        """What was finished well before the signal is exported: nothing can run at the end."""
        file = self.new_path("spans.jsonl")
        with subprocess.Popen(
            [str(argument) for argument in arguments], env=case.preload_environment(file), stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL, start_new_session=True,
        ) as child:
            try:
                self.assertEqual(child.stdout.readline(), b"ready\n")
                wait_until(lambda: len(self.pings(file)) == 3, 10, "the first flush")
            finally:
                os.kill(child.pid, by)
            self.assertEqual(child.wait(10), -by)
        self.assertEqual(len(self.pings(file)), 3)

    def test_c(self):
        for way, pings in C_WAYS.items():
            with self.subTest(way):
                self.both([case.COMPILED / "endings", way, self.proxy.host, self.proxy.port], pings)

    def test_python(self):
        for way, pings in PYTHON_WAYS.items():
            with self.subTest(way):
                self.both(["/usr/bin/python3", "-c", PYTHON, self.proxy.host, self.proxy.port, way], pings)

    def test_node(self):
        for way, pings in NODE_WAYS.items():
            with self.subTest(way):
                self.both([program("node"), "-e", NODE, self.proxy.host, self.proxy.port, way], pings)

    def test_bash(self):
        for script, pings in BASH_WAYS.items():
            with self.subTest(script):
                script = script.format(host=self.proxy.host, port=self.proxy.port)
                self.both([program("bash"), "-c", script], pings)

    def test_signals_with_their_default_action(self):
        programs = {
            "C": [case.COMPILED / "endings", "wait", self.proxy.host, self.proxy.port],
            "Python": ["/usr/bin/python3", "-c", PYTHON, self.proxy.host, self.proxy.port, "wait"],
            "Node": [program("node"), "-e", NODE, self.proxy.host, self.proxy.port, "wait"],
        }
        for name, arguments in programs.items():
            for by in (signal.SIGTERM, signal.SIGKILL):
                with self.subTest(name, by=by):
                    self.ended_from_outside(arguments, by)


if __name__ == "__main__":
    case.main()
