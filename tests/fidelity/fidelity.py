"""Whose work a call is, compared with the truth, for one program under test after another.

A program under test (fronts/) serves GET /w/ID/MODE/COUNT by COUNT calls that carry ID in their path
or key. Neither means anything to wirespan; here they say which server span truly caused a call. A call
is `right` if the way up from its span leads to that one first, `none` if its span is a root, and
`wrong` otherwise. `wrong` is an error everywhere, and so is a span that is missing. What a program does
on its own carries an ID that no request has: to have a parent is wrong for it.

FIDELITY_TIMES in the environment makes so many times as many requests of it.
"""

import http.client
import os
import pathlib
import re
import sys
import threading
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

from peer import Peer  # pylint: disable=wrong-import-position
from support import case, spans  # pylint: disable=wrong-import-position
from support.process import Daemon, clean_environment, free_port, run, wait_until  # pylint: disable=wrong-import-position
from support.servers import RedisServer, program  # pylint: disable=wrong-import-position,unused-import

FRONTS = HERE / "fronts"
CALLED = re.compile(r"/c/([^/]+)/|^(?i:get|mget shared) id:([^:]+):")
OWN = "/c/bg"  # calls that no request caused; they go on while the spans are waited for
SERVED = re.compile(r"^/w/([^/]+)/")


@dataclass(frozen=True)
class Phase:
    """So many requests from so many clients."""

    name: str
    clients: int
    requests: int
    keeps: bool = True  # its connection, from one request to the next
    in_step: bool = False


TIMES = int(os.environ.get("FIDELITY_TIMES", "1"))

# The last one says that a program which was busy is understood again.
PHASES = (
    Phase("one", 1, 4 * TIMES),
    Phase("one, anew", 1, 3 * TIMES, keeps=False),
    Phase("5", 5, 15 * TIMES),
    Phase("20", 20, 40 * TIMES),
    Phase("20, in step", 20, 40 * TIMES, in_step=True),
    Phase("one, again", 1, 3 * TIMES),
)
ALONE = {phase.name for phase in PHASES if phase.clients == 1}


@dataclass
class Counts:
    right: int = 0
    none: int = 0
    wrong: int = 0
    missing: int = 0
    late: int = 0  # of those without a parent: its request had been answered before
    examples: list = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.right / max(1, self.right + self.none + self.wrong + self.missing)

    @property
    def share_in_time(self) -> float:
        return self.right / max(1, self.right + self.none - self.late + self.wrong + self.missing)


def caller_of(span: spans.Span) -> str | None:
    found = CALLED.search(span.get("url.full", "")) or CALLED.search(span.get("db.query.text", ""))
    return next(name for name in found.groups() if name) if found else None


def server_above(span: spans.Span, by_id: dict) -> spans.Span | None:
    """The nearest one on the way up. A parent that is not there is reported as the span itself."""
    while span.parent_id:
        above = by_id.get(span.parent_id)
        if above is None or above.trace_id != span.trace_id:
            return span
        if above.kind == spans.SERVER:
            return above
        span = above
    return None


def judge(found: list[spans.Span], called: list[str]) -> dict[str, Counts]:
    """Counts by the part of the ID before its number."""
    by_id = {span.span_id: span for span in found}
    served = {}
    for span in found:
        if span.kind == spans.SERVER and (path := SERVED.search(span.get("url.path", ""))):
            served[path[1]] = span
    counts: dict[str, Counts] = {}
    seen: dict[str, int] = {}
    for span in found:
        caller = caller_of(span) if span.kind == spans.CLIENT else None
        if caller is None:
            continue
        count = counts.setdefault(caller.rpartition("x")[0], Counts())
        if path := span.get("url.full"):
            path = path[path.index("/c/"):]
            seen[path] = seen.get(path, 0) + 1
        above = server_above(span, by_id)
        if above is None and not span.parent_id:
            count.none += 1
            count.late += caller in served and span.start_ns > served[caller].end_ns
        elif above is not None and above is served.get(caller):
            count.right += 1
        else:
            count.wrong += 1
            count.examples.append(f"{span} is below {above}")
    for path in called:
        seen[path] = seen.get(path, 0) - 1
        if seen[path] < 0:
            count = counts.setdefault(path.split("/")[2].rpartition("x")[0], Counts())
            count.missing += 1
            count.examples.append(f"no span for {path}")
    return counts


def is_at_rest(group: int) -> bool:
    """Every thread of the group's processes sleeps: what the last request has begun is over, as far as
    it does not wait for something itself."""
    for process in os.listdir("/proc"):
        if not process.isdigit():
            continue
        try:
            if os.getpgid(int(process)) != group:
                continue
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/stat", encoding="utf-8", errors="replace") as stat:
                    if stat.read().rpartition(")")[2].split()[0] not in "SI":
                        return False
        except OSError:
            continue
    return True


