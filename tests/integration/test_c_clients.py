#!/usr/bin/env python3
"""C libraries under the preload: hiredis, libcurl."""

from support import case, spans


class Libraries(case.ClientCase):
    def test_hiredis(self):
        self.check(case.COMPILED / "hiredis_sync", self.proxy.host, self.proxy.port, self.redis_script, least=130)

    def test_hiredis_async(self):
        self.check(case.COMPILED / "hiredis_async", self.proxy.host, self.proxy.port, self.redis_script, least=22)

    def test_hiredis_that_waits_in_vain(self):
        """The bytes show a connection that was closed; hiredis knows why."""
        arguments = [case.COMPILED / "hiredis_timeout", "127.0.0.1", self.redis.port]
        file = self.new_path("spans.jsonl")
        plain, finished = self.run_plain(arguments), self.run_preloaded(arguments, file)
        self.check_same(plain, finished, errors_too=True)
        found = [(span.get("db.operation.name"), span.status, span.get("error.type"), span.get("wirespan.cancelled"))
                 for span in spans.read_file(file)]
        self.assertEqual(found, [("SET", 0, None, None), ("BLPOP", 2, "timeout", None)])

    def test_libcurl_easy(self):
        self.check(case.COMPILED / "libcurl", "easy", self.truth.url, self.http_script, least=18)

    def test_libcurl_multi(self):
        self.check(case.COMPILED / "libcurl", "multi", self.truth.url, self.http_script, least=18)


if __name__ == "__main__":
    case.main()
