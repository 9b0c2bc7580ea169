/*
 * What passes between threads that block, while the process serves a single request: a thread that
 * works for it wakes another one (a condition, a semaphore) or makes it, and what that one does
 * then is for the request, too. So the work of pools is seen, and of threads that a request begins.
 *
 * It is asked of a thread that calls and works for nobody. What it was woken for ends with the
 * request, and when somebody wakes it who does not work for that; a wait that was over its time
 * brings nothing new. Not everything that is woken works for who woke it, so it is not believed
 * - while more than one request is open: locks wake threads, too, in the order in which they came;
 * - of a thread that has called while nobody was served, or without having been woken: that has
 *   reasons of its own, for its next LIMIT_HANDOVER_DOUBT calls;
 * - of one that was woken for others before, and has not called since: it collects (for one other,
 if the request's own thread waits now: pools wake a thread too many);
 * - of a thread that was made, once the request's own goes on, or a wait of it was over its time:
 it may be made to serve all.
 * Where the runtime itself says whose work its code does, nothing of this is asked.
 *
 *     signals, threads  written by any thread; each place is one value and its number
 *     request           written by a thread that works for the request (version)
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app_thread/thread_state.h"
#include "app_thread/witness.h"
#include "base/compiler.h"

/* Blocking threads serve requests here, and no witness knows whose work they do. */
extern _Atomic bool handover_matters;

static inline bool handover_is_watched(void)
{
    return unlikely(atomic_load_explicit(&handover_matters, memory_order_relaxed));
}

/* A blocking thread has read its first request. */
static inline void handover_begin(void)
{
    if (witness == NULL) {
        atomic_store_explicit(&handover_matters, true, memory_order_relaxed);
    }
}

/* This thread is about to wake who waits for that; is about to wait for it; has waited, and was
   woken or not; is about to make a thread; has made that one (a pthread_t; 0: it is not known). To
   be called where handover_is_watched. */
void handover_wakes(struct thread_state *self, const void *object);
void handover_waits(struct thread_state *self, const void *object);
void handover_waited(struct thread_state *self, const void *object, bool was_woken);
void handover_makes(struct thread_state *self);
void handover_made(struct thread_state *self, uintptr_t thread);

/* This thread, which runs a loop, has read the answer to a call with that parent: until it waits
   again, who it wakes is told of that. */
void handover_answered(struct thread_state *self, const uint8_t parent_span_id[8]);

/* For whom this thread works by what it was handed; a copy, which may still have as many spans.
   False: it is not known. */
bool handover_find(struct thread_state *self, struct thread_context *work);

/* The same where a client sends: the thread works for that until trace_context_give_back. */
bool handover_lend_slow(struct thread_state *self);
static inline bool handover_lend(struct thread_state *self)
{
    return handover_is_watched() && handover_lend_slow(self);
}
