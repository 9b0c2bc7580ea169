/*
 * Jobs: the attempt itself (RECORD_JOB), and the commands by which a queue moves a job, which are
 * Redis exchanges with a role. Names are those of the job's life; attributes are the conventions'
 * (messaging.*) and those of job queues (job.*, worker.*, workflow.*).
 */
#include "base/compiler.h"
#include "worker/spans/kinds.h"
#include "worker/spans/spans.h"

#define MS UINT64_C(1000000)

static struct slice name_of(uint8_t action)
{
#define NAME(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
    static const struct slice names[JOB_ACTION_COUNT] = {
        [JOB_ACTION_SUBMIT] = NAME("job.submit"),
        [JOB_ACTION_SAVE] = NAME("job.save_redis"),
        [JOB_ACTION_CLAIM] = NAME("job.claim"),
        [JOB_ACTION_COMPLETE] = NAME("job.complete"),
        [JOB_ACTION_FAIL] = NAME("job.fail"),
        [JOB_ACTION_RETRY] = NAME("job.retry"),
        [JOB_ACTION_REQUEUE] = NAME("job.requeue"),
        [JOB_ACTION_TIMEOUT] = NAME("job.timeout"),
        [JOB_ACTION_CANCEL] = NAME("job.cancel"),
        [JOB_ACTION_MESSAGE] = NAME("job.send_complete_msg"),
        [JOB_ACTION_ARCHIVE] = NAME("job.archive"),
    };
    static const struct slice statuses[JOB_END_COUNT] = {
        [JOB_END_COMPLETED] = NAME("completed"), [JOB_END_FAILED] = NAME("failed"),
        [JOB_END_RETRIED] = NAME("retried"),     [JOB_END_REQUEUED] = NAME("requeued"),
        [JOB_END_TIMED_OUT] = NAME("timeout"),   [JOB_END_CANCELLED] = NAME("cancelled"),
    };
#undef NAME
    return action < JOB_ACTION_COUNT ? names[action] : statuses[action - JOB_ACTION_COUNT];
}

static struct slice status_of(uint8_t end)
{
    return name_of((uint8_t)(JOB_ACTION_COUNT + (end < JOB_END_COUNT ? end : 0)));
}

static void add_text(struct span *span, struct slice key, struct slice value)
{
    if (value.data != NULL) {
        span_add_string(span, key, value);
    }
}

static void add_identity(struct span *span, const struct record_text *text)
{
    const struct slice *fields = text->fields;
    add_text(span, SLICE("messaging.system"), fields[FIELD_JOB_SYSTEM]);
    add_text(span, SLICE("messaging.destination.name"), fields[FIELD_JOB_QUEUE]);
    add_text(span, SLICE("job.id"), fields[FIELD_JOB_ID]);
    add_text(span, SLICE("job.type"), fields[FIELD_JOB_TYPE]);
    add_text(span, SLICE("job.priority"), fields[FIELD_JOB_PRIORITY]);
    add_text(span, SLICE("worker.id"), fields[FIELD_JOB_WORKER]);
    add_text(span, SLICE("workflow.id"), fields[FIELD_JOB_WORKFLOW]);
    add_text(span, SLICE("workflow.step_number"), fields[FIELD_JOB_STEP]);
    add_text(span, SLICE("workflow.total_steps"), fields[FIELD_JOB_STEPS]);
    add_text(span, SLICE("customer.id"), fields[FIELD_JOB_CUSTOMER]);
    add_text(span, SLICE("user.id"), fields[FIELD_JOB_USER]);
    add_text(span, SLICE("customer.tier"), fields[FIELD_JOB_TIER]);
}

static void add_links(struct span *span, const struct record *record)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        struct span_link *link;
        if (tag == FIELD_LINK && value.size == 24 && (link = span_add_link(span)) != NULL) {
            memcpy(link->trace_id, value.data, 16);
            memcpy(link->span_id, value.data + 16, 8);
        }
    }
}

