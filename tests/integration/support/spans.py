"""Spans as they were exported, flattened for comparison."""

import json
import pathlib
from collections import Counter
from dataclasses import dataclass, field

INTERNAL = 1
SERVER = 2
CLIENT = 3


@dataclass
class Span:
    """One exported span. `attributes` hold plain values."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    status: int  # 0 unset, 1 ok, 2 error
    attributes: dict
    resource: dict
    links: list = field(default_factory=list)
    events: list = field(default_factory=list)
    message: str = ""  # of the status
    state: str = ""  # tracestate

    def get(self, name: str, otherwise=None):
        return self.attributes.get(name, otherwise)

    def __str__(self) -> str:
        told = {name: value for name, value in self.attributes.items() if not name.startswith("network.")}
        return f"{self.name} {self.start_ns}..{self.end_ns} status {self.status} {told}"


def _plain(value: dict):
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [_plain(item) for item in content.get("values", [])]
        return content
    return None


def _attributes(entries: list) -> dict:
    named = {}
    for entry in entries:
        assert entry["key"] not in named, f"attribute {entry['key']} twice on one span"
        named[entry["key"]] = _plain(entry["value"])
    return named


def from_request(request: dict) -> list[Span]:
    """The spans of one ExportTraceServiceRequest in its JSON form."""
    found = []
    for resource_spans in request.get("resourceSpans", []):
        resource = _attributes(resource_spans.get("resource", {}).get("attributes", []))
        for scope_spans in resource_spans.get("scopeSpans", []):
            for span in scope_spans.get("spans", []):
                found.append(
                    Span(
                        span["name"], span["kind"], span["traceId"].lower(), span["spanId"].lower(),
                        span.get("parentSpanId", "").lower(), int(span["startTimeUnixNano"]),
                        int(span["endTimeUnixNano"]), span.get("status", {}).get("code", 0),
                        _attributes(span.get("attributes", [])), resource, span.get("links", []),
                        span.get("events", []), span.get("status", {}).get("message", ""),
                        span.get("traceState", ""),
                    )
                )
    return found


def read_file(path: pathlib.Path) -> list[Span]:
    """What the file exporter wrote: one request a line. A file that is not there has no spans."""
    found = []
    if path.exists():
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                found += from_request(json.loads(line))
    return found


def check_ids(spans: list[Span]) -> None:
    """No id twice, none of zeros, times in order: true of every set of spans."""
    ids = Counter(span.span_id for span in spans)
    twice = [span_id for span_id, count in ids.items() if count > 1]
    assert not twice, f"{len(twice)} span ids occur more than once: {twice[:5]}"
    for span in spans:
        assert len(span.span_id) == 16 and int(span.span_id, 16), f"bad span id: {span}"
        assert len(span.trace_id) == 32 and int(span.trace_id, 16), f"bad trace id: {span}"
        assert span.start_ns <= span.end_ns, f"ends before it starts: {span}"
