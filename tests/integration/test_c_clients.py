#!/usr/bin/env python3
"""C libraries under the preload: hiredis, libcurl."""

from support import case, hiredis_recent, spans


class Hiredis(case.ClientCase):
    """As Debian has it: 0.14."""

    def program(self, name: str):
        return case.COMPILED / name

    def test_sync(self):
        self.check(self.program("hiredis_sync"), self.proxy.host, self.redis_port, self.redis_script, least=130)

    def test_async(self):
        self.check(self.program("hiredis_async"), self.proxy.host, self.redis_port, self.redis_script, least=22)

    def test_that_waits_in_vain(self):
        """The bytes show a connection that was closed; hiredis knows why."""
        self.check_timeout("hiredis_timeout")

    def check_timeout(self, name: str):
        arguments = [self.program(name), "127.0.0.1", self.redis_port]
        file = self.new_path("spans.jsonl")
        plain, finished = self.run_plain(arguments), self.run_preloaded(arguments, file)
        self.check_same(plain, finished, errors_too=True)
        found = [(span.get("db.operation.name"), span.status, span.get("error.type"), span.get("wirespan.cancelled"))
                 for span in spans.read_file(file)]
        self.assertEqual(found, [("SET", 0, None, None), ("BLPOP", 2, "timeout", None)])


class RecentHiredis(Hiredis):
    """From 1.0 on a context begins otherwise."""

    def program(self, name: str):
        return hiredis_recent.build(name, self.new_path("program").parent)

    def test_that_waits_in_vain_in_a_loop(self):
        self.check_timeout("hiredis_async_timeout")


class RecentHiredisOverTls(RecentHiredis):
    tls = True


class Libcurl(case.ClientCase):
    def test_easy(self):
        self.check(case.COMPILED / "libcurl", "easy", self.truth.url, self.http_script, least=18)

    def test_multi(self):
        self.check(case.COMPILED / "libcurl", "multi", self.truth.url, self.http_script, least=18)


if __name__ == "__main__":
    case.main()
