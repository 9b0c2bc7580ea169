/* Bytes as lower-case hexadecimal digits. */
#pragma once

#include <stddef.h>
#include <stdint.h>

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
