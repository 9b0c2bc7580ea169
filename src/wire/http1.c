#include "wire/http1.h"

#include <stddef.h>

#include "base/compiler.h"
#include "base/limits.h"
#include "wire/hex.h"
#include "wire/scan.h"

/* What is ambiguous, that is, what two honest parsers may read differently, ends the observation:
   a request that we frame otherwise than its receiver would make wrong spans from there on. */

enum state {
    STATE_IDLE,    /* between messages */
    STATE_IDLE_CR, /* a CR that should belong to an empty line before a message */
    STATE_START_LINE,
    STATE_FIELDS,
    STATE_BODY, /* `remaining` bytes */
    STATE_BODY_UNTIL_CLOSE,
    STATE_CHUNK_FIRST_DIGIT,
    STATE_CHUNK_DIGITS,
    STATE_CHUNK_BLANKS,
    STATE_CHUNK_EXTENSION,
    STATE_CHUNK_LF, /* of the size line */
    STATE_CHUNK_DATA,
    STATE_CHUNK_DATA_END, /* the line end behind the data */
    STATE_CHUNK_DATA_LF,
    STATE_TRAILERS,
    STATE_MESSAGE_END,
    STATE_LOST
};

enum flag {
    FLAG_LENGTH = 1 << 0,       /* Content-Length was there */
    FLAG_CODED = 1 << 1,        /* Transfer-Encoding was there */
    FLAG_CHUNKED = 1 << 2,      /* ... and its last coding so far is chunked */
    FLAG_CHUNKED_SEEN = 1 << 3, /* ... or any of them */
    FLAG_CLOSE = 1 << 4,        /* Connection: close, keep-alive, upgrade */
    FLAG_KEEP_ALIVE = 1 << 5,
    FLAG_WANTS_UPGRADE = 1 << 6,
    FLAG_UPGRADE = 1 << 7, /* Upgrade, Expect: 100-continue, Host were there */
    FLAG_EXPECT = 1 << 8,
    FLAG_HOST = 1 << 9,
    FLAG_MAY_FOLD = 1 << 10, /* a continuation line may follow without harm */
    FLAG_LINE_BAD = 1 << 11, /* a start line in pieces: a bad byte beyond what is kept */
    FLAG_LINE_CR = 1 << 12   /* a line in pieces: its last byte so far is CR */
};

_Static_assert(STATE_IDLE < HTTP1_IDLE_STATES && STATE_IDLE_CR < HTTP1_IDLE_STATES &&
                   STATE_START_LINE >= HTTP1_IDLE_STATES,
               "http1_is_idle");

/* " HTTP/1.x" at the end of a request line. */
#define VERSION_BYTES 9u
/* "HTTP/1.x 200" at the start of a status line. */
#define STATUS_BYTES 12u

static void set_flag(struct http1 *parser, enum flag flag)
{
    parser->flags = (uint16_t)(parser->flags | flag);
}

static bool has_flag(const struct http1 *parser, unsigned flags)
{
    return (parser->flags & flags) != 0;
}

static enum http1_event lose(struct http1 *parser)
{
    parser->state = STATE_LOST;
    return HTTP1_LOST;
}

/* ---- lines ---- */

struct line {
    struct slice kept; /* without its line end */
    size_t size;       /* of the whole line without its end; more than `kept` if that is cut */
};

enum line_result { LINE_COMPLETE, LINE_UNFINISHED, LINE_NEEDS_CARRY, LINE_BAD };

static bool holds_target_bytes(const uint8_t *data, size_t size)
{
    return scan_target(data, size) == size;
}

/* Keeps the end of what does not fit the carry. What is pushed out of it lies in the middle of the
   line, so it must be part of the request target. */
static void keep_tail(struct http1 *parser, struct slice text)
{
    const size_t capacity = sizeof parser->line_tail;
    bool good;
    if (text.size >= capacity) {
        size_t middle = text.size - capacity;
        good = holds_target_bytes(parser->line_tail, parser->line_tail_size) &&
               holds_target_bytes(text.data, middle);
        memcpy(parser->line_tail, text.data + middle, capacity);
        parser->line_tail_size = (uint8_t)capacity;
    } else {
        size_t used = parser->line_tail_size;
        size_t pushed = used + text.size > capacity ? used + text.size - capacity : 0;
        good = holds_target_bytes(parser->line_tail, pushed);
        memmove(parser->line_tail, parser->line_tail + pushed, used - pushed);
        memcpy(parser->line_tail + used - pushed, text.data, text.size);
        parser->line_tail_size = (uint8_t)(used - pushed + text.size);
    }
    if (!good) {
        set_flag(parser, FLAG_LINE_BAD);
    }
}

static void keep_text(struct http1 *parser, struct slice text)
{
    size_t room = (size_t)(parser->carry_capacity - parser->carry_used);
    struct slice fitting = slice_take(&text, text.size < room ? text.size : room);
    if (fitting.size > 0) {
        memcpy(parser->carry + parser->carry_used, fitting.data, fitting.size);
        parser->carry_used = (uint16_t)(parser->carry_used + fitting.size);
    }
    if (text.size > 0 && parser->state == STATE_START_LINE) {
        keep_tail(parser, text);
    }
}

