#include "app_thread/protocol.h"

#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/redis_exchange.h"
#include "app_thread/tls_session.h"
#include "app_thread/websocket_exchange.h"
#include "handoff/segment.h"
#include "wire/identify.h"
#include "wire/redis_command.h"

static struct direction *direction_of(struct passage *passage)
{
    return &passage->connection->directions[passage->direction];
}

static enum connection_protocol protocol_of(const struct connection *connection)
{
    return (enum connection_protocol)atomic_load_explicit(&connection->protocol,
                                                          memory_order_acquire);
}

static void set_protocol(struct connection *connection, enum connection_protocol protocol)
{
    atomic_store_explicit(&connection->protocol, (uint8_t)protocol, memory_order_release);
}

void protocol_start(struct connection *connection, enum connection_protocol protocol)
{
    struct direction *requests = connection_requests(connection);
    struct direction *replies = connection_replies(connection);
    requests->current_slot = SEGMENT_NO_SLOT;
    requests->first_size = 0;
    replies->first_size = 0;
    if (protocol == PROTOCOL_HTTP1) {
        http_exchange_start(requests, replies);
    } else if (protocol == PROTOCOL_REDIS) {
        redis_exchange_start(connection);
        resp_init(&requests->resp, RESP_COMMANDS);
        resp_init(&replies->resp, RESP_REPLIES);
        if (connection->redis.command_block == 0) {
            exchange_count_loss(LOSS_SLAB_FULL);
            protocol = PROTOCOL_COUNTED;
        }
    }
    set_protocol(connection, protocol);
}

/* The direction beside the one that is held. False if somebody else has it: then nothing that is
   of both can be changed, and the connection is given up. */
static bool take_other(struct passage *passage)
{
    struct connection *connection = passage->connection;
    uint8_t free = 0;
    if (passage->holds_both ||
        atomic_compare_exchange_strong_explicit(&connection->busy[1 - passage->direction], &free, 1,
                                                memory_order_seq_cst, memory_order_relaxed)) {
        return true;
    }
    exchange_count_loss(LOSS_CONTENDED);
    connection_set_adrift_for_good(connection);
    return false;
}

static void leave_other(struct passage *passage)
{
    /* Who came in vain meanwhile left a bit in `pending`, for connection_leave to see. */
    if (!passage->holds_both) {
        atomic_store_explicit(&passage->connection->busy[1 - passage->direction], 0,
                              memory_order_seq_cst);
    }
}

void protocol_park(struct passage *passage, enum opaque_reason reason)
{
    if (take_other(passage)) {
        protocol_park_both(passage, reason);
        leave_other(passage);
    }
}

void protocol_park_both(struct passage *passage, enum opaque_reason reason)
{
    struct connection *connection = passage->connection;
    set_protocol(connection, PROTOCOL_COUNTED);
    connection_learn_endpoints(connection);
    /* Unix sockets without a known protocol are the inside of programs: self-pipes, buses. */
    if (reason == OPAQUE_NONE || connection->session_slot != SEGMENT_NO_SLOT ||
        (connection->is_unix && reason == OPAQUE_UNKNOWN)) {
        return;
    }
    connection->opaque_reason = (uint8_t)reason;
    uint64_t start_ns = connection->opened_ns != 0 ? connection->opened_ns : passage->now;
    connection->session_slot = exchange_begin(passage->self, connection, RECORD_OPAQUE, start_ns);
    struct record *record = exchange_record(connection->session_slot);
    if (record != NULL) {
        record->opaque.reason = (uint8_t)reason;
        record->opaque.is_server = connection->role == ROLE_SERVER;
    }
}

void protocol_malformed(struct connection *connection)
{
    exchange_count_loss(LOSS_MALFORMED);
    connection->malformed = true;
    connection_set_adrift(connection);
}

/* ---- first bytes ---- */

static enum opaque_reason reason_of(enum wire_protocol found)
{
    switch (found) {
    case WIRE_TLS:
        return OPAQUE_TLS;
    case WIRE_HTTP2:
        return OPAQUE_HTTP2;
    case WIRE_UNKNOWN:
    case WIRE_UNDECIDED:
    case WIRE_HTTP1:
    case WIRE_RESP:
    default:
        return OPAQUE_UNKNOWN;
    }
}

