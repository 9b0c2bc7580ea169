#!/usr/bin/env python3
"""Work that goes through queues of the program's own, and what only looks like that."""

from fidelity import FRONTS, PHASES, Front, Suite, main

ORDERED = (PHASES[0], PHASES[3])
# The first requests that there are come all at once.
AT_ONCE = (PHASES[3], PHASES[2])
HANDED = ("program", "bounded", "many", "timeout", "simple", "chain")
OTHERS = ("last", "batch", "waiting", "ahead", "none", "text", "pending")
LENT = ("lent", "back")
OF_TASKS = ("program", "bounded", "many", "children", "timeout", "stop", "threads", "chain", "dispatch")
TRAPS_OF_TASKS = ("function", "batch", "waiting", "mixed", "ahead", "none", "text", "lent")
BEGUN = ("event", "condition", "polling", "futures", "sorted", "pile", "within", "childs")


def all_of(modes: tuple, least: float) -> dict:
    return {mode: least for mode in modes}


class Queues(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def gunicorn(self, workers: str, *options, **more) -> None:
        self.check(Front(f"queues, {workers}", [
            self.bin / "gunicorn", "--bind", "127.0.0.1:{port}", "--chdir", FRONTS, "--backlog", 64, "--worker-class",
            workers, *options, "queues_front:application"], **more))

    def test_threads(self):
        self.gunicorn("gthread", "--threads", 8, modes=HANDED, phases=ORDERED, least=all_of(HANDED, 1.0))

    def test_greenlets(self):
        self.gunicorn("gevent", modes=HANDED, phases=ORDERED, least=all_of(HANDED, 1.0))

    def test_traps_of_threads(self):
        self.gunicorn("gthread", "--threads", 8, modes=OTHERS + LENT, phases=AT_ONCE,
                      least=all_of(OTHERS, 0) | all_of(LENT, 1.0))

    def test_traps_of_greenlets(self):
        self.gunicorn("gevent", modes=OTHERS + LENT, phases=AT_ONCE, least=all_of(OTHERS + LENT, 0))

    def loop(self, *options: str, **more) -> None:
        self.check(Front(" ".join(("queues, asyncio", *options)), [
            self.bin / "python", FRONTS / "asyncio_queues_front.py", "{port}", *options], **more))

    def test_tasks(self):
        for options, phases in ((), ORDERED), (("uvloop",), AT_ONCE[:1]):
            # A wait may be over its time in the very turn in which the thing comes; a busy machine shows it.
            self.loop(*options, modes=OF_TASKS, phases=phases, least=all_of(OF_TASKS, 1.0) | {"timeout": 0.95})

    def test_traps_of_tasks(self):
        for options, phases in ((), AT_ONCE), (("uvloop",), ORDERED[1:]):
            self.loop(*options, modes=TRAPS_OF_TASKS, phases=phases, least=all_of(TRAPS_OF_TASKS, 0) | {"lent": 1.0})

    def test_traps_of_begun_tasks(self):
        """What the first request begins serves all, whatever it is told by."""
        self.loop(modes=BEGUN, phases=AT_ONCE, least=all_of(BEGUN, 0))
        self.loop("uvloop", modes=BEGUN[:3], phases=ORDERED[1:], least=all_of(BEGUN, 0))


if __name__ == "__main__":
    main()
