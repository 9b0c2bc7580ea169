#!/usr/bin/env python3
"""Loops that programs write themselves: nobody can be asked, but one request at a time is certain."""

import sys

from fidelity import FRONTS, Front, Suite, main


class Loops(Suite):
    def loop(self, kind: str) -> None:
        self.check(Front(f"a loop by {kind}", [sys.executable, FRONTS / "loop_front.py", "{port}", kind]))

    def test_poll(self):
        self.loop("poll")

    def test_select(self):
        self.loop("select")

    def test_epoll(self):
        self.loop("epoll")


if __name__ == "__main__":
    main()
