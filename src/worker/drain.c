#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "worker/exporter.h"
#include "worker/images.h"
#include "worker/otlp/encode.h"
#include "worker/spans/spans.h"

#define CLOCK_INTERVAL_NS UINT64_C(1000000000)
/* All states of all segments are read to see what is open. */
#define LOOK_INTERVAL_NS UINT64_C(500000000)
/* A usual span has a third of this; others get a chunk of their own. */
#define USUAL_SPAN_BYTES   2048u
#define LARGEST_SPAN_BYTES (LIMIT_QUEUE_CHUNK - 64u)
#define TRACE_FLAG_SAMPLED 1u

/* ---- spans into the queue ---- */

/* 0 if the span fits nowhere. */
static size_t encode_into_queue(struct exporter *exporter)
{
    size_t capacity;
    uint8_t *into = queue_reserve(&exporter->queue, USUAL_SPAN_BYTES, &capacity);
    size_t size = into == NULL ? 0 : otlp_encode_span(&exporter->span, into, capacity);
    if (likely(size > 0)) {
        return size;
    }
    into = queue_reserve(&exporter->queue, LARGEST_SPAN_BYTES, &capacity);
    return into == NULL ? 0 : otlp_encode_span(&exporter->span, into, capacity);
}

void drain_enqueue_span(struct exporter *exporter, struct resource *resource, uint64_t now_ns)
{
    size_t size = encode_into_queue(exporter);
    uint32_t without_room =
        size == 0 ? exporter->outlet_count : queue_commit(&exporter->queue, resource, size);
    if (unlikely(without_room > 0)) {
        loss_count(exporter, now_ns, LOSS_QUEUE_FULL, without_room, "");
    }
    for (uint32_t i = 0; i < exporter->outlet_count && size > 0; i++) {
        schedule_note_span(&exporter->outlets[i].schedule, now_ns);
    }
}

static inline void build(struct exporter *exporter, struct segment_clock clock)
{
    spans_build(&exporter->span, &exporter->limits, &exporter->record, clock);
    if (unlikely(exporter->backlinks.count > 0) && exporter->record.kind == RECORD_HTTP_SERVER) {
        backlinks_add(&exporter->backlinks, &exporter->record, &exporter->span);
    }
    if (unlikely(exporter->profile != NULL)) {
        profile_apply(exporter->profile, &exporter->span);
    }
}

/* ---- traces that are judged as a whole ---- */

static SLOW void offer_to_tail(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    const struct record *record = &exporter->record;
    build(exporter, source->clock);
    switch (tail_take(exporter->tail, record, &exporter->span, source->clock, source->resource,
                      now_ns)) {
    case TAIL_HELD:
    case TAIL_DROPPED:
        break;
    case TAIL_PASSES:
        drain_enqueue_span(exporter, source->resource, now_ns);
        break;
    case TAIL_NO_ROOM:
        loss_count(exporter, now_ns, LOSS_QUEUE_FULL, 1, "for the tail policy");
        break;
    }
}

/* What is open in some segment is not judged yet. */
static void look_at_open(struct exporter *exporter, uint64_t now_ns)
{
    uint8_t trace_id[16];
    for (uint32_t i = 0; i < exporter->source_count; i++) {
        uint32_t position = 0;
        while (segment_reader_next_open(&exporter->sources[i]->reader, &position, trace_id)) {
            tail_note_open(exporter->tail, trace_id, now_ns);
        }
    }
}

static void enqueue_kept(struct exporter *exporter, uint64_t now_ns)
{
    struct segment_clock clock;
    struct resource *resource;
    while (queue_has_room(&exporter->queue) &&
           tail_next(exporter->tail, &exporter->record, &clock, &resource)) {
        build(exporter, clock);
        drain_enqueue_span(exporter, resource, now_ns);
        resource_release(resource);
    }
}

uint64_t drain_next_judgement_ns(const struct exporter *exporter)
{
    uint64_t due_ns = tail_next_ns(exporter->tail);
    uint64_t look_ns = exporter->tail_looked_ns + LOOK_INTERVAL_NS;
    return due_ns > look_ns ? due_ns : look_ns;
}

void drain_judge(struct exporter *exporter, uint64_t now_ns, bool concludes)
{
    if (concludes) {
        tail_judge(exporter->tail, UINT64_MAX);
        loss_tell_tail(exporter, now_ns);
    } else if (drain_next_judgement_ns(exporter) <= now_ns) {
        exporter->tail_looked_ns = now_ns;
        look_at_open(exporter, now_ns);
        tail_judge(exporter->tail, now_ns);
    }
    enqueue_kept(exporter, now_ns);
}

/* ---- records ---- */

