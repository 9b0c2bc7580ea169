#!/usr/bin/env python3
"""Workers that end at random instants under load: every request that the peer saw is exported once."""

import os
import random
import re
import subprocess
import urllib.parse
from collections import Counter, defaultdict

from support import case, launched, losses
from support.launched import COMMAND, exporting
from support.process import clean_environment, wait_until
from support.servers import program

PYTHON = "/usr/bin/python3"
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))
# A worker has two connections, each with one request at a time.
CONNECTIONS = 2


class Peer:
    """The counting peer. `seen` is complete after `end`."""

    def __init__(self, log):
        self.log = log
        self.process = subprocess.Popen(
            [str(case.COMPILED / "peer_log"), str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=clean_environment(), start_new_session=True,
        )
        self.http, self.redis = (int(self.process.stdout.readline().split()[1]) for _ in range(2))

    def end(self) -> Counter:
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        return Counter(self.log.read_text().split())


def request_id(span) -> str | None:
    """None: it is a connection that was being made, or a request whose head was being read, before it
    was sent."""
    url = span.get("url.full")
    text = urllib.parse.urlsplit(url).path if url else span.get("db.query.text", "").replace(" ", "/")
    return text.rpartition("/")[2] or None


class Kills(launched.Launched):
    def storm(self, mode: str, count: int, parallel: int, lives: tuple[int, int], ways: str,
              worker: list = ()) -> None:
        file = self.new_path("spans.jsonl")
        peer = Peer(self.new_path("seen"))
        arguments = [case.COMPILED / "storm", mode, SEED, count, parallel, *lives, ways, peer.http, peer.redis]
        if worker:
            arguments += ["--", *worker]
        print(f"seed {SEED}: {count} workers ending by {ways}", flush=True)
        try:
            finished = self.launch(arguments, exporting(file, OTEL_BSP_MAX_QUEUE_SIZE="1000000"), 120)
        finally:
            seen = peer.end()
        self.assertEqual(finished.code, 0, finished.errors.decode()[-2000:])
        if "node" not in map(os.path.basename, map(str, worker)):  # which says why it aborts
            self.assertEqual(finished.errors, b"")
        self.service = os.path.basename(os.path.realpath(worker[0] if worker else arguments[0]))
        ends = {}
        for line in finished.output.decode().splitlines():
            index, process, way, status = line.split()
            ends[index] = (int(process), way, int(status))
        self.assertEqual(len(ends), count)
        self.check(launched.read_growing(file), seen, ends)

    def check(self, found: list, seen: Counter, ends: dict) -> None:
        lost, found = losses.told(found)
        # A request whose record was half-written was not sent yet.
        self.assertLessEqual(lost.pop("record_invalid", 0), CONNECTIONS * len(ends))
        self.assertEqual(lost, {})
        connecting = [span for span in found if request_id(span) is None]
        for span in connecting:
            self.assertEqual(span.get("error.type"), "aborted", span)
        found = [span for span in found if request_id(span) is not None]
        self.assertLessEqual({span.resource.get("service.name") for span in found}, {self.service})
        self.assertEqual(set(seen.values()), {1})
        spans = Counter(map(request_id, found))
        twice = [name for name, count in spans.items() if count > 1]
        self.assertEqual(twice, [], "exported more than once")
        missing = sorted(seen.keys() - spans.keys())
        self.assertEqual(missing, [], f"of {len(seen)} that the peer saw these are not exported; ends: "
                         f"{[ends[name.split('-')[0]] for name in missing[:20]]}")
        aborted = defaultdict(list)
        for span in found:
            if span.get("error.type") is not None:
                self.assertEqual(span.get("error.type"), "aborted", span)
                aborted[request_id(span).split("-")[0]].append(span)
            else:
                self.assertIn(request_id(span), seen, "finished, but the peer did not see it")
                self.assertNotIn("wirespan.cancelled", span.attributes, f"ended with {ends[request_id(span).split('-')[0]]}")
        for index, its in aborted.items():
            self.assertLessEqual(len(its), CONNECTIONS)
            for span in its:
                self.check_abort(span, *ends[index])
                self.assertEqual(span.resource["process.pid"], ends[index][0])
        told = Counter(ends[index][1] for index, its in aborted.items() for _ in its)
        print(f"    {len(seen)} requests, aborted {dict(told)}", flush=True)
        if len(ends) >= 100:
            self.assertGreater(sum(told.values()), 0, "no end came in the middle of a request")

    def check_abort(self, span, process: int, way: str, status: int) -> None:
        said = {name: span.get(name) for name in ("wirespan.aborted.by", "wirespan.aborted.signal", "process.exit.code")}
        if way == "exec":
            wanted = {"wirespan.aborted.by": "exec"}
        elif status > 128:
            wanted = {"wirespan.aborted.by": "signal", "wirespan.aborted.signal": status - 128}
        else:
            wanted = {"wirespan.aborted.by": "exit", "process.exit.code": status}
        self.assertEqual({name: value for name, value in said.items() if value is not None}, wanted,
                         f"{process} {way} {status}: {span}")

    # ---- a thousand ----

    def test_sigkill_of_forks(self):
        self.storm("fork", 500, 4, (0, 60_000), "kill")

    def test_sigkill_of_programs(self):
        self.storm("exec", 300, 4, (0, 60_000), "kill")

    def test_sigkill_of_python(self):
        self.storm("exec", 120, 3, (0, 600_000), "kill", [PYTHON, "-I", case.CLIENTS / "storm_python.py"])

    def test_sigkill_of_node(self):
        self.storm("exec", 80, 2, (0, 900_000), "kill", [program("node"), case.CLIENTS / "storm_node.js"])

    # ---- the other ends ----

    def test_other_ends_of_forks(self):
        self.storm("fork", 200, 4, (0, 60_000), "segv,abort,_exit,exec,exit")

    def test_other_ends_of_programs(self):
        self.storm("exec", 150, 4, (0, 60_000), "segv,abort,_exit,exec,exit")

    def test_other_ends_of_python(self):
        self.storm("exec", 50, 3, (0, 300_000), "segv,abort,_exit,exec,exit",
                   [PYTHON, "-I", case.CLIENTS / "storm_python.py"])

    def test_other_ends_of_node(self):
        self.storm("exec", 24, 2, (0, 300_000), "segv,abort,exit", [program("node"), case.CLIENTS / "storm_node.js"])


if __name__ == "__main__":
    case.main()
