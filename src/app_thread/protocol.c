#include "app_thread/protocol.h"

#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/jobs.h"
#include "app_thread/messages.h"
#include "app_thread/redis_exchange.h"
#include "app_thread/tls_session.h"
#include "app_thread/transaction.h"
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

/* The direction beside the one that is held. False if somebody else has it. */
static bool try_other(struct passage *passage)
{
    uint8_t free = 0;
    return passage->holds_both || atomic_compare_exchange_strong_explicit(
                                      &passage->connection->busy[1 - passage->direction], &free, 1,
                                      memory_order_seq_cst, memory_order_relaxed);
}

/* The same where nothing can wait for it: then the connection is given up. */
static bool take_other(struct passage *passage)
{
    struct connection *connection = passage->connection;
    if (try_other(passage)) {
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

void protocol_malformed(struct passage *passage)
{
    exchange_count_loss(LOSS_MALFORMED);
    direction_of(passage)->malformed = true;
    connection_set_adrift(passage->connection);
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
    if (!try_other(passage)) {
        passage->waits = true;
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

/* The last answer came before the bytes at hand began to pass: one that came while they were sent
   may be theirs. */
static bool is_answered(const struct passage *passage)
{
    return atomic_load_explicit(&passage->connection->replied_ns, memory_order_relaxed) <
           passage->now;
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
           is_answered(passage) && (waits_for_answers || is_quiet(passage)) &&
           (atomic_load_explicit(&connection->pending, memory_order_acquire) &
            ~(uint32_t)PENDING_HELD) == 0 &&
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
    if (is_safe_boundary(passage, *in) && try_other(passage)) {
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
        if (unlikely(passage->in_flight)) {
            passage->waits = true;
        } else {
            identify(passage, in);
        }
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

/* ---- what waits ---- */

/* Bytes that wait; a chain of slab buffers. What concerns the whole lies in the first. */
struct held_block {
    uint32_t next;
    uint32_t used;
    uint32_t last;
    uint32_t total;
    uint64_t start_ns;
    uint64_t end_ns;
    bool ended; /* the direction ended behind them */
    uint8_t bytes[SLAB_BLOCK_BYTES - 48];
};

_Static_assert(sizeof(struct held_block) <= SLAB_BLOCK_BYTES - sizeof(uint32_t), "a buffer");

static uint32_t held_bit(enum direction_name name)
{
    return name == DIRECTION_OUT ? PENDING_HELD_OUT : PENDING_HELD_IN;
}

/* What came before these bytes still waits. */
static bool is_behind_held(const struct passage *passage)
{
    return (atomic_load_explicit(&passage->connection->pending, memory_order_relaxed) &
            held_bit(passage->direction)) != 0 &&
           !passage->is_late;
}

static bool append_held(uint32_t *first, struct passage *passage, struct slice bytes)
{
    if (*first == 0) {
        *first = slab_take(SLAB_BUFFER);
        if (*first == 0) {
            return false;
        }
        struct held_block *head = slab_address(*first);
        head->last = *first;
        head->start_ns = passage->now;
    }
    struct held_block *head = slab_address(*first);
    head->end_ns = passage_end_ns(passage);
    while (bytes.size > 0 && head->total < LIMIT_HELD_BYTES) {
        struct held_block *last = slab_address(head->last);
        if (last->used == sizeof(last->bytes)) {
            uint32_t more = slab_take(SLAB_BUFFER);
            if (more == 0) {
                return false;
            }
            last->next = more;
            head->last = more;
            continue;
        }
        size_t room = sizeof(last->bytes) - last->used;
        room = room < LIMIT_HELD_BYTES - head->total ? room : LIMIT_HELD_BYTES - head->total;
        struct slice part = slice_take(&bytes, bytes.size < room ? bytes.size : room);
        memcpy(last->bytes + last->used, part.data, part.size);
        last->used += (uint32_t)part.size;
        head->total += (uint32_t)part.size;
    }
    return bytes.size == 0;
}

static SLOW void hold_back(struct passage *passage, struct slice bytes, bool ended)
{
    struct connection *connection = passage->connection;
    uint32_t *first = &connection->held[passage->direction];
    if (!append_held(first, passage, bytes)) {
        exchange_count_loss(LOSS_CONTENDED);
        connection_set_adrift(connection);
    }
    if (*first != 0) {
        struct held_block *head = slab_address(*first);
        head->ended |= ended;
        /* seq_cst: before the look at the locks, by us or by the holder of the other direction */
        atomic_fetch_or_explicit(&connection->pending, held_bit(passage->direction),
                                 memory_order_seq_cst);
    }
}

static void release(struct thread_state *self, struct connection *connection,
                    enum direction_name name)
{
    uint32_t block = connection->held[name];
    if (block == 0) {
        return;
    }
    const struct held_block *head = slab_address(block);
    bool ended = head->ended;
    struct passage passage = {.self = self,
                              .connection = connection,
                              .direction = name,
                              .holds_both = true,
                              .is_late = true,
                              .now = head->start_ns,
                              .end_ns = head->end_ns};
    connection->held[name] = 0;
    while (block != 0) {
        const struct held_block *held = slab_address(block);
        uint32_t next = held->next;
        if (held->used > 0) {
            protocol_pass(&passage, slice_of(held->bytes, held->used));
        }
        slab_give(SLAB_BUFFER, block);
        block = next;
    }
    if (ended) {
        protocol_end(&passage);
    }
}

void protocol_release(struct thread_state *self, struct connection *connection, uint32_t held)
{
    /* Requests before what may be their answers. */
    if (held & PENDING_HELD_OUT) {
        release(self, connection, DIRECTION_OUT);
    }
    if (held & PENDING_HELD_IN) {
        release(self, connection, DIRECTION_IN);
    }
}

void protocol_drop_held(struct connection *connection)
{
    for (int i = 0; i < 2; i++) {
        uint32_t block = connection->held[i];
        connection->held[i] = 0;
        while (block != 0) {
            uint32_t next = ((const struct held_block *)slab_address(block))->next;
            slab_give(SLAB_BUFFER, block);
            block = next;
        }
    }
}

/* Whether another thread may have sent requests that are not framed yet. Looked at before the
   exchanges are: who sees none in flight sees all that were sent until then. */
static bool has_in_flight(const struct passage *passage)
{
    const struct connection *connection = passage->connection;
    /* acquire pairs with the release in observe_send_end */
    return passage->direction == DIRECTION_IN && !passage->is_late &&
           (atomic_load_explicit(&connection->unframed, memory_order_acquire) ||
            (atomic_load_explicit(&connection->pending, memory_order_acquire) & PENDING_HELD_OUT));
}

/* ---- passing ---- */

/* Something else is to be done with the connection first. */
static bool is_stopped(const struct passage *passage)
{
    return passage->waits ||
           (atomic_load_explicit(&passage->connection->pending, memory_order_relaxed) &
            ~(uint32_t)PENDING_HELD) != 0;
}

void protocol_pass(struct passage *passage, struct slice bytes)
{
    struct direction *direction = direction_of(passage);
    size_t size = bytes.size;
    struct slice in = bytes;
    if (unlikely(is_behind_held(passage))) {
        hold_back(passage, bytes, false);
        return;
    }
    passage->in_flight = has_in_flight(passage);
    /* `direction->bytes` is the stream position of the first byte of `bytes` until all is framed;
       a protocol may change in between, hence the loop. */
    while (in.size > 0 && !is_stopped(passage)) {
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
    if (unlikely(passage->waits)) {
        passage->waits = false;
        hold_back(passage, in, false);
        return;
    }
    if (unlikely(in.size > 0) &&
        (atomic_load_explicit(&passage->connection->pending, memory_order_relaxed) &
         PENDING_UPGRADE)) {
        /* The first frames came before the upgrade could take effect. */
        hold_back(passage, in, false);
        return;
    }
    direction->bytes += size;
}

/* ---- ahead of the call ---- */

/* The first bytes of a connection, if they begin requests of a protocol that is known. What the
   connection turns out to be is not taken back: the program will send the same again. */
static bool decide_ahead(struct passage *passage, struct slice first)
{
    struct connection *connection = passage->connection;
    if (connection->role != ROLE_CLIENT || direction_of(passage)->first_size > 0) {
        return false;
    }
    enum wire_protocol found = identify_client_bytes(first);
    if ((found != WIRE_HTTP1 && found != WIRE_RESP) || !try_other(passage)) {
        return false;
    }
    decide(passage, found);
    leave_other(passage);
    return true;
}

/* Whether the next byte begins a request, and nothing but parsers and exchanges will change. */
static bool is_between_requests(const struct passage *passage)
{
    const struct connection *connection = passage->connection;
    const struct direction *requests = &connection->directions[DIRECTION_OUT];
    switch (protocol_of(connection)) {
    case PROTOCOL_HTTP1:
        return requests->carry_block == 0 && http1_is_idle(&requests->http1);
    case PROTOCOL_REDIS:
        return connection->redis.reply_mode == REDIS_REPLY_ON && !connection->redis.skips_next &&
               resp_is_idle(&requests->resp);
    case PROTOCOL_UNDECIDED:
    case PROTOCOL_WEBSOCKET:
    case PROTOCOL_COUNTED:
    case PROTOCOL_ADRIFT:
    default:
        return false;
    }
}

/* The peer may take what follows for something else than HTTP. */
static bool may_begin_tunnel(struct connection *connection)
{
    struct pairing_entry entry;
    return connection->in_tunnel ||
           (pairing_newest(&connection->pairing, &entry) && (entry.flags & PAIRING_CONNECT));
}

bool protocol_may_begin_http(const struct passage *passage)
{
    struct connection *connection = passage->connection;
    if (connection->role != ROLE_CLIENT || is_stopped(passage) || is_behind_held(passage) ||
        may_begin_tunnel(connection)) {
        return false;
    }
    if (protocol_of(connection) == PROTOCOL_UNDECIDED) {
        return connection->directions[DIRECTION_OUT].bytes == 0 &&
               connection->directions[DIRECTION_IN].bytes == 0;
    }
    return protocol_of(connection) == PROTOCOL_HTTP1 && is_between_requests(passage);
}

bool protocol_begins_http(struct passage *passage, struct slice first)
{
    return protocol_of(passage->connection) == PROTOCOL_HTTP1 ||
           (identify_client_bytes(first) == WIRE_HTTP1 && decide_ahead(passage, first));
}

void protocol_frame_ahead(struct passage *passage, const struct iovec *iov, size_t count,
                          struct ahead *ahead)
{
    struct connection *connection = passage->connection;
    struct direction *requests = &connection->directions[DIRECTION_OUT];
    ahead->size = 0;
    if (connection->role != ROLE_CLIENT || is_stopped(passage) || is_behind_held(passage) ||
        (protocol_of(connection) == PROTOCOL_UNDECIDED &&
         !decide_ahead(passage, slice_of(iov[0].iov_base, iov[0].iov_len))) ||
        !is_between_requests(passage)) {
        return;
    }
    ahead->bytes = requests->bytes;
    ahead->pushed = pairing_pushed(&connection->pairing);
    ahead->pipelines = connection->pipelines;
    ahead->redis_sends_transaction = connection->redis.sends_transaction;
    ahead->redis_quits = connection->redis.quits;
    for (size_t i = 0; i < count; i++) {
        if (iov[i].iov_len > 0) {
            protocol_pass(passage, slice_of(iov[i].iov_base, iov[i].iov_len));
        }
        ahead->size += iov[i].iov_len;
    }
}

bool protocol_begins_redis(struct passage *passage, struct slice first)
{
    const struct connection *connection = passage->connection;
    if (connection->role != ROLE_CLIENT || is_stopped(passage) || is_behind_held(passage)) {
        return false;
    }
    return (protocol_of(connection) != PROTOCOL_UNDECIDED || decide_ahead(passage, first)) &&
           protocol_of(connection) == PROTOCOL_REDIS && is_between_requests(passage);
}

/* Both directions are held, and nothing was answered. */
static void take_exchanges_back(struct connection *connection, const struct ahead *ahead)
{
    struct direction *requests = &connection->directions[DIRECTION_OUT];
    uint16_t current = requests->current_slot;
    struct pairing_entry entry;
    while (pairing_pushed(&connection->pairing) != ahead->pushed &&
           pairing_unpush(&connection->pairing, &entry)) {
        exchange_cancel(entry.slot);
        jobs_drop(entry);
        current = entry.slot == current ? SEGMENT_NO_SLOT : current;
    }
    exchange_cancel(current);
    requests->current_slot = SEGMENT_NO_SLOT;
    requests->bytes = ahead->bytes;
    connection->pipelines = ahead->pipelines;
    if (protocol_of(connection) == PROTOCOL_REDIS) {
        connection->redis.sends_transaction = ahead->redis_sends_transaction;
        connection->redis.quits = ahead->redis_quits;
        resp_init(&requests->resp, RESP_COMMANDS);
    } else {
        http_exchange_restart_requests(requests);
    }
}

/* Both directions are held. Answers may have come to what was sent of it, to another thread; and a
   CLIENT REPLY among the commands has no answer to wait for. */
static bool is_untouched_by_replies(struct connection *connection, const struct ahead *ahead)
{
    const struct direction *replies = connection_replies(connection);
    uint32_t added = pairing_pushed(&connection->pairing) - ahead->pushed;
    uint32_t awaited = pairing_count(&connection->pairing);
    if (protocol_of(connection) == PROTOCOL_REDIS) {
        return (awaited > added || (awaited == added && resp_is_idle(&replies->resp))) &&
               connection->redis.reply_mode == REDIS_REPLY_ON && !connection->redis.skips_next;
    }
    return awaited > added || (awaited == added && http1_is_idle(&replies->http1));
}

bool protocol_take_back(struct passage *passage, const struct ahead *ahead)
{
    struct connection *connection = passage->connection;
    if (is_stopped(passage)) {
        return false; /* what was framed broke the rules: the connection is given up anyway */
    }
    if (!take_other(passage)) {
        return false;
    }
    bool is_untouched = is_untouched_by_replies(connection, ahead);
    if (is_untouched) {
        take_exchanges_back(connection, ahead);
    }
    leave_other(passage);
    if (!is_untouched) {
        /* An answer has come to what was sent, or there is none to wait for. */
        exchange_count_loss(LOSS_CONTENDED);
        connection_set_adrift(connection);
    }
    return is_untouched;
}

void protocol_pass_unseen(struct passage *passage, uint64_t count)
{
    struct connection *connection = passage->connection;
    if (unlikely(is_behind_held(passage))) {
        exchange_count_loss(LOSS_MISSED_BYTES);
        connection_set_adrift(connection);
        return;
    }
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

void protocol_end(struct passage *passage)
{
    struct direction *direction = direction_of(passage);
    if (direction->ended) {
        return;
    }
    if (unlikely(passage->direction == DIRECTION_IN &&
                 (is_behind_held(passage) || has_in_flight(passage)))) {
        hold_back(passage, (struct slice){NULL, 0}, true);
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
    int system_error;
    enum record_error error = connection_failure(connection, &system_error);
    exchange_complete(self, connection->session_slot, now, error, system_error);
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
                                  .now = now,
                                  .end_ns = now};
        protocol_end(&passage);
    }
    int system_error;
    enum record_error error = connection_failure(connection, &system_error);
    error = error != RECORD_OK ? error : fallback;
    enum connection_protocol protocol = protocol_of(connection);
    if (protocol == PROTOCOL_ADRIFT) {
        protocol = (enum connection_protocol)connection->adrift_protocol;
    }
    /* Whatever is parked: exchanges of the protocol before may still be open. */
    if (protocol == PROTOCOL_WEBSOCKET) {
        websocket_exchange_finish(self, connection, error, system_error, now);
    } else if (connection->session_slot != SEGMENT_NO_SLOT) {
        finish_opaque(self, connection, now);
    }
    if (connection->redis.command_block != 0) {
        redis_exchange_finish(self, connection, error, system_error, now);
    } else {
        http_exchange_finish(self, connection, error, system_error, now);
    }
    pairing_finish(&connection->pairing);
    /* An opaque connection has its span, with the same counts. */
    if (unlikely(attachment_reports_connections) && !connection_is_malformed(connection) &&
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
    (void)now;
    uint16_t current = requests->current_slot;
    atomic_fetch_add_explicit(&connection->answers, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < LIMIT_PIPELINE + PAIRING_INLINE; i++) {
        if (!pairing_oldest(&connection->pairing, &entry)) {
            break;
        }
        pairing_pop(&connection->pairing);
        exchange_abandon(entry.slot, LOSS_ABANDONED);
        jobs_drop(entry);
        if (entry.slot == current) {
            current = SEGMENT_NO_SLOT;
        }
    }
    transaction_break(self, connection);
    exchange_abandon(current, LOSS_ABANDONED);
    requests->current_slot = SEGMENT_NO_SLOT;
    http_exchange_drop_head(requests);
    for (int i = 0; i < 2; i++) {
        http_exchange_give_buffers(&connection->directions[i]);
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

/* ---- around a call ---- */

bool protocol_holds_over_call(const struct connection *connection)
{
    enum connection_protocol protocol = protocol_of(connection);
    return protocol == PROTOCOL_WEBSOCKET ? messages_are_sent(connection)
                                          : protocol != PROTOCOL_COUNTED;
}
