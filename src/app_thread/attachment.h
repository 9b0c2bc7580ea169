/*
 * The process's attachment to its segment.
 *
 * It lives in a page of its own that the kernel wipes in the child of a fork (MADV_WIPEONFORK), by
 * whatever way the fork came about, and that stays as it is in a vfork child. A wiped page means: a
 * new process, which needs a segment of its own; exchanges begun before belong to the parent.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/limits.h"
#include "handoff/segment.h"
#include "handoff/witness_state.h"

enum attachment_renewal_state {
    RENEWAL_NONE = 0, /* nobody has tried: a new process */
    RENEWAL_BUSY = 1, /* one thread is at it */
    RENEWAL_DONE = 2  /* there is a segment, or none can be had */
};

/* The one open request of the process, where there is only one; see turn.h. */
struct sole_request {
    _Atomic uint32_t open;   /* requests that are being served */
    _Atomic uint32_t begun;  /* ever */
    _Atomic uintptr_t owner; /* the thread whose turns are its own */
    uint32_t count;          /* the owner's: connections that carry its calls */
    uint32_t connections[LIMIT_SOLE_CONNECTIONS];
};

struct attachment {
    _Atomic(struct segment *) segment; /* NULL: observation is off, or the process is new */
    _Atomic uint32_t epoch;            /* differs from segment to segment; see below */
    _Atomic uint32_t renewal;          /* enum attachment_renewal_state */
    _Atomic int32_t process_id;        /* 0 in the child of a fork until it is asked for */
    uint64_t random_seed;
    _Atomic uint32_t next_serial;    /* of connections */
    _Atomic uint32_t next_ring;      /* of threads */
    _Atomic uint32_t wants_exporter; /* there are exchanges of connections that nobody announced */
    struct doorbell *doorbell;       /* of the segment's drainer */
    uint32_t place;                  /* of the segment in its arena, where there is one */
    _Atomic uint32_t is_asking;      /* one thread asks for an arena */
    _Atomic uint64_t asked_ns;       /* when one did */
    struct sole_request sole;
    /* Requests that were answered by the threads that read them, since one was not; up to
       LIMIT_READERS_SHOWN. See trace_context_answers. */
    _Atomic int32_t readers;
};

/* The page; NULL before start, or if it could not be had. */
extern struct attachment *attachment;

/* Whether observation is switched on in this program. Set once at start. */
extern _Atomic bool attachment_is_on;

/* Traces whose randomness is below are not sampled; 0: all are, 2^56: none. Set once at start. */
extern uint64_t attachment_sampling_threshold;

/* The sampler takes the parent's word for it (parentbased_*). Set once at start. */
extern bool attachment_sampling_follows_parent;

/* Requests are framed before the call that sends them, where their bytes can be read: somebody
   outside exports, so that a request whose sender is killed in the middle of the call is known.
   Set once at start. */
extern bool attachment_frames_ahead;

/* `traceparent` and `tracestate` in requests are read, and `baggage` (OTEL_PROPAGATORS). Set once
   at start. */
extern bool attachment_reads_traceparent;
extern bool attachment_reads_baggage;

/* Whoever submits jobs is observed as well, so that the submission's span, whose id both sides come
   to, is there to be a parent. Set once at start. */
extern bool attachment_producers_are_traced;

/* A request that is served for so long, or that has so many spans below it, is given no more of
   them. Set once at start. */
extern uint64_t attachment_context_age_ns;
extern uint32_t attachment_context_spans;

/* Diagnosis: every connection that carried bytes is also reported as a span of its own with its
   counts, whatever was read of it. Set once at start. */
extern bool attachment_reports_connections;

/* Notes how far the runtime's witness has come, where whoever looks at the process finds it: in its
   segment, and in those that it will have. */
void attachment_note_witness(enum witness_state state);

/* What the process folder lends: makes a segment for a process that was born by fork. Called on an
   application thread; must not wait. NULL: no segment can be had. */
typedef struct segment *attachment_renewal(struct attachment *attachment);
extern attachment_renewal *attachment_renew;

SLOW struct segment *attachment_segment_slow(void);

/* The segment of this process, or NULL: then nothing is to be observed. */
static inline struct segment *attachment_segment(void)
{
    struct attachment *page = attachment;
    if (unlikely(page == NULL)) {
        return NULL;
    }
    struct segment *segment = atomic_load_explicit(&page->segment, memory_order_acquire);
    return likely(segment != NULL) ? segment : attachment_segment_slow();
}

static inline struct doorbell *attachment_doorbell(void)
{
    return attachment->doorbell;
}

/* An epoch is the number of a segment that a process has had: it is odd, its low byte counts on
   when the segment is replaced, and what is above differs from process to process. */
#define ATTACHMENT_NEXT_SEGMENT 2u
#define ATTACHMENT_NEXT_PROCESS 0x100u

static inline uint32_t attachment_epoch(void)
{
    return atomic_load_explicit(&attachment->epoch, memory_order_relaxed);
}

/* What was begun in that epoch was begun by this process, and not by one that it was forked from.
 */
static inline bool attachment_is_of_process(uint32_t epoch)
{
    return (epoch ^ attachment_epoch()) < ATTACHMENT_NEXT_PROCESS;
}

/* Takes a new segment in the place of the one that nobody drains any more; to be called where no
   data passes. What is open there is lost with it; connections go on. Without a new one the old one
   stays. */
void attachment_replace_segment(void);

/* attachment_segment(), which waits for a moment if another thread attaches the new process just
   now, or asks for it; to be called where no data passes, so that no connection's first bytes are
   missed. */
struct segment *attachment_await_segment(void);

/* This process's id, remembered in the page. In a vfork child that is the parent's. */
int32_t attachment_process_id(void);
