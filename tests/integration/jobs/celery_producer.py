"""Submits tasks to Celery. usage: COUNT; ids on stdout."""

import sys

import celery_tasks

for number in range(int(sys.argv[1])):
    print(celery_tasks.resize.apply_async((number, "x" * 3000), queue="pictures").id, flush=True)
