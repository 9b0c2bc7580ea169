"""Batches of spans in OTLP JSON, with every kind of value that the format has."""
import json
import random

SECOND = 1_000_000_000


def _value(value) -> dict:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, dict) and set(value) == {"base64"}:
        return {"bytesValue": value["base64"]}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _pairs(value)}}
    return {}


def _pairs(attributes: dict) -> list:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def batch(count: int, seed: int = 1) -> dict:
    """A TracesData object of `count` spans, the same for the same seed."""
    source = random.Random(seed)
    trace = f"{source.getrandbits(128) | 1:032x}"
    parent = ""
    spans = []
    for index in range(count):
        start = 1_700_000_000 * SECOND + source.randrange(SECOND)
        span = {
            "traceId": trace,
            "spanId": f"{source.getrandbits(64) | 1:016x}",
            "name": ["GET /jobs/{id}", "HGETALL 127.0.0.1:6379", "größe 量 🚀", "job.process"][index % 4],
            "kind": 1 + index % 5,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + source.randrange(5 * SECOND)),
            "flags": 0x101 if index else 0x100,
            "attributes": _pairs({
                "text": f"value {index}",
                "empty": "",
                "yes": True,
                "no": False,
                "zero": 0,
                "negative": -index - 1,
                "large": (1 << 63) - 1,
                "small": -(1 << 63),
                "ratio": index / 7,
                "list": ["a", "", "ü"],
                "map": {"inner": [1, 2.5, {"deep": "er"}]},
                "bytes": {"base64": ["", "AA==", "AAE=", "AAEC", "//79/A=="][index % 5]},
            }),
            "status": [{}, {"code": 1}, {"code": 2, "message": "it broke: 50 %"}][index % 3],
        }
        if parent:
            span["parentSpanId"] = parent
            span["traceState"] = "ot=th:c"
        if index % 2:
            span["events"] = [{
                "timeUnixNano": str(start + 5),
                "name": "exception",
                "attributes": _pairs({"exception.type": "E", "n": index}),
            }]
            span["links"] = [{"traceId": trace, "spanId": parent, "attributes": _pairs({"link": True})}]
            span["droppedAttributesCount"] = index
        parent = span["spanId"]
        spans.append(span)
    return {
        "resourceSpans": [{
            "resource": {"attributes": _pairs({"service.name": "tester", "process.pid": 42})},
            "scopeSpans": [{"scope": {"name": "wirespan", "version": "9"}, "spans": spans}],
            "schemaUrl": "https://opentelemetry.io/schemas/1.44.0",
        }],
    }


def line(document: dict) -> str:
    return json.dumps(document, ensure_ascii=False) + "\n"
