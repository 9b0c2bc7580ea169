/* A process that observes, without one: a segment and the page that leads to it, in memory of the
   test's own. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "handoff/segment.h"

/* What attachment_renew gives. */
static struct segment *attached_segment;

static inline struct segment *give_attached(struct attachment *page)
{
    page->random_seed = 42;
    atomic_store(&page->epoch, 7);
    page->doorbell = &attached_segment->doorbell;
    return attached_segment;
}

/* A segment of so many slots, which is given when it is asked for; it and `attachment` are new, and
   the caller's to free. */
static inline struct segment *attach_segment(uint32_t slots)
{
    size_t size = segment_size(slots);
    attached_segment = aligned_alloc(64, (size + 63) / 64 * 64);
    attachment = calloc(1, 4096);
    memset(attached_segment, 0, size);
    segment_initialize(attached_segment, slots, 1, (struct segment_clock){1, 1});
    attachment_renew = give_attached;
    atomic_store(&attachment_is_on, true);
    return attached_segment;
}

/* Reads what is left in it, and frees both. False if a slot is in use then. */
static inline bool detach_segment(struct segment_reader *reader, uint32_t slots)
{
    struct record record;
    uint32_t used = 0;
    while (segment_reader_next(reader, &record)) {
    }
    for (uint32_t i = 0; i < slots; i++) {
        used += atomic_load(&attached_segment->states[i]) != SLOT_FREE;
    }
    free(attached_segment);
    free(attachment);
    return used == 0;
}
