"""Encodes a TracesData object in OTLP JSON as protobuf, without any library.

encode(document) -> bytes. Only what batches.py and the cases of tests/golden/view use.
"""
import base64
import struct


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def text(number: int, value: str) -> bytes:
    return sized(number, value.encode()) if value else b""


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def fixed64(field: int, value) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<Q", int(value or 0))


def fixed32(field: int, value: int) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<I", value) if value else b""


def any_value(value: dict) -> bytes:
    for kind, content in value.items():
        if kind == "stringValue":
            return sized(1, content.encode())
        if kind == "boolValue":
            return b"\x10" + varint(int(content))
        if kind == "intValue":
            return b"\x18" + varint(int(content))
        if kind == "doubleValue":
            return b"\x21" + struct.pack("<d", content)
        if kind == "arrayValue":
            return sized(5, b"".join(sized(1, any_value(item)) for item in content["values"]))
        if kind == "kvlistValue":
            return sized(6, attributes(1, content["values"]))
        if kind == "bytesValue":
            return sized(7, base64.b64decode(content))
    return b""


def attributes(field: int, pairs: list) -> bytes:
    return b"".join(sized(field, text(1, pair["key"]) + sized(2, any_value(pair["value"]))) for pair in pairs or [])


def event(value: dict) -> bytes:
    return fixed64(1, value["timeUnixNano"]) + text(2, value["name"]) + attributes(3, value.get("attributes"))


def link(value: dict) -> bytes:
    return (sized(1, bytes.fromhex(value["traceId"])) + sized(2, bytes.fromhex(value["spanId"]))
            + text(3, value.get("traceState", "")) + attributes(4, value.get("attributes")))


def span(value: dict) -> bytes:
    parent = value.get("parentSpanId", "")
    status = value.get("status", {})
    return b"".join([
        sized(1, bytes.fromhex(value["traceId"])), sized(2, bytes.fromhex(value["spanId"])),
        text(3, value.get("traceState", "")), sized(4, bytes.fromhex(parent)) if parent else b"",
        text(5, value["name"]), number(6, value.get("kind", 0)),
        fixed64(7, value["startTimeUnixNano"]), fixed64(8, value["endTimeUnixNano"]),
        attributes(9, value.get("attributes")), number(10, value.get("droppedAttributesCount", 0)),
        b"".join(sized(11, event(item)) for item in value.get("events", [])),
        b"".join(sized(13, link(item)) for item in value.get("links", [])),
        sized(15, text(2, status.get("message", "")) + number(3, status.get("code", 0))) if status else b"",
        fixed32(16, value.get("flags", 0)),
    ])


def scope_spans(value: dict) -> bytes:
    scope = value.get("scope", {})
    return (sized(1, text(1, scope.get("name", "")) + text(2, scope.get("version", "")))
            + b"".join(sized(2, span(item)) for item in value["spans"]))


def encode(document: dict) -> bytes:
    return b"".join(
        sized(1, sized(1, attributes(1, item.get("resource", {}).get("attributes")))
              + b"".join(sized(2, scope_spans(scope)) for scope in item["scopeSpans"])
              + text(3, item.get("schemaUrl", "")))
        for item in document["resourceSpans"])
