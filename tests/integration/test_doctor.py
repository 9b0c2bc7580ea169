#!/usr/bin/env python3
"""wirespan doctor on real programs: its verdict against what happens when they are preloaded."""

import ctypes
import json
import os
import pathlib
import socket
import stat
import subprocess
import sys
import unittest

from support import case
from support.process import TREE, clean_environment, run, wait_until
from support.servers import program

sys.path.insert(0, str(TREE / "tests" / "support"))
import elf_file  # noqa: E402

WIRESPAN = case.BUILD / "src" / "command" / "wirespan"
SEEN, UNSEEN, CANNOT_TELL = 0, 1, 2

# Says whether libwirespan.so is in the process; then waits for its standard input to end.
WITNESS = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    char line[4096];
    int is_there = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
        is_there |= strstr(line, "/libwirespan.so") != NULL;
    puts(is_there ? "there" : "absent");
    fflush(stdout);
    while (read(0, line, sizeof(line)) > 0) {}
    return 0;
}
"""

# Opens a connection to the port given, so that the exporter's thread starts.
CONNECTOR = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char byte;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[argc - 1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) return 1;
    puts("connected");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    return 0;
}
"""


# A server that, told to, asks itself for what it answers only by asking again.
SERVES_IN_NODE = r"""
const http = require('http');
const server = http.createServer((request, response) => {
    if (request.url === '/inner') return response.end('inner');
    http.get({ port: server.address().port, path: '/inner' }, (answer) => answer.pipe(response));
});
server.listen(0, '127.0.0.1', () => console.log('there'));
process.stdin.once('data', () => {
    http.get({ port: server.address().port, path: '/' }, (answer) => answer.resume().on('end', () => console.log('served')));
});
process.stdin.on('end', () => process.exit());
"""

# The same, once with asyncio; then it forks a child, which talks to a server as well.
SERVES_IN_PYTHON = r"""
import asyncio, os, sys
async def serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("there", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await ask(server.sockets[0].getsockname()[1])
async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    await reader.readuntil(b"ok")
    writer.close()
asyncio.run(main())
asked, answer = os.pipe()
if os.fork() == 0:
    asyncio.run(asyncio.start_server(serve, "127.0.0.1", 0))
    os.write(answer, b".")
    sys.stdin.read()
    os._exit(0)
os.read(asked, 1)
print("served", flush=True)
sys.stdin.read()
"""


