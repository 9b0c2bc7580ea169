/*
 * What stands around already encoded spans in an ExportTraceServiceRequest: for each resource
 *
 *     ResourceSpans { resource, ScopeSpans { scope, spans..., schema_url }, schema_url }
 *
 * The spans themselves are copied as they are (otlp_encode_span wrote their tags and lengths).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* The semantic conventions that the spans follow. */
#define OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"
#define OTLP_SCOPE_NAME "wirespan"

/* The bytes of one ResourceSpans field with that Resource message and so many bytes of spans. */
size_t otlp_envelope_size(size_t resource_size, size_t spans_size);

/* Writes what comes before the spans; returns where they go. */
uint8_t *otlp_envelope_open(uint8_t *into, struct slice resource, size_t spans_size);

/* Writes what comes after them; returns the end. */
uint8_t *otlp_envelope_close(uint8_t *into);

/* The way back, for requests that were written by these: takes the next group off `*request`. False
   at the end, or if it was written by others. */
bool otlp_envelope_take(struct slice *request, struct slice *resource, struct slice *spans);

/* Takes the first `count` spans off `*spans`, or as many as there are, and says how many. */
struct slice otlp_envelope_take_spans(struct slice *spans, uint32_t count, uint32_t *taken);
