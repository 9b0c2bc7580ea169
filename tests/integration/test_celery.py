#!/usr/bin/env python3
"""Celery's tasks of all kinds, by real workers: each attempt is one span, whose end is told where a result is."""

import os
import re
import signal
import subprocess

import redis

from support import case, launched, losses, spans
from support.jobs import JOBS, Jobs, by_job, named
from support.launched import COMMAND, exporting, read_growing
from support.process import Daemon, wait_until

OF = re.compile(r"of=(\S+)-(\d+)&")
# Of each kind: how many attempts there are, and how the last one ends.
KINDS = {
    "plain": (1, "completed"), "failing": (1, "failed"), "again": (2, "completed"), "backoff": (3, "completed"),
    "delayed": (1, "completed"), "urgent": (1, "completed"), "slow": (1, "completed"),
}
BOOKKEEPING = re.compile(r"^(BRPOP|ZADD|ZREM|HDEL|HSET|HGET|PUBLISH /|[A-Z]+ (\w+ \d )?(_kombu|unacked))")


class Celery(Jobs):
    def setUp(self):
        super().setUp()
        self.used = self.python
        self.client = redis.Redis(port=self.redis.port, db=1, decode_responses=True)
        self.addCleanup(self.client.close)
        self.settings = {
            "TEST_REDIS": str(self.redis.port), "PYTHONPATH": str(JOBS), "PYTHONDONTWRITEBYTECODE": "1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
        }

    def submit(self, count: int, *kinds: str) -> tuple[dict[str, tuple[str, str]], list[spans.Span]]:
        output, produced = self.observed(self.used, JOBS / "celery_mixed.py", count, *kinds, **self.settings)
        return {job: (queue, kind) for queue, job, kind in map(str.split, output.splitlines())}, produced

    def notes(self) -> list[tuple[str, int]]:
        """What the workers did: ids and numbers of the attempts."""
        lines = self.client.lrange("notes", 0, -1)
        return [(line.split()[0], int(line.split()[1]) + 1) for line in lines]

    def worker(self, pool: str, concurrency: int, prefetch: int = 4) -> list:
        return [self.used, "-m", "celery", "-A", "celery_mixed", "worker", "--pool", pool, "--concurrency", concurrency,
                "--prefetch-multiplier", prefetch, "-Q", "pictures,sounds", "--without-gossip", "--without-mingle",
                "--loglevel", "WARNING"]

    def work(self, attempts: int, pool: str, concurrency: int, prefetch: int = 4) -> list[spans.Span]:
        """The spans of a worker, which is ended in order after so many attempts."""
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file, **self.settings)
        with Daemon(self.worker(pool, concurrency, prefetch), environment, self.new_path("log")) as worker:
            wait_until(lambda: self.client.llen("notes") >= attempts or worker.process.poll() is not None, 60,
                       "the attempts")
            self.assertEqual(worker.end(deadline_seconds=60), 0, worker.said()[-2000:])
        lost, worked = losses.told(spans.read_file(file))
        self.assertEqual(lost, {})
        spans.check_ids(worked)
        return worked

    def check_mixed(self, count: int, pool: str, concurrency: int) -> None:
        jobs, produced = self.submit(count)
        expected = {(job, attempt) for job, (_, kind) in jobs.items() for attempt in range(1, KINDS[kind][0] + 1)}
        worked = self.work(len(expected), pool, concurrency)
        self.assertEqual(sorted(self.notes()), sorted(expected))
        submitted, found = by_job(produced, "job.submit"), named(worked, "job.process")
        attempts = {(span.get("job.id"), span.get("job.attempt")): span for span in found}
        self.assertEqual(len(attempts), len(found), "an attempt twice")
        self.assertEqual({key: jobs[key[0]] for key in expected - attempts.keys()}, {}, "missing")
        self.assertEqual(attempts.keys(), expected)
        for (job, number), attempt in attempts.items():
            queue, kind = jobs[job]
            self.assertEqual(attempt.trace_id, submitted[job].trace_id)
            self.assertIn(submitted[job].span_id, [link["spanId"] for link in attempt.links])
            self.assertEqual(attempt.get("messaging.destination.name"), queue)
            self.assertEqual(attempt.get("job.type"), f"celery_mixed.{kind}")
            self.assertEqual(attempt.get("job.priority"), "0" if kind in ("urgent", "delayed") else "6")
            # When a task was enqueued is not on the wire.
            self.assertIsNone(attempt.get("queue.wait_time_ms"))
            self.check_end(attempt, kind, KINDS[kind][1] if number == KINDS[kind][0] else "retried")
        self.check_retries([attempts[job, number].get("processing.status") for job, number in attempts
                            if number < KINDS[jobs[job][1]][0]])
        self.check_calls(worked, attempts)
        self.check_bookkeeping(worked)
        self.assertNotIn("xxxx", str([span.attributes for span in produced + worked]))

    def check_end(self, attempt: spans.Span, kind: str, status: str) -> None:
        if "TEST_BACKEND" in self.settings:
            self.assertEqual(attempt.get("processing.status"), status, attempt)
            self.assertIsNone(attempt.get("wirespan.job.end"))
            self.assertEqual(attempt.status, 0 if status == "completed" else 2)
            if status == "failed":
                self.assertEqual((attempt.get("error.type"), attempt.message),
                                 ("NoRoom", f"no room for {attempt.get('job.id')}"))
                self.assertIn("in failing", str(attempt.events))
        elif attempt.get("processing.status") is None:
            self.assertEqual(attempt.get("wirespan.job.end"), "unknown", attempt)
        else:
            self.assertEqual(attempt.get("processing.status"), status, attempt)
            self.assertEqual(status, "retried")

    def check_retries(self, told: list) -> None:
        """Without results a retry may come when its attempt is forgotten, if more than a hundred were claimed since."""
        may_forget = len(told) > 100 and "TEST_BACKEND" not in self.settings
        self.assertLessEqual(sum(status is None for status in told), len(told) // 10 if may_forget else 0)

    def check_bookkeeping(self, worked: list[spans.Span]) -> None:
        """No waiting, no heartbeat and no list of what is not acknowledged is a span, nor the transaction around it."""
        others = [span for span in worked if not span.name.startswith("job.") and span.status == 0]
        self.assertEqual([span for span in others if BOOKKEEPING.search(span.get("db.query.text", ""))], [])
        # What is sent at once begins at one time.
        bounds = [span for span in others if span.name.startswith(("MULTI", "EXEC"))]
        within = {span.start_ns for span in worked if not span.name.startswith(("MULTI", "EXEC"))}
        self.assertEqual([span for span in bounds if span.start_ns not in within], [])

    def check_calls(self, worked: list[spans.Span], attempts: dict) -> None:
        """Each attempt has its own call beneath it, in whichever process made it."""
        calls = {}
        for span in worked:
            if found := OF.search(span.get("db.query.text", "")):
                calls[found[1], int(found[2]) + 1] = span
        self.assertEqual(calls.keys(), attempts.keys())
        for key, call in calls.items():
            self.assertEqual((call.trace_id, call.parent_id), (attempts[key].trace_id, attempts[key].span_id), key)

    def test_prefork_with_results(self):
        self.settings["TEST_BACKEND"] = "yes"
        self.check_mixed(12, "prefork", 2)

    def test_prefork_without_results(self):
        self.check_mixed(12, "prefork", 2)

    def test_prefork_that_acknowledges_late(self):
        self.settings |= {"TEST_BACKEND": "yes", "TEST_LATE": "yes"}
        self.check_mixed(12, "prefork", 1)

    def test_threads_with_results_that_stay(self):
        self.settings["TEST_BACKEND"] = "for ever"
        self.check_mixed(12, "threads", 10)

    def test_threads_that_acknowledge_late_without_results(self):
        self.settings["TEST_LATE"] = "yes"
        self.check_mixed(12, "threads", 1)

    def test_prefork_of_debians_release(self):
        self.used = "/usr/bin/python3"
        self.settings["TEST_BACKEND"] = "yes"
        self.check_mixed(12, "prefork", 2)

    def test_threads_of_debians_release_without_results(self):
        self.used = "/usr/bin/python3"
        self.check_mixed(12, "threads", 2)

    def test_two_thousand(self):
        self.settings["TEST_BACKEND"] = "yes"
        self.check_mixed(2000, "threads", 10)

    def test_hundreds_without_results(self):
        """Of none it is told that it has ended, and no more are remembered than have room."""
        self.check_mixed(700, "prefork", 2)

    def test_what_is_claimed_ahead(self):
        """A worker of one process takes four tasks before the first has ended; each one's calls are its own."""
        self.settings["TEST_BACKEND"] = "yes"
        jobs, _ = self.submit(6, "slow")
        worked = self.work(6, "prefork", 1, 4)
        attempts = sorted(named(worked, "job.process"), key=lambda span: span.start_ns)
        self.assertEqual({span.get("job.id") for span in attempts}, set(jobs))
        first = min(span.end_ns for span in attempts)
        self.assertGreaterEqual(len([span for span in attempts if span.start_ns < first]), 4)
        self.check_calls(worked, {(span.get("job.id"), 1): span for span in attempts})

    def test_one_that_is_put_off(self):
        """It is claimed at once and waits in its worker, which its attempt shows."""
        self.settings["TEST_BACKEND"] = "yes"
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file, **self.settings)
        with Daemon(self.worker("threads", 1), environment, self.new_path("log")) as worker:
            self.submit(1, "plain")
            wait_until(lambda: self.client.llen("notes") == 1, 60, "the worker to be there")
            self.submit(1, "delayed")
            wait_until(lambda: self.client.llen("notes") == 2, 60, "the delayed one")
            self.assertEqual(worker.end(deadline_seconds=60), 0, worker.said()[-2000:])
        worked = spans.read_file(file)
        attempt = next(span for span in named(worked, "job.process") if span.get("job.type") == "celery_mixed.delayed")
        call = next(span for span in worked if span.parent_id == attempt.span_id and span.name.startswith("INCRBY"))
        self.assertGreater(call.start_ns - attempt.start_ns, 700_000_000)
        self.assertEqual(attempt.get("processing.status"), "completed")

    def check_lost(self, pool: str) -> None:
        """Its worker is killed; another one gets it when it was not acknowledged for long enough."""
        self.settings |= {"TEST_BACKEND": "yes", "TEST_LATE": "yes", "TEST_VISIBLE": "1"}
        jobs, produced = self.submit(1, "hanging")
        file, before, others = self.new_path("spans.jsonl"), set(launched.drainers()), set(launched.children())
        worker = subprocess.Popen([str(word) for word in [COMMAND, "run", "--", *self.worker(pool, 1)]],
                                  env=exporting(file, **self.settings), start_new_session=True)
        with worker:
            wait_until(lambda: self.client.llen("notes") == 1, 60, "the task to begin")
            os.killpg(worker.pid, signal.SIGKILL)
        self.await_drainers(before)
        for process in set(launched.children()) - others:
            launched.reap(process)
        killed = named(read_growing(file), "job.process")
        worked = self.work(2, pool, 1)
        taken = named(worked, "job.process")
        self.assertEqual((len(killed), len(taken)), (1, 1))
        self.assertEqual((killed[0].status, killed[0].get("error.type")), (2, "aborted"))
        self.assertEqual(taken[0].get("processing.status"), "completed")
        self.assertEqual(taken[0].get("job.stalled_count"), 1)
        submit = named(produced, "job.submit")[0]
        for number, span in enumerate(killed + taken, 1):
            self.assertEqual((span.get("job.id"), span.get("job.attempt")), (next(iter(jobs)), number))
            self.assertEqual(span.trace_id, submit.trace_id)
        # Who found it put it back.
        self.assertEqual(named(worked, "job.submit"), [])
        self.assertEqual([span.trace_id for span in named(worked, "job.requeue")], [submit.trace_id])

    def test_a_lost_task_of_prefork(self):
        self.check_lost("prefork")

    def test_a_lost_task_of_threads(self):
        self.check_lost("threads")


if __name__ == "__main__":
    case.main()
