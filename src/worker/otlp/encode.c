#include "worker/otlp/encode.h"

#include <stdbool.h>

#include "base/compiler.h"
#include "worker/otlp/wire_format.h"

/* ---- AnyValue and KeyValue ---- */

enum {
    ANY_STRING = FIELD_TAG(1, WIRE_BYTES),
    ANY_BOOL = FIELD_TAG(2, WIRE_VARINT),
    ANY_INT = FIELD_TAG(3, WIRE_VARINT),
    ANY_DOUBLE = FIELD_TAG(4, WIRE_FIXED64),
    ANY_ARRAY = FIELD_TAG(5, WIRE_BYTES),
    ARRAY_VALUES = FIELD_TAG(1, WIRE_BYTES),
    KEY_VALUE_KEY = FIELD_TAG(1, WIRE_BYTES),
    KEY_VALUE_VALUE = FIELD_TAG(2, WIRE_BYTES),
};

static size_t any_size(const struct attribute *attribute)
{
    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        return bytes_size(attribute->string.size);
    case ATTRIBUTE_INT:
        return 1 + varint_size((uint64_t)attribute->integer);
    case ATTRIBUTE_DOUBLE:
        return 1 + sizeof(double);
    case ATTRIBUTE_BOOL:
        return 2;
    case ATTRIBUTE_STRINGS:
        return bytes_size(bytes_size(bytes_size(attribute->string.size)));
    }
    return 0;
}

static uint8_t *put_any(uint8_t *at, const struct attribute *attribute)
{
    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        return put_bytes(at, ANY_STRING, attribute->string);
    case ATTRIBUTE_INT:
        *at++ = ANY_INT;
        return put_varint(at, (uint64_t)attribute->integer);
    case ATTRIBUTE_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &attribute->real, sizeof(bits));
        *at++ = ANY_DOUBLE;
        return put_fixed64(at, bits);
    }
    case ATTRIBUTE_BOOL:
        *at++ = ANY_BOOL;
        *at++ = attribute->boolean;
        return at;
    case ATTRIBUTE_STRINGS: {
        size_t element = bytes_size(attribute->string.size);
        *at++ = ANY_ARRAY;
        at = put_varint(at, bytes_size(element));
        *at++ = ARRAY_VALUES;
        at = put_varint(at, element);
        return put_bytes(at, ANY_STRING, attribute->string);
    }
    }
    return at;
}

/* `at` may have gone past `end` by what was set aside for it. */
static inline size_t room(const uint8_t *at, const uint8_t *end)
{
    return at < end ? (size_t)(end - at) : 0;
}

static size_t key_value_size(const struct attribute *attribute, size_t any)
{
    return (attribute->key.size > 0 ? bytes_size(attribute->key.size) : 0) + bytes_size(any);
}

/* What stands around a short key and a short string: tags and lengths of one byte each. */
#define SHORT_STRING_FRAME 8u

/* A string attribute whose lengths all take one byte, as most do; there is room. */
static inline uint8_t *put_short_string(uint8_t *at, uint8_t tag, struct slice key,
                                        struct slice value)
{
    *at++ = tag;
    *at++ = (uint8_t)(key.size + value.size + SHORT_STRING_FRAME - 2);
    *at++ = KEY_VALUE_KEY;
    *at++ = (uint8_t)key.size;
    at = put_raw(at, key);
    *at++ = KEY_VALUE_VALUE;
    *at++ = (uint8_t)(value.size + 2);
    *at++ = ANY_STRING;
    *at++ = (uint8_t)value.size;
    return put_raw(at, value);
}

/* A repeated KeyValue field. NULL if it does not fit. */
static inline uint8_t *put_attribute(uint8_t *at, const uint8_t *end, uint8_t tag,
                                     const struct attribute *attribute)
{
    if (likely(attribute->type == ATTRIBUTE_STRING)) {
        size_t short_size = attribute->key.size + attribute->string.size + SHORT_STRING_FRAME;
        if (likely(short_size - 2 < 0x80 && attribute->key.size > 0 &&
                   short_size <= room(at, end))) {
            return put_short_string(at, tag, attribute->key, attribute->string);
        }
    }
    size_t any = any_size(attribute);
    size_t size = key_value_size(attribute, any);
    if (unlikely(bytes_size(size) > room(at, end))) {
        return NULL;
    }
    *at++ = tag;
    at = put_varint(at, size);
    if (likely(attribute->key.size > 0)) {
        at = put_bytes(at, KEY_VALUE_KEY, attribute->key);
    }
    *at++ = KEY_VALUE_VALUE;
    at = put_varint(at, any);
    return put_any(at, attribute);
}

static uint8_t *put_attributes(uint8_t *at, const uint8_t *end, uint8_t tag,
                               const struct attribute *attributes, size_t count)
{
    for (size_t i = 0; i < count && at != NULL; i++) {
        at = put_attribute(at, end, tag, &attributes[i]);
    }
    return at;
}

/* ---- Span ---- */

