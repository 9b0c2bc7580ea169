/*
 * Python's queues: whoever takes a thing out of one works for the request for which it was put in.
 *
 * Queues of the program's own are consumed by threads, tasks or greenlets that show nothing of
 * whose work they do. But queue.Queue and asyncio.Queue keep what is in them in a deque,
 * SimpleQueue and gevent's queues are compiled; so the methods that all of them call are watched in
 * place, as those of pools are (runtime/python_pools.h). What is put in for an open request is
 * noted by its place in the order, and who takes the thing that has that place works for that
 * request until it takes the next one. A thing that was put in for nobody makes its taker nobody's.
 *
 * A deque belongs to a queue if it is used by the very functions `_put` and `_get` of those
 * classes. It counts its changes: one that was not seen makes all that is in it nobody's. Queues of
 * another order (LIFO, by priority) use functions of their own and stay unknown.
 *
 * A queue may be something else than a way for work. Then it hands nothing over any more, for good:
 * - who takes from it works for a request already: it holds answers, or things that are lent;
 * - who has taken a thing puts the same one back: that was lent;
 * - somebody has taken one thing more before it sent anything for the last, and they are not for
 * the same request: it collects, or is ahead, and which one it works for is not known. And a thing
 * may be no work, but say that there is some: None, numbers and texts that Python shares, one that
 * is in the queue twice. Nor is what was not waited for (get_nowait).
 * What a taker puts into the queue that it takes from is nobody's: it may be what has waited until
 * somebody is free.
 *
 * All that does not hold for the queues of anyio's threads, which are known by the function that
 * takes: what they do for a thing is over when they take the next one, whether they send or not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/thread_state.h"
#include "runtime/python.h"

/* What a thread, task or greenlet has taken last. */
struct python_taken {
    uint32_t queue; /* 0: nothing yet */
    uintptr_t item; /* is only compared, as its first part is */
    uintptr_t part;
    uint64_t sent;      /* changes with what the taker sends */
    uint8_t span_id[8]; /* for whom; zeros: for nobody */
    bool is_ahead;      /* it took this before it had sent anything for the one before */
};

/* `next` follows; false: which of them its taker works for cannot be told any more. */
static inline bool python_taken_follows(const struct python_taken *last, uint64_t sent,
                                        struct python_taken *next)
{
    next->is_ahead = last->queue != 0 && (last->is_ahead || last->sent == sent);
    return !next->is_ahead || memcmp(last->span_id, next->span_id, sizeof(next->span_id)) == 0;
}

/* What is known of whose code runs on this thread now. Called with Python's lock. */
struct python_takers {
    /* For whom it works, where the thread itself does not show it; NULL: that is not proven. */
    struct thread_context *(*cause)(void);
    /* Code of a loop has taken that, and works for `work` from now on, NULL: for nobody. False: the
       queue is not used as one. */
    bool (*take)(const struct thread_context *work, const struct python_taken *what);
    /* What the code of a loop has taken last; NULL: nothing. */
    const struct python_taken *(*last)(void);
    /* Whether that is what a loop will call; and that it will, if it is. The latter is called for
       all that is put into a loop's own deque. */
    bool (*is_handle)(const py_object *item);
    void (*schedules)(py_object *item);
};

/* There is Python in this process. */
void python_queues_prepare(const struct python_takers *takers);

/* What is taken out of queues by popleft is watched from now on; false: it cannot be. The functions
   below follow this one. Each is called with Python's lock. */
bool python_queues_watch_deque(void);

/* Looks which kinds of queues the program has loaded. */
void python_queues_look(void);

/* Whether it has not loaded all of them yet. Needs no lock. */
bool python_queues_may_come(void);

/* An item was put into, or taken out of, a queue that is C's own (SimpleQueue). `is_waiting`: its
   taker would have waited for it. */
void python_queues_put(py_object *queue, const py_object *item);
void python_queues_took(py_object *queue, const py_object *item, bool is_waiting);

/* Whether a method `get` with these arguments would wait. */
bool python_queues_would_wait(void *const *arguments, void *count, const py_object *names);

/* Whether that is the code of asyncio's `get`. */
bool python_queues_is_get(const py_object *code);

/* Whether this thread, which runs no loop, has taken anything out of a queue. */
bool python_queues_has_taken(void);
