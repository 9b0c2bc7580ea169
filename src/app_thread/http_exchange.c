#include "app_thread/http_exchange.h"

#include "app_thread/announcement.h"
#include "app_thread/attachment.h"
#include "app_thread/candidates.h"
#include "app_thread/carried.h"
#include "app_thread/exchange.h"
#include "app_thread/http_body.h"
#include "app_thread/polls.h"
#include "app_thread/runs.h"
#include "app_thread/trace_context.h"
#include "app_thread/websocket_exchange.h"
#include "handoff/segment.h"
#include "wire/redact.h"
#include "wire/service.h"

#define HALF_REQUEST 1u
#define HALF_REPLY   2u

/* A Host field may be longer than other captured fields: it is what server.address is made of. */
#define HOST_TEXT 128u

static struct direction *direction_of(struct passage *passage)
{
    return &passage->connection->directions[passage->direction];
}

/* The record that the request at hand fills; NULL if there is none to fill. */
static struct record *request_record(struct passage *passage)
{
    return exchange_record(direction_of(passage)->current_slot);
}

#define REQUEST_FIELDS                                                                             \
    (1u << HTTP1_FIELD_HOST | 1u << HTTP1_FIELD_USER_AGENT | 1u << HTTP1_FIELD_X_FORWARDED_FOR |   \
     1u << HTTP1_FIELD_X_FORWARDED_PROTO | 1u << HTTP1_FIELD_X_FORWARDED_HOST |                    \
     1u << HTTP1_FIELD_X_REQUEST_ID | 1u << HTTP1_FIELD_TRACEPARENT |                              \
     1u << HTTP1_FIELD_TRACESTATE | 1u << HTTP1_FIELD_BAGGAGE |                                    \
     1u << HTTP1_FIELD_X_AMZ_CONTENT_SHA256 | 1u << HTTP1_FIELD_X_MS_VERSION |                     \
     1u << HTTP1_FIELD_API_KEY)
#define REPLY_FIELDS                                                                               \
    (1u << HTTP1_FIELD_X_REQUEST_ID | 1u << HTTP1_FIELD_UPGRADE |                                  \
     1u << HTTP1_FIELD_SEC_WEBSOCKET_PROTOCOL | 1u << HTTP1_FIELD_SEC_WEBSOCKET_EXTENSIONS)

bool http_exchange_preview(struct http_preview *preview, struct slice bytes)
{
    struct slice in = bytes;
    http1_init(&preview->parser, HTTP1_REQUESTS);
    http1_report_only(&preview->parser, REQUEST_FIELDS);
    preview->data = bytes.data;
    preview->is_planned = false;
    preview->plan.slot = SEGMENT_NO_SLOT;
    if (!http1_take_head(&preview->parser, &in, &preview->head)) {
        return false;
    }
    preview->size = bytes.size - in.size;
    return true;
}

void http_exchange_start(struct direction *requests, struct direction *replies)
{
    http1_init(&requests->http1, HTTP1_REQUESTS);
    http1_init(&replies->http1, HTTP1_RESPONSES);
    http1_report_only(&requests->http1, REQUEST_FIELDS);
    http1_report_only(&replies->http1, REPLY_FIELDS);
}

void http_exchange_drop_head(struct direction *requests)
{
    if (unlikely(requests->carried != 0)) {
        carried_end(requests->carried, false);
        requests->carried = 0;
    }
}

void http_exchange_give_buffers(struct direction *direction)
{
    if (direction->carry_block != 0) {
        slab_give(SLAB_BUFFER, direction->carry_block);
        direction->carry_block = 0;
    }
    http_body_end(direction, NULL, false);
}

void http_exchange_restart_requests(struct direction *requests)
{
    http_exchange_drop_head(requests);
    http_exchange_give_buffers(requests);
    http1_init(&requests->http1, HTTP1_REQUESTS);
    http1_report_only(&requests->http1, REQUEST_FIELDS);
}

/* Lends the parser memory for a line in pieces. */
static bool lend_carry(struct direction *direction)
{
    if (direction->carry_block == 0) {
        direction->carry_block = slab_take(SLAB_BUFFER);
    }
    if (direction->carry_block == 0) {
        return false;
    }
    http1_lend_carry(&direction->http1, slab_address(direction->carry_block),
                     LIMIT_HTTP_LINE_CARRY);
    return true;
}

static void take_carry_back(struct direction *direction)
{
    if (direction->carry_block != 0 && direction->http1.carry_used == 0) {
        http1_return_carry(&direction->http1);
        slab_give(SLAB_BUFFER, direction->carry_block);
        direction->carry_block = 0;
    }
}