/* The first bytes of the requests' direction say `found`; both directions are held. */
static void decide(struct passage *passage, enum wire_protocol found)
{
    struct connection *connection = passage->connection;
    if (connection->role == ROLE_UNKNOWN) {
        connection->role = passage->direction == DIRECTION_OUT ? ROLE_CLIENT : ROLE_SERVER;
    }
    if (found == WIRE_HTTP1) {
        protocol_start(connection, PROTOCOL_HTTP1);
    } else if (found == WIRE_RESP && connection->role == ROLE_CLIENT) {
        protocol_start(connection, PROTOCOL_REDIS);
    } else if (found == WIRE_RESP) {
        /* This process is the Redis server: its clients make the spans. */
        protocol_park_both(passage, OPAQUE_NONE);
    } else {
        protocol_park_both(passage, reason_of(found));
        connection->wants_hello = found == WIRE_TLS;
        connection_requests(connection)->first_size = 0;
    }
}

/* Adds to the bytes kept until they can be judged. */
static struct slice keep_first(struct direction *direction, struct slice bytes, uint64_t now,
                               uint8_t together[LIMIT_IDENTIFY_BYTES])
{
    size_t room = LIMIT_IDENTIFY_BYTES - direction->first_size;
    size_t size = bytes.size < room ? bytes.size : room;
    if (direction->first_size == 0) {
        direction->first_ns = now;
    }
    memcpy(together, direction->first, direction->first_size);
    memcpy(together + direction->first_size, bytes.data, size);
    return slice_of(together, direction->first_size + size);
}

static void dispatch(struct passage *passage, struct slice *in);

/* Bytes in the direction that requests would take. */
static void identify_requests(struct passage *passage, struct slice *in)
{
    struct direction *direction = direction_of(passage);
    uint8_t together[LIMIT_IDENTIFY_BYTES];
    size_t kept = direction->first_size;
    struct slice first = keep_first(direction, *in, passage->now, together);
    enum wire_protocol found = identify_client_bytes(first);
    if (found == WIRE_UNDECIDED) {
        memcpy(direction->first, first.data, first.size);
        direction->first_size = (uint8_t)first.size;
        in->size = 0;
        return;
    }
    if (!take_other(passage)) {
        in->size = 0;
        return;
    }
    uint64_t now = passage->now;
    passage->now = direction->first_ns;
    decide(passage, found);
    leave_other(passage);
    /* What was kept passed in an earlier call and is framed now. */
    struct slice earlier = slice_of(together, kept);
    direction->bytes -= kept;
    while (earlier.size > 0) {
        size_t before = earlier.size;
        dispatch(passage, &earlier);
        direction->bytes += before - earlier.size;
    }
    passage->now = now;
}

/* Bytes that come before any request was seen, in the direction that replies would take. */
static void identify_replies(struct passage *passage, struct slice *in)
{
    struct connection *connection = passage->connection;
    enum wire_protocol found = identify_server_bytes(*in);
    in->size = 0;
    if (found == WIRE_HTTP1 || found == WIRE_RESP || found == WIRE_UNDECIDED) {
        /* An answer to something that was not seen, or said unasked. Wait for a request. */
        return;
    }
    if (!take_other(passage)) {
        return;
    }
    if (connection->role == ROLE_UNKNOWN) {
        connection->role = passage->direction == DIRECTION_OUT ? ROLE_SERVER : ROLE_CLIENT;
    }
    protocol_park_both(passage, reason_of(found));
    leave_other(passage);
}

/* A ClientHello passes, in whatever pieces: its random bytes will tell whose session it begins. */
static SLOW void note_hello(struct passage *passage, struct slice in)
{
    struct direction *direction = direction_of(passage);
    if (direction != connection_requests(passage->connection)) {
        return;
    }
    size_t room = LIMIT_TLS_HELLO_BYTES - direction->first_size;
    size_t size = in.size < room ? in.size : room;
    memcpy(direction->hello + direction->first_size, in.data, size);
    direction->first_size = (uint8_t)(direction->first_size + size);
    if (direction->first_size == LIMIT_TLS_HELLO_BYTES) {
        passage->connection->wants_hello = false;
        direction->first_size = 0;
        tls_session_hello(passage->connection, direction->hello + TLS_RANDOM_OFFSET);
    }
}

/* Neither connect nor accept was seen: the bytes tell which side this process is. */
static void identify_unknown_role(struct passage *passage, struct slice *in)
{
    struct direction *direction = direction_of(passage);
    enum wire_protocol as_client = identify_client_bytes(*in);
    bool is_in = passage->direction == DIRECTION_IN;
    bool may_be_hello = as_client == WIRE_UNDECIDED && in->data[0] == 22;
    if (direction->first_size > 0 || as_client == WIRE_HTTP1 || as_client == WIRE_HTTP2 ||
        as_client == WIRE_TLS || may_be_hello || (as_client == WIRE_RESP && !is_in)) {
        identify_requests(passage, in);
        return;
    }
    if (as_client == WIRE_RESP || as_client == WIRE_UNDECIDED) {
        /* Could be the answer to a Redis command sent before; or too little to tell. */
        in->size = 0;
        return;
    }
    identify_replies(passage, in);
}

