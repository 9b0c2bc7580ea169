#!/usr/bin/env python3
"""Node under the preload: http, fetch, axios, undici, ioredis 5 and 6, node-redis, ws."""

from support import case
from support.servers import program

class Node(case.ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.environment = {"NODE_PATH": str(cls.install_runtimes() / "node" / "node_modules")}
        cls.node = program("node")

    def http(self, library):
        self.check(self.node, case.CLIENTS / "http_node.js", library, self.truth.url, self.http_script, least=26)

    def ioredis(self, package):
        self.check(
            self.node, case.CLIENTS / "ioredis_node.js", package, self.proxy.host, self.proxy.port, self.redis_script,
            least=50,
        )

    def test_http(self):
        self.http("http")

    def test_fetch(self):
        self.http("fetch")

    def test_axios(self):
        self.http("axios")

    def test_undici(self):
        self.http("undici")

    def test_ioredis_5(self):
        self.ioredis("ioredis5")

    def test_ioredis_6(self):
        self.ioredis("ioredis6")

    def test_node_redis(self):
        self.check(
            self.node, case.CLIENTS / "redis_node.js", self.proxy.host, self.proxy.port, self.redis_script, least=40
        )

    def test_ws(self):
        url = self.truth.url.replace("http", "ws") + "/ws?n=session"
        self.check(self.node, case.CLIENTS / "websocket_node.js", url, least=1)


if __name__ == "__main__":
    case.main()
