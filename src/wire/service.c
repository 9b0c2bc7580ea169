#include "wire/service.h"

#include "base/compiler.h"
#include "wire/service_hash.h"

/* `text`, `nodes`, `fields`, `constants`, `events`, `endpoints`, and `first_bytes` and
   `last_bytes`: a bit for each hash of two bytes that some path begins or ends with. */
#include "wire/services.inc"

#define ENDPOINTS (sizeof endpoints / sizeof endpoints[0])

struct slice service_text(struct service_text piece)
{
    return slice_of(text + piece.at, piece.size);
}

const struct service_endpoint *service_endpoint(uint8_t number)
{
    return number > 0 && number <= ENDPOINTS ? &endpoints[number - 1] : NULL;
}

const struct service_field *service_field(const struct service_endpoint *endpoint, uint8_t number)
{
    return number < endpoint->field_count ? &fields[endpoint->first_field + number] : NULL;
}

const struct service_constant *service_constant(const struct service_endpoint *endpoint,
                                                uint8_t number)
{
    return number < endpoint->constant_count ? &constants[endpoint->first_constant + number] : NULL;
}

const struct service_event *service_event(const struct service_endpoint *endpoint, uint8_t number)
{
    return number < endpoint->event_count ? &events[endpoint->first_event + number] : NULL;
}

const struct json_node *service_nodes(uint16_t first)
{
    return &nodes[first];
}

uint8_t service_field_of(const struct service_endpoint *endpoint, struct slice attribute)
{
    for (uint8_t i = 0; i < endpoint->field_count; i++) {
        const struct service_field *field = &fields[endpoint->first_field + i];
        if (slice_equals(service_text(field->attribute), attribute)) {
            return i;
        }
    }
    return SERVICE_NO_FIELD;
}

uint8_t service_header_field(const struct service_endpoint *endpoint, struct slice name)
{
    for (uint8_t i = 0; i < endpoint->field_count; i++) {
        const struct service_field *field = &fields[endpoint->first_field + i];
        if (field->source == SERVICE_HEADER &&
            slice_equals_ignoring_case(service_text(field->header), name)) {
            return i;
        }
    }
    return SERVICE_NO_FIELD;
}

/* The path of a target: without query, and without the authority of a target in absolute form. */
static SLOW struct slice path_of_absolute(struct slice target)
{
    for (size_t at = 0; at + 3 < target.size; at++) {
        if (memcmp(target.data + at, "://", 3) == 0) {
            slice_take(&target, at + 3);
            const uint8_t *slash = memchr(target.data, '/', target.size);
            slice_take(&target, slash == NULL ? target.size : (size_t)(slash - target.data));
            return target;
        }
    }
    return (struct slice){NULL, 0};
}

static bool matches(struct slice pattern, struct slice path)
{
    if (pattern.data[0] == '*') {
        slice_take(&pattern, 1);
        /* Any beginning: as many bytes as are left over, if no segment of the rest is free. */
        const uint8_t *star = memchr(pattern.data, '*', pattern.size);
        if (star == NULL) {
            return path.size >= pattern.size &&
                   memcmp(path.data + path.size - pattern.size, pattern.data, pattern.size) == 0;
        }
        size_t fixed = (size_t)(star - pattern.data);
        while (path.size >= fixed && memcmp(path.data, pattern.data, fixed) != 0) {
            slice_take(&path, 1);
        }
    }
    while (pattern.size > 0) {
        if (pattern.data[0] == '*') {
            size_t segment = 0;
            while (segment < path.size && path.data[segment] != '/') {
                segment++;
            }
            if (segment == 0) {
                return false;
            }
            slice_take(&path, segment);
        } else if (path.size == 0 || path.data[0] != pattern.data[0]) {
            return false;
        } else {
            slice_take(&path, 1);
        }
        slice_take(&pattern, 1);
    }
    return path.size == 0;
}

static SLOW uint8_t find_slow(struct slice method, struct slice path, bool is_served)
{
    for (uint8_t i = 0; i < ENDPOINTS; i++) {
        if (endpoints[i].is_served == is_served &&
            slice_equals(service_text(endpoints[i].method), method) &&
            matches(service_text(endpoints[i].path), path)) {
            return (uint8_t)(i + 1);
        }
    }
    return SERVICE_NONE;
}

static inline bool has_bit(const uint64_t bits[4], uint8_t hash)
{
    return (bits[hash / 64] >> hash % 64 & 1u) != 0;
}

/* The look at the end of the path, for methods that have endpoints with any beginning. */
static uint8_t find_by_end(struct slice method, struct slice target, bool is_known, bool is_served)
{
    const uint8_t *query = memchr(target.data, '?', target.size);
    struct slice path =
        slice_of(target.data, query == NULL ? target.size : (size_t)(query - target.data));
    if (path.size < 3 || likely(!is_known && !has_bit(last_bytes[is_served],
                                                      service_hash(path.data[path.size - 2],
                                                                   path.data[path.size - 1])))) {
        return SERVICE_NONE;
    }
    return find_slow(method, path, is_served);
}

uint8_t service_find(struct slice method, struct slice target, bool is_served)
{
    if (unlikely(target.size > 0 && target.data[0] != '/')) {
        target = path_of_absolute(target);
    }
    if (target.size < 3) {
        return SERVICE_NONE;
    }
    bool is_known = has_bit(first_bytes[is_served], service_hash(target.data[1], target.data[2]));
    if (likely(!is_known && method.data[0] != SERVICE_OPEN_METHODS)) {
        return SERVICE_NONE;
    }
    return find_by_end(method, target, is_known, is_served);
}
