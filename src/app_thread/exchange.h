/* The life of one exchange's record: claimed, opened, completed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/attachment.h"
#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "app_thread/transfer.h"
#include "handoff/losses.h"
#include "handoff/record.h"

/* Claims a record, fills ids, start, kind and both endpoints, and opens it. SEGMENT_NO_SLOT if none
   can be had (counted). `connection` is NULL for what never came to one. */
uint16_t exchange_begin(struct thread_state *self, struct connection *connection,
                        enum record_kind kind, uint64_t start_ns);

/* An exchange to be, whose ids go out before its first byte has been sent. Its record is claimed by
   then, so that no id goes out that no span will have. */
struct exchange_plan {
    struct trace_identity identity;
    struct segment *segment;
    uint16_t slot; /* SEGMENT_NO_SLOT: begun, or dropped */
};

/* False if no record can be had; that is counted when the exchange begins all the same. */
bool exchange_plan_http(struct thread_state *self, struct exchange_plan *plan, struct slice method,
                        struct slice target, uint64_t start_ns);
/* As exchange_begin, with the ids of the plan. They stay its ids if it has to be begun again. */
uint16_t exchange_begin_planned(struct thread_state *self, struct connection *connection,
                                uint64_t start_ns, struct exchange_plan *plan);
/* Gives the record back if the exchange was not begun; true then. */
bool exchange_drop_plan(struct exchange_plan *plan);

/* As exchange_begin, as a child of another record of this process. */
uint16_t exchange_begin_below(struct thread_state *self, struct connection *connection,
                              enum record_kind kind, uint64_t start_ns, uint16_t parent);

/* The record of a slot; NULL for SEGMENT_NO_SLOT. */
static inline struct record *exchange_record(uint16_t slot)
{
    struct segment *segment = attachment_segment();
    if (unlikely(slot == SEGMENT_NO_SLOT || segment == NULL)) {
        return NULL;
    }
    return segment_record(segment, slot);
}

/* The request is not served any more. */
static inline void exchange_leave(const struct record *record)
{
    if (record->kind == RECORD_HTTP_SERVER) {
        atomic_fetch_sub_explicit(&attachment->sole.open, 1, memory_order_relaxed);
    }
}

/* Ends the exchange and hands it over. Nothing for SEGMENT_NO_SLOT. */
static inline void exchange_complete(struct thread_state *self, uint16_t slot, uint64_t end_ns,
                                     enum record_error error, int system_error)
{
    struct record *record = exchange_record(slot);
    if (unlikely(record == NULL)) {
        return;
    }
    if (record->error == RECORD_OK) {
        record->error = (uint8_t)error;
        record->system_error = system_error;
    }
    if (record->end_ns == 0) {
        record->end_ns = end_ns > record->start_ns ? end_ns : record->start_ns;
    }
    exchange_leave(record);
    if (unlikely(self->transfers.is_under_way) && transfer_park(self, slot, record)) {
        return;
    }
    segment_complete(attachment_segment(), attachment_doorbell(), slot, self->ring);
}

/* Gives the record back: the exchange did not begin after all. */
void exchange_cancel(uint16_t slot);

/* Gives the record back and counts the exchange as lost for that reason. */
void exchange_abandon(uint16_t slot, enum loss reason);

void exchange_count_loss(enum loss reason);

/* An HTTP exchange ends when both its request and its answer have ended. Marks one half (1 the
   request, 2 the answer) and tells whether the other was marked before. */
static inline bool exchange_other_half_done(uint16_t slot, uint8_t half)
{
    struct record *record = exchange_record(slot);
    if (record == NULL) {
        return false;
    }
    /* acq_rel: the second half sees all that the first wrote into the record */
    uint8_t before = __atomic_fetch_or(&record->halves, half, __ATOMIC_ACQ_REL);
    return (before & (uint8_t)~half) != 0;
}

/* errno of a failed call as an error of the exchange. */
enum record_error exchange_error_of(int system_error);