/* Takes a line, or what there is of it, into the carry. */
SLOW static enum line_result collect_line(struct http1 *parser, struct slice *in, struct line *line)
{
    size_t text_bytes = 0;
    size_t consumed;
    bool complete = false;
    if (in->size == 0) {
        return LINE_UNFINISHED;
    }
    if (parser->carry == NULL) {
        return LINE_NEEDS_CARRY;
    }
    if (parser->carry_capacity < LIMIT_HTTP_FRAMING_LINE) {
        return LINE_BAD;
    }
    if (has_flag(parser, FLAG_LINE_CR)) {
        if (in->data[0] != '\n') {
            return LINE_BAD;
        }
        consumed = 1;
        complete = true;
    } else {
        text_bytes = scan_line(in->data, in->size);
        consumed = text_bytes;
        if (consumed < in->size && in->data[consumed] == '\r') {
            consumed++;
            if (consumed == in->size) {
                set_flag(parser, FLAG_LINE_CR);
            }
        }
        if (consumed < in->size) {
            if (in->data[consumed] != '\n') {
                return LINE_BAD;
            }
            consumed++;
            complete = true;
        }
    }
    if (consumed > LIMIT_HTTP_HEAD_BYTES - parser->head_bytes) {
        return LINE_BAD;
    }
    keep_text(parser, slice_of(in->data, text_bytes));
    slice_take(in, consumed);
    parser->head_bytes += (uint32_t)consumed;
    parser->line_bytes += (uint32_t)consumed;
    if (!complete) {
        return LINE_UNFINISHED;
    }
    size_t line_end = has_flag(parser, FLAG_LINE_CR) ? 2 : consumed - text_bytes;
    *line =
        (struct line){slice_of(parser->carry, parser->carry_used), parser->line_bytes - line_end};
    parser->carry_used = 0;
    parser->line_bytes = 0;
    parser->flags &= (uint16_t)~FLAG_LINE_CR;
    return LINE_COMPLETE;
}

static inline enum line_result take_line(struct http1 *parser, struct slice *in, struct line *line)
{
    const uint8_t *data = in->data;
    size_t text_bytes = parser->line_bytes == 0 ? scan_line(data, in->size) : in->size;
    size_t left = in->size - text_bytes;
    size_t line_end;
    if (left >= 2 && data[text_bytes] == '\r' && data[text_bytes + 1] == '\n') {
        line_end = 2;
    } else if (left >= 1 && data[text_bytes] == '\n') {
        line_end = 1;
    } else {
        return collect_line(parser, in, line);
    }
    size_t consumed = text_bytes + line_end;
    if (unlikely(consumed > LIMIT_HTTP_HEAD_BYTES - parser->head_bytes)) {
        return LINE_BAD;
    }
    parser->head_bytes += (uint32_t)consumed;
    slice_take(in, consumed);
    *line = (struct line){slice_of(data, text_bytes), text_bytes};
    return LINE_COMPLETE;
}

static enum http1_event event_of(struct http1 *parser, enum line_result result)
{
    if (result == LINE_UNFINISHED) {
        return HTTP1_NEED_MORE;
    }
    return result == LINE_NEEDS_CARRY ? HTTP1_NEED_CARRY : lose(parser);
}

/* ---- start lines ---- */

static bool is_rare_token_byte(uint8_t byte)
{
    switch (byte) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return false;
    }
}

/* The count of token bytes (RFC 9110, 5.6.2) that `bytes` starts with. */
static inline size_t token_size(struct slice bytes)
{
    size_t size = scan_name(bytes.data, bytes.size);
    while (unlikely(size < bytes.size && is_rare_token_byte(bytes.data[size]))) {
        size++;
        size += scan_name(bytes.data + size, bytes.size - size);
    }
    return size;
}

static bool read_version(const uint8_t *text, uint8_t *minor)
{
    uint64_t expected;
    uint64_t word;
    memcpy(&expected, "HTTP/1.", sizeof expected);
    memcpy(&word, text, sizeof word);
    *minor = (uint8_t)(text[7] - '0');
    /* All but the byte that comes last in memory. */
    return (word ^ expected) << 8 == 0 && *minor <= 9;
}

/* Copies the last VERSION_BYTES of a line of which only the carry and the tail are kept. */
static void copy_version(const struct http1 *parser, const struct line *line,
                         uint8_t out[VERSION_BYTES])
{
    for (size_t i = 0; i < VERSION_BYTES; i++) {
        size_t at = line->size - VERSION_BYTES + i;
        out[i] = at < line->kept.size
                     ? line->kept.data[at]
                     : parser->line_tail[parser->line_tail_size - (line->size - at)];
    }
}

static bool read_request_line(struct http1 *parser, const struct line *line,
                              struct http1_item *item)
{
    uint8_t copied[VERSION_BYTES];
    const uint8_t *version = copied;
    if (line->size < VERSION_BYTES + 3) {
        return false;
    }
    if (line->size == line->kept.size) {
        version = line->kept.data + line->size - VERSION_BYTES;
    } else {
        copy_version(parser, line, copied);
        /* The tail may begin with the target's last bytes. */
        size_t rest = parser->line_tail_size > VERSION_BYTES
                          ? (size_t)(parser->line_tail_size - VERSION_BYTES)
                          : 0;
        if (has_flag(parser, FLAG_LINE_BAD) || !holds_target_bytes(parser->line_tail, rest)) {
            return false;
        }
    }
    parser->line_tail_size = 0;
    size_t method_size = token_size(line->kept);
    size_t target_end = line->size - VERSION_BYTES;
    size_t kept_end = target_end < line->kept.size ? target_end : line->kept.size;
    if (method_size == 0 || method_size > LIMIT_HTTP_METHOD || method_size + 1 >= kept_end ||
        line->kept.data[method_size] != ' ' || version[0] != ' ' ||
        !read_version(version + 1, &parser->version_minor)) {
        return false;
    }
    struct slice target = slice_of(line->kept.data + method_size + 1, kept_end - method_size - 1);
    if (!holds_target_bytes(target.data, target.size)) {
        return false;
    }
    item->method = slice_of(line->kept.data, method_size);
    item->target = target;
    item->target_cut = kept_end < target_end;
    item->version_minor = parser->version_minor;
    return true;
}

