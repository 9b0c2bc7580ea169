/*
 * Messages that come by a WebSocket: what a service says, as far as its rules name it
 * (wire/service.h), and the trace context that a message carries (wire/json_context.h).
 *
 * A service's are read where this process is the client and the request that opened the WebSocket
 * is the service's: those that come and, if a rule asks, those that go. A context is looked for in
 * every text that comes and begins as a JSON object. What the thread does from there on is for that
 * context, until the next message, however that looks, or the end of the connection; of several
 * messages that come with one read it is not known which one the program works for, so none counts.
 * Compressed messages are decompressed (RFC 7692): a service's always, others as long as contexts
 * are found in them.
 */
#pragma once

#include <stdint.h>

#include "app_thread/connection.h"
#include "wire/websocket.h"

/* The WebSocket was opened by `handshake`: reads its messages from here on, if a rule asks. */
void messages_begin(struct connection *connection, const struct record *handshake,
                    const struct websocket_deflate *deflate);

/* What passes of a frame, of those with data. `item` is the piece of the payload as on the wire;
   `now` tells one read from another. */
void messages_frame(struct thread_state *self, struct connection *connection,
                    struct direction *direction, const struct websocket_item *item, uint64_t now);
void messages_payload(struct direction *direction, const struct websocket_item *item);
void messages_frame_end(struct thread_state *self, struct connection *connection,
                        struct direction *direction, uint64_t now);

/* Whether what this process sends is read: then what comes may be the answer. Also without holding
   the direction. */
static inline bool messages_are_sent(const struct connection *connection)
{
    return __atomic_load_n(&connection->directions[DIRECTION_OUT].body_block, __ATOMIC_RELAXED) !=
           0;
}

/* Bytes were missed inside a frame. */
void messages_missed(struct direction *direction);

/* The WebSocket is closed: nothing more is read. */
void messages_end(struct thread_state *self, struct connection *connection, uint64_t now);
