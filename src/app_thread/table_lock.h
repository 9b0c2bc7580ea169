/*
 * The lock of a table that a process's threads share: its word is the epoch of the process that
 * holds it, 0 while nobody does. It is held for some thousand instructions at most, and never over
 * anything that may wait. A forked child takes it from a holder that was a thread of its parent's.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* False: its holder does not get on; nothing is taken. Tries for some microseconds, then gives a
   holder that lost its processor ten milliseconds to get it back: what it holds up otherwise is
   a job that is never told of. A holder that was waited for in vain is waited for once. */
bool table_lock_take(_Atomic uint32_t *lock);

static inline void table_lock_give(_Atomic uint32_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}
