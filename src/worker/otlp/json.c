#include "worker/otlp/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * jansson's json_*_set_new and json_array_append_new take their value over, also on failure, and
 * fail when it is NULL. So a missing piece travels up as NULL, and every object is dropped by
 * whoever finds it incomplete.
 */

/* Sets a member; frees `object` and returns NULL if that fails. Passes NULL on. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (object == NULL) {
        json_decref(value);
        return NULL;
    }
    if (json_object_set_new_nocheck(object, key, value) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) {
        return json;
    }
    char *ascii = strdup(text);
    if (ascii == NULL) {
        return NULL;
    }
    for (char *at = ascii; *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x80) {
            *at = '?';
        }
    }
    json = json_string(ascii);
    free(ascii);
    return json;
}

static json_t *with_text(json_t *object, const char *key, const char *text)
{
    return text[0] == '\0' ? object : with(object, key, text_json(text));
}

static json_t *with_count(json_t *object, const char *key, uint32_t count)
{
    return count == 0 ? object : with(object, key, json_integer(count));
}

static json_t *with_time(json_t *object, const char *key, uint64_t time_ns)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, time_ns);
    return time_ns == 0 ? object : with(object, key, json_string_nocheck(digits));
}

static json_t *with_id(json_t *object, const char *key, ProtobufCBinaryData id)
{
    static const char digits[] = "0123456789abcdef";
    char hex[33];
    if (id.len == 0 || id.len > 16) {
        return object;
    }
    for (size_t i = 0; i < id.len; i++) {
        hex[2 * i] = digits[id.data[i] >> 4];
        hex[2 * i + 1] = digits[id.data[i] & 15];
    }
    hex[2 * id.len] = '\0';
    return with(object, key, json_string_nocheck(hex));
}

static json_t *int64_json(int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRId64, value);
    return json_string_nocheck(digits);
}

static json_t *double_json(double value)
{
    if (isnan(value)) {
        return json_string_nocheck("NaN");
    }
    if (isinf(value)) {
        return json_string_nocheck(value > 0 ? "Infinity" : "-Infinity");
    }
    return json_real(value);
}

static json_t *base64_json(ProtobufCBinaryData bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t groups = bytes.len / 3 + (bytes.len % 3 != 0);
    char *text = malloc(4 * groups + 1);
    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < groups; i++) {
        size_t left = bytes.len - 3 * i;
        const uint8_t *from = bytes.data + 3 * i;
        uint32_t group = (uint32_t)from[0] << 16;
        group |= left > 1 ? (uint32_t)from[1] << 8 : 0;
        group |= left > 2 ? from[2] : 0;
        char *to = text + 4 * i;
        to[0] = digits[group >> 18];
        to[1] = digits[group >> 12 & 63];
        to[2] = left > 1 ? digits[group >> 6 & 63] : '=';
        to[3] = left > 2 ? digits[group & 63] : '=';
    }
    json_t *json = json_stringn_nocheck(text, 4 * groups);
    free(text);
    return json;
}

/* ---- values and attributes: these nest ---- */

static json_t *value_json(const Otlp__AnyValue *value);
static json_t *attributes_json(Otlp__KeyValue *const *attributes, size_t count);

