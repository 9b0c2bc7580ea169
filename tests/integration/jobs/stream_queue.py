"""A queue of a stream and a group, whose server makes the ids.
usage: produce|work REDIS-PORT RESP COUNT; the producer prints the ids."""

import sys

import redis

what = sys.argv[1]
port, protocol, count = map(int, sys.argv[2:5])
client = redis.Redis(port=port, decode_responses=True, protocol=protocol)
if what == "produce":
    for number in range(count):
        print(client.xadd("orders:new", {"secret": "x" * 3000, "kind": "bill"}), flush=True)
else:
    client.xgroup_create("orders:new", "billers", "0")
    done = 0
    while done < count or done == count:
        found = client.xreadgroup("billers", "one", {"orders:new": ">"}, count=1, block=200)
        if not found:
            break
        entries = found["orders:new"][0] if isinstance(found, dict) else found[0][1]
        for entry, _ in entries:
            client.incr("orders:billed")
            client.xack("orders:new", "billers", entry)
            done += 1
    assert done == count, done