static void give_up_for_memory(struct connection *connection)
{
    exchange_count_loss(LOSS_SLAB_FULL);
    connection_set_adrift(connection);
}

/* ---- requests ---- */

static void begin_request(struct passage *passage)
{
    struct connection *connection = passage->connection;
    struct direction *requests = direction_of(passage);
    requests->current_slot = SEGMENT_NO_SLOT;
    enum record_kind kind =
        connection->role == ROLE_SERVER ? RECORD_HTTP_SERVER : RECORD_HTTP_CLIENT;
    struct http_preview *preview = passage->preview;
    passage->preview = NULL;
    uint16_t slot =
        likely(preview == NULL || !preview->is_planned)
            ? exchange_begin(passage->self, connection, kind, passage->now)
            : exchange_begin_planned(passage->self, connection, passage->now, &preview->plan);
    connection->pipelines |= pairing_count(&connection->pairing) > 0;
    if (!pairing_push(&connection->pairing, (struct pairing_entry){.slot = slot})) {
        exchange_abandon(slot, LOSS_PIPELINE_FULL);
        connection_set_adrift(connection);
        return;
    }
    requests->current_slot = slot;
}

static bool is_absolute(struct slice target)
{
    return target.size > 0 && target.data[0] != '/' && target.data[0] != '*';
}

/* HEAD and CONNECT are answered otherwise. */
static SLOW void mark_method(struct passage *passage, struct slice method)
{
    bool is_head = slice_equals(method, SLICE("HEAD"));
    bool is_connect = slice_equals(method, SLICE("CONNECT"));
    struct pairing_entry entry;
    if ((is_head || is_connect) && pairing_newest(&passage->connection->pairing, &entry)) {
        entry.flags |= is_head ? PAIRING_HEAD : PAIRING_CONNECT;
        pairing_update_newest(&passage->connection->pairing, entry);
    }
}

/* The request is for a service: what it and its answer say is read. */
static SLOW void begin_service(struct passage *passage, struct record *record, uint8_t endpoint,
                               struct slice target)
{
    struct pairing_entry entry;
    if (pairing_newest(&passage->connection->pairing, &entry)) {
        /* What this process answers itself is not read. */
        entry.effect = passage->connection->role == ROLE_SERVER ? SERVICE_NONE : endpoint;
        pairing_update_newest(&passage->connection->pairing, entry);
        http_body_begin_request(direction_of(passage), record, endpoint);
        http_body_take_query(record, endpoint, target);
    }
}

static __attribute__((noinline)) void add_redacted(struct record *record,
                                                   const struct http1_item *item)
{
    uint8_t target[LIMIT_TARGET_TEXT];
    bool cut;
    size_t size = redact_target(item->target, item->target_cut, target, sizeof(target), &cut);
    if (cut) {
        record->flags |= RECORD_FLAG_TEXT_CUT;
    }
    record_add_field(record, FIELD_TARGET, slice_of(target, size), sizeof(target));
}

static inline void fill_request_line(struct passage *passage, struct record *record,
                                     const struct http1_item *item)
{
    if (unlikely(item->method.data[0] == 'H' || item->method.data[0] == 'C')) {
        mark_method(passage, item->method);
    }
    if (unlikely(record == NULL)) {
        return;
    }
    if (unlikely(is_absolute(item->target) || passage->connection->in_tunnel)) {
        record->flags |= RECORD_FLAG_PROXIED;
    }
    if (unlikely(witness != NULL) && passage->connection->role != ROLE_SERVER &&
        !item->target_cut) {
        trace_context_ask_for_http(record, item->method, item->target);
    }
    record->http.version_minor = item->version_minor;
    record_add_field(record, FIELD_METHOD, item->method, LIMIT_HEADER_TEXT);
    if (likely(!item->target_cut && item->target.size <= LIMIT_TARGET_TEXT &&
               redact_changes_nothing(item->target))) {
        record_add_field(record, FIELD_TARGET, item->target, LIMIT_TARGET_TEXT);
    } else {
        add_redacted(record, item);
    }
    bool is_server = passage->connection->role == ROLE_SERVER;
    uint8_t endpoint = service_find(item->method, item->target, is_server);
    if (unlikely(endpoint != SERVICE_NONE)) {
        begin_service(passage, record, endpoint, item->target);
    }
}

/* The first entry of a list, without surrounding blanks. */
static struct slice first_of_list(struct slice list)
{
    size_t size = 0;
    while (size < list.size && list.data[size] != ',') {
        size++;
    }
    while (size > 0 && (list.data[size - 1] == ' ' || list.data[size - 1] == '\t')) {
        size--;
    }
    return slice_of(list.data, size);
}

