#!/usr/bin/env python3
"""C libraries under the preload: hiredis, libcurl."""

from support import case

class Libraries(case.ClientCase):
    def test_hiredis(self):
        self.check(case.COMPILED / "hiredis_sync", self.proxy.host, self.proxy.port, self.redis_script, least=130)

    def test_hiredis_async(self):
        self.check(case.COMPILED / "hiredis_async", self.proxy.host, self.proxy.port, self.redis_script, least=22)

    def test_libcurl_easy(self):
        self.check(case.COMPILED / "libcurl", "easy", self.truth.url, self.http_script, least=18)

    def test_libcurl_multi(self):
        self.check(case.COMPILED / "libcurl", "multi", self.truth.url, self.http_script, least=18)


if __name__ == "__main__":
    case.main()
