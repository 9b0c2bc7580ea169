#include "worker/batch.h"

#include <stdlib.h>
#include <string.h>

#include "worker/otlp/envelope.h"

/* The entries of one batch, chained by resource in the order in which resources turn up. */
struct selection {
    struct resource *first;
    struct resource *last;
    uint32_t spans;
    size_t bytes; /* of the whole request */
};

static void chain(struct selection *selection, struct queue_entry *entry)
{
    struct resource *resource = entry->resource;
    entry->next_in_batch = NULL;
    if (resource->batch_first != NULL) {
        resource->batch_last->next_in_batch = entry;
    } else {
        resource->batch_first = entry;
        resource->batch_bytes = 0;
        resource->batch_next = NULL;
        if (selection->last != NULL) {
            selection->last->batch_next = resource;
        } else {
            selection->first = resource;
        }
        selection->last = resource;
    }
    resource->batch_last = entry;
    resource->batch_bytes += entry->size;
    selection->spans++;
}

/* An upper bound of what an entry adds to the request. */
static size_t cost_of(const struct queue_entry *entry)
{
    bool opens_group = entry->resource->batch_first == NULL;
    return entry->size + (opens_group ? otlp_envelope_size(entry->resource->size, 0) + 32 : 0);
}

static void select_entries(struct selection *selection, const struct queue *queue, uint32_t reader,
                           uint32_t max_spans)
{
    struct queue_reader at = queue->readers[reader];
    size_t cost = 0;
    while (selection->spans < max_spans) {
        struct queue_entry *entry = queue_peek(queue, reader, &at);
        if (entry == NULL) {
            break;
        }
        cost += cost_of(entry);
        if (cost > LIMIT_BATCH_BYTES && selection->spans > 0) {
            break;
        }
        chain(selection, entry);
    }
    for (struct resource *resource = selection->first; resource != NULL;
         resource = resource->batch_next) {
        selection->bytes += otlp_envelope_size(resource->size, resource->batch_bytes);
    }
}

static bool make_room(struct batch_buffer *buffer, size_t size)
{
    if (buffer->capacity >= size) {
        return true;
    }
    /* What is there need not be kept. A quarter more, so that the next ones fit as well. */
    size += size / 4;
    free(buffer->bytes);
    buffer->capacity = 0;
    buffer->bytes = malloc(size);
    if (buffer->bytes == NULL) {
        return false;
    }
    buffer->capacity = size;
    return true;
}

static uint8_t *write_group(uint8_t *at, const struct resource *resource)
{
    at = otlp_envelope_open(at, slice_of(resource->bytes, resource->size), resource->batch_bytes);
    for (const struct queue_entry *entry = resource->batch_first; entry != NULL;
         entry = entry->next_in_batch) {
        memcpy(at, entry->bytes, entry->size);
        at += entry->size;
    }
    return otlp_envelope_close(at);
}

bool batch_gather(struct queue *queue, uint32_t reader, uint32_t max_spans,
                  struct batch_buffer *buffer, struct export_batch *batch)
{
    struct selection selection = {0};
    select_entries(&selection, queue, reader, max_spans);
    bool has_room = selection.spans > 0 && make_room(buffer, selection.bytes);
    uint8_t *at = buffer->bytes;
    for (struct resource *resource = selection.first; resource != NULL;
         resource = resource->batch_next) {
        if (has_room) {
            at = write_group(at, resource);
        }
        resource->batch_first = NULL;
    }
    if (!has_room) {
        return false;
    }
    queue_take(queue, reader, selection.spans);
    *batch = (struct export_batch){
        .bytes = buffer->bytes,
        .size = (size_t)(at - buffer->bytes),
        .span_count = selection.spans,
    };
    return true;
}

bool batch_part(const struct export_batch *batch, uint32_t from, uint32_t count,
                struct batch_buffer *buffer, struct export_batch *part)
{
    struct slice request = slice_of(batch->bytes, batch->size);
    struct slice resource;
    struct slice spans;
    uint32_t left = count;
    /* Lengths take no more bytes than those of the whole. */
    if (!make_room(buffer, batch->size)) {
        return false;
    }
    uint8_t *at = buffer->bytes;
    while (left > 0 && otlp_envelope_take(&request, &resource, &spans)) {
        uint32_t taken;
        otlp_envelope_take_spans(&spans, from, &taken);
        from -= taken;
        struct slice chosen = otlp_envelope_take_spans(&spans, left, &taken);
        left -= taken;
        if (taken > 0) {
            at = otlp_envelope_open(at, resource, chosen.size);
            memcpy(at, chosen.data, chosen.size);
            at = otlp_envelope_close(at + chosen.size);
        }
    }
    if (left > 0) {
        return false;
    }
    *part = (struct export_batch){
        .bytes = buffer->bytes,
        .size = (size_t)(at - buffer->bytes),
        .span_count = count,
    };
    return true;
}

void batch_buffer_finish(struct batch_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct batch_buffer){NULL, 0};
}
