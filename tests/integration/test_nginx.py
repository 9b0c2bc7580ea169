#!/usr/bin/env python3
"""nginx under the preload: static files, keep-alive, pipelining, sendfile, proxying, errors; plain, and all
of it over TLS."""

import socket
import ssl

from support import case, expect, servers, spans, tls_front, truth
from support.process import clean_environment, run
from support.servers import program


def pipelined(port: int, requests: list[bytes], answers: int, certificate: str | None = None) -> bytes:
    """Sends all requests in one segment and reads until the server closes."""
    connection = socket.create_connection(("127.0.0.1", port))
    if certificate:
        connection = ssl.create_default_context(cafile=certificate).wrap_socket(
            connection, server_hostname="localhost")
    with connection:
        connection.sendall(b"".join(requests))
        received = b""
        while data := connection.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 ") == answers, received[:500]
    return received


class Nginx(case.Case):
    certificate: tuple[str, str] | None = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth = cls.enter(truth.TruthServer())
        cls.behind_url, cls.behind_port = cls.truth.url, cls.truth.port

    def serve(self, exercise, workers: int = 1, server: str = "", proxied: bool = False,
              compared: bool = True) -> list[spans.Span]:
        """Runs `exercise(nginx)` against a preloaded nginx; its SERVER spans must equal its log, and
        its CLIENT spans the log of the server behind it."""
        file = self.new_path("spans.jsonl")
        folder = file.parent
        (folder / "www").mkdir()
        (folder / "www" / "hello").write_bytes(b"hello, world\n")
        (folder / "www" / "big").write_bytes(b"0123456789" * 100_000)
        self.truth.clear()
        with servers.Nginx(
            folder, {**case.preload_environment(file)}, workers=workers, server=server,
            certificate=self.certificate,
        ) as nginx:
            exercise(nginx)
        self.truth.settle()
        served = nginx.truth()
        self.served = len(served)
        behind = {exchange.target: exchange for exchange in self.truth.exchanges}
        for entry in served:
            if entry.target in behind:  # the log counts the framing of chunks, too
                entry.response_body = behind[entry.target].response_body
        found = spans.read_file(file)
        spans.check_ids(found)
        self.assertGreater(len(served), 0)
        if not compared:
            return found
        expected = [self.server_span(entry, nginx) for entry in served]
        if proxied:
            for exchange in self.truth.exchanges:
                client = expect.http_client(exchange, self.behind_url)
                client.parent_id = None  # proven or absent; see check_parents
                expected.append(client)
        expect.compare(expected, found)
        self.check_parents(found)
        return found

    def server_span(self, entry, nginx) -> expect.Expected:
        path, _, query = entry.target.partition("?")
        return expect.Expected(
            name=entry.method,
            kind=spans.SERVER,
            attributes={
                "http.request.method": entry.method,
                "url.path": path,
                "url.query": query or None,
                "url.scheme": nginx.scheme,
                "http.response.status_code": entry.status,
                "http.response.body.size": entry.response_body,
                "error.type": str(entry.status) if entry.status >= 500 else None,
                "server.port": nginx.port,
                "client.address": "127.0.0.1",
            },
            within=(entry.received_ns, entry.answered_ns),
            failed=entry.status >= 500,
        )

    def check_parents(self, found) -> None:
        """A CLIENT span's parent, where one is given, is the SERVER span with the same target."""
        by_id = {span.span_id: span for span in found}
        for span in found:
            if span.kind != spans.CLIENT or not span.parent_id:
                continue
            parent = by_id[span.parent_id]
            self.assertEqual(parent.kind, spans.SERVER)
            wanted = parent.get("url.path") + ("?" + parent.get("url.query") if parent.get("url.query") else "")
            self.assertTrue(span.get("url.full").endswith(wanted), f"{span} is below {parent}: a wrong parent")

    def trust(self) -> list[str]:
        return ["--http1.1", "--cacert", self.certificate[0]] if self.certificate else []

    def curl(self, *arguments) -> bytes:
        finished = run([program("curl"), "-s", "--noproxy", "*", *self.trust(), *arguments], clean_environment())
        self.assertEqual(finished.code, 0, finished.errors)
        return finished.output

    def test_static_files_and_errors(self):
        def exercise(nginx):
            url = nginx.url
            self.assertEqual(self.curl(f"{url}/hello?n=1"), b"hello, world\n")
            self.assertEqual(len(self.curl(f"{url}/big?n=2")), 1_000_000)
            self.curl(f"{url}/hello?n=3", f"{url}/missing?n=4", f"{url}/hello?n=5")
            self.curl("-I", f"{url}/big?n=6")
            self.curl("-X", "POST", "-d", "body", f"{url}/hello?n=7")
            self.curl("-H", "Range: bytes=10-19", f"{url}/big?n=8")
            self.curl("-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", f"{url}/hello?n=9")

        self.serve(exercise)

    def test_pipelined_in_one_segment(self):
        def exercise(nginx):
            requests = [b"GET /hello?n=%d HTTP/1.1\r\nHost: test:%d\r\n\r\n" % (n, nginx.port) for n in range(5)]
            requests[-1] = requests[-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            pipelined(nginx.port, requests, 5, self.certificate and self.certificate[0])

        self.serve(exercise)

    def test_workers_share_the_load(self):
        # ab ends in the middle of requests that it sent beyond those it was asked for, and over TLS
        # in the middle of handshakes: those are connections that nobody could read.
        def exercise(nginx):
            url = f"{nginx.url}/hello"
            run([program("ab"), "-q", "-k", "-n", "2000", "-c", "8", url], clean_environment())
            run([program("ab"), "-q", "-n", "200", "-c", "8", url], clean_environment())

        found = [span for span in self.serve(exercise, workers=4, compared=False)
                 if span.get("wirespan.connection.opaque_reason") is None]
        self.assertGreaterEqual(len(found), 2200)
        self.assertEqual(len(found), self.served)
        self.assertEqual({(span.name, span.get("url.path"), span.status) for span in found}, {("GET", "/hello", 0)})

    def test_proxy(self):
        def exercise(nginx):
            url = nginx.url
            self.curl(*[f"{url}/hello?n={n}" for n in range(5)])
            self.curl(f"{url}/chunked?n=6", f"{url}/missing?n=7", f"{url}/error?n=8", f"{url}/empty?n=9")
            self.curl("-d", "x" * 50_000, f"{url}/echo?n=10")

        self.serve(
            exercise,
            server=f"location / {{ proxy_pass {self.behind_url}; proxy_http_version 1.1; proxy_set_header Connection ''; "
            f"proxy_set_header Host 127.0.0.1:{self.behind_port}; }}",
            proxied=True,
        )

    def test_proxy_to_nobody(self):
        closed = servers.free_port()

        def exercise(nginx):
            self.assertIn(b"502", self.curl("-w", "%{http_code}", f"{nginx.url}/hello?n=1"))

        file = self.new_path("spans.jsonl")
        with servers.Nginx(
            file.parent, case.preload_environment(file), server=f"location / {{ proxy_pass http://127.0.0.1:{closed}; }}",
            certificate=self.certificate,
        ) as nginx:
            exercise(nginx)
        found = spans.read_file(file)
        statuses = [span.get("http.response.status_code") for span in found if span.kind == spans.SERVER]
        self.assertEqual(statuses, [502])
        refused = [span for span in found if span.kind == spans.CLIENT]
        self.assertEqual([span.get("error.type") for span in refused], ["connection_refused"])


class NginxOverTls(Nginx):
    """The same, with a certificate of its own, and to a server behind it that has one, too."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.certificate = case.make_certificate(cls.folder, "localhost")
        cls.behind_port = cls.enter(tls_front.TlsFront(*cls.certificate, cls.truth.port)).port
        cls.behind_url = f"https://127.0.0.1:{cls.behind_port}"


if __name__ == "__main__":
    case.main()
