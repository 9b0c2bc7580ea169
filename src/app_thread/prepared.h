/*
 * For whom a connection was prepared: connected, or asked whether it is still there by reading a
 * single byte from it, as clients do before they use one again. Its next request is for that work,
 * whichever thread sends it; once.
 *
 * Only threads that block take it, and who works for somebody goes on with that. Where the runtime
 * itself says whose work its code does, nothing is noted.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "app_thread/witness.h"

void prepared_note_slow(struct thread_state *self, struct connection *connection);
bool prepared_lend_slow(struct thread_state *self, const struct connection *connection);

/* This thread prepares the connection for whatever it works for, if that is known. */
static inline void prepared_note(struct thread_state *self, struct connection *connection)
{
    if (witness == NULL) {
        prepared_note_slow(self, connection);
    }
}

static inline bool prepared_is(const struct connection *connection)
{
    return atomic_load_explicit(&connection->is_prepared, memory_order_relaxed);
}

/* The thread works for whom the connection was prepared for, until trace_context_give_back. False:
   for nobody, or that is not known. */
static inline bool prepared_lend(struct thread_state *self, const struct connection *connection)
{
    return prepared_is(connection) && prepared_lend_slow(self, connection);
}

/* The request was sent. */
static inline void prepared_end(struct connection *connection)
{
    atomic_store_explicit(&connection->is_prepared, false, memory_order_relaxed);
}
