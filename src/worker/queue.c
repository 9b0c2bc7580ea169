#include "worker/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define ALIGNMENT 8u

static size_t entry_size(size_t bytes)
{
    size_t size = sizeof(struct queue_entry) + bytes;
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static struct queue_entry *entry_at(struct queue_chunk *chunk, uint32_t offset)
{
    /* Offsets are sums of entry_size: aligned as the chunk's bytes are. */
    return (struct queue_entry *)(void *)(chunk->bytes + offset);
}

void queue_init(struct queue *queue, uint32_t reader_count, uint32_t max_spans, size_t max_bytes)
{
    *queue = (struct queue){
        .reader_count = reader_count,
        .max_spans = max_spans,
        .max_bytes = max_bytes,
    };
}

static void free_chunk(struct queue_chunk *chunk)
{
    for (uint32_t offset = 0; offset < chunk->used;) {
        struct queue_entry *entry = entry_at(chunk, offset);
        if (entry->readers != 0) {
            resource_release(entry->resource);
        }
        offset += (uint32_t)entry_size(entry->size);
    }
    free(chunk);
}

void queue_finish(struct queue *queue)
{
    while (queue->first != NULL) {
        struct queue_chunk *next = queue->first->next;
        free_chunk(queue->first);
        queue->first = next;
    }
    free(queue->spare);
    *queue = (struct queue){0};
}

static bool reader_has_room(const struct queue *queue, const struct queue_reader *reader,
                            size_t size)
{
    return reader->spans < queue->max_spans && reader->bytes + size <= queue->max_bytes;
}

bool queue_has_room(const struct queue *queue)
{
    for (uint32_t i = 0; i < queue->reader_count; i++) {
        if (reader_has_room(queue, &queue->readers[i], 1)) {
            return true;
        }
    }
    return false;
}

/* ---- chunks ---- */

static SLOW bool add_chunk(struct queue *queue)
{
    struct queue_chunk *chunk = queue->spare;
    queue->spare = NULL;
    if (chunk == NULL) {
        chunk = malloc(sizeof(*chunk) + LIMIT_QUEUE_CHUNK);
        if (chunk == NULL) {
            return false;
        }
    }
    chunk->next = NULL;
    chunk->used = 0;
    chunk->untaken = 0;
    if (queue->last != NULL) {
        queue->last->next = chunk;
    } else {
        queue->first = chunk;
    }
    queue->last = chunk;
    return true;
}

/* Readers that stand in a chunk which goes stand at the beginning of the next one. */
static void move_readers(struct queue *queue, const struct queue_chunk *from,
                         struct queue_chunk *to)
{
    for (uint32_t i = 0; i < queue->reader_count; i++) {
        if (queue->readers[i].chunk == from) {
            queue->readers[i].chunk = to;
            queue->readers[i].offset = 0;
        }
    }
}

static void unlink_chunk(struct queue *queue, struct queue_chunk *previous,
                         struct queue_chunk *chunk)
{
    move_readers(queue, chunk, chunk->next);
    if (previous != NULL) {
        previous->next = chunk->next;
    } else {
        queue->first = chunk->next;
    }
    if (queue->last == chunk) {
        queue->last = previous;
    }
    if (queue->spare == NULL) {
        queue->spare = chunk;
    } else {
        free(chunk);
    }
}

static SLOW void drop_empty_chunks(struct queue *queue)
{
    struct queue_chunk *previous = NULL;
    struct queue_chunk *chunk = queue->first;
    while (chunk != NULL) {
        struct queue_chunk *next = chunk->next;
        if (chunk->untaken == 0) {
            unlink_chunk(queue, previous, chunk);
        } else {
            previous = chunk;
        }
        chunk = next;
    }
}

uint8_t *queue_reserve(struct queue *queue, size_t size, size_t *capacity)
{
    if (unlikely(entry_size(size) > LIMIT_QUEUE_CHUNK)) {
        return NULL;
    }
    if (unlikely(queue->last == NULL || LIMIT_QUEUE_CHUNK - queue->last->used < entry_size(size)) &&
        !add_chunk(queue)) {
        return NULL;
    }
    struct queue_chunk *chunk = queue->last;
    *capacity = LIMIT_QUEUE_CHUNK - chunk->used - sizeof(struct queue_entry) - (ALIGNMENT - 1);
    return entry_at(chunk, chunk->used)->bytes;
}

uint32_t queue_commit(struct queue *queue, struct resource *resource, size_t size)
{
    struct queue_chunk *chunk = queue->last;
    struct queue_entry *entry = entry_at(chunk, chunk->used);
    uint32_t without_room = 0;
    entry->readers = 0;
    for (uint32_t i = 0; i < queue->reader_count; i++) {
        struct queue_reader *reader = &queue->readers[i];
        if (unlikely(!reader_has_room(queue, reader, size))) {
            without_room++;
            continue;
        }
        if (reader->chunk == NULL) {
            reader->chunk = chunk;
            reader->offset = chunk->used;
        }
        entry->readers |= 1u << i;
        reader->spans++;
        reader->bytes += size;
        chunk->untaken++;
    }
    if (likely(entry->readers != 0)) {
        entry->resource = resource_borrow(resource);
        entry->size = (uint32_t)size;
        chunk->used += (uint32_t)entry_size(size);
    }
    return without_room;
}

struct queue_entry *queue_peek(const struct queue *queue, uint32_t reader, struct queue_reader *at)
{
    (void)queue;
    while (at->chunk != NULL) {
        while (at->offset < at->chunk->used) {
            struct queue_entry *entry = entry_at(at->chunk, at->offset);
            at->offset += (uint32_t)entry_size(entry->size);
            if ((entry->readers & 1u << reader) != 0) {
                return entry;
            }
        }
        if (at->chunk->next == NULL) {
            return NULL;
        }
        at->chunk = at->chunk->next;
        at->offset = 0;
    }
    return NULL;
}

void queue_take(struct queue *queue, uint32_t number, uint32_t count)
{
    struct queue_reader *reader = &queue->readers[number];
    bool empties = false;
    while (count-- > 0) {
        struct queue_entry *entry = queue_peek(queue, number, reader);
        if (entry == NULL) {
            break;
        }
        entry->readers &= ~(1u << number);
        reader->spans--;
        reader->bytes -= entry->size;
        if (entry->readers == 0) {
            resource_release(entry->resource);
        }
        empties |= --reader->chunk->untaken == 0;
    }
    if (empties) {
        drop_empty_chunks(queue);
    }
}
