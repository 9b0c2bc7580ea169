/*
 * One exchange, as the application's side tells it to the worker side.
 *
 * A record carries all that was decided on the application's side: ids, parent, both times, peer,
 * numbers, captured text. It holds no pointers and needs no earlier record. Times are
 * CLOCK_MONOTONIC nanoseconds. Captured text is a sequence of fields: tag, 16-bit length, bytes.
 * Everything in here may be hostile to the reader: `record_next_field` checks every length.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/limits.h"
#include "base/slice.h"

enum record_kind {
    RECORD_NONE = 0,
    RECORD_HTTP_CLIENT = 1,
    RECORD_HTTP_SERVER = 2,
    RECORD_REDIS_CLIENT = 3,
    RECORD_WEBSOCKET_CLIENT = 4,
    RECORD_WEBSOCKET_SERVER = 5,
    RECORD_CONNECT = 6, /* a connect or name look-up that failed: no exchange came of it */
    RECORD_OPAQUE = 7,  /* a connection whose bytes could not be read; see enum opaque_reason */
    RECORD_JOB = 8,     /* a job's attempt in a worker: from its claim to its end */
    RECORD_RUN = 9, /* work of a service that goes on beyond the request for it (wire/service.h) */
    RECORD_MESSAGE = 10,  /* a service's message in a WebSocket */
    RECORD_WORKFLOW = 11, /* of a workflow above jobs: made by the worker side alone */
    RECORD_KIND_COUNT
};

/* Why an exchange ended badly; with `system_error` (errno) where the system said more. */
enum record_error {
    RECORD_OK = 0,
    RECORD_ERROR_REFUSED = 1,        /* error.type connection_refused */
    RECORD_ERROR_RESET = 2,          /* connection_reset */
    RECORD_ERROR_TIMEOUT = 3,        /* timeout */
    RECORD_ERROR_HOST_NOT_FOUND = 4, /* host_not_found */
    RECORD_ERROR_UNREACHABLE = 5,    /* host_unreachable, network_unreachable by errno */
    RECORD_ERROR_EOF = 6,            /* eof: the peer closed before the exchange was complete */
    RECORD_ERROR_CANCELLED = 7,      /* cancelled: this process closed before it was complete */
    RECORD_ERROR_PROTOCOL = 8,       /* protocol_error: the bytes could not be understood */
    RECORD_ERROR_OTHER = 9,          /* _OTHER */
    RECORD_ERROR_ABORTED = 10,       /* aborted: the process died; written by the drainer only */
    RECORD_ERROR_REPLY = 11,         /* Redis: an error reply; its prefix is FIELD_ERROR_PREFIX */
    RECORD_ERROR_COUNT
};

/* Why a connection was opaque. */
enum opaque_reason {
    OPAQUE_NONE = 0,
    OPAQUE_TLS = 1,         /* a TLS ClientHello: no hooked library shows the plaintext */
    OPAQUE_HTTP2 = 2,       /* the HTTP/2 preface */
    OPAQUE_UNKNOWN = 3,     /* first bytes of no protocol that is known */
    OPAQUE_TUNNEL = 4,      /* after a 2xx answer to CONNECT */
    OPAQUE_UPGRADED = 5,    /* after a 101 to a protocol other than WebSocket */
    OPAQUE_REPLICATION = 6, /* a Redis replication stream or MONITOR */
    OPAQUE_MALFORMED = 7,   /* the bytes broke the protocol's rules: observation ended there */
    OPAQUE_MIDSTREAM = 8,   /* first seen in the middle of traffic, no safe boundary found */
    OPAQUE_REASON_COUNT
};

/* Where the parent comes from (attribute wirespan.parent.source). */
enum parent_source {
    PARENT_NONE = 0,
    PARENT_REMOTE = 1,
    PARENT_CAUSAL = 2,
    PARENT_CONTENT = 3,
    PARENT_AMBIENT = 4,
    PARENT_SDK = 5,
    PARENT_SOURCE_COUNT
};

