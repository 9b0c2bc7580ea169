#!/usr/bin/env python3
"""CPython under the preload: http.client, requests, urllib, httpx, aiohttp, uvloop, redis-py, websockets."""

from support import case


class Python(case.ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.python = cls.install_runtimes() / "venv" / "bin" / "python"
        cls.websocket = cls.truth.url.replace("http", "ws") + "/ws?n=session"

    def http(self, library):
        self.check(self.python, case.CLIENTS / "http_python.py", library, self.truth.url, self.http_script, least=18)

    def commands(self, library):
        self.check(
            self.python, case.CLIENTS / "redis_python.py", library, self.proxy.host, self.proxy.port, self.redis_script,
            least=40,
        )

    def session(self, library):
        self.check(self.python, case.CLIENTS / "websocket_python.py", library, self.websocket, least=1)

    def test_http_client(self):
        self.http("http_client")

    def test_requests(self):
        self.http("requests")

    def test_urllib(self):
        self.http("urllib")

    def test_httpx(self):
        self.http("httpx")

    def test_httpx_asyncio(self):
        self.http("httpx_asyncio")

    def test_aiohttp(self):
        self.http("aiohttp")

    def test_aiohttp_on_uvloop(self):
        self.http("uvloop")

    def test_redis_resp2(self):
        self.commands("resp2")

    def test_redis_resp3(self):
        self.commands("resp3")

    def test_redis_asyncio(self):
        self.commands("asyncio")

    def test_websockets_sync(self):
        self.session("sync")

    def test_websockets_asyncio(self):
        self.session("asyncio")

    def test_websockets_on_uvloop(self):
        self.session("uvloop")

    def test_websocket_of_aiohttp(self):
        self.session("aiohttp")


if __name__ == "__main__":
    case.main()
