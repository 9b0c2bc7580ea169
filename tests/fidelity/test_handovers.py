#!/usr/bin/env python3
"""What a request hands to other threads: one request at a time it is the request's; of several it may be anybody's."""

import subprocess

from fidelity import ALONE, FRONTS, PHASES, Front, Suite, main, program
from support import case

HANDED = ("join", "detached", "pool", "sem", "async", "own")
# Evidence, not proof: a thread that has not come to its rest when it is given more is not seen to be given it, and one
# that is made while the request's own thread calls may be made for all. As a rule it is all of them.
OF_JAVA = {"pool": 0.75, "joined": 0.75, "all": 0.75, "parallel": 0.5, "handed": 0.75, "delayed": 0.5}
# One of Ruby's threads waits for signals by poll, where what wakes it is not seen.
OF_RUBY = {"queue": 0.5, "threads": 0.5}


def alone(least: dict) -> dict:
    """What is demanded of one request at a time; of several nothing."""
    return {(mode, phase): share for mode, share in least.items() for phase in ALONE}


def nothing_of(modes: tuple) -> dict:
    return alone(dict.fromkeys(modes, 0))


class Handovers(Suite):
    def threads(self, *options, **more) -> None:
        self.check(Front(" ".join(("C, threads", *options)),
                         [case.BUILD / "tests" / "fidelity" / "threads_front", "{port}", *options], **more))

    def test_threads(self):
        self.threads(modes=HANDED)

    def test_traps_of_threads(self):
        traps = ("collect", "late", "beat")
        self.threads(modes=traps, least=nothing_of(traps))
        self.threads("others", modes=("pool", "own"), least=nothing_of(("pool", "own")))

    def java(self, **more) -> None:
        subprocess.run([program("javac"), "-d", self.folder, FRONTS / "Pools.java"], check=True)
        self.check(Front("Java, pools", [program("java"), "-Xshare:auto", "-cp", self.folder, "Pools", "{port}"], **more))

    def test_java(self):
        self.java(modes=tuple(OF_JAVA), phases=(*PHASES[:3], *PHASES[4:]), least=alone(OF_JAVA))

    def test_traps_of_java(self):
        traps = ("told", "beat")
        self.java(modes=traps, phases=(*PHASES[:3], *PHASES[4:]), least=nothing_of(traps))

    def test_puma(self):
        self.check(Front("puma, threads", [
            program("puma"), "--quiet", "--threads", "8:8", "--bind", "tcp://127.0.0.1:{port}", FRONTS / "front.ru"],
            folder=self.folder, modes=tuple(OF_RUBY), least=alone(OF_RUBY)))


if __name__ == "__main__":
    main()
