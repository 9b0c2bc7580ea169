#!/usr/bin/env python3
"""Runs somebody else's test suite plain and with libwirespan.so preloaded, and compares each test.

usage: compare_suites.py --library FILE [options] SUITE PART

The suites are in suites.py. A test must end in the same way, passed, failed or skipped, whether or
not its process is observed; one that fails plain is no failure here, as long as it fails preloaded
too. The preloaded run is made once for each way to export: into a file, and to a receiver that
refuses the connection. Tests that cannot be compared are named in excluded.txt, each with a reason.
"""
import argparse
import contextlib
import os
import pathlib
import signal
import socket
import sys
import tempfile
import time

import suites

MOST_LINES = 60


def plain_environment(scratch: pathlib.Path) -> dict[str, str]:
    kept = {}
    for name, value in os.environ.items():
        if not name.startswith(("LD_", "OTEL_", "WIRESPAN_", "PYTHON", "REDIS", "http", "HTTP", "MESON", "NINJA")):
            kept[name] = value
    kept["LC_ALL"] = "C.UTF-8"
    kept["HOME"] = str(scratch)
    kept["TMPDIR"] = str(scratch)
    return kept


def refusing_port() -> socket.socket:
    """Bound and not listening, so that connecting is refused for as long as we hold it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder


def exports(library: pathlib.Path, scratch: pathlib.Path, port: int) -> dict[str, dict[str, str]]:
    """The settings of each preloaded run. The suites compare standard error, where ours would speak."""
    always = {"LD_PRELOAD": str(library), "WIRESPAN_LOG_LEVEL": "none"}
    return {
        "file": {**always, "OTEL_TRACES_EXPORTER": "file", "WIRESPAN_FILE": str(scratch / "spans.jsonl")},
        "refused": {**always, "OTEL_TRACES_EXPORTER": "otlp",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"},
    }


def differences(plain: dict[str, str], preloaded: dict[str, str]) -> list[str]:
    found = []
    for name in sorted(plain.keys() | preloaded.keys()):
        before = plain.get(name, "not run")
        after = preloaded.get(name, "not run")
        if before != after:
            found.append(f"{name}: plain {before}, preloaded {after}")
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", required=True, type=pathlib.Path)
    parser.add_argument("--deadline", type=float, default=300, help="seconds for each run")
    parser.add_argument("--kept", type=pathlib.Path, help="where the outputs of the runs are left")
    parser.add_argument("--plain-only", type=int, metavar="N",
                        help="compare N plain runs with each other instead: which tests are flaky by themselves")
    parser.add_argument("--all", action="store_true", help="run what excluded.txt names, too")
    parser.add_argument("suite", choices=sorted(suites.SUITES))
    parser.add_argument("part")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if not arguments.library.is_file():
        # The dynamic linker only complains, and the comparison would be of plain with plain.
        sys.exit(f"{arguments.library} is not there")
    # Ended from outside, so are the sessions of the suites.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        holder = stack.enter_context(refusing_port())
        environment = plain_environment(scratch)
        excluded = [] if arguments.all else suites.excluded(arguments.suite, arguments.part)
        suite = stack.enter_context(suites.SUITES[arguments.suite](scratch, environment))
        settings = exports(arguments.library.resolve(), scratch, holder.getsockname()[1])
        if arguments.plain_only:
            settings = {f"plain{i}": {} for i in range(1, arguments.plain_only)}
        failed = 0
        plain: dict[str, str] = {}
        for name, changes in {"plain": {}, **settings}.items():
            started = time.monotonic()
            folder = scratch / name
            folder.mkdir()
            results, output = suite.run(arguments.part, excluded, {**environment, **changes}, folder,
                                        arguments.deadline)
            counts = {status: list(results.values()).count(status) for status in sorted(set(results.values()))}
            print(f"{name}: {counts}, {time.monotonic() - started:.0f} s", flush=True)
            if arguments.kept:
                arguments.kept.mkdir(parents=True, exist_ok=True)
                (arguments.kept / f"{arguments.suite}-{arguments.part}-{name}.txt").write_text(output)
            if name == "plain":
                plain = results
                if "passed" not in results.values():
                    print(output[-4000:])
                    print("nothing passes even plain")
                    return 1
                continue
            found = differences(plain, results)
            for line in found[:MOST_LINES]:
                print(f"    {line}")
            if found and not arguments.kept:
                print(output[-8000:])
            failed += len(found)
            if name == "file" and suite.must_have_spans(arguments.part):
                spans = scratch / "spans.jsonl"
                if not spans.exists() or b'"spanId"' not in spans.read_bytes():
                    print("    no span was written: the library observed nothing")
                    failed += 1
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
