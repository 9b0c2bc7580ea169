#include "worker/utf8.h"

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* The size of the valid sequence at the beginning, 0 if there is none (Unicode, table 3-7). */
static size_t sequence_size(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    if (lead < 0x80) {
        return lead != 0;
    }
    size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < size) {
        return 0;
    }
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

/* Eight bytes of ASCII without NUL: no high bit, and none that borrows when one is subtracted. */
static bool is_plain(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return ((word | (word - ONES)) & HIGHS) == 0;
}

bool utf8_is_plain(struct slice text)
{
    if (text.size < 8) {
        uint8_t seen = 0;
        bool any_nul = false;
        for (size_t i = 0; i < text.size; i++) {
            seen |= text.data[i];
            any_nul |= text.data[i] == 0;
        }
        return seen < 0x80 && !any_nul;
    }
    for (size_t at = 0; at < text.size - 8; at += 8) {
        if (!is_plain(text.data + at)) {
            return false;
        }
    }
    /* The last eight overlap those before. */
    return is_plain(text.data + text.size - 8);
}

size_t utf8_valid_prefix(struct slice text)
{
    size_t at = 0;
    while (at < text.size) {
        if (text.size - at >= 8 && is_plain(text.data + at)) {
            at += 8;
            continue;
        }
        size_t size = sequence_size(text.data + at, text.size - at);
        if (size == 0) {
            break;
        }
        at += size;
    }
    return at;
}

size_t utf8_repair(struct slice text, uint8_t *out, size_t capacity, bool *cut)
{
    static const uint8_t replacement[UTF8_REPLACEMENT_BYTES] = {0xef, 0xbf, 0xbd};
    size_t used = 0;
    *cut = false;
    while (text.size > 0) {
        size_t size = sequence_size(text.data, text.size);
        struct slice piece =
            size > 0 ? slice_of(text.data, size) : slice_of(replacement, UTF8_REPLACEMENT_BYTES);
        if (piece.size > capacity - used) {
            *cut = true;
            break;
        }
        memcpy(out + used, piece.data, piece.size);
        used += piece.size;
        slice_take(&text, size > 0 ? size : 1);
    }
    return used;
}

size_t utf8_prefix_of_characters(struct slice text, uint32_t characters)
{
    if (text.size <= characters) {
        return text.size;
    }
    size_t at = 0;
    for (; at < text.size; at++) {
        bool is_first_byte = (text.data[at] & 0xc0) != 0x80;
        if (is_first_byte && characters-- == 0) {
            break;
        }
    }
    return at;
}
