"""What wirespan says that it lost, when its log level asks for it."""

import re

from support.spans import Span

# The summary at the end of a process: "wirespan: lost: queue_full 12, abandoned 1", or "nothing". What
# is said in between ("wirespan: lost: queue_full 3: detail") is in the summary again; with the level
# `info` only the last such line of a process counts, so each process's summary follows its exports.
SUMMARY = re.compile(r"^wirespan: \d+ spans exported by .*\n(?:wirespan: \d+ spans exported by .*\n)*wirespan: lost: (.*)$",
                     re.MULTILINE)
ENTRY = re.compile(r"(\w+) (\d+)")


def read(text: str) -> dict[str, int]:
    """Losses by reason, summed over all processes that wrote to `text`."""
    found: dict[str, int] = {}
    summaries = SUMMARY.findall(text)
    assert summaries, f"no summary of losses in {text!r}"
    for summary in summaries:
        for reason, count in ENTRY.findall(summary):
            found[reason] = found.get(reason, 0) + int(count)
    return found


# These count connections or replies, not exchanges: what they cost is counted as abandoned.
NOT_SPANS = {"slab_full", "descriptor_range", "contended", "missed_bytes", "malformed", "unmatched_reply"}


def spans(lost: dict[str, int]) -> int:
    """How many spans are missing because of these losses."""
    return sum(count for reason, count in lost.items() if reason not in NOT_SPANS)


def told(found: list[Span]) -> tuple[dict[str, int], list[Span]]:
    """What the exported spans say of losses, and the spans of exchanges."""
    lost: dict[str, int] = {}
    others = []
    for span in found:
        if span.name != "wirespan.losses":
            others.append(span)
            continue
        for name, count in span.attributes.items():
            if name.startswith("wirespan.losses."):
                reason = name.removeprefix("wirespan.losses.")
                lost[reason] = lost.get(reason, 0) + count
    return lost, others
