#include "wire/sse.h"

enum state {
    STATE_MARK, /* perhaps in a byte order mark */
    STATE_LINE, /* a line begins */
    STATE_FIELD,
    STATE_COLON, /* a blank behind it is none of the value */
    STATE_DATA,
    STATE_NAME,
    STATE_SKIP /* the rest of a line */
};

static const uint8_t byte_order_mark[3] = {0xEF, 0xBB, 0xBF};

void sse_init(struct sse *reader)
{
    memset(reader, 0, sizeof(*reader));
    reader->state = STATE_MARK;
}

static bool field_is(const struct sse *reader, struct slice known)
{
    return slice_equals(slice_of(reader->field, reader->field_used), known);
}

/* Bytes up to the end of the line. */
static struct slice take_line(struct slice *in)
{
    const uint8_t *lf = memchr(in->data, '\n', in->size);
    size_t size = lf == NULL ? in->size : (size_t)(lf - in->data);
    const uint8_t *cr = size == 0 ? NULL : memchr(in->data, '\r', size);
    return slice_take(in, cr == NULL ? size : (size_t)(cr - in->data));
}

static void end_message(struct sse *reader)
{
    reader->has_data = false;
    reader->ended = true;
    reader->state = STATE_LINE;
}

/* What field the line turned out to have, its name being complete. True: it is data, and a LF goes
   before it. */
static bool begin_value(struct sse *reader, enum state behind)
{
    reader->state = (uint8_t)behind;
    if (field_is(reader, SLICE("data"))) {
        bool is_more = reader->has_data;
        reader->has_data = true;
        return is_more;
    }
    if (field_is(reader, SLICE("event"))) {
        reader->name_used = 0;
        reader->name_cut = false;
    }
    return false;
}

static enum state state_of_value(const struct sse *reader)
{
    return field_is(reader, SLICE("data"))    ? STATE_DATA
           : field_is(reader, SLICE("event")) ? STATE_NAME
                                              : STATE_SKIP;
}

static void add_to_name(struct sse *reader, struct slice bytes)
{
    size_t room = sizeof(reader->name) - reader->name_used;
    size_t size = bytes.size < room ? bytes.size : room;
    reader->name_cut |= size < bytes.size;
    if (size > 0) {
        memcpy(reader->name + reader->name_used, bytes.data, size);
        reader->name_used = (uint8_t)(reader->name_used + size);
    }
}

static void add_to_field(struct sse *reader, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size && reader->field_used < sizeof(reader->field); i++) {
        reader->field[reader->field_used++] = bytes.data[i];
    }
}

static bool is_line_end(uint8_t byte)
{
    return byte == '\n' || byte == '\r';
}

/* The line ended at `in`. SSE_NEED_MORE: nothing to tell. */
static enum sse_event end_line(struct sse *reader, struct slice *in, struct sse_item *item)
{
    enum state state = (enum state)reader->state;
    if (state == STATE_FIELD && begin_value(reader, STATE_SKIP)) {
        /* A field without a colon has an empty value. */
        item->bytes = SLICE("\n");
        return SSE_DATA;
    }
    reader->skips_lf = slice_take(in, 1).data[0] == '\r';
    reader->state = STATE_LINE;
    reader->field_used = 0;
    if (state != STATE_LINE) {
        return SSE_NEED_MORE;
    }
    bool has_data = reader->has_data;
    if (has_data) {
        item->name = slice_of(reader->name, reader->name_used);
        item->name_cut = reader->name_cut;
    }
    end_message(reader);
    return has_data ? SSE_MESSAGE : SSE_NEED_MORE;
}

static enum sse_event take_field(struct sse *reader, struct slice *in, struct sse_item *item)
{
    size_t size = 0;
    while (size < in->size && in->data[size] != ':' && !is_line_end(in->data[size])) {
        size++;
    }
    add_to_field(reader, slice_take(in, size));
    reader->state = STATE_FIELD;
    if (in->size > 0 && in->data[0] == ':') {
        slice_take(in, 1);
        if (begin_value(reader, STATE_COLON)) {
            item->bytes = SLICE("\n");
            return SSE_DATA;
        }
    }
    return SSE_NEED_MORE;
}

static void take_mark(struct sse *reader, struct slice *in)
{
    if (reader->mark < sizeof(byte_order_mark) && in->data[0] == byte_order_mark[reader->mark]) {
        reader->mark++;
        slice_take(in, 1);
        return;
    }
    bool is_mark = reader->mark == sizeof(byte_order_mark);
    reader->state = STATE_LINE;
    if (reader->mark > 0 && !is_mark) {
        /* The beginning of a field that nobody knows. */
        add_to_field(reader, slice_of(byte_order_mark, reader->mark));
        reader->state = STATE_FIELD;
    }
}

static enum sse_event step(struct sse *reader, struct slice *in, struct sse_item *item)
{
    struct slice line;
    uint8_t byte = in->data[0];
    if (reader->skips_lf) {
        reader->skips_lf = false;
        if (byte == '\n') {
            slice_take(in, 1);
            return SSE_NEED_MORE;
        }
    }
    if (reader->state == STATE_MARK) {
        take_mark(reader, in);
        return SSE_NEED_MORE;
    }
    if (reader->state == STATE_COLON) {
        reader->state = (uint8_t)state_of_value(reader);
        if (byte == ' ') {
            slice_take(in, 1);
        }
        return SSE_NEED_MORE;
    }
    if (is_line_end(byte)) {
        return end_line(reader, in, item);
    }
    if (reader->state == STATE_LINE || reader->state == STATE_FIELD) {
        return take_field(reader, in, item);
    }
    line = take_line(in);
    if (reader->state == STATE_NAME) {
        add_to_name(reader, line);
    }
    if (reader->state == STATE_DATA) {
        item->bytes = line;
        return SSE_DATA;
    }
    return SSE_NEED_MORE;
}

enum sse_event sse_next(struct sse *reader, struct slice *in, struct sse_item *item)
{
    enum sse_event event = SSE_NEED_MORE;
    if (reader->ended) {
        reader->ended = false;
        reader->name_used = 0;
        reader->name_cut = false;
    }
    while (in->size > 0 && event == SSE_NEED_MORE) {
        event = step(reader, in, item);
        if (event == SSE_NEED_MORE && reader->ended) {
            reader->ended = false;
            reader->name_used = 0;
            reader->name_cut = false;
        }
    }
    return event;
}
