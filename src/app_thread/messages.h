/*
 * Messages of a service by a WebSocket, as far as its rules name them (wire/service.h).
 *
 * Only texts of a connection on which this process is the client are read, those that come and, if
 * a rule asks, those that go; and only where the request that opened the WebSocket is a service's.
 * Compressed ones are decompressed for it (RFC 7692).
 */
#pragma once

#include <stdint.h>

#include "app_thread/connection.h"
#include "wire/websocket.h"

/* The WebSocket was opened by `handshake`: reads its messages from here on, if a rule asks. */
void messages_begin(struct connection *connection, const struct record *handshake,
                    const struct websocket_deflate *deflate);

/* What passes of a frame, of those with data. `item` is the piece of the payload as on the wire. */
void messages_frame(struct direction *direction, const struct websocket_item *item, uint64_t now);
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
