"""usage: asyncio_front.py PORT [uvloop] [heartbeat MS] [thread]: aiohttp, and redis over asyncio.

With `heartbeat` a task of the program's own, which no request caused, makes calls named bgN over the
connections that requests use; with `thread` a thread of its own does.
"""

import asyncio
import http.client
import itertools
import os
import sys
import threading
import time

import aiohttp
import aiohttp.web
import redis.asyncio

PEER = os.environ["TEST_PEER"]


class Front:
    def __init__(self, client):
        self.client = client
        self.store = redis.asyncio.Redis(host="127.0.0.1", port=int(os.environ["TEST_REDIS"]))
        self.refreshing = None
        self.left = set()
        self.jobs = None
        self.workers = []

    async def call(self, name, number):
        await self.store.get(f"id:{name}:{number}")
        await self.fetch(name, number)

    async def fetch(self, name, number):
        async with self.client.get(f"{PEER}/c/{name}/{number}") as answer:
            await answer.read()

    async def seq(self, name, count):
        for number in range(count):
            await self.call(name, number)

    async def gather(self, name, count):
        await asyncio.gather(*(self.call(name, number) for number in range(count)))

    async def nested(self, name, count):
        async def inner(number):
            await asyncio.create_task(self.call(name, number))
        for number in range(count):
            await asyncio.create_task(inner(number))

    async def sleep(self, name, count):
        for number in range(count):
            await asyncio.sleep(0.003 * (number + 1))
            await self.call(name, number)

    async def cancel(self, name, count):
        for number in range(count):
            task = asyncio.create_task(self.call(name, f"{number}c"))
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            try:
                await asyncio.wait_for(self.fetch(name, f"{number}t"), 0.004)
            except asyncio.TimeoutError:
                pass
            await self.call(name, number)

    async def thread(self, name, count):
        def blocking(number):
            peer = http.client.HTTPConnection(PEER.split("//")[1])
            peer.request("GET", f"/c/{name}/{number}")
            peer.getresponse().read()
            peer.close()
        await asyncio.gather(*(asyncio.to_thread(blocking, number) for number in range(count)))

    async def refresh(self, name, count):
        """Whoever needs a token waits for the one call that is under way for it."""
        if self.refreshing is None:
            self.refreshing = asyncio.create_task(self.fetch(name, "token"))
            self.refreshing.add_done_callback(lambda _: setattr(self, "refreshing", None))
        await self.refreshing
        await self.seq(name, count)

    async def forget(self, name, count):
        """What is begun and not waited for goes on after the answer."""
        for number in range(count):
            self.left.add(task := asyncio.create_task(self.sleep(name, 1)))
            task.add_done_callback(self.left.discard)
            await self.fetch(name, number)

    async def queue(self, name, count):
        """Two tasks that the first request has begun do what all requests put in their queue."""
        if self.jobs is None:
            self.jobs = asyncio.Queue()
            self.workers = [asyncio.create_task(self.work()) for _ in range(2)]
        done = [asyncio.get_running_loop().create_future() for _ in range(count)]
        for number in range(count):
            self.jobs.put_nowait((name, number, done[number]))
            await asyncio.sleep(0.005)
        await asyncio.gather(*done)

    async def work(self):
        while True:
            name, number, done = await self.jobs.get()
            await self.call(name, number)
            done.set_result(None)

    async def heartbeat(self, seconds):
        number = 0
        while True:
            await asyncio.sleep(seconds)
            await self.call(f"bg{number}", 0)
            number += 1

    async def handle(self, request):
        _, _, name, mode, count = request.path.split("/")
        await getattr(self, mode)(name, int(count))
        return aiohttp.web.Response(text=name)


def beat():
    peer = http.client.HTTPConnection(PEER.split("//")[1])
    for number in itertools.count():
        peer.request("GET", f"/c/bg{number}/0")
        peer.getresponse().read()
        time.sleep(0.002)


async def serve(kind=Front):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3)) as client:
        front = kind(client)
        application = aiohttp.web.Application()
        application.router.add_get("/{path:.*}", front.handle)
        runner = aiohttp.web.AppRunner(application)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
        if "heartbeat" in sys.argv:
            await front.heartbeat(int(sys.argv[sys.argv.index("heartbeat") + 1]) / 1000)
        if "thread" in sys.argv:
            threading.Thread(target=beat, daemon=True).start()
        await asyncio.Event().wait()


def run(kind=Front):
    if "uvloop" in sys.argv:
        import uvloop
        uvloop.run(serve(kind))
    else:
        asyncio.run(serve(kind))


if __name__ == "__main__":
    run()
