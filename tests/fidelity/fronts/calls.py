"""The calls that the tasks and views of the Python fronts make: by redis-py and http.client, both with the name."""

import http.client
import os

import redis

store = redis.Redis(port=int(os.environ["TEST_REDIS"]))


def call(name, number):
    store.get(f"id:{name}:{number}")
    peer = http.client.HTTPConnection(os.environ["TEST_PEER"].split("//")[1])
    peer.request("GET", f"/c/{name}/{number}")
    assert peer.getresponse().read()
    peer.close()