enum record_flag {
    RECORD_FLAG_TEXT_CUT = 1u << 0,      /* some captured text did not fit */
    RECORD_FLAG_NO_REPLY = 1u << 1,      /* Redis: CLIENT REPLY OFF/SKIP, none was to come */
    RECORD_FLAG_BLOCKING = 1u << 2,      /* Redis: the time is a wait, not work of the server */
    RECORD_FLAG_QUEUED = 1u << 3,        /* Redis: queued by MULTI, answered by EXEC */
    RECORD_FLAG_UPGRADED = 1u << 4,      /* HTTP: answered by 101 */
    RECORD_FLAG_TLS = 1u << 5,           /* the bytes were read above TLS */
    RECORD_FLAG_PROXIED = 1u << 6,       /* HTTP: absolute-form target, or through a tunnel */
    RECORD_FLAG_EARLY_REPLY = 1u << 7,   /* HTTP: answered before the request was complete */
    RECORD_FLAG_NULL_REPLY = 1u << 8,    /* Redis: a null came back (an empty poll, say) */
    RECORD_FLAG_REMOTE_PARENT = 1u << 9, /* the parent's span is of another process */
    RECORD_FLAG_TRACEPARENT = 1u << 10,  /* HTTP: the request has one, or what should be one */
    RECORD_FLAG_FOR_JOB = 1u << 12,      /* the parent is a job's attempt */
    RECORD_FLAG_CARRIED = 1u << 13,      /* of a job in which a context stands */
    RECORD_FLAG_API_KEY = 1u << 14       /* HTTP: the request says who it is from */
};

enum address_family {
    ADDRESS_NONE = 0,
    ADDRESS_IPV4 = 4,
    ADDRESS_IPV6 = 6,
    ADDRESS_UNIX = 1 /* the path is FIELD_PEER_PATH */
};

struct endpoint {
    uint8_t family; /* enum address_family */
    uint8_t reserved;
    uint16_t port;       /* host byte order */
    uint8_t address[16]; /* network byte order; IPv4 uses the first 4 */
};

/* What the library that made a transfer knows of it: a transfer is one exchange or, with redirects,
   authentication and repetition, several, of which the last one says this. Times count from the
   transfer's beginning, in microseconds; 0: the phase was not needed. */
struct transfer_numbers {
    uint32_t name_us;       /* the name was looked up */
    uint32_t connect_us;    /* the connection was there */
    uint32_t tls_us;        /* the handshake was done */
    uint32_t ready_us;      /* about to send */
    uint32_t first_byte_us; /* the answer began */
    uint32_t total_us;
    uint32_t redirect_us; /* spent before the last request */
    uint8_t redirects;
    uint8_t connects; /* connections that had to be made */
    uint8_t version;  /* enum transfer_version */
    uint8_t result;   /* the library's own code; 0: it succeeded */
};

enum transfer_version {
    TRANSFER_UNKNOWN = 0, /* no library told of this exchange */
    TRANSFER_HTTP1 = 1,
    TRANSFER_HTTP2 = 2,
    TRANSFER_HTTP3 = 3
};

/* Object stores. */
enum store_provider { STORE_NONE, STORE_S3, STORE_AZURE, STORE_GCS, STORE_COUNT };

/* Kind HTTP_*. Body sizes count payload bytes as they stood on the wire, without chunk framing. */
struct http_numbers {
    uint16_t status;       /* 0: no response */
    uint8_t version_minor; /* HTTP/1.x */
    uint8_t interim_count; /* 1xx responses before the final one, 101 excepted */
    uint8_t store;         /* enum store_provider, by what only its clients send */
    uint8_t reserved[3];
    uint64_t request_body_bytes;
    uint64_t response_body_bytes;
    struct transfer_numbers transfer;
    uint64_t first_data_ns; /* server-sent events of a service: the first one's data; 0: none */
};

