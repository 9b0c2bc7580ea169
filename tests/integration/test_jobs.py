#!/usr/bin/env python3
"""Jobs: what real producers and workers of a queue say to Redis becomes one span for each attempt,
with what the worker did for it beneath."""

import json
import re
import subprocess

from support import case, launched, spans
from support.jobs import CONSUMER, JOBS, OWN_KIB, PRODUCER, STEADY_HEAP, Jobs, by_job, named
from support.process import clean_environment, run


class PlainSchema(Jobs):
    COUNT = 9

    def check_plain(self, protocol: int) -> None:
        output, produced = self.observed(self.python, JOBS / "plain_producer.py", self.redis.port, self.COUNT, protocol)
        ids = output.split()
        _, worked = self.observed(
            self.python, JOBS / "plain_worker.py", self.redis.port, self.truth.port, self.COUNT, protocol
        )
        submitted = by_job(produced, "job.submit")
        saved = by_job(produced, "job.save_redis")
        attempts = by_job(worked, "job.process")
        claims = by_job(worked, "job.claim")
        self.assertEqual(set(submitted), set(ids))
        self.assertEqual(set(saved), set(ids))
        self.assertEqual(set(attempts), set(ids))
        self.assertEqual(set(claims), set(ids))
        for number, job in enumerate(ids):
            attempt, submit = attempts[job], submitted[job]
            failed = number % 3 == 2
            self.assertEqual(submit.kind, PRODUCER)
            self.assertEqual(attempt.kind, CONSUMER)
            # Both sides come to the same trace, and the attempt says who submitted the job.
            self.assertEqual(len({submit.trace_id, attempt.trace_id, claims[job].trace_id, saved[job].trace_id}), 1)
            self.assertEqual(saved[job].parent_id, submit.span_id)
            self.assertEqual([link["spanId"] for link in attempt.links], [submit.span_id])
            self.assertEqual(attempt.parent_id, "")
            self.assertEqual(attempt.get("job.type"), "resize")
            self.assertEqual(attempt.get("messaging.system"), "plain")
            self.assertEqual(attempt.get("messaging.destination.name"), "jobs:pending")
            self.assertEqual(attempt.get("processing.status"), "failed" if failed else "completed")
            self.assertEqual(attempt.status, 2 if failed else 0)
            self.assertGreater(attempt.get("queue.wait_time_ms"), 0)
            self.check_calls(worked, attempt, job, failed)
        self.assertEqual(len({attempt.trace_id for attempt in attempts.values()}), self.COUNT)
        # The value of a job is never shown.
        self.assertNotIn("xxxx", str([span.attributes for span in produced]))

    def check_calls(self, worked: list[spans.Span], attempt: spans.Span, job: str, failed: bool) -> None:
        """What the worker did for the job is beneath it, the end of the job beside it."""
        below = [span for span in worked if span.parent_id == attempt.span_id]
        self.assertEqual(
            sorted(span.name.split()[0] for span in below), ["GET", "HGETALL", "HSET", "process.http_request"], f"beneath {job}"
        )
        for span in below:
            self.assertEqual(span.trace_id, attempt.trace_id)
            self.assertIn(job, str(span.attributes))
            self.assertLessEqual(attempt.start_ns, span.start_ns)
            self.assertLessEqual(span.end_ns, attempt.end_ns)
        end = by_job(worked, "job.fail" if failed else "job.complete")[job]
        self.assertEqual(end.trace_id, attempt.trace_id)
        self.assertEqual(by_job(worked, "job.archive")[job].trace_id, attempt.trace_id)

    def produce(self, manner: str) -> list[spans.Span]:
        """The spans of a program that saves a job and, unless it forgets to, enqueues it."""
        return self.observed(self.python, JOBS / "plain_savers.py", self.redis.port, manner)[1]

    def test_saved_and_never_enqueued(self):
        """A job's submission is its storing's parent only where somebody exports one."""
        found = self.produce("forget")
        saved = named(found, "job.save_redis")
        self.assertEqual(len(saved), 1)
        self.assertEqual(named(found, "job.submit"), [])
        self.assertEqual(saved[0].parent_id, "")
        self.assertEqual(saved[0].links, [])

    def test_saved_then_enqueued(self):
        """The storing was over when nobody knew yet that the job would be enqueued."""
        found = self.produce("sequence")
        saved, submitted = named(found, "job.save_redis")[0], named(found, "job.submit")[0]
        self.assertEqual(saved.trace_id, submitted.trace_id)
        self.assertEqual(saved.parent_id, "")
        self.assertEqual([link["spanId"] for link in submitted.links], [saved.span_id])

    def test_saved_and_enqueued_at_once(self):
        for manner in ("pipeline", "numbered"):
            with self.subTest(manner):
                found = self.produce(manner)
                saved, submitted = named(found, "job.save_redis")[0], named(found, "job.submit")[0]
                self.assertEqual(saved.parent_id, submitted.span_id)
                self.assertEqual(saved.trace_id, submitted.trace_id)
                self.assertEqual(saved.get("wirespan.parent.source"), "content")

    def test_enqueued_in_vain(self):
        """What the server refuses was a submission, too."""
        found = self.produce("refused")
        saved, submitted = named(found, "job.save_redis")[0], named(found, "job.submit")[0]
        self.assertEqual(saved.parent_id, submitted.span_id)
        self.assertEqual(submitted.status, 2)

    def test_workflows_that_end_as_a_whole(self):
        """Given up, or too slow: as the workflow's own status says, once, whatever its id looks like."""
        for number, (status, name) in enumerate({"cancelled": "cancel", "timeout": "timeout"}.items()):
            for workflow in (f"9a1e6f04-3c52-4d0b-8f7e-{number:012}", f"wf_{number}"):
                with self.subTest(status=status, workflow=workflow):
                    program = ("import sys, redis; client = redis.Redis(port=int(sys.argv[1])); workflow = sys.argv[2];"
                               "client.hset('job:' + workflow, mapping={'created_at': '2026-11-21T10:00:00Z',"
                               "'workflow_id': workflow, 'current_step': 1, 'total_steps': 3, 'job_type': 'a'});"
                               "client.zadd('jobs:pending', {workflow: 1});"
                               "client.hset('workflow:' + workflow, 'status', sys.argv[3]);"
                               "client.hset('workflow:' + workflow, 'status', sys.argv[3])")
                    _, found = self.observed(self.python, "-c", program, self.redis.port, workflow, status)
                    start, = named(found, "workflow.start")
                    end, = named(found, f"workflow.{name}")
                    self.assertEqual((end.trace_id, end.parent_id), (start.trace_id, start.span_id))
                    self.assertEqual(end.get("workflow.id"), workflow)
                    self.assertEqual((end.status, end.get("error.type")),
                                     (2, "timeout") if name == "timeout" else (0, None))
                    said = [span for span in found if span.get("db.query.text", "").startswith("HSET workflow:")]
                    self.assertEqual([link["spanId"] for link in end.links], [said[0].span_id])
                    self.assertEqual([link["spanId"] for link in said[0].links], [end.span_id])

    def test_each_way_to_end(self):
        """As the status says: the step that ended the attempt, and what the attempt says of it."""
        ends = {
            "job.complete": ("completed", 0, None), "job.fail": ("failed", 2, "_OTHER"),
            "job.timeout": ("timeout", 2, "timeout"), "job.cancel": ("cancelled", 0, None),
            "job.requeue": ("requeued", 0, None),
        }
        output, _ = self.observed(self.python, JOBS / "plain_producer.py", self.redis.port, len(ends))
        _, worked = self.observed(self.python, JOBS / "plain_ends.py", self.redis.port, len(ends))
        attempts = by_job(worked, "job.process")
        for job, (name, (status, code, error)) in zip(output.split(), ends.items()):
            self.assertEqual(set(by_job(worked, name)), {job})
            attempt = attempts[job]
            self.assertEqual(
                (attempt.get("processing.status"), attempt.status, attempt.get("error.type")), (status, code, error)
            )
            self.assertEqual(by_job(worked, name)[job].trace_id, attempt.trace_id)

    def transacted(self, manner: str, protocol: int) -> tuple[list[str], list[spans.Span]]:
        output, found = self.observed(self.python, JOBS / "plain_transactions.py", self.redis.port, manner, protocol)
        return output.split(), found

    def check_transactions(self, protocol: int) -> None:
        """What is queued by MULTI happens with EXEC, whose answer tells what came of it."""
        ids, found = self.transacted("submit", protocol)
        submitted, saved = by_job(found, "job.submit"), by_job(found, "job.save_redis")
        self.assertEqual((set(submitted), set(saved)), (set(ids), set(ids)))
        for job in ids:
            self.assertEqual(saved[job].parent_id, submitted[job].span_id)
            self.assertTrue(submitted[job].get("wirespan.redis.queued"))
        ids, found = self.transacted("work", protocol)
        attempts, claims = by_job(found, "job.process"), by_job(found, "job.claim")
        self.assertEqual((set(attempts), set(claims)), (set(submitted), set(submitted)))
        for job, attempt in attempts.items():
            self.assertEqual(attempt.trace_id, submitted[job].trace_id)
            self.assertEqual(claims[job].trace_id, attempt.trace_id)
            self.assertEqual(attempt.get("processing.status"), "completed")
            self.assertEqual(attempt.get("job.type"), "resize")
            below = [span.name.split()[0] for span in found if span.parent_id == attempt.span_id]
            self.assertIn("GET", below)
            self.assertEqual(by_job(found, "job.complete")[job].trace_id, attempt.trace_id)
            self.assertEqual(by_job(found, "job.archive")[job].trace_id, attempt.trace_id)
        # To find nothing is no exchange, and the transaction around it is none either.
        names = [span.name.split()[0] for span in found]
        self.assertNotIn("ZPOPMAX", names)
        self.assertEqual(names.count("EXEC"), 2 * len(ids))
        self.assertEqual(names.count("MULTI"), 2 * len(ids))

    def test_transactions_with_resp2(self):
        self.check_transactions(2)

    def test_transactions_with_resp3(self):
        self.check_transactions(3)

    def test_transactions_that_do_not_happen(self):
        """Given up, refused because something has changed, refused as a whole: no job has ended. A command that fails
        by itself is one that failed."""
        self.transacted("submit", 2)
        for manner in ("discard", "watch", "abort"):
            with self.subTest(manner):
                _, found = self.transacted(manner, 2)
                self.assertEqual(named(found, "job.complete"), [])
                attempt, = named(found, "job.process")
                self.assertEqual(attempt.get("wirespan.job.end"), "unknown")
        _, found = self.transacted("fail", 2)
        archived, completed = named(found, "job.archive"), named(found, "job.complete")
        self.assertEqual([span.status for span in archived + completed], [0])
        self.assertEqual([span.get("error.type") for span in found if span.name.startswith("ZADD")], ["WRONGTYPE"])
        self.assertEqual(named(found, "job.process")[0].get("processing.status"), "completed")

    def test_more_in_one_transaction_than_is_remembered(self):
        ids, found = self.transacted("many", 2)
        self.assertEqual(set(by_job(found, "job.submit")), set(ids))
        self.assertEqual(len(ids), 700)

    def test_python_worker_with_resp2(self):
        self.check_plain(2)

    def test_python_worker_with_resp3(self):
        self.check_plain(3)


