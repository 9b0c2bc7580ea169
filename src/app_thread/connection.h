/*
 * Connections: what is known of each descriptor, and the state of each stream socket in use.
 *
 * A descriptor's kind is one byte, so that a call on something that is no stream socket costs a
 * comparison. A connection is a slab block that several descriptors may share (dup) and that keeps
 * its address when it is reused: `generation` tells a thread that comes late that its connection is
 * gone.
 *
 * Each direction has a try-lock. Who fails to get it has seen bytes that nobody will frame, so it
 * sets the connection adrift. What needs both directions at once (closing, going adrift, coming
 * back) is left as a bit in `pending` and done by whoever can take both locks, at the latest by the
 * one who releases the second.
 *
 *     exchanges in `pairing`  pushed by the holder of the requests' direction, popped by the holder
 *                             of the replies'; both are held to abandon or finish them
 *     requests->current_slot  the holder of the requests' direction
 *     session_slot            claimed under both; [0] and [1] numbers by each direction's holder
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app_thread/pairing.h"
#include "app_thread/slab.h"
#include "app_thread/thread_state.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "handoff/record.h"
#include "wire/http1.h"
#include "wire/redis_command.h"
#include "wire/resp.h"
#include "wire/websocket.h"

enum descriptor_kind {
    DESCRIPTOR_UNKNOWN = 0, /* to be classified at its first use */
    DESCRIPTOR_OTHER,       /* no stream socket: passed through */
    DESCRIPTOR_STREAM,      /* made by socket(), not yet connected */
    DESCRIPTOR_ACCEPTED,    /* made by accept() */
    DESCRIPTOR_CONNECTION   /* has a connection */
};

enum connection_role { ROLE_UNKNOWN, ROLE_CLIENT, ROLE_SERVER };

enum connection_protocol {
    PROTOCOL_UNDECIDED,
    PROTOCOL_HTTP1,
    PROTOCOL_REDIS,
    PROTOCOL_WEBSOCKET,
    PROTOCOL_COUNTED, /* not read any further: an opaque session, or nothing worth one */
    PROTOCOL_ADRIFT   /* desynchronised: waits for a safe boundary */
};

enum direction_name { DIRECTION_OUT = 0, DIRECTION_IN = 1 };

enum connection_pending {
    PENDING_CLOSE = 1,
    PENDING_ADRIFT = 2,
    PENDING_ADRIFT_FOR_GOOD = 4, /* with PENDING_ADRIFT: no boundary to come back at */
    PENDING_HELD_OUT = 16,       /* bytes of that direction wait for both (protocol_release) */
    PENDING_HELD_IN = 32,
    PENDING_HELD = PENDING_HELD_OUT | PENDING_HELD_IN,
    PENDING_UPGRADE = 8 /* the oldest exchange was answered by 101 to WebSocket */
};

struct direction {
    bool ended;         /* FIN was seen or sent */
    uint8_t first_size; /* bytes in `first` while undecided */
    bool malformed;     /* its bytes broke the protocol's rules: going adrift for good */
    union {
        uint8_t body_kind;  /* HTTP replies: what the head says of the body; http_body.c */
        bool wants_upgrade; /* HTTP requests: the newest one; may be looked at by anybody */
    };
    uint16_t current_slot; /* requests: the record that the message at hand fills */
    union {
        uint16_t status;  /* HTTP replies: of the answer at hand */
        uint16_t carried; /* HTTP requests: the place of what the head at hand carries; carried.h */
    };
    uint32_t carry_block; /* slab buffer lent to http1 */
    uint32_t body_block;  /* slab buffer: reads a service's body or messages; begins with a struct
                             inflater, whose memory goes with it; http_body.c, messages.c */
    uint64_t bytes;
    uint64_t first_ns; /* when the bytes in `first` began to pass */
    union {
        uint8_t first[LIMIT_IDENTIFY_BYTES];
        uint8_t hello[LIMIT_TLS_HELLO_BYTES]; /* of a ClientHello, `first_size` of them */
        struct http1 http1;
        struct resp resp;
        struct websocket websocket;
    };
};

/* What the reply at hand turned out to be. */
enum redis_verdict {
    REDIS_REPLY_UNJUDGED, /* its first element will tell */
    REDIS_REPLY_ANSWER,
    REDIS_REPLY_CONFIRMATION, /* of a (un)subscription */
    REDIS_REPLY_PUSH
};

