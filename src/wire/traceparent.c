#include "wire/traceparent.h"

#include "wire/hex.h"
#include "wire/scan.h"

/* 00-<32 hex>-<16 hex>-<2 hex> */
#define TRACE_ID_AT  3u
#define PARENT_ID_AT 36u
#define FLAGS_AT     53u
#define WHOLE_SIZE   TRACEPARENT_BYTES

#define KNOWN_FLAGS 3u

/* 16 digits become 8 bytes. Returns false if one of them is no lower-case digit; `*any` gets a bit
   that is not zero if a byte is not. */
static inline bool read_eight(const uint8_t *text, uint8_t bytes[8], uint64_t *any)
{
    typedef uint16_t pairs __attribute__((vector_size(16)));
    block digits = block_load(text);
    block number = digits - BLOCK_OF('0');
    block letter = digits - BLOCK_OF('a');
    block is_number = (block)(number < BLOCK_OF(10));
    block is_letter = (block)(letter < BLOCK_OF(6));
    pairs values = (pairs)((is_number & number) | (is_letter & (letter + BLOCK_OF(10))));
    /* The digit that comes first in memory is the low byte of its pair. */
    pairs joined = (values & 0x000f) << 4 | values >> 8;
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)joined[i];
    }
    uint64_t all;
    memcpy(&all, bytes, sizeof(all));
    *any |= all;
    return block_bits(~(is_number | is_letter)) == 0;
}

/* 16 and more: no digit. */
static inline uint8_t digit_of(uint8_t byte)
{
    if ((uint8_t)(byte - '0') < 10) {
        return (uint8_t)(byte - '0');
    }
    return (uint8_t)(byte - 'a') < 6 ? (uint8_t)(byte - 'a' + 10) : 16;
}

static inline bool read_byte(const uint8_t *text, uint8_t *byte)
{
    uint8_t high = digit_of(text[0]);
    uint8_t low = digit_of(text[1]);
    *byte = (uint8_t)(high << 4 | low);
    return high < 16 && low < 16;
}

bool traceparent_parse(struct slice value, struct traceparent *parsed)
{
    struct traceparent read;
    uint8_t version;
    uint64_t trace_id = 0;
    uint64_t parent_id = 0;
    const uint8_t *text = value.data;
    if (value.size < WHOLE_SIZE || text[2] != '-' || text[PARENT_ID_AT - 1] != '-' ||
        text[FLAGS_AT - 1] != '-' || !read_byte(text, &version) || version == 0xFF ||
        !read_eight(text + TRACE_ID_AT, read.trace_id, &trace_id) ||
        !read_eight(text + TRACE_ID_AT + 16, read.trace_id + 8, &trace_id) ||
        !read_eight(text + PARENT_ID_AT, read.parent_id, &parent_id) ||
        !read_byte(text + FLAGS_AT, &read.flags) || trace_id == 0 || parent_id == 0) {
        return false;
    }
    if (value.size > WHOLE_SIZE && (version == 0 || text[WHOLE_SIZE] != '-')) {
        return false;
    }
    read.flags &= KNOWN_FLAGS;
    *parsed = read;
    return true;
}

void traceparent_write(uint8_t text[TRACEPARENT_BYTES], const uint8_t trace_id[16],
                       const uint8_t parent_id[8], uint8_t flags)
{
    memcpy(text, "00-", TRACE_ID_AT);
    uint8_t *at = hex_write(text + TRACE_ID_AT, trace_id, 16);
    *at++ = '-';
    at = hex_write(at, parent_id, 8);
    *at++ = '-';
    hex_write(at, &flags, 1);
}
