#include "wire/json.h"

#include "base/compiler.h"
#include "wire/scan.h"

enum state {
    STATE_VALUE,
    STATE_FIRST_ELEMENT, /* a value, or the end of an empty array */
    STATE_FIRST_KEY,     /* a name, or the end of an empty object */
    STATE_KEY,
    STATE_COLON,
    STATE_AFTER_VALUE,
    STATE_STRING,
    STATE_ESCAPE,
    STATE_ESCAPE_DIGITS,
    STATE_NUMBER, /* its first byte comes */
    STATE_MINUS,
    STATE_ZERO,
    STATE_INTEGER,
    STATE_POINT,
    STATE_FRACTION,
    STATE_EXPONENT,
    STATE_EXPONENT_SIGN,
    STATE_EXPONENT_DIGITS,
    STATE_LITERAL,
    STATE_COMPLETE,
    STATE_STOPPED
};

/* The value at hand is on no path, nor is anything in it. */
#define NO_NODE UINT8_MAX

#define REPLACEMENT 0xFFFDu

static const struct {
    const char *text;
    uint8_t size;
    uint8_t type;
} literals[] = {
    {"null", 4, JSON_VALUE_NULL}, {"false", 5, JSON_VALUE_FALSE}, {"true", 4, JSON_VALUE_TRUE}};

void json_init(struct json *reader, const struct json_node *nodes)
{
    memset(reader, 0, sizeof(*reader));
    reader->nodes = nodes;
    reader->state = STATE_VALUE;
}

bool json_is_complete(const struct json *reader)
{
    bool is_number = reader->state == STATE_ZERO || reader->state == STATE_INTEGER ||
                     reader->state == STATE_FRACTION || reader->state == STATE_EXPONENT_DIGITS;
    return reader->state == STATE_COMPLETE || (is_number && reader->depth == 0);
}

static enum json_event stop(struct json *reader)
{
    reader->state = STATE_STOPPED;
    return JSON_STOPPED;
}

/* ---- where in the tree ---- */

/* The node of the container that is open innermost. */
static uint8_t container_node(const struct json *reader)
{
    return reader->depth > 0 && reader->depth <= LIMIT_JSON_STEPS
               ? reader->node_at[reader->depth - 1]
               : NO_NODE;
}

static bool in_object(const struct json *reader)
{
    unsigned at = reader->depth - 1u;
    return reader->depth > 0 && (reader->is_object[at / 64] >> at % 64 & 1u) != 0;
}

static uint8_t node_or_none(uint8_t child)
{
    return child == 0 ? NO_NODE : child;
}

static void find_element(struct json *reader)
{
    if (reader->depth == 0) {
        reader->node = 0;
    } else if (!in_object(reader)) {
        uint8_t parent = container_node(reader);
        reader->node =
            parent == NO_NODE ? NO_NODE : node_or_none(json_tree_element(reader->nodes, parent));
    }
}

static void begin_key(struct json *reader)
{
    uint8_t parent = container_node(reader);
    reader->in_key = true;
    reader->key_used = 0;
    /* A name that leads nowhere need not be kept. */
    reader->key_is_long = parent == NO_NODE || reader->nodes[parent].child == 0;
    reader->node = NO_NODE;
    reader->state = STATE_STRING;
}

static void end_key(struct json *reader)
{
    uint8_t parent = container_node(reader);
    if (parent != NO_NODE && reader->nodes[parent].child != 0) {
        /* A name that is too long has no step of its own, but may be any. */
        size_t size = reader->key_is_long ? 0 : reader->key_used;
        reader->node =
            node_or_none(json_tree_member(reader->nodes, parent, slice_of(reader->key, size)));
    }
    reader->in_key = false;
    reader->state = STATE_COLON;
}

