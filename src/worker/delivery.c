#include "worker/delivery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define MS UINT64_C(1000000)

void delivery_init(struct delivery *delivery, struct transport *transport, uint64_t timeout_ns)
{
    *delivery = (struct delivery){.transport = transport, .timeout_ns = timeout_ns};
}

static void cancel(struct delivery *delivery)
{
    if (delivery->state == DELIVERY_IN_FLIGHT) {
        delivery->transport->ops->cancel(delivery->transport);
    }
}

uint32_t delivery_finish(struct delivery *delivery)
{
    uint32_t left =
        delivery->state == DELIVERY_IDLE ? 0 : delivery->batch.span_count - delivery->done;
    cancel(delivery);
    batch_buffer_finish(&delivery->buffer);
    delivery->transport->ops->destroy(delivery->transport);
    *delivery = (struct delivery){.transport = NULL};
    return left;
}

void delivery_start(struct delivery *delivery, const struct export_batch *batch, uint64_t now_ns)
{
    delivery->batch = *batch;
    delivery->part = *batch;
    delivery->done = 0;
    delivery->depth = 0;
    delivery->ends[0] = batch->span_count;
    delivery->deadline_ns = delivery->timeout_ns == 0 ? UINT64_MAX : now_ns + delivery->timeout_ns;
    delivery->backoff_ms = DELIVERY_BACKOFF_FIRST_MS;
    delivery->state = DELIVERY_WAITING;
    delivery->not_before_ns = now_ns;
    delivery->was_asked_to_wait = false;
}

void delivery_hurry(struct delivery *delivery, uint64_t now_ns)
{
    if (delivery->state == DELIVERY_WAITING && !delivery->was_asked_to_wait) {
        delivery->not_before_ns = now_ns;
    }
}

static void fill_report(struct delivery_report *report, uint32_t count, uint32_t lost,
                        enum loss loss, const char *message)
{
    report->lost = lost < count ? lost : count;
    report->exported = count - report->lost;
    report->loss = loss;
    snprintf(report->message, sizeof(report->message), "%s", message);
}

/* Nothing of the batch that is left will be delivered. */
static enum delivery_event give_up(struct delivery *delivery, struct delivery_report *report,
                                   enum loss loss, const char *message)
{
    uint32_t left = delivery->batch.span_count - delivery->done;
    fill_report(report, left, left, loss, message);
    delivery->state = DELIVERY_IDLE;
    return DELIVERY_DONE;
}

/* ---- parts ---- */

static bool make_part(struct delivery *delivery)
{
    return batch_part(&delivery->batch, delivery->done,
                      delivery->ends[delivery->depth] - delivery->done, &delivery->buffer,
                      &delivery->part);
}

/* The first half of what was too large comes next. False if it was one span, or without memory. */
static bool halve(struct delivery *delivery)
{
    uint32_t count = delivery->part.span_count;
    if (count < 2) {
        return false;
    }
    delivery->ends[++delivery->depth] = delivery->done + (count + 1) / 2;
    if (!make_part(delivery)) {
        delivery->depth--;
        return false;
    }
    return true;
}

/* What is in hand has come to its end; what follows it, if anything does, is sent at once. */
static enum delivery_event finish_part(struct delivery *delivery, struct delivery_report *report,
                                       uint32_t lost, enum loss loss, const char *message)
{
    fill_report(report, delivery->part.span_count, lost, loss, message);
    if (delivery->depth == 0) {
        delivery->state = DELIVERY_IDLE;
        return DELIVERY_DONE;
    }
    delivery->done = delivery->ends[delivery->depth--];
    if (!make_part(delivery)) {
        uint32_t left = delivery->batch.span_count - delivery->done;
        report->lost += left;
        delivery->state = DELIVERY_IDLE;
        return DELIVERY_DONE;
    }
    delivery->state = DELIVERY_WAITING;
    delivery->not_before_ns = 0;
    delivery->was_asked_to_wait = false;
    return DELIVERY_PART;
}

