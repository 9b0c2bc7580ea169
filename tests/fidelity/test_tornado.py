#!/usr/bin/env python3
"""tornado's server and its own client, which begins what waits in its queue in the turn of another request."""

from fidelity import FRONTS, PHASES, Front, Suite, main

PHASES_OF_ALL = (PHASES[0], *PHASES[2:5])
MODES = ("seq", "gather", "multi", "retry", "refresh")
# What waits for its turn while nobody waits for it, and what the loop or the first request begins.
OTHERS = ("later", "callback", "worker")


class Tornado(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def front(self, *options: str, modes: tuple, least: float, phases: tuple = PHASES_OF_ALL) -> None:
        self.check(Front(" ".join(("tornado", *options)), [
            self.bin / "python", FRONTS / "tornado_front.py", "{port}", *options], modes=modes, phases=phases,
            least={mode: least for mode in modes}))

    def test_own_client(self):
        self.front(modes=MODES, least=1.0, phases=(*PHASES_OF_ALL, PHASES[5]))

    def test_new_connections(self):
        self.front(modes=("seq",), least=1.0, phases=PHASES[1:2])

    def test_own(self):
        """What the program does on its own waits in the same queue, and is nobody's."""
        self.front("beat", modes=("seq", "gather"), least=1.0)

    def test_traps(self):
        self.front(modes=OTHERS, least=0.0, phases=(PHASES[3], PHASES[2], PHASES[4]))


if __name__ == "__main__":
    main()
