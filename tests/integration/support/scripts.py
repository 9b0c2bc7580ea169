"""What every client does: the same requests and commands, in files that each language can read."""

import pathlib

# METHOD TARGET BODY-BYTES. Each target is unique, so that a span can be told by it alone.
HTTP = """\
GET /hello?n=1 0
POST /echo?n=2 1000
HEAD /hello?n=3 0
GET /missing?n=4 0
GET /chunked?n=5 0
GET /empty?n=6 0
GET /cached?n=7 0
GET /redirect?n=8 0
GET /big?n=9 0
PUT /echo?n=10 200000
DELETE /hello?n=11 0
GET /error?n=12 0
GET /slow?n=13 0
PATCH /echo?n=14 10
GET /close?n=15 0
GET /hello?n=16 0
HEAD /big?n=17 0
POST /echo?n=18 70000
"""

# Words; @N is N times 'x'.
REDIS = """\
PING
SET wirespan:a secret-value
GET wirespan:a
GET wirespan:none
HSET wirespan:h f1 secret-1 f2 secret-2
HGET wirespan:h f1
INCR wirespan:a
LPUSH wirespan:l secret-one two
HGET wirespan:l f
SET wirespan:big @20000
GET wirespan:big
SET wirespan:huge @200000
GET wirespan:huge
RPUSH wirespan:q 1 2 3
BLPOP wirespan:q 1
ZADD wirespan:z 1 a 2 b
EVAL return(ARGV[1]) 0 secret-argument
EVALSHA 0123456789012345678901234567890123456789 0
EXPIRE wirespan:a 100
DEL wirespan:a wirespan:none
NOSUCHCOMMAND x
LRANGE wirespan:l 0 -1
"""


def write(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes both scripts; returns their paths, HTTP first."""
    http, redis = folder / "http.script", folder / "redis.script"
    http.write_text(HTTP)
    redis.write_text(REDIS)
    return http, redis


def http_steps() -> list[tuple[str, str, int]]:
    return [(method, target, int(size)) for method, target, size in map(str.split, HTTP.splitlines())]


def redis_steps() -> list[str]:
    return [line.split(" ")[0] for line in REDIS.splitlines()]