class Broker(Jobs):
    """A function of the server hands out jobs, as JSON."""

    COUNT = 6

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node_folder = cls.install_queues()

    def check_broker(self, carries: str) -> None:
        output, produced = self.observed(self.python, JOBS / "broker_api.py", self.redis.port, self.COUNT, carries)
        told = [line.split() for line in output.splitlines()]
        _, worked = self.observed(
            "node", JOBS / "broker_worker.mjs", self.redis.port, self.truth.port, self.COUNT + 3,
            NODE_FOLDER=self.node_folder,
        )
        submitted, saved = by_job(produced, "job.submit"), by_job(produced, "job.save_redis")
        attempts, claims = by_job(worked, "job.process"), by_job(worked, "job.claim")
        self.assertEqual(set(submitted), {job for job, _, _ in told})
        self.assertEqual(set(attempts), set(submitted))
        self.assertEqual(set(claims), set(submitted))
        for number, (job, trace, span) in enumerate(told):
            failed = number % 3 == 2
            end = by_job(worked, "job.fail" if failed else "job.complete")[job]
            archived, message = by_job(worked, "job.archive")[job], by_job(worked, "job.send_complete_msg")[job]
            made, done = [submitted[job], saved[job]], [claims[job], attempts[job], end, archived, message]
            if carries in ("none", "void"):
                self.assertEqual({each.parent_id for each in made + done}, {""})
                self.assertNotEqual(submitted[job].trace_id, trace)
                self.assertEqual([link["spanId"] for link in attempts[job].links], [submitted[job].span_id])
                self.assertEqual([link["spanId"] for link in submitted[job].links], [saved[job].span_id])
            else:
                # What the job carries is the parent of its submission and of all that becomes of it.
                self.assertEqual({each.trace_id for each in made + done}, {trace})
                self.assertEqual({each.parent_id for each in made + done}, {span})
                self.assertEqual({each.get("wirespan.parent.source") for each in made + done}, {"content"})
            self.assertEqual(len({each.trace_id for each in made + done}), 1)
            self.check_attempt(worked, attempts[job], claims[job], failed)
            if failed:
                self.assertEqual(archived.events[0]["name"], "exception")
                self.assertIn(f"no room for {job}", str(archived.events))
                # It was told behind the end, and is the attempt's all the same.
                self.assertEqual(attempts[job].message, f"no room for {job}")
            if carries == "workflow":
                self.assertEqual(attempts[job].get("workflow.id"), "wf_123")
                self.assertEqual(attempts[job].get("workflow.step_number"), 1)
        # Empty claims and bookkeeping are no spans, values never shown.
        self.assertEqual([span for span in worked if span.name.lower().startswith(("fcall", "hdel"))], [])
        self.assertNotIn("xxxx", str([span.attributes for span in produced + worked]))

    def check_attempt(self, worked: list[spans.Span], attempt: spans.Span, claim: spans.Span, failed: bool) -> None:
        self.assertEqual(attempt.get("job.type"), "openai_image")
        self.assertEqual(attempt.get("job.priority"), "75")
        self.assertEqual(attempt.get("job.attempt"), 1)
        self.assertEqual(attempt.get("customer.id"), "customer-1")
        self.assertEqual(attempt.get("worker.id"), "gpu-1-worker-0")
        self.assertEqual(attempt.get("job.progress.percent"), 50)
        self.assertEqual(attempt.get("processing.status"), "failed" if failed else "completed")
        self.assertGreater(attempt.get("queue.wait_time_ms"), 0)
        self.assertEqual(claim.get("matching.function"), "findMatchingJob")
        below = [span for span in worked if span.parent_id == attempt.span_id and span.get("url.full")]
        self.assertEqual([f"job={attempt.get('job.id')}&" in span.get("url.full") for span in below], [True])

    def test_jobs_that_carry_nothing(self):
        self.check_broker("none")

    def test_jobs_that_carry_what_is_none(self):
        self.check_broker("void")

    def test_jobs_that_carry_their_own_context(self):
        self.check_broker("job")

    def test_jobs_that_carry_a_traceparent(self):
        self.check_broker("traceparent")

    def test_jobs_that_carry_their_workflows_context(self):
        self.check_broker("workflow")

    def test_loops_in_jobs(self):
        """What a job's own loop does is the job's; what one does that works on several has the right one, or none."""
        self.observed(self.python, JOBS / "plain_producer.py", self.redis.port, self.COUNT, 2)
        _, worked = self.observed(self.python, JOBS / "loop_worker.py", self.redis.port, self.truth.port, self.COUNT)
        attempts = {span.span_id: span.get("job.id") for span in worked if span.name == "job.process"}
        self.assertEqual(len(attempts), self.COUNT)
        counts = {"own": [0, 0], "several": [0, 0]}
        for span in worked:
            if found := re.search(r"job=(.+)&(\w+)$", span.get("url.full", "")):
                self.assertIn(span.parent_id, ("", *attempts))
                self.assertIn(attempts.get(span.parent_id), (None, found[1]), span)
                counts[found[2]][span.parent_id == ""] += 1
        self.assertEqual(counts["own"], [(self.COUNT - 3) * 5 + 1, 0])
        self.assertEqual(sum(counts["several"]), 5)

    def test_a_context_that_is_read_after_the_claim(self):
        """The attempt and what is below it move into the trace that the job carries."""
        output, _ = self.observed(self.python, JOBS / "broker_api.py", self.redis.port, self.COUNT, "job")
        _, worked = self.observed(
            self.python, JOBS / "plain_worker.py", self.redis.port, self.truth.port, self.COUNT
        )
        attempts, claims = by_job(worked, "job.process"), by_job(worked, "job.claim")
        for job, trace, span in (line.split() for line in output.splitlines()):
            attempt = attempts[job]
            self.assertEqual((attempt.trace_id, attempt.parent_id), (trace, span))
            self.assertIn(claims[job].span_id, [link["spanId"] for link in attempt.links])
            below = [each for each in worked if each.parent_id == attempt.span_id]
            self.assertEqual({each.trace_id for each in below}, {trace})
            self.assertEqual(len(below), 4)


