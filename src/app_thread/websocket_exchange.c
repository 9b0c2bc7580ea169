#include "app_thread/websocket_exchange.h"

#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/messages.h"
#include "handoff/segment.h"

#define CLOSE_WITHOUT_CODE 1005u
/* In websocket_closed: a close frame in either direction, and a reason that was taken from one. */
#define CLOSED_BOTH      3u
#define CLOSE_HAS_REASON 4u

static struct direction *direction_of(struct passage *passage)
{
    return &passage->connection->directions[passage->direction];
}

/* Copies what the connection's span is to say from the handshake's record. */
static void copy_fields(struct record *to, const struct record *from)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(from, &offset, &tag, &value)) {
        if (tag == FIELD_TARGET || tag == FIELD_HOST || tag == FIELD_SUBPROTOCOL ||
            tag == FIELD_EXTENSIONS) {
            record_add_field(to, tag, value, RECORD_TEXT_BYTES);
        }
    }
}

void websocket_exchange_start(struct thread_state *self, struct connection *connection,
                              uint16_t handshake, uint64_t now)
{
    bool is_server = connection->role == ROLE_SERVER;
    struct websocket_deflate deflate = {.agreed = false};
    connection->session_slot = exchange_begin_below(
        self, connection, is_server ? RECORD_WEBSOCKET_SERVER : RECORD_WEBSOCKET_CLIENT, now,
        handshake);
    const struct record *from = exchange_record(handshake);
    struct record *record = exchange_record(connection->session_slot);
    if (from != NULL) {
        deflate = websocket_parse_extensions(record_find_field(from, FIELD_EXTENSIONS));
    }
    if (from != NULL && record != NULL) {
        copy_fields(record, from);
        record->websocket.compressed = deflate.agreed;
    }
    for (int i = 0; i < 2; i++) {
        struct direction *direction = &connection->directions[i];
        bool from_client = (i == DIRECTION_OUT) != is_server;
        http_exchange_give_buffers(direction);
        /* Without the handshake's record it is not known what was agreed: anything may be. */
        websocket_init(&direction->websocket, from_client, deflate.agreed || from == NULL);
    }
    if (from != NULL) {
        messages_begin(connection, from, &deflate);
    }
    atomic_store_explicit(&connection->protocol, PROTOCOL_WEBSOCKET, memory_order_release);
}

static void begin_frame(struct passage *passage, struct record *record,
                        const struct websocket_item *item)
{
    struct connection *connection = passage->connection;
    enum direction_name side = passage->direction;
    switch ((enum websocket_opcode)item->opcode) {
    case WEBSOCKET_TEXT:
        record->websocket.text_messages[side]++;
        break;
    case WEBSOCKET_BINARY:
        record->websocket.binary_messages[side]++;
        break;
    case WEBSOCKET_PING:
        record->websocket.pings[side]++;
        if (side == DIRECTION_OUT) {
            atomic_store_explicit(&connection->ping_sent_ns, passage->now, memory_order_relaxed);
        }
        break;
    case WEBSOCKET_PONG:
        if (side == DIRECTION_IN) {
            uint64_t sent_ns =
                atomic_exchange_explicit(&connection->ping_sent_ns, 0, memory_order_relaxed);
            if (sent_ns != 0) {
                record->websocket.ping_round_trip_ns = passage->now - sent_ns;
            }
        }
        break;
    case WEBSOCKET_CLOSE:
        record->websocket.close_code[side] = CLOSE_WITHOUT_CODE;
        break;
    case WEBSOCKET_CONTINUATION:
    default:
        break;
    }
}