static void add_to_key(struct json *reader, struct slice bytes)
{
    if (reader->key_is_long || bytes.size > sizeof(reader->key) - reader->key_used) {
        reader->key_is_long = true;
        return;
    }
    if (bytes.size > 0) {
        memcpy(reader->key + reader->key_used, bytes.data, bytes.size);
        reader->key_used = (uint8_t)(reader->key_used + bytes.size);
    }
}

/* ---- telling ---- */

static bool is_wanted(const struct json *reader)
{
    return reader->node != NO_NODE && reader->nodes[reader->node].path != JSON_NO_PATH;
}

/* A piece of the value at hand, if it is on a path. */
static bool tell(struct json *reader, enum json_type type, struct slice bytes, bool ends,
                 struct json_item *item)
{
    if (!is_wanted(reader)) {
        return false;
    }
    item->path = reader->nodes[reader->node].path;
    item->type = (uint8_t)type;
    item->begins = !reader->has_begun;
    item->ends = ends;
    item->bytes = bytes;
    reader->has_begun = true;
    return true;
}

static void end_value(struct json *reader)
{
    reader->state = reader->depth == 0 ? STATE_COMPLETE : STATE_AFTER_VALUE;
}

/* ---- strings ---- */

static size_t scan_plain(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (size - at >= sizeof(block)) {
        block bytes = block_load(data + at);
        uint64_t found = block_bits((block)((bytes < BLOCK_OF(0x20)) | (bytes == BLOCK_OF('"')) |
                                            (bytes == BLOCK_OF('\\')) | (bytes >= BLOCK_OF(0x80))));
        if (found != 0) {
            return at + block_first(found);
        }
        at += sizeof(block);
    }
    while (at < size && data[at] >= 0x20 && data[at] < 0x80 && data[at] != '"' &&
           data[at] != '\\') {
        at++;
    }
    return at;
}

/* Begins or continues a sequence of UTF-8 (RFC 3629, 4). */
static bool take_rare_byte(struct json *reader, uint8_t byte)
{
    if (reader->continuing > 0) {
        bool fits = byte >= reader->least && byte <= reader->most;
        reader->continuing--;
        reader->least = 0x80;
        reader->most = 0xBF;
        return fits;
    }
    reader->least = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    reader->most = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    reader->continuing = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    return byte >= 0xC2 && byte <= 0xF4;
}

/* The bytes of a string that stand for themselves, at the beginning of `in`. False if one of them
   must not be there. */
static bool take_run(struct json *reader, struct slice *in, struct slice *run)
{
    size_t size = 0;
    for (;;) {
        if (reader->continuing == 0) {
            size += scan_plain(in->data + size, in->size - size);
        }
        if (size == in->size || (reader->continuing == 0 && in->data[size] < 0x80)) {
            break;
        }
        if (!take_rare_byte(reader, in->data[size])) {
            return false;
        }
        size++;
    }
    *run = slice_take(in, size);
    return true;
}

static size_t put_utf8(uint8_t *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (uint8_t)(lead[more] | code >> 6 * more);
    for (size_t i = 1; i <= more; i++) {
        out[i] = (uint8_t)(0x80 | (code >> 6 * (more - i) & 0x3F));
    }
    return more + 1;
}

/* Tells bytes of the string at hand, or adds them to the name that it is. */
static bool pass_on(struct json *reader, struct slice bytes, struct json_item *item)
{
    if (reader->in_key) {
        add_to_key(reader, bytes);
        return false;
    }
    return bytes.size > 0 && tell(reader, JSON_VALUE_STRING, bytes, false, item);
}

/* An escape has ended that stands for `code`, perhaps half of one. */
static bool end_escape(struct json *reader, uint32_t code, struct json_item *item)
{
    bool is_high = code >= 0xD800 && code < 0xDC00;
    bool is_low = code >= 0xDC00 && code < 0xE000;
    size_t size = 0;
    reader->state = STATE_STRING;
    if (is_low && reader->high != 0) {
        code = 0x10000 + ((uint32_t)(reader->high - 0xD800) << 10) + (code - 0xDC00);
        is_low = false;
    } else if (reader->high != 0) {
        size = put_utf8(reader->unescaped, REPLACEMENT);
    }
    reader->high = is_high ? (uint16_t)code : 0;
    if (!is_high) {
        size += put_utf8(reader->unescaped + size, is_low ? REPLACEMENT : code);
    }
    return pass_on(reader, slice_of(reader->unescaped, size), item);
}

