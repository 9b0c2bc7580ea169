#!/usr/bin/env python3
"""PHP, Ruby and Java: what their own servers do, and puma."""

import subprocess

from fidelity import FRONTS, PHASES, Front, Suite, main, program


class Runtimes(Suite):
    def test_php(self):
        self.check(Front("php -S", [program("php"), "-S", "127.0.0.1:{port}", FRONTS / "front.php"],
                         modes=("seq", "multi"), least={"seq": 1.0, "multi": 1.0}))

    def test_puma(self):
        self.check(Front("puma", [program("puma"), "--quiet", "--threads", "8:8", "--bind", "tcp://127.0.0.1:{port}",
                                  FRONTS / "front.ru"], folder=self.folder,
                         # Also where its reactor has read the head: who serves it asks the kernel first
                         # whether the connection is still there.
                         least={"seq": 1.0}))

    def test_webrick(self):
        self.check(Front("WEBrick", [program("ruby"), FRONTS / "webrick_front.rb", "{port}"]))

    def test_java(self):
        subprocess.run([program("javac"), "-d", self.folder, FRONTS / "Front.java"], check=True)
        self.check(Front("Java HttpServer", [program("java"), "-Xshare:auto", "-cp", self.folder, "Front", "{port}"],
                         # Of the JDK's own client: who calls connects, or looks whether a kept connection is
                         # still there; another thread sends.
                         modes=("seq", "nio"), least={("nio", "5"): 0.95, ("nio", "20"): 0.95}))
        for phases in PHASES, PHASES[3:5]:
            # Who has read a request goes on with others' steps before it is answered, and nothing shows.
            self.check(Front("Java, in steps", [program("java"), "-Xshare:auto", "-cp", self.folder, "Front", "{port}"],
                             modes=("steps",), phases=phases, least={phase.name: 0 for phase in PHASES}))


if __name__ == "__main__":
    main()
