#include "worker/tail.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define BUCKETS 16384u
/* Links that a record's text has room for. */
#define LINKS_MAX (RECORD_TEXT_BYTES / (RECORD_FIELD_HEAD_BYTES + 24u))

struct group;

/* A record that waits: as much of it as is used. */
struct held {
    struct held *next;
    struct resource *resource;
    struct segment_clock clock;
    uint8_t bytes[];
};

struct trace {
    struct trace *next_in_bucket;
    struct trace *next; /* of its group; once it is judged, of those that were judged after it */
    struct group *group;
    struct held *first;
    struct held *last;
    uint8_t id[16];
    uint32_t spans; /* that wait */
    uint8_t class;  /* enum tail_class; once it is judged */
    uint8_t hops;   /* links over which the reason to keep all came */
};

struct group {
    struct group *previous; /* was quiet for longer */
    struct group *next;
    struct trace *traces;
    uint32_t trace_count;
    uint8_t hops;
    uint64_t last_ns; /* monotonic: when something of it came, or was seen open */
    uint64_t start_ns;
    uint64_t end_ns;
};

struct tail {
    uint64_t wait_ns;
    struct slice customers;
    size_t max_bytes;
    size_t bytes; /* of records and groups, and of the traces that wait */
    struct group *quietest;
    struct group *latest;
    struct trace *judged_first;
    struct trace *judged_last;
    uint32_t judged_count;
    struct held *kept_first;
    struct held *kept_last;
    struct tail_counts counts;
    struct trace *buckets[BUCKETS];
};

struct tail *tail_create(uint64_t wait_ns, struct slice customers, size_t max_bytes)
{
    struct tail *tail = calloc(1, sizeof(*tail));
    if (tail != NULL) {
        tail->wait_ns = wait_ns;
        tail->customers = customers;
        tail->max_bytes = max_bytes;
    }
    return tail;
}

/* ---- records that wait ---- */

static size_t used_bytes(const struct record *record)
{
    return RECORD_HEAD_BYTES + record->text_used;
}

static struct held *copy_record(const struct record *record, struct segment_clock clock,
                                struct resource *resource)
{
    size_t size = used_bytes(record);
    struct held *held = malloc(sizeof(*held) + size);
    if (held != NULL) {
        held->next = NULL;
        held->clock = clock;
        held->resource = resource_borrow(resource);
        memcpy(held->bytes, record, size);
    }
    return held;
}

static size_t held_bytes(const struct held *held)
{
    uint16_t text_used;
    memcpy(&text_used, held->bytes + offsetof(struct record, text_used), sizeof(text_used));
    return sizeof(*held) + RECORD_HEAD_BYTES + text_used;
}

static void free_held(struct tail *tail, struct held *held)
{
    while (held != NULL) {
        struct held *next = held->next;
        tail->bytes -= held_bytes(held);
        resource_release(held->resource);
        free(held);
        held = next;
    }
}

/* ---- traces ---- */

/* Ids are random, or a hash. */
static struct trace **bucket_of(struct tail *tail, const uint8_t id[16])
{
    uint64_t part;
    memcpy(&part, id, sizeof(part));
    return &tail->buckets[part * UINT64_C(0x9e3779b97f4a7c15) >> 50];
}

_Static_assert(BUCKETS == 1u << (64 - 50), "a bucket is the hash's first bits");

static struct trace *find_trace(struct tail *tail, const uint8_t id[16])
{
    struct trace *trace = *bucket_of(tail, id);
    while (trace != NULL && memcmp(trace->id, id, sizeof(trace->id)) != 0) {
        trace = trace->next_in_bucket;
    }
    return trace;
}

static struct trace *add_trace(struct tail *tail, const uint8_t id[16])
{
    struct trace *trace = calloc(1, sizeof(*trace));
    if (trace != NULL) {
        struct trace **bucket = bucket_of(tail, id);
        memcpy(trace->id, id, sizeof(trace->id));
        trace->next_in_bucket = *bucket;
        *bucket = trace;
    }
    return trace;
}

static void forget_trace(struct tail *tail, struct trace *trace)
{
    struct trace **at = bucket_of(tail, trace->id);
    while (*at != trace) {
        at = &(*at)->next_in_bucket;
    }
    *at = trace->next_in_bucket;
    free(trace);
}

