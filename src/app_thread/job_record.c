#include "app_thread/job_record.h"

#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/jobs.h"
#include "rules/time.h"

void job_record_fact(struct record *record, enum field_tag tag, struct slice value)
{
    if (value.size > 0) {
        record_add_field(record, tag, value,
                         tag == FIELD_JOB_STACK ? LIMIT_RULE_STACK : LIMIT_RULE_VALUE);
    }
}

void job_record_facts(struct record *record, const struct rule *rule,
                      const struct rule_facts *facts)
{
    static const struct {
        uint8_t variable;
        uint8_t tag;
    } told[] = {
        {RULE_ID, FIELD_JOB_ID},
        {RULE_QUEUE, FIELD_JOB_QUEUE},
        {RULE_TYPE, FIELD_JOB_TYPE},
        {RULE_PRIORITY, FIELD_JOB_PRIORITY},
        {RULE_WORKER, FIELD_JOB_WORKER},
        {RULE_WORKFLOW, FIELD_JOB_WORKFLOW},
        {RULE_STEP, FIELD_JOB_STEP},
        {RULE_STEPS, FIELD_JOB_STEPS},
        {RULE_CUSTOMER, FIELD_JOB_CUSTOMER},
        {RULE_USER, FIELD_JOB_USER},
        {RULE_TIER, FIELD_JOB_TIER},
        {RULE_ERROR_TYPE, FIELD_JOB_ERROR_TYPE},
        {RULE_ERROR, FIELD_JOB_ERROR},
        {RULE_STACK, FIELD_JOB_STACK},
    };
    job_record_fact(record, FIELD_JOB_SYSTEM, rules_text(jobs_rules, jobs_queue_of(rule)->name));
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        if (record_find_field(record, (enum field_tag)told[i].tag).data == NULL) {
            job_record_fact(record, (enum field_tag)told[i].tag, facts->values[told[i].variable]);
        }
    }
}

bool job_record_is_none(const uint8_t id[8])
{
    static const uint8_t none[8];
    return memcmp(id, none, sizeof none) == 0;
}

void job_record_link_parent(struct record *record)
{
    if (!job_record_is_none(record->parent_span_id)) {
        record_add_link(record, record->trace_id, record->parent_span_id);
    }
}

/* The submission is another process's span, and a parent only where that is known to be there. */
static void tell_submission(struct record *record, const struct job *job)
{
    if (!attachment_producers_are_traced) {
        record_add_link(record, job->trace_id, job->submit_id);
        return;
    }
    memcpy(record->parent_span_id, job->submit_id, sizeof record->parent_span_id);
    record->parent_source = PARENT_AMBIENT;
    record->flags |= RECORD_FLAG_REMOTE_PARENT;
}

/* Into the job's trace, below what the job carries or below nothing. */
static void enter_trace(struct record *record, const struct job *job)
{
    memcpy(record->trace_id, job->trace_id, sizeof record->trace_id);
    memset(record->parent_span_id, 0, sizeof record->parent_span_id);
    record->trace_flags = job->trace_flags;
    record->parent_source = PARENT_NONE;
    if (job->is_carried) {
        memcpy(record->parent_span_id, job->parent_id, sizeof record->parent_span_id);
        record->parent_source = PARENT_CONTENT;
        record->flags |= RECORD_FLAG_CARRIED;
    }
}

void job_record_join(struct record *record, const struct job *job)
{
    enter_trace(record, job);
    if (job->is_carried) {
        record->flags |= RECORD_FLAG_REMOTE_PARENT;
    } else if (job->is_derived) {
        tell_submission(record, job);
    }
}

uint32_t job_record_number(struct slice text)
{
    return slice_equals(text, SLICE("true")) ? 1 : slice_number(text);
}

uint32_t job_record_attempts(const struct rule_facts *facts)
{
    return job_record_number(facts->values[RULE_ATTEMPTS]) +
           job_record_number(facts->values[RULE_STALLED]);
}

static bool sets(const struct rule *rule, enum rule_variable variable)
{
    for (uint32_t i = 0; i < rule->setting_count; i++) {
        if (jobs_rules->settings[rule->first_setting + i].variable == variable) {
            return true;
        }
    }
    return false;
}

/* A queue that does not count attempts tells whether there was one before: they are counted here.
   Of what another process has done before it is known that it did it at least once. */
static void count_attempt(struct record *record, struct job *job, const struct rule *rule,
                          const struct rule_facts *facts)
{
    if (record->job.attempt != 0 || !sets(rule, RULE_AGAIN)) {
        return;
    }
    struct slice told = facts->values[RULE_LEFT];
    uint32_t left = told.size > 0 ? job_record_number(told) + 1 : 0;
    if (facts->values[RULE_AGAIN].size == 0) {
        job->attempt = 1;
    } else if (job->attempt == 0) {
        job->attempt = 2;
    } else {
        job->attempt += left != 0 && job->left > left ? job->left - left : 1;
    }
    job->left = left;
    record->job.attempt = job->attempt;
}

void job_record_numbers(struct record *record, struct job *job, const struct rule *rule,
                        const struct rule_facts *facts)
{
    struct slice enqueued = facts->values[RULE_ENQUEUED];
    if (enqueued.size > 0) {
        record->job.enqueued_ns = rules_time(enqueued, (enum rule_unit)facts->units[RULE_ENQUEUED]);
    }
    struct slice started = facts->values[RULE_STARTED];
    if (started.size > 0) {
        record->job.started_ns = rules_time(started, (enum rule_unit)facts->units[RULE_STARTED]);
    }
    if (facts->values[RULE_DELAY].size > 0) {
        record->job.delay_ms = job_record_number(facts->values[RULE_DELAY]);
    }
    if (facts->values[RULE_ATTEMPT].size > 0) {
        record->job.attempt = job_record_number(facts->values[RULE_ATTEMPT]);
    } else if (facts->values[RULE_ATTEMPTS].size > 0) {
        record->job.attempt = job_record_attempts(facts) + 1;
    }
    if (facts->values[RULE_STALLED].size > 0) {
        record->job.stalled = job_record_number(facts->values[RULE_STALLED]);
    }
    count_attempt(record, job, rule, facts);
    /* A time that names the job is that of its first attempt. */
    if (record->job.attempt > 1 && (jobs_queue_of(rule)->identity >> RULE_ENQUEUED & 1) != 0) {
        record->job.enqueued_ns = 0;
    }
}

void job_record_submitted(struct record *record, const struct job *job)
{
    job_record_link_parent(record);
    enter_trace(record, job);
}
