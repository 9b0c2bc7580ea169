/*
 * HTTP/1.0 and 1.1 framing of one direction of a connection (RFC 9112), for a passive observer.
 *
 * Bytes in, events out. The parser keeps no bytes of its own but a line that arrived in pieces,
 * for which the caller lends memory. Copying a `struct http1` with `carry_used` == 0 makes a
 * checkpoint; copying it back returns to it.
 *
 *     struct slice in = ...;
 *     for (;;) {
 *         switch (http1_next(&parser, &in, &item)) { ... }
 *     }
 *
 * Events of one message: MESSAGE_BEGIN, START_LINE, FIELD*, HEAD_END, BODY*, MESSAGE_END. Empty
 * lines before a message are skipped. LOST is final.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum http1_kind { HTTP1_REQUESTS, HTTP1_RESPONSES };

enum http1_event {
    HTTP1_NEED_MORE,     /* `in` is used up */
    HTTP1_NEED_CARRY,    /* lend memory with http1_lend_carry and call again */
    HTTP1_MESSAGE_BEGIN, /* the first byte of a message is next in `in`; nothing consumed yet */
    HTTP1_START_LINE,    /* item->method, target, version_minor; or status, version_minor */
    HTTP1_FIELD,         /* item->name, value: a header field (whitespace trimmed); of a folded one
                            the first line; trailers are framed but not reported */
    HTTP1_HEAD_END,      /* the head is complete; item->... below say how the body is framed */
    HTTP1_BODY,          /* item->bytes: payload (no chunk framing) */
    HTTP1_MESSAGE_END,
    HTTP1_LOST /* the bytes are no HTTP/1, or ambiguous: stop observing */
};

/* Well-known fields, recognised while parsing so that callers need not compare names. */
enum http1_field {
    HTTP1_FIELD_OTHER,
    HTTP1_FIELD_HOST,
    HTTP1_FIELD_USER_AGENT,
    HTTP1_FIELD_CONTENT_LENGTH,
    HTTP1_FIELD_TRANSFER_ENCODING,
    HTTP1_FIELD_CONNECTION,
    HTTP1_FIELD_UPGRADE,
    HTTP1_FIELD_EXPECT,
    HTTP1_FIELD_CONTENT_TYPE,
    HTTP1_FIELD_FORWARDED,
    HTTP1_FIELD_X_FORWARDED_FOR,
    HTTP1_FIELD_X_FORWARDED_PROTO,
    HTTP1_FIELD_X_FORWARDED_HOST,
    HTTP1_FIELD_X_REQUEST_ID, /* also as object stores call it */
    HTTP1_FIELD_TRACEPARENT,
    HTTP1_FIELD_TRACESTATE,
    HTTP1_FIELD_BAGGAGE,
    HTTP1_FIELD_SEC_WEBSOCKET_KEY,
    HTTP1_FIELD_SEC_WEBSOCKET_PROTOCOL,
    HTTP1_FIELD_SEC_WEBSOCKET_EXTENSIONS,
    HTTP1_FIELD_SEC_WEBSOCKET_ACCEPT,
    HTTP1_FIELD_CONTENT_ENCODING,
    HTTP1_FIELD_X_AMZ_CONTENT_SHA256,
    HTTP1_FIELD_X_MS_VERSION,
    HTTP1_FIELD_API_KEY /* Authorization, X-API-Key: that they are there; nobody looks at them */
};

struct http1_item {
    /* START_LINE */
    struct slice method; /* requests; as sent */
    struct slice target; /* requests; may be cut when the line came in pieces (target_cut) */
    bool target_cut;
    uint8_t version_minor;
    uint16_t status; /* responses */
    /* FIELD */
    enum http1_field field;
    struct slice name;
    struct slice value; /* may be cut when the line came in pieces (value_cut) */
    bool value_cut;
    /* HEAD_END */
    bool keeps_alive; /* the connection persists after this message, as far as it says */
    bool upgrades;    /* Connection: upgrade and an Upgrade field are there */
    bool expects_continue;
    bool until_close; /* responses: the body ends with the connection */
    /* BODY */
    struct slice bytes;
};

