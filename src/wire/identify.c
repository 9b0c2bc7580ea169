#include "wire/identify.h"

#include <stddef.h>

#include "base/limits.h"

/* Whether bytes begin with what is looked for, as far as there are any. */
enum match { MATCH_NO, MATCH_SO_FAR, MATCH_YES };

static enum match match(struct slice bytes, struct slice wanted)
{
    if (bytes.size >= wanted.size) {
        return slice_starts_with(bytes, wanted) ? MATCH_YES : MATCH_NO;
    }
    return slice_starts_with(wanted, bytes) ? MATCH_SO_FAR : MATCH_NO;
}

static enum wire_protocol protocol_if(enum match result, enum wire_protocol protocol)
{
    switch (result) {
    case MATCH_YES:
        return protocol;
    case MATCH_SO_FAR:
        return WIRE_UNDECIDED;
    case MATCH_NO:
        break;
    }
    return WIRE_UNKNOWN;
}

static bool is_upper(uint8_t byte)
{
    return (uint8_t)(byte - 'A') < 26;
}

static bool is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

static bool is_letter(uint8_t byte)
{
    return is_upper(ascii_upper(byte));
}

/* Splits off the bytes before the first one that is neither letter, '-' nor '_'. */
static struct slice take_word(struct slice *bytes)
{
    size_t size = 0;
    while (size < bytes->size &&
           (is_letter(bytes->data[size]) || bytes->data[size] == '-' || bytes->data[size] == '_')) {
        size++;
    }
    return slice_take(bytes, size);
}

static bool is_all_upper(struct slice word)
{
    for (size_t i = 0; i < word.size; i++) {
        if (is_letter(word.data[i]) && !is_upper(word.data[i])) {
            return false;
        }
    }
    return true;
}

/* ---- TLS ---- */

enum {
    TLS_CHANGE_CIPHER_SPEC = 20,
    TLS_APPLICATION_DATA = 23,
    TLS_HANDSHAKE = 22,
    TLS_CLIENT_HELLO = 1,
    TLS_MAJOR = 3,
    TLS_LAST_MINOR = 4
};

/* A record of at most 2^14 bytes and what encryption may add to them (RFC 8446, 5.2; RFC 5246
   allows 2048). */
#define TLS_RECORD_BYTES 18432u

static enum match match_tls_record(struct slice bytes)
{
    if (bytes.size >= 1 &&
        (bytes.data[0] < TLS_CHANGE_CIPHER_SPEC || bytes.data[0] > TLS_APPLICATION_DATA)) {
        return MATCH_NO;
    }
    if ((bytes.size >= 2 && bytes.data[1] != TLS_MAJOR) ||
        (bytes.size >= 3 && bytes.data[2] > TLS_LAST_MINOR)) {
        return MATCH_NO;
    }
    if (bytes.size < 5) {
        return MATCH_SO_FAR;
    }
    unsigned length = (unsigned)bytes.data[3] << 8 | bytes.data[4];
    return length > 0 && length <= TLS_RECORD_BYTES ? MATCH_YES : MATCH_NO;
}

static enum match match_client_hello(struct slice bytes)
{
    if (bytes.size >= 1 && bytes.data[0] != TLS_HANDSHAKE) {
        return MATCH_NO;
    }
    if (bytes.size >= 6 && bytes.data[5] != TLS_CLIENT_HELLO) {
        return MATCH_NO;
    }
    enum match record = match_tls_record(bytes);
    return record == MATCH_YES && bytes.size < 6 ? MATCH_SO_FAR : record;
}

/* ---- Redis ---- */

/* Inline commands. Memcached's text protocol has lower-case "get" and "set", SMTP, POP3 and FTP
   have "AUTH" and "QUIT": these are no sign of Redis. */
