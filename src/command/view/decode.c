#include "command/view/decode.h"

#include <jansson.h>
#include <stdio.h>

#include "command/view/nesting.h"
#include "worker/otlp/json_read.h"

Otlp__ExportTraceServiceRequest *decode_protobuf(struct slice bytes, char why[DECODE_WHY_BYTES])
{
    if (!nesting_is_bounded(bytes, &otlp__export_trace_service_request__descriptor)) {
        snprintf(why, DECODE_WHY_BYTES, "not an OTLP message, or nested too deeply");
        return NULL;
    }
    Otlp__ExportTraceServiceRequest *message =
        otlp__export_trace_service_request__unpack(NULL, bytes.size, bytes.data);
    if (message == NULL) {
        snprintf(why, DECODE_WHY_BYTES, "not an OTLP message");
    }
    return message;
}

static Otlp__ExportTraceServiceRequest *read_object(const json_t *json, char why[DECODE_WHY_BYTES])
{
    if (!json_is_object(json)) {
        snprintf(why, DECODE_WHY_BYTES, "not a JSON object");
        return NULL;
    }
    if (json_object_get(json, "resourceSpans") == NULL && json_object_size(json) > 0) {
        snprintf(why, DECODE_WHY_BYTES, "holds no traces: there is no \"resourceSpans\"");
        return NULL;
    }
    const char *what = "";
    Otlp__ExportTraceServiceRequest *message = otlp_from_json(json, &what);
    if (message == NULL) {
        snprintf(why, DECODE_WHY_BYTES, "not OTLP: bad value of \"%s\"", what);
    }
    return message;
}

Otlp__ExportTraceServiceRequest *decode_json(struct slice bytes, char why[DECODE_WHY_BYTES])
{
    json_error_t error;
    json_t *json = json_loadb((const char *)bytes.data, bytes.size, 0, &error);
    if (json == NULL) {
        snprintf(why, DECODE_WHY_BYTES, "not JSON: %s (byte %d)", error.text, error.position);
        return NULL;
    }
    Otlp__ExportTraceServiceRequest *message = read_object(json, why);
    json_decref(json);
    return message;
}
