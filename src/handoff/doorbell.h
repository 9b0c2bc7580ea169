/*
 * The doorbell: how application threads wake the drainer of one or many segments.
 *
 * The drainer announces that it sleeps and what would wake it, looks at the segments once more, and
 * waits on the word. Whoever completes a record looks at the announcement after the record is in
 * its ring (both seq_cst): either the completer sees the announcement or the drainer the record.
 *
 * word    counts the rings; wakers add, the drainer waits on it (a futex that processes share)
 * asleep  enum drainer_sleep; the drainer stores, the first waker takes it back
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"

enum drainer_sleep {
    DRAINER_AWAKE = 0,
    DRAINER_IDLE = 1, /* ring at the next completion */
    DRAINER_TIMED = 2 /* ring only when a backlog builds up */
};

struct doorbell {
    _Atomic uint32_t word;
    _Atomic uint32_t asleep;
};

/* ---- application threads ---- */

/* Wakes the drainer if nobody has yet: only the first of many wakers pays for the system call. */
SLOW void doorbell_wake(struct doorbell *doorbell);

/* Wakes the drainer whatever it waits for. */
void doorbell_ring(struct doorbell *doorbell);

/* ---- the drainer ---- */

/* What the word is now: to be read before the announcement. */
static inline uint32_t doorbell_word(struct doorbell *doorbell)
{
    return atomic_load_explicit(&doorbell->word, memory_order_acquire);
}

static inline void doorbell_announce(struct doorbell *doorbell, enum drainer_sleep sleep)
{
    atomic_store_explicit(&doorbell->asleep, (uint32_t)sleep, memory_order_seq_cst);
}

/* Waits until the word is another than `word`, or `timeout_ns` passed. */
void doorbell_wait(struct doorbell *doorbell, uint32_t word, uint64_t timeout_ns);
