"""RQ's jobs of many kinds, on two queues.
usage: rq_mixed.py submit REDIS-PORT COUNT KIND...    adds jobs, and says "QUEUE ID KIND" of each
       rq_mixed.py work REDIS-PORT fork|simple QUEUE... works until all are empty and nothing is put off any more, and
                                                      says of each attempt "ID NUMBER STARTED ENQUEUED", by RQ's own
                                                      record of it at its beginning"""

import datetime
import functools
import os
import signal
import sys
import time

import redis
import rq

QUEUES = ["high", "low"]
# How each is added.
KINDS = {
    "plain": {}, "failing": {}, "again": {"retry": rq.Retry(max=1)}, "twice": {"retry": rq.Retry(max=2)},
    "backoff": {"retry": rq.Retry(max=1, interval=1)}, "delayed": {}, "named": {"retry": rq.Retry(max=1)},
    "front": {"at_front": True}, "dying": {}, "slow": {"job_timeout": 1}, "hanging": {},
    "hanging_again": {"retry": rq.Retry(max=1)},
}


@functools.cache
def clients_of(process: int) -> tuple[redis.Redis, redis.Redis]:
    port = int(os.environ["TEST_REDIS"])
    return redis.Redis(port=port, db=1), redis.Redis(port=port, decode_responses=True)


def note() -> int:
    """The number of this attempt."""
    job = rq.get_current_job()
    client, queue = clients_of(os.getpid())
    number = client.incr(f"attempts:{job.id}")
    client.get(f"of={job.id}/{number}&")
    client.rpush("records", " ".join([job.id, str(number), *queue.hmget(job.key, "started_at", "enqueued_at")]))
    return number


class NoRoom(Exception):
    pass


def plain() -> None:
    note()


def failing() -> None:
    note()
    raise NoRoom("no room")


def again() -> None:
    if note() < 2:
        raise NoRoom("no room")


def twice() -> None:
    if note() < 3:
        raise NoRoom("no room")


backoff, named = again, again
delayed, front = plain, plain


def dying() -> None:
    note()
    os.kill(os.getpid(), signal.SIGKILL)


def slow() -> None:
    note()
    time.sleep(30)


def hanging() -> None:
    """The first to whom it comes does not end."""
    if note() < 2:
        time.sleep(600)


hanging_again = hanging


def submit(connection: redis.Redis, count: int, kinds: list[str]) -> None:
    for number in range(count):
        queue = rq.Queue(QUEUES[number // len(kinds) % 2], connection=connection)
        kind = kinds[number % len(kinds)]
        more = dict(KINDS[kind])
        if kind == "named":
            more["job_id"] = f"job-{number}"
        if kind == "delayed":
            job = queue.enqueue_in(datetime.timedelta(seconds=1), f"rq_mixed.{kind}")
        else:
            job = queue.enqueue(f"rq_mixed.{kind}", **more)
        print(queue.name, job.id, kind, flush=True)


def work(connection: redis.Redis, manner: str, names: list[str]) -> None:
    queues = [rq.Queue(name, connection=connection) for name in names]
    kind = rq.SimpleWorker if manner == "simple" else rq.Worker
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        kind(queues, connection=connection).work(burst=True, with_scheduler=True, logging_level="CRITICAL")
        if not any(len(queue) + len(queue.scheduled_job_registry) for queue in queues):
            break
        time.sleep(0.2)
    for record in redis.Redis(port=int(os.environ["TEST_REDIS"]), db=1, decode_responses=True).lrange("records", 0, -1):
        job, number, *times = record.split()
        print(job, number, *(datetime.datetime.fromisoformat(time).timestamp() for time in times))


if __name__ == "__main__":
    import rq_mixed

    server = redis.Redis(port=int(sys.argv[2]))
    if sys.argv[1] == "submit":
        rq_mixed.submit(server, int(sys.argv[3]), sys.argv[4:])
    else:
        rq_mixed.work(server, sys.argv[3], sys.argv[4:])
