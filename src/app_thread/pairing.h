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
    uint32_t reserved;
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

/* False if the bound is reached or no buffer can be had. */
bool pairing_push(struct pairing *pairing, struct pairing_entry entry);

/* The newest entry, for the pusher; false if there is none. */
bool pairing_newest(struct pairing *pairing, struct pairing_entry *entry);
void pairing_update_newest(struct pairing *pairing, struct pairing_entry entry);
/* Takes the newest entry back. */
bool pairing_unpush(struct pairing *pairing, struct pairing_entry *entry);

/* The oldest entry, for the popper; false if there is none. */
bool pairing_oldest(struct pairing *pairing, struct pairing_entry *entry);
void pairing_update_oldest(struct pairing *pairing, struct pairing_entry entry);
void pairing_pop(struct pairing *pairing);

/* Gives the buffers back; the caller holds both directions and has popped everything. */
void pairing_finish(struct pairing *pairing);
