#!/usr/bin/env python3
"""Cases in which tools of this kind have failed: each a few lines of sockets, each compared with what
the peer saw."""

import socket
import threading

from support import case, expect, losses, servers, spans, truth
from support.process import run

BEGIN = """
import os, resource, socket, sys, threading, time
host, port = sys.argv[1], int(sys.argv[2])
def connect():
    return socket.create_connection((host, port))
def read(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more: break
        data += more
    return data
def answers(connection, count, body=b"hello, world\\n"):
    data = b""
    while data.count(b"\\r\\n\\r\\n") < count or body and data.count(body) < count:
        more = connection.recv(65536)
        if not more: break
        data += more
    return data
def get(n, method="GET", target="/hello", more=""):
    return f"{method} {target}?n={n} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n{more}\\r\\n".encode()
def command(*words):
    return b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(w), w) for w in words)
"""


class Peers(case.ClientCase):
    def python(self, script: str, least: int, redis: bool = False, bytes_too: bool = True) -> None:
        port = self.proxy.port if redis else self.truth.port
        self.check("/usr/bin/python3", "-c", BEGIN + script, "127.0.0.1", port, least=least, bytes_too=bytes_too)

    # ---- HTTP ----

    def test_five_pipelined_gets_in_one_segment(self):
        self.python("c = connect(); c.sendall(b''.join(get(n) for n in range(5))); print(len(answers(c, 5)))", 5)

    def test_five_pipelined_heads(self):
        self.python(
            "c = connect(); c.sendall(b''.join(get(n, 'HEAD', '/big') for n in range(5))); print(len(answers(c, 5, b'')))", 5
        )

    def test_pipeline_of_mixed_answers(self):
        self.python(
            "c = connect(); c.sendall(get(1) + get(2, 'HEAD', '/big') + get(3, 'GET', '/empty') + get(4, 'GET', '/cached')"
            " + get(5, 'GET', '/chunked') + get(6, 'GET', '/missing') + get(7, more='Connection: close\\r\\n'))\n"
            "print(len(read(c, 1 << 30)))", 7,
        )

    def test_request_line_split_over_sends(self):
        self.python(
            "c = connect(); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
            "for byte in get(1): c.send(bytes([byte]))\n"
            "print(answers(c, 1))\n"
            "for part in (b'GE', b'T /hel', b'lo?n=2 HT', b'TP/1.1\\r\\nHo', b'st: ' + f'{host}:{port}'.encode() + b'\\r\\n\\r', b'\\n'): c.send(part)\n"
            "print(answers(c, 1))", 2,
        )

    def test_answer_read_in_single_bytes(self):
        self.python("c = connect(); c.sendall(get(1) + get(2)); print(b''.join(c.recv(1) for _ in range(164)))", 2)

    def test_descriptor_over_1024(self):
        self.python(
            "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
            "held = [os.open('/dev/null', os.O_RDONLY) for _ in range(1500)]\n"
            "c = connect(); assert c.fileno() > 1024; c.sendall(get(1)); print(answers(c, 1))", 1,
        )

    def test_shutdown_of_the_sending_half(self):
        self.python("c = connect(); c.sendall(get(1)); c.shutdown(socket.SHUT_WR); print(read(c, 1 << 20))", 1)

    def test_peek_before_reading(self):
        self.python(
            "c = connect()\nfor n in range(3):\n    c.sendall(get(n)); c.recv(10, socket.MSG_PEEK); print(answers(c, 1))", 3
        )

    def test_sendmsg_and_recvmsg(self):
        self.python(
            "c = connect()\nfor n in range(3):\n    r = get(n); c.sendmsg([r[:5], r[5:20], r[20:]]); print(c.recvmsg(65536)[0])", 3
        )

    def test_duplicated_descriptors(self):
        self.python(
            "c = connect(); d = c.dup(); c.sendall(get(1)); print(answers(d, 1)); c.close(); d.sendall(get(2)); print(answers(d, 1))\n"
            "e = os.dup2(d.fileno(), 50); d.close(); os.write(50, get(3)); print(os.read(50, 65536)); os.close(50)", 3,
        )

    def test_numbers_reused_without_a_close_that_is_seen(self):
        self.python(
            "import ctypes\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "for n in range(20):\n"
            "    c = connect(); c.sendall(get(n)); print(len(answers(c, 1))); libc.syscall(3, c.detach())", 20,
        )

    def test_many_threads_many_connections(self):
        self.python(
            "def work(t):\n    c = connect()\n    for n in range(20): c.sendall(get(f'{t}-{n}')); answers(c, 1)\n"
            "threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]; print('done')", 160,
        )

    def test_forked_child_uses_the_inherited_connection(self):
        self.python(
            "c = connect(); c.sendall(get(1)); print(len(answers(c, 1)), flush=True)\n"
            "if os.fork() == 0:\n    c.sendall(get(2)); print(len(answers(c, 1)), flush=True); os._exit(0)\n"
            "os.wait(); c.sendall(get(3)); print(len(answers(c, 1)), flush=True)", 3,
            bytes_too=False,  # one socket of the kernel's, two processes' counts
        )

    def test_answer_cut_short(self):
        self.python("c = connect(); c.sendall(get(1, 'GET', '/cut')); print(len(read(c, 1 << 20)))", 1)

    def test_no_answer_at_all(self):
        """The client gives up: the span says so, and is not left out."""
        file = self.new_path("spans.jsonl")
        script = BEGIN + "c = connect(); c.sendall(get(1, 'GET', '/never')); c.settimeout(0.2)\n" \
            "try: c.recv(100)\nexcept TimeoutError: print('gave up')\nc.close()"
        preloaded = self.run_preloaded(["/usr/bin/python3", "-c", script, "127.0.0.1", self.truth.port], file)
        self.assertEqual((preloaded.code, preloaded.output), (0, b"gave up\n"))
        found = spans.read_file(file)
        self.assertEqual([span.name for span in found], ["GET"])
        self.assertIsNone(found[0].get("http.response.status_code"))
        # To give up is not an error by the conventions, but it is told.
        self.assertEqual((found[0].status, found[0].get("wirespan.cancelled")), (0, True))

    def one_failed(self, script: str, error: str, lost: dict[str, int] | None = None) -> None:
        """The exchange or connect fails; its span says how. What was given up is told."""
        file = self.new_path("spans.jsonl")
        self._reset()
        finished = run(["/usr/bin/python3", "-c", BEGIN + script, "127.0.0.1", self.port], case.preload_environment(file))
        self.assertEqual((finished.code, finished.output), (0, b"as expected\n"), finished.errors)
        told, found = losses.told(spans.read_file(file))
        self.assertEqual(told, lost or {})
        self.assertEqual([(span.status, span.get("error.type"), span.get("server.port")) for span in found], [(2, error, self.port)])

    def test_connection_refused(self):
        self.port = servers.free_port()
        self.one_failed("try: connect()\nexcept ConnectionRefusedError: print('as expected')", "connection_refused")

    def test_connection_refused_without_blocking(self):
        self.port = servers.free_port()
        self.one_failed(
            "import select\nc = socket.socket(); c.setblocking(False); c.connect_ex((host, port))\n"
            "select.select([], [c], [], 10); assert c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111\n"
            "print('as expected'); c.close()", "connection_refused",
        )

    def broken_peer(self, serve) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]

        def accept():
            connection, _ = listener.accept()
            serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)

    def test_reset_before_the_answer(self):
        def serve(connection):
            connection.recv(65536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        self.broken_peer(serve)
        self.one_failed(
            "c = connect(); c.sendall(get(1))\ntry: c.recv(100)\nexcept ConnectionResetError: print('as expected')",
            "connection_reset",
        )

    def test_closed_before_the_answer(self):
        def serve(connection):
            connection.recv(65536)
            connection.close()

        self.broken_peer(serve)
        self.one_failed("c = connect(); c.sendall(get(1)); assert c.recv(100) == b''; print('as expected')", "eof")

    def test_garbage_instead_of_an_answer(self):
        """The application's bytes stay what they are, whatever they are."""
        def serve(connection):
            connection.recv(65536)
            connection.sendall(b"\x00\x01\x02 no HTTP at all\r\n" * 100)
            connection.close()

        self.broken_peer(serve)
        self.one_failed(
            "c = connect(); c.sendall(get(1)); assert len(read(c, 1 << 20)) == 2000; print('as expected')", "protocol_error",
            {"malformed": 1},
        )

    # ---- Redis ----

    def test_pipeline_in_one_segment(self):
        self.python(
            "c = connect(); c.sendall(b''.join(command(b'SET', b'k%d' % n, b'v') for n in range(50))); print(read(c, 250))", 50,
            redis=True,
        )

    def test_command_split_over_sends(self):
        self.python(
            "c = connect(); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
            "for byte in command(b'SET', b'key', b'value'): c.send(bytes([byte]))\nprint(read(c, 5))", 1, redis=True,
        )

    def test_blocking_command(self):
        self.python(
            "c = connect(); c.sendall(command(b'BLPOP', b'nothing', b'0.1')); print(read(c, 5))\n"
            "d = connect(); c.sendall(command(b'BLPOP', b'list', b'0')); time.sleep(0.05)\n"
            "d.sendall(command(b'RPUSH', b'list', b'x')); print(read(d, 4), c.recv(100))", 3, redis=True,
        )

    def test_transaction_with_an_error(self):
        self.python(
            "c = connect(); c.sendall(command(b'MULTI') + command(b'SET', b'a', b'1') + command(b'LPUSH', b'a', b'x') + command(b'EXEC'))\n"
            "print(read(c, 5 + 9 + 9 + 4 + 5 + 68))", 4, redis=True,
        )

    def test_large_values_in_pieces(self):
        self.python(
            "c = connect(); c.sendall(command(b'SET', b'big', b'v' * 3_000_000)); print(read(c, 5))\n"
            "c.sendall(command(b'GET', b'big')); print(len(read(c, 3_000_012)))", 2, redis=True,
        )

    def first_reply(self, reply: bytes, prefix: str) -> None:
        """A server that refuses from the first byte on is a Redis all the same."""
        def serve(connection):
            connection.recv(65536)
            connection.sendall(reply)
            connection.recv(65536)
            connection.close()

        self.broken_peer(serve)
        self.one_failed("c = connect(); c.sendall(command(b'GET', b'key')); c.recv(100); c.close(); print('as expected')", prefix)

    def test_noauth_as_the_first_reply(self):
        self.first_reply(b"-NOAUTH Authentication required.\r\n", "NOAUTH")

    def test_oom_as_the_first_reply(self):
        self.first_reply(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "OOM")

    def test_redis_on_a_unix_socket(self):
        path = self.folder / "redis.sock"
        with servers.RedisServer(self.new_path(""), "--unixsocket", str(path)):
            file = self.new_path("spans.jsonl")
            finished = run(
                [servers.program("redis-cli"), "-s", path, "SET", "key", "value"], case.preload_environment(file)
            )
        self.assertEqual(finished.output, b"OK\n")
        found = [span for span in spans.read_file(file) if span.get("db.operation.name") == "SET"]
        self.assertEqual([(span.name, span.get("server.address"), span.get("server.port")) for span in found],
                         [(f"SET {path}", str(path), None)])

    def test_http_over_ipv6(self):
        with truth.TruthServer("::1") as server:
            file = self.new_path("spans.jsonl")
            finished = run(
                [servers.program("curl"), "-s", "--noproxy", "*", f"{server.url}/hello?n=1"], case.preload_environment(file)
            )
            server.settle()
        self.assertEqual(finished.output, b"hello, world\n")
        expect.compare([expect.http_client(exchange, server.url) for exchange in server.exchanges], spans.read_file(file))


if __name__ == "__main__":
    case.main()
