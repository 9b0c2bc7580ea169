"""The application of flask_front with more ways of handing work over by queues, and with what looks like it.

Workers of the program's own exist before the first request.
"""

import itertools
import queue
import threading
import time

from flask_front import MODES, application, call  # pylint: disable=unused-import


def start(work, *arguments, count=2):
    for _ in range(count):
        threading.Thread(target=work, args=arguments, daemon=True).start()


class Job:
    def __init__(self, name, number):
        self.name, self.number, self.done = name, number, threading.Event()

    def do(self):
        call(self.name, self.number)
        self.done.set()


def jobs_of(name, count):
    return [Job(name, number) for number in range(count)]


def wait_for(jobs):
    for job in jobs:
        assert job.done.wait(20)


class Handed:
    """A mode by a queue: `work` consumes it from the program's start on."""

    def __init__(self, items, work, count=2):
        self.items = items
        start(work, items, count=count)

    def __call__(self, name, count):
        jobs = jobs_of(name, count)
        for job in jobs:
            self.items.put(job)
        wait_for(jobs)


def consume(items):
    while True:
        items.get().do()


def consume_with_timeout(items):
    while True:
        try:
            job = items.get(timeout=0.05)
        except queue.Empty:
            continue
        job.do()


def consume_batches(items):
    """What is there is collected, and done from its end on."""
    while True:
        batch = [items.get()]
        time.sleep(0.005)
        while True:
            try:
                batch.append(items.get_nowait())
            except queue.Empty:
                break
        for job in reversed(batch):
            job.do()


def consume_waiting_batches(items):
    """The same by a `get` that waits."""
    while True:
        batch = [items.get()]
        try:
            while len(batch) < 4:
                batch.append(items.get(timeout=0.005))
        except queue.Empty:
            pass
        for job in reversed(batch):
            job.do()


def consume_ahead(items):
    """The next one is taken before the last one is done, if there is one soon."""
    job = items.get()
    while True:
        try:
            following = items.get(timeout=0.005)
        except queue.Empty:
            following = None
        job.do()
        job = following if following is not None else items.get()


class Chained(Handed):
    """Who takes a thing out puts what follows from it into another queue."""

    def __init__(self):
        following = queue.Queue()
        super().__init__(queue.Queue(), lambda items: self.pass_on(items, following))
        start(consume, following)

    @staticmethod
    def pass_on(items, following):
        while True:
            job = items.get()
            call(job.name, f"{job.number}p")
            following.put(job)


class Pending:
    """Workers have a queue each. What comes while all are busy is put into its own one by the first that is not."""

    def __init__(self, count=2):
        self.lock, self.idle, self.waiting = threading.Lock(), [], []
        for _ in range(count):
            self.idle.append(items := queue.Queue())
            start(self.work, items, count=1)

    def work(self, items):
        while True:
            items.get().do()
            with self.lock:
                if self.waiting:
                    items.put(self.waiting.pop(0))
                else:
                    self.idle.append(items)

    def __call__(self, name, count):
        jobs = jobs_of(name, count)
        for job in jobs:
            with self.lock:
                if self.idle:
                    self.idle.pop().put(job)
                else:
                    self.waiting.append(job)
        wait_for(jobs)


class Told:
    """Things in the queue only say that there is something in a list."""

    def __init__(self, token):
        self.token, self.items, self.jobs = token, queue.Queue(), []
        start(self.work)

    def work(self):
        while True:
            self.items.get()
            try:
                job = self.jobs.pop()
            except IndexError:
                continue
            job.do()

    def __call__(self, name, count):
        jobs = jobs_of(name, count)
        for job in jobs:
            self.jobs.append(job)
            time.sleep(0.002)
            self.items.put(self.token)
        wait_for(jobs)


class Lent:
    """A queue of what requests and a thread of the program's own take, use and put back."""

    def __init__(self, count):
        self.things, self.numbers = queue.Queue(), itertools.count()
        for _ in range(count):
            self.things.put(object.__new__(Job))
        start(self.beat, count=1)

    def beat(self):
        while True:
            self.use(f"bg{next(self.numbers)}", 0)
            time.sleep(0.003)

    def use(self, name, number):
        thing = self.things.get()
        call(name, number)
        self.things.put(thing)

    def __call__(self, name, count):
        for number in range(count):
            self.use(name, number)


class LentShortly(Lent):
    """The same where it is put back before what it was taken for is done."""

    def use(self, name, number):
        self.things.put(self.things.get())
        call(name, number)


MODES.update({
    "program": Handed(queue.Queue(), consume),
    "bounded": Handed(queue.Queue(2), consume),
    "many": Handed(queue.Queue(), consume, count=6),
    "timeout": Handed(queue.Queue(), consume_with_timeout),
    "simple": Handed(queue.SimpleQueue(), consume),
    "chain": Chained(),
    "last": Handed(queue.LifoQueue(), consume),
    "batch": Handed(queue.Queue(), consume_batches),
    "waiting": Handed(queue.Queue(), consume_waiting_batches),
    "ahead": Handed(queue.Queue(), consume_ahead, count=1),
    "pending": Pending(),
    "none": Told(None),
    "text": Told("wake"),
    "lent": Lent(2),
    "back": LentShortly(3),
})
