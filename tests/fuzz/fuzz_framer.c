#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "../wire/runner.h"

/* The size of the next piece out of `left` bytes: small ones are as likely as large ones. */
static size_t piece_size(uint64_t *random, size_t left)
{
    /* xorshift64: the pieces depend on the input alone, so that a finding can be replayed. */
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    size_t bound = (size_t)1 << (*random >> 32) % 12;
    size_t size = 1 + (size_t)(*random & 0xFFFFFF) % bound;
    return size < left ? size : left;
}

enum way { WAY_WHOLE, WAY_PIECES, WAY_BYTES };

static void run(enum way way, const char *options, struct slice bytes, struct wire_log *log)
{
    uint64_t random = 0x9E3779B97F4A7C15u ^ bytes.size;
    for (size_t i = 0; i < bytes.size; i++) {
        random = (random ^ bytes.data[i]) * 0x100000001B3u;
    }
    random |= 1;
    if (!wire_subject.reset(options)) {
        fuzz_fail("the subject does not know its own fuzz options");
    }
    while (bytes.size > 0) {
        size_t size = way == WAY_WHOLE    ? bytes.size
                      : way == WAY_PIECES ? piece_size(&random, bytes.size)
                                          : 1;
        struct slice piece = slice_take(&bytes, size);
        uint8_t *copy = fuzz_exact_copy(piece);
        wire_subject.feed(slice_of(copy, size), log);
        memset(copy, 0xA5, size);
        free(copy);
    }
    if (wire_subject.finish != NULL) {
        wire_subject.finish(log);
    }
}

void fuzz_framer(struct slice input)
{
    const char *options = "";
    if (wire_subject.fuzz_options != NULL) {
        size_t count = 0;
        while (wire_subject.fuzz_options[count] != NULL) {
            count++;
        }
        if (input.size == 0) {
            return;
        }
        options = wire_subject.fuzz_options[slice_take(&input, 1).data[0] % count];
    }
    struct wire_log *whole = wire_log_create();
    struct wire_log *other = wire_log_create();
    run(WAY_WHOLE, options, input, whole);
    for (enum way way = WAY_PIECES; way <= WAY_BYTES; way++) {
        wire_log_clear(other);
        run(way, options, input, other);
        if (strcmp(wire_log_text(whole), wire_log_text(other)) != 0) {
            fprintf(stderr, "options: %s\nwhole:\n%s\n%s:\n%s\n", options, wire_log_text(whole),
                    way == WAY_PIECES ? "in pieces" : "byte by byte", wire_log_text(other));
            fuzz_fail("the events depend on how the bytes came");
        }
    }
    wire_log_destroy(whole);
    wire_log_destroy(other);
}
