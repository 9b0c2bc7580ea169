"""A WSGI application: each request asks Redis for the key that its path names."""

import os
import socket

PORT = int(os.environ["TEST_REDIS_PORT"])


def application(environment, start_response):
    key = environment["PATH_INFO"].strip("/")
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
        assert connection.recv(100) == b"$-1\r\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d\n" % os.getpid()]
