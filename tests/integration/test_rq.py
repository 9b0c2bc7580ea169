#!/usr/bin/env python3
"""RQ's jobs of all kinds, by real workers that fork for each job and by those that do not: each attempt is one span,
with its number, that says what the queue's own record says."""

import os
import re
import signal
import subprocess

import redis

from support import case, launched, spans
from support.jobs import JOBS, Jobs, by_job, named
from support.launched import COMMAND, exporting, read_growing
from support.process import wait_until

OF = re.compile(r"of=([\w-]+)/(\d+)&")
# Of each kind: the ends of its attempts, the last one's last.
KINDS = {
    "plain": ["completed"], "failing": ["failed"], "again": ["retried", "completed"],
    "twice": ["retried", "retried", "completed"], "backoff": ["retried", "completed"], "delayed": ["completed"],
    "named": ["retried", "completed"], "front": ["completed"], "dying": ["failed"], "slow": ["failed"],
}
MIXED = ["plain", "failing", "again", "twice", "backoff", "delayed", "named", "front"]
ERRORS = {
    "failing": ("rq_mixed.NoRoom", "no room", "in failing\\n"),
    "slow": ("rq.timeouts.JobTimeoutException", "Task exceeded maximum timeout value (1 seconds)",
             "in handle_death_penalty\\n"),
}
BOOKKEEPING = re.compile(
    r"^(BLPOP|BLMOVE|LPOP|EXISTS|EXPIRE|PERSIST|SADD|SREM|SMEMBERS|\S+ rq:(worker|execution|scheduler|wip)|"
    r"HSET \S+ last_heartbeat \?$)")


