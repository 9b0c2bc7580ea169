/* WebSocket: one record per connection, with counts in each direction. */
#pragma once

#include "app_thread/protocol.h"

/* After the 101 in `handshake`'s record, whose child the connection's record becomes; both
   directions are held. `path` and the rest are copied from the handshake. */
void websocket_exchange_start(struct thread_state *self, struct connection *connection,
                              uint16_t handshake, uint64_t now);
void websocket_exchange_frames(struct passage *passage, struct slice *in);
void websocket_exchange_unseen(struct passage *passage, uint64_t count);
void websocket_exchange_finish(struct thread_state *self, struct connection *connection,
                               enum record_error error, int system_error, uint64_t now);
