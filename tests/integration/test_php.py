#!/usr/bin/env python3
"""PHP under the preload: streams, the curl extension (loaded with RTLD_DEEPBIND), phpredis."""

from support import case
from support.servers import program

class Php(case.ClientCase):
    def test_streams(self):
        self.check(program("php"), case.CLIENTS / "http_php.php", "streams", self.truth.url, self.http_script, least=18)

    def test_curl(self):
        self.check(program("php"), case.CLIENTS / "http_php.php", "curl", self.truth.url, self.http_script, least=18)

    def test_phpredis(self):
        self.check(program("php"), case.CLIENTS / "redis_php.php", self.proxy.host, self.proxy.port, self.redis_script, least=35)


if __name__ == "__main__":
    case.main()
