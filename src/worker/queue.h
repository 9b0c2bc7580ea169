/*
 * Encoded spans on their way to the ways out.
 *
 * A span is stored once; each way out (a reader) has its own place in the queue and its own bounds,
 * so that one that stands still neither loses nor delays what is for the others. Memory is a list
 * of chunks; a chunk goes when every reader has taken what was for it.
 *
 * One thread uses a queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "worker/resource.h"

/* A span in the queue. */
struct queue_entry {
    struct resource *resource;
    struct queue_entry *next_in_batch; /* while batch.c gathers */
    uint32_t size;
    uint32_t readers; /* bit for each reader that is still to take it */
    uint8_t bytes[];  /* a `spans` field of ScopeSpans */
};

struct queue_chunk {
    struct queue_chunk *next;
    uint32_t used;
    uint32_t untaken; /* (entry, reader) pairs */
    _Alignas(8) uint8_t bytes[];
};

struct queue_reader {
    struct queue_chunk *chunk; /* NULL: at the beginning of the first chunk to come */
    uint32_t offset;
    uint32_t spans; /* waiting for this reader */
    size_t bytes;
};

struct queue {
    struct queue_chunk *first;
    struct queue_chunk *last;
    struct queue_chunk *spare; /* one kept, so that a steady flow does not allocate */
    uint32_t reader_count;
    uint32_t max_spans; /* for each reader */
    size_t max_bytes;   /* for each reader */
    struct queue_reader readers[LIMIT_TRANSPORTS];
};

void queue_init(struct queue *queue, uint32_t reader_count, uint32_t max_spans, size_t max_bytes);
void queue_finish(struct queue *queue);

/* Whether any reader could take one more span. */
bool queue_has_room(const struct queue *queue);

/* Room for an entry of up to `size` bytes at the queue's end; NULL if there is no memory. Lasts
   until the next call. What fits in `*capacity` without another chunk may be larger. */
uint8_t *queue_reserve(struct queue *queue, size_t size, size_t *capacity);

/* Appends the entry whose bytes were written where queue_reserve said, for every reader that has
   room. Returns how many had none: that many times the span is lost. */
uint32_t queue_commit(struct queue *queue, struct resource *resource, size_t size);

/* Moves `*at`, a copy of a reader's place, to the next entry for that reader and past it. NULL at
   the end. The entry stays valid until queue_take. */
struct queue_entry *queue_peek(const struct queue *queue, uint32_t reader, struct queue_reader *at);

/* The reader takes its next `count` entries: they are not its any more. */
void queue_take(struct queue *queue, uint32_t reader, uint32_t count);
