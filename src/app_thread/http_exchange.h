/* HTTP/1 exchanges: requests and responses of one connection become records. */
#pragma once

#include "app_thread/protocol.h"

/* The requests' parser as it was between two messages. */
void http_exchange_restart_requests(struct direction *requests);

/* Gives back what memory a direction has for the message at hand. */
void http_exchange_give_buffers(struct direction *direction);

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
