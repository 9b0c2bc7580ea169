/*
 * The worker side's one object: segments in, spans through the queue, batches out.
 *
 *     sources --drain--> spans --encode--> queue --batch--> outlets (delivery, transport)
 *
 * One thread uses it. Time, randomness and stderr are passed in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "handoff/segment.h"
#include "process/config.h"
#include "worker/backlinks.h"
#include "worker/batch.h"
#include "worker/delivery.h"
#include "worker/profile.h"
#include "worker/queue.h"
#include "worker/report.h"
#include "worker/resource.h"
#include "worker/schedule.h"
#include "worker/span.h"
#include "worker/tail.h"
#include "worker/uploads.h"
#include "worker/worker.h"
#include "worker/workflow.h"

struct exporter_seams {
    void *context;
    /* The same moment on both clocks. */
    void (*clock)(void *context, struct segment_clock *now);
    uint64_t (*random)(void *context);
    report_writer *write;
    const char *root; /* see struct resource_source */
    uint64_t boot_time_ns;
    bool serves_others; /* launcher and agent: more processes may come */
};

/* A segment that is drained. */
struct source {
    struct segment *segment;
    struct segment_reader reader;
    struct resource *resource;
    struct segment_clock clock; /* our copy: what is in the segment is not trusted */
    uint64_t clock_renewed_ns;  /* 0: never */
    uint64_t losses_seen[LOSS_COUNT];
    uint64_t losses_untold[LOSS_COUNT]; /* not in a losses span yet */
    uint64_t told_ns;                   /* Unix time up to which losses were told */
};

/* A way out. */
struct outlet {
    struct delivery delivery;
    struct schedule schedule;
    struct batch_buffer buffer;
    uint64_t exported; /* spans */
};

struct exporter {
    struct config config;
    struct span_limits limits;
    struct exporter_seams seams;
    struct report report;
    struct queue queue;
    struct outlet outlets[LIMIT_TRANSPORTS];
    uint32_t outlet_count;
    struct source **sources;
    uint32_t source_count;
    uint32_t source_capacity;
    uint64_t losses[LOSS_COUNT];        /* all that is known, of segments and of our own */
    uint64_t losses_untold[LOSS_COUNT]; /* of our own, not in a losses span yet */
    uint64_t losses_watched_ns;
    uint64_t losses_told_ns;        /* monotonic; the last losses spans */
    bool flushes;                   /* the last step was asked to flush */
    bool has_more;                  /* the last step left records behind */
    bool is_held;                   /* for want of room in the queue */
    uint32_t turn;                  /* the source that is drained first */
    uint32_t drained;               /* records that the last step took */
    struct tail *tail;              /* NULL: every trace is kept */
    struct resource *tail_resource; /* of the first process: what tells of the policy is its */
    struct tail_counts tail_told;
    uint64_t tail_looked_ns; /* at what is open */
    bool concludes;
    struct profile *profile; /* NULL: spans keep the names that they are built with */
    struct backlinks backlinks;
    struct uploads uploads;
    struct workflows workflows;
    struct record follow[WORKFLOW_RECORDS];
    struct span span;
    struct record record;
};

/* Takes over the transports, also on failure (NULL: no memory). `config` is copied; its slices
   borrow from the environment's snapshot, which must outlive the exporter. A console is sent to at
   once, others by the schedule. */
struct exporter *exporter_create(const struct config *config, const struct exporter_seams *seams,
                                 struct transport *const *transports, uint32_t count);

/* See struct worker_api. */
void exporter_step(struct exporter *exporter, uint64_t now_ns, bool flush,
                   struct worker_wait *wait);
void exporter_conclude(struct exporter *exporter);
bool exporter_is_drained(const struct exporter *exporter);
void exporter_destroy(struct exporter *exporter);

/* ---- drain.c ---- */

/* See struct worker_api. */
int drain_add_segment(struct exporter *exporter, struct segment *segment, size_t mapped_size,
                      const struct worker_process *process);
void drain_remove_segment(struct exporter *exporter, struct segment *segment, int32_t cause);
bool drain_has_backlog(const struct exporter *exporter);
void drain_finish(struct exporter *exporter);

/* Takes what is complete, LIMIT_DRAIN_PASS records of each segment at most; sets `has_more`. Who
   serves many processes leaves records where they are while its queue is full and a receiver takes
   what is in it (`is_held`): one pass over many segments is more than a queue holds. */
void drain_all(struct exporter *exporter, uint64_t now_ns);

/* Moves the tail policy on: judges what is due, and enqueues what was kept. With `concludes` all is
   due. */
void drain_judge(struct exporter *exporter, uint64_t now_ns, bool concludes);
/* When it has something to do again. */
uint64_t drain_next_judgement_ns(const struct exporter *exporter);

/* Encodes exporter->span into the queue; counts it as lost where there is no room. */
void drain_enqueue_span(struct exporter *exporter, struct resource *resource, uint64_t now_ns);

/* ---- loss_span.c ---- */

/* Counts losses of our own. */
void loss_count(struct exporter *exporter, uint64_t now_ns, enum loss loss, uint64_t count,
                const char *detail);

/* Takes over what the segment has counted since the last look. */
void loss_watch(struct exporter *exporter, struct source *source, uint64_t now_ns);

/* Losses travel as spans, so that who reads the traces sees what is missing: one root span
   "wirespan.losses" for each segment that lost something, over the time in which it did, with an
   attribute wirespan.losses.<reason> for each reason. At most one a minute, at the beginning of a
   flush, and when a segment is removed. What the exporter itself lost goes with the first. */
void loss_tell(struct exporter *exporter, uint64_t now_ns, bool flush_begins);
/* What the tail policy did since the last time, as a span "wirespan.tail_policy" of its own: what
   was dropped was decided, and is no loss. */
void loss_tell_tail(struct exporter *exporter, uint64_t now_ns);
void loss_tell_of(struct exporter *exporter, struct source *source, uint64_t now_ns);
