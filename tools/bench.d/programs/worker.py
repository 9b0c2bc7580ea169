"""A worker of requests and redis-py: worker.py REDIS_PORT URL JOBS [EXCHANGES_A_SECOND].

Each job is four exchanges: taken from a list, fetched by HTTP, written to a hash, published. See
phases.js for what it says and waits for.
"""

import sys
import time

import redis
import requests

EXCHANGES = 4

port, url, jobs = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
pace = float(sys.argv[4]) if len(sys.argv) > 4 else 0
store = redis.Redis(host="127.0.0.1", port=port)
session = requests.Session()


def work(number: int) -> None:
    store.lpop("jobs")
    body = session.get(url, timeout=30).text
    store.hset(f"job:{number}", "result", body)
    store.publish("done", str(number))


def run(count: int) -> list[float]:
    """How long each job took, in microseconds."""
    latencies = []
    began = time.perf_counter()
    for number in range(count):
        if pace:
            time.sleep(max(0, began + number * EXCHANGES / pace - time.perf_counter()))
        start = time.perf_counter()
        work(number)
        latencies.append((time.perf_counter() - start) * 1e6)
    return sorted(latencies)


run(min(jobs, 20) if pace else jobs // 10)
print("ready", flush=True)
sys.stdin.readline()
took = run(jobs)
print(f"done {took[len(took) // 2]:.1f} {took[int(0.99 * (len(took) - 1))]:.1f}", flush=True)
sys.stdin.readline()
