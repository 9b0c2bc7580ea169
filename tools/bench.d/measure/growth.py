"""How the cost of an exchange grows with the number of connections and of threads; launched.py has that
of processes."""

import resource
import subprocess

from measure.arms import OPERATIONS, PLAIN, WIRESPAN, Cases, lost_share
from support.receiver import Receiver

# Both ends of a connection are in the program: as many as the system lets it have.
MOST = min(10_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2)
CONNECTIONS = (1, 10, 100, 1000, MOST)
THREADS = (1, 2, 4, 8, 16, 32, 64)
EXCHANGES = 102_400
BURST = 512


class Growth(Cases):
    """A small HTTP exchange of the asking side, by bursts with rests."""

    arms = (PLAIN, WIRESPAN)

    def exchange(self, arm: str, receiver: Receiver, connections: int, threads: int) -> dict[str, float]:
        words = ["http_client", EXCHANGES // threads, BURST, connections, threads]
        done = subprocess.run([OPERATIONS, *map(str, words)], env=self.environment(receiver, arm),
                              capture_output=True, text=True, timeout=300, check=True)
        ns, kib, _ = (float(line.split()[0]) for line in done.stdout.splitlines())
        return {"ns": ns, "memory_kib": kib, **lost_share(done.stderr, EXCHANGES, arm)}

    def cases(self) -> dict:
        found = {}
        for count in CONNECTIONS:
            found[f"connections_{count}"] = lambda arm, receiver, n=count: self.exchange(arm, receiver, n, 1)
        for count in THREADS:
            found[f"threads_{count}"] = lambda arm, receiver, n=count: self.exchange(arm, receiver, 1, n)
        return found
