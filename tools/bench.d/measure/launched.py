"""Programs under `wirespan run`, the drainer beside them, and how much an exporter sustains."""

import re
import statistics
import subprocess
import time

from measure.arms import BUILD, OPERATIONS, PLAIN, WIRESPAN, Cases
from measure.cost import memory_kib, seconds_of, sleeps
from support import launched
from support.process import wait_until
from support.receiver import Receiver

IDLE_SECONDS = 5
EXCHANGES = 20_480
SUSTAINED = 5_120_000
# In steps, so that the table shows where losses begin.
RATES = (250_000, 500_000, 1_000_000)
BURST = 50
PROCESSES = (1, 10, 50, 100, 200)
# Of all processes together, so that with more of them the machine has no more to do.
EXCHANGES_PER_SECOND = 50_000
SECONDS = 4


def numbers(output: str) -> tuple[float, float, float]:
    """Of one `operations`: nanoseconds for each operation, KiB, operations a second."""
    ns, kib, rate = (float(line.split()[0]) for line in output.splitlines()[:3])
    return ns, kib, rate


class Held:
    """An `operations` that has done its work and keeps its connections, with the drainer beside it, if any."""

    def __init__(self, command: list, environment: dict[str, str]):
        launched.become_subreaper()
        self.others = set(launched.drainers())
        self.child = subprocess.Popen([str(word) for word in command], env=environment, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self) -> "Held":
        self.said = "".join(self.child.stdout.readline() for _ in range(3))
        return self

    def drainer(self) -> int | None:
        return next(iter(set(launched.drainers()) - self.others), None)

    def finish(self) -> str:
        """Lets it end, and its drainer; returns what they said of losses."""
        errors = self.child.communicate("", timeout=60)[1]
        for drainer in set(launched.drainers()) - self.others:
            launched.reap(drainer)
        return errors

    def __exit__(self, *_) -> None:
        if self.child.returncode is None:
            self.finish()
        if self.child.returncode != 0:
            raise SystemExit(f"{self.child.args}: exit {self.child.returncode}")


class Launched(Cases):
    """Plain, and under `wirespan run`: in the program there are only the hooks."""

    arms = (PLAIN, WIRESPAN)

    def command(self, arm: str, *words) -> list:
        launcher = [BUILD / "src/command/wirespan", "run", "--"] if arm == WIRESPAN else []
        return [*launcher, *map(str, words)]

    def environment(self, receiver: Receiver, arm: str) -> dict[str, str]:
        environment = super().environment(receiver, arm)
        environment.pop("LD_PRELOAD", None)
        return environment

    def hold(self, arm: str, receiver: Receiver, *words) -> Held:
        return Held(self.command(arm, OPERATIONS, "--hold", *words), self.environment(receiver, arm))

    def operation(self, case: str, arm: str, receiver: Receiver) -> dict[str, float]:
        with self.hold(arm, receiver, case, 102_400, 1024) as held:
            return {"ns": numbers(held.said)[0]}

    def memory(self, connections: int, arm: str, receiver: Receiver) -> dict[str, float]:
        """Of the program, at rest, with so many connections that had an exchange each."""
        with self.hold(arm, receiver, "http_client", max(EXCHANGES, connections), 512, connections) as held:
            return {"memory_kib": memory_kib(held.child.pid)}

    def idle(self, arm: str, receiver: Receiver) -> dict[str, float]:
        """After its exchanges are exported nothing runs in the program. The drainer, one for all that
        were launched, shows now and then that it lives."""
        with self.hold(arm, receiver, "http_client", EXCHANGES, 512) as held:
            watched = {"wake_ups_per_s": held.child.pid}
            if arm == WIRESPAN:
                receiver.await_spans(EXCHANGES)
                watched["drainer_wake_ups_per_s"] = held.drainer()
            time.sleep(1)  # what follows the export
            before = {name: sleeps(pid) for name, pid in watched.items()}
            time.sleep(IDLE_SECONDS)
            return {name: (sleeps(pid) - before[name]) / IDLE_SECONDS for name, pid in watched.items()}

    def processes(self, count: int, arm: str, receiver: Receiver) -> dict[str, float]:
        """So many programs at once, which share a steady number of exchanges."""
        rate = EXCHANGES_PER_SECOND // count
        exchanges = rate * SECONDS // BURST * BURST
        one = f"{OPERATIONS} http_client {exchanges} {BURST} 1 1 {rate}"
        script = f"i=0; while [ $i -lt {count} ]; do {one} & i=$((i+1)); done; wait"
        before = set(launched.drainers())
        done = subprocess.run(self.command(arm, "sh", "-c", script), env=self.environment(receiver, arm),
                              capture_output=True, text=True, timeout=300, check=True)
        for drainer in set(launched.drainers()) - before:
            launched.reap(drainer)
        each = [float(ns) for ns in re.findall(r"^([\d.]+) ns$", done.stdout, re.MULTILINE)]
        if len(each) != count:
            raise SystemExit(f"processes_{count}: {len(each)} of them ended: {done.stderr[-2000:]}")
        result = {"ns": statistics.median(each)}
        if arm == WIRESPAN:
            result["lost"] = 1 - receiver.counts()["spans"] / (count * exchanges)
        return result

    def cases(self) -> dict:
        found = {"launched_idle": self.idle}
        for name in ("http_client", "http_client_usual", "redis_1", "redis_16"):
            found[f"launched_{name}"] = lambda arm, receiver, name=name: self.operation(name, arm, receiver)
        for count in (1, 1000):
            found[f"launched_memory_{count}"] = lambda arm, receiver, n=count: self.memory(n, arm, receiver)
        for count in PROCESSES:
            found[f"processes_{count}"] = lambda arm, receiver, n=count: self.processes(n, arm, receiver)
        return found


class Sustained(Launched):
    """So many spans a second, for seconds: what the exporter takes for each and what is lost."""

    arms = (WIRESPAN,)

    def sustain(self, rate: int, is_launched: bool, arm: str, receiver: Receiver) -> dict[str, float]:
        count = SUSTAINED * rate // max(RATES)
        words = ["--hold", "redis_16", count // 512 * 512, 512, 1, 1, rate]
        environment = self.environment(receiver, arm)
        if not is_launched:
            environment["LD_PRELOAD"] = str(self.library)
        with Held(self.command(WIRESPAN if is_launched else PLAIN, OPERATIONS, *words), environment) as held:
            self.await_quiet(receiver)
            exporter = held.drainer() if is_launched else held.child.pid
            seconds = seconds_of(exporter, everything=is_launched)
            spans = receiver.counts()["spans"]
            per_second = numbers(held.said)[2]
            held.finish()
        return {"exporter_ns_per_span": seconds * 1e9 / spans, "lost": 1 - spans / count,
                "spans_per_s": per_second, "cores": seconds * per_second / count}

    @staticmethod
    def await_quiet(receiver: Receiver) -> None:
        """Until what was taken has been sent: nothing more comes for a second and a half."""
        seen = [-1, 0.0]

        def is_quiet() -> bool:
            spans = receiver.counts()["spans"]
            if spans != seen[0]:
                seen[:] = [spans, time.monotonic()]
            return spans > 0 and time.monotonic() - seen[1] > 1.5

        wait_until(is_quiet, 60, "the end of the exports")

    def cases(self) -> dict:
        found = {}
        for rate in RATES:
            found[f"sustained_{rate}"] = lambda arm, receiver, r=rate: self.sustain(r, False, arm, receiver)
            found[f"sustained_launched_{rate}"] = lambda arm, receiver, r=rate: self.sustain(r, True, arm, receiver)
        return found
