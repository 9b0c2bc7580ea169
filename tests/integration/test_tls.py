#!/usr/bin/env python3
"""TLS under the preload: the clients of the other files over TLS, where the same spans must come out."""

from support import case
from support.servers import program


class Clients(case.ClientCase):
    tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        runtimes = cls.install_runtimes()
        cls.python = runtimes / "venv" / "bin" / "python"
        cls.packages = runtimes / "node" / "node_modules"
        cls.environment |= {"NODE_PATH": str(cls.packages)}

    def http(self, *command, least=18):
        self.check(*command, self.url, self.http_script, least=least)

    def commands(self, *command, least=40):
        self.check(*command, self.proxy.host, self.redis_port, self.redis_script, least=least)

    # ---- CPython ----

    def test_http_client(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "http_client")

    def test_requests(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "requests")

    def test_urllib(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "urllib")

    def test_aiohttp(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "aiohttp")

    def test_aiohttp_on_uvloop(self):
        self.http(self.python, case.CLIENTS / "http_python.py", "uvloop")

    def test_redis_resp2(self):
        self.commands(self.python, case.CLIENTS / "redis_python.py", "resp2")

    def test_redis_resp3(self):
        self.commands(self.python, case.CLIENTS / "redis_python.py", "resp3")

    def test_redis_asyncio(self):
        self.commands(self.python, case.CLIENTS / "redis_python.py", "asyncio")

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


if __name__ == "__main__":
    case.main()
