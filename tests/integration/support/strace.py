"""Bytes per TCP connection as the kernel saw them: the truth that no library stands before.

`strace -ff` writes one file per thread, in which every call stands on one line. With `-y` a socket is
named by its inode, which is unique while the machine runs; so a descriptor's reuse cannot merge two
connections here.
"""

import pathlib
import re
from collections import defaultdict

CALLS = (
    "socket,socketpair,connect,accept,accept4,read,write,readv,writev,pread64,pwrite64,preadv2,pwritev2,"
    "send,recv,sendto,recvfrom,sendmsg,recvmsg,sendmmsg,recvmmsg,sendfile,splice"
)
LINE = re.compile(r"^(?:\d+ )?(\w+)\((.*)\)\s+= (-?\d+)(.*)$")
SOCKET = re.compile(r"^(\d+)<socket:\[(\d+)\]>")
RESULT_SOCKET = re.compile(r"^<socket:\[(\d+)\]>")
PEER = re.compile(r'sin6?_port=htons\((\d+)\)')
READS = {"read", "readv", "recvfrom", "recvmsg", "preadv2", "recv"}
WRITES = {"write", "writev", "sendto", "sendmsg", "pwritev2", "send"}
# What wirespan writes into a request, in a call of its own form.
CONTEXT = re.compile(r'iov_len=(\d+)\}, \{iov_base="traceparent: "\.\.\., iov_len=70\}')
CONTEXT_SIZE = 70
MESSAGE_LENGTH = re.compile(r"msg_len=(\d+)")


def command(folder: pathlib.Path, arguments: list, environment: dict[str, str]) -> tuple[list, dict[str, str]]:
    """How to run `arguments` under strace. What is preloaded goes to the program, not to strace."""
    folder.mkdir()
    kept = {name: value for name, value in environment.items() if name != "LD_PRELOAD"}
    given = [f"--env=LD_PRELOAD={environment['LD_PRELOAD']}"] if "LD_PRELOAD" in environment else []
    return (
        ["strace", "-ff", "-y", "-qq", "-s", str(len("traceparent: ")), "-e", "signal=none", "-e", f"trace=?{CALLS.replace(',', ',?')}",
         "-o", folder / "calls", *given, *arguments],
        kept,
    )


class Connection:
    """A TCP socket's totals."""

    def __init__(self):
        self.peer_port = 0
        self.is_tcp = False
        self.sent = 0
        self.written_into = 0  # of what was sent: not the program's
        self.received = 0


def connections(folder: pathlib.Path) -> dict[int, Connection]:
    """Totals by inode, of TCP sockets that carried bytes."""
    by_inode: dict[int, Connection] = defaultdict(Connection)
    for path in sorted(folder.glob("calls.*"), key=lambda path: int(path.suffix[1:])):
        for line in path.read_text(errors="replace").splitlines():
            _account(by_inode, line)
    return {inode: found for inode, found in by_inode.items() if found.is_tcp and (found.sent or found.received)}


def _account(by_inode: dict[int, Connection], line: str) -> None:
    match = LINE.match(line)
    if not match:
        return
    name, arguments, result, rest = match[1], match[2], int(match[3]), match[4]
    if name == "socket":
        made = RESULT_SOCKET.match(rest)
        if made and "SOCK_STREAM" in arguments and re.match(r"AF_INET6?,", arguments):
            by_inode[int(made[1])].is_tcp = True
        return
    subject = SOCKET.match(arguments)
    if name == "sendfile" or subject:
        inode = int(subject[2]) if subject else 0
    else:
        inode = 0
    if name in ("accept", "accept4"):
        made = RESULT_SOCKET.match(rest)
        if made and by_inode[inode].is_tcp or made and "sin_port" in arguments:
            accepted = by_inode[int(made[1])]
            accepted.is_tcp = True
            peer = PEER.search(arguments)
            accepted.peer_port = int(peer[1]) if peer else 0
        return
    if name == "connect" and inode:
        peer = PEER.search(arguments)
        if peer:
            by_inode[inode].peer_port = int(peer[1])
        return
    if result <= 0:
        return
    if name in READS and inode and "MSG_PEEK" not in arguments and "MSG_ERRQUEUE" not in arguments:
        by_inode[inode].received += result
    elif name in WRITES and inode:
        by_inode[inode].sent += result
        context = CONTEXT.search(arguments)
        if context and result >= int(context[1]) + CONTEXT_SIZE:
            by_inode[inode].written_into += CONTEXT_SIZE
    elif name == "sendfile" and inode:
        by_inode[inode].sent += result
    elif name in ("sendmmsg", "recvmmsg") and inode:
        total = sum(int(length) for length in MESSAGE_LENGTH.findall(arguments))
        if name == "sendmmsg":
            by_inode[inode].sent += total
        else:
            by_inode[inode].received += total
    elif name == "splice":
        source = SOCKET.match(arguments)
        target = re.search(r", (\d+)<socket:\[(\d+)\]>", arguments)
        if source:
            by_inode[int(source[2])].received += result
        if target:
            by_inode[int(target[2])].sent += result
