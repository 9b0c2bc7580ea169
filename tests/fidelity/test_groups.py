#!/usr/bin/env python3
"""Groups of tasks: who has opened one waits for all that are in it. Starlette streams and wraps by them."""

from fidelity import FRONTS, PHASES, Front, Suite, main

PHASES_OF_ALL = (PHASES[0], *PHASES[2:5])
AT_ONCE = (PHASES[3], PHASES[2])
GROUPS = ("group", "nested", "started", "builtin")
BEGUN = ("forget",)
STREAMS = ("seq", "stream")
TRAPS = ("worker", "hosted")


class Groups(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def front(self, *options: str, modes: tuple, least: float, phases: tuple = PHASES_OF_ALL) -> None:
        self.check(Front(" ".join(options), [self.bin / "python", FRONTS / "starlette_front.py", "{port}", *options],
                         modes=modes, phases=phases, least={mode: least for mode in modes}))

    def test_uvicorn(self):
        self.front("asyncio+h11", modes=STREAMS + GROUPS + BEGUN, least=1.0)

    def test_uvicorn_uvloop(self):
        """What reads for all connections in one context."""
        self.front("uvloop+httptools", modes=STREAMS + GROUPS[:1] + BEGUN, least=1.0)

    def test_hypercorn(self):
        self.front("hypercorn", modes=STREAMS + GROUPS[:1] + BEGUN, least=1.0)

    def test_middleware(self):
        """The application itself is a group's task; what the program does on its own is nobody's."""
        self.front("asyncio+h11", "middleware", "beat", modes=STREAMS + GROUPS[:1], least=1.0)

    def test_traps(self):
        """A group's worker serves all; a request's tasks may be in another one's group."""
        for server in "asyncio+h11", "uvloop+httptools":
            self.front(server, modes=TRAPS, least=0.0, phases=AT_ONCE)


if __name__ == "__main__":
    main()