static void take_one(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    struct record *record = &exporter->record;
    if ((record->trace_flags & TRACE_FLAG_SAMPLED) == 0) {
        return; /* decided, not lost */
    }
    if (unlikely((record->flags & RECORD_FLAG_FOR_JOB) != 0) &&
        record->kind == RECORD_HTTP_CLIENT) {
        uploads_follow(&exporter->uploads, record);
    }
    if (unlikely(record->kind == RECORD_REDIS_CLIENT &&
                 record->redis.job_action == JOB_ACTION_SUBMIT)) {
        backlinks_note(&exporter->backlinks, record);
    }
    if (unlikely(exporter->tail != NULL)) {
        offer_to_tail(exporter, source, now_ns);
        return;
    }
    if (unlikely(!queue_has_room(&exporter->queue))) {
        loss_count(exporter, now_ns, LOSS_QUEUE_FULL, exporter->outlet_count, "");
        return;
    }
    build(exporter, source->clock);
    drain_enqueue_span(exporter, source->resource, now_ns);
}

/* A job of a workflow is followed by that workflow's records, whose trace is another one. */
static SLOW void follow_workflow(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    const struct workflow_settings settings = {
        .producers_are_traced = exporter->config.producers_are_traced,
        .threshold = exporter->config.sampler_threshold,
    };
    uint32_t count =
        workflow_follow(&exporter->workflows, &settings, &exporter->record, exporter->follow);
    take_one(exporter, source, now_ns);
    for (uint32_t i = 0; i < count; i++) {
        exporter->record = exporter->follow[i];
        take_one(exporter, source, now_ns);
    }
}

/* An answer that brought images is followed by the record of these. */
static SLOW void follow_images(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    bool has_images = images_follow(&exporter->record, &exporter->follow[0]);
    take_one(exporter, source, now_ns);
    if (has_images) {
        exporter->record = exporter->follow[0];
        take_one(exporter, source, now_ns);
    }
}

static inline void take_record(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    if (unlikely(workflow_may_follow(&exporter->record))) {
        follow_workflow(exporter, source, now_ns);
    } else if (unlikely(images_may_follow(&exporter->record))) {
        follow_images(exporter, source, now_ns);
    } else {
        take_one(exporter, source, now_ns);
    }
}

/* ---- segments ---- */

/* The segment keeps the pair for whoever drains it next. */
static void renew_clock(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    if (source->clock_renewed_ns == 0 || now_ns - source->clock_renewed_ns >= CLOCK_INTERVAL_NS) {
        exporter->seams.clock(exporter->seams.context, &source->clock);
        source->segment->clock = source->clock;
        source->clock_renewed_ns = now_ns;
    }
}

static void complain(void *context, const char *text)
{
    report_line(context, LOG_LEVEL_WARN, "%s", text);
}

static struct resource *detect_resource(struct exporter *exporter,
                                        const struct worker_process *process)
{
    struct config config = exporter->config;
    config_complaint *complaint = complain;
    if (process->environment != NULL) {
        config_parse(&config, process->environment, NULL, NULL);
        complaint = NULL; /* it has been said in that process's own place, or nobody asked */
    }
    struct resource_source from = {
        .root = exporter->seams.root,
        .process_id = process->process_id,
        .program_id = process->program_id,
        .program = process->program,
        .boot_time_ns = exporter->seams.boot_time_ns,
    };
    for (size_t at = 0; at < sizeof(from.random); at += 8) {
        uint64_t value = exporter->seams.random(exporter->seams.context);
        memcpy(from.random + at, &value, 8);
    }
    return resource_create(&config, &from, complaint, &exporter->report);
}

static uint32_t find_source(const struct exporter *exporter, const struct segment *segment)
{
    uint32_t i = 0;
    while (i < exporter->source_count && exporter->sources[i]->segment != segment) {
        i++;
    }
    return i;
}

static bool make_room(struct exporter *exporter)
{
    if (exporter->source_count < exporter->source_capacity) {
        return true;
    }
    uint32_t capacity = exporter->source_capacity == 0 ? 4 : exporter->source_capacity * 2;
    struct source **sources = realloc(exporter->sources, capacity * sizeof(*sources));
    if (sources == NULL) {
        return false;
    }
    exporter->sources = sources;
    exporter->source_capacity = capacity;
    return true;
}

/* A process whose first thread has ended gets an exporter for each of its busy times. */
static bool was_drained_before(const struct segment_reader *reader)
{
    uint32_t any = 0;
    for (uint32_t number = 0; number < LIMIT_SEGMENT_RINGS; number++) {
        any |= reader->head[number];
    }
    return any != 0;
}

/* What was lost so far was said by the exporter before this one, when it ended. */
static void take_losses_as_told(struct source *source)
{
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        source->losses_seen[loss] =
            atomic_load_explicit(&source->segment->losses[loss], memory_order_relaxed);
    }
}

