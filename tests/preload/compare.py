#!/usr/bin/env python3
"""Runs a program plain and with libwirespan.so preloaded and compares what can be seen of it.

usage: compare.py --library FILE [options] -- PROGRAM [ARGUMENT ...]

Compared are standard output, standard error, the exit code or the signal, and the files that the
program left in its folder. The plain run must end as --exit or --signal says, so that a program
whose set-up fails does not pass by failing twice. The preloaded run is made once for each way to
export: into a file, to a receiver that refuses the connection, and by `wirespan run`, where another
process exports.
"""
import argparse
import dataclasses
import difflib
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile


@dataclasses.dataclass
class Outcome:
    status: int | None  # as subprocess has it: negative for a signal; None past the deadline
    stdout: bytes
    stderr: bytes
    files: dict[str, str]
    spans: int
    export: str  # the file of the spans

    def ending(self) -> str:
        if self.status is None:
            return "did not end before the deadline"
        if self.status < 0:
            return f"signal {signal.Signals(-self.status).name}"
        return f"exit {self.status}"


def files_in(folder: pathlib.Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.is_symlink():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "not a file"
    return found


def count_spans(export: str) -> int:
    """One batch of spans is one line; a span names its own id once."""
    return export.count('"spanId"')


def run(command: list[str], environment: dict[str, str], deadline: float, scratch: pathlib.Path,
        name: str) -> Outcome:
    folder = scratch / name
    folder.mkdir()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        stdout, stderr = process.communicate(timeout=deadline)
        status = process.returncode
    except subprocess.TimeoutExpired:
        # The session is ours: it holds the program and the children that stayed with it.
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        status = None
    path = scratch / f"{name}.spans.jsonl"
    export = path.read_text() if path.exists() else ""
    return Outcome(status, stdout, stderr, files_in(folder), count_spans(export), export)


def plain_environment() -> dict[str, str]:
    kept = {}
    for name, value in os.environ.items():
        if not name.startswith(("LD_", "OTEL_", "WIRESPAN_")):
            kept[name] = value
    kept["LC_ALL"] = "C"
    return kept


def preload_list(arguments: argparse.Namespace, with_library: bool) -> str:
    names = []
    if with_library:
        names += arguments.runtime_first
    names += arguments.preload_before
    if with_library:
        names.append(arguments.library)
    names += arguments.preload_after
    return ":".join(names)


def differences(plain: Outcome, preloaded: Outcome, may_say: str | None) -> list[str]:
    found = []
    if plain.ending() != preloaded.ending():
        found.append(f"ending: plain {plain.ending()}, preloaded {preloaded.ending()}")
    for name in ("stdout", "stderr"):
        before = getattr(plain, name).decode(errors="backslashreplace").splitlines()
        after = getattr(preloaded, name).decode(errors="backslashreplace").splitlines()
        if may_say:
            after = [line for line in after if not re.fullmatch(may_say, line)]
        if before != after:
            found.append(f"{name}:")
            found += ["    " + line for line in
                      difflib.unified_diff(before, after, "plain", "preloaded", lineterm="", n=1)]
    if plain.files != preloaded.files:
        found.append(f"files: plain {plain.files}, preloaded {preloaded.files}")
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", required=True)
    parser.add_argument("--exit", type=int, default=0, help="how the plain run exits")
    parser.add_argument("--signal", help="the signal that ends the plain run, as in SIGTERM")
    parser.add_argument("--deadline", type=float, default=20, help="seconds for each run")
    parser.add_argument("--spans", type=int, default=0,
                        help="at least as many spans must be in the file: proof of observation")
    parser.add_argument("--says", action="append", default=[],
                        help="what must stand in the file")
    parser.add_argument("--may-say", help="lines of ours, as a regular expression, that may be added")
    parser.add_argument("--preload-before", action="append", default=[],
                        help="another preloaded library, in both runs, before ours")
    parser.add_argument("--preload-after", action="append", default=[])
    parser.add_argument("--runtime-first", default=os.environ.get("WIRESPAN_TEST_RUNTIME", ""),
                        help="a sanitizer's runtime, before all others, in the preloaded run only")
    parser.add_argument("--repeat", type=int, default=1, help="preloaded runs of each kind")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    arguments.runtime_first = arguments.runtime_first.split(":") if arguments.runtime_first else []
    arguments.library = os.path.abspath(arguments.library)
    arguments.command[0] = os.path.abspath(arguments.command[0])
    return arguments


def refusing_port() -> socket.socket:
    """Bound and not listening, so that connecting is refused for as long as we hold it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder


def main() -> int:
    arguments = parse()
    expected = -signal.Signals[arguments.signal] if arguments.signal else arguments.exit
    failures = []
    with tempfile.TemporaryDirectory() as name, refusing_port() as holder:
        scratch = pathlib.Path(name)
        environment = plain_environment()
        plain_preload = preload_list(arguments, with_library=False)
        if plain_preload:
            environment["LD_PRELOAD"] = plain_preload
        plain = run(arguments.command, environment, arguments.deadline, scratch, "plain")
        if plain.status != expected:
            sys.stdout.buffer.write(plain.stdout + plain.stderr)
            print(f"plain run: {plain.ending()}, expected {expected}")
            return 1

        # What is lost is reported on standard error at the default level, and some programs here
        # make sure that something is.
        exports = {
            "file": {"OTEL_TRACES_EXPORTER": "file",
                     "WIRESPAN_FILE": str(scratch / "file.spans.jsonl"),
                     "WIRESPAN_LOG_LEVEL": "none"},
            "refused": {"OTEL_TRACES_EXPORTER": "otlp",
                        "OTEL_EXPORTER_OTLP_ENDPOINT":
                        f"http://127.0.0.1:{holder.getsockname()[1]}",
                        "WIRESPAN_LOG_LEVEL": "none"},
        }
        launcher = os.path.join(os.path.dirname(arguments.library), "command", "wirespan")
        if not arguments.runtime_first:  # the launcher would have to be sanitized, too
            exports["launched"] = {"OTEL_TRACES_EXPORTER": "file",
                                   "WIRESPAN_FILE": str(scratch / "launched.spans.jsonl"),
                                   "WIRESPAN_LOG_LEVEL": "none"}
        for export, settings in exports.items():
            for turn in range(arguments.repeat):
                label = export if turn == 0 else f"{export}.{turn}"
                changed = dict(environment, **settings)
                command = arguments.command
                if export == "launched":
                    command = [launcher, "run", "--", *command]
                else:
                    changed["LD_PRELOAD"] = preload_list(arguments, with_library=True)
                preloaded = run(command, changed, arguments.deadline, scratch, label)
                found = differences(plain, preloaded, arguments.may_say)
                if export == "file" and turn == 0 and preloaded.spans < arguments.spans:
                    found.append(f"spans: {preloaded.spans}, expected at least {arguments.spans}")
                found += [f"no {text!r} in the file" for text in arguments.says
                          if export == "file" and text not in preloaded.export]
                failures += [f"[{label}] {line}" for line in found]
    for line in failures:
        print(line)
    if not failures:
        print(f"{len(plain.stdout.splitlines())} lines, {plain.ending()}: the same")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
