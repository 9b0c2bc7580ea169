"""usage: uvicorn_front.py PORT LOOP: an ASGI application, called in a task for each request; it calls by aiohttp."""

import asyncio
import os
import sys

import aiohttp
import uvicorn

PEER = os.environ["TEST_PEER"]
client = None


async def fetch(name, number):
    async with client.get(f"{PEER}/c/{name}/{number}") as answer:
        await answer.read()


async def application(scope, receive, send):
    global client
    client = client or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3))
    _, _, name, mode, count = scope["path"].split("/")
    calls = [fetch(name, number) for number in range(int(count))]
    if mode == "gather":
        await asyncio.gather(*calls)
    else:
        for call in calls:
            await call
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), loop=sys.argv[2], http="h11", lifespan="off",
            log_level="warning")
