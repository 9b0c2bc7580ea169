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


async def consume_mixed_batches(_front, items):
    """The first thing is taken by itself, the others by a task that it waits for."""
    async def take():
        return await items.get()
    while True:
        batch = [await items.get()]
        try:
            while len(batch) < 4:
                batch.append(await asyncio.wait_for(take(), 0.005))
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


def begun(work, tell=None, keep=None):
    """Work that stands in a list, and is done by a task that the first request begins. `tell` says that there is
    some, `keep` how it is put there."""
    def begin(front):
        state = State()

        async def mode(name, number):
            mine = [Job(front, name, at) for at in range(number)]
            for job in mine:
                (keep or State.keep)(state, job)
                if not state.workers:
                    state.workers = [asyncio.create_task(work(state)) for _ in range(2)]
                if tell is not None:
                    await tell(state)
                await asyncio.sleep(0.002)
            await asyncio.gather(*(job.done for job in mine))
        return mode
    return begin


class State:
    def __init__(self):
        self.jobs, self.workers, self.waiting = [], [], []
        self.event, self.condition = asyncio.Event(), asyncio.Condition()
        self.sorted, self.last, self.count = asyncio.PriorityQueue(), asyncio.LifoQueue(), itertools.count()

    def keep(self, job):
        self.jobs.append(job)

    def sort(self, job):
        self.sorted.put_nowait((next(self.count), job))

    def pile(self, job):
        self.last.put_nowait(job)

    def resolve(self, job):
        """Whoever waits gets it, else it has to wait itself."""
        while self.waiting:
            if not (future := self.waiting.pop(0)).done():
                future.set_result(job)
                return
        self.jobs.append(job)

    async def set_event(self):
        self.event.set()

    async def notify(self):
        async with self.condition:
            self.condition.notify()


async def work_by_event(state):
    while True:
        await state.event.wait()
        state.event.clear()
        while state.jobs:
            await state.jobs.pop(0).do()


async def work_by_condition(state):
    while True:
        async with state.condition:
            await state.condition.wait_for(lambda: state.jobs)
            job = state.jobs.pop(0)
        await job.do()


async def work_by_polling(state):
    while True:
        while state.jobs:
            await state.jobs.pop(0).do()
        await asyncio.sleep(0.002)


async def work_by_futures(state):
    while True:
        if state.jobs:
            job = state.jobs.pop(0)
        else:
            state.waiting.append(future := asyncio.get_running_loop().create_future())
            job = await future
        await job.do()


async def work_sorted(state):
    while True:
        await (await state.sorted.get())[1].do()


async def work_last(state):
    while True:
        await (await state.last.get()).do()


async def work_within(state):
    """The loop is not the task's own function."""
    try:
        await work_by_event(state)
    finally:
        state.workers.clear()


async def work_by_children(state):
    """Whose own calls there are none."""
    children = set()
    while True:
        await state.event.wait()
        state.event.clear()
        while state.jobs:
            children.add(task := asyncio.create_task(state.jobs.pop(0).do()))
            task.add_done_callback(children.discard)


MODES = {
    "event": begun(work_by_event, State.set_event), "condition": begun(work_by_condition, State.notify),
    "polling": begun(work_by_polling), "futures": begun(work_by_futures, keep=State.resolve),
    "sorted": begun(work_sorted, keep=State.sort), "pile": begun(work_last, keep=State.pile),
    "within": begun(work_within, State.set_event), "childs": begun(work_by_children, State.set_event),
    "program": handed(consume), "bounded": handed(consume, size=1), "many": handed(consume, 6),
    "children": handed(consume_by_children), "timeout": handed(consume_with_timeout), "stop": handed(consume_or_stop),
    "threads": by_threads, "chain": chained, "dispatch": handed(dispatch, 1), "function": handed(consume_by_function),
    "batch": handed(consume_batches), "waiting": handed(consume_waiting_batches),
    "mixed": handed(consume_mixed_batches), "ahead": handed(consume_ahead, 1),
    "none": told(None), "text": told("wake"), "lent": lent,
}


class Queues(Front):
    def __init__(self, client):
        super().__init__(client)
        for name, begin in MODES.items():
            setattr(self, name, begin(self))


run(Queues)