static enum json_event take_escape(struct json *reader, uint8_t byte, struct json_item *item)
{
    uint32_t code;
    switch (byte) {
    case '"':
    case '\\':
    case '/':
        code = byte;
        break;
    case 'b':
        code = '\b';
        break;
    case 'f':
        code = '\f';
        break;
    case 'n':
        code = '\n';
        break;
    case 'r':
        code = '\r';
        break;
    case 't':
        code = '\t';
        break;
    case 'u':
        reader->state = STATE_ESCAPE_DIGITS;
        reader->step = 0;
        reader->unit = 0;
        return JSON_NEED_MORE;
    default:
        return stop(reader);
    }
    return end_escape(reader, code, item) ? JSON_VALUE : JSON_NEED_MORE;
}

static enum json_event take_escape_digit(struct json *reader, uint8_t byte, struct json_item *item)
{
    uint8_t letter = ascii_lower(byte);
    unsigned digit = (uint8_t)(byte - '0') < 10    ? (unsigned)byte - '0'
                     : (uint8_t)(letter - 'a') < 6 ? (unsigned)letter - 'a' + 10
                                                   : 16;
    if (digit > 15) {
        return stop(reader);
    }
    reader->unit = (uint16_t)((unsigned)reader->unit << 4 | digit);
    if (++reader->step < 4) {
        return JSON_NEED_MORE;
    }
    return end_escape(reader, reader->unit, item) ? JSON_VALUE : JSON_NEED_MORE;
}

/* The event NEED_MORE means here and below: nothing to tell, go on. */
static enum json_event take_string(struct json *reader, struct slice *in, struct json_item *item)
{
    struct slice run;
    if (reader->high != 0 && in->data[0] != '\\') {
        reader->high = 0;
        size_t size = put_utf8(reader->unescaped, REPLACEMENT);
        if (pass_on(reader, slice_of(reader->unescaped, size), item)) {
            return JSON_VALUE;
        }
    }
    if (!take_run(reader, in, &run)) {
        return stop(reader);
    }
    if (in->size == 0 || in->data[0] == '\\') {
        if (in->size > 0) {
            slice_take(in, 1);
            reader->state = STATE_ESCAPE;
        }
        return pass_on(reader, run, item) ? JSON_VALUE : JSON_NEED_MORE;
    }
    if (slice_take(in, 1).data[0] != '"') {
        return stop(reader);
    }
    if (reader->in_key) {
        add_to_key(reader, run);
        end_key(reader);
        return JSON_NEED_MORE;
    }
    end_value(reader);
    return tell(reader, JSON_VALUE_STRING, run, true, item) ? JSON_VALUE : JSON_NEED_MORE;
}

/* ---- numbers and literals ---- */

