"""The system calls of a program's own threads, plain and preloaded, compared.

What the program does on sockets must be the same, call by call. Anything else may only have been
added if it is in a list, and only so often. `strace -ff` writes a file for each thread; the exporter's
thread names itself, and is none of the program's.
"""

import pathlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

LINE = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+|\?)(.*)$")
SOCKET = re.compile(r"<socket:\[(\d+)\]>")
EXPORTERS_NAME = 'PR_SET_NAME, "wirespan"'
# How often these are called is a matter of when bytes arrive.
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"}
# How often these are called is a matter of the memory allocator and of other threads.
MEMORY = {"mmap", "munmap", "mprotect", "madvise", "brk", "mremap"}
OTHER_THREADS = {"futex", "sched_yield", "getpid", "gettid", "rt_sigprocmask", "tgkill", "sched_getaffinity"}
OPENS = {"open", "openat", "epoll_create", "epoll_create1", "eventfd2", "pipe", "pipe2", "memfd_create", "timerfd_create",
         "signalfd4", "inotify_init1", "dup", "dup2", "dup3", "fcntl", "accept4"}
WITH_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
PATH_CALLS = {"open", "openat", "access", "faccessat2", "readlink", "readlinkat", "statx", "stat", "lstat", "execve"}


@dataclass
class Thread:
    """What one thread called. Sockets are numbered by their first appearance."""

    on_sockets: list[str] = field(default_factory=list)
    by_socket: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    others: Counter = field(default_factory=Counter)
    opened: int = 3  # descriptors that are no sockets, with those that it was born with
    asked_whether_socket: int = 0  # and were none
    is_exporters: bool = False
    sockets: dict[str, int] = field(default_factory=dict)

    def number(self, inode: str) -> int:
        return self.sockets.setdefault(inode, len(self.sockets))

    def take(self, line: str) -> None:
        match = LINE.match(line)
        if not match:
            return
        name, arguments, result, rest = match.groups()
        self.is_exporters |= EXPORTERS_NAME in arguments
        inodes = SOCKET.findall(arguments + result + rest)
        if inodes and name not in WAITS:
            call = f"{name}({arguments}) = {result}{rest}"
            call = SOCKET.sub(lambda found: f"<socket {self.number(found[1])}>", call)
            call = re.sub(r"0x[0-9a-f]+", "ADDRESS", call)
            call = re.sub(r"u32=\d+, u64=\d+", "DATA", call)
            # Ports that were chosen for this run: those of this side.
            call = re.sub(r"(bind|getsockname|accept4?|getpeername)(\(.*sin6?_port=htons)\(\d+\)", r"\1\2(PORT)", call)
            self.on_sockets.append(call)
            self.by_socket[self.number(inodes[0])].append(call)
        elif name == "getsockopt" and "ENOTSOCK" in rest:
            self.asked_whether_socket += 1
        else:
            self.others[self.key(name, arguments)] += 1
            if name in OPENS and not result.startswith("-"):
                self.opened += 2 if name.startswith("pipe") else 1

    @staticmethod
    def key(name: str, arguments: str) -> str:
        path = WITH_PATH.search(arguments) if name in PATH_CALLS else None
        return f"{name} {path[1]}" if path else name


def command(folder: pathlib.Path, arguments: list, environment: dict[str, str]) -> tuple[list, dict[str, str]]:
    """How to run `arguments` under strace. What is preloaded goes to the program, not to strace."""
    folder.mkdir()
    kept = {name: value for name, value in environment.items() if name != "LD_PRELOAD"}
    given = [f"--env=LD_PRELOAD={environment['LD_PRELOAD']}"] if "LD_PRELOAD" in environment else []
    # Strings that are not paths are cut by the parser: paths are wanted whole.
    return ["strace", "-ff", "-y", "-qq", "-s", "256", "-e", "signal=none", "-o", folder / "calls", *given, *arguments], kept


def threads(folder: pathlib.Path) -> list[Thread]:
    """All threads, in the order in which they were made; the first is the program's first."""
    found = []
    for path in sorted(folder.glob("calls.*"), key=lambda path: int(path.suffix[1:])):
        thread = Thread()
        for line in path.read_text(errors="replace").splitlines():
            thread.take(line)
        found.append(thread)
    return found