/* Kind REDIS_CLIENT. */
struct redis_numbers {
    int32_t database;        /* -1: not known (first seen in the middle of traffic) */
    uint32_t argument_count; /* with the command's name */
    uint64_t request_bytes;  /* of the command on the wire */
    uint64_t response_bytes; /* of its reply on the wire */
    uint8_t protocol;        /* 2 or 3 */
    uint8_t reply_type;      /* the reply's first byte on the wire ('+', '-', ':', '$', ...) */
    uint8_t job_action;      /* enum job_action: what the command does to a job */
    uint8_t reserved[5];
    uint64_t reply_elements; /* of an aggregate reply: its count; of EXEC: the queued commands */
    uint32_t error_elements; /* errors inside EXEC's array */
    uint32_t script_keys;    /* EVAL, EVALSHA, FCALL: numkeys */
    /* A claim: when the job was enqueued, since 1970 UTC; what ends one: how long the attempt took;
       0: not known. */
    uint64_t job_ns;
};

/* What a command does to a job; in the order of rules/rules.h. */
enum job_action {
    JOB_ACTION_NONE,
    JOB_ACTION_SUBMIT,
    JOB_ACTION_SAVE,
    JOB_ACTION_CLAIM,
    JOB_ACTION_READ,
    JOB_ACTION_COMPLETE,
    JOB_ACTION_FAIL,
    JOB_ACTION_RETRY,
    JOB_ACTION_REQUEUE,
    JOB_ACTION_TIMEOUT,
    JOB_ACTION_CANCEL,
    JOB_ACTION_PROGRESS,
    JOB_ACTION_MESSAGE,
    JOB_ACTION_ARCHIVE,
    JOB_ACTION_START,
    JOB_ACTION_FOLD,
    JOB_ACTION_ACK,
    JOB_ACTION_WORKFLOW_CANCEL,
    JOB_ACTION_WORKFLOW_TIMEOUT,
    JOB_ACTION_COUNT
};

/* How an attempt ended. */
enum job_end {
    JOB_END_NONE, /* it has not */
    JOB_END_COMPLETED,
    JOB_END_FAILED,
    JOB_END_RETRIED,
    JOB_END_REQUEUED,
    JOB_END_TIMED_OUT,
    JOB_END_CANCELLED,
    JOB_END_UNKNOWN, /* the wire does not tell */
    JOB_END_COUNT
};

/* Kind JOB. */
struct job_numbers {
    uint64_t enqueued_ns; /* since 1970 UTC, by the queue's own record; 0: not known */
    uint32_t delay_ms;    /* asked for by who submitted it */
    uint32_t attempt;     /* from 1; 0: not known */
    uint32_t stalled;     /* how often it had stalled before */
    uint32_t folded;      /* bookkeeping commands that are no spans */
    uint32_t empty_polls; /* claims that found nothing, before this one */
    uint32_t progress_count;
    uint64_t started_ns;    /* since 1970 UTC, by the queue's own record; 0: not known */
    uint64_t progress_ns;   /* when it last said how far it is; 0: never */
    uint32_t folded_us;     /* what the bookkeeping took */
    uint32_t empty_poll_us; /* and the claims that found nothing, their waiting included */
    uint8_t percent;        /* the last one */
    uint8_t end;            /* enum job_end */
    uint8_t reserved[2];
};

enum workflow_event {
    WORKFLOW_START,
    WORKFLOW_STEP_SUBMIT,
    WORKFLOW_STEP_COMPLETE,
    WORKFLOW_STEP_FAIL,
    WORKFLOW_COMPLETE,
    WORKFLOW_CANCEL,
    WORKFLOW_TIMEOUT,
    WORKFLOW_EVENT_COUNT
};

/* Kind WORKFLOW. */
struct workflow_numbers {
    uint8_t event; /* enum workflow_event */
};

