"""usage: agents_front.py PORT: serves GET /w/ID by a call with each client that OpenTelemetry's agent knows, each
with the ID in its path, or as the number of a command's arguments, and hands out a Celery task. Ends with stdin."""

import asyncio
import os
import sys
import threading

import aiohttp
import celery
import flask
import httpx
import redis
import requests
import urllib3
import werkzeug.serving

PORT = 0
PEER = os.environ["TEST_PEER"]
REDIS = int(os.environ["TEST_REDIS"])
store = redis.Redis(port=REDIS)
session = requests.Session()
pool = urllib3.PoolManager()
app = flask.Flask("front")
tasks = celery.Celery("agents", broker=f"redis://127.0.0.1:{REDIS}/0")


@tasks.task(name="work")
def work(name):
    requests.get(f"{PEER}/c/{name}/task", timeout=10)
    store.exists(*["k"] * (int(name) + 1))


async def ask(url):
    async def fetch(number):
        async with client.get(f"{url}{number}") as answer:
            await answer.read()

    async with aiohttp.ClientSession() as client:
        await asyncio.gather(fetch(1), fetch(2))


@app.get("/w/<name>")
def serve(name):
    at = f"{PEER}/c/{name}"
    number = 3 * int(name)
    requests.get(f"{at}/requests", timeout=10)
    session.post(f"{at}/session", b"a body", timeout=10)
    pool.request("GET", f"{at}/urllib3")
    httpx.get(f"{at}/httpx")
    asyncio.run(ask(f"{at}/aiohttp"))
    store.mget(["k"] * (number + 1))
    with store.pipeline(transaction=False) as pipeline:
        pipeline.mget(["k"] * (number + 2))
        pipeline.execute()
    requests.get(f"http://127.0.0.1:{PORT}/inner/{name}", timeout=10)
    tasks.send_task("work", [name])
    return "done"


@app.get("/inner/<name>")
def inner(name):
    store.mget(["k"] * (3 * int(name) + 3))
    return "done"


if __name__ == "__main__":
    PORT = int(sys.argv[1])
    server = werkzeug.serving.make_server("127.0.0.1", PORT, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
