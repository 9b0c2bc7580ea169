#!/usr/bin/env python3
"""Whose work a request is: a parent is right, or there is none. Servers that make requests of their own,
with blocking threads and with event loops, under requests that overlap."""

import http.client
import http.server
import subprocess
import threading

from support import case, losses, spans, truth
from support.process import clean_environment, run
from support.servers import Nginx, program

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


class Barrier(http.server.BaseHTTPRequestHandler):
    """Answers when so many requests are there, so that they overlap."""

    protocol_version = "HTTP/1.1"
    barrier: threading.Barrier

    def do_GET(self):
        self.barrier.wait(20)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


# Answers each request by one of its own, to the peer in the first argument.
SERVES = r"""
import http.client, http.server, os, select, socket, sys
def ask(path):
    to = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    to.request("GET", path)
    to.getresponse().read()
    to.close()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        work(self.path)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
%s
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
for _ in range(4):
    server.handle_request()
"""


class Candidates(case.Case):
    """What has no parent, and may be one of few requests' work, links to them."""

    def peer(self, parties: int) -> int:
        handler = type("Handler", (Barrier,), {"barrier": threading.Barrier(parties)})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def linked(self, found: list[spans.Span]) -> list[tuple[spans.Span, set[str]]]:
        """Of each span of a client's the paths of the requests that it links to."""
        servers = {span.span_id: span for span in found if span.kind == spans.SERVER}
        told = []
        for span in found:
            if span.kind == spans.CLIENT:
                for link in span.links:
                    self.assertEqual(servers[link["spanId"]].trace_id, link["traceId"])
                    self.assertEqual(link["attributes"], [{"key": "wirespan.parent.candidate", "value": {"boolValue": True}}])
                told.append((span, {servers[link["spanId"]].get("url.path") for link in span.links}))
        return told

    def through_nginx(self, parties: int) -> list[tuple[spans.Span, set[str]]]:
        """So many requests that nginx has open together."""
        folder = self.folder / f"nginx{parties}"
        folder.mkdir()
        file = self.new_path("spans.jsonl")
        location = f"location / {{ proxy_pass http://127.0.0.1:{self.peer(parties)}; }}"
        with Nginx(folder, case.preload_environment(file), server=location) as proxy:
            def ask(number: int) -> None:
                finished = run([program("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{proxy.port}/n{number}"],
                               clean_environment())
                self.assertEqual((finished.code, finished.errors), (0, b""))

            askers = [threading.Thread(target=ask, args=(number,)) for number in range(parties)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
        return self.linked(spans.read_file(file))

    def test_a_few_requests_of_a_loop(self):
        """All are open until the last has come, so that this one's call has all others as candidates."""
        for parties in (2, 4):
            found = self.through_nginx(parties)
            self.assertEqual(len(found), parties)
            for span, paths in found:
                self.assertTrue(span.parent_id or "/" + span.get("url.full").split("/", 3)[3] in paths, (span, paths))
            most = max((paths for _, paths in found), key=len)
            self.assertEqual(most, {f"/n{number}" for number in range(parties)})

    def test_many_requests_of_a_loop(self):
        found = self.through_nginx(8)
        self.assertEqual(len(found), 8)
        for span, paths in found:
            # The first came when there were few.
            self.assertLessEqual(len(paths), 4)
            self.assertTrue(not paths or "/" + span.get("url.full").split("/", 3)[3] in paths, (span, paths))

    def serve(self, work: str) -> list[tuple[spans.Span, set[str]]]:
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file)
        with subprocess.Popen(["/usr/bin/python3", "-c", SERVES % work, str(self.peer(1))], env=environment,
                              stdout=subprocess.PIPE) as server:
            port = int(server.stdout.readline())
            for number in range(4):
                to = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                to.request("GET", f"/n{number}")
                self.assertEqual(to.getresponse().status, 204)
                to.close()
            self.assertEqual(server.wait(20), 0)
        found = self.linked(spans.read_file(file))
        for span, _ in found:
            self.assertEqual((span.parent_id, span.get("wirespan.parent.source")), ("", "none"))
        return [(span.get("url.full").rpartition("/")[2], paths) for span, paths in found]

    def test_a_thread_that_waited_for_others(self):
        found = self.serve("""
ends = socket.socketpair()
def work(path):
    select.select([server, *ends], [], [], 0)
    ask(path)
""")
        self.assertEqual(sorted(found), [(f"n{number}", {f"/n{number}"}) for number in range(4)])

    def test_a_forked_child(self):
        """The fifth call is one too many."""
        found = self.serve("""
def work(path):
    child = os.fork()
    if child == 0:
        for _ in range(5):
            ask(path)
        os._exit(0)
    os.waitpid(child, 0)
""")
        for number in range(4):
            self.assertEqual([paths for name, paths in found if name == f"n{number}"],
                             [{f"/n{number}"}] * 4 + [set()])


if __name__ == "__main__":
    case.main()
