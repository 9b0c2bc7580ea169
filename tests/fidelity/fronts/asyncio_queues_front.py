"""usage: asyncio_queues_front.py PORT [uvloop]: asyncio_front with more ways of handing work over by queues,
and with what looks like it. Workers are the program's own, but for those of `lazy` and `lists`."""

import asyncio
import itertools
import queue
import threading

import requests
from asyncio_front import PEER, Front, run


class Job:
    def __init__(self, front, name, number):
        self.front, self.name, self.number = front, name, number
        self.done = asyncio.get_running_loop().create_future()

    async def do(self):
        await self.front.call(self.name, self.number)
        self.done.set_result(None)


def handed(work, count=2, size=0):
    """A mode by a queue, which `work` consumes from the program's start on."""
    def begin(front):
        items = asyncio.Queue(size)
        tasks = [asyncio.create_task(work(front, items)) for _ in range(count)]

        async def mode(name, number):
            front.left.update(tasks)
            jobs = [Job(front, name, at) for at in range(number)]
            for job in jobs:
                await items.put(job)
            await asyncio.gather(*(job.done for job in jobs))
        return mode
    return begin


async def consume(_front, items):
    while True:
        await (await items.get()).do()


async def consume_by_children(_front, items):
    """Who works has children of its own, which it waits for."""
    while True:
        job = await items.get()
        await asyncio.gather(job.front.store.get(f"id:{job.name}:{job.number}"), job.do())


async def consume_with_timeout(_front, items):
    while True:
        try:
            job = await asyncio.wait_for(items.get(), 0.05)
        except asyncio.TimeoutError:
            continue
        await job.do()


async def consume_or_stop(_front, items):
    """By a task that does nothing but take."""
    stop = asyncio.create_task(asyncio.Event().wait())
    while True:
        taking = asyncio.create_task(items.get())
        await asyncio.wait({stop, taking}, return_when=asyncio.FIRST_COMPLETED)
        await taking.result().do()


async def dispatch(front, items):
    """Each thing has a task of its own."""
    while True:
        job = await items.get()
        task = asyncio.create_task(job.do())
        front.left.add(task)
        task.add_done_callback(front.left.discard)


async def consume_batches(_front, items):
    while True:
        batch = [await items.get()]
        await asyncio.sleep(0.005)
        while not items.empty():
            batch.append(items.get_nowait())
        for job in reversed(batch):
            await job.do()


async def consume_waiting_batches(_front, items):
    while True:
        batch = [await items.get()]
        try:
            while len(batch) < 4:
                batch.append(await asyncio.wait_for(items.get(), 0.005))
        except asyncio.TimeoutError:
            pass
        for job in reversed(batch):
            await job.do()


async def consume_ahead(_front, items):
    job = await items.get()
    while True:
        following = None
        if not items.empty():
            following = await items.get()
        await job.do()
        job = following if following is not None else await items.get()


async def consume_by_function(_front, items):
    """Who takes is a task that somebody else waits for, who does the work."""
    async def take():
        return await items.get()
    while True:
        job = await asyncio.create_task(take())
        await job.do()


def chained(front):
    following = asyncio.Queue()

    async def pass_on(front, items):
        while True:
            job = await items.get()
            await front.call(job.name, f"{job.number}p")
            following.put_nowait(job)

    front.left.update(asyncio.create_task(consume(front, following)) for _ in range(2))
    return handed(pass_on)(front)


def told(token):
    """Things in the queue only say that there is something in a list."""
    def begin(front):
        items, jobs = asyncio.Queue(), []

        async def work():
            while True:
                await items.get()
                if jobs:
                    await jobs.pop().do()

        front.left.update(asyncio.create_task(work()) for _ in range(2))

        async def mode(name, number):
            mine = [Job(front, name, at) for at in range(number)]
            for job in mine:
                jobs.append(job)
                await asyncio.sleep(0.002)
                items.put_nowait(token)
            await asyncio.gather(*(job.done for job in mine))
        return mode
    return begin


def lent(front):
    """A queue of what requests and a task of the program's own take, use and put back."""
    things = asyncio.Queue()
    for _ in range(2):
        things.put_nowait(threading.Event())

    async def use(name, number):
        thing = await things.get()
        await front.call(name, number)
        things.put_nowait(thing)

    async def beat():
        for number in itertools.count():
            await use(f"bg{number}", 0)
            await asyncio.sleep(0.003)

    front.left.add(asyncio.create_task(beat()))

    async def mode(name, number):
        await asyncio.gather(*(use(name, at) for at in range(number)))
    return mode


def by_threads(front):
    """Threads do what tasks put into their queue."""
    items = queue.Queue()

    def work():
        while True:
            job = items.get()
            assert requests.get(f"{PEER}/c/{job.name}/{job.number}", timeout=20).status_code == 200
            job.done.get_loop().call_soon_threadsafe(job.done.set_result, None)

    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()

    async def mode(name, number):
        jobs = [Job(front, name, at) for at in range(number)]
        for job in jobs:
            items.put(job)
        await asyncio.gather(*(job.done for job in jobs))
    return mode


MODES = {
    "program": handed(consume), "bounded": handed(consume, size=1), "many": handed(consume, 6),
    "children": handed(consume_by_children), "timeout": handed(consume_with_timeout), "stop": handed(consume_or_stop),
    "threads": by_threads, "chain": chained, "dispatch": handed(dispatch, 1), "function": handed(consume_by_function),
    "batch": handed(consume_batches), "waiting": handed(consume_waiting_batches), "ahead": handed(consume_ahead, 1),
    "none": told(None), "text": told("wake"), "lent": lent,
}


class Queues(Front):
    def __init__(self, client):
        super().__init__(client)
        for name, begin in MODES.items():
            setattr(self, name, begin(self))


run(Queues)
