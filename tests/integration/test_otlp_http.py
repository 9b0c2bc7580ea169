#!/usr/bin/env python3
"""OTLP over HTTP against the fake collector: what is sent, and what each answer means.

usage: test_otlp_http.py SEND_BATCH [unittest arguments]
"""
import pathlib
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import otlp  # noqa: E402
from batches import batch  # noqa: E402
from certificates import make_certificate  # noqa: E402
from collector import Collector  # noqa: E402
from support.process import free_port  # noqa: E402
from transport_driver import Driver  # noqa: E402

PROGRAM = sys.argv.pop(1)
# A step may not wait for anything; what is left is the scheduler of a busy machine.
STEP_LIMIT_MS = 500


def url(collector, path="/v1/traces", scheme="http"):
    return f"{scheme}://127.0.0.1:{collector.port}{path}"


class Sent(unittest.TestCase):
    def test_spans_arrive_as_they_were(self):
        for options in ({}, {"gzip": True}):
            with self.subTest(**options), Collector() as collector:
                documents = [batch(count, seed) for seed, count in enumerate((1, 7, 300))]
                with Driver(PROGRAM, "http", url(collector), **options) as driver:
                    for document in documents:
                        outcome = driver.send(document)
                        self.assertEqual(outcome["result"], "delivered", outcome)
                        self.assertEqual(outcome["message"], "")
                        self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
                expected = [span for document in documents for span in otlp.decode_json(document)]
                self.assertEqual(collector.spans, expected)

    def test_request_head(self):
        with Collector() as collector:
            with Driver(PROGRAM, "http", url(collector, "/some/path"), gzip=True,
                        headers="Authorization=Bearer%20abc%3D, x-empty=,X-Team = a b ,") as driver:
                driver.send(batch(50))
            (request,) = collector.requests
            self.assertEqual(request["method"], "POST")
            self.assertEqual(request["path"], "/some/path")
            headers = request["headers"]
            self.assertEqual(headers["content-type"], "application/x-protobuf")
            self.assertEqual(headers["content-encoding"], "gzip")
            self.assertEqual(headers["authorization"], "Bearer abc=")
            self.assertEqual(headers["x-empty"], "")
            self.assertEqual(headers["x-team"], "a b")
            self.assertRegex(headers["user-agent"], r"^wirespan/\S+ OTel-OTLP-Exporter-C/\S+$")
            self.assertNotIn("expect", headers)

    def test_headers_that_cannot_be_sent(self):
        with Collector() as collector:
            driver = Driver(PROGRAM, "http", url(collector),
                            headers="good=1,evil=a%0d%0ab: c,no-equals,content-type=x,bad name=secret")
            self.assertEqual(driver.send(batch(1))["result"], "delivered")
            self.assertEqual(driver.finish(), 0)
            headers = collector.requests[0]["headers"]
            self.assertEqual(headers["good"], "1")
            self.assertNotIn("evil", headers)
            complaints = "".join(driver.errors)
            for entry in (2, 3, 4, 5):
                self.assertIn(f"entry {entry} of OTEL_EXPORTER_OTLP_HEADERS", complaints)
            self.assertNotIn("secret", complaints)

    def test_connection_is_kept(self):
        with Collector() as collector, Driver(PROGRAM, "http", url(collector)) as driver:
            for _ in range(5):
                driver.send(batch(2))
            self.assertEqual({request["connection"] for request in collector.requests}, {1})

    def test_large_batch(self):
        # Decoding it takes the fake collector a second, more on a busy machine.
        with Collector() as collector, Driver(PROGRAM, "http", url(collector), timeout=100000) as driver:
            outcome = driver.send(batch(4000))
            self.assertEqual(outcome["result"], "delivered", outcome)
            self.assertEqual(len(collector.spans), 4000)

    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate = make_certificate(folder, "right")
            other, _ = make_certificate(folder, "wrong")
            with Collector(tls=certificate) as collector:
                with Driver(PROGRAM, "http", url(collector, scheme="https"),
                            certificate=certificate[0]) as driver:
                    outcome = driver.send(batch(10))
                    self.assertEqual(outcome["result"], "delivered", outcome)
                    self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
                    driver.send(batch(10, 2))
                self.assertEqual(len(collector.spans), 20)
                self.assertEqual({request["connection"] for request in collector.requests}, {1})
                for trusted in (other, None):
                    options = {"certificate": trusted} if trusted else {}
                    with Driver(PROGRAM, "http", url(collector, scheme="https"), **options) as driver:
                        outcome = driver.send(batch(1))
                        self.assertEqual(outcome["result"], "retry", outcome)
                        self.assertIn("certificate", outcome["message"])
                self.assertEqual(len(collector.spans), 20)

    def test_client_certificate(self):
        import ssl

        with tempfile.TemporaryDirectory() as folder:
            server = make_certificate(folder, "server")
            client, client_key = make_certificate(folder, "client")
            with Collector(tls=server) as collector:
                collector.tls.load_verify_locations(client)
                collector.tls.verify_mode = ssl.CERT_REQUIRED
                target = url(collector, scheme="https")
                with Driver(PROGRAM, "http", target, certificate=server[0], client_certificate=client,
                            client_key=client_key) as driver:
                    self.assertEqual(driver.send(batch(3))["result"], "delivered")
                with Driver(PROGRAM, "http", target, certificate=server[0]) as driver:
                    self.assertEqual(driver.send(batch(3))["result"], "retry")