/* The sender's own context. A second one makes both void, whatever one of them says. */
static void take_traceparent(struct passage *passage, struct record *record, struct slice value,
                             bool is_cut)
{
    struct traceparent parent;
    if (!attachment_reads_traceparent) {
        return;
    }
    struct trace_identity announced;
    if (unlikely(atomic_load_explicit(&announcements, memory_order_relaxed) > 0) &&
        passage->connection->role != ROLE_SERVER && traceparent_parse(value, &parent) &&
        announcement_take(passage->self, &parent, &announced)) {
        trace_context_replace(record, &announced);
        return;
    }
    bool is_second = (record->flags & RECORD_FLAG_TRACEPARENT) != 0;
    record->flags |= RECORD_FLAG_TRACEPARENT;
    if (unlikely(is_second)) {
        if (record->parent_source == PARENT_REMOTE || record->parent_source == PARENT_SDK) {
            trace_context_disown(passage->self, record);
        }
    } else if (!is_cut && traceparent_parse(value, &parent) &&
               record_add_field(record, FIELD_TRACEPARENT, value, LIMIT_HEADER_TEXT)) {
        trace_context_adopt(record, &parent, passage->connection->role == ROLE_SERVER);
    }
}

/* What stands beside a traceparent, which may come later. Who sends a request has baggage for
   others than us. */
static SLOW void take_carried(struct passage *passage, enum http1_field field, struct slice value,
                              bool is_cut)
{
    struct direction *requests = direction_of(passage);
    bool is_state = field == HTTP1_FIELD_TRACESTATE;
    if (is_state ? !attachment_reads_traceparent
                 : !attachment_reads_baggage || passage->connection->role != ROLE_SERVER) {
        return;
    }
    if (requests->carried == 0 && (requests->carried = carried_begin()) == 0) {
        return;
    }
    if (is_cut && is_state) {
        carried_add_cut_tracestate(requests->carried, value);
    } else if (is_cut) {
        carried_cut(requests->carried);
    } else if (is_state) {
        carried_add_tracestate(requests->carried, value);
    } else {
        carried_add_baggage(requests->carried, value);
    }
}

static void fill_request_field(struct passage *passage, struct record *record,
                               enum http1_field field, struct slice value, bool is_cut)
{
    switch (field) {
    case HTTP1_FIELD_HOST:
        record_add_field(record, FIELD_HOST, value, HOST_TEXT);
        break;
    case HTTP1_FIELD_USER_AGENT:
        record_add_field(record, FIELD_USER_AGENT, value, LIMIT_HEADER_TEXT);
        break;
    case HTTP1_FIELD_X_FORWARDED_FOR:
        record_add_field(record, FIELD_FORWARDED_FOR, first_of_list(value), LIMIT_HEADER_TEXT);
        break;
    case HTTP1_FIELD_X_FORWARDED_PROTO:
        record_add_field(record, FIELD_FORWARDED_PROTO, first_of_list(value), LIMIT_HEADER_TEXT);
        break;
    case HTTP1_FIELD_X_FORWARDED_HOST:
        record_add_field(record, FIELD_FORWARDED_HOST, first_of_list(value), HOST_TEXT);
        break;
    case HTTP1_FIELD_X_REQUEST_ID:
        record_add_field(record, FIELD_REQUEST_ID, value, LIMIT_HEADER_TEXT);
        break;
    case HTTP1_FIELD_TRACEPARENT:
        take_traceparent(passage, record, value, is_cut);
        break;
    case HTTP1_FIELD_TRACESTATE:
    case HTTP1_FIELD_BAGGAGE:
        take_carried(passage, field, value, is_cut);
        break;
    case HTTP1_FIELD_X_AMZ_CONTENT_SHA256:
        record->http.store = STORE_S3;
        break;
    case HTTP1_FIELD_X_MS_VERSION:
        record->http.store = STORE_AZURE;
        break;
    case HTTP1_FIELD_API_KEY:
        record->flags |= RECORD_FLAG_API_KEY;
        break;
    case HTTP1_FIELD_OTHER:
    case HTTP1_FIELD_CONTENT_LENGTH:
    case HTTP1_FIELD_TRANSFER_ENCODING:
    case HTTP1_FIELD_CONNECTION:
    case HTTP1_FIELD_UPGRADE:
    case HTTP1_FIELD_EXPECT:
    case HTTP1_FIELD_CONTENT_TYPE:
    case HTTP1_FIELD_FORWARDED:
    case HTTP1_FIELD_SEC_WEBSOCKET_KEY:
    case HTTP1_FIELD_SEC_WEBSOCKET_PROTOCOL:
    case HTTP1_FIELD_SEC_WEBSOCKET_EXTENSIONS:
    case HTTP1_FIELD_SEC_WEBSOCKET_ACCEPT:
    case HTTP1_FIELD_CONTENT_ENCODING:
    default:
        break;
    }
}

