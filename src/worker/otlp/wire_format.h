/* Protobuf's wire format, as far as OTLP's writer needs it. The caller knows that there is room;
   what is read was written here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Tag of a field whose number is below 16: one byte. */
#define FIELD_TAG(number, type) ((uint8_t)((number) << 3 | (type)))

static inline size_t varint_size(uint64_t value)
{
    /* 7 bits to a byte; 0 takes one, too. */
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static inline uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    if (value < 0x80) {
        *at = (uint8_t)value;
        return at + 1;
    }
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *put_fixed64(uint8_t *at, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(at, &value, 8);
#else
    for (int i = 0; i < 8; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
#endif
    return at + 8;
}

static inline uint8_t *put_fixed32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
    return at + 4;
}

/* Names and values are short: two moves that overlap, without a call, hold most of them. */
static inline uint8_t *put_raw(uint8_t *at, struct slice bytes)
{
    const uint8_t *from = bytes.data;
    size_t size = bytes.size;
    if (size > 32) {
        memcpy(at, from, size);
    } else if (size >= 16) {
        memcpy(at, from, 16);
        memcpy(at + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(at, from, 8);
        memcpy(at + size - 8, from + size - 8, 8);
    } else {
        for (size_t i = 0; i < size; i++) {
            at[i] = from[i];
        }
    }
    return at + size;
}

/* A length-delimited field, its one-byte tag included. */
static inline uint8_t *put_bytes(uint8_t *at, uint8_t tag, struct slice bytes)
{
    *at++ = tag;
    at = put_varint(at, bytes.size);
    return put_raw(at, bytes);
}

/* Takes a length-delimited field with that one-byte tag off `*from`. False, and nothing taken, if
   another field comes first, or it is cut short. */
static inline bool take_bytes(struct slice *from, uint8_t tag, struct slice *bytes)
{
    struct slice rest = *from;
    uint64_t size = 0;
    unsigned shift = 0;
    uint8_t byte = 0x80;
    if (rest.size == 0 || slice_take(&rest, 1).data[0] != tag) {
        return false;
    }
    while ((byte & 0x80) != 0 && rest.size > 0 && shift < 64) {
        byte = slice_take(&rest, 1).data[0];
        size |= (uint64_t)(byte & 0x7F) << shift;
        shift += 7;
    }
    if ((byte & 0x80) != 0 || size > rest.size) {
        return false;
    }
    *bytes = slice_take(&rest, (size_t)size);
    *from = rest;
    return true;
}

static inline size_t bytes_size(size_t size)
{
    return 1 + varint_size(size) + size;
}
