#include "app_thread/job_traceback.h"

#include <string.h>

#include "app_thread/inflater.h"

static uint8_t digit_of_base64(uint8_t byte)
{
    return (uint8_t)((uint8_t)(byte - 'A') < 26   ? byte - 'A'
                     : (uint8_t)(byte - 'a') < 26 ? byte - 'a' + 26
                     : (uint8_t)(byte - '0') < 10 ? byte - '0' + 52
                     : byte == '+'                ? 62
                     : byte == '/'                ? 63
                                                  : 64);
}

static size_t decode_base64(struct slice text, uint8_t *bytes)
{
    uint32_t bits = 0;
    uint32_t held = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = digit_of_base64(text.data[i]);
        if (digit > 63) {
            break;
        }
        held = held << 6 | digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[size++] = (uint8_t)(held >> bits);
        }
    }
    return size;
}

/* The last line of a traceback is the failure's type and text. */
static void find_error(struct slice stack, struct rule_facts *facts)
{
    while (stack.size > 0 && stack.data[stack.size - 1] == '\n') {
        stack.size--;
    }
    size_t at = stack.size;
    while (at > 0 && stack.data[at - 1] != '\n') {
        at--;
    }
    struct slice line = slice_of(stack.data + at, stack.size - at);
    size_t name = 0;
    while (name < line.size && (line.data[name] == '_' || line.data[name] == '.' ||
                                digit_of_base64(line.data[name]) < 62)) {
        name++;
    }
    bool has_text = name + 2 < line.size && line.data[name] == ':';
    if (at == 0 || name == 0 || (!has_text && name != line.size)) {
        return; /* a text of several lines, or no traceback at all */
    }
    facts->values[RULE_ERROR_TYPE] = slice_of(line.data, name);
    if (has_text) {
        facts->values[RULE_ERROR] = slice_of(line.data + name + 2, line.size - name - 2);
    }
}

SLOW void job_traceback_unpack(struct rule_capture *capture, struct rule_facts *facts)
{
    struct slice packed = facts->values[RULE_STACK];
    uint8_t *bytes = (uint8_t *)(uintptr_t)packed.data;
    struct inflater inflater = {0};
    struct slice out;
    facts->values[RULE_STACK] = slice_of(NULL, 0);
    if (packed.size >= LIMIT_RULE_PACKED ||
        bytes + packed.size != capture->text + capture->text_used ||
        !inflater_begin(&inflater, INFLATE_ZLIB)) {
        return;
    }
    struct slice in = slice_of(bytes, decode_base64(packed, bytes));
    uint8_t *room = bytes + in.size;
    size_t limit = (size_t)(capture->text + RULE_CAPTURE_TEXT - room);
    limit = limit < LIMIT_RULE_STACK ? limit : LIMIT_RULE_STACK;
    size_t used = 0;
    enum inflater_event event;
    while ((event = inflater_next(&inflater, &in, &out)) == INFLATER_DATA) {
        if (out.size >= limit) {
            memcpy(room, out.data + out.size - limit, limit);
            used = limit;
            continue;
        }
        size_t over = used + out.size > limit ? used + out.size - limit : 0;
        memmove(room, room + over, used - over);
        memcpy(room + used - over, out.data, out.size);
        used += out.size - over;
    }
    inflater_end(&inflater);
    if (event == INFLATER_NEED_MORE && used > 0) {
        facts->values[RULE_STACK] = slice_of(room, used);
        find_error(facts->values[RULE_STACK], facts);
    }
}