/* How a run ended. */
enum run_end {
    RUN_END_NONE, /* it has not */
    RUN_END_COMPLETED,
    RUN_END_FAILED,
    RUN_END_CANCELLED,
    RUN_END_UNKNOWN, /* nobody told */
    RUN_END_COUNT
};

#define RUN_NO_PERCENT 255u

/* Kind RUN. */
struct run_numbers {
    uint64_t started_ns; /* the service said so; 0: it did not */
    uint32_t messages;   /* that told of it, also those that are no spans */
    uint8_t end;         /* enum run_end */
    uint8_t percent;     /* how far it was at progress_ns; RUN_NO_PERCENT: that was not said */
    uint8_t reserved[2];
    uint64_t progress_ns;  /* when the service last said that it goes on; 0: never */
    uint64_t retrieved_ns; /* when an answer brought its results; 0: none did before its end */
};

enum message_kind {
    MESSAGE_RECEIVED,
    MESSAGE_SENT,  /* by this process */
    MESSAGE_IMAGES /* no message: what an answer brought, made by the worker side alone */
};

/* Kind MESSAGE. */
struct message_numbers {
    uint64_t bytes; /* payload on the wire */
    uint8_t kind;   /* enum message_kind */
    uint8_t reserved[7];
};

/* Kind WEBSOCKET_*: [0] sent by this process, [1] received. Bytes are payload on the wire. */
struct websocket_numbers {
    uint32_t text_messages[2];
    uint32_t binary_messages[2];
    uint32_t pings[2];
    uint64_t payload_bytes[2];
    uint16_t close_code[2]; /* 0: no close frame; 1005: a close frame without a code */
    uint8_t compressed;     /* permessage-deflate was agreed */
    uint8_t reserved[3];
    uint64_t ping_round_trip_ns; /* the last ping of ours that was answered; 0: none */
};

/* Kind OPAQUE and CONNECT: bytes on the wire per direction, [0] sent, [1] received. */
struct opaque_numbers {
    uint8_t reason; /* enum opaque_reason; OPAQUE_NONE: a diagnosis of any connection */
    uint8_t is_server;
    uint8_t reserved[2];
    int32_t descriptor;
    uint64_t bytes[2];
};

/* Why an exchange was ended as RECORD_ERROR_ABORTED: `system_error` then holds
   record_abort_cause(). */
enum abort_reason {
    ABORT_UNKNOWN = 0,
    ABORT_EXIT = 1,   /* code: the process's exit code */
    ABORT_SIGNAL = 2, /* code: the number of the signal that ended it */
    ABORT_EXEC = 3    /* another program took the process's place */
};

static inline int32_t record_abort_cause(enum abort_reason reason, int code)
{
    return (int32_t)reason << 16 | (code & 0xFFFF);
}

