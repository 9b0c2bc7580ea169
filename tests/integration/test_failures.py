#!/usr/bin/env python3
"""Connections that fail, and those that cannot be read: each is one span that says why."""

import shutil
import socket
import ssl
import subprocess
import sys
import threading

from support import case, launched, servers, spans
from support.process import clean_environment, free_port, run
from support.servers import program


class Failures(case.Case):
    def one_span(self, *arguments, code: int | None = None, **environment: str) -> spans.Span:
        file = self.new_path("spans.jsonl")
        finished = run(list(arguments), case.preload_environment(file, **environment))
        if code is not None:
            self.assertEqual(finished.code, code, finished.errors.decode())
        found = spans.read_file(file)
        self.assertEqual(len(found), 1, "\n".join(map(str, found)))
        return found[0]

    def test_refused(self):
        port = free_port()
        span = self.one_span(program("curl"), "-s", "--noproxy", "*", f"http://127.0.0.1:{port}/", code=7)
        self.assertEqual((span.kind, span.status), (spans.CLIENT, 2))
        self.assertEqual(span.get("error.type"), "connection_refused")
        self.assertEqual((span.get("server.address"), span.get("server.port")), ("127.0.0.1", port))

    def test_refused_where_connect_waits(self):
        port = free_port()
        span = self.one_span(sys.executable, "-c", f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {port}))
except ConnectionRefusedError:
    pass
