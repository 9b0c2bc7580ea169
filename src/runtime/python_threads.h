/*
 * Python's threads that a request starts (threading.Thread, threading.Timer): what such a thread
 * sends is sent for that request, until the thread shows that it serves others, too.
 *
 * A thread is known by its object: who starts it has that in its hands when the thread is made, and
 * the thread's own first function has it, too. Nothing is held or changed for that.
 *
 * A thread that the first of many requests has begun may serve all. So before it sends something by
 * a method of a socket of Python's it is looked at, with Python's lock, whether its functions go
 * straight (runtime/python_code.h), and for that one call the thread works for the request. One
 * that was begun with a generator is given more than what is there. A thread that has taken from a
 * queue works for whom that says; one whose first function is that of a thread which led to it is a
 * clock. What is sent otherwise than by a socket of Python's (by libcurl, say) is nobody's.
 *
 * Not told from others is a thread without a loop that is given another request's work once: by
 * functions that lie deeper than those that it names, or by a future.
 */
#pragma once

#include "app_thread/thread_state.h"
#include "runtime/python.h"

/* For whom Python's code on this thread works, where the thread itself does not show it; NULL: that
   is not proven. Called with Python's lock. Set once at the start. */
typedef struct thread_context *python_threads_parent(void);
void python_threads_prepare(python_threads_parent *parent);

/* Python's code on this thread makes a thread now. Called with Python's lock. */
void python_threads_making(void);

/* The request that has started this thread, which works for it now; NULL: none, or that is not
   proven. Called with Python's lock. */
struct thread_context *python_threads_cause(void);
