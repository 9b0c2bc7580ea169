"""Jobs of RQ: each asks Redis for a key of its own, in a process of its own."""

import os
import socket

PORT = int(os.environ["TEST_REDIS_PORT"])


def work(number: int) -> int:
    key = f"work-{number}"
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
        assert connection.recv(100) == b"$-1\r\n"
    return os.getpid()