/* What comes of it later goes the same way, as long as it is remembered. */
static void remember(struct tail *tail, struct trace *trace, enum tail_class class, uint8_t hops)
{
    trace->group = NULL;
    trace->next = NULL;
    trace->class = (uint8_t) class;
    trace->hops = hops;
    if (tail->judged_last != NULL) {
        tail->judged_last->next = trace;
    } else {
        tail->judged_first = trace;
    }
    tail->judged_last = trace;
    tail->judged_count++;
}

static void forget_oldest(struct tail *tail)
{
    while (tail->judged_count > LIMIT_TAIL_REMEMBERED) {
        struct trace *oldest = tail->judged_first;
        tail->judged_first = oldest->next;
        tail->judged_count--;
        forget_trace(tail, oldest);
    }
}

/* ---- groups ---- */

static void unlink_group(struct tail *tail, struct group *group)
{
    *(group->previous != NULL ? &group->previous->next : &tail->quietest) = group->next;
    *(group->next != NULL ? &group->next->previous : &tail->latest) = group->previous;
}

static void link_group(struct tail *tail, struct group *group)
{
    group->next = NULL;
    group->previous = tail->latest;
    *(tail->latest != NULL ? &tail->latest->next : &tail->quietest) = group;
    tail->latest = group;
}

static void touch(struct tail *tail, struct group *group, uint64_t now_ns)
{
    unlink_group(tail, group);
    link_group(tail, group);
    group->last_ns = now_ns;
}

static void put_into(struct tail *tail, struct group *group, struct trace *trace)
{
    trace->group = group;
    trace->next = group->traces;
    group->traces = trace;
    group->trace_count++;
    tail->bytes += sizeof(*trace);
}

static struct trace *add_waiting(struct tail *tail, const uint8_t id[16], uint64_t now_ns)
{
    struct group *group = calloc(1, sizeof(*group));
    struct trace *trace = group != NULL ? add_trace(tail, id) : NULL;
    if (trace == NULL) {
        free(group);
        return NULL;
    }
    group->start_ns = UINT64_MAX;
    group->last_ns = now_ns;
    tail->bytes += sizeof(*group);
    link_group(tail, group);
    put_into(tail, group, trace);
    return trace;
}

static void merge(struct tail *tail, struct group *into, struct group *from)
{
    while (from->traces != NULL) {
        struct trace *trace = from->traces;
        from->traces = trace->next;
        tail->bytes -= sizeof(*trace);
        put_into(tail, into, trace);
    }
    into->start_ns = from->start_ns < into->start_ns ? from->start_ns : into->start_ns;
    into->end_ns = from->end_ns > into->end_ns ? from->end_ns : into->end_ns;
    unlink_group(tail, from);
    tail->bytes -= sizeof(*from);
    free(from);
}

/* ---- judging ---- */

static enum tail_class class_of_duration(uint64_t start_ns, uint64_t end_ns)
{
    uint64_t duration = end_ns > start_ns ? end_ns - start_ns : 0;
    return duration > TAIL_SLOW_NS      ? TAIL_ALL
           : duration >= TAIL_MEDIUM_NS ? TAIL_MEDIUM
                                        : TAIL_REST;
}

static bool keeps(enum tail_class class, const uint8_t trace_id[16])
{
    static const uint64_t thresholds[] = {
        [TAIL_REST] = TAIL_REST_THRESHOLD,
        [TAIL_MEDIUM] = TAIL_MEDIUM_THRESHOLD,
        [TAIL_ALL] = 0,
    };
    uint64_t random;
    memcpy(&random, trace_id + 8, sizeof(random));
    return (__builtin_bswap64(random) & UINT64_C(0x00ffffffffffffff)) >= thresholds[class];
}

static void judge_trace(struct tail *tail, struct trace *trace, enum tail_class class)
{
    if (trace->first == NULL) {
        return; /* others link to it, and that is all that came */
    }
    bool is_kept = keeps(class, trace->id);
    *(is_kept ? &tail->counts.kept_traces : &tail->counts.dropped_traces) += 1;
    *(is_kept ? &tail->counts.kept_spans : &tail->counts.dropped_spans) += trace->spans;
    if (!is_kept) {
        free_held(tail, trace->first);
    } else if (tail->kept_last != NULL) {
        tail->kept_last->next = trace->first;
        tail->kept_last = trace->last;
    } else {
        tail->kept_first = trace->first;
        tail->kept_last = trace->last;
    }
    trace->first = NULL;
    trace->last = NULL;
    trace->spans = 0;
}

