/* FNV-1a, 64 bits: keys of tables, for bytes that nobody chooses to collide. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

static inline uint64_t hash_bytes(uint64_t hash, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        hash = hash_byte(hash, bytes.data[i]);
    }
    return hash;
}
