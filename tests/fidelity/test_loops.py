#!/usr/bin/env python3
"""Loops that programs write themselves: nobody can be asked, but one request at a time is certain."""

import sys

from fidelity import FRONTS, Front, Suite, main, program


class Loops(Suite):
    def loop(self, kind: str) -> None:
        self.check(Front(f"a loop by {kind}", [sys.executable, FRONTS / "loop_front.py", "{port}", kind]))

    def test_poll(self):
        self.loop("poll")

    def test_select(self):
        self.loop("select")

    def test_epoll(self):
        self.loop("epoll")

    def test_ruby(self):
        """It waits for a signal beside each answer."""
        self.check(Front("Ruby, IO.select", [program("ruby"), FRONTS / "loop_front.rb", "{port}"]))


if __name__ == "__main__":
    main()
