/*
 * A span as the worker side builds it, before it is encoded.
 *
 * Strings borrow from the record that it was made of, from `scratch`, or are literals; the span
 * lives until it is encoded. Adding beyond a limit is counted in dropped_*.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SPAN_ATTRIBUTES_MAX 64
#define SPAN_EVENTS_MAX     8
#define SPAN_LINKS_MAX      4
#define SPAN_SCRATCH_BYTES  2048

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
    ATTRIBUTE_STRINGS /* an array with one element for now */
};

struct attribute {
    const char *key;
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
    const char *name;
    struct attribute attributes[4];
    uint32_t attribute_count;
};

struct span_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

struct span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* zero: a root */
    uint32_t flags;            /* OTLP SpanFlags */
    struct slice trace_state;
    struct slice name;
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
