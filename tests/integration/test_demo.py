#!/usr/bin/env python3
"""tools/demo as a user runs it: it ends with trees, and leaves nothing behind.

usage: test_demo.py SOURCE_ROOT BUILD_FOLDER [unittest arguments]
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
BUILD = sys.argv.pop(1)
DEADLINE = 240


def members_of_session(session: int) -> list[str]:
    """The command lines of the processes that belong to it, zombies left out."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        try:
            state, _, _, of_session = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
            if int(of_session) == session and state != "Z":
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, ValueError):
            continue
    return found


class Demo(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.temporary = pathlib.Path(folder.name)

    def start(self, *arguments):
        return subprocess.Popen(
            [ROOT / "tools/demo", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, errors="replace",
            env={**os.environ, "BUILD": BUILD, "TMPDIR": str(self.temporary), "COLUMNS": "160", "LC_ALL": "C.UTF-8"})

    def assert_nothing_is_left(self, demo):
        self.assertEqual(members_of_session(demo.pid), [])
        self.assertEqual([path.name for path in self.temporary.iterdir() if path.name != "wirespan-install.log"], [])

    def test_it_ends_with_trees(self):
        demo = self.start()
        out, _ = demo.communicate(timeout=DEADLINE)
        self.assertEqual(demo.returncode, 0, out)
        self.assert_nothing_is_left(demo)
        # The worker's calls below the request that they belong to, and the same for one that failed.
        # What it writes of its job as such is the job's.
        for status, calls in (("200", ["HGETALL", "HSET", "generate_content", "PUT", "HEAD"]),
                              ("502", ["HGETALL", "HSET", "generate_content"])):
            tree = re.search(rf"(?m)^.*◀ POST .* {status}  /jobs\?source=demo.*\n((?:.*[├└]─ .*\n)+)", out)
            self.assertTrue(tree, out)
            self.assertEqual(re.findall(r"[├└]─ ▶ (\w+)", tree[1]), calls, out)
        self.assertEqual(len(re.findall(r"└─ ▶ websocket ", out)), 2, out)
        for count, call in ((2, "/v1/chat/completions"), (2, "/prompt "), (10, "│ update_job_progress ?"),
                            (3, "/v1/images/generations"), (2, " process.execute_comfyui "),
                            (5, " job.send_complete_msg ")):
            self.assertEqual(len([line for line in out.splitlines() if call in line]), count, out)
        self.assertRegex(out, r"\ndemo-node-worker +\d+ +0 ")
        self.assertRegex(out, r"\ndemo-python-worker +\d+ +3 ")
        # The jobs that came from a queue, with all that was done for them.
        self.assertEqual(len(re.findall(r"(?m)^  ▼ job\.process .*\n  ├─ ▶ (?:HGETALL|hgetall) ", out)), 3, out)
        self.assertNotIn("demo-signature", out)
        self.assertNotIn("not-a-secret", out)

    def test_without_the_preload_it_does_the_same(self):
        demo = self.start("--plain")
        out, _ = demo.communicate(timeout=DEADLINE)
        self.assertEqual(demo.returncode, 0, out)
        self.assertEqual(out.count(": completed\n"), 4, out)
        self.assertEqual(out.count(": failed\n"), 1, out)
        self.assertNotIn("▶", out)
        self.assert_nothing_is_left(demo)

    def test_it_can_be_interrupted(self):
        demo = self.start()
        for line in demo.stdout:
            if "submitting jobs" in line:
                break
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=DEADLINE)
        self.assertEqual(demo.returncode, 143)
        self.assert_nothing_is_left(demo)


if __name__ == "__main__":
    unittest.main()
