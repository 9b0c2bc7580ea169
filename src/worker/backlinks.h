/*
 * Links back: a submission tells by a link for which span it was made, but that span, which a
 * request's is, was begun long before it knew. When it ends, the other direction is added here, so
 * that who reads one of the two traces finds the other.
 *
 * The same table knows when a request submitted, which are events of its span.
 *
 * A table of fixed size, where the oldest goes: what is missing is a convenience, the edge itself
 * is in the submission.
 */
#pragma once

#include <stdint.h>

#include "base/limits.h"
#include "handoff/record.h"
#include "worker/span.h"

struct backlink {
    uint8_t from[8]; /* the span that submitted; zero: none */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    bool is_child; /* of that span: there is nothing to link back to */
    uint64_t start_ns;
    uint64_t end_ns;
};

struct backlinks {
    uint32_t count; /* that were ever added */
    struct backlink entries[LIMIT_BACKLINKS];
};

/* Remembers the links of a submission to other traces, or its parent. */
void backlinks_note(struct backlinks *backlinks, const struct record *record);

/* Adds to a span, made of `record`, the links back that are remembered for it, and when its
   submissions began and ended. */
void backlinks_add(const struct backlinks *backlinks, const struct record *record,
                   struct span *span);
