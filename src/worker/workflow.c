#include "worker/workflow.h"

#include <string.h>

#include "wire/hex.h"
#include "wire/sha1.h"

/* What is known of the job, and the ids that follow. */
struct step {
    struct slice system;
    struct slice workflow;
    struct slice job;
    struct slice number;
    struct slice count;
    uint64_t key;
    uint8_t trace_id[16];
    uint8_t start_id[8];
    uint8_t step_id[8];
    uint64_t step_key;
    uint64_t job_key;
    bool is_unique; /* the workflow's id, in itself */
    bool is_again;  /* a workflow begins whose id another one had */
};

/* ---- ids ---- */

/* The first bytes of a hash of all parts, each with its size; never zeros alone. */
static void derive(const struct slice *parts, size_t count, uint8_t *id, size_t size)
{
    struct sha1 sha1;
    uint8_t hash[SHA1_BYTES];
    sha1_init(&sha1);
    for (size_t i = 0; i < count; i++) {
        const uint8_t bytes[2] = {(uint8_t)parts[i].size, (uint8_t)(parts[i].size >> 8)};
        sha1_update(&sha1, slice_of(bytes, sizeof(bytes)));
        sha1_update(&sha1, parts[i]);
    }
    sha1_finish(&sha1, hash);
    memcpy(id, hash, size);
    id[size - 1] |= id[size - 1] == 0;
}

/* ---- what was made here ---- */

static struct open_workflow *find_open(struct workflows *workflows, uint64_t key, uint64_t now_ns)
{
    for (uint32_t i = 0; i < LIMIT_WORKFLOWS; i++) {
        struct open_workflow *open = &workflows->open[i];
        if (open->key == key && now_ns - open->seen_ns <= WORKFLOW_OPEN_NS) {
            return open;
        }
    }
    return NULL;
}

static bool is_made(const struct workflows *workflows, uint64_t step_key)
{
    for (uint32_t i = 0; i < LIMIT_WORKFLOW_STEPS; i++) {
        if (workflows->steps[i] == step_key) {
            return true;
        }
    }
    return false;
}

/* ---- which step of which ---- */

static void derive_step(struct step *step, struct slice seed)
{
    const struct slice trace[] = {SLICE("workflow"), step->system, step->workflow, seed};
    const struct slice start[] = {SLICE("start"), step->system, step->workflow, seed};
    const struct slice of_job[] = {SLICE("step"), step->system, step->workflow, step->job, seed};
    size_t has_seed = seed.size > 0;
    derive(trace, 3 + has_seed, step->trace_id, sizeof(step->trace_id));
    derive(start, 3 + has_seed, step->start_id, sizeof(step->start_id));
    derive(of_job, 4 + has_seed, step->step_id, sizeof(step->step_id));
    memcpy(&step->step_key, step->step_id, sizeof(step->step_key));
}

static bool is_digit_alone(struct slice number, uint8_t digit_wanted)
{
    return number.size == 1 && number.data[0] == digit_wanted;
}

/* Which of the workflows that have this id, where that is known. */
static bool find_seed(struct workflows *workflows, const struct record *record, struct step *step,
                      uint8_t seed[16])
{
    struct open_workflow *open = find_open(workflows, step->key, record->end_ns);
    bool is_start = record->kind != RECORD_JOB &&
                    (is_digit_alone(step->number, '0') || is_digit_alone(step->number, '1'));
    bool is_other = open == NULL || open->first_job != step->job_key;
    /* Of those that count from 0 the second step is not another start. */
    is_start &= is_other && !(open != NULL && open->begins_at_zero && !open->has_ended &&
                              is_digit_alone(step->number, '1'));
    if (is_start && open != NULL && !open->has_ended) {
        open->is_ambiguous = true;
    }
    if (open != NULL && open->is_ambiguous) {
        return false;
    }
    step->is_again = is_start && open != NULL;
    memcpy(seed, is_start ? record->trace_id : open != NULL ? open->seed : record->trace_id, 16);
    return is_start || open != NULL;
}

