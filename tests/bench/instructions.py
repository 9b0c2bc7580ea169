#!/usr/bin/env python3
"""What the library adds to single operations, in instructions of the program's own thread.

usage: instructions.py --library SO --command WIRESPAN --operations PROGRAM --table FILE [--update] [CASE ...]

Callgrind counts each case plain and preloaded, twice: two run lengths, whose difference leaves
start and end out. Only the first thread is counted; the exporter's has its own file. A case
fails that adds more than the table says and 3 %; --update writes what was counted into the table.
Cases whose names begin with `launched_` run under `wirespan run`, the others with LD_PRELOAD. Into
the requests of those that begin with `inserting_` the library writes the context; the others have
one, or propagation is off.
A new number is a decision: it belongs into the commit that causes it, with the reason.
"""

import argparse
import http.server
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

MARGIN = 0.03
# Fewer instructions than this are no creep: 3 % of twelve is none.
SLACK = 0.5

# Lengths: the longer stays below what the segment holds, so that nothing depends on when the
# exporter runs.
LENGTHS = {
    "file_read": (2000, 42000),
    "http_client": (400, 2400),
    "inserting_http_client": (400, 2400),
    "http_server": (400, 2400),
    "http_client_usual": (400, 2400),
    "http_server_usual": (400, 2400),
    "redis_1": (400, 2400),
    "redis_16": (400, 2400),
    "tls_client": (400, 2400),
    "launched_http_client": (400, 1400),
    "launched_redis_1": (400, 1400),
    "start": None,
}
LAUNCHED = "launched_"
INSERTING = "inserting_"
# Requests without a context, into which none is written.
PROPAGATES_NOT = {"http_client", "launched_http_client", "tls_client"}

HEADER = """\
# Instructions that the library adds to one operation, on the program's own thread.
# Counted with gcc 12 and Debian 12's C library; instructions.py compares, --update writes.
"""


# Losses of the exporter's side alone, which is slow here and not what is counted.
EXPORTERS_LOSSES = {"queue_full", "export_expired", "abandoned"}


class Discarding(http.server.BaseHTTPRequestHandler):
    """Takes every export, reads none."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class Counter:
    def __init__(self, library: pathlib.Path, command: pathlib.Path, operations: pathlib.Path):
        self.library = library
        self.command = command
        self.operations = operations
        self.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Discarding)
        self.receiver.daemon_threads = True
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()

    def total(self, program: list[str], observed: bool, launched: bool = False, propagates: bool = True) -> int:
        """Instructions of the program's first thread."""
        with tempfile.TemporaryDirectory(prefix="wirespan-bench-") as folder:
            # Everything that the start reads is the same each time: addresses, environment, folder.
            environment = {"PATH": "/usr/bin:/bin", "LANG": "C"}
            launcher = [str(self.command), "run", "--"] if observed and launched else []
            if observed:
                if not launched:
                    environment["LD_PRELOAD"] = str(self.library)
                environment.update(
                    OTEL_PROPAGATORS="tracecontext" if propagates else "none",
                    OTEL_SERVICE_NAME="bench", WIRESPAN_LOG_LEVEL="info",
                    # Five digits each time: the length of the environment does not change.
                    OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{self.receiver.server_port:05}",
                )
            done = subprocess.run(
                [*launcher, "setarch", "-R", "valgrind", "--tool=callgrind", "--fair-sched=yes", "--separate-threads=yes",
                 "--callgrind-out-file=" + folder + "/out", *program],
                env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False,
            )
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(program)}: exit {done.returncode}: {done.stderr[-2000:]}")
            lost = set(re.findall(r"(\w+) \d+", " ".join(re.findall(r"wirespan: lost: (.*)", done.stderr))))
            if lost - EXPORTERS_LOSSES:
                raise SystemExit(f"{' '.join(program)}: lost by {', '.join(lost)}: nothing was measured")
            text = pathlib.Path(folder, "out-01").read_text()
        return int(re.search(r"^summary: (\d+)$", text, re.MULTILINE)[1])

    def per_operation(self, case: str, observed: bool) -> float:
        short, long = LENGTHS[case]
        operation = case.removeprefix(LAUNCHED).removeprefix(INSERTING)
        totals = [self.total([str(self.operations), operation, str(n)], observed, case.startswith(LAUNCHED),
                             case not in PROPAGATES_NOT) for n in (short, long)]
        return (totals[1] - totals[0]) / (long - short)

    def added(self, case: str) -> tuple[float, float]:
        """(instructions of the plain operation, what the library adds)."""
        if case == "start":
            plain, observed = (self.total(["/bin/true"], o) for o in (False, True))
        else:
            plain, observed = (self.per_operation(case, o) for o in (False, True))
        return plain, observed - plain


def read_table(path: pathlib.Path) -> dict[str, float]:
    rows = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return {row[0]: float(row[1]) for row in rows if row}


def write_table(path: pathlib.Path, table: dict[str, float]) -> None:
    path.write_text(HEADER + "".join(f"{case:22}{table[case]:>10.1f}\n" for case in LENGTHS if case in table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--command", type=pathlib.Path, required=True)
    parser.add_argument("--operations", type=pathlib.Path, required=True)
    parser.add_argument("--table", type=pathlib.Path, required=True)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    arguments = parser.parse_args()
    counter = Counter(arguments.library.resolve(), arguments.command.resolve(), arguments.operations.resolve())
    table = read_table(arguments.table) if arguments.table.exists() else {}
    risen = []
    for case in arguments.cases or LENGTHS:
        plain, added = counter.added(case)
        known = table.get(case)
        note = "" if known is None else f"; the table says {known:.1f}"
        print(f"{case}: {plain:.1f} plain, {added:.1f} added{note}", flush=True)
        if known is None or added > known * (1 + MARGIN) + SLACK:
            risen.append(case)
        elif added < known * (1 - MARGIN) - SLACK:
            print(f"{case}: cheaper than the table says: --update keeps it so")
        table[case] = added
    if arguments.update:
        write_table(arguments.table, table)
    elif risen:
        sys.exit(f"dearer than {arguments.table.name} says: {', '.join(risen)}")


if __name__ == "__main__":
    main()
