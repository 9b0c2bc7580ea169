/*
 * Bytes passing in one direction of a connection, and what each protocol makes of them.
 *
 * All bytes are framed after the call that sent or received them: only then is it known how many
 * there are, and that they can be read. The answer may come before: a thread that receives while
 * another has sent something that is not framed yet lets the bytes wait that could be its answer
 * (protocol_pass holds them back in slab buffers), and whoever next has both directions frames them
 * (protocol_release). Requests wait in the same way for the few things that take both directions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "base/slice.h"

struct http_preview;

struct passage {
    struct thread_state *self;
    struct connection *connection;
    enum direction_name direction;
    bool holds_both;              /* the other direction, too */
    bool is_late;                 /* the bytes were held back: nothing is to be waited for */
    bool in_flight;               /* requests may have been sent that are not framed yet */
    bool waits;                   /* what is left is to be held back */
    uint64_t now;                 /* when the bytes began to pass */
    uint64_t end_ns;              /* when they had passed; 0: now, passage_end_ns() looks */
    struct http_preview *preview; /* of the request that begins with them; or NULL */
};

static inline uint64_t passage_end_ns(struct passage *passage)
{
    if (passage->end_ns == 0) {
        passage->end_ns = clock_now_ns();
    }
    return passage->end_ns;
}

/* Bytes pass; the caller holds the direction. */
void protocol_pass(struct passage *passage, struct slice bytes);

/* What is to be taken back of requests that were framed before the call that was to send them. */
struct ahead {
    uint64_t size;   /* bytes that were framed; 0: none */
    uint64_t bytes;  /* the direction's, before */
    uint32_t pushed; /* exchanges that have been awaited, ever */
    bool pipelines;
    bool redis_sends_transaction;
    bool redis_quits;
};

/* Frames requests that a client is about to send, if one begins with them and nothing stands in
   the way; remembers how to take it back. The caller holds the direction, and the bytes can be
   read. */
void protocol_frame_ahead(struct passage *passage, const struct iovec *iov, size_t count,
                          struct ahead *ahead);

/* The connection speaks HTTP, or has not said yet what it speaks. */
static inline bool protocol_may_be_http(const struct connection *connection)
{
    return atomic_load_explicit(&connection->protocol, memory_order_relaxed) <= PROTOCOL_HTTP1;
}

/* Whether the next byte of a client may begin an HTTP request into which something may be written.
   The caller holds the direction. */
bool protocol_may_begin_http(const struct passage *passage);
/* Then: `first` begins with a whole head. Afterwards the connection's protocol is decided. */
bool protocol_begins_http(struct passage *passage, struct slice first);

/* The same for a command of Redis's, of which `first` begins with one. */
bool protocol_begins_redis(struct passage *passage, struct slice first);

/* The call sent less: takes all back that was framed ahead. False if that cannot be done any more
   (the connection is adrift then): what was sent is not to be framed. */
bool protocol_take_back(struct passage *passage, const struct ahead *ahead);

/* Bytes pass that nobody can see (sendfile, splice). */
void protocol_pass_unseen(struct passage *passage, uint64_t count);

/* FIN in that direction. */
void protocol_end(struct passage *passage);

/* Both directions are held: everything open is finished as the connection's failure says, or as
   `fallback`. */
void protocol_finish(struct thread_state *self, struct connection *connection,
                     enum record_error fallback, uint64_t now);

/* Whether the end of the process ends what is open on the connection in order, as a close would. To
   be asked at that end only: nothing is held, so the answer may be of a moment ago. */
bool protocol_ends_with_process(struct connection *connection);

/* Both directions are held: everything open is given up and counted. */
void protocol_abandon(struct thread_state *self, struct connection *connection, uint64_t now);

/* The bytes broke the protocol's rules: the connection is no longer read. */
void protocol_malformed(struct passage *passage);

/* From here on only counted. With a reason other than OPAQUE_NONE the connection gets a span of its
   own that says it. */
void protocol_park(struct passage *passage, enum opaque_reason reason);
/* The same for a caller that holds both directions. */
void protocol_park_both(struct passage *passage, enum opaque_reason reason);

/* Framers of both directions are set up for a protocol; both are held. */
void protocol_start(struct connection *connection, enum connection_protocol protocol);

/* From here on the connection's bytes are the plaintext of a TLS session: what was made of the
   ciphertext is forgotten, what the sockets carry is only counted. Nothing changes if the session
   is the connection's already. False if it cannot be now. */
bool protocol_start_above(struct thread_state *self, const struct touch *touch, uintptr_t session);

/* ---- around a call ---- */

/* Whether the direction is to be held over a call that sends: so that nobody takes what comes
   meanwhile for more than it is. */
bool protocol_holds_over_call(const struct connection *connection);

/* Both directions are held: frames what was held back. `held`: PENDING_HELD_OUT, PENDING_HELD_IN.
 */
void protocol_release(struct thread_state *self, struct connection *connection, uint32_t held);

/* Both directions are held: drops it. */
void protocol_drop_held(struct connection *connection);
