#include "worker/otlp/envelope.h"

#include "worker/otlp/wire_format.h"

enum {
    REQUEST_RESOURCE_SPANS = FIELD_TAG(1, WIRE_BYTES),
    RESOURCE_SPANS_RESOURCE = FIELD_TAG(1, WIRE_BYTES),
    RESOURCE_SPANS_SCOPE_SPANS = FIELD_TAG(2, WIRE_BYTES),
    RESOURCE_SPANS_SCHEMA_URL = FIELD_TAG(3, WIRE_BYTES),
    SCOPE_SPANS_SCOPE = FIELD_TAG(1, WIRE_BYTES),
    SCOPE_SPANS_SPAN = FIELD_TAG(2, WIRE_BYTES),
    SCOPE_SPANS_SCHEMA_URL = FIELD_TAG(3, WIRE_BYTES),
    SCOPE_NAME = FIELD_TAG(1, WIRE_BYTES),
    SCOPE_VERSION = FIELD_TAG(2, WIRE_BYTES),
};

static size_t scope_size(void)
{
    return bytes_size(SLICE(OTLP_SCOPE_NAME).size) + bytes_size(SLICE(WIRESPAN_VERSION).size);
}

static size_t schema_url_size(void)
{
    return bytes_size(SLICE(OTLP_SCHEMA_URL).size);
}

static size_t scope_spans_size(size_t spans_size)
{
    return bytes_size(scope_size()) + spans_size + schema_url_size();
}

static size_t resource_spans_size(size_t resource_size, size_t spans_size)
{
    return bytes_size(resource_size) + bytes_size(scope_spans_size(spans_size)) + schema_url_size();
}

size_t otlp_envelope_size(size_t resource_size, size_t spans_size)
{
    return bytes_size(resource_spans_size(resource_size, spans_size));
}

static uint8_t *put_head(uint8_t *at, uint8_t tag, size_t size)
{
    *at++ = tag;
    return put_varint(at, size);
}

uint8_t *otlp_envelope_open(uint8_t *into, struct slice resource, size_t spans_size)
{
    uint8_t *at =
        put_head(into, REQUEST_RESOURCE_SPANS, resource_spans_size(resource.size, spans_size));
    at = put_bytes(at, RESOURCE_SPANS_RESOURCE, resource);
    at = put_head(at, RESOURCE_SPANS_SCOPE_SPANS, scope_spans_size(spans_size));
    at = put_head(at, SCOPE_SPANS_SCOPE, scope_size());
    at = put_bytes(at, SCOPE_NAME, SLICE(OTLP_SCOPE_NAME));
    return put_bytes(at, SCOPE_VERSION, SLICE(WIRESPAN_VERSION));
}

uint8_t *otlp_envelope_close(uint8_t *into)
{
    uint8_t *at = put_bytes(into, SCOPE_SPANS_SCHEMA_URL, SLICE(OTLP_SCHEMA_URL));
    return put_bytes(at, RESOURCE_SPANS_SCHEMA_URL, SLICE(OTLP_SCHEMA_URL));
}

bool otlp_envelope_take(struct slice *request, struct slice *resource, struct slice *spans)
{
    struct slice rest = *request;
    struct slice group;
    struct slice scope_spans;
    struct slice scope;
    if (!take_bytes(&rest, REQUEST_RESOURCE_SPANS, &group) ||
        !take_bytes(&group, RESOURCE_SPANS_RESOURCE, resource) ||
        !take_bytes(&group, RESOURCE_SPANS_SCOPE_SPANS, &scope_spans) ||
        !take_bytes(&scope_spans, SCOPE_SPANS_SCOPE, &scope)) {
        return false;
    }
    *spans = scope_spans;
    *request = rest;
    return true;
}

struct slice otlp_envelope_take_spans(struct slice *spans, uint32_t count, uint32_t *taken)
{
    struct slice rest = *spans;
    struct slice span;
    *taken = 0;
    while (*taken < count && take_bytes(&rest, SCOPE_SPANS_SPAN, &span)) {
        ++*taken;
    }
    return slice_take(spans, spans->size - rest.size);
}
