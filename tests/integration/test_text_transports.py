#!/usr/bin/env python3
"""The file and console transports: whole lines, whoever else writes, and never a wait.

usage: test_text_transports.py SEND_BATCH [unittest arguments]
"""
import fcntl
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import unittest

SUPPORT = pathlib.Path(__file__).parent.parent / "support"
sys.path.insert(0, str(SUPPORT))
import otlp  # noqa: E402
from batches import batch, line  # noqa: E402
from transport_driver import Driver  # noqa: E402

PROGRAM = sys.argv.pop(1)
STEP_LIMIT_MS = 500  # as in test_otlp_http.py


class File(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name, "spans.jsonl")

    def tearDown(self):
        self.folder.cleanup()

    def spans(self):
        text = self.path.read_text(encoding="utf-8")
        self.assertTrue(text.endswith("\n"))
        return [span for one in text.splitlines() for span in otlp.decode_json(json.loads(one))]

    def test_lines_hold_what_was_sent(self):
        documents = [batch(count, seed) for seed, count in enumerate((1, 7, 500))]
        with Driver(PROGRAM, "file", self.path) as driver:
            for document in documents:
                self.assertEqual(driver.send(document)["result"], "delivered")
        expected = [span for document in documents for span in otlp.decode_json(document)]
        self.assertEqual(self.spans(), expected)
        self.assertEqual(len(self.path.read_text(encoding="utf-8").splitlines()), 3)

    def test_form(self):
        with Driver(PROGRAM, "file", self.path) as driver:
            driver.send(batch(2))
        written = json.loads(self.path.read_text(encoding="utf-8"))
        sent = batch(2)
        self.assertEqual(written["resourceSpans"][0]["schemaUrl"], sent["resourceSpans"][0]["schemaUrl"])
        span = written["resourceSpans"][0]["scopeSpans"][0]["spans"][1]
        original = sent["resourceSpans"][0]["scopeSpans"][0]["spans"][1]
        for key in ("traceId", "spanId", "parentSpanId", "startTimeUnixNano", "kind", "flags",
                    "attributes", "events", "links", "status", "traceState"):
            self.assertEqual(span[key], original[key], key)

    def test_several_writers_and_an_existing_file(self):
        self.path.write_text(line(batch(1, 99)), encoding="utf-8")
        with Driver(PROGRAM, "file", self.path) as one, Driver(PROGRAM, "file", self.path) as two:
            for seed in range(20):
                one.start(batch(50, seed))
                two.start(batch(50, seed))
                self.assertEqual(one.outcome()["result"], "delivered")
                self.assertEqual(two.outcome()["result"], "delivered")
        self.assertEqual(len(self.spans()), 1 + 2 * 20 * 50)

    def test_rotation(self):
        with Driver(PROGRAM, "file", self.path) as driver:
            driver.send(batch(1))
            self.path.rename(self.path.with_suffix(".old"))
            self.assertEqual(driver.send(batch(2))["result"], "delivered")
        self.assertEqual(len(self.spans()), 2)

    def test_a_full_disk_tears_no_line_but_its_own(self):
        size = len(json.dumps(batch(20)))
        driver = Driver(PROGRAM, "file", self.path)
        resource.prlimit(driver.process.pid, resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
        outcome = driver.send(batch(20))
        self.assertEqual(outcome["result"], "retry", outcome)
        self.assertIn("File too large", outcome["message"])
        torn = self.path.stat().st_size
        self.assertEqual(torn, size // 2)
        resource.prlimit(driver.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(driver.send(batch(3))["result"], "delivered")
        self.assertEqual(driver.send(batch(4))["result"], "delivered")
        self.assertEqual(driver.finish(), 0)
        lines = self.path.read_text(encoding="utf-8").splitlines()
        self.assertEqual([len(otlp.decode_json(json.loads(one))) for one in lines[1:]], [3, 4])

    def test_unwritable(self):
        driver = Driver(PROGRAM, "file", pathlib.Path(self.folder.name, "absent", "x.jsonl"))
        self.assertEqual(driver.finish(), 1)
        self.assertIn("No such file", "".join(driver.errors))

    def test_a_pipe_without_reader_does_not_hold(self):
        os.mkfifo(self.path)
        driver = Driver(PROGRAM, "file", self.path)
        self.assertEqual(driver.finish(), 1)


class Console(unittest.TestCase):
    def run_console(self, document, **options):
        """Sends one batch to descriptor 2; returns what it wrote."""
        driver = Driver(PROGRAM, "console", 2, **options)
        self.assertEqual(driver.send(document)["result"], "delivered")
        self.assertEqual(driver.finish(), 0)
        return "".join(driver.errors)

    def test_text(self):
        text = self.run_console(batch(4))
        sent = otlp.decode_json(batch(4))
        for span in sent:
            self.assertIn(span["name"], text)
            self.assertIn(f"trace {span['trace_id']} span {span['span_id']}", text)
        self.assertIn("[internal] GET /jobs/{id}  ", text)
        self.assertIn("ERROR: it broke: 50 %", text)
        self.assertIn("parent " + sent[0]["span_id"], text)
        self.assertIn("    negative=-1\n", text)
        self.assertIn("    list=[a, , ü]\n", text)
        self.assertIn("    map={inner=[1, 2.5, {deep=er}]}\n", text)
        self.assertIn("    event exception +0.000 ms exception.type=E n=1\n", text)
        self.assertIn(f"    link trace {sent[1]['links'][0]['trace_id']} span {sent[0]['span_id']}\n", text)

    def test_control_characters_do_not_reach_the_terminal(self):
        document = batch(1)
        document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] = "a\x1b[2Jb\nc"
        text = self.run_console(document)
        self.assertIn("a [2Jb c", text)
        self.assertNotIn("\x1b", text)

    def console_on(self, descriptor):
        return subprocess.Popen([PROGRAM, "console", str(descriptor)], pass_fds=[descriptor], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_a_full_pipe_is_waited_for_by_polling(self):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        process = self.console_on(writer)
        os.close(writer)
        process.stdin.write(line(batch(300)))
        process.stdin.close()
        text = b""
        while piece := os.read(reader, 1 << 16):
            text += piece
        os.close(reader)
        outcome = json.loads(process.stdout.readline())
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(outcome["result"], "delivered")
        self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
        self.assertEqual(text.decode().count("    trace "), 300)
        process.stdout.close()
        process.stderr.close()

    def test_nobody_reads(self):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        process = self.console_on(writer)
        os.close(writer)
        process.stdin.write("cancel 200 " + line(batch(300)))
        process.stdin.flush()
        outcome = json.loads(process.stdout.readline())
        self.assertEqual(outcome["result"], "pending")
        self.assertLess(outcome["longest_step_ms"], STEP_LIMIT_MS)
        os.close(reader)
        process.stdin.write(line(batch(300)))
        process.stdin.close()
        outcome = json.loads(process.stdout.readline())
        self.assertEqual(outcome["result"], "refused")
        self.assertIn("Broken pipe", outcome["message"])
        self.assertEqual(process.wait(30), 0)
        process.stdout.close()
        process.stderr.close()

    def test_nothing_goes_to_stdout(self):
        driver = Driver(PROGRAM, "console", 2)
        driver.start(batch(3))
        driver.process.stdin.close()
        self.assertEqual(len(driver.process.stdout.readlines()), 1)
        driver.process.wait(30)
        driver.reader.join(30)
        driver.process.stdout.close()
        driver.process.stderr.close()


if __name__ == "__main__":
    unittest.main(verbosity=1)