static inline __attribute__((always_inline)) bool
read_status_line(struct http1 *parser, const struct line *line, struct http1_item *item)
{
    const uint8_t *text = line->kept.data;
    if (line->kept.size < STATUS_BYTES || !read_version(text, &parser->version_minor) ||
        text[8] != ' ' || (line->kept.size > STATUS_BYTES && text[STATUS_BYTES] != ' ')) {
        return false;
    }
    unsigned hundreds = (unsigned)text[9] - '0';
    unsigned tens = (unsigned)text[10] - '0';
    unsigned ones = (unsigned)text[11] - '0';
    if (hundreds < 1 || hundreds > 9 || tens > 9 || ones > 9) {
        return false;
    }
    parser->status = (uint16_t)(hundreds * 100 + tens * 10 + ones);
    parser->line_tail_size = 0;
    item->status = parser->status;
    item->version_minor = parser->version_minor;
    return true;
}

/* The two below take a start line that lies whole in the input and is plainly good; they return its
   size with its end, or 0. */

static inline __attribute__((always_inline)) size_t
take_plain_request_line(struct http1 *parser, struct slice in, struct http1_item *item)
{
    const uint8_t *data = in.data;
    size_t method = block_first(block_bits(block_is_no_name(block_load_part(data, in.size))) |
                                UINT64_C(1) << (sizeof(block) * BLOCK_BITS - 1));
    if (unlikely(method == 0 || method >= in.size || data[method] != ' ')) {
        return 0;
    }
    size_t begin = method + 1;
    size_t end = begin + scan_target(data + begin, in.size - begin);
    if (unlikely(end == begin || in.size - end < VERSION_BYTES + 2 || data[end] != ' ' ||
                 !read_version(data + end + 1, &parser->version_minor) ||
                 !scan_is_line_end(data + end + VERSION_BYTES))) {
        return 0;
    }
    item->method = slice_of(data, method);
    item->target = slice_of(data + begin, end - begin);
    item->target_cut = false;
    item->version_minor = parser->version_minor;
    return end + VERSION_BYTES + 2;
}

static inline size_t take_plain_status_line(struct http1 *parser, struct slice in,
                                            struct http1_item *item)
{
    size_t end = scan_line(in.data, in.size);
    struct line line = {slice_of(in.data, end), end};
    if (in.size - end < 2 || !scan_is_line_end(in.data + end) ||
        !read_status_line(parser, &line, item)) {
        return 0;
    }
    return end + 2;
}

static __attribute__((noinline)) enum http1_event
take_start_line(struct http1 *parser, struct slice *in, struct http1_item *item)
{
    struct line line;
    size_t plain = parser->line_bytes != 0          ? 0
                   : parser->kind == HTTP1_REQUESTS ? take_plain_request_line(parser, *in, item)
                                                    : take_plain_status_line(parser, *in, item);
    if (likely(plain > 0 && plain <= LIMIT_HTTP_HEAD_BYTES)) {
        parser->head_bytes += (uint32_t)plain;
        slice_take(in, plain);
        parser->line_tail_size = 0;
        parser->state = STATE_FIELDS;
        return HTTP1_START_LINE;
    }
    enum line_result result = take_line(parser, in, &line);
    if (result != LINE_COMPLETE) {
        return event_of(parser, result);
    }
    bool good = parser->kind == HTTP1_REQUESTS ? read_request_line(parser, &line, item)
                                               : read_status_line(parser, &line, item);
    if (!good) {
        return lose(parser);
    }
    parser->state = STATE_FIELDS;
    return HTTP1_START_LINE;
}

/* ---- fields ---- */

static inline uint64_t load_lower(const uint8_t *data, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, data, size);
    return word | 0x2020202020202020u;
}

/* Whether `data` is `known`, a literal of 24 bytes at most in lower case, in whatever case:
   compared in words that overlap. Setting bit 5 maps one byte other than letters on a byte of such
   a literal: CR on '-', and no line holds a CR. */
static inline __attribute__((always_inline)) bool is_word(const uint8_t *data, const char *known,
                                                          size_t size)
{
    const uint8_t *literal = (const uint8_t *)known;
    if (size < 8) {
        return load_lower(data, size) == load_lower(literal, size);
    }
    uint64_t difference = load_lower(data, 8) ^ load_lower(literal, 8);
    if (size > 16) {
        difference |= load_lower(data + 8, 8) ^ load_lower(literal + 8, 8);
    }
    return (difference | (load_lower(data + size - 8, 8) ^ load_lower(literal + size - 8, 8))) == 0;
}

#define IS(data, literal) is_word(data, literal, sizeof(literal) - 1)

static bool equals_word(struct slice slice, struct slice lower)
{
    return slice_equals_ignoring_case(slice, lower);
}