struct redis_session {
    /* requests' side */
    uint8_t reply_mode;     /* enum redis_effect: REDIS_REPLY_ON or REDIS_REPLY_OFF */
    bool skips_next;        /* after CLIENT REPLY SKIP */
    bool sends_transaction; /* MULTI was sent, EXEC or DISCARD not yet */
    bool quits;             /* QUIT or SHUTDOWN was sent: the close is the answer */
    /* replies' side */
    uint8_t verdict; /* enum redis_verdict */
    uint8_t version; /* 2 or 3 */
    uint8_t reply_type;
    uint8_t word_used;
    bool in_transaction;
    bool is_null;
    char word[15];    /* the first element, or the beginning of an error */
    bool answers_job; /* the oldest command is one that a rule looks at */
    bool captures;    /* requests' side: a rule may fit the command at hand */
    int32_t database; /* -1: unknown */
    uint32_t subscriptions;
    uint32_t error_elements;
    uint32_t elements;
    uint32_t transaction_block; /* slab buffer: what waits for EXEC's answer; 0: nothing */
    uint64_t reply_start;       /* stream position */
    /* requests' side */
    uint64_t command_start; /* stream position */
    uint32_t command_block; /* slab buffer: the struct redis_command at hand */
    uint32_t job_block;     /* slab buffer: its struct rule_capture; 0: none yet */
};

struct connection {
    /* Looked at by threads that come late, too: these outlive the block's use as one connection, or
       are set one by one when it is taken. */
    _Atomic uint32_t generation; /* odd while in use */
    _Atomic uint8_t busy[2];     /* a try-lock for each direction */
    _Atomic bool unframed;       /* a call is sending what is framed when it is back: a client's, or
                                    a server's that may change the protocol */
    _Atomic uint8_t protocol;    /* enum connection_protocol */
    _Atomic uint32_t answers; /* given by this process, ever: ends what threads do for a request */
    _Atomic uint32_t references; /* descriptors */
    _Atomic uint32_t pending;    /* enum connection_pending */
    _Atomic uint32_t epoch;      /* of the segment that the slots are in */
    /* Whose bytes are framed: the address of a TLS session above the socket; 0: the socket's own.
       Changed by the holder of both directions. */
    _Atomic uintptr_t plaintext_of;
    /* From here on zeroed when the block is taken. */
    uint32_t block;
    uint32_t serial;
    int32_t descriptor;       /* the first one */
    uint8_t role;             /* enum connection_role */
    uint8_t adrift_protocol;  /* what it was before it went adrift */
    uint8_t opaque_reason;    /* enum opaque_reason */
    bool unannounced;         /* inherited, received, one of a pair */
    _Atomic uint32_t failure; /* how the socket failed, for what is open; connection_failure() */
    uint32_t held[2];         /* slab buffers of bytes that wait; each direction's holder */
    uint16_t session_slot;    /* WebSocket or opaque: the record of the connection itself */
    _Atomic bool connecting;  /* connect() said EINPROGRESS */
    _Atomic bool replied;     /* adrift: the last bytes seen went the replies' way */
    _Atomic bool is_prepared; /* for somebody's next request (prepared.h) */
    bool pipelines;           /* a request was sent before the one before it was answered */
    bool in_tunnel;           /* beyond a CONNECT */
    bool is_unix : 1;
    bool has_endpoints : 1;
    bool wants_hello;                 /* a ClientHello is passing, its random has not passed yet */
    _Atomic bool hello_is_bound;      /* its session was found */
    bool encrypted_end;               /* the peer ended the stream below TLS */
    _Atomic uint8_t websocket_closed; /* close frames seen, a bit per direction; 4: a reason, too */
    uint64_t opened_ns;
    _Atomic uint64_t replied_ns; /* adrift: when the last bytes of an answer passed */
    uint64_t upgraded_ns;        /* with PENDING_UPGRADE: when the answer came */
    _Atomic uint64_t ping_sent_ns;
    _Atomic uint64_t websocket_closed_ns;
    _Atomic uint64_t hello;              /* of the ClientHello's random bytes; 0: none seen */
    _Atomic uint64_t encrypted_bytes[2]; /* on the wire, where the plaintext is framed */
    uint64_t write_began_ns; /* a TLS library asked to be called again with the same bytes */
    struct endpoint peer;
    struct endpoint local;
    struct direction directions[2];
    struct pairing pairing;
    struct redis_session redis;
    char peer_name[64]; /* host name, or the path of a unix socket; NUL-terminated, may be empty */
};

_Static_assert(sizeof(struct connection) <= SLAB_BLOCK_BYTES - 4, "a connection is one block");

extern _Atomic uint8_t descriptor_kinds[LIMIT_DESCRIPTORS];

