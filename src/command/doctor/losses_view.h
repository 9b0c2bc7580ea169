/*
 * What a running process has lost of its exchanges, and how far its witness is, as its segment
 * says: read out of its memory, and not believed beyond its form.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "handoff/losses.h"

struct losses_view {
    bool is_known; /* the process has a segment, and this user may read its memory */
    uint64_t counts[LOSS_COUNT];
    uint32_t witness; /* enum witness_state, or what this version does not know */
};

/* `maps` is the text of /proc/PID/maps; `own_id` the number that the process knows itself by. A
   process that inherited an arena and has done nothing has no segment. */
void losses_view_read(struct losses_view *view, pid_t id, pid_t own_id, const char *maps);
