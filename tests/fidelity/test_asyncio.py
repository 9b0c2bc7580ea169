#!/usr/bin/env python3
"""asyncio: one thread works for many requests in turn."""

import os
import subprocess

from fidelity import FRONTS, PHASES, Front, Suite, main

ALONE = ("seq", "gather", "nested", "sleep", "refresh", "thread", "queue")
# Tasks that nobody waits for (yet); what those of `forget` begin after the answer is nobody's.
UNAWAITED = ("cancel", "forget")
MODES = (*ALONE, *UNAWAITED)
LEAST = 0.95


def witnessed(modes: tuple) -> dict:
    """The loop says whose work its tasks do, however many requests overlap."""
    return {mode: LEAST for mode in modes} | {
        (mode, phase): 1.0 for mode in modes for phase in ("one", "one, anew", "one, again")}


class Asyncio(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def front(self, name: str, script: str, *options: str, **more) -> None:
        self.check(Front(name, [self.bin / "python", FRONTS / script, "{port}", *options], **more))

    def test_aiohttp(self):
        self.front("aiohttp", "asyncio_front.py", modes=MODES, least=witnessed(MODES),
                   late=UNAWAITED)

    def test_aiohttp_uvloop(self):
        self.front("aiohttp, uvloop", "asyncio_front.py", "uvloop", modes=MODES, least=witnessed(MODES),
                   late=UNAWAITED)

    def test_background(self):
        """A task of the program's own is nobody's, whatever it shares with requests."""
        modes = ("seq", "gather", "sleep")
        for options in ("heartbeat", "5"), ("heartbeat", "25"), ("heartbeat", "40", "uvloop"), ("thread",):
            self.front(" ".join(options), "asyncio_front.py", *options, modes=modes, phases=PHASES[:3],
                       least=witnessed(modes))

    def test_consumers(self):
        """What the first of many requests begins serves others while that one is not answered yet."""
        for options in (), ("uvloop",):
            self.front("aiohttp " + " ".join(options), "asyncio_front.py", *options, modes=("queue",),
                       phases=PHASES[3:5], least={"queue": LEAST})

    def test_uvicorn(self):
        modes = ("seq", "gather")
        self.front("uvicorn", "uvicorn_front.py", "asyncio", modes=modes, least=witnessed(modes))

    def test_uvicorn_uvloop(self):
        """uvloop reads for all connections in one context."""
        modes = ("seq", "gather")
        self.front("uvicorn, uvloop", "uvicorn_front.py", "uvloop", modes=modes, least=witnessed(modes))

    def test_streams(self):
        modes = ("seq", "gather")
        self.front("asyncio streams", "streams_front.py", modes=modes, least=witnessed(modes))

    def test_streams_uvloop(self):
        modes = ("seq", "gather")
        self.front("streams, uvloop", "streams_front.py", "uvloop", modes=modes, least=witnessed(modes))

    def test_versions(self):
        """The system's own CPython, and those that FIDELITY_PYTHONS names. What pools are made of is loaded by the
        first request."""
        modes = ("seq", "gather", "thread", "queue", "tqueue", "squeue", "later", "eager")
        for python in "/usr/bin/python3", *os.environ.get("FIDELITY_PYTHONS", "").split():
            version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout.strip()
            self.check(Front(version, [python, FRONTS / "streams_front.py", "{port}"], modes=modes,
                             least=witnessed(modes)))


if __name__ == "__main__":
    main()
