#include "wire/resp_edit.h"

#include <string.h>

#include "wire/hex.h"

/* Of one call: what a pipeline that submits jobs has, and what is looked at before each call. */
#define COMMANDS_MAX  64u
#define ARGUMENTS_MAX 512u
#define DIGITS_MAX    9u

/* A line of a type's byte and digits; false: it is another one, or not whole. */
static bool take_number(struct slice *rest, uint8_t type, uint32_t *number)
{
    size_t at = 1;
    uint32_t value = 0;
    if (rest->size == 0 || rest->data[0] != type) {
        return false;
    }
    while (at < rest->size && at <= DIGITS_MAX && (uint8_t)(rest->data[at] - '0') < 10) {
        value = value * 10 + (uint32_t)(rest->data[at] - '0');
        at++;
    }
    if (at == 1 || rest->size - at < 2 || rest->data[at] != '\r' || rest->data[at + 1] != '\n') {
        return false;
    }
    slice_take(rest, at + 2);
    *number = value;
    return true;
}

static bool take_argument(struct slice *rest, struct slice *argument)
{
    uint32_t size;
    if (!take_number(rest, '$', &size) || rest->size < (size_t)size + 2 ||
        rest->data[size] != '\r' || rest->data[size + 1] != '\n') {
        return false;
    }
    *argument = slice_take(rest, size);
    slice_take(rest, 2);
    return true;
}

static bool is_store(struct slice name, struct slice key)
{
    return (slice_equals_ignoring_case(name, SLICE("HSET")) ||
            slice_equals_ignoring_case(name, SLICE("HMSET"))) &&
           slice_starts_with(key, SLICE("job:")) && key.size > 4;
}

enum found { FOUND_NOTHING, FOUND_STORE, FOUND_END };

/* One command: advances over it, if it is whole. */
static enum found read_command(struct slice *rest, struct resp_edit *edit)
{
    const uint8_t *begin = rest->data;
    struct slice argument = {NULL, 0};
    struct slice name = {NULL, 0};
    bool is_new = false;
    bool has_own = false;
    if (!take_number(rest, '*', &edit->count) || edit->count == 0) {
        return FOUND_END;
    }
    edit->header = (size_t)(rest->data - begin);
    bool may_store = edit->count >= 4 && edit->count % 2 == 0 && edit->count <= ARGUMENTS_MAX;
    for (uint32_t i = 0; i < edit->count; i++) {
        if (!take_argument(rest, &argument)) {
            /* A last value that goes on in another call. */
            return may_store && is_new && !has_own && i + 1 == edit->count ? FOUND_STORE
                                                                           : FOUND_END;
        }
        if (i == 0) {
            name = argument;
        } else if (i == 1) {
            may_store = may_store && is_store(name, argument);
            edit->key_ends = (size_t)(rest->data - begin);
        } else if (i % 2 == 0) {
            is_new = is_new || slice_equals(argument, SLICE("created_at"));
            has_own = has_own || slice_equals(argument, SLICE("job_trace_id")) ||
                      slice_equals(argument, SLICE("traceparent"));
        }
    }
    return may_store && is_new && !has_own ? FOUND_STORE : FOUND_NOTHING;
}

bool resp_edit_find(struct slice bytes, struct resp_edit *edit)
{
    struct slice rest = bytes;
    for (uint32_t i = 0; i < COMMANDS_MAX && rest.size > 0; i++) {
        edit->at = (size_t)(rest.data - bytes.data);
        enum found found = read_command(&rest, edit);
        if (found != FOUND_NOTHING) {
            edit->key_ends += edit->at;
            return found == FOUND_STORE;
        }
    }
    return false;
}

static uint8_t *put(uint8_t *text, struct slice bytes)
{
    memcpy(text, bytes.data, bytes.size);
    return text + bytes.size;
}

size_t resp_edit_write(struct slice bytes, const struct resp_edit *edit, const uint8_t trace_id[16],
                       const uint8_t span_id[8], uint8_t *text, size_t room)
{
    static const char trace_name[] = "$12\r\njob_trace_id\r\n$32\r\n";
    static const char span_name[] = "\r\n$11\r\njob_span_id\r\n$16\r\n";
    uint8_t digits[DIGITS_MAX + 1];
    size_t count = 0;
    struct slice kept =
        slice_of(bytes.data + edit->at + edit->header, edit->key_ends - edit->at - edit->header);
    size_t most = sizeof(digits) + 3 + kept.size + sizeof(trace_name) + sizeof(span_name) + 32 + 18;
    if (most > room) {
        return 0;
    }
    for (uint32_t number = edit->count + 4; number > 0; number /= 10) {
        digits[count++] = (uint8_t)('0' + number % 10);
    }
    uint8_t *at = put(text, SLICE("*"));
    while (count > 0) {
        *at++ = digits[--count];
    }
    at = put(at, SLICE("\r\n"));
    at = put(at, kept);
    at = put(at, slice_of(trace_name, sizeof(trace_name) - 1));
    at = hex_write(at, trace_id, 16);
    at = put(at, slice_of(span_name, sizeof(span_name) - 1));
    at = hex_write(at, span_id, 8);
    at = put(at, SLICE("\r\n"));
    return (size_t)(at - text);
}
