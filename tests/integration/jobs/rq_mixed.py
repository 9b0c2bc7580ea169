"""RQ's jobs of many kinds, on two queues.
usage: rq_mixed.py submit REDIS-PORT COUNT    adds jobs, and says "QUEUE ID KIND" of each
       rq_mixed.py work REDIS-PORT            works until both are empty and nothing is put off any more, and says of
                                              each job "ID STARTED ENQUEUED", by RQ's own record of its last attempt
                                              at its beginning"""

import datetime
import os
import sys
import time

import redis
import rq

QUEUES = ["high", "low"]


def note() -> int:
    """The number of this attempt."""
    job = rq.get_current_job()
    client = redis.Redis(port=int(os.environ["TEST_REDIS"]), db=1)
    number = client.incr(f"of={job.id}&")
    record = redis.Redis(port=int(os.environ["TEST_REDIS"]), decode_responses=True)
    client.hset("records", job.id, " ".join(record.hmget(job.key, "started_at", "enqueued_at")))
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


def backoff() -> None:
    if note() < 2:
        raise NoRoom("no room")


def delayed() -> None:
    note()


def submit(connection: redis.Redis, count: int) -> None:
    kinds = [plain, failing, again, backoff, delayed]
    for number in range(count):
        queue = rq.Queue(QUEUES[number // len(kinds) % 2], connection=connection)
        kind = kinds[number % len(kinds)]
        more = {again: {"retry": rq.Retry(max=1)}, backoff: {"retry": rq.Retry(max=1, interval=1)}}.get(kind, {})
        if kind is delayed:
            job = queue.enqueue_in(datetime.timedelta(seconds=1), kind)
        else:
            job = queue.enqueue(kind, **more)
        print(queue.name, job.id, kind.__name__, flush=True)


def work(connection: redis.Redis) -> None:
    queues = [rq.Queue(name, connection=connection) for name in QUEUES]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        rq.Worker(queues, connection=connection).work(burst=True, with_scheduler=True, logging_level="WARNING")
        if not any(len(queue) + len(queue.scheduled_job_registry) for queue in queues):
            break
        time.sleep(0.2)
    for job, record in redis.Redis(port=int(os.environ["TEST_REDIS"]), db=1, decode_responses=True).hgetall("records").items():
        print(job, *(datetime.datetime.fromisoformat(time).timestamp() for time in record.split()))


if __name__ == "__main__":
    import rq_mixed

    server = redis.Redis(port=int(sys.argv[2]))
    rq_mixed.submit(server, int(sys.argv[3])) if sys.argv[1] == "submit" else rq_mixed.work(server)