static bool is_inline_command(struct slice word)
{
    /* No pointers, so that the table needs no relocation. */
    static const char commands[][12] = {"PING",     "ECHO",      "INFO",      "KEYS",    "ROLE",
                                        "HELLO",    "LPUSH",     "RPUSH",     "PSYNC",   "EXISTS",
                                        "SELECT",   "CLIENT",    "CONFIG",    "DBSIZE",  "COMMAND",
                                        "MONITOR",  "PUBLISH",   "HGETALL",   "FLUSHDB", "FLUSHALL",
                                        "REPLCONF", "SUBSCRIBE", "PSUBSCRIBE"};
    if (slice_equals(word, SLICE("GET")) || slice_equals(word, SLICE("SET")) ||
        slice_equals(word, SLICE("DEL"))) {
        return true;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t size = 0;
        while (size < sizeof(commands[i]) && commands[i][size] != '\0') {
            size++;
        }
        if (slice_equals_ignoring_case(word, slice_of(commands[i], size))) {
            return true;
        }
    }
    return false;
}

/* `rest` is what follows the word. */
static enum wire_protocol identify_inline_command(struct slice word, struct slice rest)
{
    bool ends = rest.data[0] == ' ' || rest.data[0] == '\r' || rest.data[0] == '\n';
    return ends && is_inline_command(word) ? WIRE_RESP : WIRE_UNKNOWN;
}

/* A number's line: an optional sign and digits, then CRLF. */
static enum match match_number_line(struct slice bytes)
{
    size_t size = 0;
    if (bytes.size > 0 && (bytes.data[0] == '-' || bytes.data[0] == '+')) {
        slice_take(&bytes, 1);
    }
    while (size < bytes.size && is_digit(bytes.data[size])) {
        size++;
    }
    slice_take(&bytes, size);
    if (size == 0) {
        return bytes.size == 0 ? MATCH_SO_FAR : MATCH_NO;
    }
    return match(bytes, SLICE("\r\n"));
}

static enum wire_protocol identify_command_array(struct slice bytes)
{
    if (bytes.size < 2) {
        return WIRE_UNDECIDED;
    }
    return is_digit(bytes.data[1]) ? WIRE_RESP : WIRE_UNKNOWN;
}

/* A simple string: words up to CRLF. "+OK" with more behind it is POP3. */
static enum match match_status_line(struct slice text)
{
    size_t size = 0;
    if (match(text, SLICE("OK ")) == MATCH_YES) {
        return MATCH_NO;
    }
    if (match(text, SLICE("FULLRESYNC ")) == MATCH_YES) {
        return MATCH_YES;
    }
    while (size < text.size && (is_letter(text.data[size]) || text.data[size] == ' ')) {
        size++;
    }
    slice_take(&text, size);
    return size == 0 && text.size > 0 ? MATCH_NO : match(text, SLICE("\r\n"));
}

/* An error: a word in upper case, then a blank. */
static enum match match_error_line(struct slice text)
{
    size_t size = 0;
    while (size < text.size && (is_upper(text.data[size]) || is_digit(text.data[size]))) {
        size++;
    }
    if (size == text.size) {
        return MATCH_SO_FAR;
    }
    return size > 1 && is_upper(text.data[0]) && text.data[size] == ' ' ? MATCH_YES : MATCH_NO;
}

static enum match match_reply_line(struct slice bytes)
{
    struct slice text = bytes;
    uint8_t type = slice_take(&text, 1).data[0];
    switch (type) {
    case '+':
        return match_status_line(text);
    case '-':
        return match_error_line(text);
    case ':':
    case '$':
    case '*':
    case '%':
    case '~':
    case '>':
    case '(':
    case '=':
        return match_number_line(text);
    case '_':
        return match(text, SLICE("\r\n"));
    case '#':
        if (text.size > 0 && text.data[0] != 't' && text.data[0] != 'f') {
            return MATCH_NO;
        }
        if (text.size > 0) {
            slice_take(&text, 1);
        }
        return match(text, SLICE("\r\n"));
    default:
        return MATCH_NO;
    }
}

/* ---- HTTP ---- */