enum {
    SPAN_TRACE_ID = FIELD_TAG(1, WIRE_BYTES),
    SPAN_SPAN_ID = FIELD_TAG(2, WIRE_BYTES),
    SPAN_TRACE_STATE = FIELD_TAG(3, WIRE_BYTES),
    SPAN_PARENT = FIELD_TAG(4, WIRE_BYTES),
    SPAN_NAME = FIELD_TAG(5, WIRE_BYTES),
    SPAN_KIND = FIELD_TAG(6, WIRE_VARINT),
    SPAN_START = FIELD_TAG(7, WIRE_FIXED64),
    SPAN_END = FIELD_TAG(8, WIRE_FIXED64),
    SPAN_ATTRIBUTES = FIELD_TAG(9, WIRE_BYTES),
    SPAN_DROPPED_ATTRIBUTES = FIELD_TAG(10, WIRE_VARINT),
    SPAN_EVENTS = FIELD_TAG(11, WIRE_BYTES),
    SPAN_DROPPED_EVENTS = FIELD_TAG(12, WIRE_VARINT),
    SPAN_LINKS = FIELD_TAG(13, WIRE_BYTES),
    SPAN_DROPPED_LINKS = FIELD_TAG(14, WIRE_VARINT),
    SPAN_STATUS = FIELD_TAG(15, WIRE_BYTES),
    /* field 16: two bytes of tag */
    SPAN_FLAGS_LOW = ((16 << 3 | WIRE_FIXED32) & 0x7f) | 0x80,
    SPAN_FLAGS_HIGH = (16 << 3 | WIRE_FIXED32) >> 7,
    EVENT_TIME = FIELD_TAG(1, WIRE_FIXED64),
    EVENT_NAME = FIELD_TAG(2, WIRE_BYTES),
    EVENT_ATTRIBUTES = FIELD_TAG(3, WIRE_BYTES),
    EVENT_DROPPED_ATTRIBUTES = FIELD_TAG(4, WIRE_VARINT),
    LINK_TRACE_ID = FIELD_TAG(1, WIRE_BYTES),
    LINK_SPAN_ID = FIELD_TAG(2, WIRE_BYTES),
    LINK_ATTRIBUTES = FIELD_TAG(4, WIRE_BYTES),
    STATUS_MESSAGE = FIELD_TAG(2, WIRE_BYTES),
    STATUS_CODE = FIELD_TAG(3, WIRE_VARINT),
    SCOPE_SPANS_SPANS = FIELD_TAG(2, WIRE_BYTES),
};

/* Everything of a span that has a fixed size: ids, times, kind, counts, flags, status code, and the
   tags and lengths of name, state and message. */
#define FIXED_PART_BYTES 160u
/* Room for a span's own tag and length, which are known when the rest is written: the length of
   nearly every span takes two bytes. Others are moved. */
#define HEAD_ROOM         3u
#define LARGEST_HEAD_ROOM 6u

static bool is_zero(const uint8_t id[8])
{
    uint64_t value;
    memcpy(&value, id, sizeof(value));
    return value == 0;
}

static uint8_t *put_text(uint8_t *at, uint8_t tag, struct slice text)
{
    return text.size > 0 ? put_bytes(at, tag, text) : at;
}

static uint8_t *put_count(uint8_t *at, uint8_t tag, uint32_t count)
{
    if (count > 0) {
        *at++ = tag;
        at = put_varint(at, count);
    }
    return at;
}

static uint8_t *put_time(uint8_t *at, uint8_t tag, uint64_t time_ns)
{
    if (time_ns != 0) {
        *at++ = tag;
        at = put_fixed64(at, time_ns);
    }
    return at;
}

static size_t event_size(const struct span_event *event)
{
    size_t size = event->time_ns != 0 ? 1 + sizeof(uint64_t) : 0;
    size += event->name.size > 0 ? bytes_size(event->name.size) : 0;
    for (uint32_t i = 0; i < event->attribute_count; i++) {
        const struct attribute *attribute = &event->attributes[i];
        size += bytes_size(key_value_size(attribute, any_size(attribute)));
    }
    uint32_t dropped = event->dropped_attributes;
    return size + (dropped > 0 ? 1 + varint_size(dropped) : 0);
}

static uint8_t *put_event(uint8_t *at, const uint8_t *end, const struct span_event *event)
{
    size_t size = event_size(event);
    if (bytes_size(size) > room(at, end)) {
        return NULL;
    }
    *at++ = SPAN_EVENTS;
    at = put_varint(at, size);
    at = put_time(at, EVENT_TIME, event->time_ns);
    at = put_text(at, EVENT_NAME, event->name);
    at = put_attributes(at, end, EVENT_ATTRIBUTES, event->attributes, event->attribute_count);
    return put_count(at, EVENT_DROPPED_ATTRIBUTES, event->dropped_attributes);
}

/* A link with all that it may have. */
#define LINK_MOST 64u

