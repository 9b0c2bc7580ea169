/* The page that all programs of one drainer share: its doorbell, and its sign of life. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "handoff/doorbell.h"

/* The drainer says this often that it lives, and is held for gone after so much silence: a busy
   machine may keep it waiting for a second. */
#define BELL_INTERVAL_NS UINT64_C(500000000)
#define BELL_SILENCE_NS  UINT64_C(3000000000)

/* How a child ended, as its parent was told: once it has asked, nobody else can. Each process has
   one place by its number, which another one takes over so many numbers later: a drainer whose bell
   was not rung, because who was about to ring it was killed, looks half a second later. */
#define BELL_ENDS 1024u

struct bell_end {
    _Atomic uint64_t word;     /* number 32 bits, namespace 16, status of wait 16 */
    _Atomic uint64_t ended_ns; /* CLOCK_BOOTTIME, when the parent was told */
};

struct bell_page {
    struct doorbell doorbell;
    _Atomic uint64_t alive_ns; /* CLOCK_MONOTONIC; the drainer stores */
    struct bell_end ends[BELL_ENDS];
};

#define BELL_PAGE_BYTES 20480u
_Static_assert(sizeof(struct bell_page) <= BELL_PAGE_BYTES, "whole pages");

/* Whether the drainer has said that it lives not long before `now_ns`; it may have said so since.
 */
static inline bool bell_page_is_alive(const struct bell_page *page, uint64_t now_ns)
{
    return now_ns < atomic_load_explicit(&page->alive_ns, memory_order_relaxed) + BELL_SILENCE_NS;
}

static inline uint64_t bell_end_key(int32_t process_id, uint32_t namespace_id)
{
    return (uint64_t)(uint32_t)process_id << 32 | (uint64_t)(namespace_id & 0xFFFFu) << 16;
}

/* Programs: a child has ended. */
static inline void bell_page_note_end(struct bell_page *page, int32_t process_id,
                                      uint32_t namespace_id, int status, uint64_t now)
{
    struct bell_end *end = &page->ends[(uint32_t)process_id % BELL_ENDS];
    atomic_store_explicit(&end->ended_ns, now, memory_order_relaxed);
    /* release: pairs with the acquire in bell_page_find_end */
    atomic_store_explicit(&end->word,
                          bell_end_key(process_id, namespace_id) | (uint32_t)(status & 0xFFFF),
                          memory_order_release);
}

/* The drainer: how a process ended that lived at `since_ns`; a status of wait, or -1. Programs can
   write what they like: it is a word about their own children. */
static inline int bell_page_find_end(const struct bell_page *page, int32_t process_id,
                                     uint32_t namespace_id, uint64_t since_ns)
{
    const struct bell_end *end = &page->ends[(uint32_t)process_id % BELL_ENDS];
    uint64_t word = atomic_load_explicit(&end->word, memory_order_acquire);
    bool is_its = (word & ~UINT64_C(0xFFFF)) == bell_end_key(process_id, namespace_id) &&
                  atomic_load_explicit(&end->ended_ns, memory_order_relaxed) >= since_ns;
    return is_its ? (int)(word & 0xFFFF) : -1;
}
