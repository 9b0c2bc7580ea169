#include "wire/sha1.h"

#include "base/compiler.h"

void sha1_init(struct sha1 *sha1)
{
    sha1->state[0] = 0x67452301u;
    sha1->state[1] = 0xefcdab89u;
    sha1->state[2] = 0x98badcfeu;
    sha1->state[3] = 0x10325476u;
    sha1->state[4] = 0xc3d2e1f0u;
    sha1->bytes = 0;
}

static uint32_t rotate_left(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

static uint32_t load_big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The word of round `t`, kept in a ring of 16. */
static uint32_t schedule(uint32_t words[16], unsigned t)
{
    if (t >= 16) {
        uint32_t mixed = words[(t + 13) & 15] ^ words[(t + 8) & 15] ^ words[(t + 2) & 15];
        words[t & 15] = rotate_left(mixed ^ words[t & 15], 1);
    }
    return words[t & 15];
}

static void compress(uint32_t state[5], const uint8_t block[64])
{
    uint32_t words[16];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned i = 0; i < 16; i++) {
        words[i] = load_big_endian(block + 4 * i);
    }
    for (unsigned t = 0; t < 80; t++) {
        uint32_t mixed;
        if (t < 20) {
            mixed = ((b & c) | (~b & d)) + 0x5a827999u;
        } else if (t < 40) {
            mixed = (b ^ c ^ d) + 0x6ed9eba1u;
        } else if (t < 60) {
            mixed = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
        } else {
            mixed = (b ^ c ^ d) + 0xca62c1d6u;
        }
        mixed += rotate_left(a, 5) + e + schedule(words, t);
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = mixed;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1_update(struct sha1 *sha1, struct slice bytes)
{
    size_t used = sha1->bytes & 63;
    sha1->bytes += bytes.size;
    while (bytes.size > 0) {
        if (used == 0 && bytes.size >= 64) {
            compress(sha1->state, slice_take(&bytes, 64).data);
            continue;
        }
        size_t part = bytes.size < 64 - used ? bytes.size : 64 - used;
        memcpy(sha1->block + used, slice_take(&bytes, part).data, part);
        used = (used + part) & 63;
        if (used == 0) {
            compress(sha1->state, sha1->block);
        }
    }
}

void sha1_finish(struct sha1 *sha1, uint8_t digest[SHA1_BYTES])
{
    uint64_t bits = sha1->bytes * 8;
    size_t used = sha1->bytes & 63;
    sha1->block[used++] = 0x80;
    if (used > 56) {
        memset(sha1->block + used, 0, 64 - used);
        compress(sha1->state, sha1->block);
        used = 0;
    }
    memset(sha1->block + used, 0, 56 - used);
    for (unsigned i = 0; i < 8; i++) {
        sha1->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    compress(sha1->state, sha1->block);
    for (unsigned i = 0; i < SHA1_BYTES; i++) {
        digest[i] = (uint8_t)(sha1->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}
