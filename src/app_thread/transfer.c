#include "app_thread/transfer.h"

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/exchange.h"
#include "handoff/segment.h"
#include "wire/redact.h"

/* A jump out of the call (a program's error handling, in a callback) has left it: its frame was
   below whoever asks now. */
static bool was_left(const struct thread_transfers *transfers)
{
    return transfers->is_under_way && (uintptr_t)__builtin_frame_address(0) >= transfers->frame;
}

/* The segment of what is parked, if there is something and it is this process's. */
static struct segment *segment_of_parked(struct thread_state *self)
{
    struct thread_transfers *transfers = &self->transfers;
    struct segment *segment = transfers->parked > 0 ? attachment_segment() : NULL;
    if (segment == NULL || transfers->epoch != attachment_epoch()) {
        transfers->parked = 0;
        return NULL;
    }
    return segment;
}

static void complete(struct thread_state *self, struct segment *segment, uint16_t slot)
{
    segment_record(segment, slot)->is_parked = false;
    segment_complete(segment, attachment_doorbell(), slot, self->ring);
}

void transfer_hand_over(struct thread_state *self)
{
    struct thread_transfers *transfers = &self->transfers;
    struct segment *segment = segment_of_parked(self);
    uint16_t slots[LIMIT_PARKED];
    uint32_t count = 0;
    for (; segment != NULL && transfers->parked > 0; transfers->parked--) {
        slots[count++] = transfers->newest;
        transfers->newest = segment_record(segment, transfers->newest)->next_parked;
    }
    while (count > 0) {
        complete(self, segment, slots[--count]);
    }
}

void transfer_end_all(struct thread_state *self)
{
    transfer_hand_over(self);
    self->transfers = (struct thread_transfers){.parked = 0};
}

static void forget_if_left(struct thread_state *self)
{
    if (was_left(&self->transfers)) {
        transfer_end_all(self);
    }
}

SLOW void transfer_before_wait_slow(struct thread_state *self)
{
    forget_if_left(self);
    if (!self->transfers.is_under_way) {
        transfer_hand_over(self);
    }
}

SLOW bool transfer_park(struct thread_state *self, uint16_t slot, struct record *record)
{
    struct thread_transfers *transfers = &self->transfers;
    forget_if_left(self);
    if (!transfers->is_under_way || record->kind != RECORD_HTTP_CLIENT) {
        return false;
    }
    /* The transfer goes on: only its last exchange is told of. */
    if (segment_of_parked(self) != NULL &&
        (transfers->is_alone || transfers->parked == LIMIT_PARKED)) {
        transfer_hand_over(self);
    }
    record->is_parked = true;
    record->next_parked = transfers->newest;
    transfers->newest = slot;
    transfers->epoch = attachment_epoch();
    transfers->parked++;
    return true;
}

struct thread_transfers transfer_enter(struct thread_state *self, bool is_alone, uintptr_t frame)
{
    forget_if_left(self);
    if (!self->transfers.is_under_way) {
        transfer_hand_over(self);
    }
    struct thread_transfers outer = self->transfers;
    self->transfers =
        (struct thread_transfers){.is_under_way = true, .is_alone = is_alone, .frame = frame};
    return outer;
}

void transfer_leave_many(struct thread_state *self, const struct thread_transfers *outer)
{
    if (outer->is_under_way) {
        transfer_leave_alone(self, outer);
        return;
    }
    self->transfers.is_under_way = false;
    self->transfers.called_ns = clock_now_ns();
}

void transfer_leave_alone(struct thread_state *self, const struct thread_transfers *outer)
{
    transfer_hand_over(self);
    self->transfers = *outer;
}

/* ---- which exchange ---- */

static bool find_connection(const struct transfer_facts *facts, struct touch *touch)
{
    if (facts->descriptor >= 0) {
        return connection_find(facts->descriptor, touch);
    }
    /* Where many share a connection, libcurl does not say which descriptor is theirs. */
    return facts->ports[0] != 0 && facts->ports[1] != 0 &&
           connection_find_by_ports(facts->ports[0], facts->ports[1], touch);
}

static bool is_of_connection(const struct record *record, const struct transfer_facts *facts)
{
    struct touch touch;
    if (facts->descriptor >= 0 && connection_find(facts->descriptor, &touch)) {
        return touch.connection->serial == record->connection;
    }
    return facts->ports[0] != 0 && facts->ports[0] == record->local.port &&
           facts->ports[1] == record->peer.port;
}

/* The transfer ended with that exchange. An upgrade to HTTP/2 is answered in HTTP/2. */
static bool is_told_of(const struct record *record, const struct transfer_facts *facts)
{
    bool is_upgraded = record->http.status == 101 && facts->numbers.version == TRANSFER_HTTP2;
    return (record->http.status == facts->status || is_upgraded) &&
           (facts->method.size == 0 ||
            slice_equals(record_find_field(record, FIELD_METHOD), facts->method)) &&
           is_of_connection(record, facts);
}

/* The oldest of the parked ones that fits, taken out. One connection carries one transfer after the
   other, and libcurl tells of them in the order in which they ended. */
