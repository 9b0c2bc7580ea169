/*
 * Decompressing DEFLATE (RFC 1951) as it passes, in whatever pieces, with memory that the caller
 * lends: bare, in zlib's frame (RFC 1950) or gzip's (RFC 1952), or as the messages of a WebSocket
 * (RFC 7692).
 *
 * What was decompressed lies in pages, of which the first is lent when there is a first byte and
 * the last when a stream is as long as its window: a short text costs one. Checksums are not
 * compared: whoever the bytes are meant for does so. What zlib would refuse, INFLATE_LOST refuses,
 * for good.
 *
 *     while ((event = inflate_next(&reader, &in, &out)) != INFLATE_NEED_MORE && ...) { ... }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"

enum inflate_framing {
    INFLATE_BARE,
    INFLATE_GZIP,
    INFLATE_ZLIB,    /* or bare: servers send either and call it "deflate" */
    INFLATE_MESSAGES /* never ends: behind a last block another begins */
};

enum inflate_event {
    INFLATE_NEED_MORE, /* `in` is used up */
    INFLATE_NEED_PAGE, /* lend one, and call again */
    INFLATE_DATA,      /* `*out`, never empty; valid until the next call */
    INFLATE_LOST
};

#define INFLATE_PAGES (LIMIT_INFLATE_WINDOW / LIMIT_INFLATE_PAGE)

/* Longer codes than these are looked up bit by bit. */
#define INFLATE_LITERAL_BITS  8u
#define INFLATE_DISTANCE_BITS 7u

/* The codes of literals and lengths. Of a symbol above 255 one bit stands apart. */
struct inflate_literals {
    uint16_t fast[1u << INFLATE_LITERAL_BITS]; /* symbol << 4 | bits; 0: a longer code */
    uint16_t counts[16];                       /* of codes of so many bits */
    uint8_t symbols[288];
    uint8_t above[288 / 8];
};

/* Those of distances, or of the lengths of codes. */
struct inflate_distances {
    uint8_t fast[1u << INFLATE_DISTANCE_BITS]; /* symbol << 3 | bits; 0: a longer code */
    uint16_t counts[16];
    uint8_t symbols[32];
};

/* Fields are the reader's own. */
struct inflate {
    struct inflate_literals *literals;
    uint64_t bits; /* not used yet, `bit_count` of them, the rest 0 */
    uint32_t bit_count;
    uint32_t history; /* bytes that a distance may reach */
    uint32_t at;      /* in the window, where the next byte goes */
    uint32_t told;    /* in the page at hand, up to where it was told */
    uint32_t left;    /* of a stored block, of a copy, of a field of gzip's header */
    uint16_t distance;
    uint8_t framing;
    uint8_t state;
    uint8_t flags;  /* of gzip's header */
    bool is_last;   /* block */
    bool is_behind; /* a member of gzip's */
    uint16_t literal_codes;
    uint8_t distance_codes;
    uint8_t length_codes;
    uint16_t lengths_used;
    uint8_t lengths[320];
    struct inflate_distances distances;
    uint8_t *pages[INFLATE_PAGES];
};

/* Both are the caller's, and must outlive the reading; neither needs to be zeroed. */
void inflate_init(struct inflate *reader, struct inflate_literals *literals,
                  enum inflate_framing framing);

/* After INFLATE_NEED_PAGE: LIMIT_INFLATE_PAGE bytes, for as long as the reader is used. Pages are
   asked for INFLATE_PAGES times at most. */
void inflate_lend_page(struct inflate *reader, uint8_t *page);

/* Between two of INFLATE_MESSAGES that share no window: from here on nothing of what was before
   counts, not even that the reader was lost. The pages stay. */
void inflate_forget(struct inflate *reader);

/* Behind the end of a stream another one of gzip's is read, and anything else skipped. */
enum inflate_event inflate_next(struct inflate *reader, struct slice *in, struct slice *out);

/* The input ended here: whether the stream did, too. */
bool inflate_is_complete(const struct inflate *reader);