static void identify(struct passage *passage, struct slice *in)
{
    switch ((enum connection_role)passage->connection->role) {
    case ROLE_CLIENT:
    case ROLE_SERVER:
        if (direction_of(passage) == connection_requests(passage->connection)) {
            identify_requests(passage, in);
        } else {
            identify_replies(passage, in);
        }
        break;
    case ROLE_UNKNOWN:
    default:
        identify_unknown_role(passage, in);
        break;
    }
}

/* ---- adrift ---- */

/* Who pipelines may still wait for answers when it sends the next request; after that long a time
   it does not. */
static bool is_quiet(const struct passage *passage)
{
    uint64_t replied_ns =
        atomic_load_explicit(&passage->connection->replied_ns, memory_order_relaxed);
    return passage->now > replied_ns + LIMIT_ADRIFT_QUIET_NS;
}

/* A safe boundary: the last thing seen was an answer, nothing is outstanding, and this begins a
   request. HTTP clients that have waited for each answer so far go on to do so; Redis clients send
   what they have. */
static bool is_safe_boundary(struct passage *passage, struct slice bytes)
{
    struct connection *connection = passage->connection;
    enum wire_protocol found = identify_client_bytes(bytes);
    bool waits_for_answers =
        connection->adrift_protocol == PROTOCOL_HTTP1 && !connection->pipelines;
    return atomic_load_explicit(&connection->replied, memory_order_relaxed) &&
           (waits_for_answers || is_quiet(passage)) &&
           atomic_load_explicit(&connection->pending, memory_order_acquire) == 0 &&
           direction_of(passage) == connection_requests(connection) &&
           ((found == WIRE_HTTP1 && connection->adrift_protocol == PROTOCOL_HTTP1) ||
            (found == WIRE_RESP && connection->adrift_protocol == PROTOCOL_REDIS));
}

/* Both directions may do this at once; then it is the answer that counts, later. */
static void note_direction(struct passage *passage)
{
    struct connection *connection = passage->connection;
    bool replied = direction_of(passage) == connection_replies(connection);
    if (replied) {
        atomic_store_explicit(&connection->replied_ns, passage->now, memory_order_relaxed);
    }
    atomic_store_explicit(&connection->replied, replied, memory_order_relaxed);
}

static void drift(struct passage *passage, struct slice *in)
{
    struct connection *connection = passage->connection;
    uint8_t free = 0;
    _Atomic uint8_t *other = &connection->busy[1 - passage->direction];
    if (is_safe_boundary(passage, *in) &&
        (passage->holds_both || atomic_compare_exchange_strong_explicit(
                                    other, &free, 1, memory_order_seq_cst, memory_order_relaxed))) {
        protocol_start(connection, (enum connection_protocol)connection->adrift_protocol);
        leave_other(passage);
        return;
    }
    note_direction(passage);
    in->size = 0;
}

/* ---- passing ---- */

static inline void dispatch_exchanges(struct passage *passage, bool is_http, struct slice *in)
{
    bool is_request = direction_of(passage) == connection_requests(passage->connection);
    if (is_http && is_request) {
        http_exchange_requests(passage, in);
    } else if (is_http) {
        http_exchange_replies(passage, in);
    } else if (is_request) {
        redis_exchange_commands(passage, in);
    } else {
        redis_exchange_replies(passage, in);
    }
}

static void dispatch(struct passage *passage, struct slice *in)
{
    switch (protocol_of(passage->connection)) {
    case PROTOCOL_UNDECIDED:
        identify(passage, in);
        break;
    case PROTOCOL_HTTP1:
        dispatch_exchanges(passage, true, in);
        break;
    case PROTOCOL_REDIS:
        dispatch_exchanges(passage, false, in);
        break;
    case PROTOCOL_WEBSOCKET:
        websocket_exchange_frames(passage, in);
        break;
    case PROTOCOL_ADRIFT:
        drift(passage, in);
        break;
    case PROTOCOL_COUNTED:
    default:
        if (unlikely(passage->connection->wants_hello)) {
            note_hello(passage, *in);
        }
        in->size = 0;
        break;
    }
}

/* What is framed again has to come out as it did the first time, whatever another thread has asked
   for since: a request that was begun and is not found again would be without an owner. */
static bool goes_on(const struct passage *passage)
{
    return passage->mode != PASSAGE_LIVE ||
           atomic_load_explicit(&passage->connection->pending, memory_order_relaxed) == 0;
}

