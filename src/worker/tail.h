/*
 * Tail sampling: a trace is judged as a whole, once all of it has been seen.
 *
 *     record --tail_take--> waits with its trace --judged--> kept: tail_next, or dropped
 *
 * The policy `seeds`: all of a trace is kept if something of it failed, if it took longer than
 * TAIL_SLOW_NS, or if it is of a customer that matters; of the others those that took longer than
 * TAIL_MEDIUM_NS by half, the rest by a tenth. Fractions are decided by the trace's own id, as the
 * sampler decides them: whoever judges the trace as long or short as we do keeps it or drops it as
 * we do, and who keeps a smaller part keeps a part of ours.
 *
 * Traces of which one links to the other (a request and the jobs that it submitted) are one group:
 * one duration, and one reason to keep all of it. A group waits until nothing came for a while and
 * nothing of it is open, or until there is a reason. What was judged is remembered, so that what
 * comes late goes the same way; a late reason still saves what follows it.
 *
 * Memory is bounded (LIMIT_TAIL_BYTES): beyond it the group that was quiet for longest is judged by
 * what is known. One thread uses it. Times are monotonic but for a span's own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "handoff/record.h"
#include "handoff/segment.h"
#include "worker/resource.h"
#include "worker/span.h"

#define TAIL_SLOW_NS   UINT64_C(5000000000)
#define TAIL_MEDIUM_NS UINT64_C(1000000000)
/* Thresholds of consistent probability sampling (process/sampling_ratio.h) for 1/2 and 1/10. */
#define TAIL_MEDIUM_THRESHOLD (UINT64_C(1) << 55)
#define TAIL_REST_THRESHOLD   (UINT64_C(0xe666) << 40)

/* A higher one keeps what a lower one keeps. */
enum tail_class { TAIL_REST, TAIL_MEDIUM, TAIL_ALL };

enum tail_verdict {
    TAIL_HELD,   /* it waits, as a copy */
    TAIL_PASSES, /* to be exported now, by the caller */
    TAIL_DROPPED,
    TAIL_NO_ROOM /* lost: what is kept is not taken from here, and fills the memory */
};

struct tail_counts {
    uint64_t kept_traces;
    uint64_t kept_spans;
    uint64_t dropped_traces;
    uint64_t dropped_spans;
    uint64_t hurried_traces; /* of all these: judged before their time, for want of memory */
};

struct tail;

/* `customers` is a list with commas of those that matter, beside those whose jobs say so of
   themselves; it is borrowed. NULL: no memory. */
struct tail *tail_create(uint64_t wait_ns, struct slice customers, size_t max_bytes);
struct tail *tail_destroy(struct tail *tail);

/* A record of which `span` was built. What waits is copied, and holds a reference to `resource`. */
enum tail_verdict tail_take(struct tail *tail, const struct record *record, const struct span *span,
                            struct segment_clock clock, struct resource *resource, uint64_t now_ns);

/* The moment at which the first group will have waited long enough; UINT64_MAX: none waits. */
uint64_t tail_next_ns(const struct tail *tail);

/* Something of the trace is still open: its group goes on waiting. */
void tail_note_open(struct tail *tail, const uint8_t trace_id[16], uint64_t now_ns);

/* Judges the groups whose time is over; with UINT64_MAX all of them. */
void tail_judge(struct tail *tail, uint64_t now_ns);

/* Moves the next kept record into `*record`; the reference to `*resource` is the caller's then. */
bool tail_next(struct tail *tail, struct record *record, struct segment_clock *clock,
               struct resource **resource);

/* Whether kept records wait for tail_next. */
bool tail_has_kept(const struct tail *tail);
/* Whether anything waits to be judged. */
bool tail_is_waiting(const struct tail *tail);
size_t tail_bytes(const struct tail *tail);
const struct tail_counts *tail_count(const struct tail *tail);