static json_t *values_json(const Otlp__ArrayValue *array)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < array->n_values; i++) {
        if (json_array_append_new(list, value_json(array->values[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *value_json(const Otlp__AnyValue *value)
{
    json_t *object = json_object();
    switch (value->value_case) {
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE:
        return with(object, "stringValue", text_json(value->string_value));
    case OTLP__ANY_VALUE__VALUE_BOOL_VALUE:
        return with(object, "boolValue", json_boolean(value->bool_value));
    case OTLP__ANY_VALUE__VALUE_INT_VALUE:
        return with(object, "intValue", int64_json(value->int_value));
    case OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE:
        return with(object, "doubleValue", double_json(value->double_value));
    case OTLP__ANY_VALUE__VALUE_ARRAY_VALUE:
        return with(object, "arrayValue",
                    with(json_object(), "values", values_json(value->array_value)));
    case OTLP__ANY_VALUE__VALUE_KVLIST_VALUE:
        return with(
            object, "kvlistValue",
            with(json_object(), "values",
                 attributes_json(value->kvlist_value->values, value->kvlist_value->n_values)));
    case OTLP__ANY_VALUE__VALUE_BYTES_VALUE:
        return with(object, "bytesValue", base64_json(value->bytes_value));
    case OTLP__ANY_VALUE__VALUE__NOT_SET:
    case _OTLP__ANY_VALUE__VALUE__CASE_IS_INT_SIZE:
        break;
    }
    return object;
}

static json_t *attributes_json(Otlp__KeyValue *const *attributes, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < count; i++) {
        json_t *pair = with(json_object(), "key", text_json(attributes[i]->key));
        if (attributes[i]->value != NULL) {
            pair = with(pair, "value", value_json(attributes[i]->value));
        }
        if (json_array_append_new(list, pair) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *with_attributes(json_t *object, Otlp__KeyValue *const *attributes, size_t count)
{
    return count == 0 ? object : with(object, "attributes", attributes_json(attributes, count));
}

/* ---- spans ---- */

static json_t *event_json(const Otlp__Span__Event *event)
{
    json_t *object = json_object();
    object = with_time(object, "timeUnixNano", event->time_unix_nano);
    object = with_text(object, "name", event->name);
    object = with_attributes(object, event->attributes, event->n_attributes);
    return with_count(object, "droppedAttributesCount", event->dropped_attributes_count);
}

static json_t *link_json(const Otlp__Span__Link *link)
{
    json_t *object = json_object();
    object = with_id(object, "traceId", link->trace_id);
    object = with_id(object, "spanId", link->span_id);
    object = with_text(object, "traceState", link->trace_state);
    object = with_attributes(object, link->attributes, link->n_attributes);
    object = with_count(object, "droppedAttributesCount", link->dropped_attributes_count);
    return with_count(object, "flags", link->flags);
}

static json_t *status_json(const Otlp__Status *status)
{
    json_t *object = with_text(json_object(), "message", status->message);
    return with_count(object, "code", (uint32_t)status->code);
}

/* A list of what `item` makes of every element; left out if there is none. */
#define WITH_LIST(object, key, item, elements, count)                                              \
    do {                                                                                           \
        json_t *list_ = (count) > 0 ? json_array() : NULL;                                         \
        for (size_t i_ = 0; list_ != NULL && i_ < (count); i_++) {                                 \
            if (json_array_append_new(list_, item((elements)[i_])) != 0) {                         \
                json_decref(list_);                                                                \
                list_ = NULL;                                                                      \
            }                                                                                      \
        }                                                                                          \
        (object) = (count) > 0 ? with((object), (key), list_) : (object);                          \
    } while (0)

static json_t *span_json(const Otlp__Span *span)
{
    json_t *object = json_object();
    object = with_id(object, "traceId", span->trace_id);
    object = with_id(object, "spanId", span->span_id);
    object = with_text(object, "traceState", span->trace_state);
    object = with_id(object, "parentSpanId", span->parent_span_id);
    object = with_count(object, "flags", span->flags);
    object = with_text(object, "name", span->name);
    object = with_count(object, "kind", (uint32_t)span->kind);
    object = with_time(object, "startTimeUnixNano", span->start_time_unix_nano);
    object = with_time(object, "endTimeUnixNano", span->end_time_unix_nano);
    object = with_attributes(object, span->attributes, span->n_attributes);
    object = with_count(object, "droppedAttributesCount", span->dropped_attributes_count);
    WITH_LIST(object, "events", event_json, span->events, span->n_events);
    object = with_count(object, "droppedEventsCount", span->dropped_events_count);
    WITH_LIST(object, "links", link_json, span->links, span->n_links);
    object = with_count(object, "droppedLinksCount", span->dropped_links_count);
    return span->status == NULL ? object : with(object, "status", status_json(span->status));
}

static json_t *scope_json(const Otlp__InstrumentationScope *scope)
{
    json_t *object = with_text(json_object(), "name", scope->name);
    object = with_text(object, "version", scope->version);
    object = with_attributes(object, scope->attributes, scope->n_attributes);
    return with_count(object, "droppedAttributesCount", scope->dropped_attributes_count);
}

static json_t *scope_spans_json(const Otlp__ScopeSpans *scope_spans)
{
    json_t *object = json_object();
    if (scope_spans->scope != NULL) {
        object = with(object, "scope", scope_json(scope_spans->scope));
    }
    WITH_LIST(object, "spans", span_json, scope_spans->spans, scope_spans->n_spans);
    return with_text(object, "schemaUrl", scope_spans->schema_url);
}

static json_t *resource_json(const Otlp__Resource *resource)
{
    json_t *object = with_attributes(json_object(), resource->attributes, resource->n_attributes);
    return with_count(object, "droppedAttributesCount", resource->dropped_attributes_count);
}

static json_t *resource_spans_json(const Otlp__ResourceSpans *resource_spans)
{
    json_t *object = json_object();
    if (resource_spans->resource != NULL) {
        object = with(object, "resource", resource_json(resource_spans->resource));
    }
    WITH_LIST(object, "scopeSpans", scope_spans_json, resource_spans->scope_spans,
              resource_spans->n_scope_spans);
    return with_text(object, "schemaUrl", resource_spans->schema_url);
}

json_t *otlp_to_json(const Otlp__ExportTraceServiceRequest *message)
{
    json_t *object = json_object();
    WITH_LIST(object, "resourceSpans", resource_spans_json, message->resource_spans,
              message->n_resource_spans);
    return object;
}

json_t *otlp_bytes_to_json(struct slice encoded)
{
    Otlp__ExportTraceServiceRequest *message =
        otlp__export_trace_service_request__unpack(NULL, encoded.size, encoded.data);
    if (message == NULL) {
        return NULL;
    }
    json_t *json = otlp_to_json(message);
    otlp__export_trace_service_request__free_unpacked(message, NULL);
    return json;
}
