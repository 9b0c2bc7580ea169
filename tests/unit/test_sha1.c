#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/hex.h"
#include "wire/sha1.h"

struct vector {
    const char *text;
    unsigned repeats;
    const char *digest;
};

/* RFC 3174, 7.3, and the empty message. */
static const struct vector vectors[] = {
    {"abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    {"a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
    {"0123456701234567012345670123456701234567012345670123456701234567", 10,
     "dea356a2cddd90c7a7ecedc5ebb563934f460452"},
    {"", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
};

static void the_vectors_of_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct sha1 sha1;
        uint8_t digest[SHA1_BYTES];
        uint8_t hex[2 * SHA1_BYTES];
        sha1_init(&sha1);
        for (unsigned r = 0; r < vectors[i].repeats; r++) {
            sha1_update(&sha1, slice_of(vectors[i].text, strlen(vectors[i].text)));
        }
        sha1_finish(&sha1, digest);
        hex_write(hex, digest, sizeof digest);
        assert_memory_equal(hex, vectors[i].digest, sizeof hex);
    }
}

static void pieces_make_no_difference(void **state)
{
    (void)state;
    uint8_t message[200];
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = (uint8_t)(i * 7);
    }
    for (size_t size = 0; size <= sizeof message; size++) {
        struct sha1 sha1;
        uint8_t whole[SHA1_BYTES];
        sha1_init(&sha1);
        sha1_update(&sha1, slice_of(message, size));
        sha1_finish(&sha1, whole);
        for (size_t step = 1; step <= 130; step += 7) {
            struct slice left = slice_of(message, size);
            uint8_t digest[SHA1_BYTES];
            sha1_init(&sha1);
            while (left.size > 0) {
                sha1_update(&sha1, slice_take(&left, left.size < step ? left.size : step));
            }
            sha1_finish(&sha1, digest);
            assert_memory_equal(digest, whole, sizeof digest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_vectors_of_the_rfc),
                                       cmocka_unit_test(pieces_make_no_difference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
