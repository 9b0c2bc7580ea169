/*
 * Polling: a GET that a job repeats until the answer is another one is one span with a count, not a
 * span for each time.
 *
 * The record of a job's GET waits, complete, whether the same is asked again: until LIMIT_POLL_NS
 * later, until as many others wait, or until the job has ended. The first one stays the record of
 * all, with the answer of the last one; the others' are given back. A request that will be counted
 * there takes its ids along, where it takes any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "handoff/record.h"

/* A request is about to be sent: if it will be one of those that are counted, it has their id. */
void polls_name(struct trace_identity *identity, struct slice method, struct slice target);

/* A job's request was answered; `record` is complete and this thread's. True: the record is kept,
   or has been given back; false: it is a span by itself. */
bool polls_take(struct thread_state *self, uint16_t slot, struct record *record);

/* The job of that trace has ended, or, with NULL, the process. */
void polls_end(struct thread_state *self, const uint8_t *trace_id);