/* What the queue itself wrote down of the failure. */
static void add_failure(struct span *span, const struct record_text *text, struct slice otherwise)
{
    struct slice type = text->fields[FIELD_JOB_ERROR_TYPE];
    struct slice message = text->fields[FIELD_JOB_ERROR];
    struct slice stack = text->fields[FIELD_JOB_STACK];
    struct slice valid = type.size > 0 ? span_text(span, type) : otherwise;
    span_set_error(span, valid.data != NULL ? valid : otherwise);
    if (message.size > 0) {
        span->status_message = span_text(span, message);
    }
    if (message.size == 0 && stack.size == 0) {
        return;
    }
    struct span_event *event = span_add_event(span, span->end_ns, SLICE("exception"));
    if (event == NULL) {
        return;
    }
    const struct {
        struct slice key;
        struct slice value;
    } told[] = {
        {SLICE("exception.type"), type},
        {SLICE("exception.message"), message},
        {SLICE("exception.stacktrace"), stack},
    };
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        struct slice value =
            told[i].value.size > 0 ? span_text(span, told[i].value) : slice_of(NULL, 0);
        if (value.data != NULL) {
            event->attributes[event->attribute_count++] =
                (struct attribute){.key = told[i].key, .type = ATTRIBUTE_STRING, .string = value};
        }
    }
}

/* A job that was put off waits from when it was due; since when one waits that is tried again the
   queue does not say. */
static void add_wait(struct span *span, const struct record *record)
{
    uint64_t due = record->job.enqueued_ns + record->job.delay_ms * MS;
    uint64_t start = record->job.started_ns != 0 ? record->job.started_ns : span->start_ns;
    if (record->job.enqueued_ns != 0 && record->job.attempt <= 1 && start >= due) {
        span_add_double(span, SLICE("queue.wait_time_ms"), (double)(start - due) / (double)MS);
    }
}

static void add_counts(struct span *span, const struct job_numbers *job)
{
    if (job->folded > 0) {
        span_add_int(span, SLICE("wirespan.job.folded_commands"), job->folded);
    }
    if (job->empty_polls > 0) {
        span_add_int(span, SLICE("wirespan.job.empty_polls"), job->empty_polls);
    }
    if (job->progress_count > 0) {
        span_add_int(span, SLICE("job.progress.count"), job->progress_count);
        span_add_int(span, SLICE("job.progress.percent"), job->percent);
    }
    if (job->stalled > 0) {
        span_add_int(span, SLICE("job.stalled_count"), job->stalled);
    }
}

static void add_end(struct span *span, const struct record *record, const struct record_text *text)
{
    switch ((enum job_end)record->job.end) {
    case JOB_END_NONE:
        break;
    case JOB_END_UNKNOWN:
        span_add_literal(span, SLICE("wirespan.job.end"), SLICE("unknown"));
        break;
    case JOB_END_FAILED:
    case JOB_END_RETRIED:
    case JOB_END_TIMED_OUT:
        add_failure(span, text,
                    record->job.end == JOB_END_TIMED_OUT ? SLICE("timeout") : SLICE("_OTHER"));
        /* fall through */
    case JOB_END_COMPLETED:
    case JOB_END_REQUEUED:
    case JOB_END_CANCELLED:
        span_add_literal(span, SLICE("processing.status"), status_of(record->job.end));
        break;
    case JOB_END_COUNT:
        break;
    }
}

void spans_build_job(struct span *span, const struct record *record, const struct record_text *text)
{
    span->kind = SPAN_CONSUMER;
    span->name = SLICE("job.process");
    add_identity(span, text);
    if (record->job.attempt > 0) {
        span_add_int(span, SLICE("job.attempt"), record->job.attempt);
        span_add_int(span, SLICE("job.retry_count"), (int64_t)record->job.attempt - 1);
    }
    add_wait(span, record);
    span_add_double(span, SLICE("processing.actual_duration_ms"),
                    (double)(span->end_ns - span->start_ns) / (double)MS);
    add_counts(span, &record->job);
    add_links(span, record);
    if (unlikely(record->error != RECORD_OK)) {
        spans_add_error(span, record);
    } else {
        add_end(span, record, text);
    }
}

void spans_add_job_role(struct span *span, const struct record *record,
                        const struct record_text *text)
{
    struct slice name = name_of(record->redis.job_action);
    if (name.data != NULL) {
        span->name = name;
    }
    if (record->redis.job_action == JOB_ACTION_SUBMIT) {
        span->kind = SPAN_PRODUCER;
    }
    add_identity(span, text);
    add_links(span, record);
    if (record->redis.job_action == JOB_ACTION_FAIL && record->error == RECORD_OK) {
        add_failure(span, text, SLICE("_OTHER"));
    }
}
