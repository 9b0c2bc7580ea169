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

struct bell_page {
    struct doorbell doorbell;
    _Atomic uint64_t alive_ns; /* CLOCK_MONOTONIC; the drainer stores */
};

/* Whether the drainer has said that it lives not long before `now_ns`; it may have said so since.
 */
static inline bool bell_page_is_alive(const struct bell_page *page, uint64_t now_ns)
{
    return now_ns < atomic_load_explicit(&page->alive_ns, memory_order_relaxed) + BELL_SILENCE_NS;
}
