"""A Flask application for gunicorn: GET /w/ID/MODE/COUNT makes COUNT calls for ID, as MODE says."""

import asyncio
import concurrent.futures.thread
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import flask
import redis
import requests

PEER = os.environ["TEST_PEER"]
application = flask.Flask(__name__)
store = redis.Redis(port=int(os.environ["TEST_REDIS"]))
_queue = None


def call(name, number):
    store.get(f"id:{name}:{number}")
    assert requests.get(f"{PEER}/c/{name}/{number}", timeout=20).status_code == 200


def in_sequence(name, count):
    for number in range(count):
        call(name, number)


def in_pool(name, count):
    """A pool of threads that lives as long as the request."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: call(name, number), range(count)))


def in_shared_pool(name, count):
    """A pool of threads that serves all requests."""
    list(_shared.map(lambda number: call(name, number), range(count)))


_shared = ThreadPoolExecutor(3)


def by_queue(name, count):
    """A worker (a greenlet under gevent, else a thread) does what all requests put in its queue."""
    import queue
    global _queue
    if _queue is None:
        _queue = queue.Queue()

        def work():
            while True:
                of, number, done = _queue.get()
                call(of, number)
                done.set()

        for _ in range(2):
            threading.Thread(target=work, daemon=True).start()
    waiting = []
    for number in range(count):
        done = threading.Event()
        _queue.put((name, number, done))
        waiting.append(done)
    for done in waiting:
        done.wait()


async def ask(name, number):
    host, port = PEER.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /c/{name}/{number} HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def in_loop(name, count):
    """A loop that lives for a part of the request, and calls without one after it."""
    async def all_of_it():
        await asyncio.gather(*(ask(name, number) for number in range(1, count)))
        await asyncio.sleep(0.002)
        await ask(name, count)

    call(name, 0)
    asyncio.run(all_of_it())
    call(name, count + 1)


class Loop:
    """One request's, in which others ask for calls as long as it stands in the list."""

    all_of_them: list["Loop"] = []
    lock = threading.Lock()

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.asked = 0

    async def ask(self, name, number):
        try:
            await ask(name, number)
        finally:
            with Loop.lock:
                self.asked -= 1


def in_others_loop(name, count):
    """Calls that another request's loop makes, where there is one."""
    async def all_of_it():
        mine = Loop()
        for number in range(count):
            with Loop.lock:
                other = Loop.all_of_them[-1] if Loop.all_of_them else mine
                if mine not in Loop.all_of_them:
                    Loop.all_of_them.append(mine)
                other.asked += 1
                future = asyncio.run_coroutine_threadsafe(other.ask(name, number), other.loop)
            await asyncio.wrap_future(future)
        with Loop.lock:
            Loop.all_of_them.remove(mine)
        while mine.asked > 0:
            await asyncio.sleep(0.001)

    asyncio.run(all_of_it())


_consumed = None


def by_consumer(name, count):
    """A pool's thread, to which the first request has handed the work of all, takes it from two queues."""
    import queue
    import threading
    global _consumed
    if _consumed is None:
        _consumed = queue.Queue(), queue.SimpleQueue()

        def consume(items):
            while not concurrent.futures.thread._shutdown:  # else the end would wait for it
                try:
                    of, number, done = items.get(timeout=0.2)
                except queue.Empty:
                    continue
                call(of, number)
                done.set()

        for items in _consumed:
            _consumers.submit(consume, items)
    waiting = []
    for number in range(count):
        done = threading.Event()
        _consumed[number % 2].put((name, number, done))
        waiting.append(done)
    for done in waiting:
        done.wait()


_consumers = ThreadPoolExecutor(2)
MODES = {"seq": in_sequence, "pool": in_pool, "shared": in_shared_pool, "queue": by_queue,
         "consumer": by_consumer, "loop": in_loop, "others": in_others_loop}


@application.get("/w/<name>/<mode>/<int:count>")
def work(name, mode, count):
    MODES[mode](name, count)
    return name
