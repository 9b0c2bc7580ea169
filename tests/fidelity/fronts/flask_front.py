"""A Flask application for gunicorn: GET /w/ID/MODE/COUNT makes COUNT calls for ID, as MODE says."""

import concurrent.futures.thread
import os
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
    import threading
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
         "consumer": by_consumer}


@application.get("/w/<name>/<mode>/<int:count>")
def work(name, mode, count):
    MODES[mode](name, count)
    return name
