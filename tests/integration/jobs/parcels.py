"""Who posts parcels and who delivers them, by parcels.rules.
usage: post REDIS-PORT RESP COUNT               prints their numbers
       deliver REDIS-PORT RESP COUNT            every third one comes back
       forget REDIS-PORT RESP COUNT             takes them and goes home
       take-over REDIS-PORT RESP COUNT          delivers what another one has left lying"""

import sys

import redis

what = sys.argv[1]
port, protocol, count = map(int, sys.argv[2:5])
client = redis.Redis(port=port, decode_responses=True, protocol=protocol)


def next_parcel() -> tuple[str, dict] | None:
    if what == "take-over":
        found = client.xautoclaim("depot:north", "couriers", "berta", 0, count=1)[1]
        return found[0] if found else None
    found = client.xreadgroup("couriers", "anna", {"depot:north": ">"}, count=1, block=100)
    if not found:
        return None
    return found["depot:north"][0][0] if isinstance(found, dict) else found[0][1][0]


def deliver(parcel: str, number: int) -> None:
    client.hset("depot:north:way", parcel, 50)
    client.incr("streets")
    if number % 3 == 2:
        client.xadd("depot:north:returned", {"parcel": parcel, "reason": "nobody at home"})
    client.xack("depot:north", "couriers", parcel)


if what == "post":
    client.xgroup_create("depot:north", "couriers", "0", mkstream=True)
    for number in range(count):
        print(client.xadd("depot:north", {"to": "a secret street", "kind": "letter"}), flush=True)
else:
    for number in range(count):
        parcel = next_parcel()
        assert parcel is not None, number
        assert parcel[1]["to"] == "a secret street"
        if what != "forget":
            deliver(parcel[0], number)
    assert what == "forget" or next_parcel() is None
