#include "worker/otlp/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/hex.h"

/*
 * Everything is made as protobuf-c's own unpack would have made it, one allocation per node, so
 * that free_unpacked fits. What goes wrong is noted in the reader and reading goes on with the
 * next member; the caller throws the whole message away.
 */
struct reader {
    const char *bad; /* the first member that is wrong */
};

static void fail(struct reader *reader, const char *what)
{
    if (reader->bad == NULL) {
        reader->bad = what;
    }
}

static void *take_memory(struct reader *reader, size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fail(reader, "memory");
    }
    return memory;
}

/* ---- scalars; absent and null members leave the default ---- */

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static void read_text(struct reader *reader, const json_t *object, const char *key, char **text)
{
    const json_t *value = member(object, key);
    if (value == NULL) {
        return;
    }
    char *copy = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
    if (copy == NULL) {
        fail(reader, key);
        return;
    }
    *text = copy;
}

static bool parse_uint64(const char *text, uint64_t *value)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    *value = parsed;
    return errno == 0 && *end == '\0';
}

static void read_uint64(struct reader *reader, const json_t *object, const char *key,
                        uint64_t *into)
{
    const json_t *value = member(object, key);
    if (value == NULL) {
        return;
    }
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *into = (uint64_t)json_integer_value(value);
    } else if (!json_is_string(value) || !parse_uint64(json_string_value(value), into)) {
        fail(reader, key);
    }
}

static void read_uint32(struct reader *reader, const json_t *object, const char *key,
                        uint32_t *into)
{
    uint64_t wide = *into;
    read_uint64(reader, object, key, &wide);
    if (wide > UINT32_MAX) {
        fail(reader, key);
        return;
    }
    *into = (uint32_t)wide;
}

static bool parse_int64(const json_t *value, int64_t *into)
{
    if (json_is_integer(value)) {
        *into = json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL || strchr("-0123456789", text[0]) == NULL || text[0] == '\0') {
        return false;
    }
    char *end;
    errno = 0;
    *into = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_double(const json_t *value, double *into)
{
    if (json_is_number(value)) {
        *into = json_number_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL) {
        return false;
    }
    if (strcmp(text, "NaN") == 0) {
        *into = NAN;
    } else if (strcmp(text, "Infinity") == 0) {
        *into = INFINITY;
    } else if (strcmp(text, "-Infinity") == 0) {
        *into = -INFINITY;
    } else {
        return false;
    }
    return true;
}

/* ---- bytes ---- */

/* An id of `size` bytes, or none. */
static void read_id(struct reader *reader, const json_t *object, const char *key, size_t size,
                    ProtobufCBinaryData *id)
{
    const json_t *value = member(object, key);
    if (value == NULL) {
        return;
    }
    const char *hex = json_string_value(value);
    if (hex == NULL || (hex[0] != '\0' && strlen(hex) != 2 * size)) {
        fail(reader, key);
        return;
    }
    uint8_t *bytes = hex[0] != '\0' ? take_memory(reader, 1, size) : NULL;
    if (bytes == NULL) {
        return;
    }
    if (!hex_read((const uint8_t *)hex, bytes, size)) {
        fail(reader, key);
    }
    *id = (ProtobufCBinaryData){.data = bytes, .len = size};
}

static int base64_digit(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = digit != '\0' ? strchr(digits, digit) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static void read_base64(struct reader *reader, const char *text, ProtobufCBinaryData *into)
{
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '=') {
        size--;
    }
    uint8_t *bytes = size > 0 ? take_memory(reader, 1, size) : NULL;
    if (bytes == NULL) {
        return;
    }
    uint32_t pending = 0;
    unsigned bits = 0;
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0) {
            fail(reader, "bytesValue");
            break;
        }
        pending = pending << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[written++] = (uint8_t)(pending >> bits);
        }
    }
    *into = (ProtobufCBinaryData){.data = bytes, .len = written};
}

/* ---- messages and lists of them ---- */

/* Defines `name`, which reads one JSON object into a new message of `type` (a protobuf-c type
   with its init function) by `fill`; NULL if it is no object or there is no memory. */
#define MESSAGE_READER(name, type, initialise, fill)                                               \
    static void *name(struct reader *reader, const json_t *json)                                   \
    {                                                                                              \
        type *message = json_is_object(json) ? malloc(sizeof(*message)) : NULL;                    \
        if (message != NULL) {                                                                     \
            initialise(message);                                                                   \
            fill(reader, json, message);                                                           \
        }                                                                                          \
        return message;                                                                            \
    }

