/*
 * Which connection a TLS session speaks over.
 *
 * The library that encrypts is asked for the session's descriptor. Where it knows none (memory
 * buffers, the program's own transport), the session is recognised by the random bytes of its
 * ClientHello, which passed some socket in the clear: 32 bytes that no two sessions share but the
 * two ends of one. Where more than one connection has seen them, none is chosen.
 *
 * Both tables below are hints: that a session is a connection's is true only if the connection says
 * so (`plaintext_of`), which is settled with both of its directions held. A hint that is late, torn
 * or overwritten costs a look-up and never leads to another connection.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"

/* Where the random lies in the record that a ClientHello begins with: behind the record's header
   (5), the message's header (4) and the version (2). RFC 8446, 4.1.2 and 5.1. */
#define TLS_RANDOM_BYTES  32u
#define TLS_RANDOM_OFFSET 11u

_Static_assert(TLS_RANDOM_OFFSET + TLS_RANDOM_BYTES == LIMIT_TLS_HELLO_BYTES, "up to its end");

/* What a library knows of one of its sessions. */
struct tls_identity {
    int descriptors[2]; /* read from, written to; -1: not known */
    bool is_certain;    /* false: only if the bytes on the descriptor look like TLS */
    uint8_t role;       /* enum connection_role: which side the session is on */
    bool has_random;
    uint8_t random[TLS_RANDOM_BYTES];
};

/* Fills `*identity`; false if the session is not established yet. Must not touch errno. */
typedef bool tls_identify(const void *library, void *session, struct tls_identity *identity);

/* The connection of a session, bound now if it was not. False: none, or not yet. */
bool tls_session_touch(struct thread_state *self, void *session, const void *library,
                       tls_identify *identify, struct touch *touch);

/* Only if it is bound already. */
bool tls_session_find(const void *session, struct touch *touch);

/* The session ends, or changes what it speaks over. */
void tls_session_forget(const void *session);

/* A connection's ClientHello was seen with these random bytes; its holder says so. */
void tls_session_hello(struct connection *connection, const uint8_t random[TLS_RANDOM_BYTES]);

/* Whether that connection's ClientHello had these random bytes. */
bool tls_session_is_hello(const struct connection *connection,
                          const uint8_t random[TLS_RANDOM_BYTES]);
