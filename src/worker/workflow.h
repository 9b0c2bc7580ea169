/*
 * Workflows: what stands above the jobs that carry the id of one.
 *
 * A workflow has a trace of its own, whose ids are derived from its id: whoever sees one of its
 * jobs comes to the same ones. Its spans follow from records of jobs, as records that only the
 * worker side makes (RECORD_WORKFLOW): the start and the steps from submissions, their ends and the
 * workflow's from attempts that ended, or from a word about the workflow itself. A step and its job
 * link to each other.
 *
 * The start is that of step 0 or 1, never merely the first that was seen. A span here is the parent
 * of another where this exporter has made it, or where producers are known to be traced; else it is
 * linked to.
 *
 * An id that is unique in itself (32 digits of a UUID) is the same workflow's wherever it is seen.
 * Any other may come again: it is followed only by who has seen the start, which names the trace,
 * and no further where it begins again before it has ended. Two workflows never make one trace.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "handoff/record.h"

#define WORKFLOW_OPEN_NS UINT64_C(86400000000000) /* a day */
/* Records that may follow from one. */
#define WORKFLOW_RECORDS 2u

struct open_workflow {
    uint64_t key; /* 0: none */
    uint64_t seen_ns;
    bool begins_at_zero;
    bool has_ended;
    bool is_ambiguous; /* one of the same id began before it had ended */
    /* Of an id that may come again: by which job it began, and that one's trace. */
    uint64_t first_job;
    uint8_t seed[16];
};

struct workflows {
    uint32_t next;
    uint32_t next_step;
    struct open_workflow open[LIMIT_WORKFLOWS];
    uint64_t steps[LIMIT_WORKFLOW_STEPS]; /* that were made here */
};

struct workflow_settings {
    bool producers_are_traced;
    uint64_t threshold; /* of the sampler */
};

/* Looks at a record that was drained. Where it is of a workflow, adds the link to its step and
   writes the records that follow from it. Returns how many. */
uint32_t workflow_follow(struct workflows *workflows, const struct workflow_settings *settings,
                         struct record *record, struct record follow[WORKFLOW_RECORDS]);

/* Whether it tells how a whole workflow ended, and of no job. */
static inline bool workflow_is_ended_by(const struct record *record)
{
    return record->kind == RECORD_REDIS_CLIENT &&
           (record->redis.job_action == JOB_ACTION_WORKFLOW_CANCEL ||
            record->redis.job_action == JOB_ACTION_WORKFLOW_TIMEOUT);
}

static inline bool workflow_may_follow(const struct record *record)
{
    return record->kind == RECORD_JOB || workflow_is_ended_by(record) ||
           (record->kind == RECORD_REDIS_CLIENT && (record->redis.job_action == JOB_ACTION_SUBMIT ||
                                                    record->redis.job_action == JOB_ACTION_SAVE));
}
