#!/usr/bin/env python3
"""`wirespan view` as its users run it: OTLP over HTTP, files, choices, bad input, bounds.

usage: test_view.py WIRESPAN GOLDEN_FOLDER [unittest arguments]
"""
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import otlp_encode  # noqa: E402
from batches import batch, line  # noqa: E402

WIRESPAN = sys.argv.pop(1)
GOLDEN = pathlib.Path(sys.argv.pop(1))
DEADLINE = 60
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def environment(**more):
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")
            if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **more}


def case(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def golden(name, style="wide"):
    """The kept drawing without what --summary adds and what only the unit test draws."""
    text = (GOLDEN / f"{name}.{style}.txt").read_text()
    return text[: re.search(r"^(service  |\d+ spans by themselves)", text, re.MULTILINE).start()]


def run_view(*arguments, stdin=None, **variables):
    return subprocess.run([WIRESPAN, "view", *arguments], input=stdin, capture_output=True, text=True,
                          timeout=DEADLINE, env=environment(**variables))


class View:
    """A viewer that listens on a free port."""

    def __init__(self, *arguments, **variables):
        self.process = subprocess.Popen(
            [WIRESPAN, "view", "--listen", "127.0.0.1:0", "--width", "130", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**variables))
        announced = self.process.stderr.readline()
        match = re.fullmatch(r"wirespan view: receiving on http://127\.0\.0\.1:(\d+)/v1/traces\n", announced)
        assert match, announced
        self.port = int(match[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def post(self, body, content_type=PROTOBUF, path="/v1/traces", method="POST", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body, {"Content-Type": content_type, **headers})
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def finish(self):
        """Ends it as Ctrl-C does; what it drew and what it said."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        out, error = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, error


class OverHttp(unittest.TestCase):
    def test_each_encoding_is_drawn_alike(self):
        document = case("services")
        text = json.dumps(document).encode()
        encoded = otlp_encode.encode(document)
        for body, headers in (
            (encoded, {}),
            (gzip.compress(encoded), {"Content-Encoding": "gzip"}),
            (text, {"content_type": JSON}),
            (text, {"content_type": JSON + "; charset=utf-8"}),
            (gzip.compress(text), {"content_type": JSON, "Content-Encoding": "gzip"}),
        ):
            with self.subTest(headers=headers), View() as view:
                status, answer, answer_headers = view.post(body, **headers)
                self.assertEqual(status, 200)
                is_json = "content_type" in headers
                self.assertEqual(answer, b"{}" if is_json else b"")
                self.assertEqual(answer_headers["Content-Type"], JSON if is_json else PROTOBUF)
                self.assertEqual(view.finish(), (0, golden("services") + "\n", ""))

    def test_a_trace_in_pieces_is_one_tree(self):
        document = case("request")
        spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        with View() as view:
            for span in reversed(spans):
                document["resourceSpans"][0]["scopeSpans"][0]["spans"] = [span]
                self.assertEqual(view.post(otlp_encode.encode(document))[0], 200)
            self.assertEqual(view.finish(), (0, golden("request") + "\n", ""))

    def test_a_quiet_trace_is_drawn_while_it_runs(self):
        with View() as view:
            view.post(otlp_encode.encode(case("request")))
            expected = golden("request") + "\n"
            drawn = "".join(view.process.stdout.readline() for _ in expected.splitlines())
            self.assertEqual(drawn, expected)
            self.assertEqual(view.finish()[:2], (0, ""))

    def test_ends_after_count(self):
        with View("--count", "4") as view:
            view.post(otlp_encode.encode(case("request")))
            self.assertEqual(view.wait(), (0, golden("request") + "\n", ""))

    def test_ends_when_idle(self):
        with View("--idle", "0.3") as view:
            view.post(otlp_encode.encode(case("request")))
            self.assertEqual(view.wait(), (0, golden("request") + "\n", ""))
        result = run_view("--listen", "127.0.0.1:0", "--idle", "0.1")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertIn("no spans arrived", result.stderr)

    def test_many_clients_at_once(self):
        documents = [batch(50, seed) for seed in range(1, 17)]
        with View("--count", str(16 * 50), "--summary") as view:
            statuses = []
            threads = [threading.Thread(target=lambda d=d: statuses.append(view.post(otlp_encode.encode(d))[0]))
                       for d in documents]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(statuses, [200] * 16)
            code, out, _ = view.wait()
            self.assertEqual(code, 0)
            self.assertEqual(out.count("trace "), 16)
            self.assertRegex(out, r"\ntester +800 +")

    def test_a_connection_is_kept(self):
        with View("--count", "8") as view:
            connection = http.client.HTTPConnection("127.0.0.1", view.port, timeout=DEADLINE)
            for name in ("request", "request"):
                connection.request("POST", "/v1/traces", otlp_encode.encode(case(name)), {"Content-Type": PROTOBUF})
                response = connection.getresponse()
                self.assertEqual((response.status, response.read()), (200, b""))
            connection.close()
            code, out, _ = view.wait()
            self.assertEqual((code, out), (0, golden("request") + "\n"))  # sent twice, kept once

    def test_losses_are_shown(self):
        with View() as view:
            status, answer, _ = view.post(otlp_encode.encode(case("losses")))
            self.assertEqual(status, 200)
            self.assertIn(b"without a valid", answer)
            self.assertEqual(answer[:4], bytes([0x0A, len(answer) - 2, 0x08, 1]))
            _, out, _ = view.finish()
            self.assertIn("lost 3  segment_full  emp-api\n", out)
            self.assertIn("lost 1  spans without a valid id", out)
        with View() as view:
            _, answer, _ = view.post(json.dumps(case("losses")), JSON)
            self.assertEqual(json.loads(answer)["partialSuccess"]["rejectedSpans"], "1")

    def test_what_is_refused(self):
        good = otlp_encode.encode(case("request"))
        deep = b""
        for level in range(200):
            deep = bytes([0x2A if level % 2 else 0x0A]) + otlp_encode.varint(len(deep)) + deep
        for number in (0x12, 0x0A, 0x0A, 0x0A):
            deep = bytes([number]) + otlp_encode.varint(len(deep)) + deep
        for status, body, keywords in (
            (400, good[:-1], {}),
            (400, b"\xff\xff\xff", {}),
            (400, deep, {}),
            (400, good, {"Content-Encoding": "gzip"}),
            (400, gzip.compress(good)[:-9], {"Content-Encoding": "gzip"}),
            (400, b'{"resourceSpans": 1}', {"content_type": JSON}),
            (400, b"{", {"content_type": JSON}),
            (404, good, {"path": "/v1/metrics"}),
            (404, good, {"path": "/"}),
            (405, b"", {"method": "GET"}),
            (415, good, {"content_type": "text/plain"}),
            (415, good, {"Content-Encoding": "br"}),
            (413, gzip.compress(b"\0" * ((64 << 20) + 1)), {"Content-Encoding": "gzip"}),
        ):
            with self.subTest(status=status, keywords=keywords), View() as view:
                got, answer, headers = view.post(body, **keywords)
                self.assertEqual(got, status)
                self.assertTrue(answer)
                if keywords.get("content_type") == JSON:
                    self.assertIsInstance(json.loads(answer)["message"], str)
                elif "content_type" not in keywords:
                    self.assertEqual(headers["Content-Type"], PROTOBUF)
                    self.assertEqual(answer[0], 0x12)
                self.assertEqual(view.post(good)[0], 200)  # it goes on
                code, out, error = view.finish()
                self.assertEqual((code, out), (0, golden("request") + "\n"))
                self.assertIn(f"HTTP {status}", error)

    def test_a_body_beyond_the_limit(self):
        with View() as view:
            self.assertEqual(view.post(b"\0" * ((64 << 20) + 1))[0], 413)
            self.assertEqual(view.post(otlp_encode.encode(case("request")))[0], 200)

    def test_clients_that_leave(self):
        with View() as view:
            for opening in (b"", b"POST /v1/tr", b"POST /v1/traces HTTP/1.1\r\nContent-Length: 9\r\n\r\n12",
                            b"\x16\x03\x01 no http\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", view.port), DEADLINE) as client:
                    client.sendall(opening)
            self.assertEqual(view.post(otlp_encode.encode(case("request")))[0], 200)
            self.assertEqual(view.finish()[:2], (0, golden("request") + "\n"))

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            result = run_view("--listen", address)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"cannot listen on {address}: Address already in use", result.stderr)

    def test_json_can_be_read_again(self):
        with View("--json", "--count", "4") as view:
            view.post(otlp_encode.encode(case("request")))
            _, lines, _ = view.wait()
        again = run_view("--width", "130", "-", stdin=lines)
        self.assertEqual((again.returncode, again.stdout), (0, golden("request") + "\n"))


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "spans.jsonl")

    def write(self, *names):
        self.path.write_text("".join(line(case(name)) for name in names))

    def view(self, *arguments, **variables):
        return run_view("--width", "130", *arguments, str(self.path), **variables)

    def test_cases(self):
        for name in ("request", "services", "joined", "orphans", "times", "deep"):
            self.write(name)
            self.assertEqual(self.view().stdout, golden(name) + "\n", name)

    def test_spans_by_themselves_are_one_list(self):
        # Each span of the batch in a trace of its own, the parents elsewhere.
        document = batch(5, 3)
        spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        for index, span in enumerate(spans):
            span["traceId"] = f"{index + 1:032x}"
            span.pop("links", None)
        self.path.write_text(line(case("request")) + line(document))
        out = self.view().stdout
        self.assertTrue(out.startswith(golden("request") + "\n5 spans by themselves  tester  each a trace"), out)
        self.assertEqual(len(out.splitlines()), 5 + 1 + 6 + 1)
        self.assertTrue(self.view("--trace", f"{1:032x}").stdout.startswith(f"trace {1:032x}  tester  1 span"))

    def test_ascii_by_locale_and_by_choice(self):
        self.write("services")
        for arguments, variables in (((), {"LC_ALL": "C"}), (("--ascii",), {})):
            result = run_view("--width", "80", *arguments, str(self.path), **variables)
            self.assertEqual(result.stdout, golden("services", "ascii") + "\n")

    def test_colour_only_when_asked(self):
        self.write("request")
        self.assertNotIn("\033", self.view().stdout)
        self.assertIn("\033[31m", self.view("--color=always").stdout)
        self.assertIn("\033[31m", self.view("--color=always", NO_COLOR="1").stdout)

    def test_columns(self):
        self.write("services")
        result = run_view(str(self.path), COLUMNS="80", LC_ALL="C")
        self.assertEqual(result.stdout, golden("services", "ascii") + "\n")

    def test_choices(self):
        def shown(*arguments):
            return sum(text.startswith("trace ") for text in self.view(*arguments).stdout.splitlines())

        self.path.write_text(line(case("joined")) + line(batch(5, 3)))
        self.assertEqual(shown(), 2)
        self.assertEqual(shown("--trace", "4BF92F"), 1)
        self.assertEqual(shown("--trace", "0af765"), 1)  # joined to it
        self.assertEqual(shown("--trace", "0123456789"), 0)
        self.assertEqual(shown("--service", "emp-worker"), 1)
        self.assertEqual(shown("--service", "emp"), 0)
        self.assertEqual(shown("--errors", "--service", "emp-api"), 1)
        self.assertEqual(shown("--min-duration", "979ms"), 2)
        self.assertEqual(shown("--min-duration", "1h"), 0)

    def test_bad_lines_are_named_and_the_rest_is_drawn(self):
        self.path.write_text("\n" + line(case("request")) + "{broken\n[1]\n" + '{"resourceMetrics": []}\n'
                             + '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}')
        result = self.view()
        self.assertEqual((result.returncode, result.stdout), (1, golden("request") + "\n"))
        errors = result.stderr.splitlines()
        self.assertEqual(len(errors), 4)
        for number, (error, what) in enumerate(zip(errors, ("not JSON", "not a JSON object", "resourceSpans", "traceId")), 3):
            self.assertTrue(error.startswith(f"wirespan view: {self.path}:{number}: "), error)
            self.assertIn(what, error)

    def test_many_bad_lines_are_not_all_told(self):
        self.path.write_text("x\n" * 1000)
        errors = self.view().stderr.splitlines()
        self.assertEqual(len(errors), 12)
        self.assertIn("more bad lines follow", errors[10])

    def test_a_file_that_is_not_there(self):
        for path, why in ((self.path, "No such file"), (self.path.parent, "Is a directory")):
            result = run_view(str(path))
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{path}: {why}", result.stderr)

    def test_follow(self):
        self.path.write_text("")
        process = subprocess.Popen([WIRESPAN, "view", "--width", "130", "--follow", "--count", "4", str(self.path)],
                                   stdout=subprocess.PIPE, text=True, env=environment())
        text = line(case("request"))
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text[:100])
            file.flush()
            file.write(text[100:])
        out, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, out), (0, golden("request") + "\n"))

    def test_a_pipe(self):
        result = run_view("--width", "130", "-", stdin=line(case("request")).rstrip("\n"))
        self.assertEqual((result.returncode, result.stdout), (0, golden("request") + "\n"))

    def test_a_signal_ends_waiting_for_a_pipe(self):
        process = subprocess.Popen([WIRESPAN, "view", "--width", "130", "--follow", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        process.stdin.write(line(case("request")))
        process.stdin.flush()
        expected = golden("request")
        self.assertEqual("".join(process.stdout.readline() for _ in expected.splitlines()), expected)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 0)
        process.communicate()


class Command(unittest.TestCase):
    def run_command(self, *arguments):
        return subprocess.run([WIRESPAN, *arguments], capture_output=True, text=True, timeout=DEADLINE,
                              env=environment())

    def test_help(self):
        for arguments in (["--help"], ["help"]):
            result = self.run_command(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, r"(?m)^  view +receive")
        for arguments in (["view", "--help"], ["help", "view"]):
            result = self.run_command(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertTrue(result.stdout.startswith("Usage: wirespan view "), result.stdout)

    def test_version(self):
        for arguments in (["--version"], ["view", "--version"]):
            result = self.run_command(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, r"^wirespan \d+\.\d+\.\d+\n$")

    def test_wrong_usage(self):
        for arguments in ([], ["nonsense"], ["--nonsense"], ["help", "nonsense"], ["view", "--nonsense"],
                          ["view", "--follow"], ["view", "--count", "0"], ["view", "--count", "-1"],
                          ["view", "--count", "x"], ["view", "--idle", "-1"], ["view", "--idle", "1s"],
                          ["view", "--min-duration", "5"], ["view", "--min-duration", "-5ms"],
                          ["view", "--trace", "xyz"], ["view", "--trace", ""], ["view", "--trace", "a" * 33],
                          ["view", "--color", "red"], ["view", "--width", "0"], ["view", "--width", "99999"],
                          ["view", "--json", "--errors"]):
            with self.subTest(arguments=arguments):
                result = self.run_command(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stdout, "")
                self.assertTrue(result.stderr)

    def test_bad_addresses(self):
        for address in ("localhost", ":4318", "127.0.0.1:", "127.0.0.1:http", "::1:4318", "[::1", "1.2.3.4.5:1", ""):
            with self.subTest(address=address):
                result = self.run_command("view", "--listen", address)
                self.assertEqual(result.returncode, 1)
                self.assertIn("wirespan view: ", result.stderr)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([WIRESPAN, "view", "-"], input=line(case("request")), stdout=full, text=True,
                                    stderr=subprocess.PIPE, timeout=DEADLINE, env=environment())
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write: No space left", result.stderr)


if __name__ == "__main__":
    unittest.main()
