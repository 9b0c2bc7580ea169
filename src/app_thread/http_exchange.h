/* HTTP/1 exchanges: requests and responses of one connection become records. */
#pragma once

#include "app_thread/exchange.h"
#include "app_thread/protocol.h"

/* A request whose head was looked at before the call that sends it. It need not be read again when
   it is framed. */
struct http_preview {
    struct http1_head head;
    struct http1 parser; /* as it is behind the head */
    const uint8_t *data; /* of the head */
    size_t size;
    bool is_planned; /* its ids go out with it */
    struct exchange_plan plan;
};

/* Whether a whole head lies there; then fills the first four, with no plan. `traceparent` and
   `tracestate` are among the head's fields. */
bool http_exchange_preview(struct http_preview *preview, struct slice bytes);

/* The requests' parser as it was between two messages. */
void http_exchange_restart_requests(struct direction *requests);

/* Gives back what memory a direction has for the message at hand. */
void http_exchange_give_buffers(struct direction *direction);
/* A head that came in part is not to be read to its end: what it carried goes. */
void http_exchange_drop_head(struct direction *requests);

/* Both directions are at the beginning of a message. */
void http_exchange_start(struct direction *requests, struct direction *replies);

/* Each consumes `*in` until it is used up or the connection's protocol changes. */
void http_exchange_requests(struct passage *passage, struct slice *in);
void http_exchange_replies(struct passage *passage, struct slice *in);
void http_exchange_unseen(struct passage *passage, uint64_t count);

/* FIN in the passage's direction. */
void http_exchange_end(struct passage *passage);

/* The request in that slot has been sent whole. */
void http_exchange_request_sent(struct thread_state *self, uint16_t slot, uint64_t now);

/* Both directions are held: the answer that PENDING_UPGRADE speaks of takes effect. */
void http_exchange_upgrade(struct thread_state *self, struct connection *connection);

/* Both directions are held: completes everything open. */
void http_exchange_finish(struct thread_state *self, struct connection *connection,
                          enum record_error error, int system_error, uint64_t now);
