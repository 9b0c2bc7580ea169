#include "wire/traceparent.h"

/* 00-<32 hex>-<16 hex>-<2 hex> */
#define TRACE_ID_AT  3u
#define PARENT_ID_AT 36u
#define FLAGS_AT     53u
#define WHOLE_SIZE   55u

#define KNOWN_FLAGS 3u

/* The value of a lower-case hexadecimal digit, and 0x10 for the digits alone, so that 0 means that
   it is none. */
static const uint8_t digits[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
    ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b,
    ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
};

/* Reads `count` bytes; false if a digit is wrong. `*any` tells whether one of them is not zero. */
static inline bool read_hex(const uint8_t *text, uint8_t *bytes, size_t count, bool *any)
{
    unsigned all = 0x10;
    unsigned some = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned high = digits[text[2 * i]];
        unsigned low = digits[text[2 * i + 1]];
        all &= high & low;
        some |= high | low;
        bytes[i] = (uint8_t)(high << 4 | (low & 0x0f));
    }
    *any = (some & 0x0f) != 0;
    return all != 0;
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
