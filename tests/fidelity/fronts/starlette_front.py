"""usage: starlette_front.py PORT SERVER [OPTION...]: an application of Starlette's, which calls by aiohttp out of
groups of tasks. SERVER: hypercorn, or what uvicorn calls its loop and its parser, as uvloop+httptools."""

import asyncio
import itertools
import os
import sys

import aiohttp
import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

PEER = os.environ["TEST_PEER"]


class State:
    client = group = sender = host = None
    left = set()


async def fetch(name, number):
    State.client = State.client or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3))
    async with State.client.get(f"{PEER}/c/{name}/{number}") as answer:
        await answer.read()


async def retry(name, number):
    """Nothing but who waits for it shows that it is no worker."""
    while True:
        await fetch(name, number)
        if await asyncio.sleep(0, True):
            break


async def seq(name, count):
    for number in range(count):
        await fetch(name, number)


async def group(name, count):
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(retry, name, number)


async def nested(name, count):
    async def inner(number):
        with anyio.move_on_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(retry, name, number)
                await anyio.sleep(0.002)
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(inner, number)


async def started(name, count):
    async def start(number, task_status):
        await retry(name, f"{number}s")
        task_status.started()
        await retry(name, number)
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            await tasks.start(start, number)


async def builtin(name, count):
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(retry(name, number))


async def forget(name, count):
    """What is begun and not waited for, but by looking."""
    for number in range(count):
        State.left.add(task := asyncio.create_task(fetch(name, number)))
        task.add_done_callback(State.left.discard)
        while not task.done():
            await asyncio.sleep(0.002)


async def worker(name, count):
    """The program's own group has a worker for all, which the first request starts."""
    if State.sender is None:
        State.sender, receiver = anyio.create_memory_object_stream(100)

        async def work():
            async for job, number, done in receiver:
                await fetch(job, number)
                done.set()
        State.group.start_soon(work)
    events = [anyio.Event() for _ in range(count)]
    for number, done in enumerate(events):
        await State.sender.send((name, number, done))
    for done in events:
        await done.wait()


async def hosted(name, count):
    """Requests begin their tasks in a group that another one has opened, and waits for."""
    if State.host is None:
        async with anyio.create_task_group() as State.host:
            await anyio.sleep(0.05)
            tasks, State.host = State.host, None
            tasks.start_soon(retry, name, 0)
        return
    left = set(range(count))

    async def one(number):
        await retry(name, number)
        left.remove(number)
    for number in range(count):
        State.host.start_soon(one, number)
    while left:
        await anyio.sleep(0.002)


MODES = {"seq": seq, "group": group, "nested": nested, "started": started, "builtin": builtin, "forget": forget,
         "worker": worker, "hosted": hosted}


async def serve(request):
    name, mode, count = (request.path_params[part] for part in ("name", "mode", "count"))
    if mode == "stream":
        async def body():
            for number in range(count):
                await fetch(name, number)
                yield f"{number}\n"
        return StreamingResponse(body())
    await MODES[mode](name, count)
    return PlainTextResponse("ok")


async def pass_on(request, following):
    return await following(request)


class Lifespan:
    def __init__(self, _application):
        self.groups = anyio.create_task_group()

    async def __aenter__(self):
        State.group = await self.groups.__aenter__()
        if "beat" in sys.argv:
            State.group.start_soon(self.beat)

    async def __aexit__(self, *what):
        State.group.cancel_scope.cancel()
        await self.groups.__aexit__(*what)

    async def beat(self):
        for number in itertools.count():
            await fetch(f"bg{number}", 0)
            await anyio.sleep(0.003)


def main():
    application = Starlette(
        routes=[Route("/w/{name}/{mode}/{count:int}", serve)], lifespan=Lifespan,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)] if "middleware" in sys.argv else [])
    port, server = int(sys.argv[1]), sys.argv[2]
    if server == "hypercorn":
        from hypercorn.asyncio import serve as run
        from hypercorn.config import Config
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        asyncio.run(run(application, config))
    else:
        import uvicorn
        loop, http = server.split("+")
        uvicorn.run(application, host="127.0.0.1", port=port, loop=loop, http=http, log_level="warning")


main()
