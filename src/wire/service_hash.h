/* How service_find and the maker of its table sum up two bytes of a path. */
#pragma once

#include <stdint.h>

/* Paths with any beginning are for methods that begin so: most requests are a GET, and are done
   with after a look at how their path begins. */
#define SERVICE_OPEN_METHODS 'P'

static inline uint8_t service_hash(uint8_t a, uint8_t b)
{
    return (uint8_t)(a * 31 + b);
}