int drain_add_segment(struct exporter *exporter, struct segment *segment, size_t mapped_size,
                      const struct worker_process *process)
{
    if (find_source(exporter, segment) < exporter->source_count) {
        return -EEXIST;
    }
    if (exporter->source_count >= LIMIT_SEGMENTS) {
        return -ENOSPC;
    }
    struct source *source = calloc(1, sizeof(*source));
    if (source == NULL || !make_room(exporter)) {
        free(source);
        return -ENOMEM;
    }
    int result = segment_reader_init(&source->reader, segment, mapped_size);
    if (result == 0) {
        const struct worker_process own = {.process_id = segment->process_id};
        source->resource = detect_resource(exporter, process != NULL ? process : &own);
        result = source->resource == NULL ? -ENOMEM : 0;
    }
    if (result < 0) {
        free(source);
        return result;
    }
    source->segment = segment;
    if (was_drained_before(&source->reader)) {
        take_losses_as_told(source);
    }
    exporter->seams.clock(exporter->seams.context, &source->clock);
    source->told_ns = source->clock.realtime_ns;
    exporter->sources[exporter->source_count++] = source;
    if (exporter->tail != NULL && exporter->tail_resource == NULL) {
        exporter->tail_resource = resource_borrow(source->resource);
    }
    return 0;
}

/* Room will come: of some way out a batch is being taken, or can be. */
static bool makes_room(const struct exporter *exporter, uint64_t now_ns)
{
    for (uint32_t i = 0; i < exporter->outlet_count; i++) {
        const struct delivery *delivery = &exporter->outlets[i].delivery;
        if (delivery->state == DELIVERY_IN_FLIGHT || delivery_is_ready(delivery, now_ns)) {
            return true;
        }
    }
    return false;
}

static inline bool must_wait(const struct exporter *exporter, uint64_t now_ns)
{
    return unlikely(!queue_has_room(&exporter->queue)) && exporter->seams.serves_others &&
           exporter->tail == NULL && makes_room(exporter, now_ns);
}

/* Returns whether there may be more. */
static bool drain_source(struct exporter *exporter, struct source *source, uint64_t now_ns,
                         bool is_going)
{
    source->reader.now_ns = now_ns;
    renew_clock(exporter, source, now_ns);
    for (uint32_t count = 0; count < LIMIT_DRAIN_PASS; count++) {
        if (!is_going && must_wait(exporter, now_ns)) {
            exporter->is_held = true;
            return true;
        }
        if (!segment_reader_next(&source->reader, &exporter->record)) {
            return false;
        }
        exporter->drained++;
        take_record(exporter, source, now_ns);
    }
    return true;
}

void drain_all(struct exporter *exporter, uint64_t now_ns)
{
    uint32_t first = exporter->turn;
    exporter->has_more = false;
    exporter->is_held = false;
    for (uint32_t i = 0; i < exporter->source_count && !exporter->is_held; i++) {
        uint32_t number = (first + i) % exporter->source_count;
        exporter->turn = number; /* who was held is the first when there is room */
        exporter->has_more |= drain_source(exporter, exporter->sources[number], now_ns, false);
    }
}

bool drain_has_backlog(const struct exporter *exporter)
{
    for (uint32_t i = 0; i < exporter->source_count; i++) {
        if (segment_reader_has_backlog(&exporter->sources[i]->reader)) {
            return true;
        }
    }
    return false;
}

void drain_remove_segment(struct exporter *exporter, struct segment *segment, int32_t cause)
{
    uint32_t index = find_source(exporter, segment);
    if (index == exporter->source_count) {
        return;
    }
    struct source *source = exporter->sources[index];
    exporter->sources[index] = exporter->sources[--exporter->source_count];

    struct segment_clock now;
    exporter->seams.clock(exporter->seams.context, &now);
    source->clock_renewed_ns = 0;
    /* The process is gone: what a ring still holds is bounded by its places. */
    uint32_t passes = LIMIT_SEGMENT_RINGS * LIMIT_SEGMENT_SLOTS / LIMIT_DRAIN_PASS;
    while (drain_source(exporter, source, now.monotonic_ns, true) && passes-- > 0) {
    }
    uint32_t position = 0;
    while (segment_reader_next_remaining(&source->reader, &position, now.monotonic_ns, cause,
                                         &exporter->record)) {
        take_record(exporter, source, now.monotonic_ns);
    }
    loss_watch(exporter, source, now.monotonic_ns);
    loss_tell_of(exporter, source, now.monotonic_ns);
    resource_release(source->resource);
    free(source);
}

void drain_finish(struct exporter *exporter)
{
    for (uint32_t i = 0; i < exporter->source_count; i++) {
        resource_release(exporter->sources[i]->resource);
        free(exporter->sources[i]);
    }
    if (exporter->tail_resource != NULL) {
        resource_release(exporter->tail_resource);
    }
    free(exporter->sources);
    exporter->sources = NULL;
    exporter->source_count = 0;
}
