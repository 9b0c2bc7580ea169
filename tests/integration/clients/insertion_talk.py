"""What insertion.py and insertion_tls.py say, whatever carries it: a connection has `send`, `receive` and `end`, after
which the peer says no more."""

BODY = b"GET /not-a-head HTTP/1.1\r\n\r\n"
HEAD = b"POST /path HTTP/1.1\r\nHost: in.test\r\nContent-Length: %d\r\n\r\n" % len(BODY)
REQUEST = HEAD + BODY
_LARGE = bytes(range(256)) * 4096
LARGE = b"PUT /large HTTP/1.1\r\nHost: in.test\r\nContent-Length: %d\r\n\r\n" % len(_LARGE) + _LARGE


def receive(to, until=b"!", count=1):
    """Answers that end so: the hash of a body, or a head."""
    got = b""
    while got.count(until) < count or not got.endswith(until):
        more = to.receive()
        assert more, got
        got += more
    return got


def conversations(connect):
    with connect() as to:  # several in one call, then one alone
        print(to.send(REQUEST * 3))
        print(receive(to, count=3))
        print(to.send(REQUEST))
        print(receive(to))
    with connect() as to:
        head = HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        print(to.send(head), receive(to, b"\r\n\r\n"), to.send(BODY), receive(to))
    with connect() as to:
        print(to.send(b"GET /ws HTTP/1.1\r\nHost: in.test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"))
        print(receive(to, b"\r\n\r\n"), to.send(REQUEST), to.send(REQUEST))
        to.end()
    with connect() as to:
        print(to.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)), to.send(REQUEST))
        to.end()
    with connect() as to:
        print(to.send(b"CONNECT in.test:80 HTTP/1.1\r\nHost: in.test:80\r\n\r\n"), receive(to, b"\r\n\r\n"))
        print(to.send(REQUEST), receive(to), to.send(REQUEST), receive(to))
    own = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for field in (b"traceparent: " + own, b"TRACEPARENT:" + own, b"tRaCePaReNt : x", b"traceparent:", b"Tracestate: a=b",
                  b"x: 1\r\nTraceParent: \t" + own):
        for head in (HEAD.replace(b"Host", field + b"\r\nHost"), HEAD.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")):
            with connect() as to:
                print(to.send(head + BODY))
                to.end()
    with connect() as to:  # in pieces
        for byte in REQUEST:
            print(to.send(bytes([byte])), end=" ")
        print(receive(to))
    with connect() as to:  # no HTTP after all
        print(to.send(b"GET "), to.send(b"\0\1\2\3"))
        to.end()
    with connect() as to:
        print(to.send(b"POST /x HTTP/1.1\nHost: in.test\n\n"))
        to.end()
