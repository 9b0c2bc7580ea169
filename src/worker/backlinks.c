#include "worker/backlinks.h"

#include <string.h>

static struct backlink *add(struct backlinks *backlinks, const struct record *record,
                            const uint8_t from[8])
{
    struct backlink *entry = &backlinks->entries[backlinks->count++ % LIMIT_BACKLINKS];
    memcpy(entry->from, from, sizeof(entry->from));
    memcpy(entry->trace_id, record->trace_id, sizeof(entry->trace_id));
    memcpy(entry->span_id, record->span_id, sizeof(entry->span_id));
    entry->is_child = false;
    entry->start_ns = record->start_ns;
    entry->end_ns = record->end_ns;
    return entry;
}

void backlinks_note(struct backlinks *backlinks, const struct record *record)
{
    static const uint8_t none[8];
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag == FIELD_LINK && value.size == 24 &&
            memcmp(value.data, record->trace_id, sizeof(record->trace_id)) != 0) {
            add(backlinks, record, value.data + 16);
        }
    }
    if (memcmp(record->parent_span_id, none, sizeof(none)) != 0) {
        add(backlinks, record, record->parent_span_id)->is_child = true;
    }
}

static void add_link(struct span *span, const struct backlink *entry)
{
    struct span_link *link = span_add_link(span);
    if (link != NULL) {
        memcpy(link->trace_id, entry->trace_id, sizeof(link->trace_id));
        memcpy(link->span_id, entry->span_id, sizeof(link->span_id));
    }
}

/* Of all its submissions: when the first began, and the last was answered. */
static void add_events(struct span *span, const struct record *record, uint64_t first_ns,
                       uint64_t last_ns)
{
    if (first_ns >= record->start_ns && last_ns >= first_ns) {
        span_add_event(span, span->start_ns + (first_ns - record->start_ns),
                       SLICE("job.submission.started"));
        span_add_event(span, span->start_ns + (last_ns - record->start_ns),
                       SLICE("job.submission.completed"));
    }
}

void backlinks_add(const struct backlinks *backlinks, const struct record *record,
                   struct span *span)
{
    uint32_t count = backlinks->count < LIMIT_BACKLINKS ? backlinks->count : LIMIT_BACKLINKS;
    uint64_t first_ns = UINT64_MAX;
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct backlink *entry = &backlinks->entries[i];
        if (memcmp(entry->from, span->span_id, sizeof(entry->from)) != 0) {
            continue;
        }
        if (!entry->is_child) {
            add_link(span, entry);
        }
        first_ns = entry->start_ns < first_ns ? entry->start_ns : first_ns;
        last_ns = entry->end_ns > last_ns ? entry->end_ns : last_ns;
    }
    if (last_ns != 0) {
        add_events(span, record, first_ns, last_ns);
    }
}
