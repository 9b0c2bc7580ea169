#include "app_thread/messages.h"

#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/inflater.h"
#include "app_thread/runs.h"
#include "app_thread/service_values.h"
#include "app_thread/slab.h"
#include "wire/service.h"

/* Lies in the direction's `body_block`; what was taken of the message at hand is a record in
   `carry_block`. */
struct messages {
    struct inflater inflater; /* first: connection.h */
    uint8_t endpoint;
    bool is_text; /* the message at hand, as far as its values are wanted */
    bool is_coded;
    bool is_last;       /* frame of it */
    bool is_sent;       /* what this process sends is read */
    bool shares_window; /* each message goes on where the one before ended */
    uint64_t start_ns;
    struct service_values values;
};

/* Of what is masked so much is looked at in one go. */
#define UNMASKED_BYTES 256u

_Static_assert(sizeof(struct messages) <= SLAB_BLOCK_BYTES, "a buffer");
_Static_assert(sizeof(struct record) <= SLAB_BLOCK_BYTES, "a buffer");

static struct messages *messages_of(const struct direction *direction)
{
    return slab_address(direction->body_block);
}

static struct record *values_of(const struct direction *direction)
{
    return slab_address(direction->carry_block);
}

static uint8_t endpoint_of(const struct record *handshake)
{
    struct slice number = record_find_field(handshake, FIELD_SERVICE);
    return number.size == 1 ? number.data[0] : SERVICE_NONE;
}

static void begin(struct direction *direction, uint8_t number, bool is_sent, bool shares_window)
{
    direction->body_block = slab_take(SLAB_BUFFER);
    direction->carry_block = slab_take(SLAB_BUFFER);
    if (direction->body_block == 0 || direction->carry_block == 0) {
        exchange_count_loss(LOSS_SLAB_FULL);
        http_exchange_give_buffers(direction);
        return;
    }
    struct messages *messages = messages_of(direction);
    messages->endpoint = number;
    messages->is_sent = is_sent;
    messages->shares_window = shares_window;
}

void messages_begin(struct connection *connection, const struct record *handshake,
                    const struct websocket_deflate *deflate)
{
    uint8_t number = endpoint_of(handshake);
    const struct service_endpoint *endpoint = service_endpoint(number);
    if (connection->role == ROLE_SERVER || endpoint == NULL) {
        return;
    }
    if (endpoint->reads_messages) {
        begin(&connection->directions[DIRECTION_IN], number, false,
              !deflate->server_no_context_takeover);
    }
    if (endpoint->reads_sent) {
        begin(&connection->directions[DIRECTION_OUT], number, true,
              !deflate->client_no_context_takeover);
    }
}

/* Nothing more is read of this connection. */
static void stop(struct direction *direction)
{
    http_exchange_give_buffers(direction);
}

/* Of the message at hand nothing is wanted any more; what comes compressed later builds on it. */
static void drop(struct direction *direction)
{
    struct messages *messages = messages_of(direction);
    messages->is_text = false;
    if (messages->is_coded && messages->shares_window) {
        stop(direction);
    }
}

void messages_frame(struct direction *direction, const struct websocket_item *item, uint64_t now)
{
    if (direction->body_block == 0 || item->opcode >= WEBSOCKET_CLOSE) {
        return;
    }
    struct messages *messages = messages_of(direction);
    messages->is_last = item->fin;
    if (item->opcode == WEBSOCKET_CONTINUATION) {
        return;
    }
    messages->is_text = item->opcode == WEBSOCKET_TEXT;
    messages->is_coded = item->compressed;
    messages->start_ns = now;
    memset(values_of(direction), 0, sizeof(struct record));
    const struct service_endpoint *endpoint = service_endpoint(messages->endpoint);
    service_values_begin(&messages->values, messages->endpoint,
                         messages->is_sent ? endpoint->request_nodes : endpoint->reply_nodes);
    if (!item->compressed) {
        return;
    }
    if (messages->inflater.state_block != 0) {
        inflater_next_text(&messages->inflater, !messages->shares_window);
    } else if (!inflater_begin(&messages->inflater, INFLATE_MESSAGES)) {
        drop(direction);
    }
}

static void read_text(struct direction *direction, struct slice bytes)
{
    struct messages *messages = messages_of(direction);
    if (messages->is_text && !service_values_read(&messages->values, values_of(direction), bytes)) {
        messages->is_text = false;
    }
}

static void read_coded(struct direction *direction, struct slice bytes)
{
    struct messages *messages = messages_of(direction);
    struct slice text;
    enum inflater_event event;
    if (!messages->is_text && !messages->shares_window) {
        return;
    }
    while ((event = inflater_next(&messages->inflater, &bytes, &text)) == INFLATER_DATA) {
        read_text(direction, text);
    }
    if (event != INFLATER_NEED_MORE) {
        drop(direction);
    }
}

static void read_bytes(struct direction *direction, struct slice bytes)
{
    if (messages_of(direction)->is_coded) {
        read_coded(direction, bytes);
    } else {
        read_text(direction, bytes);
    }
}

/* What a client sends is masked. */
static void read_masked(struct direction *direction, const struct websocket_item *item)
{
    uint8_t plain[UNMASKED_BYTES];
    struct slice left = item->bytes;
    uint64_t offset = item->offset;
    while (left.size > 0 && direction->body_block != 0) {
        struct slice piece =
            slice_take(&left, left.size < sizeof(plain) ? left.size : sizeof(plain));
        websocket_unmask(piece, item->mask, offset, plain);
        read_bytes(direction, slice_of(plain, piece.size));
        offset += piece.size;
    }
}

void messages_payload(struct direction *direction, const struct websocket_item *item)
{
    if (direction->body_block == 0 || direction->websocket.opcode >= WEBSOCKET_CLOSE) {
        return;
    }
    values_of(direction)->message.bytes += item->bytes.size;
    if (direction->websocket.from_client) {
        read_masked(direction, item);
    } else {
        read_bytes(direction, item->bytes);
    }
}

void messages_frame_end(struct thread_state *self, struct connection *connection,
                        struct direction *direction, uint64_t now)
{
    if (direction->body_block == 0 || direction->websocket.opcode >= WEBSOCKET_CLOSE ||
        !messages_of(direction)->is_last) {
        return;
    }
    if (messages_of(direction)->is_coded) {
        /* RFC 7692, 7.2.2: the end that every message has is not sent. */
        read_coded(direction, SLICE("\0\0\377\377"));
    }
    if (direction->body_block == 0) {
        return;
    }
    struct messages *messages = messages_of(direction);
    struct record *values = values_of(direction);
    if (messages->is_text && service_values_is_complete(&messages->values)) {
        service_values_finish(&messages->values, values);
        record_add_field(values, FIELD_SERVICE, slice_of(&messages->endpoint, 1), 1);
        if (messages->is_sent) {
            runs_sent(self, connection, messages->endpoint, values, messages->start_ns, now);
        } else {
            runs_message(self, connection, messages->endpoint, values, messages->start_ns, now);
        }
    }
    messages->is_text = false;
}

void messages_missed(struct direction *direction)
{
    if (direction->body_block != 0) {
        drop(direction);
    }
}

void messages_end(struct thread_state *self, struct connection *connection, uint64_t now)
{
    if (messages_are_sent(connection)) {
        runs_closed(self, connection, now);
    }
    http_exchange_give_buffers(&connection->directions[DIRECTION_IN]);
    http_exchange_give_buffers(&connection->directions[DIRECTION_OUT]);
}
