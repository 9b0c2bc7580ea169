#include "app_thread/messages.h"

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/inflater.h"
#include "app_thread/runs.h"
#include "app_thread/service_values.h"
#include "app_thread/slab.h"
#include "app_thread/trace_context.h"
#include "base/limits.h"
#include "wire/json_context.h"
#include "wire/service.h"

/* Lies in the direction's `body_block`; what was taken of a service's message at hand is a record
   in `carry_block`. */
struct messages {
    struct inflater inflater; /* first: connection.h */
    uint8_t endpoint;         /* SERVICE_NONE: of no service */
    uint8_t untraced;         /* compressed ones in a row that carried no context */
    bool is_text;             /* the message at hand, as far as a service's values are wanted */
    bool may_carry;           /* the same, as far as a context may be found in it */
    bool has_begun;           /* a byte of its text has come */
    bool is_alone;            /* no other one has ended in the same read */
    bool has_entered;         /* the last one's context is, or was, somebody's */
    bool is_coded;
    bool is_last;       /* frame of it */
    bool is_sent;       /* what this process sends is read */
    bool shares_window; /* each message goes on where the one before ended */
    uint32_t text_bytes;
    uint64_t start_ns;
    uint64_t ended_ns; /* the last one */
    struct service_values values;
    struct json_context context;
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

/* `number` is SERVICE_NONE where nothing but contexts is looked for. */
static void begin(struct direction *direction, uint8_t number, bool is_sent, bool shares_window)
{
    bool is_service = number != SERVICE_NONE;
    direction->body_block = slab_take(SLAB_BUFFER);
    direction->carry_block = is_service ? slab_take(SLAB_BUFFER) : 0;
    if (direction->body_block == 0 || (is_service && direction->carry_block == 0)) {
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
    bool is_server = connection->role == ROLE_SERVER;
    bool is_service = !is_server && endpoint != NULL;
    bool reads_messages = is_service && endpoint->reads_messages;
    if (reads_messages || attachment_reads_traceparent) {
        begin(&connection->directions[DIRECTION_IN], reads_messages ? number : SERVICE_NONE, false,
              is_server ? !deflate->client_no_context_takeover
                        : !deflate->server_no_context_takeover);
    }
    if (is_service && endpoint->reads_sent) {
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
    messages->may_carry = false;
    if (messages->is_coded && messages->shares_window) {
        stop(direction);
    }
}

/* The last one's work is over. */
static void leave(struct thread_state *self, struct connection *connection,
                  struct messages *messages)
{
    if (messages->has_entered) {
        messages->has_entered = false;
        atomic_fetch_add_explicit(&connection->answers, 1, memory_order_relaxed);
        trace_context_leave(self, connection->serial);
    }
}

/* Begins to decompress a message. Without a service that asks for it, only where much memory is
   left. */
static bool begin_coded(struct messages *messages)
{
    if (messages->inflater.state_block != 0) {
        inflater_next_text(&messages->inflater, !messages->shares_window);
        return true;
    }
    return (messages->endpoint != SERVICE_NONE || inflater_has_plenty()) &&
           inflater_begin(&messages->inflater, INFLATE_MESSAGES);
}

void messages_frame(struct thread_state *self, struct connection *connection,
                    struct direction *direction, const struct websocket_item *item, uint64_t now)
{
    if (direction->body_block == 0 || item->opcode >= WEBSOCKET_CLOSE) {
        return;
    }
    struct messages *messages = messages_of(direction);
    messages->is_last = item->fin;
    if (item->opcode == WEBSOCKET_CONTINUATION) {
        return;
    }
    leave(self, connection, messages);
    bool is_text = item->opcode == WEBSOCKET_TEXT;
    messages->is_text = is_text && messages->endpoint != SERVICE_NONE;
    messages->may_carry = is_text && !messages->is_sent && attachment_reads_traceparent;
    messages->has_begun = false;
    messages->is_alone = messages->ended_ns != now;
    messages->is_coded = item->compressed;
    messages->start_ns = now;
    messages->text_bytes = 0;
    if (messages->endpoint != SERVICE_NONE) {
        memset(values_of(direction), 0, sizeof(struct record));
        const struct service_endpoint *endpoint = service_endpoint(messages->endpoint);
        service_values_begin(&messages->values, messages->endpoint,
                             messages->is_sent ? endpoint->request_nodes : endpoint->reply_nodes);
    }
    if (item->compressed && !begin_coded(messages)) {
        drop(direction);
    }
}

/* Only objects are looked into, and none that is longer than a message about work. */
static void read_context(struct messages *messages, struct slice bytes)
{
    if (!messages->has_begun) {
        messages->has_begun = true;
        messages->may_carry = bytes.data[0] == '{';
        json_context_begin(&messages->context);
    }
    messages->text_bytes += (uint32_t)bytes.size;
    if (messages->may_carry && (messages->text_bytes > LIMIT_MESSAGE_CONTEXT ||
                                !json_context_read(&messages->context, bytes))) {
        messages->may_carry = false;
    }
}

static void read_text(struct direction *direction, struct slice bytes)
{
    struct messages *messages = messages_of(direction);
    if (messages->is_text && !service_values_read(&messages->values, values_of(direction), bytes)) {
        messages->is_text = false;
    }
    if (messages->may_carry && bytes.size > 0) {
        read_context(messages, bytes);
    }
}

static void read_coded(struct direction *direction, struct slice bytes)
{
    struct messages *messages = messages_of(direction);
    struct slice text;
    enum inflater_event event;
    if (!messages->is_text && !messages->may_carry && !messages->shares_window) {
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

/* Nothing of the rest of the message is wanted. */
static bool is_passed_over(const struct messages *messages)
{
    return !messages->is_text && !messages->may_carry &&
           !(messages->is_coded && messages->shares_window);
}

void messages_payload(struct direction *direction, const struct websocket_item *item)
{
    if (direction->body_block == 0 || direction->websocket.opcode >= WEBSOCKET_CLOSE) {
        return;
    }
    const struct messages *messages = messages_of(direction);
    if (messages->endpoint != SERVICE_NONE) {
        values_of(direction)->message.bytes += item->bytes.size;
    }
    if (is_passed_over(messages)) {
        return;
    }
    if (direction->websocket.from_client) {
        read_masked(direction, item);
    } else {
        read_bytes(direction, item->bytes);
    }
}

/* Connections whose compressed messages carry none are not worth decompressing. */
static bool has_carried(struct messages *messages, bool is_found)
{
    if (!messages->is_coded || is_found || messages->endpoint != SERVICE_NONE) {
        messages->untraced = 0;
        return true;
    }
    messages->untraced++;
    return messages->untraced < LIMIT_MESSAGES_UNTRACED;
}

static void end_message(struct thread_state *self, struct connection *connection,
                        struct direction *direction, uint64_t now)
{
    struct messages *messages = messages_of(direction);
    struct traceparent context;
    bool is_found = messages->may_carry && messages->has_begun &&
                    json_context_find(&messages->context, &context);
    if (is_found && messages->is_alone) {
        messages->has_entered = true;
        trace_context_enter_message(self, &context, connection, now);
    }
    if (messages->is_text && service_values_is_complete(&messages->values)) {
        struct record *values = values_of(direction);
        service_values_finish(&messages->values, values);
        record_add_field(values, FIELD_SERVICE, slice_of(&messages->endpoint, 1), 1);
        if (messages->is_sent) {
            runs_sent(self, connection, messages->endpoint, values, messages->start_ns, now);
        } else {
            runs_message(self, connection, messages->endpoint, values, messages->start_ns, now);
        }
    }
    messages->is_text = false;
    messages->may_carry = false;
    if (!has_carried(messages, is_found)) {
        stop(direction);
    }
}

void messages_frame_end(struct thread_state *self, struct connection *connection,
                        struct direction *direction, uint64_t now)
{
    if (direction->body_block == 0 || direction->websocket.opcode >= WEBSOCKET_CLOSE ||
        !messages_of(direction)->is_last) {
        return;
    }
    messages_of(direction)->ended_ns = now;
    if (messages_of(direction)->is_coded) {
        /* RFC 7692, 7.2.2: the end that every message has is not sent. */
        read_coded(direction, SLICE("\0\0\377\377"));
    }
    if (direction->body_block != 0) {
        end_message(self, connection, direction, now);
    }
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
    /* What messages began is not known to go on. */
    atomic_fetch_add_explicit(&connection->answers, 1, memory_order_relaxed);
    http_exchange_give_buffers(&connection->directions[DIRECTION_IN]);
    http_exchange_give_buffers(&connection->directions[DIRECTION_OUT]);
}
