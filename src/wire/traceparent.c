#include "wire/traceparent.h"

/* 00-<32 hex>-<16 hex>-<2 hex> */
#define TRACE_ID_AT  3u
#define PARENT_ID_AT 36u
#define FLAGS_AT     53u
#define WHOLE_SIZE   55u

#define KNOWN_FLAGS 3u

/* 16 and more: no lower-case hexadecimal digit. */
static uint8_t digit_of(uint8_t byte)
{
    if ((uint8_t)(byte - '0') < 10) {
        return (uint8_t)(byte - '0');
    }
    return (uint8_t)(byte - 'a') < 6 ? (uint8_t)(byte - 'a' + 10) : 16;
}

/* Reads `count` bytes; false if a digit is wrong. `*any` tells whether one of them is not zero. */
static bool read_hex(const uint8_t *text, uint8_t *bytes, size_t count, bool *any)
{
    *any = false;
    for (size_t i = 0; i < count; i++) {
        uint8_t high = digit_of(text[2 * i]);
        uint8_t low = digit_of(text[2 * i + 1]);
        if (high > 15 || low > 15) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
        *any |= bytes[i] != 0;
    }
    return true;
}

bool traceparent_parse(struct slice value, struct traceparent *parsed)
{
    struct traceparent read;
    uint8_t version;
    bool has_trace_id;
    bool has_parent_id;
    bool ignored;
    const uint8_t *text = value.data;
    if (value.size < WHOLE_SIZE || text[2] != '-' || text[PARENT_ID_AT - 1] != '-' ||
        text[FLAGS_AT - 1] != '-' || !read_hex(text, &version, 1, &ignored) || version == 0xFF ||
        !read_hex(text + TRACE_ID_AT, read.trace_id, sizeof(read.trace_id), &has_trace_id) ||
        !read_hex(text + PARENT_ID_AT, read.parent_id, sizeof(read.parent_id), &has_parent_id) ||
        !read_hex(text + FLAGS_AT, &read.flags, 1, &ignored) || !has_trace_id || !has_parent_id) {
        return false;
    }
    if (value.size > WHOLE_SIZE && (version == 0 || text[WHOLE_SIZE] != '-')) {
        return false;
    }
    read.flags &= KNOWN_FLAGS;
    *parsed = read;
    return true;
}
