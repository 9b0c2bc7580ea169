#!/usr/bin/env python3
"""Java under the preload: HttpClient, HttpURLConnection, Redis over a Socket."""

from support import case
from support.process import clean_environment, run
from support.servers import program

class Java(case.ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classes = cls.folder / "classes"
        sources = [case.CLIENTS / "HttpJava.java", case.CLIENTS / "RedisJava.java"]
        compiled = run([program("javac"), "-d", cls.classes, *sources], clean_environment())
        assert compiled.code == 0, compiled.errors.decode()

    def java(self, *arguments, least):
        self.check(program("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", self.classes, *arguments, least=least)

    def test_http_client(self):
        self.java("HttpJava", "client", self.truth.url, self.http_script, least=26)

    def test_url_connection(self):
        self.java("HttpJava", "connection", self.truth.url, self.http_script, least=18)

    def test_socket_redis(self):
        self.java("RedisJava", self.proxy.host, self.proxy.port, self.redis_script, least=125)


if __name__ == "__main__":
    case.main()
