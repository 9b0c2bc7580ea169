/* SHA-1 (RFC 3174), incrementally: the name that Redis gives to a script. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

#define SHA1_BYTES 20u

struct sha1 {
    uint32_t state[5];
    uint64_t bytes; /* so far */
    uint8_t block[64];
};

void sha1_init(struct sha1 *sha1);
void sha1_update(struct sha1 *sha1, struct slice bytes);

/* Writes the digest. */
void sha1_finish(struct sha1 *sha1, uint8_t digest[SHA1_BYTES]);
