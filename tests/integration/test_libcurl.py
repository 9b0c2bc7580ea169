#!/usr/bin/env python3
"""What libcurl knows, on the spans that the bytes make; and HTTP/2, which only libcurl can tell of. The truth
is what the servers logged, and what curl itself prints (-w)."""

import json
import signal

from support import case, expect, http3_server, servers, spans, truth
from support.process import Daemon, clean_environment, free_port, run, wait_until
from support.servers import program

PHASES = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total")


def phases(span: spans.Span) -> dict[str, float]:
    return {name: span.get(f"curl.time_{name}") for name in PHASES if span.get(f"curl.time_{name}") is not None}


class Ground(case.ClientCase):
    """HTTP/1: the bytes make the span, libcurl adds what it knows."""

    def spans_of(self, *arguments) -> list[spans.Span]:
        file = self.new_path("spans.jsonl")
        finished = self.run_preloaded(list(arguments), file)
        self.assertEqual(finished.code, 0, finished.errors)
        found = spans.read_file(file)
        expect.compare(self.expected(), found)
        self.output = finished.output
        return found

    def check_phases(self, span: spans.Span) -> None:
        told = phases(span)
        times = list(told.values())
        self.assertEqual(times, sorted(times), span)
        self.assertEqual("appconnect" in told, self.tls and span.get("curl.num_connects") > 0)
        self.assertGreater(told["total"], 0)
        # The exchange lies within the transfer, which began before it.
        self.assertLess((span.end_ns - span.start_ns) / 1e9, told["total"] + 0.002)


class Phases(Ground):
    def test_the_numbers_are_those_that_curl_prints(self):
        url = self.url + "/chunked?n=1"
        wanted = "%{time_namelookup} %{time_connect} %{time_appconnect} %{time_pretransfer} %{time_starttransfer} " \
            "%{time_total} %{num_connects} %{num_redirects}\n"
        found = self.spans_of(program("curl"), "-s", "--noproxy", "*", "-o", "/dev/null", "-o", "/dev/null", "-w",
                              wanted, url, url)
        printed = [line.split() for line in self.output.decode().splitlines()]
        self.assertEqual(len(printed), len(found))
        for span, line in zip(sorted(found, key=lambda span: span.start_ns), printed):
            self.check_phases(span)
            told = phases(span)
            for name, value in zip(PHASES, line):
                # The total is read once more when the transfer is cleaned up: a moment later.
                self.assertAlmostEqual(told.get(name, 0.0), float(value), delta=0.005 if name == "total" else 1e-6)
            self.assertEqual([span.get("curl.num_connects"), span.get("curl.num_redirects", 0)],
                             [int(line[6]), int(line[7])])

    def test_redirects_are_told_by_the_last_exchange(self):
        found = self.spans_of(program("curl"), "-sL", "--noproxy", "*", self.url + "/redirect?n=1")
        first, last = sorted(found, key=lambda span: span.start_ns)
        self.assertEqual(phases(first), {})
        self.check_phases(last)
        self.assertEqual(last.get("curl.num_redirects"), 1)
        self.assertGreater(last.get("curl.time_redirect"), 0)

    def test_a_transfer_that_takes_too_long(self):
        file = self.new_path("spans.jsonl")
        finished = self.run_preloaded(
            [program("curl"), "-s", "--noproxy", "*", "-m", "0.5", self.url + "/never?n=1"], file)
        self.assertEqual(finished.code, 28)
        [span] = spans.read_file(file)
        self.assertEqual([span.status, span.get("error.type"), span.get("curl.exitcode")], [2, "timeout", 28])

    def test_php(self):
        script = self.new_path("many.php")
        script.write_text("""<?php
function handle($url) {
    $handle = curl_init($url);
    curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => 1, CURLOPT_PROXY => "", CURLOPT_CAINFO => getenv("CURL_CA_BUNDLE") ?: null]);
    return $handle;
}
$alone = handle($argv[1] . "/hello?n=alone");
for ($i = 0; $i < 3; $i++) echo curl_exec($alone);
$multi = curl_multi_init();
$handles = [];
for ($i = 0; $i < 30; $i++) {
    $handles[$i] = handle($argv[1] . ($i % 3 ? "/hello?n=$i" : "/missing?n=$i"));
    curl_multi_add_handle($multi, $handles[$i]);
}
do {
    $status = curl_multi_exec($multi, $active);
    while ($told = curl_multi_info_read($multi)) echo $told["result"], "\\n";
    if ($active) curl_multi_select($multi);
} while ($active && $status == CURLM_OK);
foreach ($handles as $handle) curl_multi_remove_handle($multi, $handle);
""", encoding="utf-8")
        found = self.spans_of(program("php"), script, self.url)
        self.assertEqual(len(found), 33)
        for span in found:
            self.check_phases(span)