/* The state behind one more byte of a number; STATE_STOPPED: the byte is none of it. */
static enum state after_number_byte(enum state state, uint8_t byte)
{
    bool is_digit = (uint8_t)(byte - '0') < 10;
    bool is_exponent = byte == 'e' || byte == 'E';
    switch (state) {
    case STATE_NUMBER:
        if (byte == '-') {
            return STATE_MINUS;
        }
        return byte == '0' ? STATE_ZERO : is_digit ? STATE_INTEGER : STATE_STOPPED;
    case STATE_MINUS:
        return byte == '0' ? STATE_ZERO : is_digit ? STATE_INTEGER : STATE_STOPPED;
    case STATE_INTEGER:
        if (is_digit) {
            return STATE_INTEGER;
        }
        return byte == '.' ? STATE_POINT : is_exponent ? STATE_EXPONENT : STATE_STOPPED;
    case STATE_ZERO:
        return byte == '.' ? STATE_POINT : is_exponent ? STATE_EXPONENT : STATE_STOPPED;
    case STATE_POINT:
        return is_digit ? STATE_FRACTION : STATE_STOPPED;
    case STATE_FRACTION:
        return is_digit ? STATE_FRACTION : is_exponent ? STATE_EXPONENT : STATE_STOPPED;
    case STATE_EXPONENT:
        if (byte == '+' || byte == '-') {
            return STATE_EXPONENT_SIGN;
        }
        return is_digit ? STATE_EXPONENT_DIGITS : STATE_STOPPED;
    case STATE_EXPONENT_SIGN:
    case STATE_EXPONENT_DIGITS:
        return is_digit ? STATE_EXPONENT_DIGITS : STATE_STOPPED;
    case STATE_VALUE:
    case STATE_FIRST_ELEMENT:
    case STATE_FIRST_KEY:
    case STATE_KEY:
    case STATE_COLON:
    case STATE_AFTER_VALUE:
    case STATE_STRING:
    case STATE_ESCAPE:
    case STATE_ESCAPE_DIGITS:
    case STATE_LITERAL:
    case STATE_COMPLETE:
    case STATE_STOPPED:
        break;
    }
    return STATE_STOPPED;
}

static enum json_event take_number(struct json *reader, struct slice *in, struct json_item *item)
{
    size_t size = 0;
    enum state state = (enum state)reader->state;
    enum state next = state;
    while (size < in->size && next != STATE_STOPPED) {
        next = after_number_byte(state, in->data[size]);
        if (next != STATE_STOPPED) {
            state = next;
            size++;
        }
    }
    struct slice run = slice_take(in, size);
    reader->state = (uint8_t)state;
    if (in->size == 0) {
        return size > 0 && tell(reader, JSON_VALUE_NUMBER, run, false, item) ? JSON_VALUE
                                                                             : JSON_NEED_MORE;
    }
    if (state != STATE_ZERO && state != STATE_INTEGER && state != STATE_FRACTION &&
        state != STATE_EXPONENT_DIGITS) {
        return stop(reader);
    }
    end_value(reader);
    return tell(reader, JSON_VALUE_NUMBER, run, true, item) ? JSON_VALUE : JSON_NEED_MORE;
}

static enum json_event take_literal(struct json *reader, uint8_t byte, struct json_item *item)
{
    const char *text = literals[reader->literal].text;
    if (byte != (uint8_t)text[reader->step]) {
        return stop(reader);
    }
    if (++reader->step < literals[reader->literal].size) {
        return JSON_NEED_MORE;
    }
    end_value(reader);
    bool told = tell(reader, (enum json_type)literals[reader->literal].type,
                     slice_of(text, literals[reader->literal].size), true, item);
    return told ? JSON_VALUE : JSON_NEED_MORE;
}

/* ---- structure ---- */

static enum json_event open_container(struct json *reader, bool is_object, struct json_item *item)
{
    if (reader->depth == LIMIT_JSON_DEPTH) {
        return stop(reader);
    }
    unsigned at = reader->depth;
    uint64_t bit = UINT64_C(1) << at % 64;
    reader->is_object[at / 64] =
        is_object ? reader->is_object[at / 64] | bit : reader->is_object[at / 64] & ~bit;
    if (at < LIMIT_JSON_STEPS) {
        reader->node_at[at] = reader->node;
    }
    reader->depth++;
    reader->state = is_object ? STATE_FIRST_KEY : STATE_FIRST_ELEMENT;
    bool told = tell(reader, is_object ? JSON_VALUE_OBJECT : JSON_VALUE_ARRAY,
                     (struct slice){NULL, 0}, true, item);
    return told ? JSON_VALUE : JSON_NEED_MORE;
}