/* Nothing to observe on this descriptor: the check that every hooked call begins with. */
static inline bool descriptor_is_other(int fd)
{
    return (unsigned)fd < LIMIT_DESCRIPTORS &&
           atomic_load_explicit(&descriptor_kinds[fd], memory_order_relaxed) == DESCRIPTOR_OTHER;
}

/* A connection as a call found it. */
struct touch {
    struct connection *connection; /* NULL: not observed */
    uint32_t generation;
};

/* The connection behind a descriptor, made at its first use. False: not observed. */
bool connection_touch(struct thread_state *self, int fd, struct touch *touch);

/* Only if there is one already. */
bool connection_find(int fd, struct touch *touch);

/* The connection between these two ports, if its endpoints are known: for those who know no
   descriptor. Looks at all of them. */
bool connection_find_by_ports(uint16_t local, uint16_t peer, struct touch *touch);

/* Takes a direction. False if somebody else has it (the connection is then set adrift if
   `bytes_pass`), if the connection is gone, or if it is not to be observed now. */
bool connection_enter(struct thread_state *self, const struct touch *touch,
                      enum direction_name name, bool bytes_pass);
void connection_leave(struct thread_state *self, struct connection *connection,
                      enum direction_name name);

/* Leaves it without doing what is pending, where it was taken in another epoch. */
void connection_let_go(struct connection *connection, enum direction_name name);

/* The caller holds a direction, or knows bytes that nobody saw: stop until a safe boundary. */
void connection_set_adrift(struct connection *connection);

/* The same, with no boundary to come back at. */
void connection_set_adrift_for_good(struct connection *connection);

/* ---- descriptors ---- */

void descriptor_made(struct thread_state *self, int fd, enum descriptor_kind kind);
void descriptor_duplicated(struct thread_state *self, int from, int to);
/* Before the descriptor is closed, or when its number turns up again unannounced. */
void descriptor_closing(struct thread_state *self, int fd);
void descriptor_range_closing(struct thread_state *self, unsigned first, unsigned last);

/* At the end of the process: finishes every connection's exchanges as they stand, what is open as
   RECORD_ERROR_ABORTED by `cause` (record_abort_cause); 0: an orderly end, which closes its
   connections. */
void connection_finish_all(struct thread_state *self, int32_t cause);
/* The same where somebody outside ends what is open, and knows how the process ended: finishes only
   what ends in order with it. Other threads may go on, and are observed to their end. */
void connection_finish_orderly(struct thread_state *self);

/* ---- parts of a connection, for the exchanges ---- */

static inline struct direction *connection_requests(struct connection *connection)
{
    return &connection->directions[connection->role == ROLE_SERVER ? DIRECTION_IN : DIRECTION_OUT];
}

static inline struct direction *connection_replies(struct connection *connection)
{
    return &connection->directions[connection->role == ROLE_SERVER ? DIRECTION_OUT : DIRECTION_IN];
}

/* Whose bytes are framed on this connection. */
static inline uintptr_t connection_source(const struct connection *connection)
{
    return atomic_load_explicit(&connection->plaintext_of, memory_order_acquire);
}

/* How the socket failed, and errno; RECORD_OK if it did not. */
static inline enum record_error connection_failure(const struct connection *connection,
                                                   int *system_error)
{
    uint32_t failure = atomic_load_explicit(&connection->failure, memory_order_relaxed);
    *system_error = (int)(failure >> 8);
    return (enum record_error)(failure & 0xFF);
}

/* For who holds both directions. */
static inline bool connection_is_malformed(const struct connection *connection)
{
    return connection->directions[0].malformed || connection->directions[1].malformed;
}

static inline bool connection_is_connecting(const struct connection *connection)
{
    return atomic_load_explicit(&connection->connecting, memory_order_relaxed);
}

static inline void connection_set_connecting(struct connection *connection, bool connecting)
{
    atomic_store_explicit(&connection->connecting, connecting, memory_order_relaxed);
}

/* Remembers the first failure. */
static inline void connection_fail(struct connection *connection, enum record_error error,
                                   int system_error)
{
    uint32_t none = 0;
    atomic_compare_exchange_strong_explicit(&connection->failure, &none,
                                            (uint32_t)system_error << 8 | (uint32_t)error,
                                            memory_order_relaxed, memory_order_relaxed);
}

/* Learns the socket's two addresses (getpeername, getsockname), once. */
void connection_learn_endpoints(struct connection *connection);

struct sockaddr_storage;

/* Fills family, port and address; leaves `*endpoint` as it is for other families. IPv4 addresses
   mapped into IPv6 become IPv4. */
void endpoint_from_address(struct endpoint *endpoint, const struct sockaddr_storage *address);
