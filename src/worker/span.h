/*
 * A span as the worker side builds it, before it is encoded.
 *
 * Strings borrow from the record that it was made of, from `scratch`, or are literals; the span
 * lives until it is encoded. Adding beyond a limit is counted in dropped_*. Text that came from
 * outside goes through span_text, which makes it valid UTF-8: one bad byte would make a receiver
 * refuse the whole batch.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SPAN_ATTRIBUTES_MAX       64
#define SPAN_EVENTS_MAX           8
#define SPAN_LINKS_MAX            4
#define SPAN_SCRATCH_BYTES        2048
#define SPAN_EVENT_ATTRIBUTES_MAX 4

enum span_kind { /* OTLP's numbers */
                 SPAN_INTERNAL = 1,
                 SPAN_SERVER = 2,
                 SPAN_CLIENT = 3,
                 SPAN_PRODUCER = 4,
                 SPAN_CONSUMER = 5
};

enum span_status { SPAN_STATUS_UNSET = 0, SPAN_STATUS_OK = 1, SPAN_STATUS_ERROR = 2 };

enum attribute_type {
    ATTRIBUTE_STRING,
    ATTRIBUTE_INT,
    ATTRIBUTE_DOUBLE,
    ATTRIBUTE_BOOL,
    ATTRIBUTE_STRINGS /* an array of one string */
};

struct attribute {
    struct slice key; /* a literal, as a rule */
    enum attribute_type type;
    union {
        struct slice string;
        int64_t integer;
        double real;
        bool boolean;
    };
};

struct span_event {
    uint64_t time_ns; /* since 1970 UTC */
    struct slice name;
    struct attribute attributes[SPAN_EVENT_ATTRIBUTES_MAX];
    uint32_t attribute_count;
    uint32_t dropped_attributes;
};

struct span_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    bool is_candidate; /* what may have been the cause, and could not be shown to be */
};

/* What OTEL_SPAN_*_LIMIT allow; the arrays' own sizes hold besides. */
struct span_limits {
    uint32_t attributes;
    uint32_t attribute_characters; /* UINT32_MAX: no limit */
    uint32_t events;
    uint32_t links;
};

struct span {
    const struct span_limits *limits;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* zero: a root */
    uint32_t flags;            /* OTLP SpanFlags */
    struct slice trace_state;
    struct slice name;
    struct slice usual_name; /* where `name` is that of a job's step: the conventional one */
    bool is_http_server;
    enum span_kind kind;
    uint64_t start_ns; /* since 1970 UTC */
    uint64_t end_ns;
    enum span_status status;
    struct slice status_message;
    uint32_t attribute_count;
    uint32_t event_count;
    uint32_t link_count;
    uint32_t dropped_attributes;
    uint32_t dropped_events;
    uint32_t dropped_links;
    uint32_t scratch_used;
    struct attribute attributes[SPAN_ATTRIBUTES_MAX];
    struct span_event events[SPAN_EVENTS_MAX];
    struct span_link links[SPAN_LINKS_MAX];
    char scratch[SPAN_SCRATCH_BYTES];
};

/* Empties the span: no ids, no times, nothing added. `limits` must outlive it. */
void span_begin(struct span *span, const struct span_limits *limits);

/* `text` as valid UTF-8: itself if it is (the usual case), else a copy in `scratch` with U+FFFD for
   every wrong byte and for NUL. NULL data if the scratch is used up. */
struct slice span_text(struct span *span, struct slice text);

/* Joins the parts in `scratch`; they must be valid already. NULL data if they do not fit. */
struct slice span_join(struct span *span, const struct slice *parts, size_t count);

/* `number` in decimal, in `scratch`. */
struct slice span_decimal(struct span *span, uint64_t number);

/* Status Error and error.type, which must be ASCII or come from span_text. */
void span_set_error(struct span *span, struct slice error_type);

/* Attributes. A string is made valid and cut to the limit of characters; one without data (NULL) is
   not added, an empty one is. Each key at most once: that is the caller's care. */
void span_add_string(struct span *span, struct slice key, struct slice value);
/* For what is known to be ASCII and short: literals, numbers in decimal. */
void span_add_literal(struct span *span, struct slice key, struct slice value);
void span_add_strings(struct span *span, struct slice key, struct slice value);
void span_add_int(struct span *span, struct slice key, int64_t value);
void span_add_double(struct span *span, struct slice key, double value);
void span_add_bool(struct span *span, struct slice key, bool value);
/* The same value under another key. `attribute` may be one of the span's. */
void span_add_copy(struct span *span, struct slice key, const struct attribute *attribute);

/* A new event without attributes, or NULL if there is no room (counted). `name` is a literal. */
struct span_event *span_add_event(struct span *span, uint64_t time_ns, struct slice name);

/* A new link, or NULL if there is no room (counted). */
struct span_link *span_add_link(struct span *span);
