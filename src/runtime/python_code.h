/*
 * What Python's functions look like: whether one goes on for ever.
 *
 * A task that somebody has begun and that nobody waits for may be a part of that one's work, or a
 * worker that serves everybody. Whoever serves others in turn has a loop to do it in, and what it
 * gets from them (from a list, by an event, by a queue of any kind) need not pass anything that is
 * watched. So a task whose own functions loop otherwise than by `for` is held to be a worker: those
 * that it runs now, from the first one on, down to where a program's function calls a library's.
 */
#pragma once

#include <stdbool.h>

#include "runtime/python.h"

/* Whether the task, which runs now, is in no such function. */
bool python_code_goes_straight(py_object *task);

/* The same of the current greenlet, and nor in one that loops by `for`: what that asks for the next
   piece may wait for others, too. */
bool python_code_of_greenlet_goes_straight(void);

/* Whether a function of that name runs, which has called what runs now. */
bool python_code_is_within(const char *name);

/* Whether the task was begun by aiohttp's server, whose function is in that call still, and will
   wait for it. */
bool python_code_serves_at_once(py_object *task);
