/*
 * Jobs: commands that rules name become the life of a job.
 *
 * A command is matched while it passes, and acts when its answer has come: a claim opens the record
 * of a job in work, which stays open in the segment until the job has ended, so that somebody
 * outside can tell of a job whose process was killed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/protocol.h"
#include "rules/match.h"

/* The rules in force, and for each command the list of those that name it: 0 is none. */
extern const struct rules *jobs_rules;
extern const uint8_t *jobs_lists;

static inline const struct rule_queue *jobs_queue_of(const struct rule *rule)
{
    return &jobs_rules->queues[rule->queue];
}

/* Puts rules in force; once, at the start. They must outlive the process. */
void jobs_configure(const struct rules *rules);

/* Whether rules may fit a command whose arguments are all there: a quick look. */
static inline bool jobs_may_fit(uint8_t list, const struct slice arguments[], uint32_t count)
{
    return list != 0 && (count < 2 || rules_may_fit(jobs_rules, list, arguments[1]));
}

/* The command's name is known, and that rules name it: arguments follow. False: none can be taken.
 */
bool jobs_begin(struct connection *connection, uint8_t list, uint32_t arguments);
/* A piece of an argument. */
void jobs_argument(struct connection *connection, uint32_t index, struct slice piece, bool last);
/* All of them at once. */
void jobs_take(struct connection *connection, uint8_t list, const struct slice arguments[],
               uint32_t count);

/* The command is complete; true if a rule fits: its answer then comes to jobs_answered. */
bool jobs_choose(struct passage *passage);

/* Whether the rule that fits ends a job that is in work here: then the exchange belongs to that
   job, whoever it is sent for. To be asked before jobs_detach. */
bool jobs_ends_known(const struct connection *connection);

/* Takes what was captured with the command: a number for its pairing entry. */
uint32_t jobs_detach(struct connection *connection);

/* An item of the answer, and its end. The record is the exchange's, or NULL. False: the exchange
   was bookkeeping, and is to be no span. */
void jobs_answer_item(uint32_t block, const struct resp_item *item);
bool jobs_answered(struct passage *passage, struct record *record, uint32_t block, bool is_error);

/* No answer will come: whether the exchange was only waiting for work, and is to be no span. */
bool jobs_was_waiting(struct pairing_entry entry, const struct record *record);

/* Gives up what was captured with a command that gets no answer. */
static inline void jobs_drop(struct pairing_entry entry)
{
    if (unlikely(entry.effect == REDIS_JOB)) {
        slab_give(SLAB_BUFFER, entry.value);
    }
}

/* A job of a queue of pools with this id was claimed by this process or by one of the same origin,
   and has not ended: what belongs to it. */
bool jobs_find_claimed(struct slice id, struct thread_context *work);

/* At an orderly end of the process: its jobs in work are ended as they stand. */
void jobs_finish_all(struct thread_state *self, uint64_t now, int32_t cause);