void protocol_pass(struct passage *passage, struct slice bytes)
{
    struct direction *direction = direction_of(passage);
    size_t size = bytes.size;
    struct slice in = bytes;
    /* `direction->bytes` is the stream position of the first byte of `bytes` until all is framed;
       a protocol may change in between, hence the loop. */
    while (in.size > 0 && goes_on(passage)) {
        size_t before = in.size;
        enum connection_protocol protocol = protocol_of(passage->connection);
        if (likely(protocol == PROTOCOL_HTTP1 || protocol == PROTOCOL_REDIS)) {
            dispatch_exchanges(passage, protocol == PROTOCOL_HTTP1, &in);
        } else {
            dispatch(passage, &in);
        }
        direction->bytes += before - in.size;
        size -= before - in.size;
    }
    passage->framed += bytes.size - size;
    direction->bytes += size;
    if (unlikely(in.size > 0) &&
        (atomic_load_explicit(&passage->connection->pending, memory_order_relaxed) &
         PENDING_UPGRADE)) {
        /* The first frames came before the upgrade could take effect. */
        exchange_count_loss(LOSS_CONTENDED);
        connection_set_adrift(passage->connection);
    }
}

void protocol_pass_unseen(struct passage *passage, uint64_t count)
{
    struct connection *connection = passage->connection;
    switch (protocol_of(connection)) {
    case PROTOCOL_UNDECIDED:
        exchange_count_loss(LOSS_MISSED_BYTES);
        protocol_park(passage, OPAQUE_UNKNOWN);
        break;
    case PROTOCOL_HTTP1:
        http_exchange_unseen(passage, count);
        break;
    case PROTOCOL_REDIS:
        redis_exchange_unseen(passage, count);
        break;
    case PROTOCOL_WEBSOCKET:
        websocket_exchange_unseen(passage, count);
        break;
    case PROTOCOL_ADRIFT:
        note_direction(passage);
        break;
    case PROTOCOL_COUNTED:
    default:
        break;
    }
    direction_of(passage)->bytes += count;
}

bool protocol_ends_when_sent(const struct passage *passage)
{
    return protocol_of(passage->connection) == PROTOCOL_REDIS;
}

void protocol_commit(struct passage *passage, uint64_t now)
{
    bool ends = protocol_ends_when_sent(passage);
    for (uint8_t i = 0; i < passage->finished_count; i++) {
        if (ends) {
            exchange_complete(passage->self, passage->finished[i], now, RECORD_OK, 0);
        } else {
            http_exchange_request_sent(passage->self, passage->finished[i], now);
        }
    }
    passage->finished_count = 0;
}

void protocol_end(struct passage *passage)
{
    struct direction *direction = direction_of(passage);
    if (direction->ended) {
        return;
    }
    direction->ended = true;
    switch (protocol_of(passage->connection)) {
    case PROTOCOL_HTTP1:
        http_exchange_end(passage);
        break;
    case PROTOCOL_REDIS:
        redis_exchange_end(passage);
        break;
    case PROTOCOL_UNDECIDED:
    case PROTOCOL_WEBSOCKET:
    case PROTOCOL_COUNTED:
    case PROTOCOL_ADRIFT:
    default:
        break;
    }
}

static uint64_t bytes_on_wire(const struct connection *connection, enum direction_name name)
{
    return connection_source(connection) != 0
               ? atomic_load_explicit(&connection->encrypted_bytes[name], memory_order_relaxed)
               : connection->directions[name].bytes;
}

static void fill_counts(struct record *record, const struct connection *connection)
{
    record->opaque.is_server = connection->role == ROLE_SERVER;
    record->opaque.descriptor = connection->descriptor;
    record->opaque.bytes[DIRECTION_OUT] = bytes_on_wire(connection, DIRECTION_OUT);
    record->opaque.bytes[DIRECTION_IN] = bytes_on_wire(connection, DIRECTION_IN);
}

/* The diagnosis that WIRESPAN_CONNECTION_SPANS asks for. */
static void report_connection(struct thread_state *self, struct connection *connection,
                              uint64_t now)
{
    if (bytes_on_wire(connection, DIRECTION_OUT) == 0 &&
        bytes_on_wire(connection, DIRECTION_IN) == 0) {
        return;
    }
    uint64_t start_ns = connection->opened_ns != 0 ? connection->opened_ns : now;
    uint16_t slot = exchange_begin(self, connection, RECORD_OPAQUE, start_ns);
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        fill_counts(record, connection);
        exchange_complete(self, slot, now, RECORD_OK, 0);
    }
}

