"""The cases' ground: a folder, real servers, and runs of one program plain, preloaded and straced."""

import os
import pathlib
import shutil
import sys
import tempfile
import unittest

from support import byte_dump, expect, redis_truth, scripts, servers, spans, strace, tls_front, truth
from support.process import TREE, Finished, clean_environment, run

sys.path.append(str(TREE / "tests" / "support"))
from certificates import make_certificate  # pylint: disable=wrong-import-position

# Set by meson; by hand: WIRESPAN_BUILD=build tests/integration/test_python.py
BUILD = pathlib.Path(os.environ.get("WIRESPAN_BUILD", TREE / "build")).resolve()
LIBRARY = BUILD / "src" / "libwirespan.so"
CLIENTS = TREE / "tests" / "integration" / "clients"
COMPILED = BUILD / "tests" / "integration"


def preload_environment(file: pathlib.Path, **more: str) -> dict[str, str]:
    """The environment of a program under the preload that exports into `file`."""
    return clean_environment(
        LD_PRELOAD=str(LIBRARY), OTEL_TRACES_EXPORTER="file", WIRESPAN_FILE=str(file), **more
    )


class Case(unittest.TestCase):
    """A folder per class; servers as a class asks for them."""

    runtimes: pathlib.Path | None = None

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="wirespan-"))
        cls.folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        assert LIBRARY.exists(), f"{LIBRARY} is not built"

    @classmethod
    def enter(cls, server):
        """Starts a server for the class's life."""
        entered = server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)
        return entered

    @classmethod
    def install_runtimes(cls) -> pathlib.Path:
        finished = run([TREE / "tests" / "support" / "runtimes"], clean_environment(
            **{name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "PATH")}
        ), 600)
        assert finished.code == 0, finished.errors.decode()
        return pathlib.Path(finished.output.decode().strip())

    def new_path(self, name: str) -> pathlib.Path:
        """A path in the folder that nobody has yet."""
        return pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / name