typedef void *message_reader(struct reader *reader, const json_t *json);

static void *read_message(struct reader *reader, const json_t *object, const char *key,
                          message_reader *read)
{
    const json_t *value = member(object, key);
    void *message = value != NULL ? read(reader, value) : NULL;
    if (value != NULL && message == NULL) {
        fail(reader, key);
    }
    return message;
}

/* Reads a list of messages; returns the array and its length, which counts whole elements only. */
static void *read_list(struct reader *reader, const json_t *object, const char *key,
                       message_reader *read, size_t *count)
{
    const json_t *list = member(object, key);
    if (list != NULL && !json_is_array(list)) {
        fail(reader, key);
    }
    size_t size = json_array_size(list);
    void **elements = size > 0 ? take_memory(reader, size, sizeof(*elements)) : NULL;
    if (elements == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < size; i++) {
        void *element = read(reader, json_array_get(list, i));
        if (element == NULL) {
            fail(reader, key);
            break;
        }
        elements[(*count)++] = element;
    }
    return elements;
}

static void *read_value(struct reader *reader, const json_t *json);
static void *read_key_value(struct reader *reader, const json_t *json);

static void fill_array(struct reader *reader, const json_t *json, Otlp__ArrayValue *array)
{
    array->values = read_list(reader, json, "values", read_value, &array->n_values);
}
MESSAGE_READER(read_array, Otlp__ArrayValue, otlp__array_value__init, fill_array)

static void fill_kvlist(struct reader *reader, const json_t *json, Otlp__KeyValueList *list)
{
    list->values = read_list(reader, json, "values", read_key_value, &list->n_values);
}
MESSAGE_READER(read_kvlist, Otlp__KeyValueList, otlp__key_value_list__init, fill_kvlist)

static void fill_value(struct reader *reader, const json_t *json, Otlp__AnyValue *value)
{
    const json_t *found;
    if ((found = member(json, "stringValue")) != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        read_text(reader, json, "stringValue", &value->string_value);
    } else if ((found = member(json, "boolValue")) != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
        value->bool_value = json_is_true(found);
        if (!json_is_boolean(found)) {
            fail(reader, "boolValue");
        }
    } else if ((found = member(json, "intValue")) != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
        if (!parse_int64(found, &value->int_value)) {
            fail(reader, "intValue");
        }
    } else if ((found = member(json, "doubleValue")) != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE;
        if (!parse_double(found, &value->double_value)) {
            fail(reader, "doubleValue");
        }
    } else if ((found = member(json, "bytesValue")) != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_BYTES_VALUE;
        if (json_is_string(found)) {
            read_base64(reader, json_string_value(found), &value->bytes_value);
        } else {
            fail(reader, "bytesValue");
        }
    } else if (member(json, "arrayValue") != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
        value->array_value = read_message(reader, json, "arrayValue", read_array);
    } else if (member(json, "kvlistValue") != NULL) {
        value->value_case = OTLP__ANY_VALUE__VALUE_KVLIST_VALUE;
        value->kvlist_value = read_message(reader, json, "kvlistValue", read_kvlist);
    }
}
MESSAGE_READER(read_value, Otlp__AnyValue, otlp__any_value__init, fill_value)

static void fill_key_value(struct reader *reader, const json_t *json, Otlp__KeyValue *pair)
{
    read_text(reader, json, "key", &pair->key);
    pair->value = read_message(reader, json, "value", read_value);
}
MESSAGE_READER(read_key_value, Otlp__KeyValue, otlp__key_value__init, fill_key_value)

/* Members that many messages have under the same names. */
#define READ_ATTRIBUTES(reader, json, message)                                                     \
    do {                                                                                           \
        (message)->attributes =                                                                    \
            read_list((reader), (json), "attributes", read_key_value, &(message)->n_attributes);   \
        read_uint32((reader), (json), "droppedAttributesCount",                                    \
                    &(message)->dropped_attributes_count);                                         \
    } while (0)

static void fill_event(struct reader *reader, const json_t *json, Otlp__Span__Event *event)
{
    read_uint64(reader, json, "timeUnixNano", &event->time_unix_nano);
    read_text(reader, json, "name", &event->name);
    READ_ATTRIBUTES(reader, json, event);
}
MESSAGE_READER(read_event, Otlp__Span__Event, otlp__span__event__init, fill_event)

