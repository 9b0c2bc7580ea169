/* The W3C Trace Context header `traceparent` (Level 2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct traceparent {
    uint8_t trace_id[16];
    uint8_t parent_id[8];
    uint8_t flags; /* 1 sampled, 2 random; bits that version 00 does not know are cleared */
};

/* Reads one field value. False, and nothing written, if it is invalid. Versions above 00 are read
   as far as version 00 goes. */
bool traceparent_parse(struct slice value, struct traceparent *parsed);

/* One field value of version 00, without an end. */
#define TRACEPARENT_BYTES 55u
void traceparent_write(uint8_t text[TRACEPARENT_BYTES], const uint8_t trace_id[16],
                       const uint8_t parent_id[8], uint8_t flags);
