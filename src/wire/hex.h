/* Bytes as hexadecimal digits: written in lower case, read in either. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Two digits for each byte, without an end. Returns what is behind them. */
static inline uint8_t *hex_write(uint8_t *text, const uint8_t *bytes, size_t size)
{
    static const uint8_t digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    return text;
}

/* What a digit stands for; below zero: it is none. */
static inline int hex_digit(uint8_t byte)
{
    uint8_t digit = (uint8_t)(byte - '0');
    uint8_t letter = (uint8_t)(ascii_lower(byte) - 'a');
    return digit <= 9 ? digit : letter < 6 ? letter + 10 : -1;
}

/* `size` bytes out of twice as many digits. False: one of them is none, and the bytes say nothing.
 */
static inline bool hex_read(const uint8_t *text, uint8_t *bytes, size_t size)
{
    int all = 0;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        all |= high | low;
        bytes[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    return all >= 0;
}

/* Whether a name is one that no other has: it ends with the 32 digits of a UUID, with or without
   its dashes. */
static inline bool hex_ends_in_uuid(struct slice name)
{
    uint32_t digits = 0;
    for (size_t i = name.size; i-- > 0 && digits < 32;) {
        if (name.data[i] != '-') {
            digits = hex_digit(name.data[i]) >= 0 ? digits + 1 : 33;
        }
    }
    return digits == 32;
}
