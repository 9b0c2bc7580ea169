#!/usr/bin/env python3
"""OTLP over gRPC against the fake receiver: what is sent, and what each status means.

usage: test_otlp_grpc.py SEND_BATCH [unittest arguments]
"""
import base64
import gzip
import json
import pathlib
import queue
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

SUPPORT = pathlib.Path(__file__).parent.parent / "support"
sys.path.insert(0, str(SUPPORT))
import otlp  # noqa: E402
from batches import batch  # noqa: E402
from certificates import make_certificate  # noqa: E402
from collector import Collector  # noqa: E402
from transport_driver import Driver  # noqa: E402

PROGRAM = sys.argv.pop(1)
STEP_LIMIT_MS = 500  # as in test_otlp_http.py

RETRYABLE = {1, 4, 10, 11, 14, 15}
NAMES = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
         "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
         "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]


class Receiver:
    def __init__(self, *behaviours, tls=None):
        arguments = ["node", str(SUPPORT / "grpc_collector.mjs")]
        if tls:
            arguments += ["--tls", *tls]
        self.process = subprocess.Popen([*arguments, *behaviours], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.port = int(self.process.stdout.readline())
        # Read at once: a full pipe would hold the receiver's answers.
        self.calls = queue.Queue()
        self.reader = threading.Thread(target=lambda: [self.calls.put(line) for line in self.process.stdout])
        self.reader.start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.reader.join(30)
        self.process.stdout.close()

    def call(self) -> dict:
        """The next call that came in; its spans are decoded."""
        call = json.loads(self.calls.get(timeout=30))
        body = base64.b64decode(call["body"])
        flag, size = struct.unpack(">BI", body[:5])
        assert size == len(body) - 5, "one whole frame"
        call["compressed"] = flag
        call["spans"] = otlp.decode(gzip.decompress(body[5:]) if flag else body[5:])
        return call


class Sent(unittest.TestCase):
    def test_spans_arrive_as_they_were(self):
        for options in ({}, {"gzip": True}):
            with self.subTest(**options), Receiver() as receiver:
                with Driver(PROGRAM, "grpc", receiver.url, **options) as driver:
                    for seed, count in enumerate((1, 7, 2000)):
                        document = batch(count, seed)
                        outcome = driver.send(document)
                        self.assertEqual((outcome["result"], outcome["message"]), ("delivered", ""))
                        self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
                        call = receiver.call()
                        self.assertEqual(call["spans"], otlp.decode_json(document))
                        self.assertEqual(call["compressed"], 1 if options else 0)
                        self.assertEqual(call["headers"].get("grpc-encoding"), "gzip" if options else None)

    def test_request_head(self):
        for suffix in ("", "/"):
            with Receiver() as receiver:
                with Driver(PROGRAM, "grpc", receiver.url + suffix, timeout=7000,
                            headers="Authorization=Bearer%20abc,X-Team=a") as driver:
                    driver.send(batch(1))
                call = receiver.call()
                headers = call["headers"]
                self.assertEqual(call["path"],
                                 "/opentelemetry.proto.collector.trace.v1.TraceService/Export")
                self.assertEqual(headers[":method"], "POST")
                self.assertEqual(headers["content-type"], "application/grpc")
                self.assertEqual(headers["te"], "trailers")
                self.assertEqual(headers["grpc-timeout"], "7000m")
                self.assertEqual(headers["authorization"], "Bearer abc")
                self.assertEqual(headers["x-team"], "a")
                self.assertRegex(headers["user-agent"], r"^wirespan/\S+ OTel-OTLP-Exporter-C/\S+$")

    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate = make_certificate(folder, "right")
            other, _ = make_certificate(folder, "wrong")
            with Receiver(tls=certificate) as receiver:
                with Driver(PROGRAM, "grpc", receiver.url, certificate=certificate[0]) as driver:
                    for _ in range(3):
                        outcome = driver.send(batch(5))
                        self.assertEqual(outcome["result"], "delivered", outcome)
                        call = receiver.call()
                        self.assertEqual(len(call["spans"]), 5)
                        self.assertEqual(call["connection"], 1, "the connection is kept")
                with Driver(PROGRAM, "grpc", receiver.url, certificate=other) as driver:
                    outcome = driver.send(batch(5))
                    self.assertEqual(outcome["result"], "retry")
                    self.assertIn("certificate", outcome["message"])


class Answers(unittest.TestCase):
    def outcome(self, behaviour, **options):
        with Receiver(behaviour) as receiver:
            with Driver(PROGRAM, "grpc", receiver.url, **options) as driver:
                outcome = driver.send(batch(3))
            self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
            return outcome

    def test_partial_success(self):
        outcome = self.outcome("partial:2:too old: really")
        self.assertEqual((outcome["result"], outcome["rejected"]), ("delivered", 2))
        self.assertIn("too old: really", outcome["message"])
        self.assertEqual(self.outcome("split")["rejected"], 1)
        self.assertEqual(self.outcome("gzip:2:packed", gzip=True)["rejected"], 2)
        warning = self.outcome("partial:0:hm")
        self.assertEqual((warning["result"], warning["rejected"]), ("delivered", 0))

    def test_every_status(self):
        behaviours = [f"status:{number}:the%20cause%21 100%" for number in range(1, 17)]
        behaviours += ["trailers:14:later", "trailers:3:no", "status:77:odd"]
        with Receiver(*behaviours) as receiver, Driver(PROGRAM, "grpc", receiver.url) as driver:
            for number in range(1, 17):
                with self.subTest(number):
                    outcome = driver.send(batch(1))
                    expected = "retry" if number in RETRYABLE else "refused"
                    self.assertEqual(outcome["result"], expected, outcome)
                    self.assertIn(NAMES[number] + ": the cause! 100%", outcome["message"])
            self.assertEqual(driver.send(batch(1))["result"], "retry")
            self.assertEqual(driver.send(batch(1))["result"], "refused")
            self.assertEqual(driver.send(batch(1))["result"], "refused")

    def test_retry_info(self):
        def details(seconds, nanos=0, kind="google.rpc.RetryInfo"):
            def field(number, content):
                return bytes([number << 3 | 2, len(content)]) + content

            def varint(value):
                out = b""
                while value > 0x7F:
                    out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
                return out + bytes([value])

            delay = b"\x08" + varint(seconds) + b"\x10" + varint(nanos)
            info = field(1, b"type.googleapis.com/" + kind.encode()) + field(2, field(1, delay))
            return base64.b64encode(b"\x08\x08" + field(3, info)).decode()

        cases = [
            ("details:8:" + details(3, 250_000_000), "retry", 3250),
            ("details:14:" + details(1).rstrip("="), "retry", 1000),
            ("details:14:" + details(1 << 40), "retry", 300000),
            ("details:8:" + details(3, kind="google.rpc.BadRequest"), "refused", 0),
            ("details:3:" + details(3), "refused", 0),
            ("details:8:!!!!", "refused", 0),
            ("status:8:no details", "refused", 0),
        ]
        with Receiver(*(case[0] for case in cases)) as receiver:
            with Driver(PROGRAM, "grpc", receiver.url) as driver:
                for behaviour, result, delay in cases:
                    with self.subTest(behaviour):
                        outcome = driver.send(batch(1))
                        self.assertEqual((outcome["result"], outcome["retry_after_ms"]), (result, delay))

    def test_without_a_grpc_status(self):
        retried = {429, 502, 503, 504}
        for status in (400, 401, 403, 404, 429, 500, 502, 503, 504):
            with self.subTest(status):
                outcome = self.outcome(f"http:{status}")
                self.assertEqual(outcome["result"], "retry" if status in retried else "refused")
                self.assertIn(str(status), outcome["message"])
        self.assertEqual(self.outcome("http:200")["result"], "refused")
        # A server sends a message only with OK; see otlp_grpc.c.
        self.assertEqual(self.outcome("nostatus")["result"], "delivered")

    def test_answers_that_cannot_be_read(self):
        for behaviour in ("garbage", "compressed"):
            with self.subTest(behaviour):
                outcome = self.outcome(behaviour)
                self.assertEqual(outcome["result"], "delivered", "the status decides")
                self.assertIn("cannot be read", outcome["message"])
        self.assertEqual(self.outcome(f"big:{(4 << 20) + 1}")["result"], "refused")

    def test_broken_connections(self):
        for behaviour in ("reset", "close"):
            with self.subTest(behaviour):
                self.assertEqual(self.outcome(behaviour)["result"], "retry")

    def test_goaway_opens_a_new_connection(self):
        with Receiver("goaway", "ok") as receiver, Driver(PROGRAM, "grpc", receiver.url) as driver:
            for number in (1, 2):
                outcome = driver.send(batch(1))
                self.assertEqual(outcome["result"], "delivered", outcome)
                self.assertEqual(receiver.call()["connection"], number)

    def test_receiver_without_http2(self):
        with Collector(["200"]) as collector:
            with Driver(PROGRAM, "grpc", f"http://127.0.0.1:{collector.port}", timeout=5000) as driver:
                outcome = driver.send(batch(1))
            self.assertIn(outcome["result"], ("retry", "refused"))
            self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", outcome["message"])
        with tempfile.TemporaryDirectory() as folder:
            certificate = make_certificate(folder, "server")
            with Collector(["200"], tls=certificate) as collector:
                with Driver(PROGRAM, "grpc", f"https://127.0.0.1:{collector.port}",
                            certificate=certificate[0]) as driver:
                    outcome = driver.send(batch(1))
                self.assertEqual(outcome["result"], "refused")
                self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", outcome["message"])

    def test_http_exporter_at_a_grpc_port(self):
        with Receiver() as receiver, Driver(PROGRAM, "http", receiver.url + "/v1/traces") as driver:
            outcome = driver.send(batch(1))
            self.assertEqual(outcome["result"], "refused", outcome)
            self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", outcome["message"])


class Time(unittest.TestCase):
    def test_silent_receiver_is_bounded(self):
        with Receiver("silent", "ok") as receiver:
            with Driver(PROGRAM, "grpc", receiver.url, timeout=400) as driver:
                outcome = driver.send(batch(1))
                self.assertEqual(outcome["result"], "retry")
                self.assertGreaterEqual(outcome["elapsed_ms"], 390)
                self.assertLess(outcome["elapsed_ms"], 5000)
                self.assertEqual(driver.send(batch(1))["result"], "delivered")

    def test_cancel_in_flight(self):
        with Receiver("silent", "ok") as receiver, Driver(PROGRAM, "grpc", receiver.url) as driver:
            self.assertEqual(driver.send(batch(1), cancel_after_ms=200)["result"], "pending")
            self.assertEqual(driver.send(batch(1))["result"], "delivered")

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with Driver(PROGRAM, "grpc", f"http://127.0.0.1:{port}") as driver:
            outcome = driver.send(batch(1))
        self.assertEqual(outcome["result"], "retry")
        self.assertIn(f"127.0.0.1:{port}", outcome["message"])


if __name__ == "__main__":
    unittest.main(verbosity=1)
