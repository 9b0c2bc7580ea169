"""usage: greenlets_front.py PORT [beat]: gevent's own server; or `application` under another one. It calls out of
greenlets that a request begins. With `beat` the program calls on its own, by greenlets, too."""

from gevent import monkey
monkey.patch_all()

import itertools  # pylint: disable=wrong-import-position
import sys  # pylint: disable=wrong-import-position
import threading  # pylint: disable=wrong-import-position

import gevent  # pylint: disable=wrong-import-position
import gevent.event  # pylint: disable=wrong-import-position
import gevent.pool  # pylint: disable=wrong-import-position
import gevent.queue  # pylint: disable=wrong-import-position
from calls import call  # pylint: disable=wrong-import-position

shared = gevent.pool.Pool(3)
workers = {}


def spawn(name, count):
    gevent.joinall([gevent.spawn(call, name, number) for number in range(count)])


def nested(name, count):
    gevent.joinall([gevent.spawn(lambda number=number: gevent.spawn(call, name, number).get())
                    for number in range(count)])


def pool(name, count):
    list(gevent.pool.Pool(2).imap_unordered(lambda number: call(name, number), range(count)))


def common(name, count):
    list(shared.imap(lambda number: call(name, number), range(count)))


def mapped(name, count):
    shared.map(lambda number: call(name, number), range(count))


def each(name, count):
    group = gevent.pool.Pool(2)
    for number in range(count):
        group.spawn(call, name, number)
    group.join()


def loops(name, count):
    """What they run does not show that they serve nobody else, but who waits for them does."""
    def part(numbers):
        while numbers:
            call(name, numbers.pop())
    gevent.joinall([gevent.spawn(part, [number]) for number in range(count)])


def threads(name, count):
    begun = [threading.Thread(target=call, args=(name, number)) for number in range(count)]
    for thread in begun:
        thread.start()
    for thread in begun:
        thread.join()


def later(name, count):
    """Nobody waits for them, but by looking."""
    left = [gevent.spawn_later(0.001, call, name, number) for number in range(count)]
    while not all(greenlet.ready() for greenlet in left):
        gevent.sleep(0.002)


class Job:
    def __init__(self, name, number):
        self.name, self.number, self.done = name, number, gevent.event.Event()

    def do(self):
        call(self.name, self.number)
        self.done.set()


def begun(work, put):
    """Work for a greenlet that the first request begins."""
    def mode(name, count):
        if work not in workers:
            workers[work] = gevent.queue.Queue(), [], gevent.event.Event()
            for _ in range(2):
                gevent.spawn(work, *workers[work])
        jobs = [Job(name, number) for number in range(count)]
        for job in jobs:
            put(job, *workers[work])
            gevent.sleep(0.002)
        for job in jobs:
            job.done.wait()
    return mode


def put_in_queue(job, queue, _jobs, _event):
    queue.put(job)


def put_in_list(job, _queue, jobs, event):
    jobs.append(job)
    event.set()


def work_by_event(_queue, jobs, event):
    while True:
        event.wait()
        event.clear()
        while jobs:
            jobs.pop(0).do()


def work_by_for(queue, _jobs, _event):
    for job in queue:
        job.do()


def work_by_generator(_queue, jobs, event):
    def come():
        while True:
            event.wait()
            event.clear()
            while jobs:
                yield jobs.pop(0)
    for job in come():
        job.do()


def work_by_map(queue, _jobs, _event):
    list(gevent.pool.Pool(2).imap_unordered(Job.do, queue))


def work_by_children(queue, jobs, event):
    while True:
        event.wait()
        event.clear()
        while jobs:
            gevent.spawn(jobs.pop(0).do)


things = gevent.queue.Queue()
for _ in range(3):
    things.put(threading.Event())


def lent(name, count):
    """Greenlets use what others have put back, two at a time and in another order."""
    def use(number):
        first = things.get()
        call(name, number)
        things.put(first)
    gevent.joinall([gevent.spawn(use, number) for number in range(count)])


def crossed(name, count):
    """The same, where what is put back is not what was taken last."""
    def use(number):
        first = things.get()
        if not things.empty():
            second = things.get()
            first, second = second, first
            things.put(second)
        call(name, number)
        things.put(first)
    gevent.joinall([gevent.spawn(use, number) for number in range(count)])


MODES = {"spawn": spawn, "nested": nested, "pool": pool, "common": common, "mapped": mapped, "each": each,
         "loops": loops, "threads": threads, "later": later, "lent": lent, "crossed": crossed,
         "event": begun(work_by_event, put_in_list), "for": begun(work_by_for, put_in_queue),
         "generator": begun(work_by_generator, put_in_list), "map": begun(work_by_map, put_in_queue),
         "children": begun(work_by_children, put_in_list)}


def application(environ, start_response):
    _, _, name, mode, count = environ["PATH_INFO"].split("/")
    MODES[mode](name, int(count))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def beat():
    for number in itertools.count():
        gevent.joinall([gevent.spawn(call, f"bg{number}", 0), shared.spawn(call, f"bg{number}", 1)])
        gevent.sleep(0.003)


if __name__ == "__main__":
    from gevent.pywsgi import WSGIServer
    if "beat" in sys.argv:
        gevent.spawn(beat)
    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()
