/*
 * Server-sent events (HTML, 9.2.6) as they pass, in whatever pieces, in constant memory.
 *
 * Of each message the bytes of its data are told, lines joined by LF, then that it has ended.
 * Comments, ids and retry times are skipped. What is no field of an event is skipped, too: nothing
 * breaks the rules here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"

enum sse_event {
    SSE_NEED_MORE, /* `in` is used up */
    SSE_DATA,      /* item->bytes, never empty */
    SSE_MESSAGE    /* a message has ended: item->name, and whether it was cut */
};

struct sse_item {
    struct slice bytes; /* borrows from the input, or is constant */
    struct slice name;  /* of the event; empty: a "message"; borrows from the reader */
    bool name_cut;
};

/* Fields are the reader's own. */
struct sse {
    uint8_t state;
    uint8_t mark; /* of the byte order mark at the beginning: how much of it was seen */
    uint8_t field_used;
    uint8_t name_used;
    bool name_cut;
    bool has_data; /* of the message at hand */
    bool skips_lf; /* the last line ended with CR */
    bool ended;    /* a message has been told to its end, its name may go */
    uint8_t field[6];
    uint8_t name[LIMIT_SSE_NAME];
};

void sse_init(struct sse *reader);

enum sse_event sse_next(struct sse *reader, struct slice *in, struct sse_item *item);
