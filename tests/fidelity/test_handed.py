#!/usr/bin/env python3
"""Python: work that a request hands to threads, and threads that it starts."""

from fidelity import FRONTS, PHASES, Front, Suite, main

FEW = (PHASES[0], PHASES[3])
# The first requests that there are come all at once.
AT_ONCE = PHASES[4:5]
VIEWS = ("view", "pool", "once", "given_up", "asgiref", "starting", "stream")
STARTED = ("started", "for_all", "class", "within", "timer")
LAZY = ("worker", "iterator", "generator", "count", "itself", "library", "clock", "plan", "batch", "helper", "method",
        "one", "given", "mapped", "taken", "own", "tick")


def all_of(modes: tuple, least: float) -> dict:
    return {mode: least for mode in modes}


class Handed(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def anyio(self, server: str, modes: tuple, phases: tuple) -> None:
        self.check(Front(f"Starlette, {server}", [self.bin / "python", FRONTS / "anyio_front.py", "{port}", server],
                         modes=(*modes, "after"), phases=phases, least=all_of(modes, 1.0) | {"after": 0}))

    def test_anyio(self):
        """Its threads run what an endpoint without `async` is, and what is streamed by such a generator."""
        self.anyio("asyncio+h11", VIEWS, (*FEW, *AT_ONCE))

    def test_anyio_uvloop(self):
        self.anyio("uvloop+httptools", ("view", "pool", "stream"), FEW)

    def test_anyio_hypercorn(self):
        self.anyio("hypercorn", ("view", "pool", "once"), FEW)

    def test_waitress(self):
        """Its main thread reads, and others serve."""
        modes = ("seq", "pool")
        self.check(Front("waitress", [self.bin / "python", FRONTS / "waitress_front.py", "{port}"], modes=modes,
                         phases=(*AT_ONCE, *FEW), least=all_of(modes, 1.0)))

    def test_trio(self):
        """Which of many requests its loop works for is not known."""
        self.check(Front("trio", [self.bin / "python", FRONTS / "trio_front.py", "{port}"], modes=("thread",),
                         phases=(*FEW, *AT_ONCE)))

    def begun(self, workers: str, *options, **more) -> None:
        self.check(Front(f"begun, {workers}", [
            self.bin / "gunicorn", "--bind", "127.0.0.1:{port}", "--chdir", FRONTS, "--backlog", 64, "--worker-class",
            workers, *options, "begun_threads_front:application"], **more))

    def test_started(self):
        """Where the answer waits for nobody, all that is certain is that nothing is wrong."""
        self.begun("gthread", "--threads", 8, modes=(*STARTED, "unjoined"), phases=FEW,
                   least=all_of(STARTED, 1.0) | {"unjoined": 0})

    def test_lazily_started(self):
        """Threads and timers that the first of many requests starts to serve all."""
        self.begun("gthread", "--threads", 8, modes=LAZY, phases=AT_ONCE, least=all_of(LAZY, 0))


if __name__ == "__main__":
    main()
