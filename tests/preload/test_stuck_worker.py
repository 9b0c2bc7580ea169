#!/usr/bin/env python3
"""An exporter that is stuck holds up the end of a program for a few seconds, and no fork at all.

Usage: test_stuck_worker.py LIBRARY STUCK_WORKER PROGRAM
"""
import os
import subprocess
import sys
import tempfile


def main() -> int:
    library, worker, program = (os.path.abspath(path) for path in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        # The worker's object is looked for beside the preloaded one.
        preloaded = os.path.join(folder, "libwirespan.so")
        os.symlink(library, preloaded)
        os.symlink(worker, os.path.join(folder, "libwirespan-worker.so"))
        environment = dict(os.environ, LD_PRELOAD=preloaded, OTEL_TRACES_EXPORTER="console")
        try:
            result = subprocess.run([program], env=environment, capture_output=True, timeout=20,
                                    check=False)
        except subprocess.TimeoutExpired:
            print("the program did not end within 20 s")
            return 1
    print(result.stdout.decode(), result.stderr.decode())
    return 0 if result.returncode == 0 and result.stdout == b"forked\n" else 1


if __name__ == "__main__":
    sys.exit(main())