static bool read_step(struct workflows *workflows, const struct record *record, struct step *step)
{
    *step = (struct step){
        .system = record_find_field(record, FIELD_JOB_SYSTEM),
        .workflow = record_find_field(record, FIELD_JOB_WORKFLOW),
        .job = record_find_field(record, FIELD_JOB_ID),
        .number = record_find_field(record, FIELD_JOB_STEP),
        .count = record_find_field(record, FIELD_JOB_STEPS),
    };
    if (step->workflow.size == 0 || (step->job.size == 0 && !workflow_is_ended_by(record))) {
        return false;
    }
    const struct slice name[] = {SLICE("workflow"), step->system, step->workflow};
    derive(name, 3, (uint8_t *)&step->key, sizeof(step->key));
    derive(&step->job, 1, (uint8_t *)&step->job_key, sizeof(step->job_key));
    step->is_unique = hex_ends_in_uuid(step->workflow);
    if (step->is_unique) {
        derive_step(step, slice_of(NULL, 0));
        return true;
    }
    uint8_t seed[16];
    if (!find_seed(workflows, record, step, seed)) {
        return false;
    }
    derive_step(step, slice_of(seed, sizeof(seed)));
    return true;
}

/* ---- records ---- */

static void copy_field(struct record *to, const struct record *from, enum field_tag tag)
{
    struct slice value = record_find_field(from, tag);
    if (value.data != NULL) {
        record_add_field(to, tag, value, LIMIT_RULE_VALUE);
    }
}

static bool is_sampled(const uint8_t trace_id[16], uint64_t threshold)
{
    uint64_t last;
    memcpy(&last, trace_id + 8, sizeof(last));
    return (__builtin_bswap64(last) & UINT64_C(0x00ffffffffffffff)) >= threshold;
}

static void begin(struct record *made, enum workflow_event event, const struct step *step,
                  const struct workflow_settings *settings, const struct record *cause)
{
    memset(made, 0, sizeof(*made));
    made->kind = RECORD_WORKFLOW;
    made->workflow.event = (uint8_t)event;
    made->trace_flags = is_sampled(step->trace_id, settings->threshold) ? 3 : 2;
    made->start_ns = cause->start_ns;
    made->end_ns = cause->end_ns;
    memcpy(made->trace_id, step->trace_id, sizeof(made->trace_id));
    copy_field(made, cause, FIELD_JOB_SYSTEM);
    copy_field(made, cause, FIELD_JOB_WORKFLOW);
    copy_field(made, cause, FIELD_JOB_STEPS);
    copy_field(made, cause, FIELD_JOB_CUSTOMER);
    copy_field(made, cause, FIELD_JOB_TIER);
    copy_field(made, cause, FIELD_JOB_USER);
}

static void describe_step(struct record *made, const struct record *cause)
{
    copy_field(made, cause, FIELD_JOB_STEP);
    copy_field(made, cause, FIELD_JOB_ID);
    copy_field(made, cause, FIELD_JOB_TYPE);
    record_add_link(made, cause->trace_id, cause->span_id);
}

static void put_below(struct record *made, const uint8_t parent_id[8], bool is_there)
{
    if (is_there) {
        memcpy(made->parent_span_id, parent_id, sizeof(made->parent_span_id));
        made->parent_source = PARENT_CONTENT;
    } else {
        record_add_link(made, made->trace_id, parent_id);
    }
}

/* ---- submissions ---- */

static uint32_t follow_submission(struct workflows *workflows,
                                  const struct workflow_settings *settings, const struct step *step,
                                  struct record *record, struct record follow[WORKFLOW_RECORDS])
{
    uint32_t count = 0;
    if (is_made(workflows, step->step_key)) {
        return 0;
    }
    struct open_workflow *open = find_open(workflows, step->key, record->end_ns);
    if (step->is_again) {
        open->key = 0;
        open = NULL;
    }
    bool is_zero = is_digit_alone(step->number, '0');
    if (open == NULL && (is_zero || is_digit_alone(step->number, '1'))) {
        open = &workflows->open[workflows->next++ % LIMIT_WORKFLOWS];
        *open = (struct open_workflow){
            .key = step->key,
            .seen_ns = record->end_ns,
            .begins_at_zero = is_zero,
            .first_job = step->job_key,
        };
        memcpy(open->seed, record->trace_id, sizeof(open->seed));
        struct record *start = &follow[count++];
        begin(start, WORKFLOW_START, step, settings, record);
        memcpy(start->span_id, step->start_id, sizeof(start->span_id));
        copy_field(start, record, FIELD_JOB_TYPE);
    }
    workflows->steps[workflows->next_step++ % LIMIT_WORKFLOW_STEPS] = step->step_key;
    struct record *made = &follow[count++];
    begin(made, WORKFLOW_STEP_SUBMIT, step, settings, record);
    memcpy(made->span_id, step->step_id, sizeof(made->span_id));
    put_below(made, step->start_id, open != NULL || settings->producers_are_traced);
    describe_step(made, record);
    record_add_link(record, step->trace_id, step->step_id);
    return count;
}

