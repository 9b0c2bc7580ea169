#!/usr/bin/env python3
"""usage: storm_python.py HTTP_PORT REDIS_PORT INDEX WAY LIFE_US — a worker of storm.c."""

import http.client
import os
import resource
import signal
import socket
import sys
import threading
import time

http_port, redis_port, index, way, life = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def http_forever():
    connection = http.client.HTTPConnection("127.0.0.1", http_port)
    number = 0
    while True:
        connection.request("GET", f"/r/{index}-0-{number}")
        assert connection.getresponse().read() == b"ok\n"
        number += 1
        time.sleep(0.0003)


def redis_forever():
    connection = socket.create_connection(("127.0.0.1", redis_port))
    number = 0
    while True:
        key = f"{index}-1-{number}".encode()
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
        assert connection.recv(100) == b"+OK\r\n"
        number += 1
        time.sleep(0.0003)


for work in (http_forever, redis_forever):
    threading.Thread(target=work, daemon=True).start()
if way == "kill":
    threading.Event().wait()
time.sleep(life / 1e6)
if way == "segv":
    os.kill(os.getpid(), signal.SIGSEGV)
elif way == "abort":
    os.abort()
elif way == "_exit":
    os._exit(7)
elif way == "exit":
    sys.exit(7)
elif way == "exec":
    os.execl("/bin/sh", "sh", "-c", "exit 7")
