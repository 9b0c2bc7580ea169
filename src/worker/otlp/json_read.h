/* The way back from OTLP's JSON encoding; see json.h for the form. */
#pragma once

#include <jansson.h>
#include <otlp.pb-c.h>

/* Reads a TracesData or ExportTraceServiceRequest object. 64-bit integers may be numbers or
   strings, ids hex in either case; unknown members are ignored, as the protocol wants. Returns a
   message to free with otlp__export_trace_service_request__free_unpacked(message, NULL). NULL if
   a known member has the wrong type or an impossible value, or there is no memory; `*what`, if
   given, then names the member (a literal). */
Otlp__ExportTraceServiceRequest *otlp_from_json(const json_t *json, const char **what);