static void finish_opaque(struct thread_state *self, struct connection *connection, uint64_t now)
{
    struct record *record = exchange_record(connection->session_slot);
    if (record != NULL) {
        fill_counts(record, connection);
    }
    exchange_complete(self, connection->session_slot, now, (enum record_error)connection->failure,
                      connection->failure_errno);
    connection->session_slot = SEGMENT_NO_SLOT;
}

void protocol_finish(struct thread_state *self, struct connection *connection,
                     enum record_error fallback, uint64_t now)
{
    if (unlikely(connection->encrypted_end)) {
        /* The program did not ask the TLS library again after the peer's end. */
        struct passage passage = {.self = self,
                                  .connection = connection,
                                  .direction = DIRECTION_IN,
                                  .holds_both = true,
                                  .now = now};
        protocol_end(&passage);
    }
    enum record_error error =
        connection->failure != RECORD_OK ? (enum record_error)connection->failure : fallback;
    enum connection_protocol protocol = protocol_of(connection);
    if (protocol == PROTOCOL_ADRIFT) {
        protocol = (enum connection_protocol)connection->adrift_protocol;
    }
    /* Whatever is parked: exchanges of the protocol before may still be open. */
    if (protocol == PROTOCOL_WEBSOCKET) {
        websocket_exchange_finish(self, connection, error, connection->failure_errno, now);
    } else if (connection->session_slot != SEGMENT_NO_SLOT) {
        finish_opaque(self, connection, now);
    }
    if (connection->redis.command_block != 0) {
        redis_exchange_finish(self, connection, error, connection->failure_errno, now);
    } else {
        http_exchange_finish(self, connection, error, connection->failure_errno, now);
    }
    pairing_finish(&connection->pairing);
    /* An opaque connection has its span, with the same counts. */
    if (unlikely(attachment_reports_connections) && !connection->malformed &&
        connection->opaque_reason == OPAQUE_NONE) {
        report_connection(self, connection, now);
    }
}

bool protocol_ends_with_process(struct connection *connection)
{
    struct pairing_entry entry;
    if (connection->session_slot != SEGMENT_NO_SLOT || connection->encrypted_end ||
        attachment_reports_connections) {
        return true;
    }
    if (!pairing_oldest(&connection->pairing, &entry)) {
        return false;
    }
    if (connection->redis.command_block != 0) {
        return entry.effect == REDIS_QUIT || entry.effect == REDIS_SHUTDOWN;
    }
    return connection->role == ROLE_SERVER &&
           http1_lasts_until_close(&connection_replies(connection)->http1);
}

void protocol_abandon(struct thread_state *self, struct connection *connection, uint64_t now)
{
    struct direction *requests = connection_requests(connection);
    struct pairing_entry entry;
    (void)self;
    (void)now;
    uint16_t current = requests->current_slot;
    atomic_fetch_add_explicit(&connection->answers, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < LIMIT_PIPELINE + PAIRING_INLINE; i++) {
        if (!pairing_oldest(&connection->pairing, &entry)) {
            break;
        }
        pairing_pop(&connection->pairing);
        exchange_abandon(entry.slot, LOSS_ABANDONED);
        if (entry.slot == current) {
            current = SEGMENT_NO_SLOT;
        }
    }
    exchange_abandon(current, LOSS_ABANDONED);
    requests->current_slot = SEGMENT_NO_SLOT;
    for (int i = 0; i < 2; i++) {
        struct direction *direction = &connection->directions[i];
        if (direction->carry_block != 0) {
            slab_give(SLAB_BUFFER, direction->carry_block);
            direction->carry_block = 0;
        }
    }
}

/* ---- above TLS ---- */

static bool has_begun(const struct connection *connection)
{
    enum connection_protocol protocol = protocol_of(connection);
    if (protocol == PROTOCOL_ADRIFT) {
        protocol = (enum connection_protocol)connection->adrift_protocol;
    }
    return protocol != PROTOCOL_UNDECIDED && protocol != PROTOCOL_COUNTED;
}

static bool start_above(struct connection *connection, uintptr_t session)
{
    if (has_begun(connection) ||
        atomic_load_explicit(&connection->pending, memory_order_acquire) != 0) {
        return false;
    }
    exchange_cancel(connection->session_slot);
    connection->session_slot = SEGMENT_NO_SLOT;
    connection->opaque_reason = OPAQUE_NONE;
    connection->wants_hello = false;
    atomic_store_explicit(&connection->hello_is_bound, true, memory_order_relaxed);
    bool is_below = connection_source(connection) == 0;
    for (int i = 0; i < 2; i++) {
        struct direction *direction = &connection->directions[i];
        if (is_below) {
            atomic_store_explicit(&connection->encrypted_bytes[i], direction->bytes,
                                  memory_order_relaxed);
        }
        direction->bytes = 0;
        direction->ended = false;
    }
    protocol_start(connection, PROTOCOL_UNDECIDED);
    /* release pairs with the acquire in connection_source */
    atomic_store_explicit(&connection->plaintext_of, session, memory_order_release);
    return true;
}

