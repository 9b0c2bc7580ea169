/*
 * Traces in memory, for as long as they fit.
 *
 * Every span is one allocation that holds its text. Spans of a trace stand in the order of their
 * arrival; traces in the order in which they last received a span, so that the quietest one goes
 * first when room is needed. One thread.
 */
#pragma once

#include <otlp.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_trace;

struct store_attribute {
    const char *key;
    const char *value; /* as text: lists as [a, b], maps as {k=v}, bytes as hex */
};

struct store_event {
    uint64_t time_ns;
    const char *name;
    const char *attributes; /* "k=v k=v" */
};

struct store_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

enum store_kind { /* OTLP's numbers; unspecified is read as internal */
                  STORE_INTERNAL = 1,
                  STORE_SERVER = 2,
                  STORE_CLIENT = 3,
                  STORE_PRODUCER = 4,
                  STORE_CONSUMER = 5
};

struct store_span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* zero: a root */
    enum store_kind kind;
    bool is_error;
    uint64_t start_ns; /* since 1970 UTC */
    uint64_t end_ns;   /* never before start_ns */
    const char *name;
    const char *status_message;
    const char *service;
    const struct store_attribute *attributes;
    const struct store_event *events;
    const struct store_link *links;
    size_t attribute_count;
    size_t event_count;
    size_t link_count;
    struct store_trace *trace;
    struct store_span *next; /* of the trace, in order of arrival */
    struct store_span *next_in_bucket;
    size_t bytes;
};

struct store_trace {
    uint8_t trace_id[16];
    struct store_span *first;
    struct store_span *last;
    size_t span_count;
    size_t shown_count;          /* the caller's: how many spans it had when it was last drawn */
    uint64_t arrived_ns;         /* of the last span, by the caller's clock */
    struct store_trace *quieter; /* neighbours in the order of last arrival */
    struct store_trace *livelier;
    struct store_trace *next_in_bucket;
};

/* A reason of loss as an exporter reported it. */
struct store_loss {
    const char *service;
    const char *reason;
    uint64_t count;
};

/* What one service sent, dropped traces included. */
struct store_service {
    const char *name;
    uint64_t span_count;
    uint64_t error_count;
    uint64_t longest_ns;
};

struct store_totals {
    uint64_t received;   /* spans that were kept at first */
    uint64_t errors;     /* of them */
    uint64_t duplicates; /* spans that were there already */
    uint64_t invalid;    /* spans without usable ids */
    uint64_t dropped_traces;
    uint64_t dropped_spans; /* to make room, or for want of it */
};

struct store_limits {
    size_t spans;
    size_t bytes;
};

/* `seed` makes the hash tables' order unpredictable. NULL if there is no memory. */
struct store *store_create(struct store_limits limits, uint64_t seed);

/* Frees everything; takes NULL and returns it. */
struct store *store_destroy(struct store *store);

/* Takes a copy of every span of `message`. Spans named `wirespan.losses` are an exporter's report
   and are counted instead of kept. Returns how many spans were refused as invalid. */
uint64_t store_add(struct store *store, const Otlp__ExportTraceServiceRequest *message,
                   uint64_t now_ns);

struct store_totals store_totals(const struct store *store);

/* The trace that was quiet for longest, or NULL; go on with `livelier`. */
struct store_trace *store_quietest(const struct store *store);

struct store_trace *store_find_trace(const struct store *store, const uint8_t trace_id[16]);
const struct store_span *store_find_span(const struct store *store, const uint8_t trace_id[16],
                                         const uint8_t span_id[8]);

/* The value of an attribute, or NULL. */
const char *store_span_attribute(const struct store_span *span, const char *key);

/* In order of first arrival. */
const struct store_service *store_services(const struct store *store, size_t *count);
const struct store_loss *store_losses(const struct store *store, size_t *count);
