/*
 * What jobs have uploaded: who asks for a file of that name afterwards, in the same job and not in
 * the words of an object store, tests whether it is delivered.
 *
 * A table of fixed size, where the oldest goes: what is missing is a name.
 */
#pragma once

#include <stdint.h>

#include "base/limits.h"
#include "handoff/record.h"

struct uploads {
    uint32_t count;                /* that were ever added */
    uint64_t names[LIMIT_UPLOADS]; /* with their traces */
};

/* Looks at a request that was made for a job: remembers an upload, marks a test of one. */
void uploads_follow(struct uploads *uploads, struct record *record);