bool protocol_start_above(struct thread_state *self, const struct touch *touch, uintptr_t session)
{
    struct connection *connection = touch->connection;
    if (connection_source(connection) == session) {
        return true;
    }
    if (!connection_enter(self, touch, DIRECTION_OUT, false)) {
        return false;
    }
    bool started = false;
    if (connection_enter(self, touch, DIRECTION_IN, false)) {
        started = start_above(connection, session);
        connection_leave(self, connection, DIRECTION_IN);
    }
    connection_leave(self, connection, DIRECTION_OUT);
    return started;
}

/* ---- before a call, and after it ---- */

bool protocol_frames_before(const struct connection *connection)
{
    if (connection->role == ROLE_SERVER) {
        return false;
    }
    switch (protocol_of(connection)) {
    case PROTOCOL_REDIS:
        /* Unanswered commands cannot be overtaken by their answers. */
        return connection->redis.reply_mode == REDIS_REPLY_ON && !connection->redis.skips_next;
    case PROTOCOL_UNDECIDED:
    case PROTOCOL_HTTP1:
    case PROTOCOL_ADRIFT:
        return true;
    case PROTOCOL_WEBSOCKET:
    case PROTOCOL_COUNTED:
    default:
        return false;
    }
}

static bool save_block(struct checkpoint *checkpoint, uint32_t block)
{
    checkpoint->saved_block = slab_take(SLAB_BUFFER);
    if (checkpoint->saved_block == 0) {
        return false;
    }
    memcpy(slab_address(checkpoint->saved_block), slab_address(block), SLAB_BLOCK_BYTES);
    return true;
}

bool protocol_save(struct checkpoint *checkpoint, const struct connection *connection)
{
    const struct direction *out = &connection->directions[DIRECTION_OUT];
    checkpoint->protocol = (uint8_t)protocol_of(connection);
    checkpoint->role = connection->role;
    checkpoint->first_size = out->first_size;
    checkpoint->current_slot = out->current_slot;
    checkpoint->bytes = out->bytes;
    checkpoint->first_ns = out->first_ns;
    checkpoint->carry_block = out->carry_block;
    checkpoint->saved_block = 0;
    checkpoint->reply_mode = connection->redis.reply_mode;
    checkpoint->skips_next = connection->redis.skips_next;
    checkpoint->sends_transaction = connection->redis.sends_transaction;
    checkpoint->command_start = connection->redis.command_start;
    struct record *record = exchange_record(out->current_slot);
    if (record != NULL) {
        checkpoint->text_used = record->text_used;
        checkpoint->flags = record->flags;
        checkpoint->body_bytes = record->http.request_body_bytes;
    }
    switch ((enum connection_protocol)checkpoint->protocol) {
    case PROTOCOL_HTTP1:
        checkpoint->http1 = out->http1;
        return out->http1.carry_used == 0 || save_block(checkpoint, out->carry_block);
    case PROTOCOL_REDIS:
        /* Between two commands there is nothing to keep, and the parser is large. */
        checkpoint->was_idle = resp_is_idle(&out->resp);
        if (likely(checkpoint->was_idle)) {
            return true;
        }
        checkpoint->resp = out->resp;
        return save_block(checkpoint, connection->redis.command_block);
    case PROTOCOL_UNDECIDED:
        memcpy(checkpoint->first, out->first, sizeof(checkpoint->first));
        return true;
    case PROTOCOL_WEBSOCKET:
        /* It changed since protocol_frames_before, and cannot be taken back. */
        return false;
    case PROTOCOL_ADRIFT:
    case PROTOCOL_COUNTED:
    default:
        return true;
    }
}

void protocol_drop_checkpoint(const struct checkpoint *checkpoint)
{
    if (checkpoint->saved_block != 0) {
        slab_give(SLAB_BUFFER, checkpoint->saved_block);
    }
}

static void restore_carry(struct direction *out, const struct checkpoint *checkpoint)
{
    if (checkpoint->saved_block != 0 && out->carry_block != 0) {
        memcpy(slab_address(out->carry_block), slab_address(checkpoint->saved_block),
               SLAB_BLOCK_BYTES);
        out->http1.carry = slab_address(out->carry_block);
    } else if (out->carry_block != 0) {
        slab_give(SLAB_BUFFER, out->carry_block);
        out->carry_block = 0;
        http1_return_carry(&out->http1);
    }
}

