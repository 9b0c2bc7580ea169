#!/usr/bin/env python3
"""Starts and ends by the hundred, of programs that export by themselves over HTTPS: no crash, no
hang, the same exit status, and what they did arrives.

TEST_ROUNDS makes another number for each runtime (meson's option `rounds`).
"""

import os
import subprocess
import time

from support import case, launched, servers
from support.process import clean_environment
from support.receiver import Receiver
from support.servers import program
from support.tls_front import TlsFront

from certificates import make_certificate  # pylint: disable=wrong-import-order

ROUNDS = 500
# Exit status of a round, by its number: all ways of a program to say how it went.
CODES = (0, 7)
DEADLINE = 60

PING = "*1\\r\\n$4\\r\\nPING\\r\\n"
PROGRAMS = {
    "python": ["/usr/bin/python3", "-I", "-S", "-c", """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(b"%s")
    connection.recv(100)
sys.exit(int(sys.argv[2]))
""" % PING],
    "node": ["node", "-e", """
const connection = require('net').connect(Number(process.argv[1]), '127.0.0.1', () => connection.write('%s'));
connection.on('data', () => { process.exitCode = Number(process.argv[2]); connection.end(); });
""" % PING],
    "ruby": ["ruby", "--disable-gems", "-rsocket", "-e", """
connection = TCPSocket.new("127.0.0.1", ARGV[0].to_i)
connection.write("%s")
connection.readpartial(100)
exit(ARGV[1].to_i)
""" % PING],
    "php": ["php", "-n", "-r", """
$connection = fsockopen("127.0.0.1", (int) $argv[1]);
fwrite($connection, "%s");
fread($connection, 100);
exit((int) $argv[2]);
""" % PING],
}
JAVA = """
public class Round {
    public static void main(String[] arguments) throws Exception {
        try (var connection = new java.net.Socket("127.0.0.1", Integer.parseInt(arguments[0]))) {
            connection.getOutputStream().write("%s".getBytes());
            connection.getInputStream().read(new byte[100]);
        }
        System.exit(Integer.parseInt(arguments[1]));
    }
}
""" % PING


class Rounds(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))
        cls.certificate, cls.key = make_certificate(cls.folder, "localhost")

    def setUp(self):
        super().setUp()
        self.receiver = Receiver(case.COMPILED / "count_receiver")
        self.addCleanup(self.receiver.end)
        self.front = TlsFront(self.certificate, self.key, self.receiver.port)
        self.front.__enter__()
        self.addCleanup(self.front.__exit__)
        self.environment = clean_environment(
            LD_PRELOAD=str(case.LIBRARY), OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{self.front.port}",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(self.certificate),
        )

    @staticmethod
    def rounds() -> int:
        return int(os.environ.get("TEST_ROUNDS") or 0) or ROUNDS

    def run_rounds(self, name: str, command: list) -> None:
        """Two at a time: on two processors that is when the exporter's thread is interrupted."""
        total = self.rounds()
        began = time.monotonic()
        slowest = 0.0
        running: list[tuple[subprocess.Popen, int, float]] = []
        for number in range(total + 2):
            if len(running) == 2 or (number >= total and running):
                process, code, since = running.pop(0)
                try:
                    output, errors = process.communicate(timeout=DEADLINE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    self.fail(f"a round of {name} hangs")
                self.assertEqual((process.returncode, output, errors), (code, b"", b""), f"round {number - 2} of {name}")
                slowest = max(slowest, time.monotonic() - since)
            if number < total:
                code = CODES[number % len(CODES)]
                running.append((subprocess.Popen(
                    [*map(str, command), str(self.redis.port), str(code)], env=self.environment, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                ), code, time.monotonic()))
        took = time.monotonic() - began
        counts = self.receiver.counts()
        print(f"{name}: {total} rounds in {took:.1f} s, the slowest {slowest:.2f} s; {counts['spans']} spans", flush=True)
        self.assertEqual((counts["spans"], counts["duplicates"]), (total, 0))

    def test_python(self):
        self.run_rounds("python", PROGRAMS["python"])

    def test_node(self):
        self.run_rounds("node", [program("node"), *PROGRAMS["node"][1:]])

    def test_ruby(self):
        self.run_rounds("ruby", [program("ruby"), *PROGRAMS["ruby"][1:]])

    def test_php(self):
        self.run_rounds("php", [program("php"), *PROGRAMS["php"][1:]])

    def test_java(self):
        source = self.new_path("Round.java")
        source.write_text(JAVA)
        compiled = self.complete([program("javac"), "-d", source.parent, source], clean_environment())
        self.assertEqual(compiled.code, 0, compiled.errors)
        self.run_rounds("java", [program("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", source.parent, "Round"])

    def test_nginx(self):
        """Master and worker, one request, ended by SIGQUIT or SIGTERM."""
        total = self.rounds()
        began = time.monotonic()
        for number in range(total):
            folder = self.new_path("nginx")
            (folder / "www").mkdir(parents=True)
            (folder / "www" / "hello").write_text("hello\n")
            with servers.Nginx(folder, self.environment, workers=1) as nginx:
                fetched = self.complete([program("curl"), "-s", "--noproxy", "*", f"{nginx.url}/hello"], clean_environment())
                self.assertEqual(fetched.output, b"hello\n")
                self.assertEqual(nginx.end((3, 15)[number % 2]), 0, nginx.said())
        counts = self.receiver.counts()
        print(f"nginx: {total} rounds in {time.monotonic() - began:.1f} s; {counts['spans']} spans", flush=True)
        self.assertEqual((counts["spans"], counts["duplicates"]), (total, 0))


if __name__ == "__main__":
    case.main()
