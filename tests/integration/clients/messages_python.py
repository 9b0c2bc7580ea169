"""usage: messages_python.py LIBRARY serve URL | LIBRARY work URL WEBSOCKET | drive WEBSOCKET CONNECTIONS COUNT CODING
       messages_python.py echo

Works for messages that come by a WebSocket: two calls of URL, one after the other, for each. `serve` is told them by
clients, such as `drive`, and says its port; `work` by a server that says what it is told. A message is answered when
the work is done, and what it carries is the context of whoever sent it; each third one carries none. In a `burst`
three are sent before the first answer is awaited. `echo` says its port and what it is told, in compressed messages.
"""

import asyncio
import http.client
import json
import sys
import threading


def message(name):
    number = int(name.rpartition("n")[2])
    document = {"type": "job", "id": name}
    if number % 3 != 2:
        document["trace_context"] = {"trace_id": f"{number + 1:032x}", "span_id": f"{number + 1:016x}"}
    return json.dumps(document if number % 2 else {"type": "job", "job": document})


def name_of(text):
    document = json.loads(text)
    return document.get("job", document)["id"]


def call(url, name, number):
    connection = http.client.HTTPConnection(url.split("//")[1])
    connection.request("GET", f"/slow?id={name}-{number}")
    connection.getresponse().read()
    connection.close()


async def ask(url, name, number):
    reader, writer = await asyncio.open_connection(*url.split("//")[1].split(":"))
    writer.write(f"GET /slow?id={name}-{number} HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def asyncio_session(session, url):
    async for text in session:
        name = name_of(text)
        for number in range(2):
            await ask(url, name, number)
        await session.send(f"done {name}")


async def asyncio_serve(url):
    from websockets.asyncio.server import serve
    async with serve(lambda session: asyncio_session(session, url), "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def asyncio_work(url, websocket):
    from websockets.asyncio.client import connect
    async with connect(websocket, compression=None, proxy=None) as session:
        for count in range(9):
            await session.send(message(f"wn{count}"))
            name = name_of(await session.recv())
            for number in range(2):
                await ask(url, name, number)


def sync_session(session, url):
    for text in session:
        name = name_of(text)
        for number in range(2):
            call(url, name, number)
        session.send(f"done {name}")


def sync_serve(url):
    from websockets.sync.server import serve
    with serve(lambda session: sync_session(session, url), "127.0.0.1", 0) as server:
        print(server.socket.getsockname()[1], flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
        server.serve_forever()


def echo():
    from websockets.sync.server import serve
    with serve(lambda session: [session.send(text) for text in session], "127.0.0.1", 0) as server:
        print(server.socket.getsockname()[1], flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
        server.serve_forever()


def drive(websocket, connections, count, coding):
    from websockets.sync.client import connect

    def talk(first):
        at_once = connections * (3 if coding == "burst" else 1)
        with connect(websocket, compression=None if coding == "plain" else "deflate", proxy=None) as session:
            for begin in range(first, count, at_once):
                names = [f"c{connections}n{number}" for number in range(begin, min(begin + at_once, count), connections)]
                for name in names:
                    session.send(message(name))
                assert sorted(session.recv() for _ in names) == sorted(f"done {name}" for name in names)

    threads = [threading.Thread(target=talk, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    library, role, *rest = [*sys.argv[1:], ""]
    if library == "echo":
        echo()
    elif library == "drive":
        drive(role, int(rest[0]), int(rest[1]), rest[2])
    elif library == "sync":
        sync_serve(rest[0])
    else:
        if library == "uvloop":
            import uvloop
            uvloop.install()
        asyncio.run(asyncio_serve(rest[0]) if role == "serve" else asyncio_work(rest[0], rest[1]))


main()
