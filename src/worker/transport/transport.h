/*
 * A way out: takes one batch at a time and never blocks.
 *
 *     transport->ops->begin(transport, &batch)   while none is in flight
 *     transport->ops->step(transport, &outcome)  until it is no longer PENDING
 *
 * All calls come from the worker's thread, under the lock that is held over fork; `step` between
 * two polls of the descriptors that it waits for.
 */
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

enum transport_result {
    TRANSPORT_PENDING,   /* poll, then step again */
    TRANSPORT_DELIVERED, /* outcome->rejected spans were refused by a partial success */
    TRANSPORT_RETRY,     /* may succeed later; not before outcome->retry_after_ms if that is > 0 */
    TRANSPORT_TOO_LARGE, /* never will, but a smaller batch may */
    TRANSPORT_REFUSED    /* never will: drop the batch */
};

/* An encoded ExportTraceServiceRequest; borrowed until the transport is no longer PENDING. */
struct export_batch {
    const uint8_t *bytes;
    size_t size;
    uint32_t span_count;
};

struct transport_outcome {
    uint32_t rejected;       /* spans */
    uint32_t retry_after_ms; /* 0: the receiver did not say */
    char message[256];       /* for the log; empty if there is nothing to say */
};

struct transport;

struct transport_ops {
    const char *name;
    /* Takes the batch. Returns 0 or a negative errno (then nothing is in flight). */
    int (*begin)(struct transport *transport, const struct export_batch *batch);
    enum transport_result (*step)(struct transport *transport, struct transport_outcome *outcome);
    /* Descriptors to poll before the next step, at most `capacity`; returns how many, and lowers
       `*timeout_ms` to when step wants to be called at the latest. */
    size_t (*descriptors)(struct transport *transport, struct pollfd *into, size_t capacity,
                          int *timeout_ms);
    /* Gives up what is in flight at once. */
    void (*cancel)(struct transport *transport);
    void (*destroy)(struct transport *transport);
};

struct transport {
    const struct transport_ops *ops;
};