static inline __attribute__((always_inline)) enum http1_field known_field(struct slice name)
{
    const uint8_t *data = name.data;
    switch (name.size) {
    case 4:
        return IS(data, "host") ? HTTP1_FIELD_HOST : HTTP1_FIELD_OTHER;
    case 6:
        return IS(data, "expect") ? HTTP1_FIELD_EXPECT : HTTP1_FIELD_OTHER;
    case 7:
        return IS(data, "upgrade")   ? HTTP1_FIELD_UPGRADE
               : IS(data, "baggage") ? HTTP1_FIELD_BAGGAGE
                                     : HTTP1_FIELD_OTHER;
    case 9:
        return IS(data, "forwarded")   ? HTTP1_FIELD_FORWARDED
               : IS(data, "x-api-key") ? HTTP1_FIELD_API_KEY
                                       : HTTP1_FIELD_OTHER;
    case 10:
        return IS(data, "connection")   ? HTTP1_FIELD_CONNECTION
               : IS(data, "user-agent") ? HTTP1_FIELD_USER_AGENT
               : IS(data, "tracestate") ? HTTP1_FIELD_TRACESTATE
                                        : HTTP1_FIELD_OTHER;
    case 11:
        return IS(data, "traceparent") ? HTTP1_FIELD_TRACEPARENT : HTTP1_FIELD_OTHER;
    case 12:
        return IS(data, "content-type")   ? HTTP1_FIELD_CONTENT_TYPE
               : IS(data, "x-request-id") ? HTTP1_FIELD_X_REQUEST_ID
               : IS(data, "x-ms-version") ? HTTP1_FIELD_X_MS_VERSION
                                          : HTTP1_FIELD_OTHER;
    case 13:
        return IS(data, "authorization") ? HTTP1_FIELD_API_KEY : HTTP1_FIELD_OTHER;
    case 14:
        return IS(data, "content-length") ? HTTP1_FIELD_CONTENT_LENGTH : HTTP1_FIELD_OTHER;
    case 15:
        return IS(data, "x-forwarded-for")   ? HTTP1_FIELD_X_FORWARDED_FOR
               : IS(data, "x-ms-request-id") ? HTTP1_FIELD_X_REQUEST_ID
                                             : HTTP1_FIELD_OTHER;
    case 16:
        return IS(data, "x-forwarded-host")   ? HTTP1_FIELD_X_FORWARDED_HOST
               : IS(data, "content-encoding") ? HTTP1_FIELD_CONTENT_ENCODING
               : IS(data, "x-amz-request-id") ? HTTP1_FIELD_X_REQUEST_ID
                                              : HTTP1_FIELD_OTHER;
    case 17:
        return IS(data, "transfer-encoding")   ? HTTP1_FIELD_TRANSFER_ENCODING
               : IS(data, "x-forwarded-proto") ? HTTP1_FIELD_X_FORWARDED_PROTO
               : IS(data, "sec-websocket-key") ? HTTP1_FIELD_SEC_WEBSOCKET_KEY
                                               : HTTP1_FIELD_OTHER;
    case 20:
        return IS(data, "sec-websocket-accept")   ? HTTP1_FIELD_SEC_WEBSOCKET_ACCEPT
               : IS(data, "x-amz-content-sha256") ? HTTP1_FIELD_X_AMZ_CONTENT_SHA256
               : IS(data, "x-guploader-uploadid") ? HTTP1_FIELD_X_REQUEST_ID
                                                  : HTTP1_FIELD_OTHER;
    case 22:
        return IS(data, "sec-websocket-protocol") ? HTTP1_FIELD_SEC_WEBSOCKET_PROTOCOL
                                                  : HTTP1_FIELD_OTHER;
    case 24:
        return IS(data, "sec-websocket-extensions") ? HTTP1_FIELD_SEC_WEBSOCKET_EXTENSIONS
                                                    : HTTP1_FIELD_OTHER;
    default:
        return HTTP1_FIELD_OTHER;
    }
}

