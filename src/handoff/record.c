#include "handoff/record.h"

#include "base/compiler.h"

static void put_size(uint8_t *at, size_t size)
{
    uint16_t small = (uint16_t)size;
    memcpy(at, &small, sizeof(small));
}

static size_t get_size(const uint8_t *at)
{
    uint16_t small;
    memcpy(&small, at, sizeof(small));
    return small;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

bool record_add_field_slow(struct record *record, enum field_tag tag, struct slice value,
                           size_t limit)
{
    size_t used = record->text_used;
    if (unlikely(used + RECORD_FIELD_HEAD_BYTES > RECORD_TEXT_BYTES)) {
        record->flags |= RECORD_FLAG_TEXT_CUT;
        return false;
    }
    size_t size =
        smaller(value.size, smaller(limit, RECORD_TEXT_BYTES - used - RECORD_FIELD_HEAD_BYTES));
    if (unlikely(size < value.size)) {
        record->flags |= RECORD_FLAG_TEXT_CUT;
    }
    uint8_t *at = record->text + used;
    at[0] = (uint8_t)tag;
    put_size(at + 1, size);
    if (size > 0) {
        memcpy(at + RECORD_FIELD_HEAD_BYTES, value.data, size);
    }
    record->text_used = (uint16_t)(used + RECORD_FIELD_HEAD_BYTES + size);
    return true;
}

/* The offset of the field written last, or -1 if there is none. */
static int32_t last_field(const struct record *record)
{
    uint32_t offset = 0;
    int32_t last = -1;
    while (offset + RECORD_FIELD_HEAD_BYTES <= record->text_used) {
        last = (int32_t)offset;
        offset += RECORD_FIELD_HEAD_BYTES + (uint32_t)get_size(record->text + offset + 1);
    }
    return last;
}

bool record_extend_field(struct record *record, enum field_tag tag, struct slice more, size_t limit)
{
    int32_t last = last_field(record);
    if (last < 0 || record->text[last] != (uint8_t)tag) {
        return record_add_field(record, tag, more, limit);
    }
    uint8_t *at = record->text + last;
    size_t have = get_size(at + 1);
    size_t room = smaller(have < limit ? limit - have : 0, RECORD_TEXT_BYTES - record->text_used);
    size_t size = smaller(more.size, room);
    if (size < more.size) {
        record->flags |= RECORD_FLAG_TEXT_CUT;
    }
    if (size > 0) {
        memcpy(at + RECORD_FIELD_HEAD_BYTES + have, more.data, size);
    }
    put_size(at + 1, have + size);
    record->text_used = (uint16_t)(record->text_used + size);
    return size == more.size;
}

bool record_next_field(const struct record *record, uint32_t *offset, enum field_tag *tag,
                       struct slice *value)
{
    uint32_t at = *offset;
    uint32_t used = record->text_used;
    if (used > RECORD_TEXT_BYTES || at > used || used - at < RECORD_FIELD_HEAD_BYTES) {
        return false;
    }
    uint32_t size = (uint32_t)get_size(record->text + at + 1);
    if (size > used - at - RECORD_FIELD_HEAD_BYTES) {
        return false;
    }
    *tag = (enum field_tag)record->text[at];
    *value = slice_of(record->text + at + RECORD_FIELD_HEAD_BYTES, size);
    *offset = at + RECORD_FIELD_HEAD_BYTES + size;
    return true;
}

struct slice record_find_field(const struct record *record, enum field_tag tag)
{
    uint32_t offset = 0;
    enum field_tag found;
    struct slice value;
    while (record_next_field(record, &offset, &found, &value)) {
        if (found == tag) {
            return value;
        }
    }
    return (struct slice){NULL, 0};
}

void record_drop_field(struct record *record, enum field_tag tag)
{
    struct slice value = record_find_field(record, tag);
    if (value.data != NULL) {
        size_t at = (size_t)(value.data - record->text);
        size_t end = at + value.size;
        memmove(record->text + at - RECORD_FIELD_HEAD_BYTES, record->text + end,
                record->text_used - end);
        record->text_used = (uint16_t)(record->text_used - value.size - RECORD_FIELD_HEAD_BYTES);
    }
}

static bool family_is_valid(const struct endpoint *endpoint)
{
    return endpoint->family == ADDRESS_NONE || endpoint->family == ADDRESS_IPV4 ||
           endpoint->family == ADDRESS_IPV6 || endpoint->family == ADDRESS_UNIX;
}

static bool fields_are_whole(const struct record *record)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag == FIELD_END || tag >= FIELD_TAG_COUNT) {
            return false;
        }
    }
    return offset == record->text_used;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

bool record_is_valid(const struct record *record)
{
    return record->kind > RECORD_NONE && record->kind < RECORD_KIND_COUNT &&
           record->parent_source < PARENT_SOURCE_COUNT && record->error < RECORD_ERROR_COUNT &&
           family_is_valid(&record->peer) && family_is_valid(&record->local) &&
           record->start_ns != 0 && (record->end_ns == 0 || record->end_ns >= record->start_ns) &&
           !is_zero(record->trace_id, sizeof(record->trace_id)) &&
           !is_zero(record->span_id, sizeof(record->span_id)) && fields_are_whole(record);
}
