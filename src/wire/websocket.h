/*
 * WebSocket framing of one direction of a connection (RFC 6455, RFC 7692), for a passive observer.
 *
 * Events of one frame: FRAME_BEGIN, PAYLOAD*, FRAME_END. LOST is final. No memory but the struct,
 * which may be copied to make a checkpoint. Payload is reported as it stands on the wire; use
 * websocket_unmask for masked frames.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
};

enum websocket_event {
    WEBSOCKET_NEED_MORE,
    WEBSOCKET_FRAME_BEGIN, /* the header is complete: item's first group */
    WEBSOCKET_PAYLOAD,
    WEBSOCKET_FRAME_END,
    WEBSOCKET_LOST
};

struct websocket_item {
    uint8_t opcode; /* enum websocket_opcode, as in this frame */
    bool fin;
    bool compressed; /* RSV1 */
    bool masked;
    uint64_t length;
    /* PAYLOAD */
    struct slice bytes;
    uint64_t offset; /* of `bytes` within the frame's payload */
    uint8_t mask[4];
};

struct websocket {
    uint8_t state;
    uint8_t header_used;
    uint8_t from_client; /* whether frames must be masked or must not be */
    uint8_t allows_compression;
    uint8_t in_message; /* a fragmented data message is unfinished */
    uint8_t opcode;
    uint8_t header[14];
    uint8_t mask[4];
    uint8_t fin;
    uint8_t compressed;
    uint64_t length;
    uint64_t remaining;
};

/* `from_client` tells the direction; `allows_compression` whether RSV1 may be set. */
void websocket_init(struct websocket *parser, bool from_client, bool allows_compression);

enum websocket_event websocket_next(struct websocket *parser, struct slice *in,
                                    struct websocket_item *item);

/* `count` bytes passed without being seen. They must lie inside a payload: returns false (and the
   parser is lost) otherwise. */
bool websocket_skip(struct websocket *parser, uint64_t count);

/* Between two frames. */
bool websocket_is_idle(const struct websocket *parser);

/* Writes the unmasked form of a masked frame's piece, whose first byte is at `offset`. `out` has
   room for bytes.size. */
void websocket_unmask(struct slice bytes, const uint8_t mask[4], uint64_t offset, uint8_t *out);

/* What a Sec-WebSocket-Extensions response value agrees to. */
struct websocket_deflate {
    bool agreed;
    bool server_no_context_takeover;
    bool client_no_context_takeover;
    uint8_t server_max_window_bits; /* 8..15 */
    uint8_t client_max_window_bits;
};

/* Reads the value; anything that is not permessage-deflate leaves `agreed` false. */
struct websocket_deflate websocket_parse_extensions(struct slice value);
