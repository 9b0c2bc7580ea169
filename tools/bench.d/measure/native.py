"""Programs without a runtime of their own, real servers, and single operations."""

import os
import re
import statistics
import subprocess
import threading
import time

from measure.arms import DRAIN, OPERATIONS, PLAIN, WIRESPAN, Cases, duration_us, lost_share
from measure.cost import children, memory_kib, per_unit, thread_times, wake_ups
from support import servers
from support.process import clean_environment, wait_until
from support.receiver import Receiver
from support.servers import program

IDLE_SECONDS = 5


def first_child(pid: int) -> int:
    """A server that listens may not have made its worker yet."""
    wait_until(lambda: children(pid), 30, "a worker process")
    return children(pid)[0]


class Native(Cases):
    """Plain and preloaded."""

    arms = (PLAIN, WIRESPAN)

    # ---- real servers ----

    def nginx(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """A small file by wrk over 32 connections; nginx is what is preloaded."""
        folder = self.new_folder()
        (folder / "www").mkdir()
        (folder / "www" / "hello").write_bytes(b"hello, world\n")
        with servers.Nginx(folder, self.environment(receiver, arm), access_log=False) as nginx:
            worker = first_child(nginx.process.pid)
            wrk = [program("wrk"), "-t", "1", "-c", "32", "-d", "4s", "--latency", f"{nginx.url}/hello"]
            before = thread_times(worker)
            said = subprocess.run(wrk, capture_output=True, text=True, timeout=60, check=True,
                                  env=clean_environment()).stdout
            after = thread_times(worker)
            memory = memory_kib(worker)
        requests = int(re.search(r"(\d+) requests in", said)[1])
        return {
            **per_unit(before, after, requests),
            "throughput": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
            "p50_us": duration_us(re.search(r"^ +50% +(\S+)", said, re.MULTILINE)[1]),
            "p99_us": duration_us(re.search(r"^ +99% +(\S+)", said, re.MULTILINE)[1]),
            "memory_kib": memory,
            **lost_share(nginx.said(), requests, arm),
        }

    def benchmark(self, arm: str, receiver: Receiver, pipeline: int, count: int) -> dict[str, float]:
        """redis-benchmark itself is preloaded. It ends by itself, and with it what /proc tells of its
        threads: they are read every few milliseconds, and the whole is the kernel's at the end."""
        with servers.RedisServer(self.new_folder()) as server:
            child = subprocess.Popen(
                [program("redis-benchmark"), "-p", str(server.port), "-n", str(count), "-c", "50", "-P", str(pipeline),
                 "-t", "set", "--csv"],
                env=self.environment(receiver, arm), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            seen = {"application": 0.0, "exporter": 0.0}
            memory = [0]
            ended = threading.Event()

            def watch():
                while not ended.wait(0.02):
                    try:
                        for side, seconds in thread_times(child.pid).items():
                            seen[side] = max(seen[side], seconds)
                        memory[0] = max(memory[0], memory_kib(child.pid))
                    except OSError:
                        pass

            watcher = threading.Thread(target=watch)
            watcher.start()
            output, errors = child.stdout.read(), child.stderr.read()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            ended.set()
            watcher.join()
        if child.returncode != 0:
            raise SystemExit(f"redis-benchmark: exit {child.returncode}: {errors}")
        columns = output.strip().splitlines()[-1].replace('"', "").split(",")
        total = usage.ru_utime + usage.ru_stime
        return {
            **per_unit(
                {"application": 0, "exporter": 0},
                {"application": total - seen["exporter"], "exporter": seen["exporter"]}, count),
            "throughput": float(columns[1]), "p50_us": float(columns[4]) * 1e3, "p99_us": float(columns[6]) * 1e3,
            "memory_kib": memory[0],
            **self.sent(arm, receiver, seen["exporter"]),
            **lost_share(errors, count, arm),
        }

    def sent(self, arm: str, receiver: Receiver, exporter_seconds: float) -> dict[str, float]:
        """What each span cost the exporter, from its record to its bytes at the receiver."""
        spans = receiver.counts()["spans"] if arm == WIRESPAN and self.observes else 0
        return {"exporter_ns_per_span": exporter_seconds * 1e9 / spans} if spans else {}

    def redis_benchmark(self, arm, receiver):
        return self.benchmark(arm, receiver, 1, 200_000)

    def redis_benchmark_16(self, arm, receiver):
        return self.benchmark(arm, receiver, 16, 1_000_000)

    def idle(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """An nginx that answered once and waits: how often a second its exporter's thread wakes up."""
        folder = self.new_folder()
        (folder / "www" / "hello").parent.mkdir()
        (folder / "www" / "hello").write_bytes(b"hello, world\n")
        with servers.Nginx(folder, self.environment(receiver, arm), access_log=False) as nginx:
            worker = first_child(nginx.process.pid)
            subprocess.run([program("curl"), "-s", f"{nginx.url}/hello"], check=True, timeout=30,
                           env=clean_environment(), stdout=subprocess.DEVNULL)
            if arm == WIRESPAN and self.observes:
                receiver.await_spans(1)
            time.sleep(1)  # what follows the export
            before = wake_ups(worker)
            time.sleep(IDLE_SECONDS)
            return {"wake_ups_per_s": (wake_ups(worker) - before) / IDLE_SECONDS, "memory_kib": memory_kib(worker)}

    # ---- single operations ----

    def operation(self, case: str, arm: str, receiver: Receiver) -> dict[str, float]:
        """In bursts with rests, so that the exporter keeps up: a loss is not what is measured."""
        done = subprocess.run([OPERATIONS, case, "102400", "1024"], env=self.environment(receiver, arm),
                              capture_output=True, text=True, timeout=120, check=True)
        return {"ns": float(done.stdout.split()[0]), **lost_share(done.stderr, 102400, arm)}

    def start(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """A program that does nothing, by the clock; the best of fifty is the least disturbed."""
        environment = self.environment(receiver, arm)
        times = []
        for _ in range(50):
            began = time.perf_counter_ns()
            os.waitpid(os.posix_spawn("/bin/true", ["true"], environment), 0)
            times.append(time.perf_counter_ns() - began)
        return {"ns": statistics.median(times)}

    def worker_side(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """From a completed record in a segment to its bytes in a batch, in a program of its own."""
        said = subprocess.run([DRAIN], capture_output=True, text=True, timeout=300, check=True,
                              env=clean_environment()).stdout
        return {f"{kind}_batched": float(ns)
                for kind, ns in re.findall(r"^(\w+) +drain to batch +(\d+) ns/span", said, re.MULTILINE)}

    def cases(self) -> dict:
        found = {name: getattr(self, name)
                 for name in ("nginx", "redis_benchmark", "redis_benchmark_16", "idle", "start")}
        for name in ("file_read", "http_client", "http_server", "http_client_usual", "http_server_usual", "redis_1",
                     "redis_16"):
            found[name] = lambda arm, receiver, name=name: self.operation(name, arm, receiver)
        return found


class WorkerSide(Native):
    """What has no plain counterpart."""

    arms = (WIRESPAN,)

    def cases(self) -> dict:
        return {"worker_side": self.worker_side}
