"""A Celery application: tasks that succeed, fail and are tried again. With a result backend where CELERY_BACKEND is
set, whose results never expire where it says "for ever"."""

import os
import time

import celery
import redis

PORT = int(os.environ["TEST_REDIS_PORT"])
URL = f"redis://127.0.0.1:{PORT}/0"
app = celery.Celery("celery_tasks", broker=URL, backend=URL if os.environ.get("CELERY_BACKEND") else None)
app.conf.broker_connection_retry_on_startup = True
if os.environ.get("CELERY_BACKEND") == "for ever":
    app.conf.result_expires = None


def note(text: str) -> None:
    """What the worker did, for the test to compare with."""
    redis.Redis(port=PORT, db=1).rpush("notes", text)


@app.task(bind=True, max_retries=2)
def resize(self, number: int, secret: str) -> str:
    time.sleep(0.02)
    note(f"{self.request.id} {self.request.retries}")
    if number % 4 == 2:
        raise ValueError(f"no room for {self.request.id}")
    if number % 4 == 3 and self.request.retries < 1:
        raise self.retry(countdown=0.1)
    return secret[:3]
