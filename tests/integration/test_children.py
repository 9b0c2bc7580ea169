#!/usr/bin/env python3
"""Programs that a request starts: told for whom they work, by their environment, and by nothing else."""

import contextlib
import http.client
import http.server
import os
import subprocess
import sys
import threading

from support import case, spans
from support.answering import Answering
from support.servers import program

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"

# Each serves one request after the other: /WAY starts a program in that way, and answers with what it printed.
PYTHON = """
import os, socket, subprocess, sys
command = sys.argv[1:]
def forked(execute):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(writing, 1)
        execute()
        os._exit(1)
    os.close(writing)
    with open(reading, "rb") as output:
        text = output.read()
    os.wait()
    return text
def spawned(spawn):
    reading, writing = os.pipe()
    spawn(file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
    os.close(writing)
    with open(reading, "rb") as output:
        text = output.read()
    os.wait()
    return text
own = os.environ | {"TRACEPARENT": "%s"}
few = {name: value for name, value in os.environ.items() if name.startswith(("LD_", "OTEL", "WIRESPAN"))}
ways = {
    "list": lambda: subprocess.check_output(command),
    "environment": lambda: subprocess.check_output(command, env=few),
    "own": lambda: subprocess.check_output(command, env=own),
    "shell": lambda: subprocess.check_output(" ".join(command), shell=True),
    "fork": lambda: subprocess.check_output(command, preexec_fn=lambda: None),
    "execv": lambda: forked(lambda: os.execv(command[0], command)),
    "execvp": lambda: forked(lambda: os.execvp(command[0], command)),
    "execve": lambda: forked(lambda: os.execve(command[0], command, few)),
    "spawn": lambda: spawned(lambda **more: os.posix_spawn(command[0], command, os.environ, **more)),
    "spawnp": lambda: spawned(lambda **more: os.posix_spawnp(command[0], command, few, **more)),
}
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        target = connection.recv(65536).split()[1][1:].decode()
        if target == "end":
            break
        text = ways[target]()
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %%d\\r\\n\\r\\n%%s" %% (len(text), text))
""" % OTHER

