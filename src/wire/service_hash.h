/* How service_find and the maker of its table sum up two bytes of a path. */
#pragma once

#include <stdint.h>

static inline uint8_t service_hash(uint8_t a, uint8_t b)
{
    return (uint8_t)(a * 31 + b);
}
