/*
 * Bytes passing in one direction of a connection, and what each protocol makes of them.
 *
 * Requests that this process sends are framed before the call that sends them and, if it sent only
 * a part, once more for that part (protocol_cut): LIVE first; then COUNT, which only finds out what
 * lies before the cut; then REFILL, which frames the message in which the cut lies.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "base/slice.h"

enum passage_mode { PASSAGE_LIVE, PASSAGE_COUNT, PASSAGE_REFILL };

/* Messages that end within one call whose exchanges can only be told to be over after it. */
#define PASSAGE_FINISHED_MAX 8u

struct passage {
    struct thread_state *self;
    struct connection *connection;
    enum direction_name direction;
    enum passage_mode mode;
    bool before_call;
    bool holds_both; /* the other direction, too */
    bool suppressed; /* events of the message at hand leave no trace */
    uint64_t now;
    uint64_t framed;  /* bytes, until something became pending */
    uint32_t births;  /* messages begun in this passage */
    uint32_t ends;    /* of these, ended */
    uint32_t skipped; /* REFILL: births that are kept from the first framing */
    bool first_ended; /* the message that was at hand before the passage ended in it */
    uint8_t finished_count;
    uint16_t finished[PASSAGE_FINISHED_MAX];
};

/* Bytes pass; the caller holds the direction. */
void protocol_pass(struct passage *passage, struct slice bytes);

/* Bytes pass that nobody can see (sendfile, splice). */
void protocol_pass_unseen(struct passage *passage, uint64_t count);

/* Whether what was framed to its end is over once it is sent (Redis commands without an answer), so
   that protocol_commit needs to know when that was. */
bool protocol_ends_when_sent(const struct passage *passage);

/* The call sent everything that was framed before it. */
void protocol_commit(struct passage *passage, uint64_t now);

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
void protocol_malformed(struct connection *connection);

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

/* ---- before a call, and after it ---- */

/* Where a direction's framing stood before a call. */
struct checkpoint {
    uint8_t protocol;
    uint8_t role;
    uint8_t first_size;
    uint8_t reply_mode;
    bool skips_next;
    bool sends_transaction;
    bool was_idle; /* Redis: the parser stood between two commands, and is not kept */
    uint16_t current_slot;
    uint16_t text_used;
    uint16_t flags;
    uint64_t body_bytes;
    uint64_t bytes;
    uint64_t first_ns;
    uint64_t command_start;
    uint32_t carry_block;
    uint32_t saved_block; /* slab buffer: the carry or the command at hand, if there was one */
    union {
        uint8_t first[LIMIT_IDENTIFY_BYTES];
        struct http1 http1;
        struct resp resp;
    };
};

/* Whether bytes sent now should be framed before the call. */
bool protocol_frames_before(const struct connection *connection);

/* False if no memory could be had for what is at hand: then frame after the call. */
bool protocol_save(struct checkpoint *checkpoint, const struct connection *connection);

/* Only the first `sent` bytes of what was framed before the call were sent. `read_again` gives the
   bytes once more, slice by slice, to `protocol_pass`. */
typedef void passage_replay(struct passage *passage, void *context, uint64_t count);
void protocol_cut(struct passage *passage, const struct checkpoint *checkpoint, uint64_t sent,
                  passage_replay *replay, void *context);

void protocol_drop_checkpoint(const struct checkpoint *checkpoint);
