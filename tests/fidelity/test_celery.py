#!/usr/bin/env python3
"""Celery: one process claims, and hands the tasks to the processes or threads of a pool."""

import subprocess

from fidelity import FRONTS, TIMES, Counts, Suite, caller_of, main
from support import case, spans
from support.process import Daemon, clean_environment, run, wait_until

CALLS = 3


class Celery(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.python = cls.install_runtimes() / "venv" / "bin" / "python"

    def done(self) -> int:
        finished = run(["/usr/bin/redis-cli", "-p", self.redis.port, "LLEN", "done"], clean_environment())
        return int(finished.output)

    def work(self, pool: str, at_a_time: int, *options, backend: str = "1") -> None:
        self.peer.calls.clear()
        environment = {"TEST_PEER": f"http://127.0.0.1:{self.peer.port}", "TEST_REDIS": str(self.redis.port),
                       "PYTHONPATH": str(FRONTS), "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"CELERY_BACKEND": backend} if backend else {}
        names = [f"m{at_a_time}x{number}" for number in range((6 if at_a_time == 1 else 30) * TIMES)]
        submitted = subprocess.run(
            [self.python, FRONTS / "celery_front.py", "seq", str(CALLS)], input="\n".join(names), check=True, text=True,
            env=clean_environment() | environment, stdout=subprocess.PIPE, timeout=60,
        )
        jobs = {job: name for name, job in map(str.split, submitted.stdout.splitlines())}
        file = self.new_path("spans.jsonl")
        before = self.done()
        arguments = [self.python, "-m", "celery", "-A", "celery_front", "worker", "--pool", pool, "--concurrency",
                     at_a_time, "-Q", "work", "--without-gossip", "--without-mingle", "--loglevel", "WARNING", *options]
        with Daemon(arguments, case.preload_environment(file, **environment), self.folder / "celery.log") as worker:
            wait_until(lambda: self.done() - before >= len(names) or worker.process.poll() is not None, 60, "the tasks")
            self.assertEqual(worker.end(deadline_seconds=60), 0, worker.said()[-2000:])
        found = spans.read_file(file)
        spans.check_ids(found)
        self.tell(f"Celery, {pool} {' '.join(map(str, options))}", at_a_time, self.judge_jobs(found, jobs))

    def judge_jobs(self, found: list, jobs: dict[str, str]) -> Counts:
        by_id = {span.span_id: span for span in found}
        count = Counts(missing=len(jobs) * CALLS * 2)
        for span in found:
            caller = caller_of(span) if span.kind == spans.CLIENT else None
            if caller is None:
                continue
            count.missing -= 1
            above = by_id.get(span.parent_id)
            if not span.parent_id:
                count.none += 1
            elif above is not None and above.name == "job.process" and above.trace_id == span.trace_id and (
                    jobs[above.get("job.id")] == caller):
                count.right += 1
            else:
                count.wrong += 1
                count.examples.append(f"{span} is below {above}")
        return count

    def tell(self, label: str, at_a_time: int, count: Counts) -> None:
        print(f"    {label:45} {at_a_time:2} at a time right {count.right:4} none {count.none:4} "
              f"wrong {count.wrong:3} missing {count.missing:3}  {count.share:4.0%} of 100%", flush=True)
        self.assertEqual((count.none, count.wrong, count.missing), (0, 0, 0), count.examples[:3])

    def test_prefork(self):
        for at_a_time in 1, 5:
            self.work("prefork", at_a_time)

    def test_prefork_anew(self):
        """Processes of the pool that are forked while its loop runs; without results no end is told."""
        self.work("prefork", 2, "--max-tasks-per-child", 3, backend="")

    def test_threads(self):
        self.work("threads", 5)


if __name__ == "__main__":
    main()
