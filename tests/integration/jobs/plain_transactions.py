"""Jobs of the plain schema in transactions.
usage: plain_transactions.py REDIS-PORT submit|many|work|discard|watch|abort|fail RESP; says the ids"""

import sys
import time
import uuid

import redis

port, manner = int(sys.argv[1]), sys.argv[2]
client = redis.Redis(port=port, decode_responses=True, protocol=int(sys.argv[3]))


def submit(count: int) -> None:
    with client.pipeline(transaction=True) as pipe:
        for number in range(count):
            job = str(uuid.uuid4())
            print(job)
            pipe.hset(f"job:{job}", mapping={"created_at": "2026-11-21T10:00:00Z", "job_type": "resize"})
            pipe.zadd("jobs:pending", {job: number})
        pipe.execute()


def claim() -> str | None:
    with client.pipeline(transaction=True) as pipe:
        pipe.zpopmax("jobs:pending")
        claimed, = pipe.execute()
    if not claimed:
        return None
    return claimed[0][0] if isinstance(claimed[0], (list, tuple)) else claimed[0]


def complete(job: str) -> None:
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("done")
        pipe.hset(f"job:{job}", "status", "completed")
        pipe.zadd("jobs:completed", {job: time.time()})
        pipe.execute()


def send(*commands: tuple) -> list:
    """One after the other on one connection, each with its answer."""
    connection = client.connection_pool.get_connection()
    answers = []
    for command in commands:
        if callable(command):
            command()
            continue
        connection.send_command(*command)
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as error:
            answers.append(error)
    connection.disconnect()
    return answers


if manner in ("submit", "many"):
    submit(6 if manner == "submit" else 700)
elif manner == "work":
    assert client.exists("nothing") == 0
    while job := claim():
        print(job)
        client.hgetall(f"job:{job}")
        client.get(f"note:{job}")
        complete(job)
else:
    job = claim()
    end = ("HSET", f"job:{job}", "status", "completed")
    if manner == "discard":
        send(("MULTI",), end, ("DISCARD",))
    elif manner == "abort":
        assert isinstance(send(("MULTI",), end, ("HSET", "one"), ("EXEC",))[-1], redis.ResponseError)
    elif manner == "watch":
        other = redis.Redis(port=port)
        answers = send(("WATCH", "changes"), lambda: other.set("changes", 1), ("MULTI",), end, ("EXEC",))
        assert answers[-1] is None, answers
    else:
        client.set("jobs:completed", "no set")
        assert isinstance(send(("MULTI",), end, ("ZADD", "jobs:completed", 1, job), ("EXEC",))[-1][-1],
                          redis.ResponseError)