class Answers(unittest.TestCase):
    def outcome(self, behaviour, count=3, **options):
        with Collector([behaviour]) as collector:
            with Driver(PROGRAM, "http", url(collector), **options) as driver:
                outcome = driver.send(batch(count))
            self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
            self.assertEqual(len(collector.requests), 1, "the transport itself never repeats")
            return outcome

    def test_success(self):
        for behaviour in ("200", "201", "202", "204", "interim", "once"):
            with self.subTest(behaviour):
                outcome = self.outcome(behaviour)
                self.assertEqual((outcome["result"], outcome["rejected"], outcome["message"]),
                                 ("delivered", 0, ""))

    def test_partial_success(self):
        outcome = self.outcome("partial:2:too old")
        self.assertEqual((outcome["result"], outcome["rejected"]), ("delivered", 2))
        self.assertIn("too old", outcome["message"])
        self.assertEqual(self.outcome("partial:99:more than there were")["rejected"], 3)
        warning = self.outcome("partial:0:please use gzip")
        self.assertEqual((warning["result"], warning["rejected"]), ("delivered", 0))
        self.assertIn("please use gzip", warning["message"])
        self.assertIn("in chunks", self.outcome("chunked")["message"])

    def test_retryable(self):
        for status in (429, 502, 503, 504):
            with self.subTest(status):
                outcome = self.outcome(str(status))
                self.assertEqual((outcome["result"], outcome["retry_after_ms"]), ("retry", 0))
                self.assertIn(str(status), outcome["message"])

    def test_retry_after(self):
        self.assertEqual(self.outcome("503+2")["retry_after_ms"], 2000)
        self.assertEqual(self.outcome("429+100000")["retry_after_ms"], 300000)
        self.assertEqual(self.outcome("503+soon")["retry_after_ms"], 0)
        self.assertEqual(self.outcome("503+date:-50")["retry_after_ms"], 0)
        dated = self.outcome("503+date:30")["retry_after_ms"]
        self.assertTrue(25000 <= dated <= 30000, dated)

    def test_refused(self):
        for status in (301, 400, 401, 403, 404, 405, 408, 415, 500, 501, 505):
            with self.subTest(status):
                outcome = self.outcome(f"status:{status}:the cause")
                self.assertEqual(outcome["result"], "refused")
                self.assertIn(str(status), outcome["message"])
                self.assertIn("the cause", outcome["message"])
        self.assertEqual(self.outcome("413")["result"], "too large")
        self.assertIn("no such page", self.outcome("text:404:no such page\nsecond line")["message"])
        self.assertNotIn("second", self.outcome("text:404:no such page\nsecond line")["message"])
        self.assertIn("OTEL_EXPORTER_OTLP_HEADERS", self.outcome("401")["message"])

    def test_broken_connections(self):
        for behaviour in ("close", "reset"):
            with self.subTest(behaviour):
                outcome = self.outcome(behaviour)
                self.assertEqual(outcome["result"], "retry")
                self.assertNotEqual(outcome["message"], "")

    def test_not_http(self):
        outcome = self.outcome("garbage")
        self.assertEqual(outcome["result"], "refused", outcome)
        self.assertIn("does not answer in HTTP", outcome["message"])

    def test_http2(self):
        outcome = self.outcome("http2")
        self.assertEqual(outcome["result"], "refused", outcome)
        self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", outcome["message"])

    def test_answer_size(self):
        limit = 4 << 20
        self.assertEqual(self.outcome(f"big:{limit}")["result"], "delivered")
        outcome = self.outcome(f"big:{limit + 1}")
        self.assertEqual(outcome["result"], "refused", outcome)