/* 64 bytes or little more, so that checkpoints are cheap. Fields are the parser's own. */
struct http1 {
    uint8_t kind;
    uint8_t state;
    uint8_t version_minor;
    uint8_t line_tail_size;
    uint16_t flags;
    uint16_t status;
    uint32_t head_bytes; /* of the head or trailers at hand, against LIMIT_HTTP_HEAD_BYTES */
    uint32_t line_bytes; /* of a line in pieces, as far as it was consumed */
    uint64_t remaining;  /* of the body or of the chunk */
    uint64_t length;     /* Content-Length */
    uint16_t carry_used;
    uint16_t carry_capacity;
    uint32_t wanted;       /* fields to report, a bit each */
    uint8_t line_tail[12]; /* the end of a start line whose middle did not fit the carry */
    uint8_t *carry;
};

void http1_init(struct http1 *parser, enum http1_kind kind);

/* From now on FIELD tells only of these fields, a bit (1 << enum http1_field) each; the others cost
   less. At first all are told of. */
void http1_report_only(struct http1 *parser, uint32_t fields);

/* Takes the next event. Advances `*in` over what was consumed. `*item` is written only for the
   event returned, its slices borrow from `*in` or from the carry until the next call. */
enum http1_event http1_next(struct http1 *parser, struct slice *in, struct http1_item *item);

/*
 * Shortcuts past http1_next for what nearly always comes: a head that lies whole at the beginning
 * of `in`, and a message whose end does. They take all of it or change nothing; then http1_next
 * tells what there is. A caller may use them or not.
 */

/* No more fields are wanted of one message. */
#define HTTP1_HEAD_FIELDS 8u

struct http1_head {
    struct http1_item item; /* what START_LINE and HEAD_END tell */
    uint32_t field_count;
    struct {
        uint8_t field; /* enum http1_field; in the order in which they came */
        struct slice value;
    } fields[HTTP1_HEAD_FIELDS];
};

/* A whole head, between two messages: what the events MESSAGE_BEGIN to HEAD_END tell. Only for
   callers that said which fields they want (http1_report_only), unknown ones not among them. */
bool http1_take_head(struct http1 *parser, struct slice *in, struct http1_head *head);

/* Behind a head: the rest of the message, of whose payload `*payload` bytes came; what BODY and
   MESSAGE_END tell. */
bool http1_take_rest(struct http1 *parser, struct slice *in, uint64_t *payload);

/* Lends `capacity` bytes, at least LIMIT_HTTP_FRAMING_LINE, for a line in pieces. When `carry_used`
   is 0 after NEED_MORE, the memory may be taken back with http1_return_carry. */
void http1_lend_carry(struct http1 *parser, uint8_t *memory, uint16_t capacity);
uint8_t *http1_return_carry(struct http1 *parser);

/* Right after HEAD_END: the message has no body whatever its head says (an answer to HEAD; a 2xx
   answer to CONNECT; a 101). The next event is MESSAGE_END. */
void http1_has_no_body(struct http1 *parser);

/* `count` bytes passed without being seen (sendfile). They must be payload of the message at hand:
   otherwise the parser is lost. Returns BODY while more is to come, MESSAGE_END if the body ended
   exactly there, or LOST; NEED_MORE if `count` is 0 outside of a payload, which changes nothing. */
enum http1_event http1_skip(struct http1 *parser, uint64_t count);

/* The direction ended (FIN). MESSAGE_END if that completes a message that lasts until close;
   NEED_MORE if it came between messages; LOST if it cut a message short. */
enum http1_event http1_end(struct http1 *parser);

/* Whether the direction's end would complete the message at hand. */
bool http1_lasts_until_close(const struct http1 *parser);

/* The first two states: between messages, perhaps behind the CR of an empty line. */
#define HTTP1_IDLE_STATES 2u

/* Between two messages: nothing of the next one has been seen. */
static inline bool http1_is_idle(const struct http1 *parser)
{
    return parser->state < HTTP1_IDLE_STATES;
}
