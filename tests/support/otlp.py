"""Decodes an ExportTraceServiceRequest into plain dictionaries, without any library.

decode(bytes) -> [span, ...]; a span is a dictionary of what was sent: trace_id, span_id and
parent_span_id as hex, name, kind, start, end, status, attributes, events, links, resource, scope.
Raises ValueError on bytes that are no such message, also on text that is not UTF-8: as strict as
real receivers.
"""
import struct


def fields(data: bytes):
    """Yields (number, wire type, value) of one message."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if wire_type == 0:
            value, at = varint(data, at)
        elif wire_type == 1:
            value, at = take(data, at, 8)
            value = struct.unpack("<Q", value)[0]
        elif wire_type == 2:
            size, at = varint(data, at)
            value, at = take(data, at, size)
        elif wire_type == 5:
            value, at = take(data, at, 4)
            value = struct.unpack("<I", value)[0]
        else:
            raise ValueError(f"wire type {wire_type}")
        yield number, wire_type, value


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a varint is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise ValueError("a varint is too long")


def take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError("a field is cut off")
    return data[at : at + size], at + size


def signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def any_value(data: bytes):
    value = None
    for number, _, content in fields(data):
        if number == 1:
            value = content.decode()
        elif number == 2:
            value = bool(content)
        elif number == 3:
            value = signed(content)
        elif number == 4:
            value = struct.unpack("<d", struct.pack("<Q", content))[0]
        elif number == 5:
            value = [any_value(item) for number, _, item in fields(content) if number == 1]
        elif number == 6:
            value = attributes(item for number, _, item in fields(content) if number == 1)
        elif number == 7:
            value = {"bytes": content.hex()}
    return value


def attributes(pairs) -> dict:
    found = {}
    for pair in pairs:
        key, value = "", None
        for number, _, content in fields(pair):
            if number == 1:
                key = content.decode()
            elif number == 2:
                value = any_value(content)
        if not key or key in found:
            raise ValueError(f"attribute key {key!r} is empty or twice there")
        found[key] = value
    return found


def message(data: bytes, names: dict) -> dict:
    """Decodes by a table {number: (name, decoder, repeated)}; `names` misses unknown fields."""
    result = {name: [] for name, _, repeated in names.values() if repeated}
    for number, _, content in fields(data):
        if number not in names:
            continue
        name, decoder, repeated = names[number]
        if repeated:
            result[name].append(content if decoder is None else decoder(content))
        else:
            result[name] = content if decoder is None else decoder(content)
    for name, decoder, repeated in names.values():
        if repeated and name == "attributes":
            result[name] = attributes(result[name])
    return result


def event(data: bytes) -> dict:
    return message(data, {
        1: ("time", None, False),
        2: ("name", bytes.decode, False),
        3: ("attributes", None, True),
        4: ("dropped_attributes", None, False),
    })


def link(data: bytes) -> dict:
    return message(data, {
        1: ("trace_id", bytes.hex, False),
        2: ("span_id", bytes.hex, False),
        3: ("trace_state", bytes.decode, False),
        4: ("attributes", None, True),
        5: ("dropped_attributes", None, False),
        6: ("flags", None, False),
    })


def status(data: bytes) -> dict:
    return {"code": 0, **message(data, {2: ("message", bytes.decode, False), 3: ("code", None, False)})}


def span(data: bytes) -> dict:
    decoded = message(data, {
        1: ("trace_id", bytes.hex, False),
        2: ("span_id", bytes.hex, False),
        3: ("trace_state", bytes.decode, False),
        4: ("parent_span_id", bytes.hex, False),
        5: ("name", bytes.decode, False),
        6: ("kind", None, False),
        7: ("start", None, False),
        8: ("end", None, False),
        9: ("attributes", None, True),
        10: ("dropped_attributes", None, False),
        11: ("events", event, True),
        12: ("dropped_events", None, False),
        13: ("links", link, True),
        14: ("dropped_links", None, False),
        15: ("status", status, False),
        16: ("flags", None, False),
    })
    for name, size in (("trace_id", 32), ("span_id", 16)):
        identifier = decoded.get(name, "")
        if len(identifier) != size or not identifier.strip("0"):
            raise ValueError(f"{name} is {identifier!r}")
    if not decoded.get("parent_span_id"):
        decoded.pop("parent_span_id", None)  # an empty one is none
    decoded.setdefault("status", {"code": 0})
    return decoded


def resource(data: bytes) -> dict:
    return message(data, {1: ("attributes", None, True), 2: ("dropped_attributes", None, False)})


def scope(data: bytes) -> dict:
    return message(data, {
        1: ("name", bytes.decode, False),
        2: ("version", bytes.decode, False),
        3: ("attributes", None, True),
    })


def decode(data: bytes) -> list[dict]:
    spans = []
    for number, _, resource_spans in fields(data):
        if number != 1:
            continue
        parts = message(resource_spans, {
            1: ("resource", resource, False),
            2: ("scope_spans", None, True),
            3: ("schema_url", bytes.decode, False),
        })
        for scope_spans in parts["scope_spans"]:
            inner = message(scope_spans, {1: ("scope", scope, False), 2: ("spans", span, True)})
            for one in inner["spans"]:
                one["resource"] = parts.get("resource", {"attributes": {}})["attributes"]
                one["scope"] = inner.get("scope", {})
                spans.append(one)
    return spans


# ---- OTLP JSON, into the same dictionaries ----


def json_value(value: dict):
    if "stringValue" in value:
        return value["stringValue"]
    if "boolValue" in value:
        return value["boolValue"]
    if "intValue" in value:
        return int(value["intValue"])
    if "doubleValue" in value:
        return float(value["doubleValue"])
    if "arrayValue" in value:
        return [json_value(item) for item in value["arrayValue"].get("values", [])]
    if "kvlistValue" in value:
        return json_attributes(value["kvlistValue"].get("values", []))
    if "bytesValue" in value:
        import base64

        return {"bytes": base64.b64decode(value["bytesValue"], validate=True).hex()}
    return None


def json_attributes(pairs: list) -> dict:
    return {pair["key"]: json_value(pair.get("value", {})) for pair in pairs}


def renamed(source: dict, names: dict) -> dict:
    result = {}
    for json_name, (name, convert) in names.items():
        if json_name in source:
            result[name] = convert(source[json_name])
    return result


def decode_json(document: dict) -> list[dict]:
    """The spans of a TracesData object."""
    same = lambda value: value
    event_names = {
        "timeUnixNano": ("time", int),
        "name": ("name", same),
        "attributes": ("attributes", json_attributes),
        "droppedAttributesCount": ("dropped_attributes", int),
    }
    link_names = {
        "traceId": ("trace_id", str.lower),
        "spanId": ("span_id", str.lower),
        "traceState": ("trace_state", same),
        "attributes": ("attributes", json_attributes),
        "droppedAttributesCount": ("dropped_attributes", int),
        "flags": ("flags", int),
    }
    span_names = {
        "traceId": ("trace_id", str.lower),
        "spanId": ("span_id", str.lower),
        "traceState": ("trace_state", same),
        "parentSpanId": ("parent_span_id", str.lower),
        "name": ("name", same),
        "kind": ("kind", int),
        "startTimeUnixNano": ("start", int),
        "endTimeUnixNano": ("end", int),
        "attributes": ("attributes", json_attributes),
        "droppedAttributesCount": ("dropped_attributes", int),
        "events": ("events", lambda all: [{"attributes": {}, **renamed(one, event_names)} for one in all]),
        "droppedEventsCount": ("dropped_events", int),
        "links": ("links", lambda all: [{"attributes": {}, **renamed(one, link_names)} for one in all]),
        "droppedLinksCount": ("dropped_links", int),
        "status": ("status", lambda one: {"code": 0, **one}),
        "flags": ("flags", int),
    }
    spans = []
    for resource_spans in document.get("resourceSpans", []):
        for scope_spans in resource_spans.get("scopeSpans", []):
            for source in scope_spans.get("spans", []):
                one = {"attributes": {}, "events": [], "links": [], "status": {"code": 0}}
                one.update(renamed(source, span_names))
                pairs = resource_spans.get("resource", {}).get("attributes", [])
                one["resource"] = json_attributes(pairs)
                scope_source = scope_spans.get("scope", {})
                one["scope"] = {**scope_source}
                one["scope"]["attributes"] = json_attributes(scope_source.get("attributes", []))
                spans.append(one)
    return spans