static enum json_event close_container(struct json *reader, uint8_t byte)
{
    if (byte != (in_object(reader) ? '}' : ']')) {
        return stop(reader);
    }
    reader->depth--;
    end_value(reader);
    return JSON_NEED_MORE;
}

/* A value begins with `in`. */
static enum json_event begin_value(struct json *reader, struct slice *in, struct json_item *item)
{
    uint8_t byte = in->data[0];
    find_element(reader);
    reader->has_begun = false;
    if (byte == '-' || (uint8_t)(byte - '0') < 10) {
        reader->state = STATE_NUMBER;
        return JSON_NEED_MORE;
    }
    slice_take(in, 1);
    switch (byte) {
    case '"':
        reader->state = STATE_STRING;
        return JSON_NEED_MORE;
    case '{':
    case '[':
        return open_container(reader, byte == '{', item);
    case 'n':
    case 'f':
    case 't':
        reader->state = STATE_LITERAL;
        reader->literal = byte == 'n' ? 0 : byte == 'f' ? 1 : 2;
        reader->step = 1;
        return JSON_NEED_MORE;
    default:
        return stop(reader);
    }
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* What stands between names and values. */
static enum json_event take_structure(struct json *reader, struct slice *in, struct json_item *item)
{
    uint8_t byte = in->data[0];
    if (is_blank(byte)) {
        slice_take(in, 1);
        return JSON_NEED_MORE;
    }
    enum state state = (enum state)reader->state;
    if (state == STATE_VALUE || (state == STATE_FIRST_ELEMENT && byte != ']')) {
        return begin_value(reader, in, item);
    }
    slice_take(in, 1);
    if ((state == STATE_FIRST_KEY || state == STATE_KEY) && byte == '"') {
        begin_key(reader);
        return JSON_NEED_MORE;
    }
    if (state == STATE_COLON && byte == ':') {
        reader->state = STATE_VALUE;
        return JSON_NEED_MORE;
    }
    if (state == STATE_AFTER_VALUE && byte == ',') {
        reader->state = in_object(reader) ? STATE_KEY : STATE_VALUE;
        return JSON_NEED_MORE;
    }
    if (state == STATE_AFTER_VALUE || state == STATE_FIRST_KEY || state == STATE_FIRST_ELEMENT) {
        return close_container(reader, byte);
    }
    return stop(reader);
}

enum json_event json_next(struct json *reader, struct slice *in, struct json_item *item)
{
    enum json_event event = JSON_NEED_MORE;
    while (in->size > 0 && event == JSON_NEED_MORE) {
        switch ((enum state)reader->state) {
        case STATE_STRING:
            event = take_string(reader, in, item);
            break;
        case STATE_ESCAPE:
            event = take_escape(reader, slice_take(in, 1).data[0], item);
            break;
        case STATE_ESCAPE_DIGITS:
            event = take_escape_digit(reader, slice_take(in, 1).data[0], item);
            break;
        case STATE_NUMBER:
        case STATE_MINUS:
        case STATE_ZERO:
        case STATE_INTEGER:
        case STATE_POINT:
        case STATE_FRACTION:
        case STATE_EXPONENT:
        case STATE_EXPONENT_SIGN:
        case STATE_EXPONENT_DIGITS:
            event = take_number(reader, in, item);
            break;
        case STATE_LITERAL:
            event = take_literal(reader, slice_take(in, 1).data[0], item);
            break;
        case STATE_VALUE:
        case STATE_FIRST_ELEMENT:
        case STATE_FIRST_KEY:
        case STATE_KEY:
        case STATE_COLON:
        case STATE_AFTER_VALUE:
        case STATE_COMPLETE:
            event = take_structure(reader, in, item);
            break;
        case STATE_STOPPED:
        default:
            event = JSON_STOPPED;
            break;
        }
    }
    return reader->state == STATE_STOPPED ? JSON_STOPPED : event;
}