static enum delivery_event expire(struct delivery *delivery, struct delivery_report *report,
                                  const char *message)
{
    cancel(delivery);
    return give_up(delivery, report, LOSS_EXPORT_EXPIRED, message);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The time until the next attempt: the receiver's word, else the backoff with its jitter. */
static uint64_t draw_pause(struct delivery *delivery, const struct transport_outcome *outcome,
                           uint64_t random)
{
    if (outcome->retry_after_ms > 0) {
        return smaller(outcome->retry_after_ms, LIMIT_RETRY_AFTER_MS) * MS;
    }
    uint64_t base = delivery->backoff_ms * MS;
    delivery->backoff_ms =
        (uint32_t)smaller(delivery->backoff_ms + delivery->backoff_ms / 2, DELIVERY_BACKOFF_MAX_MS);
    return base / 2 + random % (base + 1);
}

static enum delivery_event wait_for_retry(struct delivery *delivery, uint64_t now_ns,
                                          uint64_t random, const struct transport_outcome *outcome,
                                          struct delivery_report *report)
{
    delivery->state = DELIVERY_WAITING;
    delivery->not_before_ns = now_ns + draw_pause(delivery, outcome, random);
    delivery->was_asked_to_wait = outcome->retry_after_ms > 0;
    if (delivery->not_before_ns >= delivery->deadline_ns) {
        if (!delivery->was_asked_to_wait) {
            /* Our own pause binds this batch only. */
            delivery->not_before_ns = now_ns;
        }
        return expire(delivery, report, outcome->message);
    }
    report->exported = 0;
    report->lost = 0;
    snprintf(report->message, sizeof(report->message), "%s", outcome->message);
    return DELIVERY_RETRIES;
}

/* A new attempt. */
static enum delivery_event begin(struct delivery *delivery, uint64_t now_ns, uint64_t random,
                                 struct delivery_report *report)
{
    int error;
    do {
        error = delivery->transport->ops->begin(delivery->transport, &delivery->part);
    } while (error == -EMSGSIZE && halve(delivery));
    if (error == 0) {
        delivery->state = DELIVERY_IN_FLIGHT;
        return DELIVERY_NOTHING;
    }
    if (error == -EMSGSIZE) {
        return finish_part(delivery, report, delivery->part.span_count, LOSS_EXPORT_REFUSED,
                           "a span is larger than a request may be");
    }
    struct transport_outcome outcome = {.retry_after_ms = 0};
    snprintf(outcome.message, sizeof(outcome.message), "cannot begin (error %d)", -error);
    return wait_for_retry(delivery, now_ns, random, &outcome, report);
}

/* Half of it goes at once: the receiver is there, and in no trouble. */
static enum delivery_event send_less(struct delivery *delivery,
                                     const struct transport_outcome *outcome, uint64_t now_ns,
                                     uint64_t random, struct delivery_report *report)
{
    if (!halve(delivery)) {
        return finish_part(delivery, report, delivery->part.span_count, LOSS_EXPORT_REFUSED,
                           outcome->message);
    }
    enum delivery_event event = begin(delivery, now_ns, random, report);
    if (event != DELIVERY_NOTHING) {
        return event;
    }
    fill_report(report, 0, 0, LOSS_EXPORT_REFUSED, outcome->message);
    return DELIVERY_RETRIES;
}

static enum delivery_event take_outcome(struct delivery *delivery, enum transport_result result,
                                        const struct transport_outcome *outcome, uint64_t now_ns,
                                        uint64_t random, struct delivery_report *report)
{
    switch (result) {
    case TRANSPORT_PENDING:
        break;
    case TRANSPORT_DELIVERED:
        return finish_part(delivery, report, outcome->rejected, LOSS_EXPORT_PARTIAL,
                           outcome->message);
    case TRANSPORT_RETRY:
        return wait_for_retry(delivery, now_ns, random, outcome, report);
    case TRANSPORT_TOO_LARGE:
        return send_less(delivery, outcome, now_ns, random, report);
    case TRANSPORT_REFUSED:
        return finish_part(delivery, report, delivery->part.span_count, LOSS_EXPORT_REFUSED,
                           outcome->message);
    }
    return DELIVERY_NOTHING;
}

enum delivery_event delivery_step(struct delivery *delivery, uint64_t now_ns, uint64_t random,
                                  struct delivery_report *report)
{
    if (delivery->state == DELIVERY_WAITING && now_ns >= delivery->not_before_ns) {
        enum delivery_event event = begin(delivery, now_ns, random, report);
        if (event != DELIVERY_NOTHING) {
            return event;
        }
    }
    if (delivery->state == DELIVERY_IN_FLIGHT) {
        struct transport_outcome outcome = {.rejected = 0};
        enum transport_result result =
            delivery->transport->ops->step(delivery->transport, &outcome);
        if (result != TRANSPORT_PENDING) {
            delivery->state = DELIVERY_WAITING; /* nothing is in flight any more */
            return take_outcome(delivery, result, &outcome, now_ns, random, report);
        }
    }
    if (delivery->state != DELIVERY_IDLE && now_ns >= delivery->deadline_ns) {
        return expire(delivery, report, "no answer in time");
    }
    return DELIVERY_NOTHING;
}

uint64_t delivery_next_ns(const struct delivery *delivery)
{
    switch (delivery->state) {
    case DELIVERY_IDLE:
        break;
    case DELIVERY_IN_FLIGHT:
        return delivery->deadline_ns;
    case DELIVERY_WAITING:
        return smaller(delivery->not_before_ns, delivery->deadline_ns);
    }
    return UINT64_MAX;
}
