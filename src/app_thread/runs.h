/*
 * Runs: work of a service that goes on beyond the request for it, as the rules name it.
 *
 * The answer to a request, or to a message, holds a run's id; what is told later of that id, by
 * messages or answers, on whatever connection, is told of that run. Its record is open in the
 * segment until the end is told, and the request's is below it. A message may be faster than the
 * answer: what it said is kept.
 */
#pragma once

#include <stdint.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "handoff/record.h"

/* A service's request was answered, its values are in the record, which is still this thread's. */
void runs_answered(struct thread_state *self, struct connection *connection, uint16_t slot,
                   uint8_t endpoint, uint64_t now);

/* A message of a service came whole; `values` holds what the rules name of it. */
void runs_message(struct thread_state *self, struct connection *connection, uint8_t endpoint,
                  const struct record *values, uint64_t start_ns, uint64_t now);

/* A message of this process's went whole: where it asks for work, that is a run from here on.
   Without an id in it the service's answer on the same connection names it. */
void runs_sent(struct thread_state *self, struct connection *connection, uint8_t endpoint,
               const struct record *values, uint64_t start_ns, uint64_t now);

/* The connection is closed: what was asked for on it and has no name will get none. */
void runs_closed(struct thread_state *self, const struct connection *connection, uint64_t now);

/* At the end of the process: what has not ended is ended as unknown; by a cause as aborted. */
void runs_finish_all(struct thread_state *self, uint64_t now, int32_t cause);
