/*
 * One batch on its way through one transport: sent, sent again while that may help, or given up.
 *
 *     IDLE --start--> IN_FLIGHT --retry--> WAITING --backoff over--> IN_FLIGHT ...
 *                         |                   |
 *                         +---- delivered, refused, expired ----> IDLE
 *
 * A batch that is too large for the receiver is sent in halves, and those in halves, down to one
 * span.
 *
 * Time and randomness come from the caller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "handoff/losses.h"
#include "worker/batch.h"
#include "worker/transport/transport.h"

/* Backoff: 1 s, half as much again each time, 5 s at most; each is drawn between half and one and a
   half times that, so that many processes do not come back at once. */
#define DELIVERY_BACKOFF_FIRST_MS 1000u
#define DELIVERY_BACKOFF_MAX_MS   5000u

/* Halves of halves: more than a count of 32 bits has. */
#define DELIVERY_HALVES 33u

enum delivery_state { DELIVERY_IDLE, DELIVERY_IN_FLIGHT, DELIVERY_WAITING };

struct delivery {
    struct transport *transport;
    uint64_t timeout_ns; /* of one batch, retries included; 0: none */
    enum delivery_state state;
    struct export_batch batch; /* the whole */
    struct export_batch part;  /* what is sent: spans `done` to `ends[depth]` of it */
    uint32_t done;
    uint32_t ends[DELIVERY_HALVES]; /* of the whole, of its half, of that one's half ... */
    uint32_t depth;
    struct batch_buffer buffer; /* for parts */
    uint64_t deadline_ns;       /* UINT64_MAX: none */
    uint64_t not_before_ns;     /* WAITING: the next attempt; IDLE: what the receiver asked for */
    bool was_asked_to_wait;     /* not_before_ns is the receiver's word, not our own backoff */
    uint32_t backoff_ms;
};

enum delivery_event {
    DELIVERY_NOTHING, /* still on its way, or idle */
    DELIVERY_PART,    /* `exported` and `lost` add up to a part of the batch; step again */
    DELIVERY_DONE,    /* they add up to what was left of it */
    DELIVERY_RETRIES  /* an attempt failed; another will follow */
};

struct delivery_report {
    uint32_t exported;
    uint32_t lost;
    enum loss loss; /* why, if lost > 0 */
    char message[256];
};

/* `transport` becomes the delivery's. */
void delivery_init(struct delivery *delivery, struct transport *transport, uint64_t timeout_ns);

/* Cancels what is in flight and destroys the transport. Returns the spans that were not delivered.
 */
uint32_t delivery_finish(struct delivery *delivery);

/* Whether a batch may be started: idle, and the receiver did not ask for more time. */
static inline bool delivery_is_ready(const struct delivery *delivery, uint64_t now_ns)
{
    return delivery->state == DELIVERY_IDLE && now_ns >= delivery->not_before_ns;
}

/* Starts a batch; its bytes must stay until the delivery is idle again. */
void delivery_start(struct delivery *delivery, const struct export_batch *batch, uint64_t now_ns);

/* A flush begins: an attempt that only our own backoff puts off is made at once. */
void delivery_hurry(struct delivery *delivery, uint64_t now_ns);

/* Moves on without blocking. `random` is any 64 bits. `*report` is written for all
   events but NOTHING. */
enum delivery_event delivery_step(struct delivery *delivery, uint64_t now_ns, uint64_t random,
                                  struct delivery_report *report);

/* When delivery_step wants to be called at the latest, apart from the transport's own wishes;
   UINT64_MAX: there is nothing to wait for. */
uint64_t delivery_next_ns(const struct delivery *delivery);
