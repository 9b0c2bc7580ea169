"""What wirespan says that it lost, when its log level asks for it."""

import re

# wirespan: lost 12 spans: queue_full
LINE = re.compile(r"^wirespan.*?: lost (\d+) .*?: (\w+)$", re.MULTILINE)


def read(text: str) -> dict[str, int]:
    """Losses by reason, summed over all processes that wrote to `text`."""
    found: dict[str, int] = {}
    for count, reason in LINE.findall(text):
        found[reason] = found.get(reason, 0) + int(count)
    return found


# These count connections or replies, not exchanges: what they cost is counted as abandoned.
NOT_SPANS = {"slab_full", "descriptor_range", "contended", "missed_bytes", "malformed", "unmatched_reply"}


def spans(lost: dict[str, int]) -> int:
    """How many spans are missing because of these losses."""
    return sum(count for reason, count in lost.items() if reason not in NOT_SPANS)
