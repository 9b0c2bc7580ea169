"""Bytes per connection as wirespan saw them, compared with strace's.

The source is `read`: it gives one (peer port, sent, received) for every connection. Here it is the file
that WIRESPAN_TRACE_BYTES names: a line for every closed connection, `FD PEER SENT RECEIVED`.
"""

import pathlib
from collections import Counter


def read(path: pathlib.Path) -> list[tuple[int, int, int]]:
    found = []
    if path.exists():
        for line in path.read_text().splitlines():
            _, peer, sent, received = line.split()
            port = peer.rsplit(":", 1)[-1]
            found.append((int(port) if port.isdigit() else 0, int(sent), int(received)))
    return found


def compare(by_inode: dict, dumped: list[tuple[int, int, int]]) -> None:
    """Every connection once, with the kernel's bytes: none merged, none split, none missed."""
    wanted = Counter((found.peer_port, found.sent, found.received) for found in by_inode.values())
    got = Counter(entry for entry in dumped if entry[1] or entry[2])
    if wanted != got:
        raise AssertionError(
            f"bytes differ; only the kernel saw {sorted((wanted - got).elements())}, "
            f"only wirespan {sorted((got - wanted).elements())}"
        )
