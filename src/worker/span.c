#include "worker/span.h"

#include <stddef.h>

#include "base/compiler.h"
#include "worker/utf8.h"

void span_begin(struct span *span, const struct span_limits *limits)
{
    /* The arrays need no zeroes: their counts say what is in them. */
    memset(span, 0, offsetof(struct span, attributes));
    span->limits = limits;
}

static SLOW struct slice repair(struct span *span, struct slice text)
{
    uint8_t *at = (uint8_t *)span->scratch + span->scratch_used;
    size_t room = sizeof(span->scratch) - span->scratch_used;
    bool cut;
    size_t used = utf8_repair(text, at, room, &cut);
    if (cut) {
        return (struct slice){NULL, 0};
    }
    span->scratch_used += (uint32_t)used;
    return slice_of(at, used);
}

struct slice span_text(struct span *span, struct slice text)
{
    if (likely(utf8_is_plain(text)) || utf8_valid_prefix(text) == text.size) {
        return text;
    }
    return repair(span, text);
}

struct slice span_join(struct span *span, const struct slice *parts, size_t count)
{
    char *begin = span->scratch + span->scratch_used;
    size_t room = sizeof(span->scratch) - span->scratch_used;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > room - used) {
            return (struct slice){NULL, 0};
        }
        if (parts[i].size > 0) {
            memcpy(begin + used, parts[i].data, parts[i].size);
            used += parts[i].size;
        }
    }
    span->scratch_used += (uint32_t)used;
    return slice_of(begin, used);
}

struct slice span_decimal(struct span *span, uint64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    const struct slice part = slice_of(digits + at, sizeof(digits) - at);
    return span_join(span, &part, 1);
}

/* ---- attributes ---- */

static struct attribute *add(struct span *span, struct slice key, enum attribute_type type)
{
    uint32_t count = span->attribute_count;
    if (unlikely(count >= SPAN_ATTRIBUTES_MAX || count >= span->limits->attributes)) {
        span->dropped_attributes++;
        return NULL;
    }
    struct attribute *attribute = &span->attributes[span->attribute_count++];
    attribute->key = key;
    attribute->type = type;
    return attribute;
}

static void add_text(struct span *span, struct slice key, struct slice value,
                     enum attribute_type type)
{
    if (unlikely(value.data == NULL)) {
        return;
    }
    struct slice text = span_text(span, value);
    if (unlikely(text.data == NULL)) {
        span->dropped_attributes++;
        return;
    }
    if (unlikely(text.size > span->limits->attribute_characters)) {
        text.size = utf8_prefix_of_characters(text, span->limits->attribute_characters);
    }
    struct attribute *attribute = add(span, key, type);
    if (likely(attribute != NULL)) {
        attribute->string = text;
    }
}

void span_add_string(struct span *span, struct slice key, struct slice value)
{
    add_text(span, key, value, ATTRIBUTE_STRING);
}

void span_add_strings(struct span *span, struct slice key, struct slice value)
{
    add_text(span, key, value, ATTRIBUTE_STRINGS);
}

void span_add_literal(struct span *span, struct slice key, struct slice value)
{
    struct attribute *attribute =
        likely(value.data != NULL) ? add(span, key, ATTRIBUTE_STRING) : NULL;
    if (likely(attribute != NULL)) {
        uint32_t limit = span->limits->attribute_characters;
        attribute->string = slice_of(value.data, value.size < limit ? value.size : limit);
    }
}

void span_add_int(struct span *span, struct slice key, int64_t value)
{
    struct attribute *attribute = add(span, key, ATTRIBUTE_INT);
    if (likely(attribute != NULL)) {
        attribute->integer = value;
    }
}

void span_add_double(struct span *span, struct slice key, double value)
{
    struct attribute *attribute = add(span, key, ATTRIBUTE_DOUBLE);
    if (likely(attribute != NULL)) {
        attribute->real = value;
    }
}

void span_add_bool(struct span *span, struct slice key, bool value)
{
    struct attribute *attribute = add(span, key, ATTRIBUTE_BOOL);
    if (likely(attribute != NULL)) {
        attribute->boolean = value;
    }
}

void span_add_copy(struct span *span, struct slice key, const struct attribute *attribute)
{
    struct attribute *copy = add(span, key, attribute->type);
    if (copy != NULL) {
        *copy = *attribute;
        copy->key = key;
    }
}

void span_set_error(struct span *span, struct slice error_type)
{
    span->status = SPAN_STATUS_ERROR;
    span_add_literal(span, SLICE("error.type"), error_type);
}

/* ---- events and links ---- */

struct span_event *span_add_event(struct span *span, uint64_t time_ns, struct slice name)
{
    if (span->event_count >= SPAN_EVENTS_MAX || span->event_count >= span->limits->events) {
        span->dropped_events++;
        return NULL;
    }
    struct span_event *event = &span->events[span->event_count++];
    event->time_ns = time_ns;
    event->name = name;
    event->attribute_count = 0;
    event->dropped_attributes = 0;
    return event;
}

struct span_link *span_add_link(struct span *span)
{
    if (span->link_count >= SPAN_LINKS_MAX || span->link_count >= span->limits->links) {
        span->dropped_links++;
        return NULL;
    }
    struct span_link *link = &span->links[span->link_count++];
    link->is_candidate = false;
    return link;
}