class BullMq(Jobs):
    COUNT = 12

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node_folder = cls.install_queues()

    def work(self, attempts: int, ends: int, concurrency: int) -> tuple[list, dict, list]:
        """Returns the spans of the producer, what the worker says of each attempt's end, the worker's spans."""
        output, produced = self.observed(
            "node", JOBS / "bullmq_producer.mjs", self.redis.port, self.COUNT, attempts, NODE_FOLDER=self.node_folder
        )
        self.assertEqual(len(output.split()), self.COUNT)
        output, worked = self.observed(
            "node", JOBS / "bullmq_worker.mjs", self.redis.port, self.truth.port, ends, concurrency,
            NODE_FOLDER=self.node_folder,
        )
        told = {}
        for line in output.splitlines():
            job, attempt, processed, submitted, how = line.split()
            told[job, int(attempt)] = (int(processed), int(submitted), how)
        self.assertEqual(len(told), ends)
        return produced, told, worked

    def check_attempts(self, produced: list, told: dict, worked: list) -> dict:
        submitted = by_job(produced, "job.submit")
        attempts = {(span.get("job.id"), span.get("job.attempt")): span for span in named(worked, "job.process")}
        self.assertEqual(len(attempts), len(named(worked, "job.process")))
        self.assertEqual(set(attempts), set(told))
        for (job, number), span in attempts.items():
            processed, timestamp, how = told[job, number]
            submit = submitted[job]
            self.assertEqual(span.trace_id, submit.trace_id)
            self.assertEqual([link["spanId"] for link in span.links], [submit.span_id])
            self.assertEqual(span.get("job.type"), "resize")
            self.assertEqual(span.get("messaging.destination.name"), "pictures")
            self.assertEqual(span.get("processing.status") == "completed", how == "completed")
            if number == 1:
                self.assertAlmostEqual(span.get("queue.wait_time_ms"), processed - timestamp, delta=5)
            self.assertEqual(span.status, 0 if how == "completed" else 2)
        # No empty claim, renewal or waiting for work is a span.
        self.assertEqual([span for span in worked if span.name.startswith(("BZPOPMIN", "bzpopmin"))], [])
        self.assertNotIn("xxxx", str([span.attributes for span in produced + worked]))
        return attempts

    def test_one_at_a_time(self):
        produced, told, worked = self.work(1, self.COUNT, 1)
        attempts = self.check_attempts(produced, told, worked)
        self.assertEqual(
            sorted(how for _, _, how in told.values()), ["completed"] * 8 + ["failed"] * 4
        )
        for (job, _), span in attempts.items():
            calls = [call for call in worked if call.parent_id == span.span_id and call.get("url.full")]
            self.assertEqual(len(calls), 1, job)
            self.assertIn(f"job={job}&", calls[0].get("url.full"))
            self.assertEqual(span.get("job.progress.percent"), 50)
            if span.status == 2:
                self.assertEqual(span.message, f"no room for {job}")
                self.assertEqual([event["name"] for event in span.events], ["job.progress", "exception"])

    def test_retries_ten_at_a_time(self):
        produced, told, worked = self.work(3, self.COUNT + self.COUNT // 3, 10)
        attempts = self.check_attempts(produced, told, worked)
        self.assertEqual(len({span.trace_id for span in attempts.values()}), self.COUNT)
        for call in worked:
            if call.get("url.full") and call.parent_id:
                parent = next(span for span in attempts.values() if span.span_id == call.parent_id)
                self.assertIn(f"job={parent.get('job.id')}&", call.get("url.full"))


class Rq(Jobs):
    """The worker claims, a forked child with a connection of its own works and ends the job."""

    COUNT = 6

    def test_fork_per_job(self):
        environment = {"PYTHONPATH": str(JOBS), "HTTP_PORT": str(self.truth.port)}
        output, produced = self.observed(
            self.python, JOBS / "rq_producer.py", self.redis.port, self.COUNT, **environment
        )
        _, worked = self.observed(self.python, JOBS / "rq_worker.py", self.redis.port, **environment)
        ids = output.split()
        submitted, attempts = by_job(produced, "job.submit"), by_job(worked, "job.process")
        self.assertEqual(set(submitted), set(ids))
        self.assertEqual(set(attempts), set(ids))
        for number, job in enumerate(ids):
            attempt = attempts[job]
            failed = number % 3 == 2
            self.assertEqual(attempt.trace_id, submitted[job].trace_id)
            self.assertEqual(attempt.get("job.type"), "rq_tasks.resize")
            self.assertEqual(attempt.get("messaging.destination.name"), "pictures")
            self.assertEqual(attempt.get("processing.status"), "failed" if failed else "completed")
            calls = [span for span in worked if span.parent_id == attempt.span_id and span.get("url.full")]
            self.assertEqual([f"n={number}&" in call.get("url.full") for call in calls], [True])
            self.assertNotEqual(calls[0].resource["process.pid"], attempt.resource["process.pid"])
            self.assertLessEqual(attempt.start_ns, calls[0].start_ns)
            self.assertLessEqual(calls[0].end_ns, attempt.end_ns)
        self.assertNotIn("xxxx", str([span.attributes for span in produced + worked]))


class ListQueue(Jobs):
    """A list of JSON: a job has no end on the wire but its worker's next claim."""

    COUNT = 6

    def run_queue(self, what: str, count: int, protocol: int = 2, **environment: str) -> tuple[list[str], list[spans.Span]]:
        output, found = self.observed(
            self.python, JOBS / "list_queue.py", what, self.redis.port, self.truth.port, count, protocol, **environment
        )
        return output.split(), found

    def check_list(self, protocol: int) -> None:
        ids, produced = self.run_queue("produce", self.COUNT, protocol)
        again = ids[2::3]
        _, worked = self.run_queue("work", self.COUNT + len(again), protocol)
        submitted, claims = by_job(produced, "job.submit"), named(worked, "job.claim")
        self.assertEqual(set(submitted), set(ids))
        attempts = sorted(named(worked, "job.process"), key=lambda span: span.start_ns)
        self.assertEqual([span.get("job.id") for span in attempts], ids + again)
        self.assertEqual([span.get("job.id") for span in claims], ids + again)
        for number, attempt in enumerate(attempts):
            job = attempt.get("job.id")
            self.assertEqual(attempt.trace_id, submitted[job].trace_id)
            self.assertEqual([link["spanId"] for link in attempt.links], [submitted[job].span_id])
            self.assertEqual(attempt.get("messaging.system"), "list")
            self.assertEqual(attempt.get("messaging.destination.name"), "pictures:jobs")
            self.assertEqual(attempt.get("job.type"), "resize")
            below = [span for span in worked if span.parent_id == attempt.span_id]
            if number < self.COUNT and job in again:
                # Pushed again by who worked on it.
                self.assertEqual(attempt.get("processing.status"), "retried")
                self.assertEqual(sorted(span.name.split()[0] for span in below), ["SET", "process.http_request"])
                self.assertEqual(by_job(worked, "job.retry")[job].trace_id, attempt.trace_id)
            else:
                self.assertEqual(attempt.get("wirespan.job.end"), "unknown")
                self.assertIsNone(attempt.get("processing.status"))
            self.assertIn(f"job={job}&", next(span for span in below if span.get("url.full")).get("url.full"))
        self.assertEqual(len({span.trace_id for span in attempts}), self.COUNT)
        self.assertEqual(named(worked, "job.submit"), [])
        # What came out empty is counted, not shown.
        self.assertEqual([span for span in worked if span.name.startswith("BLPOP")], [])
        self.assertNotIn("xxxx", str([span.attributes for span in produced + worked]))

    def test_resp2(self):
        self.check_list(2)

    def test_resp3(self):
        self.check_list(3)

    def test_poisoned_payloads(self):
        """Each is an attempt, with what could be read before it went wrong."""
        self.run_queue("poison", 0)
        output, worked = self.run_queue("work", 10, **STEADY_HEAP)
        attempts = sorted(named(worked, "job.process"), key=lambda span: span.start_ns)
        self.assertEqual(
            [(span.get("job.id"), span.get("job.type")) for span in attempts],
            [("job-1", "first"), (None, None), (None, None), ("job-2", "large"), ("job-3", None), (None, None),
             ("job-5", None), ("job-6", None), (None, None), ("job-7", "last")],
        )
        for attempt in attempts:
            below = [span for span in worked if span.parent_id == attempt.span_id]
            self.assertEqual([span.name.split()[0] for span in below], ["process.http_request"])
        self.told("FLUSHALL")
        self.run_queue("poison", 0)
        plain = run([self.python, JOBS / "list_queue.py", "work", self.redis.port, self.truth.port, 10],
                    clean_environment(**STEADY_HEAP))
        # The program holds 10 MiB several times; what watches it none of it.
        self.assertLess(int(output[0]) - int(plain.output), OWN_KIB)

    def test_a_list_of_other_things_is_no_queue(self):
        """What is popped from a list that had no job is an exchange as any other."""
        client = ("import sys, redis; client = redis.Redis(port=int(sys.argv[1]));"
                  "client.rpush('words', 'a', '{\"b\": 1}'); client.blpop('words'); client.blpop('words');"
                  "client.blpop('words', timeout=0.05); client.rpop('words')")
        _, found = self.observed(self.python, "-c", client, self.redis.port)
        names = [span.name.split()[0] for span in found if not span.name.startswith(("CLIENT", "HELLO"))]
        self.assertEqual(names, ["RPUSH", "BLPOP", "BLPOP", "BLPOP", "RPOP"])


class Lost(Jobs):
    """A worker is killed in its work: what it did ends as aborted, and who takes the job makes another attempt."""

    FUNCTION = """#!lua name=matching
        redis.register_function('findMatchingJob', function(keys, args)
            local id, job = redis.call('ZPOPMAX', 'jobs:pending')[1], {}
            local fields = redis.call('HGETALL', 'job:' .. id)
            for i = 1, #fields, 2 do job[fields[i]] = fields[i + 1] end
            return cjson.encode({jobId = id, job = job})
        end)"""

    def offer(self, queue: str, job: str, attempts: int) -> None:
        fields = {"created_at": "2026-11-21T10:00:00Z", "job_type": "resize", "retry_count": str(attempts)}
        if queue == "list":
            self.told("RPUSH", "pictures:jobs", json.dumps({"job_id": job, **fields, "retry_count": attempts}))
        else:
            self.told("HSET", f"job:{job}", *(word for pair in fields.items() for word in pair))
            self.told("ZADD", "jobs:pending", "1", job)

    def check_lost(self, queue: str) -> None:
        job = "a7b9a5d0-8f52-4a41-8b0b-3d4e0c8b7f11"
        self.told("FUNCTION", "LOAD", "REPLACE", self.FUNCTION)
        self.offer(queue, job, 0)
        file, before = self.new_path("spans.jsonl"), set(launched.drainers())
        words = [launched.COMMAND, "run", "--", self.python, JOBS / "lost_worker.py", queue, self.redis.port, "hang"]
        with subprocess.Popen([str(word) for word in words], env=launched.exporting(file),
                              stdout=subprocess.PIPE) as worker:
            self.assertEqual(worker.stdout.readline(), b"working\n")
            worker.kill()
        self.await_drainers(before)
        killed = launched.read_growing(file)
        self.offer(queue, job, 1)
        _, taken = self.observed(self.python, JOBS / "lost_worker.py", queue, self.redis.port, "done")
        attempts = named(killed, "job.process") + named(taken, "job.process")
        self.assertEqual([span.get("job.attempt") for span in attempts], [1, 2])
        self.assertEqual({span.get("job.id") for span in attempts}, {job})
        self.assertEqual(len({span.trace_id for span in attempts}), 1)
        self.assertEqual((attempts[0].get("error.type"), attempts[0].status), ("aborted", 2))
        for found, attempt in ((killed, attempts[0]), (taken, attempts[1])):
            self.assertIn("GET", [span.name.split()[0] for span in found if span.parent_id == attempt.span_id])

    def test_plain(self):
        self.check_lost("plain")

    def test_brokered(self):
        self.check_lost("brokered")

    def test_list(self):
        self.check_lost("list")


class Poisoned(Jobs):
    """Payloads that are no JSON, of 10 MiB, ten thousand deep, cut off: each is an attempt, of which no more is told than
    can be read; and what watches the program holds none of it."""

    def check_poison(self, queue: str) -> list[spans.Span]:
        output, found = self.observed(self.python, JOBS / "poison.py", queue, self.redis.port, **STEADY_HEAP)
        attempts = {span.span_id: span for span in named(found, "job.process")}
        calls = [span for span in found if span.name.startswith("GET")]
        self.assertEqual(len(attempts), 9)
        # Who claims for a pool does not execute.
        if queue != "celery":
            self.assertEqual([span.parent_id for span in calls], list(attempts))
        for call in calls if queue != "celery" else []:
            name = re.search(r"of=(\w+)&", call.get("db.query.text"))[1]
            self.assertEqual(attempts[call.parent_id].get("job.id"), name)
        self.told("FLUSHALL")
        plain = run([self.python, JOBS / "poison.py", queue, self.redis.port], clean_environment(**STEADY_HEAP))
        # Of 40 to 60 MiB that passed.
        self.assertLess(int(output) - int(plain.output), OWN_KIB)
        self.assertNotIn("xxxx" * 50, str([span.attributes for span in found]))
        return list(attempts.values())

    def test_bullmq(self):
        for attempt in self.check_poison("bullmq"):
            self.assertIsNotNone(attempt.get("job.id"))
            self.assertEqual(attempt.get("job.type"), "resize")

    def test_rq(self):
        for attempt in self.check_poison("rq"):
            self.assertEqual(attempt.get("messaging.destination.name"), "q")
            self.assertIsNotNone(attempt.get("job.id"))

    def test_celery(self):
        told = [(attempt.get("job.id"), attempt.get("job.type")) for attempt in self.check_poison("celery")]
        self.assertEqual(told, [(None, None)] * 7 + [("cut", "resize"), (None, None)])

    def test_plain(self):
        for attempt in self.check_poison("plain"):
            self.assertEqual(attempt.get("messaging.destination.name"), "jobs:pending")
            self.assertIsNotNone(attempt.get("job.id"))
            self.assertIsNone(attempt.get("queue.wait_time_ms"))


class OwnQueue(Jobs):
    """A queue that is not built in, by the rules of README.md's guide."""

    COUNT = 6

    def setUp(self):
        super().setUp()
        self.rules = self.new_path("orders.rules")
        guide = (case.TREE / "README.md").read_text(encoding="utf-8").split("### Describe your own queue")[1]
        lines = guide[guide.index("    queue orders") :].split("\n- **")[0].splitlines()
        self.rules.write_text("\n".join(line[4:] for line in lines) + "\n", encoding="utf-8")

    def work(self, protocol: int, **environment: str) -> tuple[list[str], list, list]:
        output, produced = self.observed(
            self.python, JOBS / "stream_queue.py", "produce", self.redis.port, protocol, self.COUNT, **environment
        )
        _, worked = self.observed(
            self.python, JOBS / "stream_queue.py", "work", self.redis.port, protocol, self.COUNT, **environment
        )
        return output.split(), produced, worked

    def check_queue(self, protocol: int) -> None:
        ids, produced, worked = self.work(protocol, WIRESPAN_RULES=str(self.rules))
        submitted, attempts = by_job(produced, "job.submit"), by_job(worked, "job.process")
        self.assertEqual(set(submitted), set(ids))
        self.assertEqual(set(attempts), set(ids))
        for job, attempt in attempts.items():
            self.assertEqual(attempt.trace_id, submitted[job].trace_id)
            self.assertEqual(attempt.get("processing.status"), "completed")
            self.assertEqual(attempt.get("messaging.system"), "orders")
            self.assertEqual(attempt.get("messaging.destination.name"), "orders:new")
            self.assertEqual(attempt.get("job.type"), "bill")
            below = [span.name.split()[0] for span in worked if span.parent_id == attempt.span_id]
            self.assertEqual(below, ["INCRBY"])
        # Reads that found nothing are counted, not shown.
        self.assertEqual([span for span in worked if span.name.startswith("XREADGROUP")], [])

    def test_resp2(self):
        self.check_queue(2)

    def test_resp3(self):
        self.check_queue(3)

    def test_a_wrong_file_is_told_of_and_left_out(self):
        self.rules.write_text("queue orders\non XADD {queue}\n  submitt\n", encoding="utf-8")
        finished = run(
            [self.python, JOBS / "stream_queue.py", "produce", self.redis.port, 2, 1],
            case.preload_environment(self.new_path("spans.jsonl"), WIRESPAN_RULES=str(self.rules)),
        )
        self.assertEqual(finished.code, 0)
        self.assertEqual(
            finished.errors.decode(),
            f"wirespan: {self.rules}:3: a rule knows nothing of 'submitt'; did you mean 'submit'?\n",
        )
        told = run([case.BUILD / "src" / "command" / "wirespan", "rules", "check", self.rules], {})
        self.assertEqual(told.code, 1)
        self.assertIn(f"{self.rules}:3: a rule knows nothing of", told.errors.decode())


if __name__ == "__main__":
    case.main()
