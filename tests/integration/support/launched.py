"""Programs under `wirespan run`, `entrypoint` and `agent`, and the drainers beside them.

A drainer of `run` is nobody's child. The test makes itself the one to whom orphans go, so that it
sees each drainer end and nothing else left behind.
"""

import ctypes
import os
import pathlib
import re
import signal
import subprocess
import time

from support import case, spans
from support.process import Finished, Hung, clean_environment, wait_until

COMMAND = case.BUILD / "src" / "command" / "wirespan"
PR_SET_CHILD_SUBREAPER = 36
DRAINER = "wirespan-drain"


def exporting(file: pathlib.Path, **more: str) -> dict[str, str]:
    """The environment of a launcher that exports into `file`."""
    return clean_environment(OTEL_TRACES_EXPORTER="file", WIRESPAN_FILE=str(file), **more)


def become_subreaper() -> None:
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def _stat(process_id: int) -> list[str] | None:
    """Name, state and parent."""
    try:
        text = pathlib.Path(f"/proc/{process_id}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()[:2]]


def children() -> dict[int, str]:
    """This process's children by number, with their names; zombies are among them."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            told = _stat(int(entry))
            if told and int(told[2]) == os.getpid():
                found[int(entry)] = told[0]
    return found


def name_of(process_id: int) -> str:
    told = _stat(process_id)
    return told[0] if told else ""


def children_of(process_id: int) -> list[int]:
    return [int(entry) for entry in os.listdir("/proc")
            if entry.isdigit() and (_stat(int(entry)) or ["", "", "0"])[2] == str(process_id)]


def drainers() -> list[int]:
    return [process for process, name in children().items() if name == DRAINER]


def descendants(process_id: int) -> list[int]:
    by_parent: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            told = _stat(int(entry))
            if told:
                by_parent.setdefault(int(told[2]), []).append(int(entry))
    found, todo = [], [process_id]
    while todo:
        for child in by_parent.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def is_alive(process_id: int) -> bool:
    told = _stat(process_id)
    return told is not None and told[1] not in "ZX"


def reap(process_id: int, deadline_seconds: float = 40) -> int:
    """The exit status of an adopted process, as subprocess tells it."""
    end = time.monotonic() + deadline_seconds
    while True:
        found, status = os.waitpid(process_id, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            raise Hung(f"process {process_id} did not end within {deadline_seconds} s")
        time.sleep(0.01)


def open_descriptors(process_id: int) -> dict[int, str]:
    found = {}
    for name in os.listdir(f"/proc/{process_id}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{process_id}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def private_kib(process_id: int) -> int:
    text = pathlib.Path(f"/proc/{process_id}/smaps_rollup").read_text()
    fields = {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    return fields["Private_Clean"] + fields["Private_Dirty"]


class Launched(case.Case):
    """Cases that start launchers. After each of them nothing is left behind."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        become_subreaper()
        assert COMMAND.exists(), f"{COMMAND} is not built"

    def setUp(self):
        self.addCleanup(self._nothing_is_left, set(children()))

    def _nothing_is_left(self, before: set[int]) -> None:
        left = {process: name for process, name in children().items() if process not in before}
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.assertEqual(left, {}, "processes were left behind")

    def launch(self, arguments: list, environment: dict[str, str], deadline_seconds: float = 60, *,
               options: tuple = (), given: bytes = b"", drains: bool = True, **more) -> Finished:
        """Runs a command under `wirespan run` to its end, and waits for its drainer's."""
        before = set(drainers())
        finished = self.complete([COMMAND, "run", *options, "--", *arguments], environment, deadline_seconds,
                                 given=given, **more)
        if drains:
            self.await_drainers(before)
        return finished

    @staticmethod
    def complete(arguments: list, environment: dict[str, str], deadline_seconds: float = 60, *,
                 given: bytes = b"", **more) -> Finished:
        """Like support.process.run; more are Popen's."""
        started = time.time_ns()
        more.setdefault("start_new_session", True)
        with subprocess.Popen(
            [str(argument) for argument in arguments], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
        ) as child:
            try:
                output, errors = child.communicate(given, timeout=deadline_seconds)
            except subprocess.TimeoutExpired:
                for process in [*descendants(child.pid), child.pid]:
                    try:
                        os.kill(process, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                output, errors = child.communicate()
                raise Hung(
                    f"{arguments} still ran after {deadline_seconds} s; "
                    f"output {output[-500:]!r}, errors {errors[-2000:]!r}"
                ) from None
        return Finished(child.returncode, output, errors, started, time.time_ns())

    def await_drainers(self, before: set[int] = frozenset(), deadline_seconds: float = 40) -> None:
        """Every drainer that was not there before ends in order."""
        for process in set(drainers()) - set(before):
            self.assertEqual(reap(process, deadline_seconds), 0, "how the drainer ended")

    def new_drainer(self, before: set[int] = frozenset()) -> int:
        """The one that was not there before."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = set(drainers()) - set(before)
            return bool(found)

        wait_until(is_there, 20, "a drainer")
        self.assertEqual(len(found), 1)
        return found[0]

    def await_spans(self, file: pathlib.Path, count: int, name: str = "PING",
                    deadline_seconds: float = 30) -> list[spans.Span]:
        """Exactly so many spans of that name, after waiting for them."""
        found: list[spans.Span] = []

        def are_there() -> bool:
            found[:] = [span for span in read_growing(file) if span.name.startswith(name)]
            return len(found) >= count

        wait_until(are_there, deadline_seconds, f"{count} spans {name} in {file}")
        self.assertEqual(len(found), count)
        spans.check_ids(found)
        return found


def read_growing(path: pathlib.Path) -> list[spans.Span]:
    """Like spans.read_file, of a file whose last line may not be whole yet."""
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    found = []
    for line in whole.splitlines():
        found += spans.from_request(spans.json.loads(line))
    return found
