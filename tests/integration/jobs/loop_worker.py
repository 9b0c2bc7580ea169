"""A worker of the plain schema that runs a loop for each job; the last one's loop claims more, as a server would.
usage: REDIS-PORT HTTP-PORT COUNT"""

import asyncio
import http.client
import itertools
import sys
import time

import redis

port, server, count = map(int, sys.argv[1:4])
client = redis.Redis(port=port, decode_responses=True)
numbers = itertools.count()
others = [redis.Redis(port=port, decode_responses=True) for _ in range(3)]


def claim(client):
    (job, _), = client.zpopmax("jobs:pending")
    client.hgetall(f"job:{job}")
    client.hset(f"job:{job}", "status", "processing")
    return job


def finish(job):
    client.hset(f"job:{job}", mapping={"status": "completed"})
    client.zadd("jobs:completed", {job: time.time()})


def ask(job, what):
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
    connection.request("GET", f"/x{next(numbers)}?job={job}&{what}")
    connection.getresponse().read()
    connection.close()


async def ask_in_loop(job, what):
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(f"GET /x{next(numbers)}?job={job}&{what} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def work(job):
    await asyncio.gather(*(ask_in_loop(job, "own") for _ in range(2)))
    await asyncio.sleep(0.002)
    await ask_in_loop(job, "own")


async def work_on_several(jobs):
    await ask_in_loop(jobs[0], "own")
    while len(jobs) < 3:
        jobs.append(claim(others[len(jobs)]))
        for job in jobs:
            await ask_in_loop(job, "several")


for _ in range(count - 3):
    job = claim(client)
    ask(job, "own")
    asyncio.run(work(job))
    ask(job, "own")
    finish(job)
several = [claim(others[0])]
asyncio.run(work_on_several(several))
for job in several:
    finish(job)
