#include "worker/backlinks.h"

#include <string.h>

void backlinks_note(struct backlinks *backlinks, const struct record *record)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag != FIELD_LINK || value.size != 24 ||
            memcmp(value.data, record->trace_id, sizeof(record->trace_id)) == 0) {
            continue;
        }
        struct backlink *entry = &backlinks->entries[backlinks->count++ % LIMIT_BACKLINKS];
        memcpy(entry->from, value.data + 16, sizeof(entry->from));
        memcpy(entry->trace_id, record->trace_id, sizeof(entry->trace_id));
        memcpy(entry->span_id, record->span_id, sizeof(entry->span_id));
    }
}

void backlinks_add(const struct backlinks *backlinks, struct span *span)
{
    uint32_t count = backlinks->count < LIMIT_BACKLINKS ? backlinks->count : LIMIT_BACKLINKS;
    for (uint32_t i = 0; i < count; i++) {
        const struct backlink *entry = &backlinks->entries[i];
        struct span_link *link;
        if (memcmp(entry->from, span->span_id, sizeof(entry->from)) == 0 &&
            (link = span_add_link(span)) != NULL) {
            memcpy(link->trace_id, entry->trace_id, sizeof(link->trace_id));
            memcpy(link->span_id, entry->span_id, sizeof(link->span_id));
        }
    }
}
