#include "wire/resp.h"

#include "base/compiler.h"
#include "wire/hex.h"

/* Where the parser stands. The first three are the hot ones. */
enum state {
    STATE_VALUE, /* a value's type byte is next */
    STATE_DONE,  /* the top-level message is complete, END is due */
    STATE_IDLE,
    STATE_HELD,    /* commands: '*' came alone, which may yet be an empty command */
    STATE_LINE,    /* in the line of `type`; what came of it is in `line` */
    STATE_BULK,    /* in the payload of a bulk */
    STATE_BULK_CR, /* behind the payload */
    STATE_BULK_LF,
    STATE_CHUNK,      /* of a streamed string: the ';' is next */
    STATE_EMPTY_LINE, /* commands: in the rest of the line of an empty command */
    STATE_BLANKS,     /* inline: no word yet */
    STATE_COMMAND,    /* inline: BEGIN was told, the aggregate's item is due */
    STATE_GAP,        /* inline: between words */
    STATE_WORD,
    STATE_QUOTED,    /* in "..." */
    STATE_ESCAPE,    /* behind a backslash in "..." */
    STATE_HEX,       /* behind \x */
    STATE_HEX_DIGIT, /* behind \xH */
    STATE_SINGLE,    /* in '...' */
    STATE_SINGLE_ESCAPE,
    STATE_QUOTE_END, /* behind a closing quote */
    STATE_LOST
};

enum flag {
    FLAG_FIRST = 1,    /* no piece of the scalar at hand was reported */
    FLAG_STREAMED = 2, /* the bulk at hand is a chunk of a streamed string */
    FLAG_CUT = 4,      /* the line at hand did not fit `line` */
    FLAG_CR = 8,       /* the last byte was the CR of the line at hand */
    FLAG_HELD = 16     /* the message began with a '*' of an earlier piece */
};

/* The longest line that a length or an integer can be: a sign and the digits of 2^64. */
#define NUMBER_LINE 21u

void resp_init(struct resp *parser, enum resp_kind kind)
{
    memset(parser, 0, offsetof(struct resp, levels));
    parser->kind = (uint8_t)kind;
    parser->state = STATE_IDLE;
    parser->levels[0] = (struct resp_level){.remaining = 1};
}

bool resp_is_idle(const struct resp *parser)
{
    return parser->state == STATE_IDLE;
}

uint32_t resp_held_bytes(const struct resp *parser)
{
    return (parser->flags & FLAG_HELD) != 0;
}

static enum resp_event lose(struct resp *parser)
{
    parser->state = STATE_LOST;
    return RESP_LOST;
}

/* ---- levels ---- */

static void end_levels(struct resp *parser);

/* A value of the innermost aggregate is complete. */
static inline void end_value(struct resp *parser)
{
    struct resp_level *level = &parser->levels[parser->depth];
    level->index++;
    parser->state = STATE_VALUE;
    if (--level->remaining == 0) {
        end_levels(parser);
    }
}

/* The innermost level has no more elements; ends those that end with it. An attribute is no element
   of what it stands in: the value that it belongs to is still to come. */
static SLOW void end_enclosing_levels(struct resp *parser)
{
    while (parser->depth > 0 && parser->levels[parser->depth].remaining == 0) {
        uint32_t bit = 1u << parser->depth;
        bool is_attribute = (parser->attributes & bit) != 0;
        if (parser->attribute_depth == parser->depth) {
            parser->attribute_depth = 0;
        }
        parser->attributes &= ~bit;
        parser->streams &= ~bit;
        parser->depth--;
        if (is_attribute) {
            return;
        }
        parser->levels[parser->depth].index++;
        parser->levels[parser->depth].remaining--;
    }
    if (parser->depth == 0) {
        parser->state = STATE_DONE;
    }
}

static inline void end_levels(struct resp *parser)
{
    /* Nearly always the elements of a top-level array, or a top-level scalar. */
    if (likely(parser->depth <= 1 && parser->attributes == 0)) {
        parser->depth = 0;
        parser->streams = 0;
        parser->state = STATE_DONE;
        return;
    }
    end_enclosing_levels(parser);
}

static inline void begin_message(struct resp *parser)
{
    parser->state = STATE_VALUE;
    parser->flags = 0;
    parser->levels[0] = (struct resp_level){.remaining = 1};
}

/* ---- what a complete line says ---- */

