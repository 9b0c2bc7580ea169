/* What drives an exporter by hand: a transport that takes every batch, seams that draw the same,
   and a segment with records in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "handoff/segment.h"
#include "worker/exporter.h"
#include "worker/transport/transport.h"

/* Delivers at once, after `take` has looked at the batch. */
struct drained_sink {
    struct transport base;
    void (*take)(const struct export_batch *batch);
    struct export_batch batch;
};

static inline int drained_begin(struct transport *transport, const struct export_batch *batch)
{
    ((struct drained_sink *)transport)->batch = *batch;
    return 0;
}

static inline enum transport_result drained_step(struct transport *transport,
                                                 struct transport_outcome *outcome)
{
    const struct drained_sink *sink = (const struct drained_sink *)transport;
    (void)outcome;
    sink->take(&sink->batch);
    return TRANSPORT_DELIVERED;
}

static inline size_t drained_descriptors(struct transport *transport, struct pollfd *into,
                                         size_t capacity, int *timeout_ms)
{
    (void)transport;
    (void)into;
    (void)capacity;
    (void)timeout_ms;
    return 0;
}

static inline void drained_nothing(struct transport *transport)
{
    (void)transport;
}

static const struct transport_ops drained_ops = {
    .name = "sink",
    .begin = drained_begin,
    .step = drained_step,
    .descriptors = drained_descriptors,
    .cancel = drained_nothing,
    .destroy = drained_nothing,
};

/* struct exporter_seams */
static inline uint64_t drained_draw(void *context)
{
    (void)context;
    return 4;
}

/* A segment of so many slots, empty. Released with free; `*size` are its bytes. */
static inline struct segment *drained_create(uint32_t slots, struct segment_clock clock,
                                             size_t *size)
{
    *size = segment_size(slots);
    struct segment *segment = aligned_alloc(64, (*size + 63) / 64 * 64);
    if (segment == NULL) {
        abort();
    }
    memset(segment, 0, *size);
    segment_initialize(segment, slots, 1, clock);
    return segment;
}

/* Claims `count` records, which `make` fills; `number` counts from `first`. `run` after each other
   go to one ring. All are completed but, unless that is 0, every `open_each`th. */
static inline void drained_fill(struct segment *segment, uint32_t count, uint64_t first,
                                uint32_t run, uint32_t open_each,
                                void (*make)(struct record *record, uint64_t number))
{
    uint32_t cursor = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t slot = segment_claim(segment, &cursor);
        make(segment_record(segment, slot), first + i);
        segment_open(segment, slot);
        if (open_each == 0 || i % open_each != 0) {
            segment_complete(segment, &segment->doorbell, slot, i / run);
        }
    }
}
