/*
 * How processes of one origin tell each other of jobs. Who claims a job for others to work on it
 * takes a place by the job's key in memory that is shared since the start, for whoever executes may
 * be forked before anything is claimed, and gives it back. Who ends a job that it has not claimed
 * looks for the place, and so does who is handed a job that another one has claimed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/thread_state.h"
#include "handoff/record.h"
#include "rules/match.h"

/* Makes the shared memory; once, at the start. Without it nobody tells anything. */
void job_outcome_configure(void);

/* ---- who claims ---- */

/* The attempt of that record has begun. */
void job_outcome_prepare(uint64_t key, const struct record *record);

/* Whether somebody has ended it. */
bool job_outcome_is_told(uint64_t key);

/* Whether a process of the same origin has claimed it, and nobody has ended it. */
bool job_outcome_is_awaited(uint64_t key);

/* What was told of it: nanoseconds << 3 | enum job_end, 0 for nothing; and to its record, if there
   is one, when it was begun and what went wrong. Its place is free then. */
uint64_t job_outcome_take(uint64_t key, struct record *record);

/* ---- who executes ---- */

/* The work on a claimed job begins, by the queue's own record. */
void job_outcome_tell_start(uint64_t key, uint64_t started_ns);

/* A claimed job has ended. `attempt` is the one that has; 0: the one that is in work. */
void job_outcome_tell(uint64_t key, enum job_end end, uint32_t attempt, uint64_t now,
                      const struct rule_facts *facts);

/* What went wrong with it. */
void job_outcome_tell_words(uint64_t key, const struct rule_facts *facts);

/* The attempt in work. False: there is none. */
bool job_outcome_read_claimed(uint64_t key, struct thread_context *work);

/* ---- both ---- */

/* Whether an end of a job of that queue was ever seen here or in a process of the same origin. */
bool job_outcome_tells_ends(uint8_t queue);
void job_outcome_note_end(uint8_t queue);
