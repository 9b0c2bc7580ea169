/* A borrowed run of bytes: valid only during the call unless a comment says otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t size;
};

/* A slice over a string literal. */
#define SLICE(literal) ((struct slice){(const uint8_t *)("" literal), sizeof(literal) - 1})

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){data, size};
}

/* Cuts the first `count` bytes off `*slice` and returns them; `count` must not exceed its size. */
static inline struct slice slice_take(struct slice *slice, size_t count)
{
    struct slice head = {slice->data, count};
    /* C forbids adding even 0 to NULL, which is what an absent slice holds. */
    slice->data = count == 0 ? slice->data : slice->data + count;
    slice->size -= count;
    return head;
}

static inline bool slice_equals(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(struct slice slice, struct slice prefix)
{
    return slice.size >= prefix.size && memcmp(slice.data, prefix.data, prefix.size) == 0;
}

/* The decimal number that a text begins with, of nine digits at most; 0: with none. */
static inline uint32_t slice_number(struct slice text)
{
    uint32_t number = 0;
    for (size_t i = 0; i < text.size && i < 9 && (uint8_t)(text.data[i] - '0') <= 9; i++) {
        number = number * 10 + (uint32_t)(text.data[i] - '0');
    }
    return number;
}

static inline uint8_t ascii_lower(uint8_t byte)
{
    return (uint8_t)(byte - 'A') < 26 ? (uint8_t)(byte | 0x20) : byte;
}

static inline uint8_t ascii_upper(uint8_t byte)
{
    return (uint8_t)(byte - 'a') < 26 ? (uint8_t)(byte & 0xDF) : byte;
}

/* Compares without regard to ASCII case. */
static inline bool slice_equals_ignoring_case(struct slice a, struct slice b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}