static inline bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static inline struct slice trim(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        slice_take(&text, 1);
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* The next element of a comma-separated list. */
static struct slice next_element(struct slice *list)
{
    const uint8_t *comma = list->size == 0 ? NULL : memchr(list->data, ',', list->size);
    struct slice element =
        slice_take(list, comma == NULL ? list->size : (size_t)(comma - list->data));
    if (list->size > 0) {
        slice_take(list, 1);
    }
    return trim(element);
}

/* So many digits do not overflow. */
#define PLAIN_DIGITS 18u

static inline bool read_digits(struct slice text, uint64_t *number)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

static bool read_decimal(struct slice text, uint64_t *number)
{
    uint64_t value = 0;
    if (text.size == 0) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || value > ((uint64_t)INT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

static bool ends_with_comma(struct slice list)
{
    return list.size > 0 && list.data[list.size - 1] == ',';
}

/* Repeated equal values are one (RFC 9110, 8.6), but a request that holds them is refused by some
   servers and read by others. */
static bool note_content_length(struct http1 *parser, struct slice value)
{
    uint64_t length;
    if (likely(value.size - 1 < PLAIN_DIGITS && !has_flag(parser, FLAG_LENGTH) &&
               read_digits(value, &length))) {
        parser->length = length;
        set_flag(parser, FLAG_LENGTH);
        return true;
    }
    if (ends_with_comma(value)) {
        return false;
    }
    do {
        if (!read_decimal(next_element(&value), &length)) {
            return false;
        }
        if (has_flag(parser, FLAG_LENGTH) &&
            (parser->kind == HTTP1_REQUESTS || length != parser->length)) {
            return false;
        }
        parser->length = length;
        set_flag(parser, FLAG_LENGTH);
    } while (value.size > 0);
    return true;
}

static bool is_known_coding(struct slice coding)
{
    return equals_word(coding, SLICE("gzip")) || equals_word(coding, SLICE("deflate")) ||
           equals_word(coding, SLICE("compress")) || equals_word(coding, SLICE("identity")) ||
           equals_word(coding, SLICE("x-gzip")) || equals_word(coding, SLICE("x-compress"));
}

/* A coding that nobody knows ("xchunked") is chunked to a lax receiver and not to a strict one. */
static bool note_transfer_encoding(struct http1 *parser, struct slice value)
{
    if (ends_with_comma(value)) {
        return false;
    }
    do {
        struct slice coding = next_element(&value);
        parser->flags &= (uint16_t)~FLAG_CHUNKED;
        if (equals_word(coding, SLICE("chunked"))) {
            if (has_flag(parser, FLAG_CHUNKED_SEEN)) {
                return false;
            }
            set_flag(parser, FLAG_CHUNKED);
            set_flag(parser, FLAG_CHUNKED_SEEN);
        } else if (!is_known_coding(coding)) {
            return false;
        }
        set_flag(parser, FLAG_CODED);
    } while (value.size > 0);
    return true;
}

static inline bool note_connection_option(struct http1 *parser, struct slice option)
{
    if (option.size == 10 && IS(option.data, "keep-alive")) {
        set_flag(parser, FLAG_KEEP_ALIVE);
    } else if (option.size == 5 && IS(option.data, "close")) {
        set_flag(parser, FLAG_CLOSE);
    } else if (option.size == 7 && IS(option.data, "upgrade")) {
        set_flag(parser, FLAG_WANTS_UPGRADE);
    } else {
        return false;
    }
    return true;
}

static void note_connection(struct http1 *parser, struct slice value)
{
    /* Nearly always it is one option. */
    if (note_connection_option(parser, value)) {
        return;
    }
    while (value.size > 0) {
        note_connection_option(parser, next_element(&value));
    }
}

/* Takes note of a field on which framing depends. False: lost. */
static bool note_field(struct http1 *parser, enum http1_field field, struct slice value,
                       size_t line_size)
{
    parser->flags &= (uint16_t)~FLAG_MAY_FOLD;
    if (field == HTTP1_FIELD_HOST) {
        bool again = has_flag(parser, FLAG_HOST);
        set_flag(parser, FLAG_HOST);
        return parser->kind == HTTP1_RESPONSES || !again;
    }
    if (field == HTTP1_FIELD_UPGRADE) {
        set_flag(parser, FLAG_UPGRADE);
        return true;
    }
    if (line_size > LIMIT_HTTP_FRAMING_LINE) {
        return false;
    }
    if (field == HTTP1_FIELD_CONTENT_LENGTH) {
        return note_content_length(parser, value);
    }
    if (field == HTTP1_FIELD_TRANSFER_ENCODING) {
        return note_transfer_encoding(parser, value);
    }
    if (field == HTTP1_FIELD_CONNECTION) {
        note_connection(parser, value);
    } else if (equals_word(value, SLICE("100-continue"))) {
        set_flag(parser, FLAG_EXPECT);
    }
    return true;
}

static bool decides_framing(enum http1_field field)
{
    const uint32_t deciding = 1u << HTTP1_FIELD_HOST | 1u << HTTP1_FIELD_UPGRADE |
                              1u << HTTP1_FIELD_CONTENT_LENGTH |
                              1u << HTTP1_FIELD_TRANSFER_ENCODING | 1u << HTTP1_FIELD_CONNECTION |
                              1u << HTTP1_FIELD_EXPECT;
    return (deciding >> field & 1u) != 0;
}

/* Finds the name: token bytes, then at once a colon. */
static inline bool split_field(const struct line *line, struct slice *name)
{
    size_t size = token_size(line->kept);
    *name = slice_of(line->kept.data, size);
    return size > 0 && size < line->kept.size && line->kept.data[size] == ':' &&
           size < LIMIT_HTTP_FRAMING_LINE;
}

/* A line that continues the field before it. Deprecated; servers refuse it or read it as a blank,
   so that in a request it means two things. */
static bool may_continue(const struct http1 *parser)
{
    return parser->kind == HTTP1_RESPONSES && has_flag(parser, FLAG_MAY_FOLD);
}

static bool has_body_by_status(const struct http1 *parser)
{
    return parser->status >= 200 && parser->status != 204 && parser->status != 304;
}

/* The body's length (RFC 9112, 6.3). False: lost. */
static bool frame_body(struct http1 *parser)
{
    bool is_request = parser->kind == HTTP1_REQUESTS;
    if (is_request && has_flag(parser, FLAG_CODED) &&
        (has_flag(parser, FLAG_LENGTH) || !has_flag(parser, FLAG_CHUNKED))) {
        return false;
    }
    parser->state = STATE_MESSAGE_END;
    if (!is_request && !has_body_by_status(parser)) {
        return true;
    }
    if (has_flag(parser, FLAG_CHUNKED)) {
        parser->state = STATE_CHUNK_FIRST_DIGIT;
    } else if (has_flag(parser, FLAG_CODED)) {
        /* Until close; but clients that do not know the coding go by the length. */
        parser->state = STATE_BODY_UNTIL_CLOSE;
        return !has_flag(parser, FLAG_LENGTH);
    } else if (has_flag(parser, FLAG_LENGTH)) {
        parser->remaining = parser->length;
        parser->state = parser->length > 0 ? STATE_BODY : STATE_MESSAGE_END;
    } else if (!is_request) {
        parser->state = STATE_BODY_UNTIL_CLOSE;
    }
    return true;
}

static enum http1_event end_head(struct http1 *parser, struct http1_item *item)
{
    if (!frame_body(parser)) {
        return lose(parser);
    }
    bool is_old = parser->version_minor == 0;
    const unsigned plain = FLAG_LENGTH | FLAG_CODED | FLAG_CHUNKED | FLAG_CHUNKED_SEEN |
                           FLAG_KEEP_ALIVE | FLAG_HOST | FLAG_MAY_FOLD;
    if (likely(!is_old && (parser->flags & ~plain) == 0)) {
        item->until_close = parser->state == STATE_BODY_UNTIL_CLOSE;
        item->keeps_alive = !item->until_close;
        item->upgrades = false;
        item->expects_continue = false;
        return HTTP1_HEAD_END;
    }
    item->until_close = parser->state == STATE_BODY_UNTIL_CLOSE;
    /* Transfer-Encoding does not exist in HTTP/1.0: the connection is not to be used again. */
    item->keeps_alive =
        !has_flag(parser, FLAG_CLOSE) && !item->until_close &&
        (!is_old || (has_flag(parser, FLAG_KEEP_ALIVE) && !has_flag(parser, FLAG_CODED)));
    item->upgrades = has_flag(parser, FLAG_WANTS_UPGRADE) && has_flag(parser, FLAG_UPGRADE);
    item->expects_continue =
        has_flag(parser, FLAG_EXPECT) && !is_old && parser->kind == HTTP1_REQUESTS;
    return HTTP1_HEAD_END;
}

/* Tells of a field, or returns NEED_MORE if nobody wants to know it. */
static enum http1_event report_field(struct http1 *parser, struct slice name, struct slice value,
                                     size_t line_size, struct http1_item *item)
{
    enum http1_field field = known_field(name);
    set_flag(parser, FLAG_MAY_FOLD);
    if (decides_framing(field) && unlikely(!note_field(parser, field, value, line_size))) {
        return lose(parser);
    }
    item->field = field;
    item->name = name;
    item->value = value;
    return (parser->wanted >> field & 1u) != 0 ? HTTP1_FIELD : HTTP1_NEED_MORE;
}

static __attribute__((noinline)) enum http1_event
take_field_slow(struct http1 *parser, struct slice *in, struct http1_item *item)
{
    for (;;) {
        struct line line;
        enum line_result result = take_line(parser, in, &line);
        if (result != LINE_COMPLETE) {
            return event_of(parser, result);
        }
        if (line.size == 0) {
            return end_head(parser, item);
        }
        struct slice name;
        if (split_field(&line, &name)) {
            struct slice value =
                trim(slice_of(line.kept.data + name.size + 1, line.kept.size - name.size - 1));
            item->value_cut = line.kept.size < line.size;
            enum http1_event event = report_field(parser, name, value, line.size, item);
            if (event != HTTP1_NEED_MORE) {
                return event;
            }
            continue;
        }
        if (!is_blank(line.kept.data[0]) || !may_continue(parser)) {
            return lose(parser);
        }
    }
}

/* The value behind the colon of a line that ends at `end`. */
static inline struct slice plain_value(const uint8_t *data, size_t colon, size_t end)
{
    /* Nearly always there is one blank before the value and none behind it. */
    size_t start = colon + 1 + (data[colon + 1] == ' ');
    struct slice value = slice_of(data + start, end - start);
    if (unlikely(is_blank(data[start]) || is_blank(data[end - 1]))) {
        value = trim(value);
    }
    return value;
}

static inline bool is_line_end(const uint8_t *data, size_t size)
{
    return size >= 2 && scan_is_line_end(data);
}

static __attribute__((noinline)) enum http1_event take_field(struct http1 *parser, struct slice *in,
                                                             struct http1_item *item)
{
    const uint8_t *data = in->data;
    size_t colon;
    size_t end;
    if (unlikely(parser->line_bytes != 0 || !scan_plain_field(data, in->size, &colon, &end) ||
                 end + 2 > LIMIT_HTTP_HEAD_BYTES - parser->head_bytes)) {
        return take_field_slow(parser, in, item);
    }
    parser->head_bytes += (uint32_t)(end + 2);
    slice_take(in, end + 2);
    struct slice value = plain_value(data, colon, end);
    item->value_cut = false;
    enum http1_event event = report_field(parser, slice_of(data, colon), value, end, item);
    return event == HTTP1_NEED_MORE ? take_field_slow(parser, in, item) : event;
}

/* ---- whole heads ---- */

/* The fields of a head, behind the start line, until it ends. Returns what is behind it, NULL if it
   is not plain. */
static inline const uint8_t *take_plain_fields(struct http1 *parser, const uint8_t *data,
                                               const uint8_t *end, struct http1_head *head)
{
    head->field_count = 0;
    while (!is_line_end(data, (size_t)(end - data))) {
        size_t colon;
        size_t line;
        if (unlikely(!scan_plain_field(data, (size_t)(end - data), &colon, &line))) {
            return NULL;
        }
        enum http1_field field = known_field(slice_of(data, colon));
        if (unlikely(field != HTTP1_FIELD_OTHER)) {
            struct slice value = plain_value(data, colon, line);
            if (decides_framing(field) && !note_field(parser, field, value, line)) {
                return NULL;
            }
            if ((parser->wanted >> field & 1u) != 0) {
                if (head->field_count == HTTP1_HEAD_FIELDS) {
                    return NULL;
                }
                head->fields[head->field_count].field = (uint8_t)field;
                head->fields[head->field_count++].value = value;
            }
        }
        data += line + 2;
    }
    return data + 2;
}

bool http1_take_head(struct http1 *parser, struct slice *in, struct http1_head *head)
{
    const uint8_t *data = in->data;
    const uint8_t *end = data + in->size;
    if (parser->state != STATE_IDLE || in->size < VERSION_BYTES ||
        (parser->wanted >> HTTP1_FIELD_OTHER & 1u) != 0) {
        return false;
    }
    size_t line = parser->kind == HTTP1_REQUESTS ? take_plain_request_line(parser, *in, &head->item)
                                                 : take_plain_status_line(parser, *in, &head->item);
    if (unlikely(line == 0)) {
        return false;
    }
    parser->flags = 0;
    const uint8_t *behind = take_plain_fields(parser, data + line, end, head);
    if (unlikely(behind == NULL || behind - data > (ptrdiff_t)LIMIT_HTTP_HEAD_BYTES ||
                 end_head(parser, &head->item) != HTTP1_HEAD_END)) {
        parser->state = STATE_IDLE;
        return false;
    }
    parser->head_bytes = (uint32_t)(behind - data);
    *in = slice_of(behind, (size_t)(end - behind));
    return true;
}

bool http1_take_rest(struct http1 *parser, struct slice *in, uint64_t *payload)
{
    *payload = 0;
    if (parser->state == STATE_BODY && parser->remaining <= in->size) {
        *payload = parser->remaining;
        slice_take(in, (size_t)parser->remaining);
        parser->remaining = 0;
    } else if (parser->state != STATE_MESSAGE_END) {
        return false;
    }
    parser->state = STATE_IDLE;
    return true;
}

/* ---- bodies ---- */

static enum http1_event take_body(struct http1 *parser, struct slice *in, struct http1_item *item)
{
    if (in->size == 0) {
        return HTTP1_NEED_MORE;
    }
    size_t size = in->size;
    if (parser->state != STATE_BODY_UNTIL_CLOSE) {
        size = parser->remaining < size ? (size_t)parser->remaining : size;
        parser->remaining -= size;
        if (parser->remaining == 0) {
            parser->state = parser->state == STATE_BODY ? STATE_MESSAGE_END : STATE_CHUNK_DATA_END;
        }
    }
    item->bytes = slice_take(in, size);
    return HTTP1_BODY;
}

/* The chunk-size line is complete. */
static enum state state_after_chunk_size(struct http1 *parser)
{
    parser->line_bytes = 0;
    if (parser->remaining > 0) {
        return STATE_CHUNK_DATA;
    }
    parser->head_bytes = 0;
    parser->flags &= (uint16_t)~FLAG_MAY_FOLD;
    return STATE_TRAILERS;
}

/* What may stand behind the digits of a chunk's size. */
static enum state state_after_digits(struct http1 *parser, uint8_t byte)
{
    switch (byte) {
    case '\n':
        return state_after_chunk_size(parser);
    case '\r':
        return STATE_CHUNK_LF;
    case ';':
        return STATE_CHUNK_EXTENSION;
    case ' ':
    case '\t':
        return STATE_CHUNK_BLANKS;
    default:
        return STATE_LOST;
    }
}

static enum state state_after_chunk_byte(struct http1 *parser, uint8_t byte)
{
    int digit = hex_digit(byte);
    switch ((enum state)parser->state) {
    case STATE_CHUNK_FIRST_DIGIT:
        parser->remaining = 0;
        if (digit < 0) {
            return STATE_LOST;
        }
        parser->remaining = (uint64_t)digit;
        return STATE_CHUNK_DIGITS;
    case STATE_CHUNK_DIGITS:
        if (digit < 0) {
            return state_after_digits(parser, byte);
        }
        if (parser->remaining > INT64_MAX >> 4) {
            return STATE_LOST;
        }
        parser->remaining = parser->remaining << 4 | (uint64_t)digit;
        return STATE_CHUNK_DIGITS;
    case STATE_CHUNK_BLANKS:
        return state_after_digits(parser, byte);
    case STATE_CHUNK_EXTENSION:
        /* A bare LF ends the line for some receivers and belongs to the extension for others. */
        if (byte == '\0' || (byte == '\n' && parser->kind == HTTP1_REQUESTS)) {
            return STATE_LOST;
        }
        return byte == '\n'   ? state_after_chunk_size(parser)
               : byte == '\r' ? STATE_CHUNK_LF
                              : STATE_CHUNK_EXTENSION;
    case STATE_CHUNK_LF:
        return byte == '\n' ? state_after_chunk_size(parser) : STATE_LOST;
    case STATE_CHUNK_DATA_END:
        return byte == '\r'   ? STATE_CHUNK_DATA_LF
               : byte == '\n' ? STATE_CHUNK_FIRST_DIGIT
                              : STATE_LOST;
    case STATE_CHUNK_DATA_LF:
        return byte == '\n' ? STATE_CHUNK_FIRST_DIGIT : STATE_LOST;
    case STATE_IDLE:
    case STATE_IDLE_CR:
    case STATE_START_LINE:
    case STATE_FIELDS:
    case STATE_BODY:
    case STATE_BODY_UNTIL_CLOSE:
    case STATE_CHUNK_DATA:
    case STATE_TRAILERS:
    case STATE_MESSAGE_END:
    case STATE_LOST:
        break;
    }
    return STATE_LOST;
}

static enum http1_event take_trailers(struct http1 *parser, struct slice *in)
{
    for (;;) {
        struct line line;
        struct slice name;
        enum line_result result = take_line(parser, in, &line);
        if (result != LINE_COMPLETE) {
            return event_of(parser, result);
        }
        if (line.size == 0) {
            parser->state = STATE_IDLE;
            return HTTP1_MESSAGE_END;
        }
        if (split_field(&line, &name)) {
            set_flag(parser, FLAG_MAY_FOLD);
        } else if (!is_blank(line.kept.data[0]) || !may_continue(parser)) {
            return lose(parser);
        }
    }
}

/* Takes what stands between the data of two chunks, and what comes behind it. */
static enum http1_event take_chunk_line(struct http1 *parser, struct slice *in,
                                        struct http1_item *item)
{
    while (in->size > 0) {
        if (parser->line_bytes++ == LIMIT_HTTP_CHUNK_LINE) {
            return lose(parser);
        }
        parser->state = (uint8_t)state_after_chunk_byte(parser, slice_take(in, 1).data[0]);
        if (parser->state == STATE_LOST) {
            return HTTP1_LOST;
        }
        if (parser->state == STATE_CHUNK_DATA) {
            return take_body(parser, in, item);
        }
        if (parser->state == STATE_TRAILERS) {
            return take_trailers(parser, in);
        }
    }
    return HTTP1_NEED_MORE;
}

/* ---- messages ---- */

static enum http1_event begin_message(struct http1 *parser, struct slice *in)
{
    while (in->size > 0) {
        uint8_t byte = in->data[0];
        if (likely(byte != '\n' && byte != '\r')) {
            bool plausible = parser->kind == HTTP1_RESPONSES
                                 ? byte == 'H'
                                 : token_size(slice_of(in->data, 1)) == 1;
            if (parser->state == STATE_IDLE_CR || !plausible) {
                return lose(parser);
            }
            parser->flags = 0;
            parser->head_bytes = 0;
            parser->state = STATE_START_LINE;
            return HTTP1_MESSAGE_BEGIN;
        }
        if (byte == '\r' && parser->state == STATE_IDLE_CR) {
            return lose(parser);
        }
        parser->state = byte == '\r' ? STATE_IDLE_CR : STATE_IDLE;
        slice_take(in, 1);
    }
    return HTTP1_NEED_MORE;
}

void http1_init(struct http1 *parser, enum http1_kind kind)
{
    *parser = (struct http1){.kind = (uint8_t)kind, .state = STATE_IDLE, .wanted = UINT32_MAX};
}

void http1_report_only(struct http1 *parser, uint32_t fields)
{
    parser->wanted = fields;
}

static __attribute__((noinline)) enum http1_event next_rare(struct http1 *parser, struct slice *in,
                                                            struct http1_item *item)
{
    switch ((enum state)parser->state) {
    case STATE_IDLE:
    case STATE_IDLE_CR:
        return begin_message(parser, in);
    case STATE_START_LINE:
        return take_start_line(parser, in, item);
    case STATE_FIELDS:
        return take_field_slow(parser, in, item);
    case STATE_BODY:
    case STATE_BODY_UNTIL_CLOSE:
    case STATE_CHUNK_DATA:
        return take_body(parser, in, item);
    case STATE_CHUNK_FIRST_DIGIT:
    case STATE_CHUNK_DIGITS:
    case STATE_CHUNK_BLANKS:
    case STATE_CHUNK_EXTENSION:
    case STATE_CHUNK_LF:
    case STATE_CHUNK_DATA_END:
    case STATE_CHUNK_DATA_LF:
        return take_chunk_line(parser, in, item);
    case STATE_TRAILERS:
        return take_trailers(parser, in);
    case STATE_MESSAGE_END:
        parser->state = STATE_IDLE;
        return HTTP1_MESSAGE_END;
    case STATE_LOST:
        break;
    }
    return HTTP1_LOST;
}

enum http1_event http1_next(struct http1 *parser, struct slice *in, struct http1_item *item)
{
    switch ((enum state)parser->state) {
    case STATE_FIELDS:
        return take_field(parser, in, item);
    case STATE_START_LINE:
        return take_start_line(parser, in, item);
    case STATE_BODY:
        return take_body(parser, in, item);
    case STATE_MESSAGE_END:
        parser->state = STATE_IDLE;
        return HTTP1_MESSAGE_END;
    case STATE_IDLE:
    case STATE_IDLE_CR:
    case STATE_BODY_UNTIL_CLOSE:
    case STATE_CHUNK_FIRST_DIGIT:
    case STATE_CHUNK_DIGITS:
    case STATE_CHUNK_BLANKS:
    case STATE_CHUNK_EXTENSION:
    case STATE_CHUNK_LF:
    case STATE_CHUNK_DATA:
    case STATE_CHUNK_DATA_END:
    case STATE_CHUNK_DATA_LF:
    case STATE_TRAILERS:
    case STATE_LOST:
    default:
        return next_rare(parser, in, item);
    }
}

void http1_lend_carry(struct http1 *parser, uint8_t *memory, uint16_t capacity)
{
    parser->carry = memory;
    parser->carry_capacity = capacity;
}

uint8_t *http1_return_carry(struct http1 *parser)
{
    uint8_t *memory = parser->carry;
    parser->carry = NULL;
    parser->carry_capacity = 0;
    return memory;
}

void http1_has_no_body(struct http1 *parser)
{
    if (parser->state != STATE_LOST) {
        parser->state = STATE_MESSAGE_END;
    }
}

enum http1_event http1_skip(struct http1 *parser, uint64_t count)
{
    if (parser->state == STATE_BODY_UNTIL_CLOSE) {
        return HTTP1_BODY;
    }
    if (parser->state != STATE_BODY && parser->state != STATE_CHUNK_DATA) {
        return count == 0 && parser->state != STATE_LOST ? HTTP1_NEED_MORE : lose(parser);
    }
    if (count > parser->remaining) {
        return lose(parser);
    }
    parser->remaining -= count;
    if (parser->remaining > 0) {
        return HTTP1_BODY;
    }
    bool is_chunk = parser->state == STATE_CHUNK_DATA;
    parser->state = is_chunk ? STATE_CHUNK_DATA_END : STATE_IDLE;
    return is_chunk ? HTTP1_BODY : HTTP1_MESSAGE_END;
}

bool http1_lasts_until_close(const struct http1 *parser)
{
    return parser->state == STATE_BODY_UNTIL_CLOSE || parser->state == STATE_MESSAGE_END;
}

enum http1_event http1_end(struct http1 *parser)
{
    switch ((enum state)parser->state) {
    case STATE_IDLE:
    case STATE_IDLE_CR:
        return HTTP1_NEED_MORE;
    case STATE_BODY_UNTIL_CLOSE:
    case STATE_MESSAGE_END:
        parser->state = STATE_IDLE;
        return HTTP1_MESSAGE_END;
    case STATE_START_LINE:
    case STATE_FIELDS:
    case STATE_BODY:
    case STATE_CHUNK_FIRST_DIGIT:
    case STATE_CHUNK_DIGITS:
    case STATE_CHUNK_BLANKS:
    case STATE_CHUNK_EXTENSION:
    case STATE_CHUNK_LF:
    case STATE_CHUNK_DATA:
    case STATE_CHUNK_DATA_END:
    case STATE_CHUNK_DATA_LF:
    case STATE_TRAILERS:
    case STATE_LOST:
        break;
    }
    return lose(parser);
}
