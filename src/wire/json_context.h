/*
 * The trace context in a JSON document: `trace_context` with `trace_id` and `span_id`, a member of
 * the document or of one of its members ({"type": ..., "job": {"trace_context": ...}}).
 *
 * The document's own counts before those of its members; of two that could be meant equally none
 * does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "wire/json.h"
#include "wire/traceparent.h"

/* `trace_id` and `span_id`, of the document and of a member. */
#define JSON_CONTEXT_TEXTS 4u

/* Fields are the reader's own. */
struct json_context {
    struct json json;
    bool is_read;                     /* false: this is no JSON, or nothing is there to be found */
    uint8_t seen[JSON_CONTEXT_TEXTS]; /* how often: 0, 1, more */
    uint8_t size[JSON_CONTEXT_TEXTS];
    uint8_t text[JSON_CONTEXT_TEXTS][32];
};

void json_context_begin(struct json_context *reader);

/* A piece of the document. False: nothing will be found any more. */
bool json_context_read(struct json_context *reader, struct slice bytes);

/* The document ended here. False: it holds no context, or none that is valid. Flags are 0. */
bool json_context_find(const struct json_context *reader, struct traceparent *context);