/* The two bytes of a close code, and the reason after them. */
static void take_close_payload(struct passage *passage, struct record *record,
                               const struct websocket_item *item)
{
    uint8_t plain[125]; /* the most a control frame holds */
    size_t size = item->bytes.size < sizeof(plain) ? item->bytes.size : sizeof(plain);
    if (direction_of(passage)->websocket.from_client) {
        websocket_unmask(slice_of(item->bytes.data, size), item->mask, item->offset, plain);
    } else {
        memcpy(plain, item->bytes.data, size);
    }
    uint16_t *code = &record->websocket.close_code[passage->direction];
    for (size_t i = 0; i < size; i++) {
        if (item->offset + i == 0) {
            *code = (uint16_t)(plain[i] << 8);
        } else if (item->offset + i == 1) {
            *code = (uint16_t)((*code & 0xFF00u) | plain[i]);
        }
    }
    /* Only the one who closes first gives a reason of its own; and only one side may write text. */
    if (item->offset == 0 && size > 2 &&
        atomic_fetch_or_explicit(&passage->connection->websocket_closed, CLOSE_HAS_REASON,
                                 memory_order_relaxed) == 0) {
        record_add_field(record, FIELD_CLOSE_REASON, slice_of(plain + 2, size - 2), sizeof(plain));
    }
}

static void end_frame(struct passage *passage, const struct websocket *parser)
{
    struct connection *connection = passage->connection;
    if (parser->opcode != WEBSOCKET_CLOSE) {
        return;
    }
    /* Before the mark: who finishes the connection holds both directions. */
    atomic_store_explicit(&connection->websocket_closed_ns, passage->now, memory_order_relaxed);
    atomic_fetch_or_explicit(&connection->websocket_closed, (uint8_t)(1u << passage->direction),
                             memory_order_relaxed);
}

/* What comes next may answer a message that is not framed yet. */
static bool may_answer_unframed(struct passage *passage)
{
    return messages_are_sent(passage->connection) &&
           websocket_is_idle(&direction_of(passage)->websocket);
}

void websocket_exchange_frames(struct passage *passage, struct slice *in)
{
    struct direction *direction = direction_of(passage);
    struct record *record = exchange_record(passage->connection->session_slot);
    struct websocket_item item;
    for (;;) {
        if (unlikely(passage->in_flight) && may_answer_unframed(passage)) {
            passage->waits = true;
            return;
        }
        switch (websocket_next(&direction->websocket, in, &item)) {
        case WEBSOCKET_NEED_MORE:
            return;
        case WEBSOCKET_FRAME_BEGIN:
            if (record != NULL) {
                begin_frame(passage, record, &item);
            }
            messages_frame(passage->self, passage->connection, direction, &item, passage->now);
            break;
        case WEBSOCKET_PAYLOAD:
            if (record != NULL) {
                record->websocket.payload_bytes[passage->direction] += item.bytes.size;
                if (direction->websocket.opcode == WEBSOCKET_CLOSE) {
                    take_close_payload(passage, record, &item);
                }
            }
            messages_payload(direction, &item);
            break;
        case WEBSOCKET_FRAME_END:
            end_frame(passage, &direction->websocket);
            messages_frame_end(passage->self, passage->connection, direction, passage->now);
            break;
        case WEBSOCKET_LOST:
        default:
            protocol_malformed(passage);
            in->size = 0;
            return;
        }
    }
}

void websocket_exchange_unseen(struct passage *passage, uint64_t count)
{
    struct record *record = exchange_record(passage->connection->session_slot);
    if (!websocket_skip(&direction_of(passage)->websocket, count)) {
        exchange_count_loss(LOSS_MISSED_BYTES);
        connection_set_adrift(passage->connection);
    } else if (record != NULL) {
        record->websocket.payload_bytes[passage->direction] += count;
    }
    messages_missed(direction_of(passage));
}

void websocket_exchange_finish(struct thread_state *self, struct connection *connection,
                               enum record_error error, int system_error, uint64_t now)
{
    uint8_t closed =
        atomic_load_explicit(&connection->websocket_closed, memory_order_relaxed) & CLOSED_BOTH;
    uint64_t end_ns = closed == CLOSED_BOTH ? atomic_load_explicit(&connection->websocket_closed_ns,
                                                                   memory_order_relaxed)
                                            : now;
    /* A connection that either side closes in order has not failed, whatever TCP says after. */
    if (closed != 0 || error == RECORD_ERROR_CANCELLED) {
        error = RECORD_OK;
        system_error = 0;
    }
    exchange_complete(self, connection->session_slot, end_ns, error, system_error);
    connection->session_slot = SEGMENT_NO_SLOT;
    messages_end(self, connection, now);
}
