/* Records become spans: names, kinds, attributes and status by the current semantic conventions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "handoff/record.h"
#include "handoff/segment.h"
#include "worker/span.h"

/* Builds the span of a record that record_is_valid accepts. `*span` borrows text from the record.
   `clock` tells what the record's monotonic times are in Unix time. */
void spans_build(struct span *span, const struct span_limits *limits, const struct record *record,
                 struct segment_clock clock);

/* Unix time of a monotonic one. Neither may be trusted: the sum saturates. */
uint64_t spans_unix_time(struct segment_clock clock, uint64_t monotonic_ns);
