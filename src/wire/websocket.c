#include "wire/websocket.h"

#include <stddef.h>

#include "base/compiler.h"

enum state { STATE_HEADER, STATE_PAYLOAD, STATE_FRAME_END, STATE_LOST };

enum {
    BIT_FIN = 0x80,
    BIT_RSV1 = 0x40,
    BITS_RSV23 = 0x30,
    BITS_OPCODE = 0x0F,
    BIT_CONTROL = 0x08,
    BIT_MASK = 0x80,
    BITS_LENGTH = 0x7F
};

#define LENGTH_IN_16_BITS 126u
#define LENGTH_IN_64_BITS 127u
#define MASK_BYTES        4u

static enum websocket_event lose(struct websocket *parser)
{
    parser->state = STATE_LOST;
    return WEBSOCKET_LOST;
}

void websocket_init(struct websocket *parser, bool from_client, bool allows_compression)
{
    *parser = (struct websocket){.state = STATE_HEADER,
                                 .from_client = from_client,
                                 .allows_compression = allows_compression};
}

/* The count of bytes of the header whose first two are given. */
static size_t header_size(const uint8_t *header)
{
    size_t length_bytes = (header[1] & BITS_LENGTH) == LENGTH_IN_64_BITS   ? 8
                          : (header[1] & BITS_LENGTH) == LENGTH_IN_16_BITS ? 2
                                                                           : 0;
    return 2 + length_bytes + ((header[1] & BIT_MASK) != 0 ? MASK_BYTES : 0);
}

/* Whether the first two bytes keep the rules of RFC 6455, 5.2 to 5.5. */
static bool is_legal_start(const struct websocket *parser)
{
    const uint8_t first = parser->header[0];
    const unsigned length = parser->header[1] & BITS_LENGTH;
    const bool fin = (first & BIT_FIN) != 0;
    const bool compressed = (first & BIT_RSV1) != 0;
    if ((first & BITS_RSV23) != 0 || ((parser->header[1] & BIT_MASK) != 0) != parser->from_client) {
        return false;
    }
    switch (first & BITS_OPCODE) {
    case WEBSOCKET_CONTINUATION:
        return parser->in_message && !compressed;
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        return !parser->in_message && (!compressed || parser->allows_compression);
    case WEBSOCKET_CLOSE:
        /* Half of a close code is none. */
        return fin && !compressed && length < LENGTH_IN_16_BITS && length != 1;
    case WEBSOCKET_PING:
    case WEBSOCKET_PONG:
        return fin && !compressed && length < LENGTH_IN_16_BITS;
    default:
        return false;
    }
}

/* Reads the length; false if it is not in its shortest form or has its top bit set. */
static bool read_length(struct websocket *parser)
{
    const uint8_t code = parser->header[1] & BITS_LENGTH;
    const size_t bytes = code == LENGTH_IN_64_BITS ? 8 : 2;
    if (code < LENGTH_IN_16_BITS) {
        parser->length = code;
        return true;
    }
    parser->length = 0;
    for (size_t i = 0; i < bytes; i++) {
        parser->length = parser->length << 8 | parser->header[2 + i];
    }
    return bytes == 8 ? parser->length > UINT16_MAX && parser->length <= INT64_MAX
                      : parser->length >= LENGTH_IN_16_BITS;
}

/* Takes header bytes until there are `size`. */
static bool fill_header(struct websocket *parser, struct slice *in, size_t size)
{
    size_t missing = size - parser->header_used;
    if (in->size == 0) {
        return missing == 0;
    }
    struct slice piece = slice_take(in, in->size < missing ? in->size : missing);
    memcpy(parser->header + parser->header_used, piece.data, piece.size);
    parser->header_used = (uint8_t)(parser->header_used + piece.size);
    return parser->header_used == size;
}

