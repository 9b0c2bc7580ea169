/*
 * How a Redis command's name is found in its table: two levels of hashing without collisions. The
 * generator (generate/redis_table.c), which lays the table out, and redis_command.c, which reads
 * it, must agree, so both use these.
 */
#pragma once

#include <stdint.h>

#include "base/slice.h"

#define REDIS_TABLE_NAME_BYTES 24u /* no longer name is known */
#define REDIS_TABLE_SLOTS      512u
#define REDIS_TABLE_BUCKETS    128u

enum redis_table_flag {
    REDIS_TABLE_BLOCKING = 1,
    REDIS_TABLE_SCRIPT = 2,
    REDIS_TABLE_PATTERN = 4,
    REDIS_TABLE_SHARD = 8,
    REDIS_TABLE_SIGNS = 16 /* the name holds more than letters */
};

struct redis_table_entry {
    uint64_t words[3]; /* the name, in lower case (redis_table_fold) */
    uint16_t pattern;  /* offset in the patterns */
    uint8_t size;      /* of the name; 0: the slot is empty */
    uint8_t effect;    /* enum redis_effect */
    uint8_t flags;     /* enum redis_table_flag */
};

/* Up to 8 bytes as one word, without reading beyond them; bytes that are missing are 0. */
static inline uint64_t redis_table_load(const uint8_t *data, size_t size)
{
    if (size >= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        return word;
    }
    if (size >= 4) {
        uint32_t low;
        uint32_t high;
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

/* Letters become lower case. Other bytes that a name may have are kept; a few that it cannot have
   fall together with them (REDIS_TABLE_SIGNS). */
static inline uint64_t redis_table_fold(uint64_t word)
{
    return word | 0x2020202020202020u;
}

/* The hash of a name: its high bits choose a bucket, whose displacement gives the slot. */
static inline uint64_t redis_table_hash(const uint64_t words[3], uint64_t multiplier)
{
    return (words[0] + (words[1] << 5) + (words[2] >> 3)) * multiplier;
}

static inline uint32_t redis_table_bucket(uint64_t hash)
{
    return (uint32_t)(hash >> 57);
}

static inline uint32_t redis_table_slot(uint64_t hash, uint32_t displacement)
{
    return ((uint32_t)(hash >> 40) ^ displacement) % REDIS_TABLE_SLOTS;
}
