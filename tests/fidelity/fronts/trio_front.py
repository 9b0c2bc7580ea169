"""usage: trio_front.py PORT: a server by trio that calls out of threads of trio's."""

import sys

import trio
from calls import call


def in_sequence(name, count):
    for number in range(count):
        call(name, number)


async def serve(stream):
    rest = b""
    while True:
        while b"\r\n\r\n" not in rest:
            received = await stream.receive_some(65536)
            if not received:
                return
            rest += received
        head, _, rest = rest.partition(b"\r\n\r\n")
        _, _, name, _, count = head.split(b" ")[1].decode().split("/")
        await trio.to_thread.run_sync(in_sequence, name, int(count))
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


trio.run(trio.serve_tcp, serve, int(sys.argv[1]))
