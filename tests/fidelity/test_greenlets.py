#!/usr/bin/env python3
"""Greenlets of gevent that a request begins, and those that serve all."""

from fidelity import FRONTS, PHASES, Front, Suite, main

PHASES_OF_ALL = (PHASES[0], *PHASES[2:5])
AT_ONCE = (PHASES[3], PHASES[2])
BEGUN = ("spawn", "nested", "pool", "common", "mapped", "each", "loops", "threads", "later")
TRAPS = ("event", "for", "generator", "map", "children", "lent", "crossed")


class Greenlets(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def front(self, *options: str, modes: tuple, least: float = 1.0, phases: tuple = PHASES_OF_ALL) -> None:
        self.check(Front(" ".join(("pywsgi", *options)), [
            self.bin / "python", FRONTS / "greenlets_front.py", "{port}", *options], modes=modes, phases=phases,
            least={mode: least for mode in modes}))

    def gunicorn(self, modes: tuple, least: float, phases: tuple = PHASES_OF_ALL) -> None:
        self.check(Front("gunicorn", [
            self.bin / "gunicorn", "--bind", "127.0.0.1:{port}", "--chdir", FRONTS, "--backlog", 64, "--worker-class",
            "gevent", "greenlets_front:application"], modes=modes, phases=phases, least={mode: least for mode in modes}))

    def test_pywsgi(self):
        self.front(modes=BEGUN, phases=(*PHASES_OF_ALL, PHASES[5]))

    def test_gunicorn(self):
        self.gunicorn(BEGUN[:3], 1.0)

    def test_own(self):
        """Greenlets of the program's own, in a pool that requests use, are nobody's."""
        self.front("beat", modes=("spawn", "common"))

    def test_traps(self):
        """What the first request begins serves all, whatever it is told by; and things that are lent."""
        self.front(modes=TRAPS, least=0.0, phases=AT_ONCE)
        self.gunicorn(TRAPS, 0.0, AT_ONCE)


if __name__ == "__main__":
    main()
