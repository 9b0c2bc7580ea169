/*
 * The unanswered exchanges of one connection, oldest first.
 *
 * Who with whom: one thread pushes and takes back (the holder of the requests' direction), one pops
 * (the holder of the replies' direction), at the same time. Entries lie inline at first, then in a
 * chain of slab buffers. Bounded by LIMIT_PIPELINE.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

enum pairing_flag {
    PAIRING_HEAD = 1,     /* HTTP: the answer has no body */
    PAIRING_CONNECT = 2,  /* HTTP: a 2xx makes a tunnel */
    PAIRING_COMPLETE = 4, /* the request has been framed to its end */
    PAIRING_QUEUED = 8,   /* Redis: sent inside MULTI */
};

/* 8 bytes, so that both sides see an entry whole. */
struct pairing_entry {
    uint16_t slot;  /* SEGMENT_NO_SLOT: the exchange could not be recorded */
    uint8_t effect; /* Redis: enum redis_effect */
    uint8_t flags;  /* enum pairing_flag */
    uint32_t value; /* Redis: confirmations still to come, or the command's number */
};

#define PAIRING_INLINE 8u

/* New entries go inline while the chain is empty and there is room, else to the chain; so what lies
   inline is always older than what lies in the chain. */
struct pairing {
    _Atomic uint32_t inline_pushed; /* pusher writes */
    _Atomic uint32_t inline_popped; /* popper writes */
    _Atomic uint32_t chain_pushed;  /* pusher writes */
    _Atomic uint32_t chain_popped;  /* popper writes */
    uint32_t push_block;            /* pusher's; slab buffers, 0: none yet */
    uint32_t push_index;
    uint32_t pop_block; /* popper's */
    uint32_t pop_index;
    _Atomic uint32_t first_block; /* pusher writes once */
    /* Of the request at hand: what inject.h calls owed; 0: nothing. It stands here for the room. */
    _Atomic uint32_t owed;
    _Atomic uint64_t inline_entries[PAIRING_INLINE];
};

void pairing_init(struct pairing *pairing);

static inline uint32_t pairing_count(struct pairing *pairing)
{
    uint32_t chained = atomic_load_explicit(&pairing->chain_pushed, memory_order_acquire) -
                       atomic_load_explicit(&pairing->chain_popped, memory_order_acquire);
    return chained + atomic_load_explicit(&pairing->inline_pushed, memory_order_acquire) -
           atomic_load_explicit(&pairing->inline_popped, memory_order_acquire);
}

/* How many were ever pushed and not taken back; for the pusher. */
static inline uint32_t pairing_pushed(const struct pairing *pairing)
{
    return atomic_load_explicit(&pairing->chain_pushed, memory_order_relaxed) +
           atomic_load_explicit(&pairing->inline_pushed, memory_order_relaxed);
}

static inline uint64_t pairing_pack(struct pairing_entry entry)
{
    uint64_t packed;
    memcpy(&packed, &entry, sizeof(packed));
    return packed;
}

static inline struct pairing_entry pairing_unpack(uint64_t packed)
{
    struct pairing_entry entry;
    memcpy(&entry, &packed, sizeof(entry));
    return entry;
}

/* What lies inline is handled here, what lies in the chain by the functions named _slow. */

bool pairing_push_slow(struct pairing *pairing, struct pairing_entry entry);
bool pairing_oldest_slow(struct pairing *pairing, struct pairing_entry *entry);
void pairing_pop_slow(struct pairing *pairing);

static inline bool pairing_chain_is_empty(const struct pairing *pairing)
{
    return atomic_load_explicit(&pairing->chain_pushed, memory_order_relaxed) ==
           atomic_load_explicit(&pairing->chain_popped, memory_order_acquire);
}

/* False if the bound is reached or no buffer can be had. */
static inline bool pairing_push(struct pairing *pairing, struct pairing_entry entry)
{
    uint32_t pushed = atomic_load_explicit(&pairing->inline_pushed, memory_order_relaxed);
    uint32_t popped = atomic_load_explicit(&pairing->inline_popped, memory_order_acquire);
    if (unlikely(pushed - popped >= PAIRING_INLINE || !pairing_chain_is_empty(pairing))) {
        return pairing_push_slow(pairing, entry);
    }
    atomic_store_explicit(&pairing->inline_entries[pushed % PAIRING_INLINE], pairing_pack(entry),
                          memory_order_relaxed);
    /* pairs with the acquire in pairing_oldest */
    atomic_store_explicit(&pairing->inline_pushed, pushed + 1, memory_order_release);
    return true;
}

/* The newest entry, for the pusher; false if there is none. */
bool pairing_newest(struct pairing *pairing, struct pairing_entry *entry);
void pairing_update_newest(struct pairing *pairing, struct pairing_entry entry);
/* Takes the newest entry back. */
bool pairing_unpush(struct pairing *pairing, struct pairing_entry *entry);

/* The oldest entry, for the popper; false if there is none. */
static inline bool pairing_oldest(struct pairing *pairing, struct pairing_entry *entry)
{
    uint32_t pushed = atomic_load_explicit(&pairing->inline_pushed, memory_order_acquire);
    uint32_t popped = atomic_load_explicit(&pairing->inline_popped, memory_order_relaxed);
    if (unlikely(pushed == popped)) {
        return pairing_oldest_slow(pairing, entry);
    }
    /* acquire pairs with the release in pairing_update_newest */
    *entry = pairing_unpack(atomic_load_explicit(&pairing->inline_entries[popped % PAIRING_INLINE],
                                                 memory_order_acquire));
    return true;
}

void pairing_update_oldest(struct pairing *pairing, struct pairing_entry entry);

static inline void pairing_pop(struct pairing *pairing)
{
    uint32_t pushed = atomic_load_explicit(&pairing->inline_pushed, memory_order_acquire);
    uint32_t popped = atomic_load_explicit(&pairing->inline_popped, memory_order_relaxed);
    if (unlikely(pushed == popped)) {
        pairing_pop_slow(pairing);
        return;
    }
    atomic_store_explicit(&pairing->inline_popped, popped + 1, memory_order_release);
}

/* Gives the buffers back; the caller holds both directions and has popped everything. */
void pairing_finish(struct pairing *pairing);
