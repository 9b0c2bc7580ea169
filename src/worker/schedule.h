/*
 * When to send what waits.
 *
 * At once when a batch is full; else when the schedule's delay has passed since the last export.
 * The first export waits for a moment of quiet only: a short program may end without any chance to
 * flush (a signal's default action runs no code), so its beginnings should be out soon.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_NEVER    UINT64_MAX
#define SCHEDULE_QUIET_NS UINT64_C(250000000)

struct schedule {
    uint64_t delay_ns;
    bool has_exported;
    uint64_t last_export_ns;   /* end of the last export */
    uint64_t first_waiting_ns; /* when the oldest span that waits came in; 0: none waits */
    uint64_t last_span_ns;
};

/* A span came in. */
static inline void schedule_note_span(struct schedule *schedule, uint64_t now_ns)
{
    if (schedule->first_waiting_ns == 0) {
        schedule->first_waiting_ns = now_ns;
    }
    schedule->last_span_ns = now_ns;
}

/* All that waited was taken into a batch (`rest` false), or a part of it. */
void schedule_note_batch(struct schedule *schedule, uint64_t now_ns, bool rest);

/* A batch was delivered or given up. */
void schedule_note_export(struct schedule *schedule, uint64_t now_ns);

/* The moment at which what waits is due, SCHEDULE_NEVER if nothing waits. */
uint64_t schedule_due(const struct schedule *schedule);
