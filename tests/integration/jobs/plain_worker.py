"""A blocking worker of the plain schema. Its jobs ask a server over HTTP; every third one fails.
usage: REDIS-PORT HTTP-PORT COUNT [RESP]"""

import http.client
import sys
import time

import redis

port, server, count = map(int, sys.argv[1:4])
client = redis.Redis(port=port, decode_responses=True, protocol=int(sys.argv[4]) if len(sys.argv) > 4 else 2)
done = 0
while done < count:
    claimed = client.zpopmax("jobs:pending")
    if not claimed:
        time.sleep(0.05)
        continue
    job = claimed[0][0] if isinstance(claimed[0], (list, tuple)) else claimed[0]
    fields = client.hgetall(f"job:{job}")
    client.hset(f"job:{job}", "status", "processing")
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
    connection.request("GET", f"/x?job={job}")
    connection.getresponse().read()
    connection.close()
    client.get(f"note:{job}")
    if int(fields["priority"]) % 3 == 2:
        client.hset(f"job:{job}", mapping={"status": "failed", "error": f"no room for {job}"})
        client.zadd("jobs:failed", {job: time.time()})
    else:
        client.hset(f"job:{job}", mapping={"status": "completed"})
        client.zadd("jobs:completed", {job: time.time()})
    done += 1