/* Returns what the request's context has of them. */
static SLOW uint32_t end_carried(struct direction *requests, struct record *record)
{
    uint16_t number = requests->carried;
    requests->carried = 0;
    bool has_parent = record != NULL && (record->parent_source == PARENT_REMOTE ||
                                         record->parent_source == PARENT_SDK);
    uint32_t carried = carried_end(number, has_parent);
    if (carried != 0) {
        carried_tell(record, carried);
    }
    return carried;
}

static inline void end_request_head(struct passage *passage, struct record *record, bool upgrades)
{
    struct direction *requests = direction_of(passage);
    requests->wants_upgrade = upgrades;
    uint32_t carried = likely(requests->carried == 0) ? 0 : end_carried(requests, record);
    if (record != NULL && passage->connection->role == ROLE_SERVER) {
        trace_context_enter(passage->self, record, passage->connection, carried);
    } else if (unlikely(candidates_exist(passage->self)) && record != NULL) {
        candidates_tell(passage->self, record);
    }
}

void http_exchange_request_sent(struct thread_state *self, uint16_t slot, uint64_t now)
{
    struct record *record = exchange_record(slot);
    if (record != NULL && exchange_other_half_done(slot, HALF_REQUEST)) {
        record->flags |= RECORD_FLAG_EARLY_REPLY;
        exchange_complete(self, slot, now, RECORD_OK, 0);
    }
}

static void end_request(struct passage *passage)
{
    struct direction *requests = direction_of(passage);
    uint16_t slot = requests->current_slot;
    http_body_end(requests, exchange_record(slot), true);
    requests->current_slot = SEGMENT_NO_SLOT;
    struct pairing_entry entry;
    if (pairing_newest(&passage->connection->pairing, &entry) && entry.slot == slot) {
        entry.flags |= PAIRING_COMPLETE;
        pairing_update_newest(&passage->connection->pairing, entry);
    }
    /* If that ends the exchange, the answer has said when. */
    http_exchange_request_sent(passage->self, slot, passage->now);
}

static inline void add_request_body(struct passage *passage, struct slice bytes)
{
    struct record *record = request_record(passage);
    if (record != NULL) {
        record->http.request_body_bytes += bytes.size;
    }
    http_body_pass(direction_of(passage), record, bytes, passage->now);
}

/* A whole head: one that has been looked at before, or one that `room` is for; NULL: there is none.
 */
static inline const struct http1_head *take_head(struct passage *passage, struct http1 *parser,
                                                 struct slice *in, struct http1_head *room)
{
    const struct http_preview *preview = passage->preview;
    if (unlikely(preview != NULL) && preview->data == in->data && preview->size <= in->size &&
        http1_is_idle(parser)) {
        *parser = preview->parser;
        slice_take(in, preview->size);
        return &preview->head;
    }
    return http1_take_head(parser, in, room) ? room : NULL;
}

/* The short way for requests that lie whole in the input. */
static inline void take_whole_requests(struct passage *passage, struct slice *in)
{
    struct direction *requests = direction_of(passage);
    struct http1_head room;
    const struct http1_head *head;
    uint64_t payload;
    while (in->size > 0 && (head = take_head(passage, &requests->http1, in, &room)) != NULL) {
        begin_request(passage);
        struct record *record = request_record(passage);
        fill_request_line(passage, record, &head->item);
        for (uint32_t i = 0; record != NULL && i < head->field_count; i++) {
            fill_request_field(passage, record, (enum http1_field)head->fields[i].field,
                               head->fields[i].value, false);
        }
        end_request_head(passage, record, head->item.upgrades);
        if (unlikely(requests->body_block != 0) ||
            !http1_take_rest(&requests->http1, in, &payload)) {
            return;
        }
        if (record != NULL) {
            record->http.request_body_bytes += payload;
        }
        end_request(passage);
    }
}

/* Nothing to do before more bytes come. */
static inline bool is_used_up(const struct direction *direction, const struct slice *in)
{
    return in->size == 0 && direction->carry_block == 0 && http1_is_idle(&direction->http1);
}

/* The answer that makes it another protocol may be on its way out: what comes may be that one's. */
static SLOW bool awaits_upgrade(const struct passage *passage)
{
    const struct direction *requests = &passage->connection->directions[passage->direction];
    return requests->wants_upgrade && http1_is_idle(&requests->http1);
}

