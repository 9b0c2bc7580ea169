/*
 * RESP2 and RESP3 framing of one direction of a Redis connection, for a passive observer.
 *
 * Bytes in, events out; no memory but the struct, which may be copied to make a checkpoint.
 * Events of one top-level message: BEGIN, ITEM*, END. An attribute ('|') belongs to the message
 * that it precedes; its items are not reported. Inline commands are reported as if they were
 * arrays of bulk strings. LOST is final.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"

enum resp_kind {
    RESP_COMMANDS, /* client to server: arrays of bulk strings, or inline */
    RESP_REPLIES
};

enum resp_event {
    RESP_NEED_MORE, /* `in` is used up */
    RESP_BEGIN,     /* the first byte of a top-level message is next in `in`; nothing consumed yet,
                       but for a '*' that came alone in an earlier piece (resp_held_bytes); not for
                       an empty command ("\r\n", "*0\r\n"), which has no reply */
    RESP_ITEM,
    RESP_END,
    RESP_LOST
};

struct resp_item {
    uint8_t type;   /* the first byte on the wire: '$', '*', '+', '-', ':', '%', '~', '>', ... */
    uint8_t depth;  /* 0: the top-level value itself; its elements are 1 */
    bool first;     /* the first piece of this scalar */
    bool last;      /* the last piece of this scalar; aggregates are first and last */
    bool null;      /* $-1, *-1, _ */
    bool cut;       /* a line longer than LIMIT_RESP_LINE: `bytes` is its beginning */
    uint32_t index; /* position within the enclosing aggregate; a map's keys and values alternate */
    int64_t number; /* ':' its value; '$' '!' '=' the whole length; aggregates the count of elements
                       (a map's: pairs); -1 if streamed, null, or of an inline command */
    struct slice bytes; /* scalars: this piece; borrows from the input or from the parser */
};

struct resp_level {
    uint32_t remaining; /* elements still to come; of a streamed aggregate: never 0 */
    uint32_t index;
};

/* Fields are the parser's own. */
struct resp {
    uint8_t kind;
    uint8_t state;
    uint8_t type; /* of the scalar or line at hand */
    uint8_t depth;
    uint8_t flags;
    uint8_t line_used;
    uint8_t attribute_depth; /* of the outermost attribute at hand, 0: none */
    uint8_t escape;          /* inline: the first digit of a \x escape */
    uint32_t attributes;     /* levels that are attributes, a bit each */
    uint32_t streams;        /* levels that are streamed, a bit each */
    uint64_t length;         /* of the bulk at hand; of the inline command so far */
    uint64_t remaining;      /* of the bulk at hand */
    struct resp_level levels[LIMIT_RESP_DEPTH + 1]; /* the first is the top level */
    uint8_t line[LIMIT_RESP_LINE];
};

void resp_init(struct resp *parser, enum resp_kind kind);

/* Takes the next event. Advances `*in` over what was consumed; `*item` is written for ITEM only and
   valid until the next call. */
enum resp_event resp_next(struct resp *parser, struct slice *in, struct resp_item *item);

/* Between two messages: nothing of the next one has been seen. */
bool resp_is_idle(const struct resp *parser);

/* Behind the first item of a command: how many it has. */
static inline uint32_t resp_elements(const struct resp *parser)
{
    return parser->levels[1].index + parser->levels[1].remaining;
}

/* `count` bytes passed without being seen. They must lie inside a bulk string: returns false (and
   the parser is lost) otherwise. */
bool resp_skip(struct resp *parser, uint64_t count);

/* Right after BEGIN: how many of the message's bytes were consumed with an earlier piece, 0 or 1.
 */
uint32_t resp_held_bytes(const struct resp *parser);

/*
 * Shortcuts past resp_next for what nearly always comes: a message that lies whole at the beginning
 * of `in` while the parser is idle. They take all of it or change nothing; then resp_next tells
 * what there is. A caller may use them or not: what they take is what resp_next would have told.
 */

/* No client sends more arguments in what is called most often. */
#define RESP_WHOLE_ARGUMENTS 8u

/* A whole command of at most RESP_WHOLE_ARGUMENTS bulk strings, the name included. Returns how many
   there are, or 0; they borrow from the input. */
uint32_t resp_take_command(struct resp *parser, struct slice *in,
                           struct slice arguments[RESP_WHOLE_ARGUMENTS]);

/* A whole reply that is a simple string, an error, an integer or a bulk string. */
bool resp_take_scalar(struct resp *parser, struct slice *in, struct resp_item *item);
