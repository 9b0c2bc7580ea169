#include "worker/uploads.h"

#include <string.h>

#include "base/hash.h"

/* The last segment of the target's path; without a dot it may be any word: none. */
static struct slice name_in(struct slice target)
{
    const uint8_t *end = target.size > 0 ? memchr(target.data, '?', target.size) : NULL;
    size_t size = end == NULL ? target.size : (size_t)(end - target.data);
    size_t at = size;
    bool has_dot = false;
    while (at > 0 && target.data[at - 1] != '/') {
        at--;
        has_dot |= target.data[at] == '.';
    }
    return has_dot ? slice_of(target.data + at, size - at) : slice_of(NULL, 0);
}

static uint64_t key_of(const struct record *record, struct slice name)
{
    struct slice trace = slice_of(record->trace_id, sizeof(record->trace_id));
    uint64_t key = hash_bytes(hash_bytes(HASH_BEGIN, trace), name);
    return key != 0 ? key : 1;
}

void uploads_follow(struct uploads *uploads, struct record *record)
{
    struct slice method = record_find_field(record, FIELD_METHOD);
    struct slice name = name_in(record_find_field(record, FIELD_TARGET));
    if (name.size == 0) {
        return;
    }
    uint64_t key = key_of(record, name);
    if (slice_equals(method, SLICE("PUT")) && record->http.status / 100 == 2) {
        uploads->names[uploads->count++ % LIMIT_UPLOADS] = key;
        return;
    }
    bool is_test = slice_equals(method, SLICE("HEAD")) || slice_equals(method, SLICE("GET"));
    for (uint32_t i = 0; is_test && i < LIMIT_UPLOADS; i++) {
        if (uploads->names[i] == key) {
            record_add_field(record, FIELD_DELIVERY, SLICE("1"), 1);
            return;
        }
    }
}