void http_exchange_requests(struct passage *passage, struct slice *in)
{
    struct direction *requests = direction_of(passage);
    struct http1_item item;
    struct record *record;
    if (unlikely(passage->in_flight) && awaits_upgrade(passage)) {
        passage->waits = true;
        return;
    }
    for (;;) {
        take_whole_requests(passage, in);
        if (likely(is_used_up(requests, in))) {
            return;
        }
        switch (http1_next(&requests->http1, in, &item)) {
        case HTTP1_NEED_MORE:
            take_carry_back(requests);
            return;
        case HTTP1_NEED_CARRY:
            if (!lend_carry(requests)) {
                give_up_for_memory(passage->connection);
                in->size = 0;
                return;
            }
            break;
        case HTTP1_MESSAGE_BEGIN:
            begin_request(passage);
            break;
        case HTTP1_START_LINE:
            fill_request_line(passage, request_record(passage), &item);
            break;
        case HTTP1_FIELD:
            record = item.field == HTTP1_FIELD_OTHER ? NULL : request_record(passage);
            if (record != NULL) {
                fill_request_field(passage, record, item.field, item.value, item.value_cut);
            }
            break;
        case HTTP1_HEAD_END:
            end_request_head(passage, request_record(passage), item.upgrades);
            break;
        case HTTP1_BODY:
            add_request_body(passage, item.bytes);
            break;
        case HTTP1_MESSAGE_END:
            end_request(passage);
            break;
        case HTTP1_LOST:
        default:
            protocol_malformed(passage);
            in->size = 0;
            return;
        }
    }
}

/* ---- replies ---- */

static bool is_interim(uint16_t status)
{
    return status >= 100 && status < 200 && status != 101;
}

static struct record *reply_record(struct connection *connection, struct pairing_entry *entry)
{
    return pairing_oldest(&connection->pairing, entry) ? exchange_record(entry->slot) : NULL;
}

static bool begin_reply(struct passage *passage)
{
    struct pairing_entry entry;
    if (!pairing_oldest(&passage->connection->pairing, &entry)) {
        exchange_count_loss(LOSS_UNMATCHED_REPLY);
        connection_set_adrift(passage->connection);
        return false;
    }
    struct record *record = exchange_record(entry.slot);
    if (record != NULL && record->reply_ns == 0) {
        record->reply_ns = passage->now;
        if (passage->connection->role == ROLE_SERVER) {
            trace_context_answers(passage->self, passage->connection);
        }
    }
    return true;
}

static inline void fill_status_line(struct passage *passage, struct record *record,
                                    bool is_sent_whole, const struct http1_item *item)
{
    direction_of(passage)->status = item->status;
    if (record == NULL) {
        return;
    }
    if (is_interim(item->status)) {
        record->http.interim_count++;
    } else {
        record->http.status = item->status;
        /* Until then the request's side writes it. */
        if (is_sent_whole) {
            record->http.version_minor = item->version_minor;
        }
    }
}

static void fill_reply_field(struct passage *passage, enum http1_field field, struct slice value)
{
    struct pairing_entry entry;
    struct record *record = reply_record(passage->connection, &entry);
    /* While the request is still being framed, its side alone writes text. */
    if (record == NULL || !(entry.flags & PAIRING_COMPLETE)) {
        return;
    }
    if (field == HTTP1_FIELD_X_REQUEST_ID &&
        record_find_field(record, FIELD_REQUEST_ID).data == NULL) {
        record_add_field(record, FIELD_REQUEST_ID, value, LIMIT_HEADER_TEXT);
    }
    if (direction_of(passage)->status != 101) {
        return;
    }
    if (field == HTTP1_FIELD_UPGRADE) {
        record_add_field(record, FIELD_UPGRADE, value, LIMIT_HEADER_TEXT);
    } else if (field == HTTP1_FIELD_SEC_WEBSOCKET_PROTOCOL) {
        record_add_field(record, FIELD_SUBPROTOCOL, value, LIMIT_HEADER_TEXT);
    } else if (field == HTTP1_FIELD_SEC_WEBSOCKET_EXTENSIONS) {
        record_add_field(record, FIELD_EXTENSIONS, value, LIMIT_HEADER_TEXT);
    }
}

/* Whether the reply that comes next is a service's. */
static inline bool awaits_service(struct passage *passage)
{
    struct pairing_entry entry;
    return pairing_oldest(&passage->connection->pairing, &entry) && entry.effect != SERVICE_NONE;
}

