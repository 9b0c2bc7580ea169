"""What the suites of job queues stand on: a Redis server for each case, the pinned packages, and a program's spans."""

import os

from support import case, launched, losses, spans, truth
from support.process import clean_environment, run
from support.servers import RedisServer

JOBS = case.TREE / "tests" / "integration" / "jobs"
CONSUMER = 5
PRODUCER = 4
# With these an allocator gives large blocks back as soon as they are freed: a program's largest size is then the same
# in every run to a few hundred KiB, where it differs by up to two buffers of 10 MiB otherwise.
STEADY_HEAP = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"}
# What the library itself may have: its code, the exporter's, the pages of the ring that were written to.
OWN_KIB = 4 << 10


class Jobs(launched.Launched):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runtimes = cls.install_runtimes()
        cls.python = cls.runtimes / "venv" / "bin" / "python"
        cls.truth = cls.enter(truth.TruthServer())

    @classmethod
    def install_queues(cls) -> str:
        """The folder of Node packages with the queues."""
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        folder = case.TREE / "tests" / "support"
        finished = run([folder / "runtimes", folder / "queues"], environment, 600)
        assert finished.code == 0, finished.errors.decode()
        return finished.output.decode().strip() + "/node"

    def setUp(self):
        super().setUp()
        server = RedisServer(self.new_path("redis").parent)
        self.redis = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)

    def told(self, *words: str) -> None:
        """Somebody whom nobody observes says that to the server."""
        finished = run(["/usr/bin/redis-cli", "-p", self.redis.port, *words], clean_environment())
        self.assertNotIn(b"ERR", finished.output)

    def observed(self, *arguments, **environment: str) -> tuple[str, list[spans.Span]]:
        """Runs a program under the preload. Returns its output and its spans."""
        file = self.new_path("spans.jsonl")
        finished = run([str(argument) for argument in arguments], case.preload_environment(file, **environment))
        self.assertEqual(finished.code, 0, finished.errors.decode())
        lost, found = losses.told(spans.read_file(file))
        self.assertEqual(lost, {})
        spans.check_ids(found)
        return finished.output.decode(), found


def named(found: list[spans.Span], name: str) -> list[spans.Span]:
    return [span for span in found if span.name == name]


def by_job(found: list[spans.Span], name: str) -> dict[str, spans.Span]:
    chosen = named(found, name)
    jobs = {span.get("job.id"): span for span in chosen}
    assert len(jobs) == len(chosen), f"{name} twice for one job"
    return jobs
