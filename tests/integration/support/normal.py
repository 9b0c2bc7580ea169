"""Spans with all that differs from run to run replaced: the same traces are the same text.

Ids become numbers in the order of their times, times become steps of a millisecond in their order, known ports and
names become others, measured numbers become 1.
"""

import json
import re

MEASURED = re.compile(r"(_ms|\.start_time|time_to_first_chunk|per_second)$")
BEGINNING_NS = 1_800_000_000_000_000_000
STEP_NS = 1_000_000


def _times(span: dict) -> list[int]:
    return [int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]),
            *(int(event["timeUnixNano"]) for event in span.get("events", []))]


def _numbered(spans: list[dict]) -> tuple[dict[str, str], dict[int, int]]:
    ids: dict[str, str] = {}
    for span in spans:
        ids.setdefault(span["traceId"], f"{len(ids) + 1:032x}")
        ids.setdefault(span["spanId"], f"{len(ids) + 1:016x}")
    for span in spans:
        for link in span.get("links", []):
            ids.setdefault(link["traceId"], f"{0xFFFF:032x}")
            ids.setdefault(link["spanId"], f"{0xFFFF:016x}")
        ids.setdefault(span.get("parentSpanId", ""), f"{0xFFFF:016x}" if span.get("parentSpanId") else "")
    moments = sorted({moment for span in spans for moment in _times(span)})
    return ids, {moment: BEGINNING_NS + number * STEP_NS for number, moment in enumerate(moments)}


def _value(key: str, value: dict, is_server: bool) -> dict:
    if MEASURED.search(key):
        return {kind: "1" if kind == "intValue" else 1 for kind in value}
    if is_server and key in ("network.peer.port", "client.port"):
        return {"intValue": "50000"}
    return value


def _attributes(entries: list[dict], is_server: bool = False) -> list[dict]:
    return [{"key": entry["key"], "value": _value(entry["key"], entry["value"], is_server)}
            for entry in sorted(entries, key=lambda entry: entry["key"])]


def normalise(requests: list[dict], names: dict[str, str]) -> list[dict]:
    """Requests of the file exporter, in one: a resource for each service, spans in the order of their beginnings.
    `names` are texts and what they become."""
    text = json.dumps(requests)
    for name, other in names.items():
        text = text.replace(name, other)
    services: dict[str, list[dict]] = {}
    for request in json.loads(text):
        for resource in request["resourceSpans"]:
            service = next(entry["value"]["stringValue"] for entry in resource["resource"]["attributes"]
                           if entry["key"] == "service.name")
            for scope in resource["scopeSpans"]:
                services.setdefault(service, []).extend(scope["spans"])
    everything = sorted((span for spans in services.values() for span in spans),
                        key=lambda span: (*_times(span)[:2], span["name"]))
    ids, moments = _numbered(everything)
    for span in everything:
        span["traceId"], span["spanId"] = ids[span["traceId"]], ids[span["spanId"]]
        if span.get("parentSpanId"):
            span["parentSpanId"] = ids[span["parentSpanId"]]
        span["startTimeUnixNano"] = str(moments[int(span["startTimeUnixNano"])])
        span["endTimeUnixNano"] = str(moments[int(span["endTimeUnixNano"])])
        span["attributes"] = _attributes(span.get("attributes", []), span["kind"] == 2)
        for entry in span["attributes"]:
            if entry["key"] == "trace.parent_id":
                entry["value"] = {"intValue": str(int(ids[entry["value"]["stringValue"]], 16))}
        for link in span.get("links", []):
            link["traceId"], link["spanId"] = ids[link["traceId"]], ids[link["spanId"]]
        for event in span.get("events", []):
            event["timeUnixNano"] = str(moments[int(event["timeUnixNano"])])
    order = {id(span): number for number, span in enumerate(everything)}
    return [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"scope": {"name": "wirespan"},
                            "spans": sorted(services[service], key=lambda span: order[id(span)])}],
        }
        for service in sorted(services)
    ]


KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATES = ("", " ok", " ERROR")


def _plain(value: dict) -> str:
    for kind, content in value.items():
        if kind == "arrayValue":
            return "[" + ", ".join(_plain(item) for item in content.get("values", [])) + "]"
        return json.dumps(content) if kind == "stringValue" else str(content).lower()
    return ""


def as_tree(resources: list[dict]) -> str:
    """Each trace as an indented tree: name, kind, status, service; links, events and attributes below."""
    spans = [(span, resource["resource"]["attributes"][0]["value"]["stringValue"])
             for resource in resources for scope in resource["scopeSpans"] for span in scope["spans"]]
    spans.sort(key=lambda entry: (int(entry[0]["startTimeUnixNano"]), int(entry[0]["spanId"], 16)))
    known = {span["spanId"]: span for span, _ in spans}
    lines: list[str] = []

    def name_of(span_id: str) -> str:
        return f"{known[span_id]['name']} #{int(span_id, 16)}" if span_id in known else "(not here)"

    def add(span: dict, service: str, depth: int) -> None:
        pad = "    " * depth
        status = STATES[span.get("status", {}).get("code", 0)]
        lines.append(f"{pad}{span['name']} #{int(span['spanId'], 16)} {KINDS[span['kind']]}{status} by {service}")
        lines.extend(f"{pad}  -> {name_of(link['spanId'])}" for link in span.get("links", []))
        for event in span.get("events", []):
            told = "".join(f" {entry['key']}={_plain(entry['value'])}" for entry in event.get("attributes", []))
            lines.append(f"{pad}  * {event['name']}{told}")
        lines.extend(f"{pad}  {entry['key']} {_plain(entry['value'])}" for entry in span["attributes"])
        for child, child_service in spans:
            if child.get("parentSpanId") == span["spanId"]:
                add(child, child_service, depth + 1)

    number = 0
    for trace in dict.fromkeys(span["traceId"] for span, _ in spans):
        number += 1
        lines.append(f"trace {number}")
        for span, service in spans:
            if span["traceId"] == trace and span.get("parentSpanId", "") not in known:
                add(span, service, 1)
        lines.append("")
    return "\n".join(lines)


def as_names(resources: list[dict]) -> str:
    """Each trace as an indented tree of names alone."""
    lines = [line for line in as_tree(resources).splitlines() if re.match(r"trace |( {4})+\S.* #\d+ [A-Z]", line) or not line]
    return "\n".join(re.sub(r" #\d+ [A-Z]+( ok| ERROR)? by ", " by ", line) for line in lines) + "\n"