/* The record of the service's reply at hand; NULL if it is none, or not to be written to. */
static struct record *service_record(struct passage *passage, uint8_t *endpoint)
{
    struct pairing_entry entry;
    struct record *record = reply_record(passage->connection, &entry);
    if (record == NULL || entry.effect == SERVICE_NONE || !(entry.flags & PAIRING_COMPLETE) ||
        is_interim(direction_of(passage)->status)) {
        return NULL;
    }
    *endpoint = entry.effect;
    return record;
}

static SLOW void fill_service_field(struct passage *passage, const struct http1_item *item)
{
    uint8_t endpoint;
    struct record *record = service_record(passage, &endpoint);
    if (record != NULL) {
        http_body_reply_field(direction_of(passage), record, endpoint, item);
    }
}

static SLOW void begin_service_reply(struct passage *passage)
{
    uint8_t endpoint;
    if (service_record(passage, &endpoint) != NULL) {
        http_body_begin_reply(direction_of(passage), endpoint);
    }
}

static inline void end_reply_head(struct direction *replies, struct pairing_entry entry)
{
    bool opens_tunnel = (entry.flags & PAIRING_CONNECT) && replies->status / 100 == 2;
    if ((entry.flags & PAIRING_HEAD) || opens_tunnel || replies->status == 101) {
        http1_has_no_body(&replies->http1);
    }
}

/* Behind the answer that changed the protocol the buffers are the other protocol's. */
static bool is_upgraded(const struct connection *connection)
{
    return atomic_load_explicit(&connection->protocol, memory_order_relaxed) == PROTOCOL_WEBSOCKET;
}

/* Ends the oldest exchange. */
static void complete_oldest(struct thread_state *self, struct connection *connection,
                            struct pairing_entry entry, enum record_error error, int system_error,
                            uint64_t now)
{
    struct record *record = exchange_record(entry.slot);
    if (unlikely(connection_replies(connection)->body_block != 0) && !is_upgraded(connection)) {
        http_body_end(connection_replies(connection), record, error == RECORD_OK);
    }
    if (unlikely(entry.effect != SERVICE_NONE) && error == RECORD_OK) {
        runs_answered(self, connection, entry.slot, entry.effect, now);
    }
    pairing_pop(&connection->pairing);
    if (connection->role == ROLE_SERVER) {
        atomic_fetch_add_explicit(&connection->answers, 1, memory_order_relaxed);
        trace_context_leave(self, connection->serial);
    }
    if (record == NULL) {
        return;
    }
    record->error = (uint8_t)error;
    record->system_error = system_error;
    record->end_ns = now > record->start_ns ? now : record->start_ns;
    if (!exchange_other_half_done(entry.slot, HALF_REPLY)) {
        return;
    }
    bool is_of_job = (record->flags & RECORD_FLAG_FOR_JOB) != 0;
    if (likely(!is_of_job) || !polls_take(self, entry.slot, record)) {
        exchange_complete(self, entry.slot, now, error, system_error);
    }
}

/* The protocol changes after this answer: both directions are needed. A thread that receives may
   see the answer before the one that sent the request is back from its call; then, if nothing came
   with the answer, the change waits for that one to leave. Returns false if it waits. */
