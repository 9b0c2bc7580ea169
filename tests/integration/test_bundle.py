#!/usr/bin/env python3
"""What tools/bundle makes, in a world that has a C library, a shell and redis-cli, and nothing else."""

import os
import pathlib
import re
import shutil
import subprocess

from support import case, launched, servers
from support.process import TREE, clean_environment, run
from support.receiver import Receiver
from support.servers import program
from support.tls_front import TlsFront

from certificates import make_certificate  # pylint: disable=wrong-import-order

PREFIX = "/opt/wirespan"


def copy_program(world: pathlib.Path, path: str, name: str | None = None) -> None:
    """A program into /bin, and the libraries that it needs to where they are here."""
    shutil.copy(path, world / "bin" / (name or os.path.basename(path)))
    told = subprocess.run(["ldd", path], check=True, capture_output=True, text=True, env=clean_environment())
    for library in re.findall(r"(/\S+) \(0x", told.stdout):
        into = world / library[1:]
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, into)


class Bundle(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enter(servers.RedisServer(cls.folder))
        cls.certificate, cls.key = make_certificate(cls.folder, "localhost")
        cls.world = cls.folder / "world"
        for folder in ("bin", "proc", "dev", "etc", "tmp"):
            (cls.world / folder).mkdir(parents=True)
        for name in ("dash", "dirname", "readlink", "sed"):
            copy_program(cls.world, program(name), "sh" if name == "dash" else None)
        copy_program(cls.world, program("redis-cli"))
        (libc,) = cls.world.glob("lib/*/libc.so.6")
        for name in ("libpthread.so.0", "libdl.so.2", "libresolv.so.2", "libm.so.6"):  # parts of every C library
            shutil.copy(f"/{libc.parent.relative_to(cls.world)}/{name}", libc.parent)
        (cls.world / "dev" / "null").touch()
        (cls.world / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
        shutil.copy(cls.certificate, cls.world / "etc" / "authority.pem")
        # The product of this build, so that nothing is compiled a second time.
        made = run([TREE / "tools" / "bundle", cls.world / PREFIX[1:]], clean_environment(BUILD=str(case.BUILD)), 120)
        assert made.code == 0, made.errors.decode()

    def setUp(self):
        super().setUp()
        self.receiver = Receiver(case.COMPILED / "count_receiver")
        self.addCleanup(self.receiver.end)

    def inside(self, *command: str, **environment: str):
        finished = self.complete(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--root", self.world, "--mount-proc=/proc", *command],
            clean_environment(PATH="/bin", **environment), 60)
        return finished.code, finished.output.decode(), finished.errors.decode()

    def ping(self, *prefix: str, **environment: str) -> None:
        before = self.receiver.counts()["spans"]
        self.assertEqual(self.inside(*prefix, "/bin/redis-cli", "-p", str(self.redis.port), "PING", **environment),
                         (0, "PONG\n", ""))
        self.assertEqual(self.receiver.counts()["spans"] - before, 1)

    def test_the_world_is_bare(self):
        code, output, errors = self.inside("/bin/sh", "-c", "ls; cat")
        self.assertEqual((code, output), (127, ""), errors)

    def test_command(self):
        code, output, errors = self.inside(f"{PREFIX}/wirespan", "--version")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(output, r"^wirespan \d")

    def test_entrypoint(self):
        for first in ((f"{PREFIX}/wirespan", "entrypoint", "--"), (f"{PREFIX}/wirespan-entrypoint",)):
            with self.subTest(first):
                self.ping(*first, **self.receiver.environment)
                self.assertEqual(self.inside(*first, "/bin/sh", "-c", "exit 7", **self.receiver.environment), (7, "", ""))

    def test_entrypoint_over_https(self):
        with TlsFront(self.certificate, self.key, self.receiver.port) as front:
            self.ping(f"{PREFIX}/wirespan", "entrypoint", "--",
                      OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{front.port}",
                      OTEL_EXPORTER_OTLP_CERTIFICATE="/etc/authority.pem")

    def test_preload(self):
        self.ping(f"{PREFIX}/wirespan-preload", **self.receiver.environment)

    def test_scripts_without_a_command(self):
        for name in ("wirespan-preload", "wirespan-entrypoint"):
            code, output, errors = self.inside(f"{PREFIX}/{name}")
            self.assertEqual((code, output), (2, ""))
            self.assertIn(f"{name} COMMAND", errors)

    def test_entrypoint_that_cannot_run(self):
        """The worker comes first."""
        alone = self.world / "alone"
        alone.mkdir()
        shutil.copy(TREE / "tools" / "wirespan-entrypoint", alone)
        code, output, errors = self.inside("/alone/wirespan-entrypoint", "/bin/redis-cli", "-p", str(self.redis.port), "PING")
        self.assertEqual((code, output), (0, "PONG\n"))
        self.assertIn("nothing is observed", errors)

    def test_scripts_in_the_source_tree(self):
        environment = clean_environment(**self.receiver.environment)
        ping = [program("redis-cli"), "-p", str(self.redis.port), "PING"]
        for name in ("wirespan-preload", "wirespan-entrypoint"):
            finished = self.complete([TREE / "tools" / name, *ping], environment, 60)
            self.assertEqual((finished.code, finished.output, finished.errors), (0, b"PONG\n", b""))
        self.assertEqual(self.receiver.counts()["spans"], 2)

    def test_recipe(self):
        """The Dockerfile copies what is there, and runs what the bundle holds."""
        said = (TREE / "docs" / "container" / "Dockerfile").read_text()
        self.assertIn("tools/bundle " + PREFIX, said)
        (entry,) = re.findall(r"^ENTRYPOINT \[\"([^\"]+)\"", said, re.M)
        self.assertTrue((self.world / entry[1:]).is_file())


if __name__ == "__main__":
    case.main()
