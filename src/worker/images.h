/*
 * Images that a service has made for a job: what an answer brought is a span of its own, below the
 * request's and as long as that. It is a record that only the worker side makes (RECORD_MESSAGE),
 * out of what the service's rules name of the answer.
 */
#pragma once

#include <stdbool.h>

#include "handoff/record.h"

/* Whether the exchange brought images. If so, writes the record that follows from it. */
bool images_follow(const struct record *record, struct record *follow);

static inline bool images_may_follow(const struct record *record)
{
    return record->kind == RECORD_HTTP_CLIENT && (record->flags & RECORD_FLAG_FOR_JOB) != 0;
}