static enum websocket_event begin_frame(struct websocket *parser, struct websocket_item *item)
{
    const uint8_t first = parser->header[0];
    parser->opcode = first & BITS_OPCODE;
    parser->fin = (first & BIT_FIN) != 0;
    parser->compressed = (first & BIT_RSV1) != 0;
    if (parser->from_client) {
        memcpy(parser->mask, parser->header + parser->header_used - MASK_BYTES, MASK_BYTES);
    }
    if ((parser->opcode & BIT_CONTROL) == 0) {
        parser->in_message = !parser->fin;
    }
    parser->header_used = 0;
    parser->remaining = parser->length;
    parser->state = parser->length > 0 ? STATE_PAYLOAD : STATE_FRAME_END;
    item->opcode = parser->opcode;
    item->fin = parser->fin;
    item->compressed = parser->compressed;
    item->masked = parser->from_client;
    item->length = parser->length;
    return WEBSOCKET_FRAME_BEGIN;
}

static enum websocket_event take_header(struct websocket *parser, struct slice *in,
                                        struct websocket_item *item)
{
    if (parser->header_used < 2) {
        if (!fill_header(parser, in, 2)) {
            return WEBSOCKET_NEED_MORE;
        }
        if (!is_legal_start(parser)) {
            return lose(parser);
        }
    }
    if (!fill_header(parser, in, header_size(parser->header))) {
        return WEBSOCKET_NEED_MORE;
    }
    return read_length(parser) ? begin_frame(parser, item) : lose(parser);
}

static enum websocket_event take_payload(struct websocket *parser, struct slice *in,
                                         struct websocket_item *item)
{
    if (in->size == 0) {
        return WEBSOCKET_NEED_MORE;
    }
    size_t size = parser->remaining < in->size ? (size_t)parser->remaining : in->size;
    item->bytes = slice_take(in, size);
    item->offset = parser->length - parser->remaining;
    memcpy(item->mask, parser->mask, MASK_BYTES);
    parser->remaining -= size;
    if (parser->remaining == 0) {
        parser->state = STATE_FRAME_END;
    }
    return WEBSOCKET_PAYLOAD;
}

enum websocket_event websocket_next(struct websocket *parser, struct slice *in,
                                    struct websocket_item *item)
{
    switch ((enum state)parser->state) {
    case STATE_HEADER:
        return take_header(parser, in, item);
    case STATE_PAYLOAD:
        return take_payload(parser, in, item);
    case STATE_FRAME_END:
        parser->state = STATE_HEADER;
        return WEBSOCKET_FRAME_END;
    case STATE_LOST:
        break;
    }
    return WEBSOCKET_LOST;
}

bool websocket_skip(struct websocket *parser, uint64_t count)
{
    if (count == 0 && parser->state != STATE_LOST) {
        return true;
    }
    if (parser->state != STATE_PAYLOAD || count > parser->remaining) {
        lose(parser);
        return false;
    }
    parser->remaining -= count;
    if (parser->remaining == 0) {
        parser->state = STATE_FRAME_END;
    }
    return true;
}

bool websocket_is_idle(const struct websocket *parser)
{
    return parser->state == STATE_HEADER && parser->header_used == 0;
}

void websocket_unmask(struct slice bytes, const uint8_t mask[4], uint64_t offset, uint8_t *out)
{
    uint8_t rotated[8];
    uint64_t wide_mask;
    size_t at = 0;
    for (size_t i = 0; i < sizeof rotated; i++) {
        rotated[i] = mask[(offset + i) % MASK_BYTES];
    }
    memcpy(&wide_mask, rotated, sizeof wide_mask);
    for (; bytes.size - at >= sizeof wide_mask; at += sizeof wide_mask) {
        uint64_t word;
        memcpy(&word, bytes.data + at, sizeof word);
        word ^= wide_mask;
        memcpy(out + at, &word, sizeof word);
    }
    for (size_t i = 0; at + i < bytes.size; i++) {
        out[at + i] = bytes.data[at + i] ^ rotated[i];
    }
}

/* ---- extensions ---- */

