#!/usr/bin/env python3
"""asyncio: one thread works for many requests in turn."""

from fidelity import FRONTS, PHASES, Front, Suite, main

MODES = ("seq", "gather", "nested", "sleep", "cancel", "thread", "refresh", "forget")


class Asyncio(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def front(self, name: str, script: str, *options: str, **more) -> None:
        self.check(Front(name, [self.bin / "python", FRONTS / script, "{port}", *options], **more))

    def test_aiohttp(self):
        self.front("aiohttp", "asyncio_front.py", modes=MODES, least=dict.fromkeys(MODES, 0))

    def test_aiohttp_uvloop(self):
        self.front("aiohttp, uvloop", "asyncio_front.py", "uvloop", modes=MODES, least=dict.fromkeys(MODES, 0))

    def test_background(self):
        """A task of the program's own is nobody's, whatever it shares with requests."""
        modes = ("seq", "gather", "sleep")
        for options in ("heartbeat", "5"), ("heartbeat", "25"), ("heartbeat", "40", "uvloop"), ("thread",):
            self.front(" ".join(options), "asyncio_front.py", *options, modes=modes, phases=PHASES[:3],
                       least=dict.fromkeys(modes, 0))

    def test_streams(self):
        modes = ("seq", "gather")
        self.front("asyncio streams", "streams_front.py", modes=modes, least=dict.fromkeys(modes, 0))


if __name__ == "__main__":
    main()
