/* UTF-8 as receivers of protobuf demand it: well formed, and here without NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* The bytes that U+FFFD takes. */
#define UTF8_REPLACEMENT_BYTES 3u

/* Whether it is all ASCII without NUL: the usual case, told quickly. */
bool utf8_is_plain(struct slice text);

/* How many bytes of `text` from its beginning are valid. */
size_t utf8_valid_prefix(struct slice text);

/* Writes `text` with every byte that is part of no valid sequence, and every NUL, replaced by
   U+FFFD, as far as whole characters fit. Returns the bytes written; `*cut` tells whether something
   did not fit. */
size_t utf8_repair(struct slice text, uint8_t *out, size_t capacity, bool *cut);

/* The bytes of valid `text` that hold its first `characters` characters. */
size_t utf8_prefix_of_characters(struct slice text, uint32_t characters);