/* Digits without sign or leading zeros, as servers write and accept them. */
static bool parse_count(struct slice line, uint64_t *count)
{
    uint64_t value = 0;
    if (line.size == 0 || line.size > 10 || (line.data[0] == '0' && line.size > 1)) {
        return false;
    }
    for (size_t i = 0; i < line.size; i++) {
        uint8_t digit = (uint8_t)(line.data[i] - '0');
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *count = value;
    return true;
}

static bool parse_integer(struct slice line, int64_t *number)
{
    uint64_t value = 0;
    size_t i = line.size > 0 && (line.data[0] == '-' || line.data[0] == '+');
    bool negative = i > 0 && line.data[0] == '-';
    if (i == line.size || line.size - i > 19) {
        return false;
    }
    for (; i < line.size; i++) {
        uint8_t digit = (uint8_t)(line.data[i] - '0');
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit; /* 19 digits cannot overflow 64 bits */
    }
    if (value > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *number = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static bool is_big_number(struct slice line)
{
    size_t i = line.size > 0 && (line.data[0] == '-' || line.data[0] == '+');
    if (i == line.size) {
        return false;
    }
    for (; i < line.size; i++) {
        if ((uint8_t)(line.data[i] - '0') > 9) {
            return false;
        }
    }
    return true;
}

static bool is_double(struct slice line)
{
    if (line.size == 0) {
        return false;
    }
    for (size_t i = 0; i < line.size; i++) {
        uint8_t byte = line.data[i];
        bool is_letter = (uint8_t)(ascii_lower(byte) - 'a') < 26; /* e, inf, nan */
        if ((uint8_t)(byte - '0') > 9 && !is_letter && byte != '+' && byte != '-' && byte != '.') {
            return false;
        }
    }
    return true;
}

static bool is_null_length(struct slice line)
{
    return line.size == 2 && line.data[0] == '-' && line.data[1] == '1';
}

static struct resp_item item_of(const struct resp *parser, uint8_t type)
{
    return (struct resp_item){
        .type = type,
        .depth = parser->depth,
        .first = true,
        .last = true,
        .index = parser->levels[parser->depth].index,
    };
}

/* Reports an item, but for those within an attribute: then true means that the next event is to be
   looked for. */
static bool is_hidden(const struct resp *parser)
{
    return parser->attribute_depth != 0;
}

enum line_outcome {
    LINE_ITEM,
    LINE_NOTHING, /* no event of its own */
    LINE_BAD
};

static enum line_outcome reported(const struct resp *parser)
{
    return is_hidden(parser) ? LINE_NOTHING : LINE_ITEM;
}

static enum line_outcome take_scalar(struct resp *parser, struct slice line, struct resp_item *item)
{
    struct resp_item scalar = item_of(parser, parser->type);
    enum line_outcome outcome = reported(parser);
    scalar.bytes = line;
    scalar.cut = (parser->flags & FLAG_CUT) != 0;
    scalar.null = parser->type == '_';
    if (parser->type == ':' && !parse_integer(line, &scalar.number)) {
        return LINE_BAD;
    }
    *item = scalar;
    end_value(parser);
    return outcome;
}

static enum line_outcome take_null(struct resp *parser, struct resp_item *item)
{
    enum line_outcome outcome = reported(parser);
    *item = item_of(parser, parser->type);
    item->null = true;
    item->number = -1;
    end_value(parser);
    return outcome;
}

static enum line_outcome take_bulk_length(struct resp *parser, struct slice line,
                                          struct resp_item *item)
{
    uint64_t length;
    bool is_command = parser->kind == RESP_COMMANDS;
    parser->flags = (uint8_t)((parser->flags & ~FLAG_STREAMED) | FLAG_FIRST);
    if (is_null_length(line) && parser->type == '$' && !is_command) {
        return take_null(parser, item);
    }
    if (line.size == 1 && line.data[0] == '?' && parser->type == '$' && !is_command) {
        parser->flags |= FLAG_STREAMED;
        parser->state = STATE_CHUNK;
        return LINE_NOTHING;
    }
    if (!parse_count(line, &length) || length > LIMIT_RESP_BULK_BYTES ||
        (parser->type == '=' && length < 4)) {
        return LINE_BAD;
    }
    parser->length = length;
    parser->remaining = length;
    parser->state = STATE_BULK;
    return LINE_NOTHING;
}

static enum line_outcome take_chunk_length(struct resp *parser, struct slice line,
                                           struct resp_item *item)
{
    uint64_t length;
    if (!parse_count(line, &length) || length > LIMIT_RESP_BULK_BYTES) {
        return LINE_BAD;
    }
    parser->type = '$';
    if (length > 0) {
        parser->remaining = length;
        parser->state = STATE_BULK;
        return LINE_NOTHING;
    }
    enum line_outcome outcome = reported(parser);
    *item = item_of(parser, '$');
    item->first = (parser->flags & FLAG_FIRST) != 0;
    item->number = -1;
    parser->flags = 0;
    end_value(parser);
    return outcome;
}

/* Opens a level of `remaining` elements; LINE_BAD if they are nested too deep. */
static enum line_outcome push_level(struct resp *parser, uint32_t remaining)
{
    enum line_outcome outcome = reported(parser);
    if (parser->depth == LIMIT_RESP_DEPTH) {
        return LINE_BAD;
    }
    parser->depth++;
    parser->levels[parser->depth] = (struct resp_level){.remaining = remaining};
    parser->state = STATE_VALUE;
    if (parser->type == '|') {
        parser->attributes |= 1u << parser->depth;
        if (parser->attribute_depth == 0) {
            parser->attribute_depth = parser->depth;
        }
        outcome = LINE_NOTHING;
    }
    if (remaining == 0) {
        end_enclosing_levels(parser);
    }
    return outcome;
}

static enum line_outcome take_aggregate(struct resp *parser, struct slice line,
                                        struct resp_item *item)
{
    uint64_t count;
    bool is_paired = parser->type == '%' || parser->type == '|';
    struct resp_item aggregate = item_of(parser, parser->type);
    enum line_outcome outcome;
    if (is_null_length(line) && parser->type == '*') {
        return take_null(parser, item);
    }
    if (line.size == 1 && line.data[0] == '?' && parser->type != '|' && parser->type != '>') {
        aggregate.number = -1;
        outcome = push_level(parser, UINT32_MAX);
        if (outcome != LINE_BAD) {
            parser->streams |= 1u << parser->depth;
        }
    } else if (parse_count(line, &count) && count <= INT32_MAX) {
        aggregate.number = (int64_t)count;
        outcome = push_level(parser, (uint32_t)count << is_paired);
    } else {
        return LINE_BAD;
    }
    *item = aggregate;
    return outcome;
}

/* The '.' behind the elements of a streamed aggregate. */
static enum line_outcome end_stream(struct resp *parser, struct slice line)
{
    struct resp_level *level = &parser->levels[parser->depth];
    if (line.size > 0 || (parser->streams & 1u << parser->depth) == 0) {
        return LINE_BAD;
    }
    level->remaining = 0;
    end_enclosing_levels(parser);
    return LINE_NOTHING;
}

/* Commands: the line behind the '*'. An empty command ends here without a trace. */
static enum line_outcome take_argument_count(struct resp *parser, struct slice line,
                                             struct resp_item *item)
{
    uint64_t count;
    if (parser->depth > 0 || !parse_count(line, &count) || count > INT32_MAX) {
        return LINE_BAD;
    }
    *item = item_of(parser, '*');
    item->number = (int64_t)count;
    return push_level(parser, (uint32_t)count);
}

static enum line_outcome take_line(struct resp *parser, struct slice line, struct resp_item *item)
{
    if (parser->kind == RESP_COMMANDS) {
        return parser->type == '$' ? take_bulk_length(parser, line, item)
                                   : take_argument_count(parser, line, item);
    }
    switch (parser->type) {
    case '+':
    case '-':
    case ':':
        return take_scalar(parser, line, item);
    case ',':
        return is_double(line) ? take_scalar(parser, line, item) : LINE_BAD;
    case '(':
        return is_big_number(line) ? take_scalar(parser, line, item) : LINE_BAD;
    case '#':
        return line.size == 1 && (line.data[0] == 't' || line.data[0] == 'f')
                   ? take_scalar(parser, line, item)
                   : LINE_BAD;
    case '_':
        return line.size == 0 ? take_scalar(parser, line, item) : LINE_BAD;
    case '$':
    case '!':
    case '=':
        return take_bulk_length(parser, line, item);
    case ';':
        return take_chunk_length(parser, line, item);
    case '.':
        return end_stream(parser, line);
    default:
        return take_aggregate(parser, line, item);
    }
}

/* ---- lines in pieces ---- */

static void keep_line(struct resp *parser, struct slice bytes)
{
    size_t room = LIMIT_RESP_LINE - parser->line_used;
    if (bytes.size > room) {
        bytes.size = room;
        parser->flags |= FLAG_CUT;
    }
    if (bytes.size > 0) {
        memcpy(parser->line + parser->line_used, bytes.data, bytes.size);
        parser->line_used = (uint8_t)(parser->line_used + bytes.size);
    }
}

/* Only texts and big numbers may be long: of others the end must be near. */
static bool is_line_too_long(const struct resp *parser)
{
    bool is_text = parser->type == '+' || parser->type == '-' || parser->type == '(';
    return parser->line_used > NUMBER_LINE && !is_text && parser->type != ',';
}

enum line_progress { PROGRESS_MORE, PROGRESS_COMPLETE, PROGRESS_BAD };

/* Consumes up to and with the line's CR LF. The line is borrowed from the input if it came whole,
   else from the parser. A CR or LF on its own is no part of any line. */
static enum line_progress read_line(struct resp *parser, struct slice *in, struct slice *line)
{
    size_t size = 0;
    if (in->size == 0) {
        return PROGRESS_MORE;
    }
    if ((parser->flags & FLAG_CR) == 0) {
        while (size < in->size && in->data[size] != '\r' && in->data[size] != '\n') {
            size++;
        }
        if (size + 1 < in->size && parser->line_used == 0) {
            *line = slice_take(in, size);
            parser->flags = (uint8_t)(parser->flags & ~FLAG_CUT);
            if (line->size > LIMIT_RESP_LINE) {
                line->size = LIMIT_RESP_LINE;
                parser->flags |= FLAG_CUT;
            }
            bool is_ended = in->data[0] == '\r' && in->data[1] == '\n';
            slice_take(in, 2);
            return is_ended ? PROGRESS_COMPLETE : PROGRESS_BAD;
        }
        keep_line(parser, slice_take(in, size));
        if (is_line_too_long(parser)) {
            return PROGRESS_BAD;
        }
        if (in->size == 0) {
            return PROGRESS_MORE;
        }
        if (slice_take(in, 1).data[0] != '\r') {
            return PROGRESS_BAD;
        }
        parser->flags |= FLAG_CR;
        if (in->size == 0) {
            return PROGRESS_MORE;
        }
    }
    parser->flags = (uint8_t)(parser->flags & ~FLAG_CR);
    *line = slice_of(parser->line, parser->line_used);
    return slice_take(in, 1).data[0] == '\n' ? PROGRESS_COMPLETE : PROGRESS_BAD;
}

static bool begins_value(const struct resp *parser, uint8_t type)
{
    if (parser->kind == RESP_COMMANDS) {
        return type == (parser->depth == 0 ? '*' : '$');
    }
    switch (type) {
    case '+':
    case '-':
    case ':':
    case ',':
    case '(':
    case '#':
    case '_':
    case '$':
    case '!':
    case '=':
    case '*':
    case '~':
    case '%':
    case '|':
    case '>':
    case '.':
        return true;
    default:
        return false;
    }
}

/* ---- bulks in pieces ---- */

/* The next piece of the payload; an empty one if there is nothing to come. False: all of it lies
   within an attribute, or no byte is there. */
static bool read_bulk(struct resp *parser, struct slice *in, struct resp_item *item)
{
    uint64_t size = in->size < parser->remaining ? in->size : parser->remaining;
    if (size == 0 && parser->remaining > 0) {
        return false;
    }
    bool is_streamed = (parser->flags & FLAG_STREAMED) != 0;
    *item = item_of(parser, parser->type);
    item->first = (parser->flags & FLAG_FIRST) != 0;
    item->bytes = slice_take(in, (size_t)size);
    item->number = is_streamed ? -1 : (int64_t)parser->length;
    parser->remaining -= size;
    item->last = parser->remaining == 0 && !is_streamed;
    if (parser->remaining == 0) {
        parser->state = STATE_BULK_CR;
    }
    if (is_hidden(parser)) {
        return false;
    }
    parser->flags = (uint8_t)(parser->flags & ~FLAG_FIRST);
    return true;
}

bool resp_skip(struct resp *parser, uint64_t count)
{
    if (count == 0 && parser->state != STATE_LOST) {
        return true;
    }
    if (parser->state != STATE_BULK || count > parser->remaining) {
        lose(parser);
        return false;
    }
    parser->remaining -= count;
    return true;
}

/* ---- inline commands ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || byte == '\r';
}

static enum resp_event inline_piece(struct resp *parser, struct slice bytes, bool last,
                                    struct resp_item *item)
{
    *item = item_of(parser, '$');
    item->first = (parser->flags & FLAG_FIRST) != 0;
    item->last = last;
    item->number = -1;
    item->bytes = bytes;
    parser->flags = (uint8_t)(parser->flags & ~FLAG_FIRST);
    if (last) {
        parser->levels[1].index++;
        parser->state = STATE_GAP;
    }
    return RESP_ITEM;
}

/* One byte that an escape stands for. */
static enum resp_event inline_byte(struct resp *parser, uint8_t byte, struct resp_item *item)
{
    parser->line[0] = byte;
    return inline_piece(parser, slice_of(parser->line, 1), false, item);
}

static enum resp_event inline_simple_escape(struct resp *parser, uint8_t byte,
                                            struct resp_item *item)
{
    parser->state = STATE_QUOTED;
    switch (byte) {
    case 'n':
        return inline_byte(parser, '\n', item);
    case 'r':
        return inline_byte(parser, '\r', item);
    case 't':
        return inline_byte(parser, '\t', item);
    case 'b':
        return inline_byte(parser, '\b', item);
    case 'a':
        return inline_byte(parser, '\a', item);
    default:
        return inline_byte(parser, byte, item);
    }
}

/* A run of bytes that stand for themselves. */
static struct slice inline_run(struct resp *parser, struct slice *in, uint8_t stop, uint8_t escape,
                               bool ends_at_blank)
{
    size_t size = 0;
    uint64_t room = LIMIT_RESP_INLINE_BYTES - parser->length;
    while (size < in->size && size < room) {
        uint8_t byte = in->data[size];
        if (byte == stop || byte == escape || byte == '\n' || byte == '\0') {
            break;
        }
        /* As the server's own splitting: vertical tabs and form feeds part words no more once a
           word has begun. */
        if (ends_at_blank && (byte == ' ' || byte == '\t' || byte == '\r')) {
            break;
        }
        size++;
    }
    parser->length += size;
    return slice_take(in, size);
}

static enum resp_event inline_quoted(struct resp *parser, struct slice *in, uint8_t quote,
                                     enum state escape_state, struct resp_item *item)
{
    struct slice run = inline_run(parser, in, quote, '\\', false);
    if (run.size > 0) {
        return inline_piece(parser, run, false, item);
    }
    uint8_t byte = in->data[0];
    if (byte != quote && byte != '\\') {
        return lose(parser); /* the line ends within quotes */
    }
    slice_take(in, 1);
    parser->length++;
    parser->state = (uint8_t)(byte == quote ? STATE_QUOTE_END : escape_state);
    return RESP_NEED_MORE;
}

/* In a word outside quotes. */
static enum resp_event inline_word(struct resp *parser, struct slice *in, struct resp_item *item)
{
    struct slice run = inline_run(parser, in, '"', '\'', true);
    bool has_room = parser->length < LIMIT_RESP_INLINE_BYTES;
    if (in->size > 0 && (in->data[0] == '\n' || (has_room && is_blank(in->data[0])))) {
        return inline_piece(parser, run, true, item);
    }
    if (run.size > 0) {
        return inline_piece(parser, run, false, item);
    }
    uint8_t quote = slice_take(in, 1).data[0];
    if (quote == '\0') {
        return lose(parser);
    }
    parser->length++;
    parser->state = quote == '"' ? STATE_QUOTED : STATE_SINGLE;
    return RESP_NEED_MORE;
}

/* The next event of an inline command, of which `in` holds at least one byte. NEED_MORE if the
   state changed without an event. */
static enum resp_event inline_next(struct resp *parser, struct slice *in, struct resp_item *item)
{
    uint8_t byte = in->data[0];
    if (parser->length >= LIMIT_RESP_INLINE_BYTES && byte != '\n') {
        return lose(parser);
    }
    switch ((enum state)parser->state) {
    case STATE_BLANKS:
        if (byte != '\n' && !is_blank(byte)) {
            parser->state = STATE_COMMAND;
            return RESP_BEGIN;
        }
        slice_take(in, 1);
        parser->length++;
        if (byte == '\n') {
            parser->state = STATE_IDLE;
        }
        return RESP_NEED_MORE;
    case STATE_COMMAND:
        parser->depth = 0;
        *item = item_of(parser, '*');
        item->index = 0;
        item->number = -1;
        parser->depth = 1;
        parser->levels[1] = (struct resp_level){.remaining = UINT32_MAX};
        parser->state = STATE_GAP;
        return RESP_ITEM;
    case STATE_GAP:
        if (byte == '\n') {
            slice_take(in, 1);
            parser->depth = 0;
            parser->state = STATE_DONE;
        } else if (is_blank(byte)) {
            slice_take(in, 1);
            parser->length++;
        } else {
            parser->flags |= FLAG_FIRST;
            parser->state = STATE_WORD;
        }
        return RESP_NEED_MORE;
    case STATE_WORD:
        return inline_word(parser, in, item);
    case STATE_QUOTED:
        return inline_quoted(parser, in, '"', STATE_ESCAPE, item);
    case STATE_SINGLE:
        return inline_quoted(parser, in, '\'', STATE_SINGLE_ESCAPE, item);
    case STATE_SINGLE_ESCAPE:
        /* Only \' is an escape; a backslash before anything else stands for itself. */
        parser->state = STATE_SINGLE;
        if (byte != '\'') {
            return inline_byte(parser, '\\', item);
        }
        slice_take(in, 1);
        parser->length++;
        return inline_byte(parser, byte, item);
    case STATE_ESCAPE:
        if (byte == '\n' || byte == '\0') {
            return lose(parser);
        }
        slice_take(in, 1);
        parser->length++;
        if (byte == 'x') {
            parser->state = STATE_HEX;
            return RESP_NEED_MORE;
        }
        return inline_simple_escape(parser, byte, item);
    case STATE_HEX:
        if (hex_digit(byte) < 0) {
            parser->state = STATE_QUOTED;
            return inline_byte(parser, 'x', item);
        }
        slice_take(in, 1);
        parser->length++;
        parser->escape = byte;
        parser->state = STATE_HEX_DIGIT;
        return RESP_NEED_MORE;
    case STATE_HEX_DIGIT:
        parser->state = STATE_QUOTED;
        if (hex_digit(byte) < 0) {
            parser->line[0] = 'x';
            parser->line[1] = parser->escape;
            return inline_piece(parser, slice_of(parser->line, 2), false, item);
        }
        slice_take(in, 1);
        parser->length++;
        return inline_byte(parser, (uint8_t)(hex_digit(parser->escape) << 4 | hex_digit(byte)),
                           item);
    case STATE_QUOTE_END:
        if (byte != '\n' && !is_blank(byte)) {
            return lose(parser);
        }
        return inline_piece(parser, slice_of(in->data, 0), true, item);
    case STATE_VALUE:
    case STATE_DONE:
    case STATE_IDLE:
    case STATE_HELD:
    case STATE_LINE:
    case STATE_BULK:
    case STATE_BULK_CR:
    case STATE_BULK_LF:
    case STATE_CHUNK:
    case STATE_EMPTY_LINE:
    case STATE_LOST:
        break;
    }
    return lose(parser);
}

/* ---- the state machine ---- */

static void begin_line(struct resp *parser, uint8_t type)
{
    parser->type = type;
    parser->line_used = 0;
    parser->flags = (uint8_t)(parser->flags & ~(FLAG_CR | FLAG_CUT));
    parser->state = STATE_LINE;
}

/* Reads a line to its end and acts upon it: an event, or NEED_MORE if there is none yet. */
static enum resp_event line_next(struct resp *parser, struct slice *in, struct resp_item *item)
{
    struct slice line;
    switch (read_line(parser, in, &line)) {
    case PROGRESS_MORE:
        return RESP_NEED_MORE;
    case PROGRESS_BAD:
        return lose(parser);
    case PROGRESS_COMPLETE:
        break;
    }
    parser->state = STATE_VALUE;
    switch (take_line(parser, line, item)) {
    case LINE_ITEM:
        return RESP_ITEM;
    case LINE_NOTHING:
        return RESP_NEED_MORE;
    case LINE_BAD:
        break;
    }
    return lose(parser);
}

/* The line of a command that asks for nothing: "*0" or "*-1". */
static enum resp_event empty_line_next(struct resp *parser, struct slice *in)
{
    struct slice line;
    enum line_progress progress = read_line(parser, in, &line);
    if (progress == PROGRESS_MORE) {
        return RESP_NEED_MORE;
    }
    bool is_zero = progress == PROGRESS_COMPLETE && slice_equals(line, SLICE("0"));
    if (!is_zero && (progress == PROGRESS_BAD || !is_null_length(line))) {
        return lose(parser);
    }
    parser->state = STATE_IDLE;
    return RESP_NEED_MORE;
}

/* Commands: behind a '*', whose count decides whether there is a command at all. */
static enum resp_event count_next(struct resp *parser, uint8_t byte, bool is_held)
{
    if ((uint8_t)(byte - '1') <= 8) {
        begin_message(parser);
        if (is_held) {
            begin_line(parser, '*');
            parser->flags |= FLAG_HELD;
        }
        return RESP_BEGIN;
    }
    if (byte != '0' && byte != '-') {
        return lose(parser);
    }
    begin_line(parser, '*');
    parser->state = STATE_EMPTY_LINE;
    return RESP_NEED_MORE;
}

/* Between messages, with at least one byte of input. */
static enum resp_event idle_next(struct resp *parser, struct slice *in)
{
    if (parser->kind == RESP_REPLIES) {
        begin_message(parser);
        return RESP_BEGIN;
    }
    if (in->data[0] != '*') {
        parser->length = 0;
        parser->flags = 0;
        parser->state = STATE_BLANKS;
        return RESP_NEED_MORE;
    }
    if (in->size == 1) {
        slice_take(in, 1);
        parser->state = STATE_HELD;
        return RESP_NEED_MORE;
    }
    enum resp_event event = count_next(parser, in->data[1], false);
    if (event == RESP_NEED_MORE) {
        slice_take(in, 1);
    }
    return event;
}

static enum resp_event bulk_next(struct resp *parser, struct slice *in, struct resp_item *item)
{
    return read_bulk(parser, in, item) ? RESP_ITEM : RESP_NEED_MORE;
}

/* Behind a payload. */
static enum resp_event bulk_end_next(struct resp *parser, struct slice *in)
{
    uint8_t byte = slice_take(in, 1).data[0];
    if (parser->state == STATE_BULK_CR) {
        parser->state = STATE_BULK_LF;
        return byte == '\r' ? RESP_NEED_MORE : lose(parser);
    }
    if (byte != '\n') {
        return lose(parser);
    }
    if ((parser->flags & FLAG_STREAMED) != 0) {
        parser->state = STATE_CHUNK;
    } else {
        end_value(parser);
    }
    return RESP_NEED_MORE;
}

/* One step: an event, or NEED_MORE after a change of state without one. */
static enum resp_event step(struct resp *parser, struct slice *in, struct resp_item *item)
{
    switch ((enum state)parser->state) {
    case STATE_VALUE:
        if (!begins_value(parser, in->data[0])) {
            return lose(parser);
        }
        begin_line(parser, slice_take(in, 1).data[0]);
        return line_next(parser, in, item);
    case STATE_CHUNK:
        if (in->data[0] != ';') {
            return lose(parser);
        }
        begin_line(parser, slice_take(in, 1).data[0]);
        return line_next(parser, in, item);
    case STATE_LINE:
        return line_next(parser, in, item);
    case STATE_BULK:
        return bulk_next(parser, in, item);
    case STATE_BULK_CR:
    case STATE_BULK_LF:
        return bulk_end_next(parser, in);
    case STATE_IDLE:
        return idle_next(parser, in);
    case STATE_HELD:
        return count_next(parser, in->data[0], true);
    case STATE_EMPTY_LINE:
        return empty_line_next(parser, in);
    case STATE_LOST:
    case STATE_DONE:
        return lose(parser);
    case STATE_BLANKS:
    case STATE_COMMAND:
    case STATE_GAP:
    case STATE_WORD:
    case STATE_QUOTED:
    case STATE_ESCAPE:
    case STATE_HEX:
    case STATE_HEX_DIGIT:
    case STATE_SINGLE:
    case STATE_SINGLE_ESCAPE:
    case STATE_QUOTE_END:
        return inline_next(parser, in, item);
    }
    return lose(parser);
}

/* Everything that is not among resp_next's shortcuts. */
static SLOW enum resp_event resp_next_slow(struct resp *parser, struct slice *in,
                                           struct resp_item *item)
{
    for (;;) {
        if (parser->state == STATE_DONE) {
            parser->state = STATE_IDLE;
            return RESP_END;
        }
        if (parser->state == STATE_LOST) {
            return RESP_LOST;
        }
        /* An empty payload, or the last piece of one that was skipped, needs no input. */
        bool needs_input = parser->state != STATE_BULK || parser->remaining > 0;
        if (in->size == 0 && needs_input) {
            return RESP_NEED_MORE;
        }
        enum resp_event event = step(parser, in, item);
        if (event != RESP_NEED_MORE) {
            return event;
        }
    }
}

/* ---- shortcuts: what comes whole and is common ---- */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "words are compared as they lie in memory");

#define WORD_BULK  0x0a0d3024u /* "$0\r\n" */
#define WORD_ARRAY 0x0a0d302au /* "*0\r\n" */
#define WORD_OK    0x0d4b4f2bu /* "+OK\r" */
#define WORD_CRLF  0x0a0du

static inline uint32_t load_word(const uint8_t *data)
{
    uint32_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

static inline bool is_line_end(const uint8_t *data)
{
    uint16_t end;
    memcpy(&end, data, sizeof end);
    return end == WORD_CRLF;
}

/* The digit if the word is that of `zero` with another digit, else more than 9. */
static inline uint32_t one_digit(uint32_t word, uint32_t zero)
{
    uint32_t difference = word - zero;
    return difference >> 8 | difference << 24;
}

/* Counts a value whose state is already that of the next one. */
static inline void end_whole_value(struct resp *parser)
{
    struct resp_level *level = &parser->levels[parser->depth];
    level->index++;
    if (--level->remaining == 0) {
        end_levels(parser);
    }
}

static inline void set_item(struct resp_item *item, const struct resp *parser, uint8_t type,
                            int64_t number, struct slice bytes)
{
    item->type = type;
    item->depth = parser->depth;
    item->first = true;
    item->last = true;
    item->null = false;
    item->cut = false;
    item->index = parser->levels[parser->depth].index;
    item->number = number;
    item->bytes = bytes;
}

/* The length line of a bulk of more than 9 bytes that begins with '$'. Returns the line's size, 0
   if it is not plainly good. */
static inline size_t whole_length(const uint8_t *data, size_t size, size_t *length)
{
    size_t value = (size_t)data[1] - '0';
    size_t at = 2;
    if (value - 1 > 8) {
        return 0;
    }
    for (; at < 10 && at + 1 < size; at++) {
        uint32_t digit = (uint32_t)data[at] - '0';
        if (digit > 9) {
            break;
        }
        value = value * 10 + digit;
    }
    if (at + 1 >= size || !is_line_end(data + at) || value > LIMIT_RESP_BULK_BYTES) {
        return 0;
    }
    *length = value;
    return at + 2;
}

/* A bulk string with all its bytes. Returns how many these are, 0 if it is not plainly one. */
static inline size_t whole_bulk(const uint8_t *data, size_t size, struct slice *payload)
{
    size_t head = 4;
    size_t length;
    if (unlikely(size < 6)) {
        return 0;
    }
    length = one_digit(load_word(data), WORD_BULK);
    if (length > 9) {
        head = data[0] == '$' ? whole_length(data, size, &length) : 0;
        if (unlikely(head == 0)) {
            return 0;
        }
    }
    size_t end = head + length;
    if (unlikely(size < end + 2 || !is_line_end(data + end))) {
        return 0;
    }
    *payload = slice_of(data + head, length);
    return end + 2;
}

/* An integer of up to 9 digits without a sign. */
static inline size_t whole_integer(const uint8_t *data, size_t size, int64_t *number)
{
    uint32_t value = 0;
    size_t at = 1;
    for (; at < size && at < 10; at++) {
        uint32_t digit = (uint32_t)data[at] - '0';
        if (digit > 9) {
            break;
        }
        value = value * 10 + digit;
    }
    if (at == 1 || at + 1 >= size || !is_line_end(data + at)) {
        return 0;
    }
    *number = value;
    return at + 2;
}

/* The answer of most writes. */
static inline bool is_ok(const uint8_t *data, size_t size)
{
    return size >= 5 && load_word(data) == WORD_OK && data[4] == '\n';
}

/* The line of a simple string or an error that needs no cut. */
static inline size_t whole_text(const uint8_t *data, size_t size)
{
    size_t at = 1;
    if (is_ok(data, size)) {
        return 5;
    }
    while (at < size && at <= LIMIT_RESP_LINE && data[at] != '\r' && data[at] != '\n') {
        at++;
    }
    return at + 1 < size && is_line_end(data + at) ? at + 2 : 0;
}

/* Describes the scalar reply that the input begins with, if all of it is there and it is of a
   common kind. Returns its size or 0. */
static inline size_t whole_scalar(const struct resp *parser, struct slice in,
                                  struct resp_item *item)
{
    size_t taken;
    struct slice payload;
    int64_t number;
    switch (in.data[0]) {
    case '+':
    case '-':
        taken = whole_text(in.data, in.size);
        if (likely(taken > 0)) {
            set_item(item, parser, in.data[0], 0, slice_of(in.data + 1, taken - 3));
        }
        return taken;
    case '$':
        taken = whole_bulk(in.data, in.size, &payload);
        if (likely(taken > 0)) {
            set_item(item, parser, '$', (int64_t)payload.size, payload);
        }
        return taken;
    case ':':
        taken = whole_integer(in.data, in.size, &number);
        if (likely(taken > 0)) {
            set_item(item, parser, ':', number, slice_of(in.data + 1, taken - 3));
        }
        return taken;
    default:
        return 0;
    }
}

static inline void consume(struct slice *in, size_t count)
{
    in->data += count;
    in->size -= count;
}

static inline bool take_small_array(struct resp *parser, struct slice *in, struct resp_item *item)
{
    if (in->size < 4 || parser->depth > 0) {
        return false;
    }
    uint32_t count = one_digit(load_word(in->data), WORD_ARRAY);
    if (count - 1 > 8) {
        return false;
    }
    set_item(item, parser, '*', count, slice_of(NULL, 0));
    consume(in, 4);
    parser->depth = 1;
    parser->levels[1] = (struct resp_level){.remaining = count};
    return true;
}

/* Takes a value that lies whole in the input, if it is one of the common kinds. */
static inline bool take_whole_value(struct resp *parser, struct slice *in, struct resp_item *item)
{
    size_t taken = 0;
    struct slice payload;
    if (in->size == 0 || parser->attribute_depth != 0) {
        return false;
    }
    if (in->data[0] == '*') {
        return take_small_array(parser, in, item);
    }
    if (parser->kind == RESP_REPLIES) {
        taken = whole_scalar(parser, *in, item);
    } else if (parser->depth > 0) {
        taken = whole_bulk(in->data, in->size, &payload);
        if (taken > 0) {
            set_item(item, parser, '$', (int64_t)payload.size, payload);
        }
    }
    if (unlikely(taken == 0)) {
        return false;
    }
    consume(in, taken);
    end_whole_value(parser);
    return true;
}

enum resp_event resp_next(struct resp *parser, struct slice *in, struct resp_item *item)
{
    if (likely(parser->state == STATE_VALUE)) {
        if (likely(take_whole_value(parser, in, item))) {
            return RESP_ITEM;
        }
    } else if (parser->state == STATE_DONE) {
        parser->state = STATE_IDLE;
        return RESP_END;
    } else if (parser->state == STATE_IDLE) {
        if (in->size == 0) {
            return RESP_NEED_MORE;
        }
        if (parser->kind == RESP_REPLIES ||
            (in->size > 1 && in->data[0] == '*' && (uint8_t)(in->data[1] - '1') <= 8)) {
            begin_message(parser);
            return RESP_BEGIN;
        }
    }
    return resp_next_slow(parser, in, item);
}

uint32_t resp_take_command(struct resp *parser, struct slice *in,
                           struct slice arguments[RESP_WHOLE_ARGUMENTS])
{
    const uint8_t *data = in->data;
    const uint8_t *end = data + in->size;
    if (in->size < 4 || parser->state != STATE_IDLE || parser->kind != RESP_COMMANDS) {
        return 0;
    }
    uint32_t count = one_digit(load_word(data), WORD_ARRAY);
    if (count - 1 >= RESP_WHOLE_ARGUMENTS) {
        return 0;
    }
    data += 4;
    for (uint32_t i = 0; i < count; i++) {
        size_t taken = whole_bulk(data, (size_t)(end - data), &arguments[i]);
        if (unlikely(taken == 0)) {
            return 0;
        }
        data += taken;
    }
    *in = slice_of(data, (size_t)(end - data));
    return count;
}

bool resp_take_scalar(struct resp *parser, struct slice *in, struct resp_item *item)
{
    if (in->size == 0 || parser->state != STATE_IDLE || parser->kind != RESP_REPLIES) {
        return false;
    }
    parser->levels[0].index = 0;
    if (likely(is_ok(in->data, in->size))) {
        set_item(item, parser, '+', 0, slice_of(in->data + 1, 2));
        consume(in, 5);
        return true;
    }
    size_t taken = whole_scalar(parser, *in, item);
    consume(in, taken);
    return taken > 0;
}
