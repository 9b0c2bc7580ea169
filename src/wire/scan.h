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

/* The tail of the bytes is looked at in a block that overlaps the one before; fewer than 16 bytes
   are padded with `padding`, which the caller chooses to be of the kind. */
#define SCAN(data, size, finds, padding)                                                           \
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
        block last = BLOCK_OF(padding);                                                            \
        memcpy(&last, (data) + at, (size)-at);                                                     \
        bits = block_bits(finds(last));                                                            \
        return bits == 0 ? (size) : at + (size_t)__builtin_ctzll(bits) / BLOCK_BITS;               \
    } while (0)

/* No CR, no LF, no NUL. */
static inline size_t scan_line(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_line_break, ' ');
}

/* Letters, digits and '-'. */
static inline size_t scan_name(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_no_name, 'a');
}

/* No blank, no control character. */
static inline size_t scan_target(const uint8_t *data, size_t size)
{
    SCAN(data, size, block_is_no_target, 'a');
}

static inline size_t block_first(uint64_t bits)
{
    return (size_t)(unsigned)__builtin_ctzll(bits) / BLOCK_BITS;
}

/* Finds the colon and the CR of a field line "Name: value" CR LF, if the name is of letters, digits
   and '-' alone and has less than 32 bytes, and the value holds no control character. False for
   anything else, and near the end of the input: that needs a closer look. */
static inline bool scan_plain_field(const uint8_t *data, size_t size, size_t *colon, size_t *end)
{
    if (size < 3 * sizeof(block)) {
        return false;
    }
    const size_t last = size - sizeof(block) - 1;
    size_t at = 0;
    uint64_t bits = block_bits(block_is_no_name(block_load(data)));
    if (bits == 0) {
        at = sizeof(block);
        bits = block_bits(block_is_no_name(block_load(data + at)));
        if (bits == 0) {
            return false;
        }
    }
    at += block_first(bits);
    if (at == 0 || data[at] != ':') {
        return false;
    }
    *colon = at;
    while ((bits = block_bits(block_may_be_line_break(block_load(data + at)))) == 0) {
        at += sizeof(block);
        if (at > last) {
            return false;
        }
    }
    at += block_first(bits);
    *end = at;
    return data[at] == '\r' && data[at + 1] == '\n';
}