/* What may follow an HTTP method and its blank: a path, '*', an absolute URL, or a host after
   CONNECT. The word alone does not tell: GET is a Redis command too. */
static enum match match_target(struct slice method, struct slice target)
{
    if (target.size == 0) {
        return MATCH_SO_FAR;
    }
    if (slice_equals(method, SLICE("CONNECT"))) {
        uint8_t first = target.data[0];
        return is_letter(first) || is_digit(first) || first == '[' ? MATCH_YES : MATCH_NO;
    }
    if (slice_equals(method, SLICE("OPTIONS")) && target.data[0] == '*') {
        return MATCH_YES;
    }
    if (target.data[0] == '/') {
        return MATCH_YES;
    }
    uint8_t lower[8];
    struct slice start = {lower, target.size < sizeof(lower) ? target.size : sizeof(lower)};
    for (size_t i = 0; i < start.size; i++) {
        lower[i] = ascii_lower(target.data[i]);
    }
    enum match plain = match(start, SLICE("http://"));
    enum match secure = match(start, SLICE("https://"));
    return plain > secure ? plain : secure;
}

/* A word at the start: an HTTP method or an inline Redis command. */
static enum wire_protocol identify_word(struct slice bytes)
{
    struct slice rest = bytes;
    struct slice word = take_word(&rest);
    if (rest.size == 0) {
        return WIRE_UNDECIDED;
    }
    if (word.size == 0) {
        return WIRE_UNKNOWN;
    }
    if (rest.data[0] == ' ' && is_all_upper(word)) {
        struct slice target = slice_of(rest.data + 1, rest.size - 1);
        enum match is_http = match_target(word, target);
        bool is_only_redis = is_inline_command(word) && !slice_equals(word, SLICE("GET")) &&
                             !slice_equals(word, SLICE("SUBSCRIBE"));
        if (is_http != MATCH_NO && !is_only_redis) {
            return protocol_if(is_http, WIRE_HTTP1);
        }
    }
    return identify_inline_command(word, rest);
}

/* ---- both ---- */

/* What is looked at: a decision must not depend on bytes behind, and no decision after so many
   bytes is a decision too. */
static struct slice first_bytes(struct slice bytes)
{
    return slice_of(bytes.data,
                    bytes.size < LIMIT_IDENTIFY_BYTES ? bytes.size : LIMIT_IDENTIFY_BYTES);
}

static enum wire_protocol decided(enum wire_protocol protocol, struct slice bytes)
{
    return protocol == WIRE_UNDECIDED && bytes.size == LIMIT_IDENTIFY_BYTES ? WIRE_UNKNOWN
                                                                            : protocol;
}

enum wire_protocol identify_client_bytes(struct slice bytes)
{
    bytes = first_bytes(bytes);
    if (bytes.size == 0) {
        return WIRE_UNDECIDED;
    }
    if (bytes.data[0] == '*') {
        return identify_command_array(bytes);
    }
    if (bytes.data[0] == TLS_HANDSHAKE) {
        return protocol_if(match_client_hello(bytes), WIRE_TLS);
    }
    enum match preface = match(bytes, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    if (preface == MATCH_YES || (preface == MATCH_SO_FAR && bytes.size > 4)) {
        return protocol_if(preface, WIRE_HTTP2);
    }
    return decided(identify_word(bytes), bytes);
}

enum wire_protocol identify_server_bytes(struct slice bytes)
{
    bytes = first_bytes(bytes);
    if (bytes.size == 0) {
        return WIRE_UNDECIDED;
    }
    enum match tls = match_tls_record(bytes);
    if (tls != MATCH_NO) {
        return protocol_if(tls, WIRE_TLS);
    }
    enum match http = match(bytes, SLICE("HTTP/1."));
    if (http != MATCH_NO) {
        return protocol_if(http, WIRE_HTTP1);
    }
    return decided(protocol_if(match_reply_line(bytes), WIRE_RESP), bytes);
}