static void judge_group(struct tail *tail, struct group *group, enum tail_class class)
{
    enum tail_class by_duration = class_of_duration(group->start_ns, group->end_ns);
    class = by_duration > class ? by_duration : class;
    unlink_group(tail, group);
    while (group->traces != NULL) {
        struct trace *trace = group->traces;
        group->traces = trace->next;
        tail->bytes -= sizeof(*trace);
        judge_trace(tail, trace, class);
        remember(tail, trace, class, group->hops);
    }
    tail->bytes -= sizeof(*group);
    free(group);
}

void tail_judge(struct tail *tail, uint64_t now_ns)
{
    while (tail->quietest != NULL && tail_next_ns(tail) <= now_ns) {
        judge_group(tail, tail->quietest, TAIL_REST);
        forget_oldest(tail);
    }
}

/* False: what is kept fills the memory. */
static bool make_room(struct tail *tail, size_t size)
{
    while (tail->bytes + size > tail->max_bytes && tail->quietest != NULL) {
        tail->counts.hurried_traces += tail->quietest->trace_count;
        judge_group(tail, tail->quietest, TAIL_REST);
    }
    return tail->bytes + size <= tail->max_bytes;
}

/* ---- links ---- */

/* A reason reaches what is linked, but not without end: jobs that submit jobs are a chain. */
static void pass_reason_on(struct tail *tail, const struct trace *from, const uint8_t id[16])
{
    struct trace *to = find_trace(tail, id);
    uint8_t hops = (uint8_t)(from->hops + 1);
    if (from->class != TAIL_ALL || hops > LIMIT_TAIL_JOINED) {
        return;
    }
    if (to == NULL) {
        to = add_trace(tail, id);
        if (to != NULL) {
            remember(tail, to, TAIL_ALL, hops);
        }
    } else if (to->group != NULL) {
        to->group->hops = hops;
        judge_group(tail, to->group, TAIL_ALL);
    } else if (to->class != TAIL_ALL) {
        to->class = TAIL_ALL;
        to->hops = hops;
    }
}

/* What waits is linked to another trace. */
static void join(struct tail *tail, struct trace *trace, const uint8_t id[16])
{
    struct group *group = trace->group;
    struct trace *other = find_trace(tail, id);
    if (other == NULL) {
        if (group->trace_count < LIMIT_TAIL_JOINED && (other = add_trace(tail, id)) != NULL) {
            put_into(tail, group, other);
        }
    } else if (other->group == NULL) {
        pass_reason_on(tail, other, trace->id);
    } else if (other->group != group &&
               other->group->trace_count + group->trace_count <= LIMIT_TAIL_JOINED) {
        bool is_larger = other->group->trace_count > group->trace_count;
        merge(tail, is_larger ? other->group : group, is_larger ? group : other->group);
    }
}

static void follow_links(struct tail *tail, struct trace *trace, const struct record *record)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag != FIELD_LINK || value.size != 24 || memcmp(value.data, trace->id, 16) == 0) {
            continue;
        }
        if (trace->group != NULL) {
            join(tail, trace, value.data);
        } else {
            pass_reason_on(tail, trace, value.data);
        }
    }
}

/* ---- what comes ---- */

static bool matters(const struct tail *tail, const struct record *record)
{
    struct slice tier = record_find_field(record, FIELD_JOB_TIER);
    struct slice customer = record_find_field(record, FIELD_JOB_CUSTOMER);
    return slice_equals_ignoring_case(tier, SLICE("vip")) ||
           (customer.size > 0 && config_list_has(tail->customers, customer));
}

/* By itself. */
static enum tail_class class_of(const struct tail *tail, const struct record *record,
                                const struct span *span)
{
    if (span->status == SPAN_STATUS_ERROR || matters(tail, record)) {
        return TAIL_ALL;
    }
    return class_of_duration(span->start_ns, span->end_ns);
}

static enum tail_verdict take_late(struct tail *tail, struct trace *trace,
                                   const struct record *record, enum tail_class class)
{
    if (class > trace->class) {
        trace->class = (uint8_t) class;
        trace->hops = 0;
    }
    follow_links(tail, trace, record);
    bool is_kept = keeps((enum tail_class)trace->class, trace->id);
    *(is_kept ? &tail->counts.kept_spans : &tail->counts.dropped_spans) += 1;
    return is_kept ? TAIL_PASSES : TAIL_DROPPED;
}