class Doctor(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, source in (("witness", WITNESS), ("connector", CONNECTOR)):
            (cls.folder / f"{name}.c").write_text(source)
            cls.compile("gcc", name, name)

    @classmethod
    def compile(cls, compiler, source, name, *options):
        subprocess.run([compiler, *options, cls.folder / f"{source}.c", "-o", cls.folder / name], check=True)
        return cls.folder / name

    def ask(self, *arguments, **variables):
        """The exit status and the findings, by id."""
        finished = run([WIRESPAN, "doctor", "--json", *arguments], clean_environment(**variables))
        self.assertIn(finished.code, (SEEN, UNSEEN, CANNOT_TELL), finished.errors)
        if finished.code == CANNOT_TELL:
            return finished.code, {}
        answer = json.loads(finished.output)
        self.assertEqual(finished.code == SEEN, answer["verdict"] == "seen")
        found = {}
        for finding in answer["findings"]:
            known = found.setdefault(finding["id"], {**finding, "text": ""})
            known["text"] += finding["text"]
        return finished.code, found

    def start(self, *arguments, given="there", **variables):
        """A program that is up: it has said `given`."""
        child = subprocess.Popen(
            [str(argument) for argument in arguments], env=clean_environment(**variables), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self.addCleanup(self.end, child)
        self.assertEqual(child.stdout.readline().strip(), given)
        return child

    @staticmethod
    def end(child):
        child.stdin.close()
        child.stdout.close()
        try:
            child.wait(20)
        finally:
            child.kill()
            child.wait()

    def preloaded(self, path):
        """What the program itself says of its being preloaded."""
        environment = clean_environment(LD_PRELOAD=str(case.LIBRARY), OTEL_TRACES_EXPORTER="console")
        return run([path], environment)


class Commands(Doctor):
    def check(self, path, status, *ids, **variables):
        code, found = self.ask("--", path, **variables)
        self.assertEqual(code, status, found)
        self.assertLessEqual(set(ids), set(found))
        return found

    def test_a_plain_program(self):
        path = self.folder / "witness"
        found = self.check(path, SEEN, "program", "hooked", "worker", "endpoint", "clock")
        self.assertRegex(found["hooked"]["text"], r"call [1-9]\d* of the [1-9]\d* functions")
        self.assertEqual(self.preloaded(path).output, b"there\n")

    def test_runtimes(self):
        for name in ("python3", "node", "ruby", "php", "perl", "curl", "redis-server", "nginx", "java"):
            with self.subTest(name):
                found = self.check(program(name), SEEN, "program", "hooked")
                # What the loader says of their objects is what was found.
                path = found["program"]["text"].split(" is ")[1].split(",")[0]
                listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
                needed = [line for line in listing.splitlines() if "=>" in line]
                self.assertIn(f"its {len(needed)} shared objects", found["hooked"]["text"])

    def test_tls(self):
        self.assertIn("OpenSSL (libssl.so", self.check(program("curl"), SEEN, "tls")["tls"]["text"])
        node = self.check(program("node"), SEEN)
        exported = subprocess.run(["nm", "-D", "--defined-only", os.path.realpath(program("node"))], capture_output=True,
                                  text=True, check=True).stdout
        if " SSL_CTX_new" in exported:
            self.assertIn("inside node, patched", node["tls"]["text"])
            self.assertEqual(node["tls"]["level"], "good")
            node = self.check(program("node"), SEEN, WIRESPAN_PATCH_TLS="false")
            self.assertEqual(node["tls"]["level"], "note")

    def test_static(self):
        path = self.compile("gcc", "witness", "static", "-static")
        self.check(path, UNSEEN, "static")
        self.assertEqual(self.preloaded(path).output, b"absent\n")
        pie = self.compile("gcc", "witness", "static-pie", "-static-pie")
        self.check(pie, UNSEEN, "static")
        self.assertEqual(self.preloaded(pie).output, b"absent\n")

    def test_musl(self):
        path = self.compile("musl-gcc", "witness", "musl")
        code, found = self.ask("--", path)
        self.assertIn("musl", found)
        self.assertEqual(code == SEEN, self.preloaded(path).output == b"there\n")

    def test_go(self):
        (self.folder / "main.go").write_text('package main\nimport "net"\nfunc main() { net.Listen("tcp", "127.0.0.1:0") }\n')
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
        subprocess.run([program("go"), "build", "-o", self.folder / "in-go", "main.go"], cwd=self.folder,
                       env=environment, check=True, capture_output=True)
        self.check(self.folder / "in-go", UNSEEN, "go")
        # A linker that strips all it can leaves the note.
        subprocess.run(["strip", "-R", ".go.buildinfo", self.folder / "in-go", "-o", self.folder / "stripped-go"], check=True)
        self.check(self.folder / "stripped-go", UNSEEN, "go")

    def test_setuid(self):
        nobody = 65534
        for name, mode, finding in (("by-user", stat.S_ISUID, "setuid"), ("by-group", stat.S_ISGID, "setgid")):
            path = self.folder / name
            path.write_bytes((self.folder / "witness").read_bytes())
            os.chown(path, nobody, nobody)
            path.chmod(0o755 | mode)
            self.check(path, UNSEEN, finding)
            self.assertEqual(self.preloaded(path).output, b"absent\n")
        path = self.folder / "own"
        path.write_bytes((self.folder / "witness").read_bytes())
        path.chmod(0o4755)
        self.check(path, SEEN, "setuid-for-others")
        self.assertEqual(self.preloaded(path).output, b"there\n")

    def test_other_processors(self):
        for name, made in (
            ("i386", elf_file.File(bits=32, machine=elf_file.I386, interpreter="/lib/ld-linux.so.2", imports=["send"])),
            ("aarch64", elf_file.File(machine=elf_file.AARCH64, interpreter="/lib/ld-linux-aarch64.so.1", imports=["send"])),
        ):
            path = self.folder / name
            path.write_bytes(made.build())
            path.chmod(0o755)
            self.assertIn(f"for {name}", self.check(path, UNSEEN, "abi")["abi"]["text"])

    def test_scripts(self):
        path = self.folder / "script"
        for line, status, finding in (
            ("#!/usr/bin/env node", SEEN, "script"),
            ("#!/usr/bin/env -S node --no-warnings", SEEN, "script"),
            (f"#!{self.folder}/witness", SEEN, "script"),
            ("#!/usr/bin/env no-such-program", UNSEEN, "interpreter-not-found"),
            ("#!/no/such/program", UNSEEN, "interpreter-not-found"),
            ("echo", SEEN, "no-interpreter-line"),
        ):
            path.write_text(line + "\n")
            path.chmod(0o755)
            with self.subTest(line):
                self.check(path, status, finding)

    def test_what_is_not_there(self):
        self.check("no-such-program", UNSEEN, "not-found")
        self.check("/etc/passwd", UNSEEN, "not-executable")
        self.check("/etc", UNSEEN, "not-executable")

    def test_it_is_not_run(self):
        path = self.folder / "writes"
        path.write_text(f"#!/bin/sh\ntouch {self.folder}/was-run\n")
        path.chmod(0o755)
        self.check(path, SEEN, "shell")
        self.assertFalse((self.folder / "was-run").exists())

    def test_missing_library(self):
        subprocess.run(["gcc", "-shared", "-xc", "/dev/null", "-o", self.folder / "libneeded.so"], check=True)
        path = self.compile("gcc", "witness", "needy", "-Wl,--no-as-needed", f"-L{self.folder}", "-lneeded")
        self.check(path, UNSEEN, "libraries-missing")
        self.check(path, SEEN, LD_LIBRARY_PATH=str(self.folder))
        path = self.compile("gcc", "witness", "with-run-path", "-Wl,--no-as-needed", f"-L{self.folder}", "-lneeded",
                            "-Wl,-rpath,$ORIGIN")
        self.check(path, SEEN)

    def test_switches(self):
        path = self.folder / "witness"
        self.check(path, UNSEEN, "disabled", WIRESPAN_ENABLED="false")
        self.check(path, UNSEEN, "disabled", OTEL_SDK_DISABLED="true")
        self.check(path, UNSEEN, "disabled", OTEL_ENABLED="false")
        self.check(path, UNSEEN, "no-exporter", OTEL_TRACES_EXPORTER="none")
        self.check(path, UNSEEN, "sampler", OTEL_TRACES_SAMPLER="always_off")
        self.check(path, UNSEEN, "except", WIRESPAN_EXCEPT="witness")
        self.assertEqual(self.ask("--only", "other,witness", "--", path)[0], SEEN)
        self.assertEqual(self.ask("--only", "other", "--", path)[0], UNSEEN)
        self.assertEqual(self.ask("--except", "witness", "--", path)[0], UNSEEN)

    def test_others(self):
        node = program("node")
        found = self.check(node, SEEN, "sdk", "other-preload", LD_PRELOAD="libjemalloc.so.2",
                           NODE_OPTIONS="--require @opentelemetry/auto-instrumentations-node/register")
        self.assertIn("libjemalloc", found["other-preload"]["text"])

    def test_probe(self):
        path = self.folder / "witness"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
            code, found = self.ask("--probe", "--", path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
            self.assertEqual((code, found["probe"]["level"]), (SEEN, "good"))
            self.assertNotIn("probe", self.ask("--", path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)[1])
        code, found = self.ask("--probe", "--", path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        self.assertEqual((code, found["probe"]["level"]), (UNSEEN, "unseen"))
        self.assertIn("refused", found["probe"]["text"])

    def test_wounded_files(self):
        """Nothing that a file holds ends the doctor otherwise than by an exit status."""
        path = self.folder / "wounded"
        for source in sorted((TREE / "tests" / "fuzz" / "corpus" / "doctor").iterdir()):
            path.write_bytes(source.read_bytes())
            path.chmod(0o755)
            with self.subTest(source.name):
                self.ask("--", path)

    def test_forms(self):
        path = self.folder / "witness"
        environment = clean_environment()
        text = run([WIRESPAN, "doctor", "--", path], environment)
        self.assertEqual(text.code, SEEN)
        self.assertNotIn(b"\033", text.output)
        self.assertTrue(text.output.endswith(b"It can be seen.\n"))
        self.assertNotIn(b"hooked:", text.output)
        self.assertIn(b"  hooked: ", run([WIRESPAN, "doctor", "-v", "--", path], environment).output)
        self.assertIn(b"\033", run([WIRESPAN, "doctor", "--color=always", "--", path], environment).output)
        names = json.loads(run([WIRESPAN, "doctor", "-jv", "--", path], environment).output)["hooked"]
        self.assertIn("read", names)
        self.assertNotIn("connect", names)

    def test_usage(self):
        environment = clean_environment()
        for arguments in ([], ["--no-such"], ["--color=some", "true"], ["12", "more"], ["0"], ["99999999999"]):
            with self.subTest(arguments):
                finished = run([WIRESPAN, "doctor", *arguments], environment)
                self.assertEqual((finished.code, finished.output), (CANNOT_TELL, b""))
        self.assertEqual(self.ask("--", "12")[1].keys(), {"not-found"})
        with open("/dev/full", "w") as full:
            finished = subprocess.run([WIRESPAN, "doctor", "true"], stdout=full, stderr=subprocess.PIPE, env=environment)
        self.assertEqual(finished.returncode, CANNOT_TELL)


class Processes(Doctor):
    def check(self, child, status, *ids):
        code, found = self.ask(str(child.pid))
        self.assertEqual(code, status, found)
        self.assertLessEqual(set(ids), set(found))
        return found

    def test_preloaded(self):
        child = self.start(self.folder / "witness", LD_PRELOAD=str(case.LIBRARY))
        self.check(child, SEEN, "loaded", "hooked")

    def test_losses(self):
        """Of a process that exports by itself, and of one under a launcher: nothing; then a connection
        whose bytes break the rules."""
        program = [sys.executable, "-I", "-c", """
import socket, sys
pairs = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(pairs.getsockname())
server = pairs.accept()[0]
def exchange(answer):
    client.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
    server.recv(100)
    server.sendall(answer)
    client.recv(100)
exchange(b"+PONG\\r\\n")
print("there", flush=True)
sys.stdin.readline()
exchange(b"garbage\\r\\n")
print("lost", flush=True)
sys.stdin.readline()
"""]
        for prefix, variables in (([], {"LD_PRELOAD": str(case.LIBRARY)}), ([WIRESPAN, "run", "--"], {})):
            with self.subTest(prefix):
                child = self.start(*prefix, *program, OTEL_TRACES_EXPORTER="file", WIRESPAN_FILE="/dev/null", **variables)
                found = self.check(child, SEEN, "losses")
                self.assertEqual(found["losses"]["text"], "It has lost nothing on its side.")
                child.stdin.write("\n")
                child.stdin.flush()
                self.assertEqual(child.stdout.readline(), "lost\n")
                found = self.check(child, UNSEEN, "losses")
                self.assertRegex(found["losses"]["text"], r"^It has lost on its side: .*malformed 1")

    def test_witness_of_node(self):
        """Before it has served, and after; what it lacks; and switched off."""
        script = self.folder / "serves.cjs"
        script.write_text(SERVES_IN_NODE)
        variables = {"LD_PRELOAD": str(case.LIBRARY), "OTEL_TRACES_EXPORTER": "file", "WIRESPAN_FILE": "/dev/null"}
        child = self.start(program("node"), script, **variables)
        self.assertIn("will be asked", self.check(child, SEEN, "witness")["witness"]["text"])
        self.go_on(child)
        self.assertEqual(self.check(child, SEEN)["witness"]["text"], "Node says whose work its calls are.")
        lacks = self.folder / "lacks.cjs"
        lacks.write_text("process.getBuiltinModule = undefined;")
        child = self.start(program("node"), script, NODE_OPTIONS=f"--require={lacks}", **variables)
        self.go_on(child)
        found = self.check(child, SEEN)["witness"]
        self.assertEqual(found["level"], "note")
        self.assertIn("has no process.getBuiltinModule", found["text"])
        child = self.start(program("node"), script, WIRESPAN_NODE_WITNESS="false", **variables)
        self.go_on(child)
        self.assertIn("WIRESPAN_NODE_WITNESS=false", self.check(child, SEEN)["witness"]["text"])

    def test_witness_of_python(self):
        """Under a launcher, and in a child that was forked."""
        variables = {"OTEL_TRACES_EXPORTER": "file", "WIRESPAN_FILE": "/dev/null"}
        child = self.start(WIRESPAN, "run", "--", program("python3"), "-c", SERVES_IN_PYTHON, **variables)
        self.assertIn("will be asked", self.check(child, SEEN, "witness")["witness"]["text"])
        self.go_on(child)
        self.assertEqual(self.check(child, SEEN)["witness"]["text"], "Python says whose work its calls are.")
        forked = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        self.assertEqual(len(forked), 1)
        self.assertIn("Python says", self.ask(forked[0])[1]["witness"]["text"])

    def go_on(self, child):
        child.stdin.write("\n")
        child.stdin.flush()
        self.assertEqual(child.stdout.readline(), "served\n")

    def test_not_preloaded(self):
        self.check(self.start(self.folder / "witness", given="absent"), UNSEEN, "not-preloaded")

    def test_environment_cleared(self):
        witness = self.folder / "witness"
        child = self.start(
            "/bin/sh", "-c", f"env -i {witness}; :", given="absent", LD_PRELOAD=str(case.LIBRARY),
        )
        listing = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        self.assertEqual(len(listing), 1)
        code, found = self.ask(listing[0])
        self.assertEqual(code, UNSEEN)
        self.assertIn("environment-cleared", found)

    def test_secure(self):
        path = self.folder / "secure"
        path.write_bytes((self.folder / "witness").read_bytes())
        os.chown(path, 65534, 65534)
        path.chmod(0o4755)
        self.check(self.start(path, given="absent", LD_PRELOAD=str(case.LIBRARY)), UNSEEN, "secure")

    def test_static(self):
        path = self.compile("gcc", "witness", "static", "-static")
        self.check(self.start(path, given="absent", LD_PRELOAD=str(case.LIBRARY)), UNSEEN, "static")

    def test_not_loaded(self):
        child = self.start(self.folder / "witness", given="absent", LD_PRELOAD="/no/such/libwirespan.so")
        self.check(child, UNSEEN, "not-loaded")

    def test_switched_off(self):
        child = self.start(self.folder / "witness", LD_PRELOAD=str(case.LIBRARY), OTEL_SDK_DISABLED="true")
        self.check(child, UNSEEN, "loaded", "disabled")

    def test_replaced(self):
        copy = self.folder / "copy"
        copy.mkdir()
        for name in ("libwirespan.so", "libwirespan-worker.so"):
            (copy / name).write_bytes((case.LIBRARY.parent / name).read_bytes())
        child = self.start(self.folder / "witness", LD_PRELOAD=str(copy / "libwirespan.so"))
        (copy / "libwirespan.so").unlink()
        self.check(child, SEEN, "loaded", "replaced")

    def test_what_the_exporter_brought_is_none_of_the_programs(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = str(listener.getsockname()[1])
            child = self.start(
                self.folder / "connector", port, given="connected", LD_PRELOAD=str(case.LIBRARY),
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            )
            maps = pathlib.Path(f"/proc/{child.pid}/maps")
            wait_until(lambda: "libssl" in maps.read_text(), 20, "the exporter's libcurl")
            found = self.check(child, SEEN, "loaded")
            self.assertNotIn("tls", found)

    def test_python_with_tls(self):
        child = self.start(program("python3"), "-c", "import ssl, sys; print('up', flush=True); sys.stdin.read()",
                           given="up", LD_PRELOAD=str(case.LIBRARY))
        self.assertIn("OpenSSL", self.check(child, SEEN, "tls")["tls"]["text"])

    def test_limits_of_a_process(self):
        """A seccomp filter that allows everything, and an io_uring where the kernel gives one."""
        source = (
            "import ctypes, struct, sys\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "ring = libc.syscall(425, 4, ctypes.create_string_buffer(120))\n"
            "code = ctypes.create_string_buffer(struct.pack('=HBBI', 6, 0, 0, 0x7fff0000))\n"
            "program = ctypes.create_string_buffer(struct.pack('=HxxxxxxQ', 1, ctypes.addressof(code)))\n"
            "assert libc.prctl(38, 1, 0, 0, 0) == 0\n"
            "assert libc.prctl(22, 2, program, 0, 0) == 0\n"
            "print('ring' if ring >= 0 else 'none', flush=True)\n"
            "sys.stdin.read()\n"
        )
        ring = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))
        has_rings = ring >= 0
        if has_rings:
            os.close(ring)
        child = self.start(program("python3"), "-c", source, given="ring" if has_rings else "none",
                           LD_PRELOAD=str(case.LIBRARY))
        found = self.check(child, UNSEEN if has_rings else SEEN, "loaded", "seccomp")
        self.assertEqual("io-uring" in found, has_rings)

    def test_ended(self):
        child = subprocess.Popen(["/bin/true"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(self.ask(str(child.pid))[1].keys(), {"ended"})
        child.wait()
        self.assertEqual(self.ask(str(child.pid)), (CANNOT_TELL, {}))

    def test_without_permission(self):
        child = self.start(self.folder / "witness", given="absent")
        doctor = self.folder / "wirespan"
        doctor.write_bytes(WIRESPAN.read_bytes())
        doctor.chmod(0o755)
        finished = subprocess.run([doctor, "doctor", "--json", str(child.pid)], user=65534, group=65534,
                                  extra_groups=[], capture_output=True, env=clean_environment())
        self.assertEqual(finished.returncode, UNSEEN, finished.stderr)
        self.assertEqual([finding["id"] for finding in json.loads(finished.stdout)["findings"]], ["no-permission"])


if __name__ == "__main__":
    unittest.main()