static bool change_protocol(struct passage *passage, uint16_t handshake, bool is_websocket,
                            bool is_tunnel, bool is_last)
{
    struct connection *connection = passage->connection;
    enum direction_name other = passage->direction == DIRECTION_IN ? DIRECTION_OUT : DIRECTION_IN;
    uint8_t free = 0;
    if (!passage->holds_both &&
        !atomic_compare_exchange_strong_explicit(&connection->busy[other], &free, 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        if (is_websocket && is_last) {
            connection->upgraded_ns = passage->now;
            atomic_fetch_or_explicit(&connection->pending, PENDING_UPGRADE, memory_order_seq_cst);
            return false;
        }
        exchange_count_loss(LOSS_CONTENDED);
        connection_set_adrift(connection);
        return true;
    }
    connection_requests(connection)->wants_upgrade = false;
    if (is_websocket) {
        websocket_exchange_start(passage->self, connection, handshake, passage->now);
    } else if (is_tunnel) {
        connection->in_tunnel = true;
        protocol_start(connection, PROTOCOL_UNDECIDED);
    } else {
        protocol_park_both(passage, OPAQUE_UPGRADED);
    }
    if (!passage->holds_both) {
        atomic_store_explicit(&connection->busy[other], 0, memory_order_release);
    }
    return true;
}

void http_exchange_upgrade(struct thread_state *self, struct connection *connection)
{
    struct pairing_entry entry;
    if (atomic_load_explicit(&connection->protocol, memory_order_relaxed) != PROTOCOL_HTTP1 ||
        !pairing_oldest(&connection->pairing, &entry)) {
        return;
    }
    connection_requests(connection)->wants_upgrade = false;
    websocket_exchange_start(self, connection, entry.slot, connection->upgraded_ns);
    complete_oldest(self, connection, entry, RECORD_OK, 0, connection->upgraded_ns);
}

/* Returns false if the protocol has changed. `is_last`: no bytes follow in this call. */
static bool end_reply(struct passage *passage, bool is_last)
{
    struct connection *connection = passage->connection;
    uint16_t status = direction_of(passage)->status;
    struct pairing_entry entry;
    if (is_interim(status) || !pairing_oldest(&connection->pairing, &entry)) {
        return true;
    }
    bool is_tunnel = (entry.flags & PAIRING_CONNECT) && status / 100 == 2;
    if (status != 101 && !is_tunnel) {
        complete_oldest(passage->self, connection, entry, RECORD_OK, 0, passage->now);
        return true;
    }
    struct record *record = exchange_record(entry.slot);
    bool is_websocket = false;
    if (record != NULL && status == 101 && (entry.flags & PAIRING_COMPLETE)) {
        record->flags |= RECORD_FLAG_UPGRADED;
        is_websocket = slice_equals_ignoring_case(record_find_field(record, FIELD_UPGRADE),
                                                  SLICE("websocket"));
    }
    take_carry_back(direction_of(passage));
    if (change_protocol(passage, entry.slot, is_websocket, is_tunnel, is_last)) {
        complete_oldest(passage->self, connection, entry, RECORD_OK, 0, passage->now);
    }
    return false;
}

static void add_reply_body(struct passage *passage, struct slice bytes)
{
    struct pairing_entry entry;
    struct record *record = reply_record(passage->connection, &entry);
    if (record != NULL) {
        record->http.response_body_bytes += bytes.size;
    }
    http_body_pass(direction_of(passage), record, bytes, passage->now);
}

/* What comes next may answer a request that is not framed, or not to its end. */
static SLOW bool may_answer_unframed(struct passage *passage)
{
    struct pairing_entry entry;
    return http1_is_idle(&direction_of(passage)->http1) &&
           (!pairing_oldest(&passage->connection->pairing, &entry) ||
            !(entry.flags & PAIRING_COMPLETE));
}

/* Whether the replies are to be read on now. */
static inline bool reads_on(struct passage *passage)
{
    if (unlikely(passage->in_flight) && may_answer_unframed(passage)) {
        passage->waits = true;
    }
    return !passage->waits;
}

/* The short way for replies that lie whole in the input. Returns false if the protocol has changed,
   or the reply answers nothing. */
static inline bool take_whole_replies(struct passage *passage, struct slice *in)
{
    struct direction *replies = direction_of(passage);
    struct http1_head head;
    uint64_t payload;
    while (in->size > 0 && reads_on(passage) && likely(!awaits_service(passage)) &&
           http1_take_head(&replies->http1, in, &head)) {
        if (!begin_reply(passage)) {
            in->size = 0;
            return false;
        }
        struct pairing_entry entry;
        struct record *record = reply_record(passage->connection, &entry);
        fill_status_line(passage, record, (entry.flags & PAIRING_COMPLETE) != 0, &head.item);
        for (uint32_t i = 0; i < head.field_count; i++) {
            fill_reply_field(passage, (enum http1_field)head.fields[i].field, head.fields[i].value);
        }
        end_reply_head(replies, entry);
        if (!http1_take_rest(&replies->http1, in, &payload)) {
            return true;
        }
        if (record != NULL) {
            record->http.response_body_bytes += payload;
        }
        if (!end_reply(passage, in->size == 0)) {
            return false;
        }
    }
    return true;
}

void http_exchange_replies(struct passage *passage, struct slice *in)
{
    struct direction *replies = direction_of(passage);
    struct http1_item item;
    struct pairing_entry entry;
    struct record *record;
    bool is_service;
    for (;;) {
        if (!take_whole_replies(passage, in) || is_used_up(replies, in) ||
            unlikely(passage->waits)) {
            return;
        }
        switch (http1_next(&replies->http1, in, &item)) {
        case HTTP1_NEED_MORE:
            take_carry_back(replies);
            return;
        case HTTP1_NEED_CARRY:
            if (!lend_carry(replies)) {
                give_up_for_memory(passage->connection);
                in->size = 0;
                return;
            }
            break;
        case HTTP1_MESSAGE_BEGIN:
            if (!begin_reply(passage)) {
                in->size = 0;
                return;
            }
            is_service = awaits_service(passage);
            replies->body_kind = 0;
            http1_report_only(&replies->http1,
                              REPLY_FIELDS | (is_service ? HTTP_BODY_REPLY_FIELDS : 0));
            break;
        case HTTP1_START_LINE:
            record = reply_record(passage->connection, &entry);
            fill_status_line(passage, record,
                             record != NULL && (entry.flags & PAIRING_COMPLETE) != 0, &item);
            break;
        case HTTP1_FIELD:
            if (item.field != HTTP1_FIELD_OTHER) {
                fill_reply_field(passage, item.field, item.value);
            }
            if (unlikely(awaits_service(passage))) {
                fill_service_field(passage, &item);
            }
            break;
        case HTTP1_HEAD_END:
            if (pairing_oldest(&passage->connection->pairing, &entry)) {
                end_reply_head(replies, entry);
                if (unlikely(entry.effect != SERVICE_NONE)) {
                    begin_service_reply(passage);
                }
            }
            break;
        case HTTP1_BODY:
            add_reply_body(passage, item.bytes);
            break;
        case HTTP1_MESSAGE_END:
            http1_report_only(&replies->http1, REPLY_FIELDS);
            if (!end_reply(passage, in->size == 0)) {
                return;
            }
            break;
        case HTTP1_LOST:
        default:
            protocol_malformed(passage);
            in->size = 0;
            return;
        }
    }
}

/* ---- what is not seen, and ends ---- */

void http_exchange_unseen(struct passage *passage, uint64_t count)
{
    struct connection *connection = passage->connection;
    struct direction *direction = direction_of(passage);
    bool is_request = direction == connection_requests(connection);
    struct pairing_entry entry;
    struct record *record = is_request ? request_record(passage) : reply_record(connection, &entry);
    enum http1_event event = http1_skip(&direction->http1, count);
    if (event == HTTP1_LOST) {
        exchange_count_loss(LOSS_MISSED_BYTES);
        connection_set_adrift(connection);
        return;
    }
    if (record != NULL && is_request) {
        record->http.request_body_bytes += count;
    } else if (record != NULL) {
        record->http.response_body_bytes += count;
    }
    http_body_end(direction, record, false);
    if (event == HTTP1_MESSAGE_END && is_request) {
        end_request(passage);
    } else if (event == HTTP1_MESSAGE_END) {
        end_reply(passage, false);
    }
}

/* Everything unanswered ends with the direction that answers would have come from. */
static void fail_all(struct thread_state *self, struct connection *connection,
                     enum record_error error, int system_error, uint64_t now)
{
    struct pairing_entry entry;
    for (uint32_t i = 0; i < LIMIT_PIPELINE + PAIRING_INLINE; i++) {
        if (!pairing_oldest(&connection->pairing, &entry)) {
            return;
        }
        complete_oldest(self, connection, entry, error, system_error, now);
    }
}

void http_exchange_end(struct passage *passage)
{
    struct connection *connection = passage->connection;
    struct direction *direction = direction_of(passage);
    enum http1_event event = http1_end(&direction->http1);
    if (direction != connection_replies(connection)) {
        return;
    }
    struct pairing_entry entry;
    if (event == HTTP1_MESSAGE_END && pairing_oldest(&connection->pairing, &entry)) {
        complete_oldest(passage->self, connection, entry, RECORD_OK, 0, passage->now);
    }
    if (connection->role != ROLE_SERVER) {
        int system_error;
        enum record_error error = connection_failure(connection, &system_error);
        fail_all(passage->self, connection, error != RECORD_OK ? error : RECORD_ERROR_EOF,
                 system_error, passage->now);
    }
}

void http_exchange_finish(struct thread_state *self, struct connection *connection,
                          enum record_error error, int system_error, uint64_t now)
{
    struct direction *replies = connection_replies(connection);
    struct direction *requests = connection_requests(connection);
    struct pairing_entry entry;
    if (!replies->ended && error == RECORD_ERROR_CANCELLED && connection->role == ROLE_SERVER &&
        http1_end(&replies->http1) == HTTP1_MESSAGE_END &&
        pairing_oldest(&connection->pairing, &entry)) {
        /* A response that lasts until the server, this process, closes. */
        complete_oldest(self, connection, entry, RECORD_OK, 0, now);
    }
    fail_all(self, connection, error, system_error, now);
    if (requests->current_slot != SEGMENT_NO_SLOT) {
        /* Answered, or failed just now, before it was complete. */
        http_exchange_request_sent(self, requests->current_slot, now);
        requests->current_slot = SEGMENT_NO_SLOT;
    }
    http_exchange_drop_head(requests);
    for (int i = 0; i < 2; i++) {
        http_exchange_give_buffers(&connection->directions[i]);
    }
}