/* ---- ends ---- */

static bool read_number(struct slice text, uint32_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.size > 9 || (uint8_t)(text.data[i] - '0') > 9) {
            return false;
        }
        *number = *number * 10 + (uint32_t)(text.data[i] - '0');
    }
    return text.size > 0;
}

/* Who counts from 0 is known only where the first step was seen. */
static bool is_last(const struct step *step, const struct open_workflow *open)
{
    uint32_t number;
    uint32_t count;
    if (!read_number(step->number, &number) || !read_number(step->count, &count) || count == 0) {
        return false;
    }
    return number == count || (open != NULL && open->begins_at_zero && number + 1 == count);
}

static uint32_t follow_end(struct workflows *workflows, const struct workflow_settings *settings,
                           const struct step *step, struct record *record,
                           struct record follow[WORKFLOW_RECORDS])
{
    bool is_complete = record->error == RECORD_OK && record->job.end == JOB_END_COMPLETED;
    bool has_failed = record->error == RECORD_OK &&
                      (record->job.end == JOB_END_FAILED || record->job.end == JOB_END_TIMED_OUT);
    if (!is_complete && !has_failed) {
        return 0;
    }
    struct open_workflow *open = find_open(workflows, step->key, record->end_ns);
    bool has_step = is_made(workflows, step->step_key);
    if (!has_step && !step->is_unique) {
        return 0; /* perhaps of another one with this id */
    }
    has_step |= settings->producers_are_traced;
    struct record *made = &follow[0];
    const struct slice name[] = {SLICE("end"), slice_of(record->span_id, sizeof(record->span_id))};
    begin(made, is_complete ? WORKFLOW_STEP_COMPLETE : WORKFLOW_STEP_FAIL, step, settings, record);
    made->start_ns = record->end_ns;
    derive(name, 2, made->span_id, sizeof(made->span_id));
    put_below(made, step->step_id, has_step);
    describe_step(made, record);
    copy_field(made, record, FIELD_JOB_ERROR_TYPE);
    if (!is_complete || !is_last(step, open) || (open != NULL && open->has_ended)) {
        return 1;
    }
    if (open != NULL) {
        open->has_ended = true;
    }
    const struct slice end[] = {SLICE("complete"), step->system, step->workflow};
    struct record *whole = &follow[1];
    begin(whole, WORKFLOW_COMPLETE, step, settings, record);
    whole->start_ns = record->end_ns;
    derive(end, 3, whole->span_id, sizeof(whole->span_id));
    put_below(whole, step->start_id, open != NULL || settings->producers_are_traced);
    return 2;
}

static uint32_t follow_word(struct workflows *workflows, const struct workflow_settings *settings,
                            const struct step *step, struct record *record,
                            struct record follow[WORKFLOW_RECORDS])
{
    bool is_cancel = record->redis.job_action == JOB_ACTION_WORKFLOW_CANCEL;
    struct open_workflow *open = find_open(workflows, step->key, record->end_ns);
    if (record->error != RECORD_OK || (open != NULL && open->has_ended)) {
        return 0;
    }
    if (open != NULL) {
        open->has_ended = true;
    }
    struct record *made = &follow[0];
    const struct slice name[] = {SLICE("end"), slice_of(record->span_id, sizeof(record->span_id))};
    begin(made, is_cancel ? WORKFLOW_CANCEL : WORKFLOW_TIMEOUT, step, settings, record);
    derive(name, 2, made->span_id, sizeof(made->span_id));
    put_below(made, step->start_id, open != NULL || settings->producers_are_traced);
    record_add_link(made, record->trace_id, record->span_id);
    record_add_link(record, step->trace_id, made->span_id);
    return 1;
}

uint32_t workflow_follow(struct workflows *workflows, const struct workflow_settings *settings,
                         struct record *record, struct record follow[WORKFLOW_RECORDS])
{
    struct step step;
    if (!workflow_may_follow(record) || !read_step(workflows, record, &step)) {
        return 0;
    }
    if (workflow_is_ended_by(record)) {
        return follow_word(workflows, settings, &step, record, follow);
    }
    return record->kind == RECORD_JOB
               ? follow_end(workflows, settings, &step, record, follow)
               : follow_submission(workflows, settings, &step, record, follow);
}
