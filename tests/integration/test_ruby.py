#!/usr/bin/env python3
"""Ruby under the preload: net/http, redis-rb."""

from support import case
from support.servers import program

class Ruby(case.ClientCase):
    def test_net_http(self):
        self.check(program("ruby"), case.CLIENTS / "http_ruby.rb", self.truth.url, self.http_script, least=18)

    def test_redis_rb(self):
        self.check(program("ruby"), case.CLIENTS / "redis_ruby.rb", self.proxy.host, self.proxy.port, self.redis_script, least=38)


if __name__ == "__main__":
    case.main()
