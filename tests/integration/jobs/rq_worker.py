"""RQ's own worker, until the queue is empty. usage: PORT"""

import sys

import redis
import rq

connection = redis.Redis(port=int(sys.argv[1]))
rq.Worker([rq.Queue("pictures", connection=connection)], connection=connection).work(burst=True)
