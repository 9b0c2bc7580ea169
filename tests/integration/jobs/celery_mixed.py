"""Celery's tasks of many kinds, on two queues. With a result backend where TEST_BACKEND is set, whose results
never expire where it says "for ever"; TEST_LATE: what is done is acknowledged behind it; TEST_VISIBLE: seconds after
which what was not acknowledged is handed out again.
usage: celery_mixed.py COUNT [KIND]    submits tasks, and says "QUEUE ID KIND" of each

What a worker does is noted in another database: of each attempt "ID RETRIES KIND", and a key "of=ID-RETRIES&"."""

import functools
import os
import sys
import time

import celery
import redis

PORT = int(os.environ["TEST_REDIS"])
URL = f"redis://127.0.0.1:{PORT}/0"
QUEUES = ["pictures", "sounds"]
KINDS = ["plain", "failing", "again", "delayed", "urgent", "backoff"]
app = celery.Celery("celery_mixed", broker=URL, backend=URL if os.environ.get("TEST_BACKEND") else None)
if os.environ.get("TEST_BACKEND") == "for ever":
    app.conf.result_expires = None
app.conf.broker_connection_retry_on_startup = True
app.conf.task_acks_late = bool(os.environ.get("TEST_LATE"))
app.conf.worker_cancel_long_running_tasks_on_connection_loss = False
app.conf.broker_transport_options = {
    "queue_order_strategy": "priority", "visibility_timeout": int(os.environ.get("TEST_VISIBLE", "3600")),
    # It is looked for every second, not every hundredth.
    "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
}


class NoRoom(Exception):
    pass


@functools.cache
def client_of(process: int) -> redis.Redis:
    return redis.Redis(port=PORT, db=1)


def note(task: celery.Task, kind: str) -> None:
    client = client_of(os.getpid())
    client.incr(f"of={task.request.id}-{task.request.retries}&")
    client.rpush("notes", f"{task.request.id} {task.request.retries} {kind}")


@app.task(bind=True)
def plain(self, secret: str) -> None:
    note(self, "plain")


@app.task(bind=True)
def failing(self, secret: str) -> None:
    note(self, "failing")
    raise NoRoom(f"no room for {self.request.id}")


@app.task(bind=True, max_retries=1)
def again(self, secret: str) -> None:
    note(self, "again")
    if self.request.retries < 1:
        self.retry(exc=NoRoom("no room yet"), countdown=0)


@app.task(bind=True, max_retries=2)
def backoff(self, secret: str) -> None:
    note(self, "backoff")
    if self.request.retries < 2:
        self.retry(exc=NoRoom("no room yet"), countdown=0.05 * 2 ** self.request.retries)


@app.task(bind=True)
def delayed(self, secret: str) -> None:
    note(self, "delayed")


@app.task(bind=True)
def urgent(self, secret: str) -> None:
    note(self, "urgent")


@app.task(bind=True)
def slow(self, secret: str) -> None:
    note(self, "slow")
    time.sleep(0.15)


@app.task(bind=True)
def hanging(self, secret: str) -> None:
    """The first to whom it comes does not end."""
    if client_of(os.getpid()).set("hung", 1, nx=True):
        note(self, "hanging")
        time.sleep(600)
    note(self, "hanging")


if __name__ == "__main__":
    import celery_mixed

    kinds = sys.argv[2:] or KINDS
    for number in range(int(sys.argv[1])):
        queue, kind = QUEUES[number // len(kinds) % 2], kinds[number % len(kinds)]
        more = {"delayed": {"countdown": 1}, "urgent": {"priority": 0}}.get(kind, {"priority": 6})
        task = getattr(celery_mixed, kind).apply_async(("x" * 300,), queue=queue, **more)
        print(queue, task.id, kind, flush=True)
