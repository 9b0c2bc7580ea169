/* One export request: the next spans of a reader, grouped by resource, in one piece of memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/queue.h"
#include "worker/transport/transport.h"

/* The memory of one request; kept from one to the next. */
struct batch_buffer {
    uint8_t *bytes;
    size_t capacity;
};

/* Takes at most `max_spans` spans, LIMIT_BATCH_BYTES at most (but one in any case), off the queue
   and writes them as an ExportTraceServiceRequest. `*batch` borrows from the buffer. Returns false
   if nothing waits, or -- nothing is taken then -- if there is no memory. */
bool batch_gather(struct queue *queue, uint32_t reader, uint32_t max_spans,
                  struct batch_buffer *buffer, struct export_batch *batch);

/* Writes the request with `count` spans of another that batch_gather made, after the first `from`.
   `*part` borrows from the buffer. False without memory, or if there are not so many. */
bool batch_part(const struct export_batch *batch, uint32_t from, uint32_t count,
                struct batch_buffer *buffer, struct export_batch *part);

void batch_buffer_finish(struct batch_buffer *buffer);