/* Back to where the direction stood before the call. The carry that was lent at the checkpoint may
   have been given back in between: then one is taken again. */
static bool restore(struct connection *connection, const struct checkpoint *checkpoint)
{
    struct direction *out = &connection->directions[DIRECTION_OUT];
    connection->role = checkpoint->role;
    out->first_size = checkpoint->first_size;
    out->bytes = checkpoint->bytes;
    out->first_ns = checkpoint->first_ns;
    out->current_slot = SEGMENT_NO_SLOT;
    connection->redis.reply_mode = checkpoint->reply_mode;
    connection->redis.skips_next = checkpoint->skips_next;
    connection->redis.sends_transaction = checkpoint->sends_transaction;
    connection->redis.command_start = checkpoint->command_start;
    switch ((enum connection_protocol)checkpoint->protocol) {
    case PROTOCOL_HTTP1:
        out->http1 = checkpoint->http1;
        if (checkpoint->saved_block != 0 && out->carry_block == 0) {
            out->carry_block = slab_take(SLAB_BUFFER);
            if (out->carry_block == 0) {
                return false;
            }
        }
        restore_carry(out, checkpoint);
        break;
    case PROTOCOL_REDIS:
        if (checkpoint->was_idle) {
            resp_init(&out->resp, RESP_COMMANDS);
        } else {
            out->resp = checkpoint->resp;
        }
        if (checkpoint->saved_block != 0) {
            memcpy(slab_address(connection->redis.command_block),
                   slab_address(checkpoint->saved_block), SLAB_BLOCK_BYTES);
        }
        break;
    case PROTOCOL_UNDECIDED:
        if (out->carry_block != 0) {
            slab_give(SLAB_BUFFER, out->carry_block);
            out->carry_block = 0;
        }
        redis_exchange_forget(connection);
        memcpy(out->first, checkpoint->first, sizeof(out->first));
        set_protocol(connection, PROTOCOL_UNDECIDED);
        break;
    case PROTOCOL_ADRIFT:
        if (out->carry_block != 0) {
            slab_give(SLAB_BUFFER, out->carry_block);
            out->carry_block = 0;
        }
        set_protocol(connection, PROTOCOL_ADRIFT);
        atomic_store_explicit(&connection->replied, true, memory_order_relaxed);
        break;
    case PROTOCOL_COUNTED:
    case PROTOCOL_WEBSOCKET:
    default:
        break;
    }
    return true;
}

/* A loss that was counted for an exchange which is taken back was none. */
static void take_back(uint16_t slot)
{
    struct segment *segment = attachment_segment();
    if (slot != SEGMENT_NO_SLOT) {
        exchange_cancel(slot);
    } else if (segment != NULL) {
        atomic_fetch_sub_explicit(&segment->losses[LOSS_SEGMENT_FULL], 1, memory_order_relaxed);
    }
}

static void restore_record(const struct checkpoint *checkpoint)
{
    struct record *record = exchange_record(checkpoint->current_slot);
    if (record != NULL) {
        record->text_used = checkpoint->text_used;
        record->flags = checkpoint->flags;
        record->http.request_body_bytes = checkpoint->body_bytes;
    }
}

/* An answer may come while what it would answer is taken back: nobody else may pop meanwhile. */
static void cut_exchanges(struct passage *passage, const struct checkpoint *checkpoint,
                          uint64_t sent, passage_replay *replay, void *context);

void protocol_cut(struct passage *passage, const struct checkpoint *checkpoint, uint64_t sent,
                  passage_replay *replay, void *context)
{
    struct connection *connection = passage->connection;
    struct direction *out = &connection->directions[DIRECTION_OUT];
    enum connection_protocol now_is = protocol_of(connection);
    if (now_is != PROTOCOL_HTTP1 && now_is != PROTOCOL_REDIS) {
        /* Undecided, parked or adrift: nothing was begun; only the count is put right. */
        out->bytes = checkpoint->bytes + sent;
        if (now_is == PROTOCOL_UNDECIDED && sent == 0) {
            memcpy(out->first, checkpoint->first, sizeof(out->first));
            out->first_size = checkpoint->first_size;
        } else if (now_is == PROTOCOL_UNDECIDED) {
            uint64_t kept = checkpoint->first_size + sent;
            out->first_size = kept < out->first_size ? (uint8_t)kept : out->first_size;
        }
        return;
    }
    if (take_other(passage)) {
        passage->holds_both = true;
        cut_exchanges(passage, checkpoint, sent, replay, context);
        passage->holds_both = false;
        leave_other(passage);
    }
}

