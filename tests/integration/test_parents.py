#!/usr/bin/env python3
"""Whose work a request is: a parent is right, or there is none. Servers that make requests of their own,
with blocking threads and with event loops, under requests that overlap."""

import http.client
import subprocess
import threading

from support import case, losses, spans, truth
from support.servers import program

REQUESTS = 60
THREADS = 6


class Parents(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth = cls.enter(truth.TruthServer())

    def relay(self, arguments: list) -> tuple[dict, dict]:
        """Runs a server, asks it REQUESTS times from THREADS threads. Returns its SERVER and CLIENT
        spans by the number in their URLs."""
        self.truth.clear()
        file = self.new_path("spans.jsonl")
        with subprocess.Popen(
            [str(argument) for argument in arguments], env=case.preload_environment(file), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True,
        ) as server:
            try:
                port = int(server.stdout.readline().split()[1])
                self.ask(port)
            finally:
                server.stdin.close()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    raise
            self.assertEqual(server.returncode, 0)
        self.truth.settle()
        lost, found = losses.told(spans.read_file(file))
        self.assertEqual(lost, {})
        spans.check_ids(found)
        servers = {span.get("url.query"): span for span in found if span.kind == spans.SERVER}
        clients = {span.get("url.full").split("?")[1]: span for span in found if span.kind == spans.CLIENT}
        self.assertEqual(len(found), 2 * REQUESTS)
        self.assertEqual(set(servers), {f"n={number}" for number in range(REQUESTS)})
        self.assertEqual(set(clients), set(servers))
        return servers, clients

    def ask(self, port: int) -> None:
        failed = []

        def work(first: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            for number in range(first, REQUESTS, THREADS):
                connection.request("GET", f"/x?n={number}")
                if connection.getresponse().read() != truth.HELLO:
                    failed.append(number)
            connection.close()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])

    def check_none_wrong(self, servers: dict, clients: dict) -> int:
        """Returns how many have their parent."""
        right = 0
        for number, client in clients.items():
            server = servers[number]
            if client.parent_id:
                self.assertEqual(client.parent_id, server.span_id, f"{client} has another request's span as parent")
                self.assertEqual(client.trace_id, server.trace_id)
                self.assertLessEqual(server.start_ns, client.start_ns)
                self.assertGreaterEqual(server.end_ns, client.end_ns)
                right += 1
            else:
                self.assertEqual(client.get("wirespan.parent.source"), "none")
                self.assertNotEqual(client.trace_id, server.trace_id)
        print(f"    {right} of {len(clients)} have their parent")
        return right

    def test_blocking_threads(self):
        """What a thread does between reading a request and answering it belongs to that request."""
        relayed = self.relay(["/usr/bin/python3", case.CLIENTS / "relay_python.py", "threads", self.truth.url])
        self.assertEqual(self.check_none_wrong(*relayed), REQUESTS)

    def test_asyncio(self):
        python = self.install_runtimes() / "venv" / "bin" / "python"
        self.check_none_wrong(*self.relay([python, case.CLIENTS / "relay_python.py", "asyncio", self.truth.url]))

    def test_node(self):
        self.check_none_wrong(*self.relay([program("node"), case.CLIENTS / "relay_node.js", self.truth.url]))


if __name__ == "__main__":
    case.main()