class PhasesOverTls(Phases):
    tls = True


class Interfaces(Ground):
    program = "libcurl"

    def told_and_redirected(self, interface: str) -> tuple[int, int]:
        found = self.spans_of(case.COMPILED / self.program, interface, self.url, self.http_script)
        self.assertGreater(len(found), 18)
        told = [span for span in found if phases(span)]
        for span in told:
            self.check_phases(span)
        redirected = [exchange for exchange in self.truth.exchanges if exchange.status == 302]
        return len(told), len(found) - len(redirected)

    def test_easy(self):
        told, wanted = self.told_and_redirected("easy")
        self.assertEqual(told, wanted)


class InterfacesOverTls(Interfaces):
    tls = True


class InterfacesOverGnutls(InterfacesOverTls):
    program = "libcurl_gnutls"


class Parents(case.Case):
    def test_a_blocking_server_that_asks_by_libcurl(self):
        """curl_easy_perform waits in poll for its transfer and for somebody who wakes it: the thread still works
        for the request that it has read."""
        behind = self.enter(truth.TruthServer())
        file = self.new_path("spans.jsonl")
        script = file.parent / "relay.php"
        script.write_text(f"""<?php
foreach (["first", "second"] as $name) {{
    $handle = curl_init("{behind.url}/slow?name=$name&" . $_SERVER["QUERY_STRING"]);
    curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => 1, CURLOPT_PROXY => "", CURLOPT_FORBID_REUSE => 1]);
    echo curl_exec($handle);
}}
""", encoding="utf-8")
        port = free_port()
        server = Daemon([program("php"), "-S", f"127.0.0.1:{port}", script], case.preload_environment(file),
                        file.parent / "php.log")
        with server.started(lambda: server.await_port(port)):
            for number in range(5):
                asked = run([program("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{port}/?n={number}"],
                            clean_environment())
                self.assertEqual(asked.output, 2 * truth.HELLO, asked.errors)
            server.end(signal.SIGINT)
        found = spans.read_file(file)
        served = {span.get("url.query"): span for span in found if span.kind == spans.SERVER}
        self.assertEqual(set(served), {f"n={number}" for number in range(5)})
        clients = [span for span in found if span.kind == spans.CLIENT]
        self.assertEqual(len(clients), 10)
        for span in clients:
            parent = served[span.get("url.full").split("&")[1]]
            self.assertEqual((span.parent_id, span.get("wirespan.parent.source")), (parent.span_id, "causal"), span)


class Http2(case.Case):
    """Frames are not read: libcurl's word makes the span, and there is one for each transfer."""

    def serve(self, *arguments, exchanges: int, code: int = 0, secure: bool = True, server: str = "",
              redirects: bool = False, contexts: bool = True, **variables: str):
        """Runs a program against nginx, plain and preloaded. Returns nginx's log and the spans."""
        folder = self.new_path("www").parent
        (folder / "www").mkdir()
        for number in range(20):
            (folder / "www" / str(number)).write_text("x" * number)
        certificate = case.make_certificate(folder, "localhost") if secure else None
        file = self.new_path("spans.jsonl")
        with servers.Nginx(folder, certificate=certificate, http2=True, server=server) as nginx:
            more = {"CURL_CA_BUNDLE": certificate[0]} if certificate else {}
            named = nginx.url.replace("://", "://user:secret@")
            arguments = [str(argument).replace("URL", nginx.url).replace("USER", named) for argument in arguments]
            plain = run(arguments, clean_environment(**more))
            wait_until(lambda: len(nginx.truth()) == exchanges, 10, "nginx to have logged the plain run")
            finished = run(arguments, case.preload_environment(file, **more, **variables))
            self.assertEqual((finished.code, finished.output), (plain.code, plain.output))
            self.assertEqual(finished.code, code, finished.errors)
            wait_until(lambda: len(nginx.truth()) == 2 * exchanges, 10, "nginx to have logged all")
            served = nginx.truth()[exchanges:]
        found = spans.read_file(file)
        spans.check_ids(found)
        for span in found:
            self.assertGreaterEqual(span.start_ns, finished.started_ns - expect.CLOCK_SLACK_NS, span)
            self.assertLessEqual(span.end_ns, finished.ended_ns + expect.CLOCK_SLACK_NS, span)
        if contexts:
            self.check_contexts(served, found, redirects)
        else:
            self.assertEqual({exchange.headers["traceparent"] for exchange in served}, {""})
        return nginx, served, found

    def check_contexts(self, served: list, found: list, redirects: bool) -> None:
        """Each request told the server of its span; those that a redirection brings are one transfer's."""
        told = [exchange.headers.get("traceparent") for exchange in served if "context" not in exchange.target]
        wanted = [f"00-{span.trace_id}-{span.span_id}-03" for span in found if "context" not in span.get("url.full")]
        self.assertEqual(sorted(set(told) if redirects else told), sorted(wanted))

    def compare(self, nginx, served: list, found: list) -> None:
        wanted = []
        for exchange in served:
            exchange.version = "HTTP/2"
            wanted.append(expect.http_client(exchange, nginx.url))
        expect.compare(wanted, found)
        for span in found:
            self.assertGreater(span.get("curl.time_total"), 0)

    def test_one_after_the_other(self):
        urls = [f"URL/{number}?n={number}" for number in range(25)]
        nginx, served, found = self.serve(program("curl"), "-s", *urls, exchanges=25)
        self.compare(nginx, served, found)

    def test_at_once_on_one_connection(self):
        urls = [f"URL/{number}?n={number}" for number in range(25)]
        nginx, served, found = self.serve(program("curl"), "-sZ", "-w", "",
                                          *[word for url in urls for word in (url, "-o", "/dev/null")], exchanges=25)
        self.compare(nginx, served, found)

    def test_secrets_stay_here(self):
        _, _, found = self.serve(
            program("curl"), "-s", "USER/1?token=secret&n=1#secret", exchanges=1)
        [span] = found
        self.assertNotIn("secret", json.dumps(span.attributes))
        self.assertEqual(span.get("url.full").split("?")[1], "token=REDACTED&n=1")

    def test_a_head_and_an_upload(self):
        behind = self.enter(truth.TruthServer())
        _, _, found = self.serve(
            program("curl"), "-s", "-I", "URL/7", "-o", "/dev/null", "--next", "-s", "-d", "0123456789",
            "URL/echo?n=1", "-w", "%{http_version}", server=f"location /echo {{ proxy_pass {behind.url}; }}", exchanges=2)
        self.assertEqual([(span.name, span.get("http.response.status_code"), span.get("http.request.body.size"),
                           span.get("http.response.body.size"), span.get("network.protocol.version"))
                          for span in found], [("HEAD", 200, None, 0, "2"), ("POST", 200, 10, 10, "2")])

    def test_in_plain_text(self):
        """One transfer: this curl cannot use such a connection again."""
        nginx, served, found = self.serve(program("curl"), "-s", "--http2-prior-knowledge", "URL/3?n=3", secure=False, exchanges=1)
        self.compare(nginx, served, found)

    def test_hosts_that_are_not_to_be_told(self):
        for name, value in (("WIRESPAN_PROPAGATE_NOT_TO", "127.0.0.1"), ("WIRESPAN_PROPAGATE_TO", "example.org"),
                            ("OTEL_PROPAGATORS", "none")):
            with self.subTest(name):
                _, _, found = self.serve(program("curl"), "-s", "URL/1?n=1", exchanges=1, contexts=False, **{name: value})
                self.assertEqual(len(found), 1)

    def test_lists_of_the_program(self):
        """They are used again, changed and freed; a context of the program's own is left alone."""
        server = 'location /fields { return 200 "$http_one $http_two\\n"; } location /redirect { return 302 /fields?n=5; } ' \
            'location /context { return 200 "$http_traceparent\\n"; }'
        _, served, found = self.serve(case.COMPILED / "libcurl_headers", "URL", server=server, exchanges=16, redirects=True)
        self.assertEqual((len(served), len(found)), (16, 15))

    def test_a_transfer_that_takes_too_long(self):
        behind = self.enter(truth.TruthServer())
        _, _, found = self.serve(program("curl"), "-s", "-m", "0.5", "URL/never?n=1", code=28, exchanges=1,
                                 server=f"location /never {{ proxy_pass {behind.url}; }}")
        self.assertEqual([(span.name, span.status, span.get("error.type"), span.get("curl.exitcode"),
                           span.get("network.protocol.version")) for span in found],
                         [("GET", 2, "timeout", 28, "2")])


class Http3(case.Case):
    """Of its datagrams nothing is read: there is what libcurl says, and that is all of it."""

    script = "GET /hello?n=1 0\nGET /500?n=2 0\nHEAD /hello?n=3 0\nPOST /hello?n=4 3000\nGET /missing?n=5 0\n" \
        "DELETE /hello?n=6 0\nGET /hello?token=secret 0\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.folder / "www").mkdir()
        (cls.folder / "www" / "hello").write_bytes(truth.HELLO)
        cls.path = cls.folder / "script"
        cls.path.write_text(cls.script)
        certificate = case.make_certificate(cls.folder, "localhost")
        cls.server = cls.enter(http3_server.Http3Server(cls.folder, certificate))
        cls.environment = {"LD_LIBRARY_PATH": str(http3_server.libraries()), "TEST_CERTIFICATE": certificate[0],
                           "TEST_HTTP3": "1"}

    def run_client(self, interface: str, environment: dict[str, str]) -> tuple:
        """How it ended, and what the server saw of it."""
        before = len(self.server.requests())
        finished = run([case.COMPILED / "libcurl_gnutls", interface, self.server.url, self.path], environment)
        self.assertEqual(finished.code, 0, finished.errors)
        count = self.script.count("\n")
        wait_until(lambda: len(self.server.requests()) == before + count, 10, "the server to have logged all")
        return finished, self.server.requests()[before:]

    def expected(self, line: str) -> expect.Expected:
        """By what the client printed of a transfer."""
        method, target, result, status, received = line.split()
        self.assertEqual(result, "0", line)
        size = next(int(step.split()[2]) for step in self.script.splitlines() if step.split()[1] == target)
        failed = int(status) >= 400
        return expect.Expected(method, spans.CLIENT, {
            "http.request.method": method,
            "url.full": self.server.url + target.replace("secret", "REDACTED"),
            "server.address": "localhost",
            "server.port": self.server.port,
            "network.protocol.version": "3",
            "http.request.body.size": size or None,
            "http.response.status_code": int(status),
            "http.response.body.size": int(received),
            "error.type": status if failed else None,
        }, failed=failed)

    def check(self, interface: str) -> None:
        plain, wanted = self.run_client(interface, clean_environment(**self.environment))
        file = self.new_path("spans.jsonl")
        preloaded, served = self.run_client(interface, case.preload_environment(file, **self.environment))
        self.assertEqual(plain.output, preloaded.output)
        contexts = [request.fields.pop("traceparent") for request in served]
        for request in wanted + served:
            self.assertEqual(request.fields.pop(":authority"), f"localhost:{self.server.port}")
        self.assertEqual(sorted(map(str, wanted)), sorted(map(str, served)))
        found = spans.read_file(file)
        spans.check_ids(found)
        expect.compare([self.expected(line) for line in preloaded.output.decode().splitlines()], found)
        self.assertEqual(sorted(contexts), sorted(f"00-{span.trace_id}-{span.span_id}-03" for span in found))
        for span in found:
            told = phases(span)
            self.assertEqual(list(told), list(PHASES))
            self.assertEqual(list(told.values()), sorted(told.values()), span)
            self.assertGreaterEqual(span.start_ns, preloaded.started_ns - expect.CLOCK_SLACK_NS, span)
            self.assertLessEqual(span.end_ns, preloaded.ended_ns + expect.CLOCK_SLACK_NS, span)

    def test_easy(self):
        self.check("easy")

    def test_multi(self):
        self.check("multi")

    def test_nobody_is_there(self):
        """No socket that is observed tells of it."""
        file = self.new_path("spans.jsonl")
        nobody = f"https://127.0.0.1:{free_port()}"
        finished = run([case.COMPILED / "libcurl_gnutls", "easy", nobody, self.path],
                       case.preload_environment(file, **self.environment))
        transfers = [line.split() for line in finished.output.decode().splitlines()]
        self.assertEqual({words[2] for words in transfers}, {"7"})
        found = sorted(spans.read_file(file), key=lambda span: span.start_ns)
        self.assertEqual([span.name for span in found], [words[0] for words in transfers])
        self.assertEqual({(span.get("error.type"), span.get("curl.exitcode"), span.get("network.protocol.version"))
                          for span in found}, {("connection_refused", 7, "3")})


class Matrix(case.Case):
    """What curl prints and how it ends is the same plain and preloaded: versions, ways, and plain text or TLS."""

    ways = {
        "get": ["URL/echo?n=1"],
        "head": ["-I", "URL/echo?n=2"],
        "post": ["-d", "name=value", "URL/echo?n=3"],
        "large post": ["--data-binary", "@BODY", "URL/echo?n=4"],
        "expect": ["-H", "Expect: 100-continue", "-T", "BODY", "URL/echo?n=5"],
        "form": ["-o", "/dev/null", "-F", "file=@BODY", "-F", "name=value", "URL/echo?n=6"],
        "range": ["-r", "10-19", "URL/file?n=7"],
        "redirect": ["-L", "URL/redirect?n=8"],
        "fields": ["-H", "X-One: 1", "-H", "X-Two:", "-H", "Accept:", "-A", "", "URL/fields?n=9"],
        "own context": ["-H", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "URL/context?n=10"],
        "method": ["-X", "DELETE", "URL/echo?n=11"],
        "several": ["URL/echo?n=12", "URL/file?n=13", "--next", "-d", "x", "URL/echo?n=14"],
        "at once": ["-Z", "--no-progress-meter", "-o", "/dev/null", "-o", "/dev/null", "URL/file?n=15", "URL/file?n=16"],
        "missing": ["-f", "URL/missing?n=18"],
        "nobody there": ["http://127.0.0.1:REFUSED/"],
    }

    @staticmethod
    def without_date(output: bytes) -> list[bytes]:
        """Its lines, in any order: a second may pass between two answers."""
        return sorted(line for line in output.splitlines() if not line.lower().startswith(b"date: "))

    def compare(self, certificate) -> None:
        folder = self.new_path("matrix").parent
        (folder / "www").mkdir()
        (folder / "www" / "file").write_bytes(b"0123456789" * 1000)
        body = folder / "body"
        body.write_bytes(bytes(range(256)) * 1500)
        behind = self.enter(truth.TruthServer())
        server = f"location /echo {{ proxy_pass {behind.url}; client_max_body_size 2m; client_body_buffer_size 2m; }} " \
            'location /redirect { return 302 /file; } location /context { return 200 "$http_traceparent\\n"; } ' \
            'location /fields { return 200 "$http_x_one $http_x_two $http_accept $http_user_agent\\n"; }'
        more = {"CURL_CA_BUNDLE": certificate[0]} if certificate else {}
        with servers.Nginx(folder, certificate=certificate, http2=bool(certificate), server=server) as nginx:
            words = {"URL": nginx.url, "BODY": str(body), "REFUSED": str(free_port())}
            for version in ("--http1.0", "--http1.1", "--http2"):
                for name, way in self.ways.items():
                    arguments = [program("curl"), "-s", "--noproxy", "*", version, "-w",
                                 "%{http_code} %{http_version} %{size_download} %{size_upload} %{num_redirects} %{exitcode}\n"]
                    for word in way:
                        for old, new in words.items():
                            word = word.replace(old, new)
                        arguments.append(word)
                    plain = run(arguments, clean_environment(**more))
                    file = self.new_path("spans.jsonl")
                    preloaded = run(arguments, case.preload_environment(file, **more))
                    with self.subTest(f"{version} {name}"):
                        self.assertEqual(*((one.code, self.without_date(one.output), one.errors) for one in (plain, preloaded)))
                        self.assertTrue(spans.read_file(file))

    def test_in_plain_text(self):
        self.compare(None)

    def test_over_tls(self):
        self.compare(case.make_certificate(self.folder, "localhost"))


if __name__ == "__main__":
    case.main()