/* Commands that no answer completes: the passage alone knows of them. */
static void abandon_unanswered(struct passage *passage, enum connection_protocol protocol)
{
    if (protocol != PROTOCOL_REDIS) {
        return;
    }
    for (uint8_t i = 0; i < passage->finished_count; i++) {
        exchange_abandon(passage->finished[i], LOSS_ABANDONED);
    }
    passage->finished_count = 0;
}

static void cut_exchanges(struct passage *passage, const struct checkpoint *checkpoint,
                          uint64_t sent, passage_replay *replay, void *context)
{
    struct connection *connection = passage->connection;
    struct direction *out = &connection->directions[DIRECTION_OUT];
    enum connection_protocol now_is = protocol_of(connection);
    struct passage live = *passage;
    uint16_t live_current = out->current_slot;
    if (atomic_load_explicit(&connection->pending, memory_order_relaxed) & PENDING_ADRIFT) {
        /* All of it is about to be given up. */
        abandon_unanswered(passage, now_is);
        out->bytes = checkpoint->bytes + sent;
        return;
    }
    uint64_t sent_of_framed = sent < live.framed ? sent : live.framed;
    uint32_t framed = now_is == PROTOCOL_HTTP1 ? live.births : live.ends + live.first_ended;
    if (pairing_count(&connection->pairing) < framed) {
        /* Answered by now, before it was sent whole: there is nothing to take back. Where its end
           would have been is not known. */
        if (now_is == PROTOCOL_HTTP1) {
            protocol_commit(passage, live.now);
            http_exchange_request_sent(passage->self, live_current, live.now);
            out->current_slot = SEGMENT_NO_SLOT;
        }
        connection_set_adrift(connection);
        return;
    }

    struct passage count = {.self = passage->self,
                            .connection = connection,
                            .direction = DIRECTION_OUT,
                            .mode = PASSAGE_COUNT,
                            .before_call = true,
                            .holds_both = true,
                            .suppressed = true,
                            .now = passage->now};
    bool held = restore(connection, checkpoint);
    if (held && sent_of_framed > 0) {
        replay(&count, context, sent_of_framed);
    }

    /* What was pushed for messages that were not sent whole goes back. HTTP pushes a message when
       it begins, Redis when it ends. */
    bool is_redis = now_is == PROTOCOL_REDIS;
    if (is_redis && live.finished_count > 0) {
        /* CLIENT REPLY was switched within what was cut: pushes and ends no longer correspond. */
        abandon_unanswered(passage, now_is);
        out->current_slot = live_current;
        exchange_count_loss(LOSS_MISSED_BYTES);
        connection_set_adrift(connection);
        return;
    }
    uint32_t pushed = is_redis ? live.ends + live.first_ended : live.births;
    uint32_t kept = is_redis ? count.ends + count.first_ended : count.ends;
    bool current_was_pushed = !is_redis && live.births > 0;
    struct pairing_entry entry;
    for (; pushed > kept; pushed--) {
        if (!pairing_unpush(&connection->pairing, &entry)) {
            break;
        }
        /* The message that was at hand before the call was counted then; it goes on. */
        bool is_earlier = is_redis && live.first_ended && !count.first_ended && pushed == 1;
        if (!is_earlier) {
            take_back(entry.slot);
        }
        if (entry.slot == live_current) {
            current_was_pushed = true;
            live_current = SEGMENT_NO_SLOT;
        }
    }
    if (is_redis && live.births > live.ends && !current_was_pushed &&
        live_current != checkpoint->current_slot) {
        take_back(live_current);
    }
    if (!held || !restore(connection, checkpoint)) {
        exchange_count_loss(LOSS_SLAB_FULL);
        if (!count.first_ended) {
            out->current_slot = checkpoint->current_slot;
        }
        connection_set_adrift(connection);
        return;
    }

    passage->mode = PASSAGE_REFILL;
    passage->births = 0;
    passage->ends = 0;
    passage->first_ended = false;
    passage->skipped = count.ends;
    /* The message at hand before the call: if it was sent whole, its exchange stands as it is. */
    passage->suppressed = count.first_ended;
    passage->finished_count = 0;
    if (!count.first_ended) {
        restore_record(checkpoint);
        out->current_slot = checkpoint->current_slot;
    }
    for (uint8_t i = 0; i < live.finished_count && i < count.ends + count.first_ended; i++) {
        passage->finished[passage->finished_count++] = live.finished[i];
    }
    if (sent_of_framed > 0) {
        replay(passage, context, sent_of_framed);
    }
    out->bytes = checkpoint->bytes + sent;
}
