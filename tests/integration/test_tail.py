#!/usr/bin/env python3
"""The tail policy: whole traces are kept or dropped, by one process alone and by a launcher for several."""

from support import case, launched, losses, spans
from support.process import run
from support.servers import RedisServer

JOBS = case.TREE / "tests" / "integration" / "jobs"
THRESHOLD = 0xE6660000000000  # of a tenth
SERVER = 2


def is_lucky(trace_id: str) -> bool:
    return int(trace_id[-14:], 16) >= THRESHOLD


def names(found: list[spans.Span]) -> list[str]:
    return sorted(span.name.split()[0] for span in found)


def excused(found: list[spans.Span]) -> set[str]:
    """Traces that are kept for a reason, with those that they are linked to."""
    reasons = {span.trace_id for span in found if span.status == 2}
    while True:
        more = set(reasons)
        for span in found:
            linked = {span.trace_id, *(link["traceId"] for link in span.links)}
            more |= linked if linked & reasons else set()
        if more == reasons:
            return reasons
        reasons = more


class TailPolicy(launched.Launched):
    COUNT = 40

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.python = cls.install_runtimes() / "venv" / "bin" / "python"

    def setUp(self):
        super().setUp()
        server = RedisServer(self.new_path("redis").parent)
        self.redis = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)

    def read(self, path) -> tuple[list[spans.Span], dict]:
        """The spans, and the sums of what the policy told of itself."""
        lost, found = losses.told(spans.read_file(path))
        self.assertEqual(lost, {})
        sums: dict = {}
        for span in found:
            if span.name == "wirespan.tail_policy":
                for key, value in span.attributes.items():
                    if key.startswith("wirespan.tail."):
                        sums[key[14:]] = sums.get(key[14:], 0) + value
        return [span for span in found if span.name != "wirespan.tail_policy"], sums

    def test_a_launcher_keeps_a_slow_job_with_the_request_that_caused_it(self):
        file = self.new_path("spans.jsonl")
        finished = self.launch(
            [self.python, JOBS / "quick_and_slow.py", self.redis.port, self.COUNT, 6],
            launched.exporting(file, WIRESPAN_TAIL_POLICY="seeds"),
        )
        self.assertEqual(finished.code, 0, finished.errors.decode())
        *quick, slow = finished.output.decode().split()
        found, told = self.read(file)
        jobs: dict[str, list[spans.Span]] = {}
        for span in found:
            if span.get("job.id"):
                jobs.setdefault(span.get("job.id"), []).append(span)
        # All of it, and the request that took 10 ms.
        trace = [span for span in found if span.trace_id == jobs[slow][0].trace_id]
        self.assertEqual(
            names(trace),
            ["GET", "HGETALL", "HSET", "job.archive", "job.claim", "job.complete", "job.process", "job.save_redis",
             "job.submit"],
        )
        submit = next(span for span in trace if span.name == "job.submit")
        request = [span for span in found if span.span_id == submit.links[0]["spanId"]]
        self.assertEqual([span.kind for span in request], [SERVER])
        self.assertLess(request[0].end_ns - request[0].start_ns, 10**9)
        # Of the quick ones a tenth, by their own ids, and no others (redis-py begins with a command that this server
        # does not know: that is an error of the first request).
        kept = {job for job in quick if job in jobs}
        self.assertLess(len(kept), self.COUNT / 2)
        for job in kept:
            self.assertEqual(len(jobs[job]), len(jobs[slow]))
        reasons = excused(found) | {trace[0].trace_id, request[0].trace_id}
        for span in found:
            self.assertTrue(is_lucky(span.trace_id) or span.trace_id in reasons, span.name)
        # Nothing is missing that was not dropped: a request, its client's, nine of the job.
        self.assertEqual(told["kept_spans"], len(found))
        self.assertGreaterEqual(told["kept_spans"] + told["dropped_spans"], 11 * (self.COUNT + 1))

    def test_processes_that_judge_for_themselves_agree(self):
        paths = {}
        output = ""
        for role in ("producer", "worker"):
            paths[role] = self.new_path(f"{role}.jsonl")
            arguments = (
                [JOBS / "plain_producer.py", self.redis.port, self.COUNT] if role == "producer"
                else [JOBS / "quick_and_slow.py", self.redis.port, self.COUNT - 1, 0, "worker"]
            )
            if role == "worker":
                self.give_seconds(output.split())
            finished = run(
                [str(argument) for argument in (self.python, *arguments)],
                case.preload_environment(paths[role], WIRESPAN_TAIL_POLICY="seeds", WIRESPAN_LOG_LEVEL="info"),
            )
            self.assertEqual(finished.code, 0, finished.errors.decode())
            self.assertRegex(finished.errors.decode(), r"tail policy: kept \d+ traces, \d+ spans; dropped \d+ traces")
            output = output or finished.output.decode()
        submitted, told = self.read(paths["producer"])
        worked, told_too = self.read(paths["worker"])
        ids = [{span.get("job.id") for span in found if span.get("job.id")} for found in (submitted, worked)]
        self.assertEqual(ids[0], ids[1])
        for found in (submitted, worked):
            reasons = excused(found)
            self.assertTrue(all(is_lucky(span.trace_id) or span.trace_id in reasons for span in found))
        self.assertEqual(told["kept_spans"], len(submitted))
        self.assertEqual(told_too["kept_spans"], len(worked))
        self.assertGreater(told["dropped_traces"], self.COUNT / 2)
        self.assertGreater(told_too["dropped_traces"], self.COUNT / 2)

    def test_all_of_customers_that_matter_is_kept(self):
        """By the field that a rule names as the customer's tier."""
        path = self.new_path("spans.jsonl")
        finished = run(
            [str(argument) for argument in (
                self.python, JOBS / "plain_producer.py", self.redis.port, self.COUNT, 2, "vip"
            )],
            case.preload_environment(path, WIRESPAN_TAIL_POLICY="seeds"),
        )
        self.assertEqual(finished.code, 0, finished.errors.decode())
        ids = finished.output.decode().split()
        found, told = self.read(path)
        kept = {span.get("job.id") for span in found if span.get("job.id")}
        self.assertLessEqual(set(ids[4::5]), kept)
        for job in set(ids[4::5]):
            self.assertEqual(names([span for span in found if span.get("job.id") == job]), ["job.save_redis", "job.submit"])
        reasons = excused(found)
        for span in found:
            if span.get("job.id") and span.get("job.id") not in ids[4::5]:
                self.assertTrue(is_lucky(span.trace_id) or span.trace_id in reasons, span.name)
        self.assertLess(len(kept), self.COUNT / 2)
        self.assertGreater(told["dropped_traces"], self.COUNT / 2)

    def give_seconds(self, jobs: list[str]) -> None:
        """What the other worker wants to know of a job."""
        program = "import redis, sys\nc = redis.Redis(port=int(sys.argv[1]))\n" \
                  "[c.hset(f'job:{job}', 'seconds', 0) for job in sys.argv[2:]]"
        finished = run([str(self.python), "-c", program, str(self.redis.port), *jobs], launched.clean_environment())
        self.assertEqual(finished.code, 0, finished.errors.decode())


if __name__ == "__main__":
    case.main()
