/*
 * `traceparent` in the heads of HTTP/1 requests that the program hands to a TLS library.
 *
 * A library takes one buffer, and may want to be called again with it: so the request's beginning
 * with the field in it is copied into a buffer of ours, which stays with the session until the
 * library has taken all of it. What the program gave beyond that goes from the program's memory.
 *
 * A library that has encrypted a part of our bytes would send another stream if it were called with
 * the program's. So an insertion outlives the observation of its connection; it ends when its bytes
 * are gone, or when the session at its address is another one, which its random bytes tell.
 *
 * A library that remembers what a call could not send (GnuTLS) may be called again without it: what
 * it is then sending lies in a copy, in a place of the same kind with no field in it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app_thread/inject.h"
#include "app_thread/tls_session.h"
#include "app_thread/trace_context.h"
#include "base/limits.h"
#include "base/slice.h"

/* What a record of TLS holds (RFC 8446, 5.1). */
#define TLS_RECORD_BYTES 16384u

struct tls_insertion {
    const void *given; /* where the program's bytes lay */
    uint32_t at;       /* of them that go before the field */
    uint32_t own;      /* of them that are in `bytes` */
    uint32_t size;     /* of `bytes` */
    uint32_t sent;     /* of `bytes` */
    bool was_kept;     /* an earlier call began it */
    bool is_copy;      /* of what the library remembers: `own` bytes, and nothing is inserted */
    bool names_span;   /* `identity` went out, or may have, and no record has it yet */
    struct trace_identity identity;
    uint8_t random[TLS_RANDOM_BYTES];
    uint8_t bytes[TLS_RECORD_BYTES + INJECT_FIELDS_MOST];
};

/* Sessions that wait to be called again. */
extern _Atomic uint32_t tls_insertions_kept;

/* For a request that begins with `bytes`; `takes_records`: the program is told of each record that
   was sent. NULL: none can be had now. The caller ends it, or keeps it. */
struct tls_insertion *tls_insertion_begin(const struct touch *touch,
                                          const uint8_t random[TLS_RANDOM_BYTES],
                                          struct injection *injection, struct slice bytes,
                                          bool takes_records);

/* A copy of what the library was given and remembers, a record of it at most, with half of the
   places left to requests. NULL: none can be had now. The caller ends it, or keeps it. */
struct tls_insertion *tls_insertion_copy(const struct touch *touch,
                                         const uint8_t random[TLS_RANDOM_BYTES],
                                         struct slice bytes);
/* The same of the program's bytes in an insertion. */
struct tls_insertion *tls_insertion_copy_own(const struct tls_insertion *insertion);

/* Whether something is kept for a session at that address: it is to be asked for its random bytes
   then. */
bool tls_insertion_is_kept(const void *session);
/* What is kept for that session, which the caller now has again; NULL: nothing. */
struct tls_insertion *tls_insertion_take(const void *session,
                                         const uint8_t random[TLS_RANDOM_BYTES]);
void tls_insertion_keep(struct tls_insertion *insertion, const void *session);
void tls_insertion_end(struct tls_insertion *insertion);

/* Ends what is kept for sessions whose connection is gone: they may have been freed unseen. */
void tls_insertion_forget_gone(void);

/* `size` bytes of ours were taken where no more than a record is taken at a time: a plain call
   would have taken as many of the program's. */
void tls_insertion_cut(struct tls_insertion *insertion, size_t size);
