#!/usr/bin/env python3
"""traceparent: continued by servers, and respected where a client's own SDK sends it."""

import re
import socket
import sys

from support import case, spans
from support.process import run

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{PARENT}-01"

# A server that answers as many requests as it is told, and asks itself for /inner while it answers /outer.
SERVER = """
import http.client, http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/outer":
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            connection.request("GET", "/inner", headers={"X": "1"})
            connection.getresponse().read()
        self.send_response(204)
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
thread = threading.Thread(target=server.serve_forever)
thread.start()
sys.stdin.read()
server.shutdown()
thread.join()
"""

CLIENT = """
import http.client, sys
for header in sys.argv[2:]:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", "/", headers={"traceparent": header})
    print(connection.getresponse().status)
"""


def heads(headers: list[str], target: str = "/") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: example.test", *headers, "", ""]).encode()


class Served(case.Case):
    def serve(self, requests: list[bytes], **environment: str) -> list[spans.Span]:
        """Sends the requests to a preloaded server, one connection each; its server spans in order."""
        import subprocess

        file = self.new_path("spans.jsonl")
        with subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=case.preload_environment(file, **environment),
        ) as server:
            port = int(server.stdout.readline())
            for request in requests:
                with socket.create_connection(("127.0.0.1", port), 10) as connection:
                    connection.sendall(request)
                    while connection.recv(4096):
                        pass
            server.stdin.close()
            self.assertEqual(server.wait(30), 0)
        found = spans.read_file(file)
        spans.check_ids(found)
        return sorted(found, key=lambda span: span.start_ns)

    def test_a_remote_parent_is_continued(self):
        [span] = self.serve([heads([f"traceparent: {VALID}"])])
        self.assertEqual((span.trace_id, span.parent_id), (TRACE, PARENT))
        self.assertEqual(span.get("wirespan.parent.source"), "remote")

    def test_calls_below_it_are_in_its_trace(self):
        found = self.serve([heads([f"TraceParent:{VALID} "], "/outer")])
        self.assertEqual(len(found), 3)
        outer = next(span for span in found if span.get("url.path") == "/outer")
        client = next(span for span in found if span.kind == spans.CLIENT)
        self.assertEqual((client.trace_id, client.parent_id), (TRACE, outer.span_id))

    def test_what_is_invalid_starts_a_new_trace(self):
        invalid = [
            f"00-{TRACE}-{PARENT}", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more",
        ]
        found = self.serve([heads([f"traceparent: {value}"]) for value in invalid])
        self.assertEqual(len(found), len(invalid))
        for span in found:
            self.assertNotEqual(span.trace_id, TRACE)
            self.assertEqual((span.parent_id, span.get("wirespan.parent.source")), ("", "none"))

    def test_two_of_them_are_none(self):
        [span] = self.serve([heads([f"traceparent: {VALID}", f"traceparent: {VALID}"])])
        self.assertNotEqual(span.trace_id, TRACE)
        self.assertEqual(span.parent_id, "")

    def test_an_unsampled_parent_is_believed(self):
        unsampled = heads([f"traceparent: 00-{TRACE}-{PARENT}-00"])
        self.assertEqual(self.serve([unsampled]), [])
        [span] = self.serve([unsampled], OTEL_TRACES_SAMPLER="always_on")
        self.assertEqual(span.trace_id, TRACE)

    def test_without_propagators_nothing_is_read(self):
        [span] = self.serve([heads([f"traceparent: {VALID}"])], OTEL_PROPAGATORS="none")
        self.assertNotEqual(span.trace_id, TRACE)


class Sent(case.Case):
    def test_a_client_with_its_own_context_keeps_it(self):
        from support import truth

        with truth.TruthServer() as server:
            port = int(re.search(r":(\d+)$", server.url).group(1))
            file = self.new_path("spans.jsonl")
            finished = run(
                [sys.executable, "-c", CLIENT, port, VALID, "nonsense"], case.preload_environment(file)
            )
            self.assertEqual(finished.code, 0, finished.errors.decode())
        first, second = sorted(spans.read_file(file), key=lambda span: span.start_ns)
        self.assertEqual((first.trace_id, first.parent_id), (TRACE, PARENT))
        self.assertEqual(first.get("wirespan.parent.source"), "sdk")
        self.assertEqual((second.parent_id, second.get("wirespan.parent.source")), ("", "none"))


if __name__ == "__main__":
    case.main()
