"""What spans must be there, given the truth; and which of them are not."""

import hashlib
import urllib.parse
from dataclasses import dataclass, field

from support.spans import CLIENT, Span

# The span's times are converted from another clock, whose offset is taken anew now and then.
CLOCK_SLACK_NS = 1_000_000

KNOWN_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}


@dataclass
class Expected:
    """One span that must be there: its attributes, and a moment that lies within it."""

    name: str
    kind: int
    attributes: dict  # None: must be absent
    within: tuple[int, int] = (0, 0)  # starts at or before the first, ends at or after the second
    failed: bool = False
    optional: dict = field(default_factory=dict)  # absent, or this value
    parent_id: str | None = ""  # None: any

    def differences(self, span: Span) -> list[str]:
        found = []
        for what, wanted, got in (
            ("name", self.name, span.name),
            ("kind", self.kind, span.kind),
            ("status", 2 if self.failed else 0, span.status),
        ):
            if wanted != got:
                found.append(f"{what} is {got!r}, not {wanted!r}")
        for name, wanted in self.attributes.items():
            if span.get(name) != wanted:
                found.append(f"{name} is {span.get(name)!r}, not {wanted!r}")
        for name, wanted in self.optional.items():
            if name in span.attributes and span.get(name) != wanted:
                found.append(f"{name} is {span.get(name)!r}, not {wanted!r}")
        if self.parent_id is not None and span.parent_id != self.parent_id:
            found.append(f"parent is {span.parent_id!r}, not {self.parent_id!r}")
        if self.within[0] and span.start_ns > self.within[0] + CLOCK_SLACK_NS:
            found.append(f"starts {span.start_ns - self.within[0]} ns after the peer had it")
        if self.within[1] and span.end_ns < self.within[1] - CLOCK_SLACK_NS:
            found.append(f"ends {self.within[1] - span.end_ns} ns before the peer answered")
        return found


def http_client(exchange, base: str) -> Expected:
    """The CLIENT span of an exchange that the truth server saw."""
    peer = urllib.parse.urlsplit(base)
    target = exchange.target if "://" in exchange.target else base + exchange.target
    url = urllib.parse.urlsplit(target)  # other than the peer's if the request goes through a proxy
    failed = exchange.status >= 400 or exchange.status == 0 or exchange.cut
    error = None
    if exchange.status >= 400:
        error = str(exchange.status)
    elif failed:
        error = "eof"
    known = exchange.method in KNOWN_METHODS
    return Expected(
        name=exchange.method if known else "HTTP",
        kind=CLIENT,
        attributes={
            "http.request.method": exchange.method if known else "_OTHER",
            "http.request.method_original": None if known else exchange.method,
            "url.full": target,
            "server.address": url.hostname,
            "server.port": url.port or 80,
            "network.peer.address": peer.hostname,
            "network.peer.port": peer.port,
            "network.protocol.version": exchange.version.removeprefix("HTTP/"),
            "http.response.status_code": exchange.status or None,
            "error.type": error,
            "http.request.body.size": exchange.request_body or None,
            "http.response.body.size": exchange.response_body if exchange.status else None,
        },
        within=(exchange.received_ns, exchange.answered_ns),
        failed=failed,
    )


def redis_client(command, host: str, port: int) -> Expected:
    """The CLIENT span of a command that the Redis proxy saw."""
    target = host if port == 6379 else f"{host}:{port}"
    if command.name.upper() == "EVAL":
        target = hashlib.sha1(command.arguments[0]).hexdigest()
    elif command.name.upper() in ("EVALSHA", "FCALL"):
        target = command.arguments[0].decode()
    return Expected(
        name=f"{command.name} {target}",
        kind=CLIENT,
        attributes={
            "db.system.name": "redis",
            "db.operation.name": command.name,
            "server.address": host,
            "server.port": None if port == 6379 else port,
            "network.peer.address": host,
            "network.peer.port": port,
            "db.response.status_code": command.error_prefix or None,
            "error.type": command.error_prefix or None,
        },
        # After QUIT some clients close without waiting for the answer.
        within=(command.received_ns, 0 if command.name.upper() == "QUIT" else command.answered_ns),
        failed=bool(command.error_prefix),
    )


def _unmatched(expected: list[Expected], spans: list[Span]) -> tuple[list[Expected], list[Span]]:
    """What is missing and what is too much: a greatest matching of the two, so that spans of equal
    looks cannot be paired wrongly by chance."""
    by_name: dict[str, list[int]] = {}
    for index, span in enumerate(spans):
        by_name.setdefault(span.name, []).append(index)
    fits = [
        [index for index in by_name.get(wanted.name, []) if not wanted.differences(spans[index])]
        for wanted in expected
    ]
    holder: dict[int, int] = {}

    def place(wanted: int, tried: set[int]) -> bool:
        for index in fits[wanted]:
            if index not in tried:
                tried.add(index)
                if index not in holder or place(holder[index], tried):
                    holder[index] = wanted
                    return True
        return False

    missing = [expected[wanted] for wanted in range(len(expected)) if not place(wanted, set())]
    return missing, [span for index, span in enumerate(spans) if index not in holder]


def compare(expected: list[Expected], spans: list[Span]) -> None:
    """Fails with what is missing, what is too much, and the nearest of the one to the other."""
    missing, extra = _unmatched(expected, spans)
    if not missing and not extra:
        return
    lines = [f"{len(expected)} exchanges, {len(spans)} spans; {len(missing)} missing, {len(extra)} too many"]
    for wanted in missing[:8]:
        lines.append(f"missing: {wanted.name} {wanted.attributes.get('url.full', '')}")
        nearest = sorted((wanted.differences(span) for span in extra), key=len)[:1]
        for differences in nearest:
            lines.append("    nearest: " + "; ".join(differences))
    for span in extra[:8]:
        lines.append(f"too many: {span}")
    raise AssertionError("\n".join(lines))


def websocket_client(session, base: str) -> Expected:
    """The span of a WebSocket session: a child of its handshake's."""
    url = urllib.parse.urlsplit(base)
    sent, received = 0, 1  # as the client counts; the truth server's [0] is what it received
    return Expected(
        name="websocket",
        kind=CLIENT,
        attributes={
            "url.full": base.replace("http", "ws", 1) + session.target,
            "server.address": url.hostname,
            "server.port": url.port,
            "websocket.sent.messages": session.text[sent] + session.binary[sent],
            "websocket.sent.binary_messages": session.binary[sent] or None,
            "websocket.sent.pings": session.pings[sent] or None,
            "websocket.received.messages": session.text[received] + session.binary[received],
            "websocket.received.binary_messages": session.binary[received] or None,
            "websocket.close.code": session.close_code[0] or None,
            "error.type": None,
        },
        within=(session.began_ns, session.ended_ns),
        parent_id=None,  # see check_handshakes
    )


def check_handshakes(spans: list[Span]) -> None:
    """A WebSocket session's span is a child of the exchange that was answered by 101, and only of
    it."""
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        if span.name == "websocket":
            handshake = by_id.get(span.parent_id)
            assert handshake, f"a session without its handshake: {span}"
            assert handshake.trace_id == span.trace_id
            assert handshake.get("http.response.status_code") == 101, handshake
            assert handshake.get("url.full").split("://")[1] == span.get("url.full").split("://")[1]
