"""usage: streams_front.py PORT [uvloop]: asyncio's own streams, a connection for each call."""

import asyncio
import http.client
import os
import queue
import sys
import threading

HOST, PEER_PORT = os.environ["TEST_PEER"].split("//")[1].split(":")


async def call(name, number):
    reader, writer = await asyncio.open_connection(HOST, int(PEER_PORT))
    writer.write(f"GET /c/{name}/{number} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.split(b"Length: ")[1].split(b"\r\n")[0]))
    writer.close()


def blocking(name, number):
    peer = http.client.HTTPConnection(HOST, int(PEER_PORT))
    peer.request("GET", f"/c/{name}/{number}")
    assert peer.getresponse().read()
    peer.close()


async def at_once(name, number):
    """Calls before it waits for anything."""
    blocking(name, f"{number}e")
    await call(name, number)


def begin_at_once(name, number):
    """Before 3.12 it begins in its turn, as any task."""
    eager = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(at_once(name, number), loop=asyncio.get_running_loop(), **eager)


queues = {}


async def consume(items):
    while True:
        name, number, done = await items.get()
        await call(name, number)
        done.set_result(None)


def consume_in_thread(items):
    while True:
        name, number, done = items.get()
        blocking(name, number)
        done.get_loop().call_soon_threadsafe(done.set_result, None)


def hand_over(mode, name, number):
    """To a task or thread that the first request has begun."""
    if mode not in queues:
        if mode == "queue":
            queues[mode] = asyncio.Queue()
            serving.add(asyncio.create_task(consume(queues[mode])))
        else:
            queues[mode] = queue.Queue() if mode == "tqueue" else queue.SimpleQueue()
            threading.Thread(target=consume_in_thread, args=(queues[mode],), daemon=True).start()
    done = asyncio.get_running_loop().create_future()
    queues[mode].put_nowait((name, number, done))
    return done


serving = set()


async def serve(reader, writer):
    serving.add(asyncio.current_task())  # before 3.10 nobody else holds it
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, name, mode, count = head.split(b" ")[1].decode().split("/")
            if mode == "thread":
                loop = asyncio.get_running_loop()
                calls = [loop.run_in_executor(None, blocking, name, number) for number in range(int(count))]
            elif mode == "eager":
                calls = [begin_at_once(name, number) for number in range(int(count))]
            elif "queue" in mode:
                calls = [hand_over(mode, name, number) for number in range(int(count))]
            else:
                calls = [call(name, number) for number in range(int(count))]
            if mode in ("gather", "eager"):
                await asyncio.gather(*calls)
            elif mode == "later":
                tasks = [asyncio.create_task(one) for one in calls]
                while not all(task.done() for task in tasks):  # nobody waits for them
                    await asyncio.sleep(0.002)
            else:
                for one in calls:
                    await one
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except asyncio.IncompleteReadError:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if "uvloop" in sys.argv:
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
