/*
 * CPython as a witness (app_thread/witness.h): asyncio's own event loops, uvloop, and greenlets of
 * gevent.
 *
 * Python carries a value with asynchronous work: a context variable. A task has a context of its
 * own, which begins as a copy of the one of the code that made it. When the head of a request was
 * read, a capsule with the request's number is put into a variable of ours in the contexts that
 * serve that connection: the one that reads it, from which a protocol makes a task for each
 * request, and the one of the task that waits for what is read. For greenlets it is the context of
 * the greenlet that has read, and no other: workers that a request starts serve others, too.
 *
 * Python's functions may be called only by who holds its lock, and Python gives it up around
 * sockets' calls. So a number is put in by a pending call (Py_AddPendingCall), which Python makes
 * on its main thread before the next instruction; it runs no Python code and waits for nothing. A
 * number is read without any call: the current context is the thread's own, what it consists of
 * does not change, and it lives as long as it is current. Where its parts stand in memory is tried
 * out first, with contexts of ours; if anything is not where it is looked for, Python says nothing.
 *
 * What is inherited proves little: a worker that a request has started serves others, too. So
 * whoever sends with a number that was not put there by us is looked at once more, by a pending
 * call right after the send: it is believed if it is waited for by the request's own task, directly
 * or by means of asyncio's (gather, wait_for, shield, groups) or anyio's groups, or if it is kept
 * in a server's set of tasks, one for each request. Else the record is a root again, before it can
 * be answered.
 *
 * A task that begins at once (from Python 3.12 on, and so aiohttp's for each request) runs up to
 * where it waits for the first time inside the call of who begins it. If the request's own code has
 * entered the task's context, it is believed as what that has begun is, or if aiohttp has.
 *
 * A task that nobody waits for is believed, too, if the request's own code has begun it, or a task
 * that is believed, and if it is no worker: none of its functions loops but by `for`
 * (runtime/python_code.h). That its first step is put into the loop's deque is seen by the watch on
 * deques; then its context gets a number of its own, by which it is known. What it takes out of a
 * queue makes it work for whom that says. Not told from others is a task without such a loop that
 * is given another request's work once: by a list that it reads late, a future, or a queue that has
 * another order than that of coming.
 *
 * tornado reads by streams of its own: whoever waits for what a stream reads serves its connection,
 * or the server's task that asks for it later. The task that it begins for a request is believed
 * whatever it runs. Its client has a queue: what it begins when another request has ended is of
 * whoever waits for the answer, and else nobody's, whatever it has inherited.
 *
 * A greenlet begins with an empty context. gevent tells of each that is begun; one that a request's
 * own greenlet has begun, or one that is believed, is given a context with a number of its own. It
 * is believed after each send, as a task is, where its functions do not loop at all (a `for` may
 * wait for others, too), or where the request's own greenlet waits for its end. gevent's own imap,
 * whose loop is compiled, begins others for a request only out of lists, tuples and ranges.
 *
 * uvloop reads for all connections of a server in one context, and shows neither that nor its
 * transports. But it calls the protocol with what it has read, so the first instruction after a
 * read is the protocol's, in that context. What is made there later may have the number of another
 * connection's request; so a server's task is believed if what it runs holds the connection.
 *
 * Nothing is said of loops in other threads than the main one, in interpreters other than the main
 * one, and in builds without the lock. Of what other threads do for a task only the pools of
 * runtime/python_pools.h, the queues of runtime/python_queues.h and the beginnings of threads
 * (runtime/python_threads.h) tell. Queues also tell for whom a task or greenlet works that has
 * taken something out: its context gets a number of its own.
 */
#pragma once

#include <stdbool.h>

/* Makes CPython the witness if this program is one. NULL if it is done or this is no Python, else
   why it cannot be. To be called once, before observation is switched on. With `tells` what fails
   later is said on stderr, once. */
const char *python_witness_prepare(bool tells);
