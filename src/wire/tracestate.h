/* The header fields `tracestate` (W3C Trace Context, Level 2) and `baggage` (W3C Baggage). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"

#define TRACESTATE_NAME_BYTES 12u /* "tracestate: " */

/* The members of a tracestate as they are passed on: in their order, without blanks and empty ones
   between them, of one key the first. What is too long loses whole members: those above 128
   characters, then from the right. */
struct tracestate {
    uint16_t size;   /* of the text */
    uint8_t members; /* that were there, also those that are not in the text */
    bool is_void;    /* against the rules: all of it is */
    bool is_full;    /* what comes now is to the right of one that was dropped */
    bool was_cut;
    uint8_t line[TRACESTATE_NAME_BYTES + LIMIT_TRACESTATE + 2]; /* the field, with name and end */
};

void tracestate_begin(struct tracestate *state);

/* One field's value; several are one list, in their order. */
void tracestate_add(struct tracestate *state, struct slice value);

/* The text; empty if there is none, or if it is void. Behind `name: ` and before CR LF, once
   tracestate_end has been called. */
struct slice tracestate_text(const struct tracestate *state);
struct slice tracestate_end(struct tracestate *state);

/* As many whole members of a text, from the left, as have room in `limit` bytes. */
struct slice tracestate_cut(struct slice text, size_t limit);

/* Takes the next member off a baggage field's value, without blanks around it; what is no member is
   passed over. False at the end. */
bool baggage_next(struct slice *value, struct slice *member);
