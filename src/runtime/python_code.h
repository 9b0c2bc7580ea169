/*
 * What Python's functions look like: whether one goes on for ever.
 *
 * A task that somebody has begun and that nobody waits for may be a part of that one's work, or a
 * worker that serves everybody. Whoever serves others in turn has a loop to do it in, and what it
 * gets from them (from a list, by an event, by a queue of any kind) need not pass anything that is
 * watched. So a task whose own functions loop otherwise than by `for` is held to be a worker: those
 * that it runs now, from the first one on, down to where a program's function calls a library's.
 *
 * A thread that somebody has begun may be a worker in more ways: a `for` may run over what waits
 * for more (a subscription's messages), a library's loop may call the program's functions, a
 * timer's function may begin the next timer, or send what many have piled up. So of a thread
 * everything is looked at from its beginning down to the innermost function of the program's. What
 * a `for` runs over, which such a function is in the middle of, must be a container: a range, a
 * list that stands there, what a dictionary or a text is asked for, or the value of a variable is
 * one. A function of the program's must not empty what it has not made, nor start what would run it
 * again.
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

/* Whether this thread, which has begun by what it runs outermost, is in no such function: then the
   program's function that it began with, which is only to be compared; else NULL. */
const void *python_code_thread_goes_straight(void);

/* The function that runs in the frame has that as its first variable: so it is learnt where frames
   keep them. */
void python_code_learn_variables(py_object *frame, const py_object *first);

/* Whether any of what a thread is begun with (a tuple, a dictionary) goes on to the next of what
   may be many, as generators do. */
bool python_code_brings_more(py_object *given);
