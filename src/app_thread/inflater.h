/*
 * Decompressing what passes (wire/inflate.h), with memory from the slab: a few buffers for a short
 * text, LIMIT_INFLATE_WINDOW and two more for a long one, LIMIT_INFLATE_SHARE for all of a process
 * together.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "wire/inflate.h"

enum inflater_event {
    INFLATER_NEED_MORE, /* `in` is used up */
    INFLATER_DATA,      /* `*out`, until the next call */
    INFLATER_LOST,      /* it is not compressed so */
    INFLATER_TOO_LONG,  /* more than LIMIT_INFLATE_TEXT came out */
    INFLATER_NO_MEMORY  /* counted as lost */
};

/* Numbers of slab buffers; 0: none. All zero: none was begun. */
struct inflater {
    uint32_t state_block;
    uint32_t literals_block;
    uint32_t pages[INFLATE_PAGES];
    uint32_t page_count;
    uint32_t text_bytes; /* that came out since the beginning */
};

/* Half of what may be lent is left: enough for what nobody has asked for. */
bool inflater_has_plenty(void);

/* False: there is no memory, which is counted. */
bool inflater_begin(struct inflater *inflater, enum inflate_framing framing);

/* Gives all of its memory back; nothing if it has none. */
void inflater_end(struct inflater *inflater);

/* As inflate_next; whatever is not DATA or NEED_MORE is final. */
enum inflater_event inflater_next(struct inflater *inflater, struct slice *in, struct slice *out);

/* Another text begins, of the same stream or with `forgets` of one of its own. */
void inflater_next_text(struct inflater *inflater, bool forgets);
