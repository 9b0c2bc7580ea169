#include "wire/tracestate.h"

#include <string.h>

/* W3C Trace Context, 3.3.1.1: more make all of them void. */
#define MEMBERS_MAX 32u
/* 3.3.1.5: those that go first when there is no room. */
#define LONG_MEMBER 128u
#define KEY_MAX     256u
#define VALUE_MAX   256u

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct slice without_blanks(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        slice_take(&text, 1);
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* Up to the next comma, which goes, too. */
static struct slice take_entry(struct slice *list)
{
    const uint8_t *comma = memchr(list->data, ',', list->size);
    struct slice entry =
        slice_take(list, comma == NULL ? list->size : (size_t)(comma - list->data));
    slice_take(list, list->size > 0 ? 1 : 0);
    return without_blanks(entry);
}

/* ---- tracestate ---- */

static bool is_small_or_digit(uint8_t byte)
{
    return (uint8_t)(byte - 'a') < 26 || (uint8_t)(byte - '0') < 10;
}

static bool is_key_byte(uint8_t byte)
{
    return is_small_or_digit(byte) || byte == '_' || byte == '-' || byte == '*' || byte == '/' ||
           byte == '@';
}

static size_t key_size(struct slice member)
{
    const uint8_t *equals = memchr(member.data, '=', member.size);
    return equals == NULL ? member.size : (size_t)(equals - member.data);
}

static bool is_member(struct slice member)
{
    size_t key = key_size(member);
    if (key == 0 || key > KEY_MAX || key + 1 >= member.size || member.size - key - 1 > VALUE_MAX ||
        !is_small_or_digit(member.data[0])) {
        return false;
    }
    for (size_t i = 1; i < key; i++) {
        if (!is_key_byte(member.data[i])) {
            return false;
        }
    }
    for (size_t i = key + 1; i < member.size; i++) {
        if (member.data[i] < 0x20 || member.data[i] > 0x7E || member.data[i] == '=') {
            return false;
        }
    }
    return true;
}

static uint8_t *text_of(struct tracestate *state)
{
    return state->line + TRACESTATE_NAME_BYTES;
}

static bool has_key(const struct tracestate *state, struct slice key)
{
    struct slice rest = slice_of(state->line + TRACESTATE_NAME_BYTES, state->size);
    while (rest.size > 0) {
        struct slice member = take_entry(&rest);
        member.size = key_size(member);
        if (slice_equals(member, key)) {
            return true;
        }
    }
    return false;
}

/* The right-most long member goes. */
static bool drop_long(struct tracestate *state)
{
    uint8_t *text = text_of(state);
    size_t end = state->size;
    while (end > 0) {
        size_t begin = end;
        while (begin > 0 && text[begin - 1] != ',') {
            begin--;
        }
        if (end - begin > LONG_MEMBER) {
            /* With the comma behind it, or the one before it. */
            size_t next = end < state->size ? end + 1 : end;
            size_t from = end < state->size || begin == 0 ? begin : begin - 1;
            memmove(text + from, text + next, state->size - next);
            state->size = (uint16_t)(state->size - (next - from));
            return true;
        }
        end = begin > 0 ? begin - 1 : 0;
    }
    return false;
}

static bool has_room(const struct tracestate *state, size_t size)
{
    return state->size + (state->size > 0 ? 1u : 0u) + size <= LIMIT_TRACESTATE;
}

static void keep(struct tracestate *state, struct slice member)
{
    if (has_key(state, slice_of(member.data, key_size(member)))) {
        return;
    }
    while (!state->is_full && !has_room(state, member.size)) {
        state->was_cut = true;
        if (member.size > LONG_MEMBER) {
            return;
        }
        state->is_full = !drop_long(state);
    }
    if (state->is_full) {
        return;
    }
    uint8_t *text = text_of(state);
    if (state->size > 0) {
        text[state->size++] = ',';
    }
    memcpy(text + state->size, member.data, member.size);
    state->size = (uint16_t)(state->size + member.size);
}

void tracestate_begin(struct tracestate *state)
{
    memset(state, 0, offsetof(struct tracestate, line));
    memcpy(state->line, "tracestate: ", TRACESTATE_NAME_BYTES);
}

void tracestate_add(struct tracestate *state, struct slice value)
{
    while (!state->is_void && value.size > 0) {
        struct slice member = take_entry(&value);
        if (member.size == 0) {
            continue;
        }
        state->is_void = state->members == MEMBERS_MAX || !is_member(member);
        if (!state->is_void) {
            state->members++;
            keep(state, member);
        }
    }
}

struct slice tracestate_text(const struct tracestate *state)
{
    return slice_of(state->line + TRACESTATE_NAME_BYTES, state->is_void ? 0 : state->size);
}

struct slice tracestate_end(struct tracestate *state)
{
    struct slice text = tracestate_text(state);
    memcpy(text_of(state) + text.size, "\r\n", 2);
    return text;
}

struct slice tracestate_cut(struct slice text, size_t limit)
{
    if (text.size <= limit) {
        return text;
    }
    while (limit > 0 && text.data[limit] != ',') {
        limit--;
    }
    return slice_of(text.data, limit);
}

/* ---- baggage ---- */

static bool is_token_byte(uint8_t byte)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return is_small_or_digit(byte) || (uint8_t)(byte - 'A') < 26 ||
           memchr(others, byte, sizeof(others) - 1) != NULL;
}

/* Key, blanks, `=`, and what may stand in a value and its properties. */
static bool is_baggage(struct slice member)
{
    size_t at = 0;
    while (at < member.size && is_token_byte(member.data[at])) {
        at++;
    }
    size_t key = at;
    while (at < member.size && is_blank(member.data[at])) {
        at++;
    }
    if (key == 0 || at == member.size || member.data[at] != '=') {
        return false;
    }
    for (at++; at < member.size; at++) {
        uint8_t byte = member.data[at];
        bool is_allowed =
            (byte > 0x20 && byte < 0x7F && byte != '"' && byte != '\\') || is_blank(byte);
        if (!is_allowed) {
            return false;
        }
    }
    return true;
}

bool baggage_next(struct slice *value, struct slice *member)
{
    while (value->size > 0) {
        struct slice entry = take_entry(value);
        if (is_baggage(entry)) {
            *member = entry;
            return true;
        }
    }
    return false;
}
