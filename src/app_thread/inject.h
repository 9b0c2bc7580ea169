/*
 * `traceparent`, and the `tracestate` that came with it, in the heads of HTTP/1 requests that the
 * program sends.
 *
 * What is sent is the program's own bytes with the fields behind the request line; the program's
 * memory is not touched, and it is told how many of its own bytes went. If the kernel took a part
 * of the fields only, the rest is owed: it goes before the connection's next bytes. Nothing else
 * needs it, because the head's end, which comes behind the field, was not sent either: a program
 * that sends no more has sent no request, then as without us.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "app_thread/connection.h"
#include "app_thread/http_exchange.h"
#include "base/limits.h"
#include "base/slice.h"

/* The first field's line: name, version, two ids, flags. */
#define INJECT_FIELD_BYTES 70u
/* Parts of the fields. */
#define INJECT_FIELD_PARTS 2u
/* All their bytes: `tracestate: ` and CR LF around its value. */
#define INJECT_FIELDS_MOST (INJECT_FIELD_BYTES + 12u + LIMIT_TRACESTATE + 2u)

struct injection {
    struct http_preview preview; /* of the request */
    uint32_t at;                 /* bytes of the program's that go before the fields */
    struct slice state;          /* the second field's line, pinned from inject_build on */
};

/* Context is written into requests (OTEL_PROPAGATORS). Set once at start. */
extern bool inject_is_on;

/* Hosts to which it is written, and hosts to which it is not: lists as the environment has them,
   which must last; empty: all, none. Set once at start. */
void inject_configure(bool is_on, struct slice to, struct slice not_to);

/* Whether a host (with a port, perhaps) is in a list of names, `.suffix` and `*`, separated by
   commas; `name:port` means that port only. */
bool inject_list_has(struct slice list, struct slice host);

/* Whether requests to that host may get a context, and whether those to others may not. */
bool inject_is_allowed(struct slice host);
bool inject_is_limited(void);

/* What there is to do where a request begins. */
enum inject_plan {
    INJECT_UNKNOWN, /* it could not be looked at, or is no whole head */
    INJECT_NOTHING, /* only the preview is filled */
    INJECT_FIELD    /* the context is to be written into it: the preview has a plan, too, which the
                       exchange takes or the caller drops */
};

/* Looks at what the program sends where a request begins, at `start_ns`. */
enum inject_plan inject_plan(struct thread_state *self, const struct iovec *iov, size_t count,
                             uint64_t start_ns, struct injection *injection);

/* The same for a request that the program sends again, a part of which may have gone with these
   ids: they stay its own. */
enum inject_plan inject_plan_again(const struct iovec *iov, const struct trace_identity *identity,
                                   struct injection *injection);

#define INJECT_PARTS (LIMIT_INJECT_PARTS + 1u + INJECT_FIELD_PARTS)

/* The first field's line, and the parts of what is to be sent: their number. inject_settle is to
   follow. */
size_t inject_build(struct injection *injection, const struct iovec *iov, size_t count,
                    uint8_t field[INJECT_FIELD_BYTES], struct iovec longer[INJECT_PARTS]);

/* The parts were copied: nothing of them is needed any more. Instead of inject_settle. */
void inject_copied(const struct injection *injection);

/* The kernel's answer to the longer call as the program is to see it. What was not sent of the
   fields is owed. */
ssize_t inject_settle(struct connection *connection, const struct injection *injection,
                      const uint8_t field[INJECT_FIELD_BYTES], ssize_t sent);

/* Whether the connection owes bytes. */
static inline bool inject_owes(const struct connection *connection)
{
    return atomic_load_explicit(&connection->pairing.owed, memory_order_relaxed) != 0;
}

/* What is owed, or a part of it, to be sent by the caller alone, who says then by inject_paid how
   much of it went; empty if nothing is, or if another thread is at it. */
struct slice inject_take_owed(struct connection *connection, uint32_t *owed);
/* True if nothing is left. */
bool inject_paid(struct connection *connection, uint32_t owed, ssize_t sent);

/* Whether there is room for what a call may have to owe; to be asked before it. */
bool inject_may_owe(void);
/* The same for bytes of another kind, the first `size` of a slab buffer, of which `sent` went: the
   buffer is given away. */
void inject_owe_buffer(struct connection *connection, uint32_t block, uint16_t size, uint16_t sent);

/* The connection ends. */
void inject_forget_owed(struct connection *connection);
