"""usage: celery_front.py MODE COUNT < NAMES: submits a task for each name, `NAME ID` on stdout. Imported by Celery's
worker, it is the tasks: calls by http.client and redis-py that carry the name."""

import os
import sys

import celery

from calls import call, store

URL = f"redis://127.0.0.1:{os.environ['TEST_REDIS']}/1"
app = celery.Celery("celery_front", broker=URL, backend=URL if os.environ.get("CELERY_BACKEND") else None)
app.conf.broker_connection_retry_on_startup = True


@app.task(name="seq")
def seq(name, count):
    for number in range(count):
        call(name, number)
    store.rpush("done", name)


if __name__ == "__main__":
    for line in sys.stdin.read().split():
        print(line, app.tasks[sys.argv[1]].apply_async((line, int(sys.argv[2])), queue="work").id)