static enum tail_verdict hold(struct tail *tail, struct trace *trace, struct held *held)
{
    tail->bytes += held_bytes(held);
    *(trace->last != NULL ? &trace->last->next : &trace->first) = held;
    trace->last = held;
    trace->spans++;
    return TAIL_HELD;
}

static enum tail_verdict take_waiting(struct tail *tail, struct trace *trace,
                                      const struct record *record, const struct span *span,
                                      enum tail_class class)
{
    struct group *group = trace->group;
    bool is_first = trace->first == NULL;
    group->start_ns = span->start_ns < group->start_ns ? span->start_ns : group->start_ns;
    group->end_ns = span->end_ns > group->end_ns ? span->end_ns : group->end_ns;
    follow_links(tail, trace, record);
    if (trace->group != NULL) {
        enum tail_class whole = class_of_duration(trace->group->start_ns, trace->group->end_ns);
        if (class != TAIL_ALL && whole != TAIL_ALL) {
            return TAIL_HELD;
        }
        judge_group(tail, trace->group, TAIL_ALL);
    }
    /* With records that wait it has just been counted. */
    tail->counts.kept_traces += is_first;
    tail->counts.kept_spans++;
    return TAIL_PASSES;
}

enum tail_verdict tail_take(struct tail *tail, const struct record *record, const struct span *span,
                            struct segment_clock clock, struct resource *resource, uint64_t now_ns)
{
    size_t size = sizeof(struct held) + used_bytes(record) + sizeof(struct group) +
                  (LINKS_MAX + 1) * sizeof(struct trace);
    forget_oldest(tail);
    if (!make_room(tail, size)) {
        return TAIL_NO_ROOM;
    }
    enum tail_class class = class_of(tail, record, span);
    struct trace *trace = find_trace(tail, record->trace_id);
    if (trace != NULL && trace->group == NULL) {
        return take_late(tail, trace, record, class);
    }
    trace = trace != NULL ? trace : add_waiting(tail, record->trace_id, now_ns);
    if (trace == NULL) {
        return TAIL_NO_ROOM;
    }
    touch(tail, trace->group, now_ns);
    if (take_waiting(tail, trace, record, span, class) == TAIL_PASSES) {
        return TAIL_PASSES;
    }
    struct held *held = copy_record(record, clock, resource);
    return held != NULL ? hold(tail, trace, held) : TAIL_NO_ROOM;
}

void tail_note_open(struct tail *tail, const uint8_t trace_id[16], uint64_t now_ns)
{
    struct trace *trace = find_trace(tail, trace_id);
    if (trace != NULL && trace->group != NULL) {
        touch(tail, trace->group, now_ns);
    }
}

/* ---- what is kept ---- */

bool tail_next(struct tail *tail, struct record *record, struct segment_clock *clock,
               struct resource **resource)
{
    struct held *held = tail->kept_first;
    if (held == NULL) {
        return false;
    }
    tail->kept_first = held->next;
    tail->kept_last = held->next != NULL ? tail->kept_last : NULL;
    size_t size = held_bytes(held);
    memcpy(record, held->bytes, size - sizeof(*held));
    *clock = held->clock;
    *resource = held->resource;
    tail->bytes -= size;
    free(held);
    return true;
}

uint64_t tail_next_ns(const struct tail *tail)
{
    return tail->quietest != NULL ? tail->quietest->last_ns + tail->wait_ns : UINT64_MAX;
}

bool tail_has_kept(const struct tail *tail)
{
    return tail->kept_first != NULL;
}

bool tail_is_waiting(const struct tail *tail)
{
    return tail->quietest != NULL;
}

size_t tail_bytes(const struct tail *tail)
{
    return tail->bytes;
}

const struct tail_counts *tail_count(const struct tail *tail)
{
    return &tail->counts;
}

struct tail *tail_destroy(struct tail *tail)
{
    if (tail == NULL) {
        return NULL;
    }
    tail_judge(tail, UINT64_MAX);
    free_held(tail, tail->kept_first);
    while (tail->judged_first != NULL) {
        struct trace *next = tail->judged_first->next;
        free(tail->judged_first);
        tail->judged_first = next;
    }
    free(tail);
    return NULL;
}
