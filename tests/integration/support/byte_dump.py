"""Bytes per connection as wirespan saw them, compared with strace's.

The source is `take`: it gives one (peer port, sent, received) for every connection. Here it is the spans
of connections that WIRESPAN_CONNECTION_SPANS asks for; any other source with the same triples will do.
"""

from collections import Counter

from support.spans import Span

# Makes the source speak.
ENVIRONMENT = {"WIRESPAN_CONNECTION_SPANS": "true"}


def take(found: list[Span]) -> tuple[list[tuple[int, int, int]], list[Span]]:
    """The connections' triples, and the spans that are not about connections' bytes."""
    triples, others = [], []
    for span in found:
        sent = span.get("wirespan.connection.sent_bytes")
        if sent is None:
            others.append(span)
        elif span.get("network.peer.port"):  # pipes within the program have none
            triples.append((span.get("network.peer.port", 0), sent, span.get("wirespan.connection.received_bytes")))
    return triples, others


def compare(by_inode: dict, dumped: list[tuple[int, int, int]]) -> None:
    """Every connection once, with the bytes that the program passed to the kernel: none merged, split or missed."""
    wanted = Counter((found.peer_port, found.sent - found.written_into, found.received) for found in by_inode.values())
    got = Counter(entry for entry in dumped if entry[1] or entry[2])
    if wanted != got:
        raise AssertionError(
            f"bytes differ; only the kernel saw {sorted((wanted - got).elements())}, "
            f"only wirespan {sorted((got - wanted).elements())}"
        )
