#!/usr/bin/env python3
"""What is written into requests, byte for byte: what servers get and what programs are told, plain and preloaded."""

import hashlib
import pathlib
import re
import socketserver
import ssl
import sys
import threading

from support import case, spans
from support.process import clean_environment, run

CLIENT = pathlib.Path(__file__).with_name("clients") / "insertion.py"
CUTS = case.COMPILED / "cuts.so"
LINE = len(b"POST /path HTTP/1.1\r\n")

# Only right behind a request line, and in one spelling.
CONTEXT = re.compile(rb"(?<= HTTP/1\.1\r\n)traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-03\r\n")


class Recorder(socketserver.StreamRequestHandler):
    """Keeps a connection's bytes as they came, and answers what it can read with the hash of the body."""

    context: ssl.SSLContext | None = None

    def setup(self):
        if self.context:
            self.request = self.context.wrap_socket(self.request, server_side=True, suppress_ragged_eofs=True)
        super().setup()
        self.stream = bytearray()

    def line(self) -> bytes:
        found = self.rfile.readline()
        self.stream += found
        return found

    def handle(self):
        try:
            while self.serve():
                pass
            self.stream += self.rfile.read()
        except OSError:
            pass

    def finish(self):
        with self.server.lock:
            self.server.streams.append(bytes(self.stream))
            self.server.lock.notify()
        super().finish()
        if self.context:
            self.request.close()

    def serve(self) -> bool:
        first = self.line()
        if not first.endswith(b" HTTP/1.1\r\n"):
            return False
        head = {}
        while (line := self.line()).strip():
            name, _, value = line.partition(b":")
            head[name.strip().lower()] = value.strip()
        if b"expect" in head:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"upgrade" in head:
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
            return False
        if first.startswith(b"CONNECT"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            return True
        body = self.rfile.read(int(head.get(b"content-length", 0)))
        self.stream += body
        answer = hashlib.sha256(body).hexdigest().encode() + b"!"
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        return True


class Ground(case.Case):
    client = CLIENT
    handler = Recorder

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), cls.handler)
        cls.server.daemon_threads = True
        cls.server.lock = threading.Condition()
        cls.server.streams = []
        cls.addClassCleanup(cls.server.server_close)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)

    def streams(self, scenario: str, environment: dict[str, str]) -> tuple[bytes, list[bytes]]:
        """What the client printed, and the bytes of its connections, in order of their ends."""
        self.server.streams.clear()
        finished = run([sys.executable, self.client, self.server.server_address[1], scenario], environment, 120)
        self.assertEqual((finished.code, finished.errors), (0, b""))
        with self.server.lock:
            expected = self.connections[scenario]
            self.assertTrue(self.server.lock.wait_for(lambda: len(self.server.streams) == expected, 30))
            return finished.output, list(self.server.streams)

    connections: dict[str, int]

    def compare(self, scenario: str, preloads: list) -> tuple[list[bytes], list, list]:
        """The bytes with the context taken out are those of a plain run. Returns them as they were, the ids in
        them, and the spans."""
        injector = {"LD_PRELOAD": ":".join(map(str, preloads))} if preloads else {}
        plain, wanted = self.streams(scenario, clean_environment(**injector))
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(file)
        environment["LD_PRELOAD"] = ":".join([environment["LD_PRELOAD"], *map(str, preloads)])
        preloaded, got = self.streams(scenario, environment)
        self.assertEqual(plain, preloaded)
        self.assertEqual(sorted(wanted), sorted(CONTEXT.sub(b"", stream) for stream in got))
        found = spans.read_file(file)
        ids = [(trace.decode(), span.decode()) for stream in got for trace, span in CONTEXT.findall(stream)]
        self.assertEqual(len(ids), len(set(ids)))
        # Every id that went out is a span's.
        self.assertLessEqual(set(ids), {(span.trace_id, span.span_id) for span in found})
        return got, ids, found

    def check_conversations(self):
        got, ids, _ = self.compare("conversations", [])
        for stream in got:
            contexts = len(CONTEXT.findall(stream))
            with self.subTest(stream[:60]):
                if b"CONNECT" in stream or b"PRI" in stream or b"\n\n" in stream or b"acestate" in stream:
                    self.assertEqual(contexts, 0)
                elif b"Upgrade" in stream:
                    self.assertEqual(contexts, 1)  # in the request, not behind it
                    self.assertLess(stream.index(b"traceparent"), stream.index(b"\r\n\r\n"))
        self.assertGreaterEqual(len(ids), 4)


class Insertion(Ground):
    # Seven ways of sending, over sockets that block and that do not.
    connections = {"every_call": 2, "large": 14, "conversations": 5 + 12 + 3, "cut_once": 14, "cut_on": 14}

    def test_every_call(self):
        _, ids, found = self.compare("every_call", [])
        self.assertEqual((len(ids), len(found)), (14, 14))

    def test_large_bodies(self):
        _, ids, found = self.compare("large", [])
        self.assertEqual((len(ids), len(found)), (14, 14))

    def test_conversations(self):
        self.check_conversations()

    def check_cuts(self, scenario: str, early: int):
        got, ids, found = self.compare(scenario, [CUTS])
        requests = sum(CONTEXT.sub(b"", stream).count(b"POST /path") for stream in got)
        self.assertEqual(len(found), requests)
        # Where the cut lies in the first line the request goes as it is.
        self.assertEqual(len(ids), requests - early * len(got))

    def test_cut_at_every_byte(self):
        self.check_cuts("cut_once", LINE)

    def test_what_is_owed_is_cut(self):
        self.check_cuts("cut_on", LINE + 1)  # nothing, then one byte: that is another in the line


class InsertionOverTls(Ground):
    """By Python's ssl: over sockets that block and that do not, and over memory buffers."""

    client = CLIENT.with_name("insertion_tls.py")
    # A way each: by sockets that block, by sockets that do not, by memory buffers.
    connections = {"every_way": 3, "large": 3, "conversations": 5 + 12 + 3}

    @classmethod
    def setUpClass(cls):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.handler = type("TlsRecorder", (Recorder,), {"context": context})
        super().setUpClass()
        context.load_cert_chain(*case.make_certificate(cls.folder, "localhost"))

    def test_every_way(self):
        _, ids, found = self.compare("every_way", [])
        self.assertEqual((len(ids), len(found)), (15, 15))

    def test_large_bodies(self):
        _, ids, found = self.compare("large", [])
        self.assertEqual((len(ids), len(found)), (9, 9))

    def test_conversations(self):
        self.check_conversations()


if __name__ == "__main__":
    case.main()
