#!/usr/bin/env python3
"""The export end to end: a receiver that is down, slow, overloaded or refuses; batches, gaps and
losses as promised."""

import subprocess
import time

from support import case, losses, servers
from support.process import Hung, clean_environment
from support.receiver import Receiver


class Worker:
    """A preloaded program that makes exchanges when told to."""

    def __init__(self, redis_port: int, environment: dict[str, str]):
        self.process = subprocess.Popen(
            [str(case.COMPILED / "issue"), "redis", "127.0.0.1", str(redis_port)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=environment,
        )
        self.said = ""
        self.took = 0.0

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *ignored) -> None:
        if self.process.poll() is None:
            self.finish()

    def exchanges(self, count: int, rate: int = 0) -> None:
        self.process.stdin.write(b"%d %d\n" % (count, rate))
        self.process.stdin.flush()
        assert self.process.stdout.readline().startswith(b"done %d " % count)

    def finish(self, deadline_seconds: float = 20) -> None:
        """Ends it; `took` is how long the end took."""
        began = time.monotonic()
        try:
            _, errors = self.process.communicate(timeout=deadline_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise Hung(f"the worker did not end within {deadline_seconds} s") from None
        self.took = time.monotonic() - began
        self.said = errors.decode()
        assert self.process.returncode == 0, self.said


class Export(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))

    def worker(self, port: int, **more: str) -> Worker:
        return Worker(
            self.redis.port,
            clean_environment(
                LD_PRELOAD=str(case.LIBRARY), WIRESPAN_LOG_LEVEL="info",
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", **more,
            ),
        )

    def receiver(self, port: int = 0) -> Receiver:
        return Receiver(case.COMPILED / "count_receiver", port)

    def balance(self, receiver: Receiver, worker: Worker, issued: int) -> dict[str, int]:
        counts = receiver.counts()
        lost = losses.read(worker.said)
        self.assertEqual(counts["duplicates"], 0)
        self.assertEqual(counts["spans"] + losses.spans(lost), issued, f"{counts}, lost {lost}, said {worker.said}")
        return lost

    def test_everything_arrives(self):
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            worker.exchanges(5000)
            worker.finish()
            self.assertEqual(self.balance(receiver, worker, 5000), {})
            self.assertLessEqual(receiver.counts()["largest"], 1000)

    def test_first_flush_comes_early(self):
        """A program that dies of SIGTERM runs nothing at its end: so the first spans go at once."""
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            began = time.monotonic()
            worker.exchanges(3)
            receiver.await_spans(3, 5)
            self.assertLess(time.monotonic() - began, 2)

    def test_batches_and_gaps(self):
        """At most 1,000 spans a request; while there are spans, at most 5 s between two requests."""
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            for _ in range(11):
                worker.exchanges(300, 300)
            worker.finish()
            self.assertEqual(self.balance(receiver, worker, 3300), {})
            arrived = [request.milliseconds for request in receiver.requests()]
            gaps = [later - earlier for earlier, later in zip(arrived, arrived[1:])]
            self.assertLessEqual(max(gaps), 5500, gaps)
            self.assertLessEqual(receiver.counts()["largest"], 1000)
            self.assertLessEqual(len(arrived), 15, "needlessly many requests")

    def test_a_burst_is_cut_into_batches(self):
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            worker.exchanges(9000, 9000)
            worker.finish()
            self.balance(receiver, worker, 9000)
            self.assertLessEqual(receiver.counts()["largest"], 1000)
            self.assertGreaterEqual(receiver.counts()["requests"], 9)

    def test_down_and_back(self):
        """What was made while nobody listened arrives when somebody does."""
        port = servers.free_port()
        with self.worker(port) as worker:
            worker.exchanges(2000, 2000)
            time.sleep(1)
            with self.receiver(port) as receiver:
                receiver.await_spans(2000, 40)
                worker.exchanges(100)
                worker.finish()
                self.assertEqual(self.balance(receiver, worker, 2100), {})

    def test_ten_thousand_are_held(self):
        """With nobody listening 10,000 spans are held; what is beyond is dropped and counted."""
        port = servers.free_port()
        with self.worker(port) as worker:
            worker.exchanges(10_000, 5000)
            with self.receiver(port) as receiver:
                receiver.await_spans(10_000, 40)
                worker.finish()
                self.assertEqual(self.balance(receiver, worker, 10_000), {})

    def test_more_than_can_be_held(self):
        port = servers.free_port()
        with self.worker(port) as worker:
            worker.exchanges(25_000, 10_000)
            with self.receiver(port) as receiver:
                receiver.await_spans(10_000, 40)
                worker.finish()
                lost = self.balance(receiver, worker, 25_000)
                self.assertGreaterEqual(receiver.counts()["spans"], 10_000)
                self.assertIn("queue_full", lost)

    def test_nobody_at_the_end(self):
        """The end is bounded, the host's status is its own, and everything is said to be lost."""
        with self.worker(servers.free_port()) as worker:
            worker.exchanges(500)
            worker.finish()
            self.assertEqual(losses.spans(losses.read(worker.said)), 500, worker.said)
            self.assertLess(worker.took, 12)

    def test_slow(self):
        """A receiver that takes a second per request slows nobody down."""
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            receiver.answer(delay_ms=1000)
            began = time.monotonic()
            worker.exchanges(3000)
            self.assertLess(time.monotonic() - began, 3, "the application waited for the receiver")
            receiver.await_spans(3000, 20)
            worker.finish()
            self.assertEqual(self.balance(receiver, worker, 3000), {})

    def test_overloaded_for_a_while(self):
        for status in (429, 503):
            with self.subTest(status), self.receiver() as receiver, self.worker(receiver.port) as worker:
                receiver.answer(status=status, retry_after=1)
                worker.exchanges(1500)
                deadline = time.monotonic() + 20
                while not receiver.counts()["requests"]:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
                refused_at = receiver.requests()[0].milliseconds
                receiver.answer()
                receiver.await_spans(1500, 30)
                worker.finish()
                self.assertEqual(self.balance(receiver, worker, 1500), {})
                good = [request.milliseconds for request in receiver.requests() if request.status == 200]
                self.assertGreaterEqual(good[0] - refused_at, 990, "came back before it was asked to")

    def test_refused(self):
        """400 is for good: the batch is dropped, counted, and not sent again."""
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            receiver.answer(status=400)
            worker.exchanges(700)
            worker.finish()
            lost = self.balance(receiver, worker, 700)
            self.assertEqual(lost, {"export_refused": 700})
            self.assertEqual(receiver.counts()["refused"], 700, "a refused batch was sent again")

    def test_too_large(self):
        """413 has the batch sent in halves: everything arrives, and each span once."""
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            receiver.answer(most_bytes=50_000)
            worker.exchanges(3000)
            worker.finish()
            self.assertEqual(self.balance(receiver, worker, 3000), {})
            statuses = {request.status for request in receiver.requests()}
            self.assertEqual(statuses, {200, 413})
            self.assertIn("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", worker.said)
            self.assertLessEqual(max(request.size for request in receiver.requests() if request.status == 200), 50_000)

    def test_a_span_that_is_too_large(self):
        """What is too large by itself is lost, and counted."""
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            receiver.answer(most_bytes=100)
            worker.exchanges(20)
            worker.finish()
            lost = self.balance(receiver, worker, 20)
            self.assertEqual(lost, {"export_refused": 20})

    def test_partial_success(self):
        with self.receiver() as receiver, self.worker(receiver.port) as worker:
            receiver.answer(reject=10)
            worker.exchanges(100)
            receiver.await_spans(90, 20)
            receiver.answer()
            worker.exchanges(100)
            worker.finish()
            self.assertEqual(self.balance(receiver, worker, 200), {"export_partial": 10})

    def test_gzip(self):
        with self.receiver() as receiver, self.worker(receiver.port, OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as worker:
            worker.exchanges(1000)
            worker.finish()
            self.assertEqual(self.balance(receiver, worker, 1000), {})
            size = sum(request.size for request in receiver.requests())
            self.assertLess(size / 1000, 150, "bytes per span")

    def test_disabled(self):
        with self.receiver() as receiver, self.worker(receiver.port, OTEL_SDK_DISABLED="true") as worker:
            worker.exchanges(100)
            worker.finish()
            self.assertEqual(receiver.counts()["requests"], 0)


if __name__ == "__main__":
    case.main()