static uint8_t *put_link(uint8_t *at, const struct span_link *link)
{
    const struct attribute candidate = {
        .key = SLICE("wirespan.parent.candidate"), .type = ATTRIBUTE_BOOL, .boolean = true};
    size_t size = bytes_size(sizeof(link->trace_id)) + bytes_size(sizeof(link->span_id));
    if (link->is_candidate) {
        size += bytes_size(key_value_size(&candidate, any_size(&candidate)));
    }
    const uint8_t *end = at + LINK_MOST;
    *at++ = SPAN_LINKS;
    *at++ = (uint8_t)size;
    at = put_bytes(at, LINK_TRACE_ID, slice_of(link->trace_id, sizeof(link->trace_id)));
    at = put_bytes(at, LINK_SPAN_ID, slice_of(link->span_id, sizeof(link->span_id)));
    return link->is_candidate ? put_attribute(at, end, LINK_ATTRIBUTES, &candidate) : at;
}

static uint8_t *put_status(uint8_t *at, const struct span *span)
{
    if (span->status == SPAN_STATUS_UNSET) {
        return at;
    }
    struct slice message = span->status_message;
    *at++ = SPAN_STATUS;
    at = put_varint(at, 2 + (message.size > 0 ? bytes_size(message.size) : 0));
    at = put_text(at, STATUS_MESSAGE, message);
    *at++ = STATUS_CODE;
    *at++ = (uint8_t)span->status;
    return at;
}

static uint8_t *put_head(uint8_t *at, const struct span *span)
{
    at = put_bytes(at, SPAN_TRACE_ID, slice_of(span->trace_id, sizeof(span->trace_id)));
    at = put_bytes(at, SPAN_SPAN_ID, slice_of(span->span_id, sizeof(span->span_id)));
    at = put_text(at, SPAN_TRACE_STATE, span->trace_state);
    if (!is_zero(span->parent_span_id)) {
        at = put_bytes(at, SPAN_PARENT,
                       slice_of(span->parent_span_id, sizeof(span->parent_span_id)));
    }
    at = put_text(at, SPAN_NAME, span->name);
    at = put_count(at, SPAN_KIND, (uint32_t)span->kind);
    at = put_time(at, SPAN_START, span->start_ns);
    return put_time(at, SPAN_END, span->end_ns);
}

static uint8_t *put_events(uint8_t *at, const uint8_t *end, const struct span *span)
{
    for (uint32_t i = 0; i < span->event_count && at != NULL; i++) {
        at = put_event(at, end, &span->events[i]);
    }
    return at;
}

static uint8_t *put_tail(uint8_t *at, const struct span *span)
{
    at = put_count(at, SPAN_DROPPED_EVENTS, span->dropped_events);
    for (uint32_t i = 0; i < span->link_count; i++) {
        at = put_link(at, &span->links[i]);
    }
    at = put_count(at, SPAN_DROPPED_LINKS, span->dropped_links);
    at = put_status(at, span);
    if (span->flags != 0) {
        *at++ = SPAN_FLAGS_LOW;
        *at++ = SPAN_FLAGS_HIGH;
        at = put_fixed32(at, span->flags);
    }
    return at;
}

/* The message alone. NULL if it does not fit. */
static uint8_t *put_span(uint8_t *at, uint8_t *end, const struct span *span)
{
    /* What is not checked piece by piece is set aside at once. */
    size_t aside = FIXED_PART_BYTES + span->trace_state.size + span->name.size +
                   span->status_message.size + (size_t)LINK_MOST * SPAN_LINKS_MAX;
    if ((size_t)(end - at) < aside) {
        return NULL;
    }
    const uint8_t *checked_end = end - aside;
    at = put_head(at, span);
    at = put_attributes(at, checked_end, SPAN_ATTRIBUTES, span->attributes, span->attribute_count);
    if (unlikely(at == NULL)) {
        return NULL;
    }
    at = put_count(at, SPAN_DROPPED_ATTRIBUTES, span->dropped_attributes);
    at = put_events(at, checked_end, span);
    return unlikely(at == NULL) ? NULL : put_tail(at, span);
}

size_t otlp_encode_span(const struct span *span, uint8_t *into, size_t capacity)
{
    if (capacity < LARGEST_HEAD_ROOM) {
        return 0;
    }
    uint8_t *body = into + HEAD_ROOM;
    uint8_t *end = put_span(body, into + capacity - (LARGEST_HEAD_ROOM - HEAD_ROOM), span);
    if (unlikely(end == NULL)) {
        return 0;
    }
    size_t size = (size_t)(end - body);
    size_t head = 1 + varint_size(size);
    if (unlikely(head != HEAD_ROOM)) {
        memmove(into + head, body, size);
    }
    *into = SCOPE_SPANS_SPANS;
    put_varint(into + 1, size);
    return head + size;
}

/* ---- Resource ---- */

enum {
    RESOURCE_ATTRIBUTES = FIELD_TAG(1, WIRE_BYTES),
};

size_t otlp_encode_resource(const struct attribute *attributes, size_t count, uint8_t *into,
                            size_t capacity)
{
    uint8_t *end = put_attributes(into, into + capacity, RESOURCE_ATTRIBUTES, attributes, count);
    return end == NULL ? 0 : (size_t)(end - into);
}