static void skip_blanks(struct slice *text)
{
    while (text->size > 0 && (text->data[0] == ' ' || text->data[0] == '\t')) {
        slice_take(text, 1);
    }
}

static bool take_byte(struct slice *text, uint8_t byte)
{
    skip_blanks(text);
    if (text->size == 0 || text->data[0] != byte) {
        return false;
    }
    slice_take(text, 1);
    return true;
}

/* A run of letters, digits, '-' and '_': every name and value that permessage-deflate knows. */
static struct slice take_word(struct slice *text)
{
    size_t size = 0;
    skip_blanks(text);
    while (size < text->size) {
        uint8_t byte = ascii_lower(text->data[size]);
        if ((uint8_t)(byte - 'a') >= 26 && (uint8_t)(byte - '0') >= 10 && byte != '-' &&
            byte != '_') {
            break;
        }
        size++;
    }
    return slice_take(text, size);
}

/* 8 to 15 without leading zeros (RFC 7692, 7.1.2); 0 for anything else. */
static uint8_t read_window_bits(struct slice value)
{
    if (value.size == 1 && (value.data[0] == '8' || value.data[0] == '9')) {
        return (uint8_t)(value.data[0] - '0');
    }
    if (value.size == 2 && value.data[0] == '1' && (uint8_t)(value.data[1] - '0') <= 5) {
        return (uint8_t)(10 + value.data[1] - '0');
    }
    return 0;
}

/* Takes "name" or "name=value", the value quoted or not; an absent value is empty. */
static bool take_parameter(struct slice *text, struct slice *name, struct slice *value)
{
    *name = take_word(text);
    *value = (struct slice){0};
    if (name->size == 0) {
        return false;
    }
    if (take_byte(text, '=')) {
        bool is_quoted = take_byte(text, '"');
        *value = take_word(text);
        return value->size > 0 && (!is_quoted || take_byte(text, '"'));
    }
    return true;
}

/* False for what RFC 7692 does not know, or knows otherwise, or had already. */
static bool note_parameter(struct websocket_deflate *deflate, struct slice name, struct slice value)
{
    bool *flag = NULL;
    uint8_t *bits = NULL;
    if (slice_equals_ignoring_case(name, SLICE("server_no_context_takeover"))) {
        flag = &deflate->server_no_context_takeover;
    } else if (slice_equals_ignoring_case(name, SLICE("client_no_context_takeover"))) {
        flag = &deflate->client_no_context_takeover;
    } else if (slice_equals_ignoring_case(name, SLICE("server_max_window_bits"))) {
        bits = &deflate->server_max_window_bits;
    } else if (slice_equals_ignoring_case(name, SLICE("client_max_window_bits"))) {
        bits = &deflate->client_max_window_bits;
    }
    if (flag != NULL && !*flag && value.size == 0) {
        *flag = true;
        return true;
    }
    if (bits != NULL && *bits == 0) {
        *bits = read_window_bits(value);
        return *bits != 0;
    }
    return false;
}

/* Another extension beside it may change the frames in ways that nobody here knows, so it must
   stand alone. */
struct websocket_deflate websocket_parse_extensions(struct slice value)
{
    const struct websocket_deflate none = {.server_max_window_bits = 15,
                                           .client_max_window_bits = 15};
    struct websocket_deflate deflate = {.agreed = true};
    if (!slice_equals_ignoring_case(take_word(&value), SLICE("permessage-deflate"))) {
        return none;
    }
    while (take_byte(&value, ';')) {
        struct slice name;
        struct slice parameter;
        if (!take_parameter(&value, &name, &parameter) ||
            !note_parameter(&deflate, name, parameter)) {
            return none;
        }
    }
    skip_blanks(&value);
    if (value.size > 0) {
        return none;
    }
    if (deflate.server_max_window_bits == 0) {
        deflate.server_max_window_bits = 15;
    }
    if (deflate.client_max_window_bits == 0) {
        deflate.client_max_window_bits = 15;
    }
    return deflate;
}
