#!/usr/bin/env python3
"""traceparent: continued by servers, and respected where a client's own SDK sends it."""

import re
import socket
import socketserver
import sys
import threading

from support import case, spans
from support.process import clean_environment, run
from support.servers import program

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
    connection.request("GET", "/", headers={"traceparent": header, "tracestate": "a=1"})
    print(connection.getresponse().status)
"""


def heads(headers: list[str], target: str = "/") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: example.test", *headers, "", ""]).encode()


SENDERS = {
    "http.client": """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for body in (b"", b"x" * (1 << 20)):
    connection.request("POST", "/", body=body)
    print(connection.getresponse().read())
""",
    "vectors": """
import socket, sys
head = b"POST / HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\nContent-Length: 3\\r\\n\\r\\n" % sys.argv[1].encode()
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
import os
for send in (connection.sendmsg, lambda parts: os.writev(connection.fileno(), parts),
             lambda parts: connection.send(b"".join(parts), socket.MSG_MORE) and 0,
             lambda parts: os.write(connection.fileno(), b"".join(parts))):
    print(send([head, b"a", b"bc"]))
    while not connection.recv(4096).endswith(b"ok"):
        pass
""",
}


class Receiver(socketserver.StreamRequestHandler):
    """Keeps heads and bodies as they came."""

    def handle(self):
        while line := self.rfile.readline():
            head = [line]
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head.append(line)
            size = next((int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length")), 0)
            self.server.requests.append((head, self.rfile.read(size)))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Written(case.Case):
    """What a server gets: the bytes of a plain run, and one field that names the exported span."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receiver)
        cls.server.daemon_threads = True
        cls.addClassCleanup(cls.server.server_close)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)
        cls.port = cls.server.server_address[1]

    def requests(self, arguments: list, environment: dict[str, str]) -> tuple[bytes, list]:
        self.server.requests = []
        finished = run([*arguments], environment)
        self.assertEqual(finished.code, 0, finished.errors)
        return finished.output, self.server.requests

    def check(self, arguments: list) -> None:
        plain = self.requests(arguments, clean_environment())
        file = self.new_path("spans.jsonl")
        output, requests = self.requests(arguments, case.preload_environment(file))
        contexts = [[line for line in head if line.lower().startswith(b"traceparent")] for head, _ in requests]
        found = sorted(spans.read_file(file), key=lambda span: span.start_ns)
        self.assertEqual([[f"traceparent: 00-{span.trace_id}-{span.span_id}-03\r\n".encode()] for span in found], contexts)
        for head, _ in requests:
            del head[1]
        self.assertEqual(plain, (output, requests))

    def test_python(self):
        for name, text in SENDERS.items():
            with self.subTest(name):
                self.check([sys.executable, "-c", text, self.port])

    def test_curl(self):
        url = f"http://127.0.0.1:{self.port}"
        self.check([program("curl"), "-s", "--noproxy", "*", f"{url}/a", f"{url}/b"])
        self.check([program("curl"), "-s", "--noproxy", "*", "-d", "x" * 5000, f"{url}/a"])

    def test_where_it_is_not_wanted(self):
        for variable in ({"OTEL_PROPAGATORS": "none"}, {"WIRESPAN_PROPAGATE_TO": "other.test"},
                         {"WIRESPAN_PROPAGATE_NOT_TO": "other.test,127.0.0.1"}):
            with self.subTest(variable):
                arguments = [sys.executable, "-c", SENDERS["vectors"], self.port]
                plain = self.requests(arguments, clean_environment())
                file = self.new_path("spans.jsonl")
                self.assertEqual(plain, self.requests(arguments, case.preload_environment(file, **variable)))


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

    def test_what_comes_beside_it(self):
        """Fields of a request; whether the trace goes on; the state that it takes along."""
        parent = f"traceparent: {VALID}"
        many = ",".join(f"k{number}=v" for number in range(32))
        cases = (
            ([parent, "tracestate: congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"], True, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
            (["TraceState: a=1", parent, "TRACESTATE:\tb=2 , a=3, "], True, "a=1,b=2"),
            ([parent], True, ""),
            ([parent, "tracestate:"], True, ""),
            ([parent, "tracestate: a=1,b"], True, ""),
            ([parent, "tracestate: a=1", "tracestate: Nonsense!"], True, ""),
            ([parent, "tracestate: a=\x01\x02"], True, ""),
            ([parent, f"tracestate: {many},one=more"], True, ""),
            ([parent, "tracestate: a=1," + "b=" + "v" * 600], True, ""),
            ([parent, "tracestate: a=1,b=" + "v" * 255 + ",c=" + "v" * 255 + ",d=1"], True, "a=1"),
            ([parent, "baggage: k=v", "tracestate: a=1"], True, "a=1"),
            ([parent, "baggage: " + "x" * 9000, "tracestate: a=1"], True, "a=1"),
            ([parent, "baggage: \"\\\x01,,,=;;", "tracestate: a=1"], True, "a=1"),
            ([parent, *["baggage: k=v"] * 80, "tracestate: a=1"], True, "a=1"),
            (["tracestate: a=1"], False, ""),
            (["traceparent: 00-nonsense", "tracestate: a=1"], False, ""),
            ([parent, parent, "tracestate: a=1"], False, ""),
            ([parent, "tracestate: a=1", parent], False, ""),
            (["traceparent: " + "0" * 9000, "tracestate: a=1"], False, ""),
        )
        found = self.serve([heads(headers, "/outer") for headers, _, _ in cases])
        # A server, its call, and who serves that; what was cut is counted beside them.
        found = [span for span in found if span.kind in (spans.SERVER, spans.CLIENT)]
        self.assertEqual(len(found), 3 * len(cases))
        for number, (headers, goes_on, state) in enumerate(cases):
            with self.subTest(headers=[header[:60] for header in headers[:4]]):
                three = outer, client, inner = found[3 * number:3 * number + 3]
                self.assertEqual({span.trace_id for span in three}, {outer.trace_id})
                self.assertEqual((client.parent_id, inner.parent_id), (outer.span_id, client.span_id))
                self.assertEqual(outer.trace_id == TRACE, goes_on)
                self.assertEqual([span.state for span in three], [state] * 3)

    def test_what_comes_beside_it_is_not_wanted(self):
        headers = [f"traceparent: {VALID}", "tracestate: a=1"]
        found = self.serve([heads(headers, "/outer")], OTEL_PROPAGATORS="none")
        self.assertEqual([span.state for span in found], [""] * 3)

    def test_what_is_too_long_is_counted(self):
        beside = [f"traceparent: {VALID}", "tracestate: a=1,b=" + "v" * 255 + ",c=" + "v" * 255]
        found = self.serve([heads(beside), heads([f"traceparent: {VALID}", "baggage: " + "k=v," * 80])])
        self.assertEqual(sum(span.get("wirespan.losses.context_cut", 0) for span in found), 2)

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
        self.assertEqual((first.get("wirespan.parent.source"), first.state), ("sdk", "a=1"))
        self.assertEqual((second.parent_id, second.get("wirespan.parent.source"), second.state), ("", "none", ""))


if __name__ == "__main__":
    case.main()
