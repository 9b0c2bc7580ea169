"""usage: websocket_python.py LIBRARY URL: one session with text, binary, ping and close."""

import asyncio
import sys

MESSAGES = ["hello", b"b" * 70000, "u" * 1000, b"b", "last"]


def run_sync(url):
    from websockets.sync.client import connect

    with connect(url, compression=None, proxy=None) as session:
        for message in MESSAGES:
            session.send(message)
            print(len(session.recv()))
        session.ping().wait(10)
        session.close(1000, "done")


async def run_async(url):
    from websockets.asyncio.client import connect

    async with connect(url, compression=None, proxy=None, ping_interval=None) as session:
        for message in MESSAGES:
            await session.send(message)
            print(len(await session.recv()))
        await (await session.ping())
        await session.close(1000, "done")


async def run_aiohttp(url):
    import aiohttp

    async with aiohttp.ClientSession() as client:
        async with client.ws_connect(url.replace("ws", "http", 1)) as session:
            for message in MESSAGES:
                if isinstance(message, str):
                    await session.send_str(message)
                else:
                    await session.send_bytes(message)
                print(len((await session.receive()).data))
            await session.ping()
            await session.close()


def main():
    library, url = sys.argv[1:]
    if library == "sync":
        run_sync(url)
    elif library == "aiohttp":
        asyncio.run(run_aiohttp(url))
    else:
        if library == "uvloop":
            import uvloop

            uvloop.install()
        asyncio.run(run_async(url))


main()