/* Captured text. Values of a field are already redacted. */
enum field_tag {
    FIELD_END = 0,
    FIELD_METHOD = 1, /* HTTP request method as sent */
    FIELD_TARGET = 2, /* request target: origin, absolute or authority form, redacted */
    FIELD_HOST = 3,   /* Host header */
    FIELD_USER_AGENT = 4,
    FIELD_FORWARDED_FOR = 5, /* first entry of X-Forwarded-For, or for= of Forwarded */
    FIELD_FORWARDED_PROTO = 6,
    FIELD_FORWARDED_HOST = 7,
    FIELD_UPGRADE = 8,       /* Upgrade header of the response (101) */
    FIELD_SUBPROTOCOL = 9,   /* Sec-WebSocket-Protocol of the response */
    FIELD_EXTENSIONS = 10,   /* Sec-WebSocket-Extensions of the response */
    FIELD_CLOSE_REASON = 11, /* text of the first WebSocket close frame */
    FIELD_PEER_PATH = 12,    /* path of a unix socket; '@' first if abstract */
    FIELD_PEER_NAME = 13,    /* the host name that this process resolved to the peer's address */
    FIELD_COMMAND = 14,      /* Redis command as sent */
    FIELD_QUERY_TEXT = 15,   /* Redis command line with values replaced by '?' */
    FIELD_SCRIPT = 16,       /* EVAL/EVALSHA: sha1 hex; FCALL: function name */
    FIELD_ERROR_PREFIX = 17, /* Redis error prefix */
    FIELD_TRACEPARENT = 18,  /* of the request, verbatim, if valid */
    FIELD_TRACESTATE = 19,
    FIELD_REQUEST_ID = 20,    /* X-Request-Id, request's first, else response's */
    FIELD_PROTOCOL_TEXT = 21, /* ALPN or protocol name of an opaque connection, if known */
    FIELD_LINK = 22,          /* another span: 16 bytes of trace id, 8 of span id */
    FIELD_JOB_SYSTEM = 23,    /* the queue's kind, by the name that its rules give it */
    FIELD_JOB_QUEUE = 24,
    FIELD_JOB_ID = 25,
    FIELD_JOB_TYPE = 26,
    FIELD_JOB_PRIORITY = 27,
    FIELD_JOB_WORKER = 28,
    FIELD_JOB_WORKFLOW = 29,
    FIELD_JOB_STEP = 30,
    FIELD_JOB_STEPS = 31,
    FIELD_JOB_CUSTOMER = 32,
    FIELD_JOB_USER = 33,
    FIELD_JOB_ERROR_TYPE = 34,
    FIELD_JOB_ERROR = 35,
    FIELD_JOB_STACK = 36,
    FIELD_JOB_TIER = 39,      /* what kind of customer it is for */
    FIELD_SERVICE = 40,       /* the number of a service's endpoint (wire/service.h): one byte */
    FIELD_SERVICE_VALUE = 41, /* the number of one of its fields, one byte; then its text */
    FIELD_BODY_UNREAD = 42,   /* why the answer's body was not read to its end */
    FIELD_RUN_ERROR = 43,     /* the type of a run's failure, by the service's word */
    FIELD_POLL = 44,          /* a question that was asked again and again: struct poll_numbers */
    FIELD_DELIVERY = 45,      /* the worker's: it asks for what its job has uploaded */
    FIELD_JOB_CAPABILITIES = 46, /* of who claims, and how many jobs are looked at for it */
    FIELD_JOB_LIMIT = 47,
    FIELD_CANDIDATE = 48, /* as FIELD_LINK: what may have been the cause of a span without parent */
    FIELD_TAG_COUNT
};

/* What FIELD_POLL holds, in native order. */
struct poll_numbers {
    uint64_t last_ns; /* when the last one began */
    uint32_t attempts;
    uint32_t failures; /* answers of 500 and above are spans by themselves, and are counted here */
};

#define RECORD_HEAD_BYTES 184u
#define RECORD_TEXT_BYTES (LIMIT_RECORD_BYTES - RECORD_HEAD_BYTES)

struct record {
    uint16_t kind;  /* enum record_kind */
    uint16_t flags; /* enum record_flag */
    uint8_t parent_source;
    uint8_t trace_flags; /* W3C: 1 sampled, 2 random */
    uint8_t error;       /* enum record_error */
    uint8_t halves;      /* application's side only: 1 the request has ended, 2 the answer has */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* zero: a root */
    uint64_t start_ns;
    uint64_t reply_ns; /* first byte of the answer; 0: none came */
    uint64_t end_ns;   /* 0 while open */
    struct endpoint peer;
    struct endpoint local;
    uint32_t connection;  /* serial number of the connection in its process */
    int32_t system_error; /* errno, or 0 */
    union {
        struct http_numbers http;
        struct redis_numbers redis;
        struct websocket_numbers websocket;
        struct opaque_numbers opaque;
        struct job_numbers job;
        struct run_numbers run;
        struct message_numbers message;
        struct workflow_numbers workflow;
        uint8_t bytes[64];
    };
    uint16_t text_used;
    uint16_t next_parked; /* application's side only (app_thread/transfer.h) */
    uint8_t is_parked;    /* complete, but for what a library may tell of it */
    uint8_t reserved_end[3];
    uint8_t text[RECORD_TEXT_BYTES];
};

