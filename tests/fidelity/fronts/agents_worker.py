"""usage: agents_worker.py JOBS: a Celery worker for what agents_front.py hands out, until so many tasks are done."""

import sys
import threading

from agents_front import tasks
from celery.signals import task_postrun

left = threading.Semaphore(0)
worker = tasks.Worker(pool="solo", concurrency=1, loglevel="WARNING", without_gossip=True, without_mingle=True,
                      without_heartbeat=True, prefetch_multiplier=1)
task_postrun.connect(lambda **_: left.release(), weak=False)


def end():
    for _ in range(int(sys.argv[1])):
        left.acquire()
    worker.stop()


threading.Thread(target=end, daemon=True).start()
worker.start()
