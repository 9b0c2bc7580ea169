/* A transport in memory: keeps what it was given and answers as told. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/transport/transport.h"

#define FAKE_BATCHES_MAX 64

struct fake_batch {
    uint8_t *bytes;
    size_t size;
    uint32_t span_count;
};

struct fake_transport {
    struct transport base;
    struct transport_ops ops;
    /* How it answers: the result of the next steps, the last one for good. */
    enum transport_result result;
    uint32_t rejected;
    uint32_t retry_after_ms;
    int begin_error;
    uint32_t most_spans;   /* of a batch; 0: any number */
    bool refuses_to_begin; /* with -EMSGSIZE what is larger; else it answers so */
    /* What happened. */
    bool in_flight;
    bool *destroyed;
    uint32_t begun;
    uint32_t cancelled;
    struct export_batch current;
    struct fake_batch delivered[FAKE_BATCHES_MAX];
    uint32_t delivered_count;
};

/* Not assert: the rules of a transport hold in release builds, too. */
static inline void fake_insist(bool holds)
{
    if (!holds) {
        abort();
    }
}

static inline bool fake_is_too_large(const struct fake_transport *fake,
                                     const struct export_batch *batch)
{
    return fake->most_spans > 0 && batch->span_count > fake->most_spans;
}

static inline int fake_begin(struct transport *transport, const struct export_batch *batch)
{
    struct fake_transport *fake = (struct fake_transport *)transport;
    fake_insist(!fake->in_flight);
    fake->begun++;
    if (fake->begin_error != 0) {
        return fake->begin_error;
    }
    if (fake->refuses_to_begin && fake_is_too_large(fake, batch)) {
        return -EMSGSIZE;
    }
    fake->in_flight = true;
    fake->current = *batch;
    return 0;
}

static inline void fake_keep(struct fake_transport *fake)
{
    fake_insist(fake->delivered_count < FAKE_BATCHES_MAX);
    struct fake_batch *batch = &fake->delivered[fake->delivered_count++];
    batch->bytes = malloc(fake->current.size);
    memcpy(batch->bytes, fake->current.bytes, fake->current.size);
    batch->size = fake->current.size;
    batch->span_count = fake->current.span_count;
}

static inline enum transport_result fake_step(struct transport *transport,
                                              struct transport_outcome *outcome)
{
    struct fake_transport *fake = (struct fake_transport *)transport;
    fake_insist(fake->in_flight);
    if (fake->result == TRANSPORT_PENDING) {
        return TRANSPORT_PENDING;
    }
    fake->in_flight = false;
    outcome->rejected = fake->rejected;
    outcome->retry_after_ms = fake->retry_after_ms;
    if (fake_is_too_large(fake, &fake->current)) {
        strcpy(outcome->message, "too large");
        return TRANSPORT_TOO_LARGE;
    }
    if (fake->result != TRANSPORT_DELIVERED) {
        strcpy(outcome->message, "as told");
    } else {
        fake_keep(fake);
    }
    return fake->result;
}

static inline size_t fake_descriptors(struct transport *transport, struct pollfd *into,
                                      size_t capacity, int *timeout_ms)
{
    struct fake_transport *fake = (struct fake_transport *)transport;
    fake_insist(fake->in_flight);
    if (capacity == 0) {
        return 0;
    }
    *into = (struct pollfd){.fd = 7, .events = POLLIN};
    *timeout_ms = *timeout_ms < 700 ? *timeout_ms : 700;
    return 1;
}

static inline void fake_cancel(struct transport *transport)
{
    struct fake_transport *fake = (struct fake_transport *)transport;
    fake->cancelled++;
    fake->in_flight = false;
}

static inline void fake_destroy(struct transport *transport)
{
    struct fake_transport *fake = (struct fake_transport *)transport;
    for (uint32_t i = 0; i < fake->delivered_count; i++) {
        free(fake->delivered[i].bytes);
    }
    if (fake->destroyed != NULL) {
        *fake->destroyed = true;
    }
    free(fake);
}

static inline struct fake_transport *fake_create(const char *name)
{
    struct fake_transport *fake = calloc(1, sizeof(*fake));
    fake->ops = (struct transport_ops){
        .name = name,
        .begin = fake_begin,
        .step = fake_step,
        .descriptors = fake_descriptors,
        .cancel = fake_cancel,
        .destroy = fake_destroy,
    };
    fake->base.ops = &fake->ops;
    fake->result = TRANSPORT_DELIVERED;
    return fake;
}
