#include "app_thread/exchange.h"

#include <errno.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/candidates.h"
#include "app_thread/polls.h"
#include "app_thread/trace_context.h"
#include "base/compiler.h"

static struct record *claim(struct thread_state *self, struct segment *segment, uint16_t *slot)
{
    *slot = segment_claim(segment, &self->slot_cursor);
    return *slot == SEGMENT_NO_SLOT ? NULL : segment_record(segment, *slot);
}

static void describe(struct record *record, struct connection *connection, enum record_kind kind,
                     uint64_t start_ns)
{
    record->kind = (uint16_t)kind;
    record->start_ns = start_ns;
    if (connection == NULL) {
        return;
    }
    record->connection = connection->serial;
    if (unlikely(connection->unannounced)) {
        connection->unannounced = false;
        atomic_store_explicit(&attachment->wants_exporter, 1, memory_order_relaxed);
    }
    if (connection_source(connection) != 0) {
        record->flags |= RECORD_FLAG_TLS;
    }
    connection_learn_endpoints(connection);
    record->peer = connection->peer;
    record->local = connection->local;
    if (connection->peer_name[0] != '\0') {
        enum field_tag tag = connection->is_unix ? FIELD_PEER_PATH : FIELD_PEER_NAME;
        record_add_field(record, tag,
                         slice_of(connection->peer_name, strlen(connection->peer_name)),
                         sizeof(connection->peer_name));
    }
}

/* Those of an HTTP request are told when its head has told all. Where there is a witness, it has
   not spoken yet. */
static SLOW void tell_candidates(struct thread_state *self, struct record *record,
                                 enum record_kind kind)
{
    if ((kind == RECORD_REDIS_CLIENT || kind == RECORD_CONNECT) && witness == NULL) {
        candidates_tell(self, record);
    }
}

uint16_t exchange_begin(struct thread_state *self, struct connection *connection,
                        enum record_kind kind, uint64_t start_ns)
{
    uint16_t slot = SEGMENT_NO_SLOT;
    struct segment *segment = attachment_segment();
    struct record *record = segment == NULL ? NULL : claim(self, segment, &slot);
    if (record == NULL) {
        return SEGMENT_NO_SLOT;
    }
    if (kind == RECORD_HTTP_SERVER) {
        atomic_fetch_add_explicit(&attachment->sole.open, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&attachment->sole.begun, 1, memory_order_relaxed);
        trace_context_begin_server(self, record);
    } else {
        trace_context_begin_client(self, record, start_ns);
        if (unlikely(candidates_exist(self))) {
            tell_candidates(self, record, kind);
        }
    }
    describe(record, connection, kind, start_ns);
    segment_open(segment, slot);
    return slot;
}

bool exchange_plan_http(struct thread_state *self, struct exchange_plan *plan, struct slice method,
                        struct slice target, uint64_t start_ns)
{
    plan->segment = attachment_segment();
    plan->slot = plan->segment == NULL ? SEGMENT_NO_SLOT
                                       : segment_try_claim(plan->segment, &self->slot_cursor);
    if (plan->slot == SEGMENT_NO_SLOT) {
        return false;
    }
    trace_context_plan_http(self, &plan->identity, method, target, start_ns);
    if (unlikely((plan->identity.record_flags & RECORD_FLAG_FOR_JOB) != 0)) {
        polls_name(&plan->identity, method, target);
    }
    return true;
}

uint16_t exchange_begin_planned(struct thread_state *self, struct connection *connection,
                                uint64_t start_ns, struct exchange_plan *plan)
{
    uint16_t slot = plan->slot;
    struct segment *segment = attachment_segment();
    plan->slot = SEGMENT_NO_SLOT;
    if (segment == NULL) {
        return SEGMENT_NO_SLOT;
    }
    if ((slot == SEGMENT_NO_SLOT || segment != plan->segment) &&
        claim(self, segment, &slot) == NULL) {
        return SEGMENT_NO_SLOT;
    }
    struct record *record = segment_record(segment, slot);
    trace_context_fulfil(record, &plan->identity);
    describe(record, connection, RECORD_HTTP_CLIENT, start_ns);
    segment_open(segment, slot);
    return slot;
}

bool exchange_drop_plan(struct exchange_plan *plan)
{
    uint16_t slot = plan->slot;
    plan->slot = SEGMENT_NO_SLOT;
    if (slot == SEGMENT_NO_SLOT) {
        return false;
    }
    if (plan->segment == attachment_segment()) {
        segment_cancel(plan->segment, slot);
    }
    return true;
}

uint16_t exchange_begin_below(struct thread_state *self, struct connection *connection,
                              enum record_kind kind, uint64_t start_ns, uint16_t parent)
{
    uint16_t slot = SEGMENT_NO_SLOT;
    struct segment *segment = attachment_segment();
    struct record *record = segment == NULL ? NULL : claim(self, segment, &slot);
    if (record == NULL) {
        return SEGMENT_NO_SLOT;
    }
    if (parent == SEGMENT_NO_SLOT) {
        trace_context_begin_client(self, record, start_ns);
    } else {
        trace_context_begin_below(self, record, segment_record(segment, parent));
    }
    describe(record, connection, kind, start_ns);
    segment_open(segment, slot);
    return slot;
}

void exchange_cancel(uint16_t slot)
{
    struct segment *segment = attachment_segment();
    if (slot != SEGMENT_NO_SLOT && segment != NULL) {
        exchange_leave(segment_record(segment, slot));
        segment_cancel(segment, slot);
    }
}

void exchange_count_loss(enum loss reason)
{
    struct segment *segment = attachment_segment();
    if (segment != NULL) {
        segment_count_loss(segment, reason, 1);
    }
}

void exchange_abandon(uint16_t slot, enum loss reason)
{
    if (slot != SEGMENT_NO_SLOT) {
        exchange_cancel(slot);
        exchange_count_loss(reason);
    }
}

enum record_error exchange_error_of(int system_error)
{
    switch (system_error) {
    case ECONNREFUSED:
        return RECORD_ERROR_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return RECORD_ERROR_RESET;
    case ETIMEDOUT:
        return RECORD_ERROR_TIMEOUT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return RECORD_ERROR_UNREACHABLE;
    default:
        return RECORD_ERROR_OTHER;
    }
}
