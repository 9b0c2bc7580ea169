"""The application of flask_front with threads that requests start: such as work for the request alone, and such as
the first of many requests starts to serve all."""

import itertools
import queue
import sched
import threading
import time

from flask_front import MODES, application, call  # pylint: disable=unused-import


def started(name, count):
    threads = [threading.Thread(target=call, args=(name, number)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def call_all(name, numbers):
    for number in numbers:
        call(name, number)


def started_for_all(name, count):
    """One thread has a list."""
    thread = threading.Thread(target=call_all, args=(name, list(range(count))))
    thread.start()
    thread.join()


class Caller(threading.Thread):
    def __init__(self, name, number):
        super().__init__()
        self.of, self.number, self.is_done = name, number, False

    def run(self):
        call(self.of, self.number)
        self.is_done = True


def own_class(name, count):
    for number in range(count):
        caller = Caller(name, number)
        caller.start()
        caller.join()
        assert caller.is_done


def within(name, count):
    """A function of the request's own, and a thread that starts others."""
    done = []

    def outer():
        def inner(number):
            call(name, number)
            done.append(number)

        threads = [threading.Thread(target=inner, args=(number,)) for number in range(count - 1)]
        for thread in threads:
            thread.start()
        call(name, count - 1)
        for thread in threads:
            thread.join()

    thread = threading.Thread(target=outer)
    thread.start()
    thread.join()
    assert len(done) == count - 1


def by_timer(name, count):
    timers = [threading.Timer(0.002, call, args=(name, number)) for number in range(count)]
    for timer in timers:
        timer.start()
    for timer in timers:
        timer.join()


def unjoined(name, count):
    """The answer waits for nobody."""
    for number in range(count):
        threading.Thread(target=call, args=(name, number)).start()


class Job:
    def __init__(self, name, number):
        self.name, self.number, self.done = name, number, threading.Event()

    def do(self):
        call(self.name, self.number)
        self.done.set()


class Begun:
    """A mode by threads, or timers, that the first of many requests starts: `work` takes from the list of jobs what all
    have put there. With a `delay` it is a timer. `each`: there is one for each job."""

    def __init__(self, work, each=False, delay=None):
        self.jobs, self.lock, self.has_begun, self.last = [], threading.Lock(), False, queue.LifoQueue()
        self.work, self.each, self.delay, self.numbers = work, each, delay, itertools.count()

    def keep(self, job):
        self.jobs.append(job)
        self.last.put(job)

    def take(self):
        """One that is there, some time."""
        while True:
            with self.lock:
                if self.jobs:
                    return self.jobs.pop(0)
            time.sleep(0.001)

    def take_all(self):
        return take_all(self)

    def take_late(self):
        time.sleep(0.002)
        with self.lock:
            return self.jobs.pop()

    def begin(self):
        with self.lock:
            begins, self.has_begun = self.each or not self.has_begun, True
        if begins and self.delay is not None:
            threading.Timer(self.delay, self.work, args=(self,)).start()
        elif begins:
            threading.Thread(target=self.work, args=self.given(), daemon=True).start()

    def given(self):
        return (self,)

    def __call__(self, name, count):
        mine = [Job(name, number) for number in range(count)]
        for job in mine:
            self.keep(job)
            self.begin()
        for job in mine:
            assert job.done.wait(20)


def work_by_loop(state):
    while True:
        state.take().do()


def work_by_iterator(state):
    for job in iter(state.last.get, None):
        job.do()


def work_by_generator(state):
    for job in state:
        job.do()


def work_by_map(state):
    list(map(Job.do, state))


def work_by_expression(state):
    assert all(job.do() is None for job in state)


def work_by_endless_count(state):
    for _ in itertools.count():
        state.take().do()


def work_by_itself(state):
    """What it calls has the loop."""
    work_by_loop(state)


def work_by_library(state):
    """A library's loop calls it back."""
    plan = sched.scheduler()

    def next_one():
        state.take().do()
        plan.enter(0.001, 0, next_one)

    plan.enter(0, 0, next_one)
    plan.run()


def work_by_clock(state):
    if state.jobs:
        state.take().do()
    else:
        call(f"bg{next(state.numbers)}", 0)
    threading.Timer(0.002, work_by_clock, args=(state,)).start()


def plan_next(state):
    threading.Timer(0.002, work_by_plan, args=(state,)).start()


def work_by_plan(state):
    if state.jobs:
        state.take().do()
    plan_next(state)


def work_by_batch(state):
    """All that has come until now is done at once, and the next one begins another batch."""
    with state.lock:
        batch, state.jobs, state.has_begun = state.jobs, [], False
    for job in reversed(batch):
        job.do()


def take_all(state):
    with state.lock:
        batch, state.jobs, state.has_begun = state.jobs, [], False
    return list(reversed(batch))


def work_by_helper(state):
    batch = take_all(state)
    for job in batch:
        job.do()


def work_by_method(state):
    batch = state.take_all()
    for job in batch:
        job.do()


def work_by_one(state):
    """Each does one thing: the one that was put there last."""
    state.take_late().do()


class Stream(Begun):
    """Its jobs as they come."""

    def __iter__(self):
        while True:
            yield self.take()


class Given(Stream):
    """The thread is given what brings the work."""

    def given(self):
        return (iter(self),)


class Method(Stream):
    """The thread's function is a method."""

    def __init__(self):
        super().__init__(None)
        self.work = self.run

    def given(self):
        return ()

    def run(self):
        for job in self:
            job.do()


class Clock(Begun):
    def __init__(self):
        super().__init__(None)
        self.work = self.tick

    def given(self):
        return ()

    def tick(self):
        if self.jobs:
            self.take().do()
        timer = threading.Timer(0.002, self.tick)
        timer.start()


def do_all(jobs):
    for job in jobs:
        job.do()


MODES.update({
    "started": started, "for_all": started_for_all, "class": own_class, "within": within, "timer": by_timer,
    "unjoined": unjoined,
    "worker": Begun(work_by_loop), "iterator": Begun(work_by_iterator), "generator": Stream(work_by_generator),
    "count": Begun(work_by_endless_count), "itself": Begun(work_by_itself), "library": Begun(work_by_library),
    "clock": Begun(work_by_clock), "plan": Begun(work_by_plan), "batch": Begun(work_by_batch, delay=0.005),
    "helper": Begun(work_by_helper, delay=0.005), "method": Begun(work_by_method, delay=0.005),
    "one": Begun(work_by_one, each=True), "given": Given(do_all), "mapped": Stream(work_by_map), "taken": Stream(work_by_expression), "own": Method(), "tick": Clock(),
})
