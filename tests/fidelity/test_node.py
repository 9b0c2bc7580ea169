#!/usr/bin/env python3
"""Node: one thread, whose turns say nothing by themselves."""

from fidelity import FRONTS, Front, Suite, main, program

MODES = ("seq", "all", "single", "fetch", "timers", "refresh")


class Node(Suite):
    def test_http(self):
        self.check(Front("node http", [program("node"), FRONTS / "node_front.js", "{port}"], modes=MODES,
                         least=dict.fromkeys(MODES, 0)))


if __name__ == "__main__":
    main()
