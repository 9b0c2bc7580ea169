/*
 * The resource: who produced the spans, as an encoded OTLP Resource message.
 *
 * It is that of the process whose segment is drained, which need not be this one: everything is
 * found by process id, once for each segment. Spans in the queue hold references to it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "process/config.h"

struct resource {
    uint32_t references;
    /* Used by batch.c while it gathers one batch. */
    size_t batch_bytes;
    struct queue_entry *batch_first;
    struct queue_entry *batch_last;
    struct resource *batch_next;

    size_t size;
    uint8_t bytes[];
};

/* What a resource is made from besides the configuration; tests bring their own. */
struct resource_source {
    const char *root; /* "" outside tests: /proc and /etc are looked for below it */
    int32_t process_id;
    int32_t program_id;    /* of the same program: asked if the process has ended; 0: none */
    const char *program;   /* the path of the executable; NULL: /proc says it */
    uint64_t boot_time_ns; /* Unix time at which this machine started */
    uint8_t random[16];    /* becomes service.instance.id */
};

/* Detects, merges and encodes; the caller holds the one reference. `complain` may be NULL. NULL if
   there is no memory. By rising priority: what is detected, OTEL_RESOURCE_ATTRIBUTES,
   OTEL_SERVICE_NAME, and what wirespan says of itself. */
struct resource *resource_create(const struct config *config, const struct resource_source *source,
                                 config_complaint *complain, void *context);

static inline struct resource *resource_borrow(struct resource *resource)
{
    resource->references++;
    return resource;
}

/* Gives one reference back. */
void resource_release(struct resource *resource);