class ClientCase(Case):
    """Runs clients against the truth server and the Redis proxy, and compares. With `tls` all of it
    happens over TLS, and the same must come out."""

    environment: dict[str, str] = {}
    tls = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.http_script, cls.redis_script = scripts.write(cls.folder)
        cls.truth = cls.enter(truth.TruthServer())
        cls.redis = cls.enter(servers.RedisServer(cls.folder))
        cls.proxy = cls.enter(redis_truth.RedisTruth(cls.redis.port))
        cls.url, cls.redis_port = cls.truth.url, cls.proxy.port
        if cls.tls:
            cls.certificate, key = make_certificate(cls.folder, "localhost")
            front = cls.enter(tls_front.TlsFront(cls.certificate, key, cls.truth.port))
            cls.url = f"https://127.0.0.1:{front.port}"
            cls.redis_port = cls.enter(tls_front.TlsFront(cls.certificate, key, cls.proxy.port)).port
            cls.environment = {
                name: cls.certificate for name in (
                    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PERL_LWP_SSL_CA_FILE",
                    "NODE_EXTRA_CA_CERTS", "TEST_CERTIFICATE",
                )
            }

    # ---- runs ----

    def run_plain(self, arguments: list) -> Finished:
        self._reset()
        finished = run(arguments, clean_environment(**self.environment))
        self._settle()
        self.assertEqual(finished.code, 0, finished.errors.decode(errors="replace")[-2000:])
        return finished

    def run_preloaded(self, arguments: list, file: pathlib.Path) -> Finished:
        self._reset()
        finished = run(arguments, preload_environment(file, **self.environment))
        self._settle()
        return finished

    def run_straced(self, arguments: list, file: pathlib.Path, folder: pathlib.Path) -> Finished:
        self._reset()
        environment = preload_environment(file, **byte_dump.ENVIRONMENT, **self.environment)
        finished = run(*strace.command(folder, arguments, environment), 120)
        self._settle()
        return finished

    def _settle(self) -> None:
        self.truth.settle()
        self.proxy.settle()

    def _reset(self) -> None:
        self.truth.clear()
        self.proxy.clear()
        flushed = run([servers.program("redis-cli"), "-p", self.redis.port, "FLUSHALL"], clean_environment())
        self.assertEqual(flushed.output, b"OK\n")

    # ---- checks ----

    def check(self, *arguments, least: int, errors_too: bool = True, bytes_too: bool = True,
              straced: bool = True) -> list[spans.Span]:
        """The whole comparison for one program. `least`: it must have made this many exchanges. Returns the spans of
        the preloaded run."""
        plain = self.run_plain(list(arguments))
        plain_truth = self._truth_summary()
        self.assertGreaterEqual(len(self.truth.exchanges) + len(self.proxy.commands), least)

        file = self.new_path("spans.jsonl")
        preloaded = self.run_preloaded(list(arguments), file)
        self.check_same(plain, preloaded, errors_too)
        self.assertEqual(plain_truth, self._truth_summary(), "the peers saw something else")
        of_preloaded = spans.read_file(file)
        self.check_spans(of_preloaded, preloaded)
        if not straced:
            return of_preloaded

        file, calls = self.new_path("spans.jsonl"), self.new_path("strace")
        straced = self.run_straced(list(arguments), file, calls)
        self.check_same(plain, straced, errors_too=False)
        connections, found = byte_dump.take(spans.read_file(file))
        self.check_spans(found, straced)
        by_inode = strace.connections(calls)
        self.check_strace(by_inode)
        if bytes_too:
            byte_dump.compare(by_inode, connections)
        return of_preloaded

    def check_same(self, plain: Finished, preloaded: Finished, errors_too: bool) -> None:
        self.assertEqual(plain.code, preloaded.code, preloaded.errors.decode(errors="replace")[-2000:])
        self.assertEqual(plain.output, preloaded.output)
        if errors_too:
            self.assertEqual(plain.errors, preloaded.errors)

    def check_strace(self, by_inode: dict) -> None:
        """The two truths agree: what strace saw sent is what the truth server received."""
        if self.tls:
            return
        sent = sorted(found.sent for found in by_inode.values() if found.peer_port == self.truth.port)
        received = sorted(sizes[0] for sizes in self.truth.bytes_by_connection.values() if sizes[0])
        self.assertEqual(sent, received)

    def _truth_summary(self) -> tuple:
        """What the peers saw, without order between connections and without propagation headers,
        which may be added."""
        requests = sorted(
            (exchange.method, exchange.target, exchange.status, exchange.request_body, exchange.response_body,
             sorted(exchange.headers.keys() - {"traceparent", "tracestate"}))
            for exchange in self.truth.exchanges
        )
        commands = sorted((command.name, command.error_prefix, command.reply_type) for command in self.proxy.commands)
        sessions = sorted((session.target, *session.text, *session.binary) for session in self.truth.sessions)
        return requests, commands, sessions

    def expected(self) -> list[expect.Expected]:
        return (
            [expect.http_client(exchange, self.url) for exchange in self.truth.exchanges]
            + [expect.redis_client(command, self.proxy.host, self.redis_port) for command in self.proxy.commands]
            + [expect.websocket_client(session, self.url) for session in self.truth.sessions]
        )

    def check_spans(self, found: list[spans.Span], finished: Finished) -> None:
        spans.check_ids(found)
        expect.compare(self.expected(), found)
        expect.check_handshakes(found)
        self.check_nothing_secret(found)
        for span in found:
            self.assertGreaterEqual(span.start_ns, finished.started_ns - expect.CLOCK_SLACK_NS, span)
            self.assertLessEqual(span.end_ns, finished.ended_ns + expect.CLOCK_SLACK_NS, span)
        traces = {span.trace_id for span in found if not span.parent_id}
        roots = [span for span in found if not span.parent_id]
        self.assertEqual(len(traces), len(roots), "roots share a trace without a reason")
        self._check_propagation(found)

    def check_nothing_secret(self, found: list[spans.Span]) -> None:
        """No value of a command and no body is in any attribute."""
        for span in found:
            for name, value in span.attributes.items():
                for secret in ("xxxxx", "secret", "news item"):
                    self.assertNotIn(secret, str(value), f"{name} of {span}")

    def _check_propagation(self, found: list[spans.Span]) -> None:
        """Where a header was added, it names the span of that very request."""
        by_id = {span.span_id: span for span in found}
        for exchange in self.truth.exchanges:
            header = exchange.headers.get("traceparent")
            if header:
                _, trace_id, span_id, _ = header.split("-")
                self.assertIn(span_id, by_id, f"{exchange.target} was told of a span that was not exported")
                self.assertEqual(by_id[span_id].trace_id, trace_id)
                self.assertTrue(by_id[span_id].get("url.full", "").endswith(exchange.target))


def main() -> None:
    """Runs the file's cases; prints which, so that a failing one can be told from meson's log."""
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
