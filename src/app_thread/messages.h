/*
 * Messages of a service that come by a WebSocket, as far as its rules name them (wire/service.h).
 *
 * Only texts that this process receives as a client are read, and only where the request that
 * opened the WebSocket is a service's. Compressed ones are decompressed for it (RFC 7692).
 */
#pragma once

#include <stdint.h>

#include "app_thread/connection.h"
#include "wire/websocket.h"

/* The WebSocket was opened by `handshake`: reads its messages from here on, if a rule asks. */
void messages_begin(struct connection *connection, const struct record *handshake,
                    const struct websocket_deflate *deflate);

/* What comes of a frame, of those with data. `passage` is that of the direction that comes in. */
void messages_frame(struct direction *direction, const struct websocket_item *item, uint64_t now);
void messages_payload(struct direction *direction, struct slice bytes);
void messages_frame_end(struct thread_state *self, struct connection *connection,
                        struct direction *direction, uint64_t now);

/* Bytes were missed inside a frame. */
void messages_missed(struct direction *direction);
