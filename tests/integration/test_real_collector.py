#!/usr/bin/env python3
"""Both OTLP transports against a real OpenTelemetry Collector, which sends what it understood on
to the fake one.

usage: test_real_collector.py SEND_BATCH [unittest arguments]
"""
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SUPPORT = pathlib.Path(__file__).parent.parent / "support"
sys.path.insert(0, str(SUPPORT))
import otlp  # noqa: E402
from batches import batch  # noqa: E402
from certificates import make_certificate  # noqa: E402
from collector import Collector  # noqa: E402
from support.process import free_port  # noqa: E402
from transport_driver import Driver  # noqa: E402

PROGRAM = sys.argv.pop(1)

CONFIGURATION = """
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{grpc}" }}
      http: {{ endpoint: "127.0.0.1:{http}" }}
  otlp/tls:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{grpcs}", tls: {{ cert_file: "{certificate}", key_file: "{key}" }} }}
      http: {{ endpoint: "127.0.0.1:{https}", tls: {{ cert_file: "{certificate}", key_file: "{key}" }} }}
exporters:
  otlphttp:
    endpoint: "http://127.0.0.1:{sink}"
    compression: none
    retry_on_failure: {{ enabled: false }}
    sending_queue: {{ enabled: false }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [otlp, otlp/tls], exporters: [otlphttp] }}
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class RealCollector:
    """A Collector process on fixed ports: start() and stop() as often as wanted."""

    def __init__(self, folder: str, sink: int):
        self.program = subprocess.run([SUPPORT / "build_collector"], check=True, text=True,
                                      stdout=subprocess.PIPE).stdout.strip()
        names = ("grpc", "http", "grpcs", "https")
        self.ports = {name: free_port() for name in names}
        self.certificate, key = make_certificate(folder, "collector")
        self.file = pathlib.Path(folder, "collector.yaml")
        self.file.write_text(CONFIGURATION.format(**self.ports, certificate=self.certificate, key=key,
                                                  sink=sink), encoding="utf-8")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([self.program, f"--config=file:{self.file}"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        log = []
        self.reader = threading.Thread(target=lambda stream: log.extend(stream),
                                       args=(self.process.stderr,))
        self.reader.start()
        deadline = time.monotonic() + 60
        for port in self.ports.values():
            while not listens(port):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError("the Collector does not start:\n" + "".join(log))
                time.sleep(0.02)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.reader.join(60)
            self.process.stderr.close()
            self.process = None

    def target(self, protocol: str) -> str:
        scheme = "https" if protocol.endswith("s") else "http"
        path = "/v1/traces" if protocol.startswith("http") else ""
        return f"{scheme}://127.0.0.1:{self.ports[protocol]}{path}"


class Transports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.sink = Collector()
        cls.real = RealCollector(cls.folder.name, cls.sink.port)
        cls.real.start()

    @classmethod
    def tearDownClass(cls):
        cls.real.stop()
        cls.sink.close()
        cls.folder.cleanup()

    def setUp(self):
        self.sink.spans.clear()
        self.sink.behaviours = ["200"]

    def driver(self, protocol, **options):
        if protocol.endswith("s"):
            options["certificate"] = self.real.certificate
        return Driver(PROGRAM, protocol.removesuffix("s"), self.real.target(protocol), **options)

    def test_spans_arrive_as_they_were(self):
        for protocol in ("http", "grpc", "https", "grpcs"):
            for options in ({}, {"gzip": True}):
                with self.subTest(protocol, **options):
                    self.sink.spans.clear()
                    documents = [batch(count, seed) for seed, count in enumerate((1, 5, 200))]
                    with self.driver(protocol, **options) as driver:
                        for document in documents:
                            outcome = driver.send(document)
                            self.assertEqual((outcome["result"], outcome["message"]), ("delivered", ""))
                    expected = [span for document in documents for span in otlp.decode_json(document)]
                    self.assertEqual(self.sink.wait_for_spans(len(expected)), expected)

    def test_large_batches(self):
        # Above the 4 MiB that a gRPC server takes by default; HTTP takes 20 MiB.
        document = batch(1)
        span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        span["attributes"].append({"key": "long", "value": {"stringValue": "x" * (5 << 20)}})
        with self.driver("http") as driver:
            self.assertEqual(driver.send(document)["result"], "delivered")
        with self.driver("grpc") as driver:
            outcome = driver.send(document)
            self.assertEqual(outcome["result"], "too large")
            # Which of the two is a race in libcurl between its sending and the early answer.
            self.assertRegex(outcome["message"], "RESOURCE_EXHAUSTED|stopped reading a batch")

    def test_what_the_next_receiver_says(self):
        # 429 becomes RESOURCE_EXHAUSTED without RetryInfo, which gRPC clients do not repeat.
        for behaviour, *results in (("503", "retry", "retry"), ("429", "retry", "refused"),
                                    ("400", "refused", "refused"), ("401", "refused", "refused")):
            for protocol, expected in zip(("http", "grpc"), results):
                with self.subTest(behaviour, protocol=protocol), self.driver(protocol) as driver:
                    self.sink.behaviours = [behaviour]
                    outcome = driver.send(batch(1))
                    self.assertEqual(outcome["result"], expected, outcome)

    def test_wrong_port(self):
        with Driver(PROGRAM, "http", f"http://127.0.0.1:{self.real.ports['grpc']}/v1/traces") as driver:
            outcome = driver.send(batch(1))
        self.assertEqual(outcome["result"], "refused", outcome)
        self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", outcome["message"])
        with Driver(PROGRAM, "grpc", f"http://127.0.0.1:{self.real.ports['http']}") as driver:
            outcome = driver.send(batch(1))
        self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", outcome["message"])

    def test_wrong_path(self):
        with Driver(PROGRAM, "http", f"http://127.0.0.1:{self.real.ports['http']}/") as driver:
            outcome = driver.send(batch(1))
        self.assertEqual(outcome["result"], "refused", outcome)
        self.assertIn("404", outcome["message"])

    def test_collector_goes_and_comes_back(self):
        for protocol in ("http", "grpc", "grpcs"):
            with self.subTest(protocol), self.driver(protocol) as driver:
                self.assertEqual(driver.send(batch(1))["result"], "delivered")
                self.real.stop()
                self.assertEqual(driver.send(batch(1))["result"], "retry")
                self.assertEqual(driver.send(batch(1))["result"], "retry")
                self.real.start()
                self.assertEqual(driver.send(batch(1))["result"], "delivered")


if __name__ == "__main__":
    unittest.main(verbosity=1)
