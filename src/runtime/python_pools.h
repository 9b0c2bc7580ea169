/*
 * Python's pools: of threads (concurrent.futures, and with it asyncio.to_thread and
 * run_in_executor): what is handed to a pool's thread is done for whoever handed it over.
 *
 * An item of work goes through a queue of C's own, in and out as the same object. The functions of
 * that queue are watched in place (runtime/python_method.h). So who puts an item in is known when
 * it is taken out, however many threads there are; until the thread asks for the next item it works
 * for the one who put this in. A thread that begins to take from a queue of the program's own works
 * for whom that says (runtime/python_queues.h), or for nobody. Threads of trio's are handed what to
 * do in the same way, by a lock.
 *
 * A process of Celery's pools (billiard) is sent what to do as a pickled message. Of what it has
 * unpickled the task's id is looked up among the jobs that its parent has claimed.
 */
#pragma once

#include <stdbool.h>

#include "app_thread/thread_state.h"

/* For whom Python's code on this thread works, where the thread itself does not show it; NULL: that
   is not proven. Called with Python's lock. Set once at the start. */
typedef struct thread_context *python_pools_cause(void);

/* There is Python in this process. */
void python_pools_prepare(python_pools_cause *cause);

/* This thread of Python's does something at which time does not matter: time to look
   whether the program has loaded what pools are made of. */
void python_pools_look(void);

/* This thread is about to make another one. A program's first pool is loaded, and handed its first
   item, in one go: this is the first that is heard of it. */
void python_pools_making_thread(void);