static struct record *take_parked(struct thread_state *self, struct segment *segment,
                                  const struct transfer_facts *facts, uint16_t *slot)
{
    struct thread_transfers *transfers = &self->transfers;
    uint16_t *link = &transfers->newest;
    uint16_t *found = NULL;
    for (uint32_t i = 0; i < transfers->parked; i++) {
        struct record *record = segment_record(segment, *link);
        found = is_told_of(record, facts) ? link : found;
        link = &record->next_parked;
    }
    if (found == NULL) {
        return NULL;
    }
    struct record *record = segment_record(segment, *found);
    *slot = *found;
    *found = record->next_parked;
    transfers->parked--;
    return record;
}

static void note(struct record *record, const struct transfer_facts *facts)
{
    record->http.transfer = facts->numbers;
    if (facts->numbers.version == TRANSFER_UNKNOWN) {
        record->http.transfer.version = TRANSFER_HTTP1;
    }
    if (record->error == RECORD_ERROR_CANCELLED && facts->error == RECORD_ERROR_TIMEOUT) {
        /* The library gave up because the time was over. */
        record->error = RECORD_ERROR_TIMEOUT;
    }
    if (facts->numbers.version == TRANSFER_HTTP2 && record->http.status == 101) {
        record->http.status = facts->status;
        record->http.request_body_bytes = facts->sent;
        record->http.response_body_bytes = facts->received;
        record->flags &= (uint16_t)~RECORD_FLAG_UPGRADED;
        record->end_ns = facts->end_ns > record->end_ns ? facts->end_ns : record->end_ns;
    }
}

/* ---- where the library is the source ---- */

/* The connection need not say of itself that it is opaque: its exchanges are told. Both directions
   are held. */
static void drop_opaque_span(struct connection *connection)
{
    if (connection->opaque_reason == OPAQUE_HTTP2 && !attachment_reports_connections) {
        exchange_cancel(connection->session_slot);
        connection->session_slot = SEGMENT_NO_SLOT;
    }
}

static uint16_t begin(struct thread_state *self, const struct transfer_facts *facts)
{
    struct touch touch;
    if (!find_connection(facts, &touch) || !connection_enter(self, &touch, DIRECTION_OUT, false)) {
        return exchange_begin(self, NULL, RECORD_HTTP_CLIENT, facts->start_ns);
    }
    if (connection_enter(self, &touch, DIRECTION_IN, false)) {
        drop_opaque_span(touch.connection);
        connection_leave(self, touch.connection, DIRECTION_IN);
    }
    uint16_t slot = exchange_begin(self, touch.connection, RECORD_HTTP_CLIENT, facts->start_ns);
    connection_leave(self, touch.connection, DIRECTION_OUT);
    return slot;
}

/* Whether the bytes of that transfer made no exchange because they cannot be read. */
static bool is_opaque(const struct transfer_facts *facts)
{
    struct touch touch;
    return facts->numbers.version >= TRANSFER_HTTP2 ||
           (facts->numbers.version == TRANSFER_UNKNOWN && find_connection(facts, &touch) &&
            touch.connection->opaque_reason == OPAQUE_HTTP2);
}

static struct slice without_fragment(struct slice url)
{
    size_t size = 0;
    while (size < url.size && url.data[size] != '#') {
        size++;
    }
    return slice_of(url.data, size);
}

static void make(struct thread_state *self, const struct transfer_facts *facts)
{
    uint16_t slot = begin(self, facts);
    struct record *record = exchange_record(slot);
    if (record == NULL) {
        return;
    }
    if (facts->announced != NULL) {
        trace_context_replace(record, facts->announced);
    }
    uint8_t url[LIMIT_TARGET_TEXT];
    bool is_cut;
    size_t size = redact_target(without_fragment(facts->url), false, url, sizeof(url), &is_cut);
    record->flags |= is_cut ? RECORD_FLAG_TEXT_CUT : 0;
    record_add_field(record, FIELD_METHOD, facts->method, LIMIT_HEADER_TEXT);
    record_add_field(record, FIELD_TARGET, slice_of(url, size), sizeof(url));
    record->http.transfer = facts->numbers;
    if (record->http.transfer.version == TRANSFER_UNKNOWN) {
        record->http.transfer.version = is_opaque(facts) ? TRANSFER_HTTP2 : TRANSFER_HTTP1;
    }
    record->http.version_minor = 1; /* if it is that */
    record->http.status = facts->status;
    record->http.request_body_bytes = facts->sent;
    record->http.response_body_bytes = facts->received;
    if (facts->numbers.first_byte_us != 0) {
        record->reply_ns = facts->start_ns + UINT64_C(1000) * facts->numbers.first_byte_us;
    }
    exchange_complete(self, slot, facts->end_ns, facts->error, 0);
}

void transfer_tell(struct thread_state *self, const struct transfer_facts *facts)
{
    uint16_t slot = SEGMENT_NO_SLOT;
    struct segment *segment = segment_of_parked(self);
    struct record *record = segment == NULL ? NULL : take_parked(self, segment, facts, &slot);
    if (record != NULL) {
        note(record, facts);
        complete(self, segment, slot);
    } else if (is_opaque(facts) || facts->is_unseen) {
        bool is_under_way = self->transfers.is_under_way;
        self->transfers.is_under_way = false;
        make(self, facts);
        self->transfers.is_under_way = is_under_way;
    }
}
