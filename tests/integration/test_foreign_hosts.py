#!/usr/bin/env python3
"""The transports inside programs that bring their own TLS library or memory allocator.

usage: test_foreign_hosts.py HOST_PROBE [unittest arguments]
"""
import glob
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SUPPORT = pathlib.Path(__file__).parent.parent / "support"
sys.path.insert(0, str(SUPPORT))
from certificates import make_certificate  # noqa: E402
from collector import Collector  # noqa: E402

PROBE = sys.argv.pop(1)
PROGRAMS = {
    "true": ["true"],
    "python": [sys.executable, "-c", "import ssl; ssl.create_default_context(); print('done')"],
    "node": ["node", "-e", "require('tls').createSecureContext(); console.log('done')"],
}


class Hosts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.certificate = make_certificate(self.folder.name, "server")
        self.collector = Collector(tls=self.certificate)

    def tearDown(self):
        self.collector.close()
        self.folder.cleanup()

    def run_in(self, program, preload=(), **environment):
        return subprocess.run(
            PROGRAMS[program], capture_output=True, text=True, timeout=120,
            env={
                **os.environ,
                "LD_PRELOAD": ":".join([PROBE, *preload]),
                "PROBE_KIND": "http",
                "PROBE_URL": f"https://127.0.0.1:{self.collector.port}/v1/traces",
                "PROBE_CERTIFICATE": self.certificate[0],
                **environment,
            },
        )

    def check(self, program, **options):
        result = self.run_in(program, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("probe: delivered", result.stderr)
        if program != "true":
            self.assertEqual(result.stdout, "done\n")
        return result

    def test_delivery(self):
        for count, program in enumerate(PROGRAMS, 1):
            with self.subTest(program):
                self.check(program)
                self.assertEqual(len(self.collector.spans), count)

    def test_with_another_allocator(self):
        (allocator,) = glob.glob("/usr/lib/*/libjemalloc.so.2")
        for program in PROGRAMS:
            with self.subTest(program):
                self.check(program, preload=[allocator])

    def test_no_call_of_libcurl_is_captured(self):
        for program in PROGRAMS:
            with self.subTest(program):
                result = self.check(program, LD_DEBUG="bindings")
                captured = {
                    line for line in result.stderr.splitlines()
                    if "libcurl" in line.partition(" to ")[0] and "`SSL_" in line
                    and "/libssl.so" not in line.partition(" to ")[2]
                }
                self.assertEqual(captured, set())
                self.assertRegex(result.stderr, r"libcurl\S* \[0\] to \S*libssl\S* \[0\]: \S+ symbol `SSL_")


if __name__ == "__main__":
    unittest.main(verbosity=1)
