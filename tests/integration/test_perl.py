#!/usr/bin/env python3
"""Perl under the preload: LWP, Redis."""

from support import case
from support.servers import program

class Perl(case.ClientCase):
    def test_lwp(self):
        self.check(program("perl"), case.CLIENTS / "http_perl.pl", self.truth.url, self.http_script, least=18)

    def test_redis(self):
        self.check(program("perl"), case.CLIENTS / "redis_perl.pl", self.proxy.host, self.proxy.port, self.redis_script, least=40)


if __name__ == "__main__":
    case.main()