static void fill_link(struct reader *reader, const json_t *json, Otlp__Span__Link *link)
{
    read_id(reader, json, "traceId", 16, &link->trace_id);
    read_id(reader, json, "spanId", 8, &link->span_id);
    read_text(reader, json, "traceState", &link->trace_state);
    READ_ATTRIBUTES(reader, json, link);
    read_uint32(reader, json, "flags", &link->flags);
}
MESSAGE_READER(read_link, Otlp__Span__Link, otlp__span__link__init, fill_link)

static void fill_status(struct reader *reader, const json_t *json, Otlp__Status *status)
{
    uint32_t code = 0;
    read_text(reader, json, "message", &status->message);
    read_uint32(reader, json, "code", &code);
    status->code = (Otlp__Status__StatusCode)code;
}
MESSAGE_READER(read_status, Otlp__Status, otlp__status__init, fill_status)

static void fill_span(struct reader *reader, const json_t *json, Otlp__Span *span)
{
    uint32_t kind = 0;
    read_id(reader, json, "traceId", 16, &span->trace_id);
    read_id(reader, json, "spanId", 8, &span->span_id);
    read_text(reader, json, "traceState", &span->trace_state);
    read_id(reader, json, "parentSpanId", 8, &span->parent_span_id);
    read_uint32(reader, json, "flags", &span->flags);
    read_text(reader, json, "name", &span->name);
    read_uint32(reader, json, "kind", &kind);
    span->kind = (Otlp__Span__SpanKind)kind;
    read_uint64(reader, json, "startTimeUnixNano", &span->start_time_unix_nano);
    read_uint64(reader, json, "endTimeUnixNano", &span->end_time_unix_nano);
    READ_ATTRIBUTES(reader, json, span);
    span->events = read_list(reader, json, "events", read_event, &span->n_events);
    read_uint32(reader, json, "droppedEventsCount", &span->dropped_events_count);
    span->links = read_list(reader, json, "links", read_link, &span->n_links);
    read_uint32(reader, json, "droppedLinksCount", &span->dropped_links_count);
    span->status = read_message(reader, json, "status", read_status);
}
MESSAGE_READER(read_span, Otlp__Span, otlp__span__init, fill_span)

static void fill_scope(struct reader *reader, const json_t *json, Otlp__InstrumentationScope *scope)
{
    read_text(reader, json, "name", &scope->name);
    read_text(reader, json, "version", &scope->version);
    READ_ATTRIBUTES(reader, json, scope);
}
MESSAGE_READER(read_scope, Otlp__InstrumentationScope, otlp__instrumentation_scope__init,
               fill_scope)

static void fill_scope_spans(struct reader *reader, const json_t *json, Otlp__ScopeSpans *spans)
{
    spans->scope = read_message(reader, json, "scope", read_scope);
    spans->spans = read_list(reader, json, "spans", read_span, &spans->n_spans);
    read_text(reader, json, "schemaUrl", &spans->schema_url);
}
MESSAGE_READER(read_scope_spans, Otlp__ScopeSpans, otlp__scope_spans__init, fill_scope_spans)

static void fill_resource(struct reader *reader, const json_t *json, Otlp__Resource *resource)
{
    READ_ATTRIBUTES(reader, json, resource);
}
MESSAGE_READER(read_resource, Otlp__Resource, otlp__resource__init, fill_resource)

static void fill_resource_spans(struct reader *reader, const json_t *json,
                                Otlp__ResourceSpans *spans)
{
    spans->resource = read_message(reader, json, "resource", read_resource);
    spans->scope_spans =
        read_list(reader, json, "scopeSpans", read_scope_spans, &spans->n_scope_spans);
    read_text(reader, json, "schemaUrl", &spans->schema_url);
}
MESSAGE_READER(read_resource_spans, Otlp__ResourceSpans, otlp__resource_spans__init,
               fill_resource_spans)

static void fill_request(struct reader *reader, const json_t *json,
                         Otlp__ExportTraceServiceRequest *request)
{
    request->resource_spans =
        read_list(reader, json, "resourceSpans", read_resource_spans, &request->n_resource_spans);
}
MESSAGE_READER(read_request, Otlp__ExportTraceServiceRequest,
               otlp__export_trace_service_request__init, fill_request)

Otlp__ExportTraceServiceRequest *otlp_from_json(const json_t *json, const char **what)
{
    struct reader reader = {0};
    Otlp__ExportTraceServiceRequest *request = read_request(&reader, json);
    if (request == NULL) {
        fail(&reader, "the object itself");
    }
    if (reader.bad != NULL) {
        if (what != NULL) {
            *what = reader.bad;
        }
        if (request != NULL) {
            otlp__export_trace_service_request__free_unpacked(request, NULL);
        }
        return NULL;
    }
    return request;
}