class Rq(Jobs):
    def setUp(self):
        super().setUp()
        self.used = self.python
        self.client = redis.Redis(port=self.redis.port, decode_responses=True)
        self.addCleanup(self.client.close)
        self.settings = {
            "TEST_REDIS": str(self.redis.port), "PYTHONPATH": str(JOBS), "PYTHONDONTWRITEBYTECODE": "1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
        }

    def submit(self, count: int, *kinds: str) -> tuple[dict[str, tuple[str, str]], list[spans.Span]]:
        output, produced = self.observed(self.used, *self.program("submit", count, *kinds), **self.settings)
        return {job: (queue, kind) for queue, job, kind in map(str.split, output.splitlines())}, produced

    def program(self, task: str, *arguments) -> list:
        return [JOBS / "rq_mixed.py", task, self.redis.port, *arguments]

    def work(self, manner: str, *queues: str) -> tuple[dict[tuple[str, int], tuple[float, float]], list[spans.Span]]:
        """What RQ's record says of each attempt, and the worker's spans."""
        output, worked = self.observed(self.used, *self.program("work", manner, *queues), **self.settings)
        told = [line.split() for line in output.splitlines()]
        return {(job, int(number)): (float(started), float(enqueued)) for job, number, started, enqueued in told}, worked

    def check_mixed(self, count: int, manner: str, *kinds: str) -> None:
        jobs, produced = self.submit(count, *kinds)
        record, worked = self.work(manner, "high", "low")
        expected = {(job, number + 1): status for job, (_, kind) in jobs.items() for number, status in enumerate(KINDS[kind])}
        self.assertEqual(record.keys(), expected.keys())
        found = named(worked, "job.process")
        attempts = {(span.get("job.id"), span.get("job.attempt")): span for span in found}
        self.assertEqual(len(attempts), len(found), "an attempt twice")
        self.assertEqual({key: jobs[key[0]] for key in expected.keys() - attempts.keys()}, {}, "missing")
        self.assertEqual(attempts.keys(), expected.keys())
        for key, attempt in attempts.items():
            queue, kind = jobs[key[0]]
            self.assertEqual(attempt.get("processing.status"), expected[key], (kind, key))
            self.assertEqual(attempt.get("messaging.destination.name"), queue)
            self.assertEqual(attempt.get("job.type"), f"rq_mixed.{kind}")
            self.assertEqual(attempt.trace_id, attempts[key[0], 1].trace_id, kind)
            started, enqueued = record[key]
            self.assertAlmostEqual(attempt.get("queue.wait_time_ms"), (started - enqueued) * 1000, delta=5, msg=kind)
            if kind in ERRORS:
                # What went wrong stands in what RQ writes of the result, packed.
                kind_of_error, text, place = ERRORS[kind]
                self.assertEqual((attempt.get("error.type"), attempt.message), (kind_of_error, text))
                self.assertIn(place, str(attempt.events))
        self.assertEqual(len({span.trace_id for span in found}), count)
        self.check_submissions(jobs, produced, worked, attempts)
        self.check_calls(worked, attempts)
        for span in worked:
            self.assertNotRegex("" if span.name == "job.claim" else span.get("db.query.text", ""), BOOKKEEPING, span)

    def check_submissions(self, jobs: dict, produced: list, worked: list, attempts: dict) -> None:
        """Each job is submitted once: by its producer, or when it is due by the worker's scheduler."""
        submitted = by_job(produced + worked, "job.submit")
        self.assertEqual(submitted.keys(), jobs.keys())
        for job, span in submitted.items():
            self.assertEqual(span.trace_id, attempts[job, 1].trace_id)
            for number in range(1, len(KINDS[jobs[job][1]]) + 1):
                self.assertIn(span.span_id, [link["spanId"] for link in attempts[job, number].links])
        pushed = [span for span in worked if span.name in ("job.retry", "job.requeue")]
        self.assertEqual({span.get("job.id") for span in pushed}, {job for job, number in attempts if number > 1})

    def check_calls(self, worked: list[spans.Span], attempts: dict) -> None:
        """Each attempt has its own call beneath it, in the child that made it."""
        calls = {}
        for span in worked:
            if found := OF.search(span.get("db.query.text", "")):
                calls[found[1], int(found[2])] = span
        # A child that is killed takes its exchanges along, where nobody outlives it to tell of them.
        told = {key for key, span in attempts.items() if span.get("job.type") != "rq_mixed.dying"}
        self.assertEqual(calls.keys(), told)
        for key, call in calls.items():
            self.assertEqual((call.trace_id, call.parent_id), (attempts[key].trace_id, attempts[key].span_id), key)

    def test_mixed(self):
        self.check_mixed(20, "fork", *MIXED, "dying", "slow")

    def test_mixed_of_debians_release(self):
        self.used = "/usr/bin/python3"
        self.check_mixed(20, "fork", *MIXED, "dying", "slow")

    def test_without_forks_of_debians_release(self):
        self.used = "/usr/bin/python3"
        self.check_mixed(16, "simple", *MIXED)

    def test_hundreds(self):
        self.check_mixed(64, "fork", *MIXED)

    def test_two_thousand_without_forks(self):
        self.check_mixed(2000, "simple", "plain", "plain", "plain", *MIXED)

    def check_killed(self, kind: str) -> tuple[spans.Span, list[spans.Span]]:
        """Worker and child are killed. What another one does that finds the job when its time is over."""
        jobs, produced = self.submit(1, kind)
        file, before, others = self.new_path("spans.jsonl"), set(launched.drainers()), set(launched.children())
        words = [str(word) for word in [COMMAND, "run", "--", self.used, *self.program("work", "fork", "high")]]
        worker = subprocess.Popen(words, env=exporting(file, **self.settings), start_new_session=True)
        with worker:
            with redis.Redis(port=self.redis.port, db=1) as notes:
                wait_until(lambda: notes.llen("records") == 1, 60, "the job to begin")
            for process in [*launched.descendants(worker.pid), worker.pid]:
                os.kill(process, signal.SIGKILL)
        self.await_drainers(before)
        for process in set(launched.children()) - others:
            launched.reap(process)
        # Some minutes later.
        for member in self.client.zrange("rq:wip:high", 0, -1):
            self.client.zadd("rq:wip:high", {member: 1})
        self.client.delete("rq:clean_registries:high")
        killed, = named(read_growing(file), "job.process")
        self.assertEqual((killed.get("error.type"), killed.status, killed.get("job.attempt")), ("aborted", 2, 1))
        self.assertEqual(killed.get("job.id"), next(iter(jobs)))
        self.assertEqual(killed.trace_id, named(produced, "job.submit")[0].trace_id)
        _, worked = self.work("fork", "high")
        self.assertEqual(named(worked, "job.submit"), [])
        return killed, worked

    def check_taken(self) -> None:
        killed, worked = self.check_killed("hanging_again")
        taken, = named(worked, "job.process")
        self.assertEqual((taken.get("processing.status"), taken.get("job.attempt")), ("completed", 2))
        self.assertEqual((taken.get("job.id"), taken.trace_id), (killed.get("job.id"), killed.trace_id))
        self.assertEqual([span.trace_id for span in named(worked, "job.requeue")], [killed.trace_id])

    def test_a_lost_job_is_taken(self):
        self.check_taken()

    def test_a_lost_job_is_taken_of_debians_release(self):
        self.used = "/usr/bin/python3"
        self.check_taken()

    def test_a_lost_job_fails(self):
        """Who finds it says so."""
        killed, worked = self.check_killed("hanging")
        self.assertEqual(named(worked, "job.process"), [])
        failed, = named(worked, "job.fail")
        self.assertEqual((failed.get("job.id"), failed.trace_id), (killed.get("job.id"), killed.trace_id))


if __name__ == "__main__":
    case.main()
