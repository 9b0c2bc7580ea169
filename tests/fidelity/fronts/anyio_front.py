"""usage: anyio_front.py PORT SERVER: an application of Starlette's whose views, and parts of them, run in threads.
SERVER: hypercorn, or what uvicorn calls its loop and its parser, as uvloop+httptools."""

import sys
import threading

import anyio.to_thread
from asgiref.sync import sync_to_async
from calls import call
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route


def in_sequence(name, count):
    for number in range(count):
        call(name, number)


def view(request):
    """Starlette calls it in a thread."""
    in_sequence(request.path_params["name"], request.path_params["count"])
    return PlainTextResponse("ok")


async def in_pool(name, count):
    for number in range(count):
        await run_in_threadpool(call, name, number)


async def at_once(name, count):
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(anyio.to_thread.run_sync, call, name, number)


async def given_up(name, count):
    for number in range(count):
        await anyio.to_thread.run_sync(call, name, number, abandon_on_cancel=True)


async def by_asgiref(name, count):
    await sync_to_async(in_sequence)(name, count)


async def starting(name, count):
    """A thread of the pool's starts one of its own."""
    def start():
        threads = [threading.Thread(target=call, args=(name, number)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    await run_in_threadpool(start)


MODES = {"pool": in_pool, "once": at_once, "given_up": given_up, "asgiref": by_asgiref, "starting": starting}


async def work(request):
    parts = request.path_params
    await MODES[parts["mode"]](parts["name"], parts["count"])
    return PlainTextResponse("ok")


def stream(request):
    """The answer's parts are made in threads, each in any."""
    def parts():
        for number in range(request.path_params["count"]):
            call(request.path_params["name"], number)
            yield b"ok"
    return StreamingResponse(parts())


def background(request):
    """What is done after the answer is nobody's."""
    parts = request.path_params
    return PlainTextResponse("ok", background=BackgroundTask(in_sequence, parts["name"], parts["count"]))


application = Starlette(routes=[
    Route("/w/{name}/view/{count:int}", view), Route("/w/{name}/stream/{count:int}", stream),
    Route("/w/{name}/after/{count:int}", background), Route("/w/{name}/{mode}/{count:int}", work)])


def main():
    port, server = int(sys.argv[1]), sys.argv[2]
    if server == "hypercorn":
        import asyncio

        from hypercorn.asyncio import serve
        from hypercorn.config import Config
        asyncio.run(serve(application, Config.from_mapping(bind=[f"127.0.0.1:{port}"], loglevel="ERROR")))
    else:
        import uvicorn
        loop, parser = server.split("+")
        uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning", loop=loop, http=parser)


if __name__ == "__main__":
    main()
