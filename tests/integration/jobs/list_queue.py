"""A list of JSON texts as a queue: nothing is written when a job is done.
usage: produce|work|poison REDIS-PORT HTTP-PORT COUNT [RESP]; the producer prints the ids, the worker its own memory
at its largest, in KiB."""

import http.client
import json
import sys
import uuid

import memory
import redis

what = sys.argv[1]
port, server, count = map(int, sys.argv[2:5])
client = redis.Redis(port=port, protocol=int(sys.argv[5]) if len(sys.argv) > 5 else 2)


def push(text: str | bytes) -> None:
    client.rpush("pictures:jobs", text)


def work(text: bytes) -> None:
    try:
        job = json.loads(text)
    except (ValueError, RecursionError):
        job = {}
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
    connection.request("GET", f"/x?job={job.get('job_id')}&n={len(text)}")
    connection.getresponse().read()
    connection.close()
    if job.get("fails") and client.set(f"tried:{job['job_id']}", 1, nx=True):
        push(text)


if what == "produce":
    for number in range(count):
        job = f"job-{uuid.uuid4()}"
        print(job, flush=True)
        push(json.dumps({"secret": {"deep": ["x" * 3000]}, "job_id": job, "job_type": "resize", "fails": number % 3 == 2,
                         "created_at": "2026-11-21T10:00:00Z", "priority": number}))
elif what == "poison":
    push(json.dumps({"job_id": "job-1", "job_type": "first"}))
    push("no JSON at all")
    push(b"\xff\x00\x01")
    push('{"job_id": "job-2", "payload": "' + "x" * (10 << 20) + '", "job_type": "large"}')
    push('{"job_id": "job-3", "payload": ' + "[" * 10_000 + "]" * 10_000 + ', "job_type": "deep"}')
    push('{"payload": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + ', "job_id": "job-4", "job_type": "deep"}')
    push('{"job_id": "job-5", "job_type": "trunca')
    push('{"job_id": "job-6"')
    push("")
    push(json.dumps({"job_id": "job-7", "job_type": "last"}))
else:
    done = 0
    while done < count:
        found = client.blpop("pictures:jobs", timeout=0.2)
        if found is not None:
            work(found[1])
            done += 1
    while client.blpop("pictures:jobs", timeout=0.1) is not None:
        raise AssertionError("more jobs than were to come")
    print(memory.largest_kib())
