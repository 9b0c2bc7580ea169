/*
 * One span for the life of a WebSocket connection, from its handshake's answer to its end. There
 * is no convention for it: the name is the protocol's alone (paths and hosts are not bounded), the
 * numbers are in a namespace of their own. The handshake is an HTTP span.
 */
#include "base/compiler.h"
#include "worker/spans/kinds.h"

#define LITERAL(text)                                                                              \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct slice schemes[2] = {LITERAL("ws"), LITERAL("wss")};

#define CLOSE_GOING_AWAY 1001
#define CLOSE_NO_CODE    1005
#define CLOSE_LAST_KNOWN 2999 /* above: libraries' and applications' own, of unknown meaning */

struct direction_keys {
    struct slice messages;
    struct slice binary_messages;
    struct slice pings;
    struct slice bytes;
};

static const struct direction_keys keys[2] = {
    {LITERAL("websocket.sent.messages"), LITERAL("websocket.sent.binary_messages"),
     LITERAL("websocket.sent.pings"), LITERAL("websocket.sent.bytes")},
    {LITERAL("websocket.received.messages"), LITERAL("websocket.received.binary_messages"),
     LITERAL("websocket.received.pings"), LITERAL("websocket.received.bytes")},
};

static void add_direction(struct span *span, const struct websocket_numbers *numbers, int way)
{
    const struct direction_keys *key = &keys[way];
    span_add_int(span, key->messages,
                 (int64_t)numbers->text_messages[way] + (int64_t)numbers->binary_messages[way]);
    span_add_int(span, key->bytes, (int64_t)numbers->payload_bytes[way]);
    if (numbers->binary_messages[way] > 0) {
        span_add_int(span, key->binary_messages, numbers->binary_messages[way]);
    }
    if (numbers->pings[way] > 0) {
        span_add_int(span, key->pings, numbers->pings[way]);
    }
}

static bool is_failure(uint16_t code)
{
    return code > CLOSE_GOING_AWAY && code != CLOSE_NO_CODE && code <= CLOSE_LAST_KNOWN;
}

static void add_outcome(struct span *span, const struct record *record,
                        const struct record_text *text)
{
    const struct websocket_numbers *numbers = &record->websocket;
    /* The other end's word, where there are two: ours repeats it, or was overtaken by it. */
    uint16_t code = numbers->close_code[1] != 0 ? numbers->close_code[1] : numbers->close_code[0];
    if (code != 0 && code != CLOSE_NO_CODE) {
        span_add_int(span, SLICE("websocket.close.code"), code);
    }
    if (text->fields[FIELD_CLOSE_REASON].size > 0) {
        span_add_string(span, SLICE("websocket.close.reason"), text->fields[FIELD_CLOSE_REASON]);
    }
    if (is_failure(code)) {
        span_set_error(span, span_decimal(span, code));
    } else if (record->error != RECORD_OK) {
        spans_add_error(span, record);
    }
}

void spans_build_websocket(struct span *span, const struct record *record,
                           const struct record_text *text)
{
    bool is_client = record->kind == RECORD_WEBSOCKET_CLIENT;
    struct peer peer = spans_peer(span, record, text);
    span->kind = is_client ? SPAN_CLIENT : SPAN_SERVER;
    span->name = SLICE("websocket");
    if (is_client) {
        spans_add_client_url(span, record, text, &peer, schemes);
    } else {
        spans_add_server_url(span, record, text, &peer, schemes);
    }
    spans_add_network(span, &peer);
    span_add_literal(span, SLICE("network.protocol.name"), SLICE("websocket"));
    span_add_string(span, SLICE("user_agent.original"), text->fields[FIELD_USER_AGENT]);
    span_add_string(span, SLICE("websocket.subprotocol"), text->fields[FIELD_SUBPROTOCOL]);
    span_add_bool(span, SLICE("websocket.compressed"), record->websocket.compressed != 0);
    add_direction(span, &record->websocket, 0);
    add_direction(span, &record->websocket, 1);
    if (record->websocket.ping_round_trip_ns > 0) {
        span_add_double(span, SLICE("websocket.ping.round_trip_ms"),
                        (double)record->websocket.ping_round_trip_ns / 1e6);
    }
    add_outcome(span, record, text);
}
