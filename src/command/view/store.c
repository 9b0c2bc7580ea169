#include "command/view/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "command/view/attribute_text.h"
#include "command/view/buffer.h"

/* Buckets of both tables: a chain of three at LIMIT_VIEW_SPANS. */
#define BUCKETS 65536u

#define LOSSES_SPAN   "wirespan.losses"
#define LOSSES_PREFIX "wirespan.losses."

struct store {
    struct store_limits limits;
    uint64_t seed;
    size_t span_count;
    size_t bytes;
    struct store_totals totals;
    struct store_trace *quietest;
    struct store_trace *liveliest;
    struct store_service services[LIMIT_VIEW_SERVICES];
    size_t service_count;
    struct store_loss losses[LIMIT_VIEW_LOSSES];
    size_t loss_count;
    struct buffer scratch; /* the text of the span that is being taken */
    struct store_trace *traces[BUCKETS];
    struct store_span *spans[BUCKETS];
};

struct store *store_create(struct store_limits limits, uint64_t seed)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store != NULL) {
        store->limits = limits;
        store->seed = seed;
    }
    return store;
}

/* ---- look-up ---- */

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93u;
    return value ^ value >> 32;
}

static uint64_t load(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t hash_trace(const struct store *store, const uint8_t trace_id[16])
{
    return mix(mix(store->seed ^ load(trace_id)) ^ load(trace_id + 8));
}

static struct store_trace **trace_bucket(struct store *store, const uint8_t trace_id[16])
{
    return &store->traces[hash_trace(store, trace_id) % BUCKETS];
}

static struct store_span **span_bucket(struct store *store, const uint8_t trace_id[16],
                                       const uint8_t span_id[8])
{
    return &store->spans[mix(hash_trace(store, trace_id) ^ load(span_id)) % BUCKETS];
}

struct store_trace *store_find_trace(const struct store *store, const uint8_t trace_id[16])
{
    struct store_trace *trace = store->traces[hash_trace(store, trace_id) % BUCKETS];
    while (trace != NULL && memcmp(trace->trace_id, trace_id, 16) != 0) {
        trace = trace->next_in_bucket;
    }
    return trace;
}

const struct store_span *store_find_span(const struct store *store, const uint8_t trace_id[16],
                                         const uint8_t span_id[8])
{
    const struct store_span *span =
        store->spans[mix(hash_trace(store, trace_id) ^ load(span_id)) % BUCKETS];
    while (span != NULL &&
           (memcmp(span->span_id, span_id, 8) != 0 || memcmp(span->trace_id, trace_id, 16) != 0)) {
        span = span->next_in_bucket;
    }
    return span;
}

const char *store_span_attribute(const struct store_span *span, const char *key)
{
    for (size_t i = 0; i < span->attribute_count; i++) {
        if (strcmp(span->attributes[i].key, key) == 0) {
            return span->attributes[i].value;
        }
    }
    return NULL;
}

struct store_totals store_totals(const struct store *store)
{
    return store->totals;
}

struct store_trace *store_quietest(const struct store *store)
{
    return store->quietest;
}

const struct store_service *store_services(const struct store *store, size_t *count)
{
    *count = store->service_count;
    return store->services;
}

const struct store_loss *store_losses(const struct store *store, size_t *count)
{
    *count = store->loss_count;
    return store->losses;
}

/* ---- order of arrival ---- */

static void unlink_trace(struct store *store, struct store_trace *trace)
{
    *(trace->quieter != NULL ? &trace->quieter->livelier : &store->quietest) = trace->livelier;
    *(trace->livelier != NULL ? &trace->livelier->quieter : &store->liveliest) = trace->quieter;
}

static void append_trace(struct store *store, struct store_trace *trace)
{
    trace->livelier = NULL;
    trace->quieter = store->liveliest;
    *(store->liveliest != NULL ? &store->liveliest->livelier : &store->quietest) = trace;
    store->liveliest = trace;
}

/* ---- dropping ---- */

static void remove_from_bucket(struct store *store, struct store_span *span)
{
    struct store_span **place = span_bucket(store, span->trace_id, span->span_id);
    while (*place != span) {
        place = &(*place)->next_in_bucket;
    }
    *place = span->next_in_bucket;
}

static void free_trace(struct store *store, struct store_trace *trace)
{
    struct store_trace **place = trace_bucket(store, trace->trace_id);
    while (*place != trace) {
        place = &(*place)->next_in_bucket;
    }
    *place = trace->next_in_bucket;
    unlink_trace(store, trace);
    struct store_span *next = NULL;
    for (struct store_span *span = trace->first; span != NULL; span = next) {
        next = span->next;
        remove_from_bucket(store, span);
        store->bytes -= span->bytes;
        store->span_count--;
        free(span);
    }
    store->bytes -= sizeof(*trace);
    free(trace);
}

/* Drops quiet traces, never `kept`, until `bytes` more fit. */
static bool make_room(struct store *store, const struct store_trace *kept, size_t bytes)
{
    while (store->span_count >= store->limits.spans || bytes > store->limits.bytes - store->bytes) {
        struct store_trace *victim = store->quietest;
        if (victim == kept && victim != NULL) {
            victim = victim->livelier;
        }
        if (victim == NULL) {
            return false;
        }
        store->totals.dropped_traces++;
        store->totals.dropped_spans += victim->span_count;
        free_trace(store, victim);
    }
    return true;
}

struct store *store_destroy(struct store *store)
{
    if (store != NULL) {
        while (store->quietest != NULL) {
            free_trace(store, store->quietest);
        }
        for (size_t i = 0; i < store->service_count; i++) {
            free((void *)(uintptr_t)store->services[i].name);
        }
        for (size_t i = 0; i < store->loss_count; i++) {
            free((void *)(uintptr_t)store->losses[i].reason);
        }
        buffer_finish(&store->scratch);
        free(store);
    }
    return NULL;
}

/* ---- services and losses ---- */

static const char others[] = "(others)";

static struct store_service *find_service(struct store *store, const char *name)
{
    for (size_t i = 0; i < store->service_count; i++) {
        if (strcmp(store->services[i].name, name) == 0) {
            return &store->services[i];
        }
    }
    return NULL;
}

/* The service's entry; its name lives as long as the store. NULL if there is no memory. The last
   place is for all services that found none. */
static struct store_service *intern_service(struct store *store, const char *name)
{
    struct store_service *service = find_service(store, name);
    if (service == NULL && store->service_count >= LIMIT_VIEW_SERVICES - 1) {
        name = others;
        service = find_service(store, name);
    }
    if (service == NULL) {
        char *copy = strndup(name, LIMIT_VIEW_TEXT);
        if (copy == NULL) {
            return NULL;
        }
        service = &store->services[store->service_count++];
        *service = (struct store_service){.name = copy};
    }
    return service;
}

static struct store_loss *find_loss(struct store *store, const char *service, const char *reason)
{
    for (size_t i = 0; i < store->loss_count; i++) {
        struct store_loss *loss = &store->losses[i];
        if (strcmp(loss->service, service) == 0 && strcmp(loss->reason, reason) == 0) {
            return loss;
        }
    }
    return NULL;
}

static void count_loss(struct store *store, const char *service, const char *reason, uint64_t count)
{
    struct store_loss *loss = find_loss(store, service, reason);
    if (loss == NULL && store->loss_count >= LIMIT_VIEW_LOSSES - 1) {
        service = others;
        reason = others;
        loss = find_loss(store, service, reason);
    }
    if (loss == NULL) {
        char *copy = strndup(reason, LIMIT_VIEW_TEXT);
        if (copy == NULL) {
            return;
        }
        loss = &store->losses[store->loss_count++];
        *loss = (struct store_loss){.service = service, .reason = copy};
    }
    loss->count += count;
}

static void take_losses(struct store *store, const char *service, const Otlp__Span *report)
{
    const size_t prefix_size = sizeof(LOSSES_PREFIX) - 1;
    for (size_t i = 0; i < report->n_attributes; i++) {
        const Otlp__KeyValue *attribute = report->attributes[i];
        const Otlp__AnyValue *value = attribute->value;
        if (strncmp(attribute->key, LOSSES_PREFIX, prefix_size) == 0 && value != NULL &&
            value->value_case == OTLP__ANY_VALUE__VALUE_INT_VALUE && value->int_value > 0) {
            count_loss(store, service, attribute->key + prefix_size, (uint64_t)value->int_value);
        }
    }
}

static const char *service_name(const Otlp__Resource *resource)
{
    for (size_t i = 0; resource != NULL && i < resource->n_attributes; i++) {
        const Otlp__KeyValue *attribute = resource->attributes[i];
        if (strcmp(attribute->key, "service.name") == 0 && attribute->value != NULL &&
            attribute->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE) {
            return attribute->value->string_value;
        }
    }
    return "unknown_service";
}

/* ---- taking spans ---- */

static size_t at_most(size_t count, size_t limit)
{
    return count < limit ? count : limit;
}

static bool is_id(ProtobufCBinaryData id, size_t size)
{
    static const uint8_t zero[16];
    return id.len == size && memcmp(id.data, zero, size) != 0;
}

/* The strings of `from` one after the other, each with its NUL, in the order in which
   `place_text` hands them out. */
static void gather_text(struct buffer *text, const Otlp__Span *from)
{
    static const char end = '\0';
    text->used = 0;
    text->failed = false;
    attribute_text_append_cut(text, from->name);
    buffer_append(text, &end, 1);
    attribute_text_append_cut(text, from->status != NULL ? from->status->message : "");
    buffer_append(text, &end, 1);
    for (size_t i = 0; i < at_most(from->n_attributes, LIMIT_VIEW_ATTRIBUTES); i++) {
        attribute_text_append_cut(text, from->attributes[i]->key);
        buffer_append(text, &end, 1);
        attribute_text_append(text, from->attributes[i]->value);
        buffer_append(text, &end, 1);
    }
    for (size_t i = 0; i < at_most(from->n_events, LIMIT_VIEW_EVENTS); i++) {
        attribute_text_append_cut(text, from->events[i]->name);
        buffer_append(text, &end, 1);
        attribute_text_append_all(text, from->events[i]->attributes, from->events[i]->n_attributes);
        buffer_append(text, &end, 1);
    }
}

static const char *next_text(const char **text)
{
    const char *found = *text;
    *text += strlen(found) + 1;
    return found;
}

static enum store_kind kind_of(const Otlp__Span *from)
{
    return from->kind >= OTLP__SPAN__SPAN_KIND__SPAN_KIND_SERVER &&
                   from->kind <= OTLP__SPAN__SPAN_KIND__SPAN_KIND_CONSUMER
               ? (enum store_kind)from->kind
               : STORE_INTERNAL;
}

static bool is_error(const Otlp__Span *from)
{
    return from->status != NULL &&
           from->status->code == OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
}

static void copy_numbers(struct store_span *span, const Otlp__Span *from)
{
    memcpy(span->trace_id, from->trace_id.data, sizeof(span->trace_id));
    memcpy(span->span_id, from->span_id.data, sizeof(span->span_id));
    if (from->parent_span_id.len == sizeof(span->parent_span_id)) {
        memcpy(span->parent_span_id, from->parent_span_id.data, sizeof(span->parent_span_id));
    }
    span->kind = kind_of(from);
    span->is_error = is_error(from);
    span->start_ns = from->start_time_unix_nano;
    span->end_ns = from->end_time_unix_nano >= from->start_time_unix_nano
                       ? from->end_time_unix_nano
                       : from->start_time_unix_nano;
}

static size_t copy_links(struct store_link *links, const Otlp__Span *from)
{
    size_t count = 0;
    for (size_t i = 0; i < at_most(from->n_links, LIMIT_VIEW_LINKS); i++) {
        const Otlp__Span__Link *link = from->links[i];
        if (is_id(link->trace_id, 16) && is_id(link->span_id, 8)) {
            memcpy(links[count].trace_id, link->trace_id.data, 16);
            memcpy(links[count].span_id, link->span_id.data, 8);
            count++;
        }
    }
    return count;
}

/* One allocation: the span, its arrays, its text. NULL if it must not or cannot be had. */
static struct store_span *copy_span(struct store *store, const Otlp__Span *from,
                                    const struct store_trace *trace)
{
    gather_text(&store->scratch, from);
    if (store->scratch.failed) {
        return NULL;
    }
    size_t attribute_count = at_most(from->n_attributes, LIMIT_VIEW_ATTRIBUTES);
    size_t event_count = at_most(from->n_events, LIMIT_VIEW_EVENTS);
    size_t attribute_bytes = attribute_count * sizeof(struct store_attribute);
    size_t event_bytes = event_count * sizeof(struct store_event);
    size_t link_bytes = at_most(from->n_links, LIMIT_VIEW_LINKS) * sizeof(struct store_link);
    size_t bytes = sizeof(struct store_span) + attribute_bytes + event_bytes + link_bytes +
                   store->scratch.used;
    if (!make_room(store, trace, bytes + (trace == NULL ? sizeof(*trace) : 0))) {
        return NULL;
    }
    struct store_span *span = calloc(1, bytes);
    if (span == NULL) {
        return NULL;
    }
    /* In falling order of alignment: pointers, 64-bit numbers, bytes. */
    struct store_attribute *attributes = (struct store_attribute *)(span + 1);
    struct store_event *events = (struct store_event *)(attributes + attribute_count);
    struct store_link *links = (struct store_link *)(events + event_count);
    char *text_copy = (char *)links + link_bytes;
    memcpy(text_copy, store->scratch.bytes, store->scratch.used);
    copy_numbers(span, from);
    const char *text = text_copy;
    span->name = next_text(&text);
    span->status_message = next_text(&text);
    for (size_t i = 0; i < attribute_count; i++) {
        attributes[i].key = next_text(&text);
        attributes[i].value = next_text(&text);
    }
    for (size_t i = 0; i < event_count; i++) {
        events[i].time_ns = from->events[i]->time_unix_nano;
        events[i].name = next_text(&text);
        events[i].attributes = next_text(&text);
    }
    span->attributes = attributes;
    span->attribute_count = attribute_count;
    span->events = events;
    span->event_count = event_count;
    span->links = links;
    span->link_count = copy_links(links, from);
    span->bytes = bytes;
    return span;
}

static struct store_trace *create_trace(struct store *store, const uint8_t trace_id[16])
{
    struct store_trace *trace = calloc(1, sizeof(*trace));
    if (trace != NULL) {
        memcpy(trace->trace_id, trace_id, 16);
        struct store_trace **bucket = trace_bucket(store, trace_id);
        trace->next_in_bucket = *bucket;
        *bucket = trace;
        append_trace(store, trace);
        store->bytes += sizeof(*trace);
    }
    return trace;
}

static void insert_span(struct store *store, struct store_trace *trace, struct store_span *span)
{
    struct store_span **bucket = span_bucket(store, span->trace_id, span->span_id);
    span->next_in_bucket = *bucket;
    *bucket = span;
    span->trace = trace;
    *(trace->last != NULL ? &trace->last->next : &trace->first) = span;
    trace->last = span;
    trace->span_count++;
    store->span_count++;
    store->bytes += span->bytes;
}

static void count_span(struct store *store, struct store_service *service,
                       const struct store_span *span)
{
    store->totals.received++;
    store->totals.errors += span->is_error;
    service->span_count++;
    service->error_count += span->is_error;
    uint64_t duration = span->end_ns - span->start_ns;
    if (duration > service->longest_ns) {
        service->longest_ns = duration;
    }
}

static void take_span(struct store *store, struct store_service *service, const Otlp__Span *from,
                      uint64_t now_ns)
{
    if (store_find_span(store, from->trace_id.data, from->span_id.data) != NULL) {
        store->totals.duplicates++;
        return;
    }
    struct store_trace *trace = store_find_trace(store, from->trace_id.data);
    struct store_span *span = copy_span(store, from, trace);
    if (span != NULL && trace == NULL) {
        trace = create_trace(store, span->trace_id);
    }
    if (span == NULL || trace == NULL) {
        free(span);
        store->totals.dropped_spans++;
        return;
    }
    span->service = service->name;
    insert_span(store, trace, span);
    unlink_trace(store, trace);
    append_trace(store, trace);
    trace->arrived_ns = now_ns;
    count_span(store, service, span);
}

/* Returns how many were invalid. */
static uint64_t take_spans(struct store *store, struct store_service *service,
                           const Otlp__ScopeSpans *scope, uint64_t now_ns)
{
    uint64_t invalid = 0;
    for (size_t i = 0; i < scope->n_spans; i++) {
        const Otlp__Span *from = scope->spans[i];
        if (strcmp(from->name, LOSSES_SPAN) == 0) {
            take_losses(store, service->name, from);
        } else if (is_id(from->trace_id, 16) && is_id(from->span_id, 8)) {
            take_span(store, service, from, now_ns);
        } else {
            invalid++;
        }
    }
    return invalid;
}

uint64_t store_add(struct store *store, const Otlp__ExportTraceServiceRequest *message,
                   uint64_t now_ns)
{
    uint64_t invalid = 0;
    for (size_t i = 0; i < message->n_resource_spans; i++) {
        const Otlp__ResourceSpans *resource = message->resource_spans[i];
        struct store_service *service = intern_service(store, service_name(resource->resource));
        for (size_t j = 0; service != NULL && j < resource->n_scope_spans; j++) {
            invalid += take_spans(store, service, resource->scope_spans[j], now_ns);
        }
    }
    store->totals.invalid += invalid;
    return invalid;
}