""", code=0)
        self.assertEqual(span.get("error.type"), "connection_refused")

    def test_name_not_found(self):
        span = self.one_span(program("curl"), "-s", "--noproxy", "*", "http://no-such-host.invalid/", code=6)
        self.assertEqual(span.get("error.type"), "host_not_found")
        self.assertEqual(span.get("server.address"), "no-such-host.invalid")
        self.assertEqual(span.get("dns.question.name"), "no-such-host.invalid")

    def answer_and(self, how) -> tuple[threading.Thread, int]:
        """A server for one connection: reads something, does `how(connection)`."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            with listener:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    how(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        return thread, listener.getsockname()[1]

    def test_reset(self):
        def reset(connection):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        thread, port = self.answer_and(reset)
        span = self.one_span(program("curl"), "-s", "--noproxy", "*", f"http://127.0.0.1:{port}/r", code=56)
        thread.join()
        self.assertEqual((span.get("error.type"), span.status), ("connection_reset", 2))
        self.assertEqual(span.get("url.full"), f"http://127.0.0.1:{port}/r")

    def test_closed_without_an_answer(self):
        thread, port = self.answer_and(lambda connection: None)
        span = self.one_span(program("curl"), "-s", "--noproxy", "*", f"http://127.0.0.1:{port}/", code=52)
        thread.join()
        self.assertEqual((span.get("error.type"), span.status), ("eof", 2))

    def test_answer_cut_short(self):
        def cut(connection):
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nonly this")

        thread, port = self.answer_and(cut)
        span = self.one_span(program("curl"), "-s", "--noproxy", "*", f"http://127.0.0.1:{port}/", code=18)
        thread.join()
        self.assertEqual(span.get("http.response.status_code"), 201)
        self.assertEqual((span.get("error.type"), span.status), ("eof", 2))

    def test_http2_without_tls(self):
        thread, port = self.answer_and(lambda connection: None)
        span = self.one_span(sys.executable, "-c", f"""
import socket
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes(9))
    connection.recv(100)
""", code=0)
        thread.join()
        self.assertEqual(span.get("wirespan.connection.opaque_reason"), "http2")

    def test_http2_by_libcurl(self):
        """Its word for the transfer stands in the place of what cannot be read."""
        thread, port = self.answer_and(lambda connection: None)
        span = self.one_span(
            program("curl"), "-s", "--noproxy", "*", "--http2-prior-knowledge", f"http://127.0.0.1:{port}/"
        )
        thread.join()
        self.assertEqual((span.name, span.kind, span.status), ("GET", spans.CLIENT, 2))
        self.assertEqual(span.get("url.full"), f"http://127.0.0.1:{port}/")
        self.assertIsNone(span.get("wirespan.connection.opaque_reason"))

    def test_bytes_of_no_known_protocol(self):
        thread, port = self.answer_and(lambda connection: connection.sendall(b"220 welcome\r\n"))
        span = self.one_span(sys.executable, "-c", f"""
import socket
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(bytes(range(200, 256)))
    connection.recv(100)
""", code=0)
        thread.join()
        self.assertEqual(span.get("wirespan.connection.opaque_reason"), "unknown")
        self.assertEqual(span.get("wirespan.connection.sent_bytes"), 56)
        self.assertEqual(span.get("wirespan.connection.received_bytes"), 13)
        self.assertEqual(span.status, 0)

    def test_tls(self):
        key, certificate = self.new_path("key"), self.new_path("certificate")
        subprocess.run(
            [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost"],
            check=True, capture_output=True, env=clean_environment(),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            with listener:
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(65536)
                    wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nprivat")

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        span = self.one_span(
            program("curl"), "-sk", "--noproxy", "*", "--http1.1", f"https://127.0.0.1:{port}/file", code=0
        )
        thread.join()
        self.assertEqual(span.get("url.full"), f"https://127.0.0.1:{port}/file")
        self.assertEqual(span.get("http.response.status_code"), 200)
        self.assertNotIn("privat", str(span.attributes))


MUSL = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int ping(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    char answer[100];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, (void *)&address, sizeof(address)) == 0 && write(fd, "*1\r\n$4\r\nPING\r\n", 14) == 14 &&
           read(fd, answer, sizeof(answer)) == 7;
}

int main(int count, char **arguments)
{
    int status = 0;
    int fine = ping(atoi(arguments[1]));
    pid_t child = fork();
    if (child == 0) {
        exit(ping(atoi(arguments[1])) ? 7 : 8);
    }
    waitpid(child, &status, 0);
    puts(fine && WEXITSTATUS(status) == 7 ? "fine" : "not fine");
    return 0;
}
"""


class WithoutExporter(launched.Launched):
    """The exporter's object cannot be loaded: one line says so, and the program does not notice."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))

    def test_object_missing_or_broken(self):
        folder = self.new_path("alone")
        folder.mkdir()
        shutil.copy(case.LIBRARY, folder)
        for content, why in ((None, "No such file"), (b"garbage\n" * 100, "invalid ELF header")):
            if content:
                (folder / "libwirespan-worker.so").write_bytes(content)
            environment = case.preload_environment(self.new_path("spans.jsonl"))
            environment["LD_PRELOAD"] = str(folder / "libwirespan.so")
            finished = self.complete([program("redis-cli"), "-p", str(self.redis.port), "PING"], environment)
            self.assertEqual((finished.code, finished.output), (0, b"PONG\n"))
            self.assertRegex(finished.errors.decode(), f"^wirespan: nothing is exported: .*{why}.*\n$")

    def test_programs_of_musl(self):
        source, path = self.new_path("musl.c"), self.new_path("musl")
        source.write_text(MUSL)
        built = self.complete([program("musl-gcc"), "-w", "-o", path, source], clean_environment())
        self.assertEqual(built.code, 0, built.errors)
        command = [path, str(self.redis.port)]
        finished = self.complete(command, case.preload_environment(self.new_path("spans.jsonl")))
        self.assertEqual((finished.code, finished.output), (0, b"fine\n"))
        for line in finished.errors.decode().splitlines():
            self.assertRegex(line, "^wirespan: nothing is exported: .*libwirespan-worker.so")
        file = self.new_path("spans.jsonl")
        finished = self.complete([launched.COMMAND, "run", "--", *command], launched.exporting(file))
        self.assertEqual((finished.code, finished.output, finished.errors), (0, b"fine\n", b""))
        self.await_spans(file, 2)
        self.await_drainers()


if __name__ == "__main__":
    case.main()
