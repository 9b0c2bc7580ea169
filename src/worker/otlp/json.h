/*
 * OTLP's JSON encoding: keys in lowerCamelCase, ids as lowercase hex, 64-bit integers as decimal
 * strings, enumerations as numbers, bytes in base64, non-finite doubles as strings. Members that
 * hold their default are left out, a chosen member of a value never.
 */
#pragma once

#include <jansson.h>
#include <otlp.pb-c.h>

#include "base/slice.h"

/* A new reference to `message` as a JSON object, or NULL if there is no memory. Text that is not
   valid UTF-8 gets a '?' for every byte beyond ASCII. */
json_t *otlp_to_json(const Otlp__ExportTraceServiceRequest *message);

/* Decodes an encoded request first; NULL also if it is none. */
json_t *otlp_bytes_to_json(struct slice encoded);