class Front:
    """A program under test, and what it needs."""

    def __init__(self, name: str, arguments: list, *, least: dict | None = None, phases=PHASES, modes=("seq",),
                 calls: int = 3, environment: dict | None = None, folder: pathlib.Path | None = None, late=()):
        """`arguments` may name {port}. `least`: the share of right calls, by mode, by (mode, phase) or
        by phase; one-at-a-time work is right without exception unless that is named. Of the modes `late`
        what is begun after the answer, for which nothing is claimed, does not count."""
        self.name, self.arguments, self.phases, self.modes = name, arguments, phases, modes
        self.calls, self.environment, self.folder = calls, environment or {}, folder
        self.least, self.late = least or {}, late

    def demanded(self, mode: str, phase: str) -> float:
        for key in ((mode, phase), phase, mode):
            if key in self.least:
                return self.least[key]
        return 1.0 if phase in ALONE else 0.0


class Suite(case.Case):
    """Runs fronts; each test method of a subclass is one program."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = cls.enter(Peer())
        cls.redis = cls.enter(RedisServer(cls.folder))

    @classmethod
    def install(cls) -> pathlib.Path:
        """The folder of this suite's own Python packages."""
        finished = run([HERE.parent / "support" / "runtimes", HERE / "packages"], clean_environment(), 600)
        assert finished.code == 0, finished.errors.decode()
        return pathlib.Path(finished.output.decode().strip()) / "venv" / "bin"

    def drive(self, group: int, port: int, front: Front, mode: str, phase: Phase, label: str) -> None:
        self.peer.in_step = phase.in_step
        failed: list = []

        def work(first: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                for number in range(first, phase.requests, phase.clients):
                    if phase.clients == 1:
                        wait_until(lambda: is_at_rest(group), 10, f"{front.name} to be at rest")
                    connection.request("GET", f"/w/{label}x{number}/{mode}/{front.calls}")
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        failed.append(answer.status)
                    if not phase.keeps:
                        connection.close()
            except OSError as error:
                failed.append(error)
            connection.close()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(phase.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [], f"{front.name}, {mode}, {phase.name}")

    def check(self, front: Front) -> None:
        """The whole: runs it, compares, prints the table, and fails on what is wrong."""
        self.peer.calls.clear()
        port = free_port()
        file = self.new_path("spans.jsonl")
        environment = case.preload_environment(
            file, TEST_PEER=f"http://127.0.0.1:{self.peer.port}", TEST_REDIS=str(self.redis.port),
            PYTHONDONTWRITEBYTECODE="1", OTEL_BSP_SCHEDULE_DELAY="200", **front.environment,
        )
        arguments = [str(argument).replace("{port}", str(port)) for argument in front.arguments]
        labels: dict[str, tuple[str, Phase]] = {}
        requests = 0
        with Daemon(arguments, environment, self.folder / "front.log", folder=front.folder) as daemon:
            daemon.started(lambda: daemon.await_port(port, 60))
            for mode in front.modes:
                for phase in front.phases:
                    label = f"m{len(labels)}"
                    labels[label] = (mode, phase)
                    try:
                        self.drive(daemon.process.pid, port, front, mode, phase, label)
                    except AssertionError as error:
                        raise AssertionError(f"{error}; it said {daemon.said()[-3000:]}") from None
                    requests += phase.requests
            called = list(self.peer.calls)
            self._await_spans(file, requests, len(called))
        found = spans.read_file(file)
        spans.check_ids(found)
        self.report(front, labels, judge(found, [path for path in called if not path.startswith(OWN)]))

    @staticmethod
    def _await_spans(file: pathlib.Path, requests: int, calls: int) -> None:
        """Until the exporter has written all that there is to come; what never comes is told by the
        comparison."""
        def are_there() -> bool:
            whole = file.read_bytes().rpartition(b"\n")[0] if file.exists() else b""
            return whole.count(b"/w/m") >= requests and whole.count(b'/c/') >= calls
        try:
            wait_until(are_there, 10, "spans")
        except AssertionError:
            pass

    def report(self, front: Front, labels: dict, counts: dict[str, Counts]) -> None:
        complaints = []
        for label, count in counts.items():
            mode, phase = labels.get(label, ("its own", None))
            demanded = 0.0 if phase is None else front.demanded(mode, phase.name)
            name = phase.name if phase else "-"
            share = count.share_in_time if mode in front.late else count.share
            print(f"    {front.name:22} {mode:8} {name:12} right {count.right:4} none {count.none:4} "
                  f"wrong {count.wrong:3} missing {count.missing:3}  {share:4.0%} of {demanded:4.0%}")
            if count.wrong or count.missing or share < demanded:
                complaints += [f"{front.name}, {mode}, {name}: wrong {count.wrong}, missing {count.missing}, "
                               f"right {share:.0%}", *count.examples[:3]]
        sys.stdout.flush()
        self.assertEqual(complaints, [], "\n".join(complaints))


main = case.main