_Static_assert(sizeof(struct record) == LIMIT_RECORD_BYTES, "a record is ten cache lines");
_Static_assert(__builtin_offsetof(struct record, text) == RECORD_HEAD_BYTES, "the head's size");

/* A field on the wire of the segment: tag, size (16 bit, native order), bytes. */
#define RECORD_FIELD_HEAD_BYTES 3u

bool record_add_field_slow(struct record *record, enum field_tag tag, struct slice value,
                           size_t limit);

/* Up to 32 bytes; a call costs more than copying them. */
static inline void record_copy_short(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size >= 16) {
        memcpy(to, from, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        memcpy(to, from, 4);
        memcpy(to + size - 4, from + size - 4, 4);
    } else if (size > 0) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

/* Appends a field, cut to `limit` bytes and to the room left (RECORD_FLAG_TEXT_CUT is set when
   anything was cut). Returns false if nothing could be written. */
static inline bool record_add_field(struct record *record, enum field_tag tag, struct slice value,
                                    size_t limit)
{
    size_t used = record->text_used;
    if (unlikely(value.size > limit || value.size > 32 ||
                 used + RECORD_FIELD_HEAD_BYTES + value.size > RECORD_TEXT_BYTES)) {
        return record_add_field_slow(record, tag, value, limit);
    }
    uint8_t *at = record->text + used;
    uint16_t size = (uint16_t)value.size;
    at[0] = (uint8_t)tag;
    memcpy(at + 1, &size, sizeof(size));
    record_copy_short(at + RECORD_FIELD_HEAD_BYTES, value.data, value.size);
    record->text_used = (uint16_t)(used + RECORD_FIELD_HEAD_BYTES + size);
    return true;
}

static inline void record_add_span(struct record *record, enum field_tag tag,
                                   const uint8_t trace_id[16], const uint8_t span_id[8])
{
    uint8_t link[24];
    memcpy(link, trace_id, 16);
    memcpy(link + 16, span_id, 8);
    record_add_field(record, tag, slice_of(link, sizeof(link)), sizeof(link));
}

/* A span that the record's links to: its trace and its id. */
static inline void record_add_link(struct record *record, const uint8_t trace_id[16],
                                   const uint8_t span_id[8])
{
    record_add_span(record, FIELD_LINK, trace_id, span_id);
}

/* A span that may have been the cause of the record's, which has no parent. */
static inline void record_add_candidate(struct record *record, const uint8_t trace_id[16],
                                        const uint8_t span_id[8])
{
    record_add_span(record, FIELD_CANDIDATE, trace_id, span_id);
}

/* Extends the field written last by more bytes of the same value, which may come in pieces. `limit`
   is that of the whole value. The last field must be of `tag`; otherwise a new one is begun. */
bool record_extend_field(struct record *record, enum field_tag tag, struct slice more,
                         size_t limit);

/* Takes the first field of `tag` out again, if there is one. */
void record_drop_field(struct record *record, enum field_tag tag);

/* Walks the fields: `*offset` starts at 0. Returns false at the end, or where the text is
   malformed. `*value` borrows from the record. */
bool record_next_field(const struct record *record, uint32_t *offset, enum field_tag *tag,
                       struct slice *value);

/* The first field of `tag`; an empty slice with NULL data if there is none. */
struct slice record_find_field(const struct record *record, enum field_tag tag);

/* Whether every enumerator, length and time of a record copied from elsewhere is in range. */
bool record_is_valid(const struct record *record);
