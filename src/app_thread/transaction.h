/*
 * Commands of jobs that MULTI has queued: what they did is told by the answer to EXEC.
 *
 * A queued command that rules look at keeps its record and what was captured with it until then; so
 * does MULTI itself, which is no span where all between it and EXEC is bookkeeping. One slab buffer
 * and its chain hang from the connection; the holder of the replies' direction has them.
 */
#pragma once

#include "app_thread/pairing.h"
#include "app_thread/protocol.h"
#include "wire/resp.h"

/* MULTI was answered: true if its record waits here for EXEC. */
bool transaction_begin(struct connection *connection, uint16_t slot, uint64_t now);

/* The oldest exchange was answered by QUEUED, and is not pending any more. True if it waits here
   for its own answer; what was captured with it, too, then. */
bool transaction_keep(struct connection *connection, struct pairing_entry entry, uint64_t now);

/* An item of EXEC's answer. */
void transaction_item(struct connection *connection, const struct resp_item *item);

/* The transaction is over: what waited has happened, or not, and its records are handed over. False
   if all of it was bookkeeping: then EXEC is no span either. */
bool transaction_end(struct passage *passage, bool has_happened);

/* Nothing more will be answered: records are handed over as they stand. */
void transaction_break(struct thread_state *self, struct connection *connection);

/* The records are another process's, or another segment's: only memory is given back. */
void transaction_forget(struct connection *connection);
