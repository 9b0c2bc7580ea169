"""A Celery application: each task asks Redis for a key of its own."""

import os
import socket

import celery

PORT = int(os.environ["TEST_REDIS_PORT"])
URL = f"redis://127.0.0.1:{PORT}/0"
app = celery.Celery("jobs_celery", broker=URL, backend=URL)
app.conf.broker_connection_retry_on_startup = True


def ask(key: str) -> None:
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
        assert connection.recv(100) == b"$-1\r\n"


@app.task
def work(number: int) -> int:
    ask(f"work-{number}")
    return os.getpid()
