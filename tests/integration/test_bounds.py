#!/usr/bin/env python3
"""Requests that never end, and connections that are parked, make no endless traces."""

import contextlib
import http.client
import subprocess
import sys

from support import answering, case, spans

# Serves one request after the other: /calls/N makes N calls of its own while it is open, over one connection, and
# answers in pieces; /held/MS waits for so long before its one call.
SERVER = """
import http.client, socket, sys, threading, time
target = int(sys.argv[1])
def serve(connection):
    with connection:
        out = http.client.HTTPConnection("127.0.0.1", target)
        while head := connection.recv(65536):
            what, _, number = head.split()[1].decode()[1:].partition("/")
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
            if what == "held":
                end = time.monotonic_ns() + int(number) * 1000000
                while time.monotonic_ns() <= end:
                    time.sleep(0.01)
            for _ in range(int(number) if what == "calls" else 1):
                out.request("GET", "/called")
                out.getresponse().read()
                connection.sendall(b"1\\r\\nx\\r\\n")
            connection.sendall(b"0\\r\\n\\r\\n")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
"""


class Bounds(case.Case):
    @contextlib.contextmanager
    def running(self, *arguments, environment=None):
        with subprocess.Popen(
            [sys.executable, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        ) as program:
            yield int(program.stdout.readline())
            program.stdin.close()
            self.assertEqual(program.wait(30), 0)

    def serve(self, requests: list[str], **variables: str) -> list[spans.Span]:
        """Asks for these over one connection; returns the server's spans in their order."""
        file = self.new_path("spans.jsonl")
        with self.running(answering.__file__, "") as peer, \
                self.running("-c", SERVER, peer, environment=case.preload_environment(file, **variables)) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            for request in requests:
                connection.request("GET", f"/{request}")
                self.assertEqual(connection.getresponse().read().strip(b"x"), b"")
            connection.close()
        found = sorted(spans.read_file(file), key=lambda span: span.start_ns)
        spans.check_ids(found)
        return found

    def test_a_request_has_so_many_spans(self):
        found = self.serve(["calls/50"], WIRESPAN_CONTEXT_SPANS="20")
        server, calls = found[0], found[1:]
        self.assertEqual(len(calls), 50)
        self.assertEqual([call.parent_id for call in calls], [server.span_id] * 20 + [""] * 30)
        self.assertEqual(len({call.trace_id for call in calls[20:]} | {server.trace_id}), 31)

    def test_a_kept_connection_is_no_request(self):
        """Each request over it is a trace of its own, and has its own bound."""
        found = self.serve(["calls/3"] * 40, WIRESPAN_CONTEXT_SPANS="2")
        servers = [span for span in found if span.kind == spans.SERVER]
        self.assertEqual(len({server.trace_id for server in servers}), 40)
        for server in servers:
            self.assertEqual(sum(span.trace_id == server.trace_id for span in found), 3)

    def test_a_request_has_so_much_time(self):
        found = self.serve(["calls/1", "held/1000", "calls/1"], WIRESPAN_CONTEXT_SECONDS="1")
        parents = {call.parent_id for call in found if call.kind == spans.CLIENT}
        servers = [span.span_id for span in found if span.kind == spans.SERVER]
        self.assertEqual(parents, {servers[0], "", servers[2]})


if __name__ == "__main__":
    case.main()
