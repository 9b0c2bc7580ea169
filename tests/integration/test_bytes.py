#!/usr/bin/env python3
"""Bytes per connection equal strace's for programs whose exchanges other tests compare: git,
redis-benchmark, and nginx as the server. No connection is missed, merged or split."""

import os
import pathlib
import signal

from support import byte_dump, case, repositories, servers, spans, strace
from support.process import clean_environment, run, wait_until
from support.servers import program


class Bytes(case.Case):
    def straced(self, arguments: list) -> None:
        """Runs a client and compares."""
        file, calls = self.new_path("spans.jsonl"), self.new_path("strace")
        environment = case.preload_environment(file, **byte_dump.ENVIRONMENT, HOME=str(self.folder))
        finished = run(*strace.command(calls, arguments, environment), 120)
        self.assertEqual(finished.code, 0, finished.errors.decode(errors="replace"))
        self.compare(calls, file)

    def compare(self, calls: pathlib.Path, file: pathlib.Path) -> None:
        by_inode = strace.connections(calls)
        self.assertGreater(len(by_inode), 0)
        triples, _ = byte_dump.take(spans.read_file(file))
        byte_dump.compare(by_inode, triples)

    def test_redis_benchmark(self):
        with servers.RedisServer(self.folder) as redis:
            self.straced(
                [program("redis-benchmark"), "-p", redis.port, "-n", "500", "-c", "20", "-P", "5", "-q",
                 "-t", "set,get,lrange_100,mset"]
            )

    def test_git(self):
        folder = self.folder / "git"
        folder.mkdir()
        repositories.make_bare(folder)
        with servers.Nginx(folder) as nginx:
            self.straced([program("git"), "clone", "-q", f"{nginx.url}/repository.git", folder / "copy"])

    def test_nginx(self):
        """Descriptors are used again by hundreds of connections, with and without keep-alive."""
        file, calls = self.new_path("spans.jsonl"), self.new_path("strace")
        folder = self.new_path("nginx")
        (folder / "www").mkdir(parents=True)
        (folder / "www" / "big").write_bytes(b"0123456789" * 50_000)
        arguments, environment = strace.command(
            calls, [], case.preload_environment(file, **byte_dump.ENVIRONMENT)
        )
        nginx = servers.Nginx(folder, environment, workers=2, before=arguments)
        with nginx:
            url = f"{nginx.url}/big"
            for _ in range(20):
                run([program("curl"), "-s", "--noproxy", "*", "-o", "/dev/null", url, "-o", "/dev/null", url],
                    clean_environment())
            run([program("ab"), "-q", "-n", "300", "-c", "10", url], clean_environment())
            run([program("ab"), "-q", "-k", "-n", "300", "-c", "10", url], clean_environment())
            # The master, not strace, is to end: strace follows.
            os.kill(int((folder / "nginx.pid").read_text()), signal.SIGQUIT)
            wait_until(lambda: nginx.process.poll() is not None, 30, "nginx to end")
        self.compare(calls, file)


if __name__ == "__main__":
    case.main()