class Time(unittest.TestCase):
    def test_slow_and_silent_receivers_are_bounded(self):
        for behaviour in ("slow:60", "silent"):
            with self.subTest(behaviour), Collector([behaviour]) as collector:
                with Driver(PROGRAM, "http", url(collector), timeout=400) as driver:
                    outcome = driver.send(batch(1))
                self.assertEqual(outcome["result"], "retry")
                self.assertIn("timed out", outcome["message"].lower())
                self.assertGreaterEqual(outcome["elapsed_ms"], 390)
                self.assertLess(outcome["elapsed_ms"], 5000)
                self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)

    def test_a_listener_that_never_accepts(self):
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            port = listener.getsockname()[1]
            with Driver(PROGRAM, "http", f"http://127.0.0.1:{port}/v1/traces", timeout=300) as driver:
                outcome = driver.send(batch(1))
            self.assertEqual(outcome["result"], "retry")
            self.assertLess(outcome["elapsed_ms"], 5000)

    def test_slow_answer_within_the_limit(self):
        with Collector(["slow:0.3"]) as collector:
            with Driver(PROGRAM, "http", url(collector), timeout=20000) as driver:
                outcome = driver.send(batch(1))
            self.assertEqual(outcome["result"], "delivered")
            # It polled: a handful of steps, not a spin.
            self.assertLess(outcome["steps"], 100)

    def test_cancel_in_flight(self):
        with Collector(["silent", "200"]) as collector, Driver(PROGRAM, "http", url(collector)) as driver:
            outcome = driver.send(batch(1), cancel_after_ms=200)
            self.assertEqual(outcome["result"], "pending")
            self.assertLess(outcome["elapsed_ms"], 5000)
            self.assertEqual(driver.send(batch(1))["result"], "delivered")
            self.assertEqual([request["connection"] for request in collector.requests], [1, 2])

    def test_cancel_while_connecting(self):
        with Collector() as collector, Driver(PROGRAM, "http", url(collector)) as driver:
            driver.send(batch(1), cancel_after_ms=0)
            self.assertEqual(driver.send(batch(1))["result"], "delivered")

    def test_receiver_goes_and_comes_back(self):
        collector = Collector()
        port = collector.port
        with Driver(PROGRAM, "http", f"http://127.0.0.1:{port}/v1/traces") as driver:
            self.assertEqual(driver.send(batch(1))["result"], "delivered")
            collector.close()
            outcome = driver.send(batch(1))
            self.assertEqual(outcome["result"], "retry", outcome)
            outcome = driver.send(batch(1))
            self.assertEqual(outcome["result"], "retry", outcome)
            self.assertIn("127.0.0.1", outcome["message"])
            with Collector(port=port) as again:
                self.assertEqual(driver.send(batch(1))["result"], "delivered")
                self.assertEqual(len(again.spans), 1)

    def test_kept_connection_that_was_closed_meanwhile(self):
        with Collector(["once", "200"]) as collector, Driver(PROGRAM, "http", url(collector)) as driver:
            for _ in range(3):
                self.assertEqual(driver.send(batch(1))["result"], "delivered")
            self.assertEqual([request["connection"] for request in collector.requests], [1, 2, 2])


class Endpoints(unittest.TestCase):
    def test_user_and_password_are_not_said(self):
        port = free_port()
        with Driver(PROGRAM, "http", f"http://user:sesame@127.0.0.1:{port}/v1/traces?key=sesame") as driver:
            outcome = driver.send(batch(1))
        self.assertEqual(outcome["result"], "retry")
        self.assertNotIn("sesame", outcome["message"])
        self.assertIn(f"127.0.0.1:{port}/v1/traces", outcome["message"])

    def test_name_is_looked_up_without_a_thread(self):
        # The leak check of a sanitizer's runtime does not stand being traced.
        under = ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-e", "trace=clone,clone3"]
        with Collector() as collector:
            target = f"http://localhost:{collector.port}/v1/traces"
            with Driver(PROGRAM, "http", target, under=under) as driver:
                for _ in range(2):
                    self.assertEqual(driver.send(batch(1))["result"], "delivered")
            self.assertEqual(driver.errors, [])
            self.assertEqual([request["headers"]["host"] for request in collector.requests],
                             [f"localhost:{collector.port}"] * 2)

    def test_impossible_endpoints(self):
        for endpoint in ("ftp2://127.0.0.1/x", "http://127.0.0.1:99999/"):
            with self.subTest(endpoint):
                driver = Driver(PROGRAM, "http", endpoint)
                try:
                    outcome = driver.send(batch(1))
                except (AssertionError, BrokenPipeError):
                    self.assertEqual(driver.finish(), 1)
                    self.assertIn("wirespan: cannot export", "".join(driver.errors))
                else:
                    self.assertEqual(outcome["result"], "refused", outcome)
                    driver.finish()


if __name__ == "__main__":
    unittest.main(verbosity=1)
