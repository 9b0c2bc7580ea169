"""usage: tornado_front.py PORT [beat]: tornado's server, which calls by its own client, three at a time for all. With
`beat` the program calls on its own by the same client."""

import asyncio
import itertools
import os
import sys

import tornado.httpclient
import tornado.ioloop
import tornado.web

PEER = os.environ["TEST_PEER"]


class State:
    refreshing = None
    jobs, event, workers, left = [], asyncio.Event(), [], set()


def fetch(name, number):
    return tornado.httpclient.AsyncHTTPClient(max_clients=3).fetch(f"{PEER}/c/{name}/{number}")


async def seq(name, count):
    for number in range(count):
        await fetch(name, number)


async def gather(name, count):
    await asyncio.gather(*(fetch(name, number) for number in range(count)))


async def multi(name, count):
    await tornado.gen.multi([fetch(name, number) for number in range(count)])


async def retry(name, count):
    number = 0
    while number < count:
        await fetch(name, number)
        number += 1


async def later(name, count):
    """Nobody waits for them while they are sent, or wait for their turn."""
    answers = [fetch(name, number) for number in range(count)]
    await asyncio.sleep(0.02)
    for answer in answers:
        await answer


async def refresh(name, count):
    """Whoever needs a token waits for the one call that is under way for it."""
    if State.refreshing is None:
        State.refreshing = asyncio.ensure_future(fetch(name, "token"))
        State.refreshing.add_done_callback(lambda _: setattr(State, "refreshing", None))
    await State.refreshing
    await seq(name, count)


async def work():
    while True:
        await State.event.wait()
        State.event.clear()
        while State.jobs:
            name, number, done = State.jobs.pop(0)
            await fetch(name, number)
            done.set_result(None)


async def worker(name, count):
    """The first request begins who serves all."""
    if not State.workers:
        State.workers = [asyncio.create_task(work()) for _ in range(2)]
    done = [asyncio.get_running_loop().create_future() for _ in range(count)]
    for number in range(count):
        State.jobs.append((name, number, done[number]))
        State.event.set()
        await asyncio.sleep(0.002)
    await asyncio.gather(*done)


async def callback(name, count):
    """What the loop calls later, a task of its own each."""
    for number in range(count):
        done = asyncio.get_running_loop().create_future()

        async def one(number=number, done=done):
            await fetch(name, number)
            done.set_result(None)
        tornado.ioloop.IOLoop.current().spawn_callback(one)
        await done


MODES = {"seq": seq, "gather": gather, "multi": multi, "retry": retry, "later": later, "refresh": refresh,
         "worker": worker, "callback": callback}


class Handler(tornado.web.RequestHandler):
    async def get(self, name, mode, count):
        await MODES[mode](name, int(count))
        self.write("ok")


async def main():
    application = tornado.web.Application([(r"/w/([^/]+)/([^/]+)/(\d+)", Handler)])
    application.listen(int(sys.argv[1]), "127.0.0.1")
    for number in itertools.count():
        if "beat" not in sys.argv:
            await asyncio.Event().wait()
        await fetch(f"bg{number}", 0)
        await asyncio.sleep(0.003)


asyncio.run(main())
