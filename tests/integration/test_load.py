#!/usr/bin/env python3
"""Delivered equals issued under load: spans that arrived and losses that were reported add up to the
exchanges, no id comes twice; and at 2,000 exchanges a second nothing is lost.

usage: test_load.py [CASE ...]
"""

import re

from support import case, losses, servers
from support.process import Daemon, clean_environment, run, wait_until
from support.receiver import Receiver
from support.servers import program

RATE = 2000
SECONDS = 8


class Load(case.Case):
    def environment(self, receiver: Receiver, **more: str) -> dict[str, str]:
        environment = clean_environment(
            LD_PRELOAD=str(case.LIBRARY), WIRESPAN_LOG_LEVEL="info", **receiver.environment, **more
        )
        return environment

    def balance(self, receiver: Receiver, said: str, issued: int) -> dict[str, int]:
        counts = receiver.counts()
        lost = losses.read(said)
        print(f"    {issued} issued, {counts['spans']} delivered, lost {lost}, {counts['requests']} requests")
        self.assertEqual(counts["duplicates"], 0)
        self.assertEqual(counts["malformed"], 0)
        self.assertLessEqual(counts["largest"], 1000)
        self.assertEqual(counts["spans"] + losses.spans(lost), issued, f"lost {lost}")
        self.assertGreater(counts["spans"], 0)
        return lost

    # ---- nginx ----

    def nginx(self, workers: int, exercise) -> tuple[dict[str, int], int]:
        folder = self.new_path("")
        (folder / "www").mkdir()
        (folder / "www" / "hello").write_bytes(b"hello, world\n")
        with Receiver(case.COMPILED / "count_receiver") as receiver:
            with servers.Nginx(folder, self.environment(receiver), workers=workers) as nginx:
                exercise(nginx)
            issued = len(nginx.truth())
            return self.balance(receiver, nginx.said(), issued), issued

    def ab(self, nginx) -> None:
        done = run([program("ab"), "-q", "-k", "-n", "100000", "-c", "32", f"{nginx.url}/hello"], clean_environment(), 120)
        self.assertIn(b"Complete requests:      100000", done.output, done.output + done.errors)

    def test_nginx_one_worker(self):
        _, issued = self.nginx(1, self.ab)
        self.assertEqual(issued, 100_000)

    def test_nginx_four_workers(self):
        _, issued = self.nginx(4, self.ab)
        self.assertEqual(issued, 100_000)

    def test_nginx_under_wrk(self):
        """wrk breaks its connections off at the end: what was answered until then counts."""

        def exercise(nginx):
            done = run(
                [program("wrk"), "-t", "1", "-c", "16", "-d", "3s", f"{nginx.url}/hello"], clean_environment(), 60
            )
            self.assertEqual(done.code, 0, done.errors)

        self.nginx(4, exercise)

    def test_nginx_paced(self):
        """The pace is that of a busy real server; with default settings nothing may be lost."""

        def exercise(nginx):
            done = run(
                [case.COMPILED / "issue", "http", "127.0.0.1", nginx.port], clean_environment(), 60,
                given=b"%d %d\n" % (RATE * SECONDS, RATE),
            )
            self.assertEqual(done.code, 0, done.errors)

        lost, issued = self.nginx(1, exercise)
        self.assertEqual(issued, RATE * SECONDS)
        self.assertEqual(lost, {})

    # ---- Redis ----

    def commands_processed(self, server) -> int:
        """Calls of all commands so far, the asking ones not counted."""
        told = run([program("redis-cli"), "-p", server.port, "INFO", "commandstats"], clean_environment()).output.decode()
        return sum(
            int(calls) for name, calls in re.findall(r"cmdstat_([^:]+):calls=(\d+)", told) if not name.startswith("info")
        )

    def benchmark(self, pipeline: int) -> None:
        folder = self.new_path("")
        with servers.RedisServer(folder) as server, Receiver(case.COMPILED / "count_receiver") as receiver:
            done = run(
                [program("redis-benchmark"), "-p", server.port, "-n", "200000", "-c", "20", "-P", pipeline, "-q", "-t", "set"],
                self.environment(receiver), 180,
            )
            self.assertEqual(done.code, 0, done.errors)
            issued = self.commands_processed(server)
            self.assertGreaterEqual(issued, 200_000)
            self.balance(receiver, done.errors.decode(), issued)

    def test_redis_benchmark(self):
        self.benchmark(1)

    def test_redis_benchmark_pipelined(self):
        self.benchmark(16)

    def test_redis_paced(self):
        folder = self.new_path("")
        with servers.RedisServer(folder) as server, Receiver(case.COMPILED / "count_receiver") as receiver:
            done = run(
                [case.COMPILED / "issue", "redis", "127.0.0.1", server.port], self.environment(receiver), 60,
                given=b"%d %d\n" % (RATE * SECONDS, RATE),
            )
            self.assertEqual(done.code, 0, done.errors)
            self.assertEqual(self.balance(receiver, done.errors.decode(), RATE * SECONDS), {})

    # ---- who answers whom ----

    def pairs(self, mode: str, count: int) -> tuple[int, dict[str, int]]:
        """The server's answer carries the number in the command's key: each span shows by itself
        whether its command and its answer belong together. Returns spans and losses."""
        folder = self.new_path("")
        with Receiver(case.COMPILED / "count_receiver") as receiver:
            with NumberServer(folder) as server:
                done = run(
                    [case.COMPILED / "ping_pong", mode, "127.0.0.1", server.port, count],
                    self.environment(receiver, OTEL_BSP_MAX_QUEUE_SIZE="100000"), 800,
                )
            self.assertEqual(done.output, b"%d answered\n" % count, done.errors)
            counts = receiver.counts()
            lost = losses.read(done.errors.decode())
            print(f"    {count} issued, {counts['spans']} delivered, lost {lost}")
            self.assertEqual(counts["pairs_wrong"], 0)
            self.assertEqual(counts["pairs_right"], counts["spans"])
            self.assertEqual(counts["duplicates"], 0)
            return counts["spans"], lost

    def test_a_million_ping_pongs(self):
        delivered, lost = self.pairs("in_turn", 1_000_000)
        self.assertEqual(delivered + losses.spans(lost), 1_000_000)

    def test_two_threads_send_on_one_connection(self):
        """Which of two commands the kernel took first cannot be known: then nothing is claimed, and
        that is told."""
        delivered, lost = self.pairs("overlapping", 100_000)
        if delivered < 100_000:
            self.assertGreater(lost.get("contended", 0), 0)


class NumberServer(Daemon):
    """Answers `GET k:N` with the error `-NN`."""

    def __init__(self, folder):
        super().__init__([case.COMPILED / "number_server"], clean_environment(), folder / "numbers.log", keep_stdin=True)

    def __enter__(self):
        return self.started(self._await_port)

    def _await_port(self):
        wait_until(lambda: self.said().endswith("\n"), 10, "the number server's port")
        self.port = int(self.said().split()[1])


if __name__ == "__main__":
    case.main()