NODE = """
const child = require('child_process'), http = require('http');
const [file, ...rest] = process.argv.slice(1);
const ways = {
    execFile: (done) => child.execFile(file, rest, done),
    exec: (done) => child.exec([file, ...rest].join(' '), done),
    sync: (done) => done(null, child.execFileSync(file, rest)),
    later: (done) => setTimeout(() => child.execFile(file, rest, done), 20),
};
const agent = new http.Agent({ keepAlive: false });
const server = http.createServer((request, response) => {
    const way = request.url.slice(1);
    if (way === 'end') { response.end(); server.close(); return; }
    ways[way]((error, output) => response.end(error ? String(error) : output));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""

JAVA = """
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
public class Starter {
    public static void main(String[] command) throws Exception {
        ServerSocket listener = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"));
        System.out.println(listener.getLocalPort());
        while (true) {
            try (Socket connection = listener.accept()) {
                BufferedReader in = new BufferedReader(new InputStreamReader(connection.getInputStream()));
                String target = in.readLine().split(" ")[1].substring(1);
                while (!in.readLine().isEmpty()) { }
                if (target.equals("end")) break;
                ProcessBuilder builder = new ProcessBuilder(command);
                if (target.equals("environment")) builder.environment().put("MORE", "1");
                byte[] text = builder.start().getInputStream().readAllBytes();
                OutputStream out = connection.getOutputStream();
                out.write(("HTTP/1.1 200 OK\\r\\nContent-Length: " + text.length + "\\r\\n\\r\\n")
                    .getBytes(StandardCharsets.US_ASCII));
                out.write(text);
            }
        }
    }
}
"""

VARIABLES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")


class Children(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        cls.addClassCleanup(cls.peer.server_close)
        threading.Thread(target=cls.peer.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.peer.shutdown)
        cls.curl = [program("curl"), "-s", "--noproxy", "127.0.0.1", f"http://127.0.0.1:{cls.peer.server_port}/called"]

    @contextlib.contextmanager
    def starter(self, arguments: list, file, **variables: str):
        """A preloaded program that starts others; yields what asks it to."""
        with subprocess.Popen(
            [str(one) for one in arguments], env=case.preload_environment(file, **variables),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        ) as running:
            port = int(running.stdout.readline())

            def ask(target: str, **headers: str) -> bytes:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", f"/{target}", headers=headers)
                with contextlib.closing(connection):
                    return b"" if target == "end" else connection.getresponse().read()

            try:
                yield ask
            finally:
                try:
                    ask("end")
                except OSError:
                    running.kill()
                self.assertEqual(running.wait(30), 0)

    def check_calls(self, starter: list, ways: list[str], at_once: bool = False, untold: int = 0) -> None:
        """What a program calls is below the request that had it started; the first `untold` may be nobody's."""
        file = self.new_path("spans.jsonl")
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1,b=2"}
        with self.starter([*starter, *self.curl], file) as ask:
            for _ in range(untold):
                self.assertEqual(ask(ways[0]), b"ok")
            if at_once:
                threads = [threading.Thread(target=ask, args=(way,), kwargs=headers) for way in ways]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            else:
                for way in ways:
                    self.assertEqual(ask(way, **headers), b"ok", way)
        found = spans.read_file(file)
        served = {span.span_id: span for span in found if span.kind == spans.SERVER}
        calls = [span for span in found if span.get("url.full", "").endswith("/called")]
        calls.sort(key=lambda call: call.start_ns)  # each program exports its own when it ends
        for call in calls[:untold]:
            # Told it is where nothing else has a part in the loop's turn, which is a matter of chance.
            if call.get("wirespan.parent.source") != "none":
                self.assertEqual(served[call.parent_id].get("url.path"), f"/{ways[0]}")
        calls = calls[untold:]
        paths = sorted(served[call.parent_id].get("url.path") for call in calls if call.parent_id in served)
        self.assertEqual(paths, sorted(f"/{way}" for way in ways), [str(call) for call in calls])
        for call in calls:
            self.assertEqual((call.trace_id, call.state, call.get("wirespan.parent.source")), (TRACE, "a=1,b=2", "ambient"))

    def test_python(self):
        ways = ["list", "environment", "shell", "fork", "execv", "execvp", "execve", "spawn", "spawnp"]
        self.check_calls([sys.executable, "-c", PYTHON], ways)

    def test_what_the_program_sets_stays(self):
        file = self.new_path("spans.jsonl")
        with self.starter([sys.executable, "-c", PYTHON, *self.curl], file) as ask:
            self.assertEqual(ask("own", traceparent=f"00-{TRACE}-{PARENT}-01"), b"ok")
        [call] = [span for span in spans.read_file(file) if span.kind == spans.CLIENT]
        self.assertEqual((call.trace_id, call.parent_id), tuple(OTHER.split("-")[1:3]))

    def test_node(self):
        # Who never made a connection is asked from its first program on.
        self.check_calls([program("node"), "-e", NODE, "--"], ["execFile", "exec", "sync", "later"], untold=1)

    def test_node_at_once(self):
        warm_up = NODE.replace("const agent", "http.get({ port: 1, host: '127.0.0.1' }).on('error', () => 0); const agent")
        self.check_calls([program("node"), "-e", warm_up, "--"], ["later", "execFile", "later", "exec", "later"], at_once=True)

    def test_java(self):
        folder = self.new_path("java").parent
        (folder / "Starter.java").write_text(JAVA)
        subprocess.run([program("javac"), "-d", str(folder), str(folder / "Starter.java")], check=True)
        self.check_calls([program("java"), "-Xint", "-cp", folder, "Starter"], ["list", "environment"])

    def environments(self, way: str, **variables: str) -> list[bytes]:
        with self.starter([sys.executable, "-c", PYTHON, program("env"), "-0"], self.new_path("s"), **variables) as ask:
            text = ask(way, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=1", baggage="k=v;p, l=w")
        return [line for line in text.split(b"\0") if not line.startswith(b"WIRESPAN_FILE")]

    def test_the_rest_is_as_it_was(self):
        for way in ("list", "environment", "fork", "execve", "spawn", "spawnp"):
            with self.subTest(way):
                plain = self.environments(way, OTEL_PROPAGATORS="none")
                told = self.environments(way, OTEL_PROPAGATORS="tracecontext,baggage")
                # The last entry is the empty one behind the last zero.
                context = told[-4:-1]
                self.assertEqual([line.partition(b"=")[0].decode() for line in context], list(VARIABLES))
                self.assertRegex(context[0], rf"=00-{TRACE}-[0-9a-f]{{16}}-01$".encode())
                self.assertEqual(context[1:], [b"TRACESTATE=a=1", b"BAGGAGE=k=v;p,l=w"])
                self.assertEqual([line for line in plain if not line.startswith(b"OTEL_PROP")],
                                 [line for line in told[:-4] + told[-1:] if not line.startswith(b"OTEL_PROP")])

    def test_what_it_was_started_with_gives_way(self):
        plain = self.environments("list", TRACEPARENT=OTHER, TRACESTATE="old=1", OTEL_PROPAGATORS="none")
        told = self.environments("list", TRACEPARENT=OTHER, TRACESTATE="old=1", OTEL_PROPAGATORS="tracecontext")
        self.assertIn(b"TRACEPARENT=" + OTHER.encode(), plain)
        self.assertEqual([line.partition(b"=")[0] for line in plain], [line.partition(b"=")[0] for line in told])
        named = dict(line.split(b"=", 1) for line in told if line)
        self.assertTrue(named[b"TRACEPARENT"].startswith(f"00-{TRACE}-".encode()))
        self.assertEqual(named[b"TRACESTATE"], b"a=1")


if __name__ == "__main__":
    case.main()
