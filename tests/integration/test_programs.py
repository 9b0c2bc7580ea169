#!/usr/bin/env python3
"""Programs under the preload: curl, wget, git, redis-cli, redis-benchmark."""

import subprocess

from support import case, expect, servers, spans
from support.process import clean_environment, run
from support.servers import program

class Programs(case.ClientCase):
    def at(self, target):
        return self.truth.url + target

    def test_curl(self):
        self.check(
            program("curl"), "-sL", "--noproxy", "*", self.at("/hello?n=1"), self.at("/redirect?n=2"),
            self.at("/chunked?n=3"), self.at("/big?n=4"), self.at("/missing?n=5"), self.at("/empty?n=6"),
            self.at("/hello?n=7"), least=8,
        )

    def test_curl_head(self):
        self.check(program("curl"), "-sI", self.at("/big?n=1"), self.at("/hello?n=2"), least=2)

    def test_curl_upload_with_expect(self):
        body = self.folder / "body"
        body.write_bytes(b"x" * 2_000_000)
        self.check(
            program("curl"), "-s", "-H", "Expect: 100-continue", "-T", body, self.at("/echo?n=1"), least=1
        )
        self.check(
            program("curl"), "-s", "-H", "Transfer-Encoding: chunked", "-d", f"@{body}", self.at("/echo?n=2"), least=1
        )

    def test_curl_through_a_proxy(self):
        self.check(
            program("curl"), "-s", "--noproxy", "", "-x", self.truth.url, "http://example.test/hello?n=1", least=1
        )

    def test_curl_unknown_method(self):
        self.check(program("curl"), "-s", "-X", "PURGE", self.at("/hello?n=1"), least=1)

    def test_curl_interim_answer(self):
        self.check(program("curl"), "-s", self.at("/interim?n=1"), least=1)

    def test_wget(self):
        self.check(
            program("wget"), "-q", "--no-proxy", "-O", "-", self.at("/hello?n=1"), self.at("/redirect?n=2"),
            self.at("/chunked?n=3"), self.at("/big?n=4"), least=5,
        )

    def test_redis_cli(self):
        self.check(
            program("redis-cli"), "-h", self.proxy.host, "-p", self.proxy.port, "-r", "20", "SET", "key", "value", least=20
        )
        self.check(program("redis-cli"), "-3", "-p", self.proxy.port, "HGETALL", "nothing", least=2)

    def test_redis_benchmark(self):
        """Its own clock decides the output; so only codes and spans are compared."""
        arguments = [
            program("redis-benchmark"), "-h", self.proxy.host, "-p", self.proxy.port, "-n", "300", "-c", "5", "-P", "4",
            "-q", "-t", "set,get,lpush",
        ]
        self.run_plain(arguments)
        file = self.new_path("spans.jsonl")
        preloaded = self.run_preloaded(arguments, file)
        self.assertEqual(preloaded.code, 0)
        self.assertGreaterEqual(len(self.proxy.commands), 900)
        self.check_spans(spans.read_file(file), preloaded)


class Git(case.Case):
    def test_clone_over_dumb_http(self):
        self.clone()

    def test_clone_over_tls(self):
        """By GnuTLS, with functions of libcurl's own between it and the socket."""
        certificate = case.make_certificate(self.folder, "localhost")
        self.clone(certificate, GIT_SSL_CAINFO=certificate[0])

    def clone(self, certificate=None, **more):
        """git-remote-http is a child of a child; objects come over several connections."""
        ground = self.new_path("nginx").parent
        folder = ground / "nginx"
        folder.mkdir()
        work = ground / "work"
        environment = clean_environment(
            GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.test", GIT_COMMITTER_NAME="a",
            GIT_COMMITTER_EMAIL="a@example.test", GIT_CONFIG_NOSYSTEM="1",
            **more,
        )
        environment["HOME"] = str(ground)

        def git(*arguments):
            subprocess.run([program("git"), *arguments], env=environment, check=True, capture_output=True)

        git("init", "-q", "-b", "main", str(work))
        for number in range(10):
            (work / f"file-{number}").write_text(f"content {number}\n" * 100)
            git("-C", str(work), "add", ".")
            git("-C", str(work), "commit", "-qm", f"commit {number}")
        git("clone", "-q", "--bare", str(work), str(folder / "www" / "repository.git"))
        git("-C", str(folder / "www" / "repository.git"), "update-server-info")
        with servers.Nginx(folder, certificate=certificate) as nginx:
            plain = run(
                [program("git"), "clone", "-q", f"{nginx.url}/repository.git", ground / "plain"], environment
            )
            self.assertEqual(plain.code, 0, plain.errors.decode())
            first = nginx.truth()
            file = self.new_path("spans.jsonl")
            preloaded = run(
                [program("git"), "clone", "-q", f"{nginx.url}/repository.git", ground / "preloaded"],
                {**case.preload_environment(file), **{k: environment[k] for k in environment}},
            )
            self.assertEqual(preloaded.code, 0, preloaded.errors.decode())
            self.assertEqual(plain.errors, preloaded.errors)
            served = nginx.truth()[len(first):]
        self.assertGreater(len(served), 3)
        found = spans.read_file(file)
        spans.check_ids(found)
        expect.compare([expect.http_client(entry, nginx.url) for entry in served], found)


if __name__ == "__main__":
    case.main()
