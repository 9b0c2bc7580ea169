"""Programs under test: started with a known environment, ended by a watchdog if they hang."""

import fcntl
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

TREE = pathlib.Path(__file__).resolve().parents[3]

# Programs inherit which signals are ignored, such as SIGHUP from nohup; what they do when one comes is tested.
for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(ignored) == signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL)


@dataclass
class Finished:
    """How a program ended and what it said. Times are CLOCK_REALTIME nanoseconds."""

    code: int  # negative: by this signal
    output: bytes
    errors: bytes
    started_ns: int
    ended_ns: int


class Hung(AssertionError):
    """The program did not end by itself."""


def clean_environment(**more: str) -> dict[str, str]:
    """What a program gets: nothing of the caller's that would change what it does."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:" + os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", "/tmp"),
        "LANG": "C.UTF-8",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
    }
    environment.update(more)
    return environment


def run(arguments: list, environment: dict[str, str], deadline_seconds: float = 60,
        folder: str | None = None, given: bytes = b"") -> Finished:
    """Runs to the end. A program that outlives the deadline is killed with its whole session, and
    fails the test."""
    started = time.time_ns()
    with subprocess.Popen(
        [str(argument) for argument in arguments], env=environment, cwd=folder, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:
        try:
            output, errors = child.communicate(given, timeout=deadline_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, errors = child.communicate()
            raise Hung(
                f"{arguments[0]} still ran after {deadline_seconds} s; "
                f"output {output[-500:]!r}, errors {errors[-2000:]!r}"
            ) from None
    return Finished(child.returncode, output, errors, started, time.time_ns())


class Daemon:
    """A server that a test started. Ends with the `with` block, by SIGTERM and then SIGKILL."""

    def __init__(self, arguments: list, environment: dict[str, str], log: pathlib.Path,
                 folder: str | None = None, keep_stdin: bool = False):
        self.log = log
        self.name = str(arguments[0])
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments], env=environment, cwd=folder,
                start_new_session=True, stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
                stdout=output, stderr=output,
            )

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *ignored) -> None:
        self.end()

    def started(self, wait) -> "Daemon":
        """Waits by `wait` for the server to be up; one that does not come up is ended."""
        try:
            wait()
        except BaseException:
            self.end()
            raise
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def await_port(self, port: int, deadline_seconds: float = 30) -> None:
        wait_until(lambda: self._is_up(port), deadline_seconds, f"{self.name} to listen on {port}")

    def _is_up(self, port: int) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.said()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    def end(self, by: int = signal.SIGTERM, deadline_seconds: float = 20) -> int:
        """Ends it, and returns its exit status. One that ignores the signal fails the test."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        if self.process.stdin:
            self.process.stdin.close()
        try:
            return self.process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise Hung(f"{self.name} did not end within {deadline_seconds} s: {self.said()[-2000:]}") from None


def wait_until(holds, deadline_seconds: float, what: str) -> None:
    end = time.monotonic() + deadline_seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_seconds} s in vain for {what}")
        time.sleep(0.01)


_held_ports = []


def free_port() -> int:
    """A port that nobody listens on, held for this test until it ends.

    From below the range that the kernel gives to outgoing connections, and locked in a file, so
    that neither those nor tests that run at the same time take it before the server has it. Each
    user has a folder: another's files cannot be opened, root's least of all.
    """
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp"), f"wirespan-test-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for port in random.sample(range(20000, 30000), 1000):
        lock = open(folder / str(port), "a")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held_ports.append(lock)
        return port
    raise AssertionError("no free port")
