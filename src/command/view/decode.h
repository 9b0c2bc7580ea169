/* OTLP traces from bytes, in both encodings. */
#pragma once

#include <otlp.pb-c.h>

#include "base/slice.h"

#define DECODE_WHY_BYTES 256

/* The message, to free with otlp__export_trace_service_request__free_unpacked(message, NULL); or
   NULL, with the reason in `why`. */
Otlp__ExportTraceServiceRequest *decode_protobuf(struct slice bytes, char why[DECODE_WHY_BYTES]);
Otlp__ExportTraceServiceRequest *decode_json(struct slice bytes, char why[DECODE_WHY_BYTES]);
