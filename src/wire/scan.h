/*
 * Searching bytes 16 at a time. Nothing outside of [data, data + size) is read.
 *
 * Every function returns the index of the first byte that is not of its kind, or `size`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "base/compiler.h"

typedef uint8_t block __attribute__((vector_size(16)));

#define BLOCK_OF(b) ((block){b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b})

static inline block block_load(const uint8_t *data)
{
    block bytes;
    memcpy(&bytes, data, sizeof bytes);
    return bytes;
}

/* Where `mask` (each byte 0 or 0xFF) is set: BLOCK_BITS bits for each byte, in order. */
#if defined(__x86_64__)
#define BLOCK_BITS 1u
static inline uint64_t block_bits(block mask)
{
    typedef char signed_block __attribute__((vector_size(16)));
    return (uint32_t)__builtin_ia32_pmovmskb128((signed_block)mask);
}
#elif defined(__aarch64__)
#define BLOCK_BITS 4u
static inline uint64_t block_bits(block mask)
{
    uint8x8_t narrowed = vshrn_n_u16(vreinterpretq_u16_u8((uint8x16_t)mask), 4);
    return vget_lane_u64(vreinterpret_u64_u8(narrowed), 0);
}
#endif

static inline block block_is_line_break(block bytes)
{
    return (block)((bytes == BLOCK_OF('\n')) | (bytes == BLOCK_OF('\r')) | (bytes == BLOCK_OF(0)));
}

/* CR, LF, NUL, and some others that are rare in text: one comparison less. */
static inline block block_may_be_line_break(block bytes)
{
    return (block)(bytes <= BLOCK_OF('\r'));
}

/* Letters, digits and '-': what names are made of but for rare exceptions. */
static inline block block_is_no_name(block bytes)
{
    block letter = (bytes | BLOCK_OF(0x20)) - BLOCK_OF('a');
    block digit = bytes - BLOCK_OF('0');
    return (block) ~((letter < BLOCK_OF(26)) | (digit < BLOCK_OF(10)) | (bytes == BLOCK_OF('-')));
}

static inline block block_is_no_target(block bytes)
{
    return (block)((bytes < BLOCK_OF(0x21)) | (bytes == BLOCK_OF(0x7f)));
}

/* What may begin a pair in a target, or end user information; and 0. */
static inline block block_is_path_mark(block bytes)
{
    return (block)((bytes == BLOCK_OF('?')) | (bytes == BLOCK_OF('&')) | (bytes == BLOCK_OF(';')) |
                   (bytes == BLOCK_OF('#')) | (bytes == BLOCK_OF('@')) | (bytes == BLOCK_OF(0)));
}

/* Up to 8 bytes as a little-endian word; bytes that are missing are 0. */
static inline uint64_t load_part_of_word(const uint8_t *data, size_t size)
{
    uint64_t word;
    uint32_t low;
    uint32_t high;
    if (size >= 8) {
        memcpy(&word, data, 8);
        return word;
    }
    if (size >= 4) {
        memcpy(&low, data, 4);
        memcpy(&high, data + size - 4, 4);
        return low | (uint64_t)high << (8 * (size - 4));
    }
    if (size == 0) {
        return 0;
    }
    return data[0] | (uint64_t)data[size / 2] << (8 * (size / 2)) |
           (uint64_t)data[size - 1] << (8 * (size - 1));
}

/* Up to 16 bytes; bytes that are missing are 0. */
static inline block block_load_part(const uint8_t *data, size_t size)
{
    if (size >= sizeof(block)) {
        return block_load(data);
    }
    typedef uint64_t words __attribute__((vector_size(16)));
    words loaded = {load_part_of_word(data, size), 0};
    if (size > 8) {
        uint64_t last;
        memcpy(&last, data + size - 8, 8);
        loaded[1] = last >> (8 * (sizeof(block) - size));
    }
    return (block)loaded;
}

/* Fewer than 16 bytes are filled up with zeros, which `finds` must find. */
#define SCAN(data, size, finds)                                                                    \
    do {                                                                                           \
        uint64_t bits;                                                                             \
        size_t at = 0;                                                                             \
        for (; (size)-at >= sizeof(block); at += sizeof(block)) {                                  \
            bits = block_bits(finds(block_load((data) + at)));                                     \
            if (bits != 0) {                                                                       \
                return at + (size_t)__builtin_ctzll(bits) / BLOCK_BITS;                            \
            }                                                                                      \
        }                                                                                          \
        if (at == (size)) {                                                                        \
            return at;                                                                             \
        }                                                                                          \
        bits = block_bits(finds(block_load_part((data) + at, (size)-at)));                         \
        return at + (size_t)__builtin_ctzll(bits) / BLOCK_BITS;                                    \
    } while (0)

/* No CR, no LF, no NUL. */
static inline size_t scan_line(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_line_break);
}

/* Letters, digits and '-'. */
static inline size_t scan_name(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_no_name);
}

/* No blank, no control character. */
static inline size_t scan_target(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_no_target);
}

/* None of '?', '&', ';', '#', '@' and NUL. */
static inline size_t scan_path(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_path_mark);
}

static inline size_t block_first(uint64_t bits)
{
    return (size_t)(unsigned)__builtin_ctzll(bits) / BLOCK_BITS;
}

static inline bool scan_is_line_end(const uint8_t *data)
{
    uint16_t end;
    memcpy(&end, data, sizeof end);
    return end == ('\n' << 8 | '\r'); /* little-endian, as all of this */
}

/* Finds the colon and the CR of a field line "Name: value" CR LF, if the name is of letters, digits
   and '-' alone and has less than 32 bytes, and the value holds no control character. False for
   anything else: that needs a closer look. */
static inline __attribute__((always_inline)) bool scan_plain_field(const uint8_t *data, size_t size,
                                                                   size_t *colon, size_t *end)
{
    size_t at = 0;
    /* What is missing of a block is 0, which belongs neither to a name nor to a value. */
    block bytes = block_load_part(data, size);
    uint64_t bits = block_bits(block_is_no_name(bytes));
    if (unlikely(bits == 0)) {
        at = sizeof(block);
        bytes = block_load_part(data + at, size - at);
        bits = block_bits(block_is_no_name(bytes));
        if (bits == 0) {
            return false;
        }
    }
    size_t name = at + block_first(bits);
    if (unlikely(name == 0 || name >= size || data[name] != ':')) {
        return false;
    }
    *colon = name;
    while ((bits = block_bits(block_may_be_line_break(bytes))) == 0) {
        at += sizeof(block);
        bytes = block_load_part(data + at, size - at);
    }
    at += block_first(bits);
    *end = at;
    return at + 1 < size && scan_is_line_end(data + at);
}
