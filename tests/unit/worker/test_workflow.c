/* Workflows: which records follow from those of jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "process/sampling_ratio.h"
#include "worker/workflow.h"

#define S UINT64_C(1000000000)

static const char flow[] = "9a1e6f04-3c52-4d0b-8f7e-aaaaaaaaaaaa";

static struct workflows workflows;
static struct workflow_settings settings;
static struct record record;
static struct record follow[WORKFLOW_RECORDS];
static uint32_t count;

static int set_up(void **state)
{
    (void)state;
    memset(&workflows, 0, sizeof(workflows));
    settings = (struct workflow_settings){.threshold = 0};
    return 0;
}

static void field(enum field_tag tag, const char *value)
{
    if (value != NULL) {
        record_add_field(&record, tag, slice_of(value, strlen(value)), 200);
    }
}

static void begin(enum record_kind kind, uint8_t span_id, const char *workflow, const char *job,
                  const char *step, const char *steps)
{
    memset(&record, 0, sizeof(record));
    record.kind = (uint16_t)kind;
    record.trace_id[0] = 7;
    record.span_id[7] = span_id;
    record.start_ns = 10 * S;
    record.end_ns = 11 * S;
    field(FIELD_JOB_SYSTEM, "plain");
    field(FIELD_JOB_WORKFLOW, workflow);
    field(FIELD_JOB_ID, job);
    field(FIELD_JOB_STEP, step);
    field(FIELD_JOB_STEPS, steps);
}

static uint32_t submit_at(uint64_t now_ns, const char *workflow, const char *job, const char *step)
{
    begin(RECORD_REDIS_CLIENT, 1, workflow, job, step, "3");
    record.redis.job_action = JOB_ACTION_SAVE;
    record.end_ns = now_ns;
    count = workflow_follow(&workflows, &settings, &record, follow);
    return count;
}

static uint32_t submit(const char *workflow, const char *job, const char *step)
{
    return submit_at(11 * S, workflow, job, step);
}

static uint32_t end(const char *job, const char *step, enum job_end how)
{
    begin(RECORD_JOB, 2, flow, job, step, "3");
    record.job.end = (uint8_t)how;
    count = workflow_follow(&workflows, &settings, &record, follow);
    return count;
}

/* Links to other traces or spans, by their ids' last byte in hexadecimal. */
static bool links_to(const struct record *from, const struct record *to)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(from, &offset, &tag, &value)) {
        if (tag == FIELD_LINK && memcmp(value.data, to->trace_id, 16) == 0 &&
            memcmp(value.data + 16, to->span_id, 8) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_root(const struct record *made)
{
    static const uint8_t none[8];
    return memcmp(made->parent_span_id, none, 8) == 0;
}

static void the_first_step_starts_the_workflow(void **state)
{
    (void)state;
    assert_int_equal(submit(flow, "a", "1"), 2);
    assert_int_equal(follow[0].kind, RECORD_WORKFLOW);
    assert_int_equal(follow[0].workflow.event, WORKFLOW_START);
    assert_int_equal(follow[1].workflow.event, WORKFLOW_STEP_SUBMIT);
    assert_true(record_is_valid(&follow[0]));
    assert_true(record_is_valid(&follow[1]));
    assert_true(is_root(&follow[0]));
    assert_memory_equal(follow[1].parent_span_id, follow[0].span_id, 8);
    assert_memory_equal(follow[1].trace_id, follow[0].trace_id, 16);
    assert_memory_not_equal(follow[0].trace_id, record.trace_id, 16);
    /* The step and the job find each other. */
    assert_true(links_to(&follow[1], &record));
    assert_true(links_to(&record, &follow[1]));
    assert_int_equal(follow[0].start_ns, 10 * S);
    assert_int_equal(follow[0].trace_flags, 3);
}

static void a_step_is_submitted_once(void **state)
{
    (void)state;
    assert_int_equal(submit(flow, "a", "1"), 2);
    assert_int_equal(submit(flow, "a", "1"), 0);
    assert_int_equal(submit(flow, "b", "2"), 1);
    assert_int_equal(follow[0].workflow.event, WORKFLOW_STEP_SUBMIT);
    assert_false(is_root(&follow[0]));
    /* Where steps count from 0, the second one starts nothing. */
    static const char other[] = "9a1e6f04-3c52-4d0b-8f7e-bbbbbbbbbbbb";
    assert_int_equal(submit(other, "c", "0"), 2);
    assert_int_equal(submit(other, "d", "1"), 1);
}

static void what_was_not_made_here_is_no_parent(void **state)
{
    (void)state;
    assert_int_equal(submit(flow, "b", "2"), 1);
    struct record step = follow[0];
    assert_true(is_root(&step));
    /* whoever makes the start comes to the id that the step links to */
    memset(&workflows, 0, sizeof(workflows));
    assert_int_equal(submit(flow, "a", "1"), 2);
    assert_true(links_to(&step, &follow[0]));
    /* unless producers are known to be traced */
    memset(&workflows, 0, sizeof(workflows));
    struct record start = follow[0];
    settings.producers_are_traced = true;
    assert_int_equal(submit(flow, "b", "2"), 1);
    assert_memory_equal(follow[0].parent_span_id, start.span_id, 8);
    assert_memory_equal(follow[0].span_id, step.span_id, 8);
}

static void a_job_that_ends_ends_its_step(void **state)
{
    (void)state;
    assert_int_equal(submit(flow, "a", "1"), 2);
    struct record step = follow[1];
    memset(&workflows, 0, sizeof(workflows)); /* another process */
    assert_int_equal(end("a", "1", JOB_END_COMPLETED), 1);
    assert_int_equal(follow[0].workflow.event, WORKFLOW_STEP_COMPLETE);
    assert_true(is_root(&follow[0]));
    assert_true(links_to(&follow[0], &step));
    assert_true(links_to(&follow[0], &record));
    assert_int_equal(follow[0].start_ns, 11 * S);
    settings.producers_are_traced = true;
    assert_int_equal(end("a", "1", JOB_END_FAILED), 1);
    assert_int_equal(follow[0].workflow.event, WORKFLOW_STEP_FAIL);
    assert_memory_equal(follow[0].parent_span_id, step.span_id, 8);
    assert_int_equal(end("a", "1", JOB_END_TIMED_OUT), 1);
    assert_int_equal(end("a", "1", JOB_END_RETRIED), 0);
    assert_int_equal(end("a", "1", JOB_END_UNKNOWN), 0);
    assert_int_equal(end("a", "1", JOB_END_NONE), 0);
}

static void the_last_step_completes_the_workflow(void **state)
{
    (void)state;
    assert_int_equal(submit(flow, "a", "1"), 2);
    struct record start = follow[0];
    assert_int_equal(end("b", "2", JOB_END_COMPLETED), 1);
    assert_int_equal(end("c", "3", JOB_END_FAILED), 1);
    assert_int_equal(end("c", "3", JOB_END_COMPLETED), 2);
    assert_int_equal(follow[1].workflow.event, WORKFLOW_COMPLETE);
    assert_memory_equal(follow[1].parent_span_id, start.span_id, 8);
    assert_true(record_is_valid(&follow[1]));
    /* once */
    assert_int_equal(end("c", "3", JOB_END_COMPLETED), 1);
    /* From 0: the last one is 2, which is known only where 0 was seen. */
    memset(&workflows, 0, sizeof(workflows));
    assert_int_equal(end("c", "2", JOB_END_COMPLETED), 1);
    assert_int_equal(submit(flow, "a", "0"), 2);
    assert_int_equal(end("c", "2", JOB_END_COMPLETED), 2);
}

/* An id like "wf_123" may be another workflow's tomorrow. */
static void ids_that_may_come_again(void **state)
{
    (void)state;
    uint8_t trace[16];
    assert_int_equal(submit("wf_123", "b", "2"), 0); /* whose start was not seen */
    assert_int_equal(submit("wf_123", "a", "1"), 2);
    memcpy(trace, follow[0].trace_id, sizeof(trace));
    assert_int_equal(submit("wf_123", "a", "1"), 0); /* the same job, stored and enqueued */
    assert_int_equal(submit("wf_123", "b", "2"), 1);
    assert_memory_equal(follow[0].trace_id, trace, sizeof(trace));
    begin(RECORD_JOB, 2, "wf_123", "x", "2", "2");
    record.job.end = JOB_END_COMPLETED;
    assert_int_equal(workflow_follow(&workflows, &settings, &record, follow), 0);
    begin(RECORD_JOB, 2, "wf_123", "b", "2", "2");
    record.job.end = JOB_END_COMPLETED;
    assert_int_equal(workflow_follow(&workflows, &settings, &record, follow), 2);
    assert_memory_equal(follow[1].trace_id, trace, sizeof(trace));
    /* It has ended: another one begins. */
    begin(RECORD_REDIS_CLIENT, 1, "wf_123", "c", "1", "2");
    record.redis.job_action = JOB_ACTION_SAVE;
    record.trace_id[0] = 8;
    assert_int_equal(workflow_follow(&workflows, &settings, &record, follow), 2);
    assert_memory_not_equal(follow[0].trace_id, trace, sizeof(trace));
    /* And one more before that has ended: whose the steps are is not known any more. */
    assert_int_equal(submit("wf_123", "d", "1"), 0);
    assert_int_equal(submit("wf_123", "e", "2"), 0);
}

static void what_has_no_name_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(submit(NULL, "a", "1"), 0);
    assert_int_equal(submit(flow, NULL, "1"), 0);
    assert_int_equal(submit("wf-9a1e6f043c524d0b8f7eaaaaaaaaaaaa", "a", "1"), 2);
    begin(RECORD_REDIS_CLIENT, 1, flow, "z", "1", "3");
    record.redis.job_action = JOB_ACTION_CLAIM;
    assert_int_equal(workflow_follow(&workflows, &settings, &record, follow), 0);
}

static void the_sampler_decides_by_the_workflows_trace(void **state)
{
    (void)state;
    settings.threshold = SAMPLING_KEEP_NONE;
    assert_int_equal(submit(flow, "a", "1"), 2);
    assert_int_equal(follow[0].trace_flags, 2);
    assert_int_equal(follow[1].trace_flags, 2);
}

static void what_is_open_is_bounded_by_count_and_time(void **state)
{
    (void)state;
    char id[40];
    for (unsigned i = 0; i < LIMIT_WORKFLOWS; i++) {
        snprintf(id, sizeof(id), "9a1e6f04-3c52-4d0b-8f7e-%012x", i);
        assert_int_equal(submit(id, "a", "1"), 2);
    }
    assert_int_equal(submit("9a1e6f04-3c52-4d0b-8f7e-000000000000", "b", "2"), 1);
    assert_false(is_root(&follow[0]));
    assert_int_equal(submit(flow, "a", "1"), 2); /* the oldest goes */
    assert_int_equal(submit("9a1e6f04-3c52-4d0b-8f7e-000000000000", "c", "3"), 1);
    assert_true(is_root(&follow[0]));
    assert_int_equal(submit_at(11 * S + WORKFLOW_OPEN_NS, flow, "b", "2"), 1);
    assert_false(is_root(&follow[0]));
    assert_int_equal(submit_at(12 * S + WORKFLOW_OPEN_NS, flow, "c", "3"), 1);
    assert_true(is_root(&follow[0]));
    for (unsigned i = 0; i < LIMIT_WORKFLOW_STEPS; i++) {
        snprintf(id, sizeof(id), "job-%u", i);
        assert_int_equal(submit(flow, id, "2"), 1);
    }
    assert_int_equal(submit(flow, "job-0", "2"), 0);
    assert_int_equal(submit(flow, "one-more", "2"), 1);
    assert_int_equal(submit(flow, "job-0", "2"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(the_first_step_starts_the_workflow),
        TEST(a_step_is_submitted_once),
        TEST(what_was_not_made_here_is_no_parent),
        TEST(a_job_that_ends_ends_its_step),
        TEST(the_last_step_completes_the_workflow),
        TEST(ids_that_may_come_again),
        TEST(what_has_no_name_is_not_followed),
        TEST(the_sampler_decides_by_the_workflows_trace),
        TEST(what_is_open_is_bounded_by_count_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
