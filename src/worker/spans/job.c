/*
 * Jobs: the attempt itself (RECORD_JOB), and the commands by which a queue moves a job, which are
 * Redis exchanges with a role. Names are those of the job's life; attributes are the conventions'
 * (messaging.*) and those of job queues (job.*, worker.*, workflow.*).
 */
#include "base/compiler.h"
#include "wire/hex.h"
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

void spans_add_number(struct span *span, struct slice key, struct slice value)
{
    int64_t number = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.size > 18 || (uint8_t)(value.data[i] - '0') > 9) {
            add_text(span, key, value);
            return;
        }
        number = number * 10 + (value.data[i] - '0');
    }
    if (value.size > 0) {
        span_add_int(span, key, number);
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
    spans_add_number(span, SLICE("workflow.step_number"), fields[FIELD_JOB_STEP]);
    spans_add_number(span, SLICE("workflow.total_steps"), fields[FIELD_JOB_STEPS]);
    add_text(span, SLICE("customer.id"), fields[FIELD_JOB_CUSTOMER]);
    add_text(span, SLICE("user.id"), fields[FIELD_JOB_USER]);
    add_text(span, SLICE("customer.tier"), fields[FIELD_JOB_TIER]);
}

static size_t find_in(struct slice text, struct slice part)
{
    size_t at = 0;
    while (at + part.size <= text.size && memcmp(text.data + at, part.data, part.size) != 0) {
        at++;
    }
    return at + part.size <= text.size ? at : text.size;
}

/* The command's first argument: a key or channel. */
static struct slice key_of(struct span *span, const struct record_text *text)
{
    struct slice line = text->fields[FIELD_QUERY_TEXT];
    size_t name_size = text->fields[FIELD_COMMAND].size + 1;
    if (line.size <= name_size) {
        return slice_of(NULL, 0);
    }
    slice_take(&line, name_size);
    const uint8_t *end = memchr(line.data, ' ', line.size);
    return span_text(span,
                     slice_of(line.data, end == NULL ? line.size : (size_t)(end - line.data)));
}

/* The key with the job's id replaced by what it is. */
static void add_key_pattern(struct span *span, const struct record_text *text)
{
    struct slice key = key_of(span, text);
    struct slice id = text->fields[FIELD_JOB_ID];
    size_t at = id.size > 0 ? find_in(key, id) : key.size;
    if (at < key.size) {
        const struct slice parts[] = {slice_of(key.data, at), SLICE("{job_id}"),
                                      slice_of(key.data + at + id.size, key.size - at - id.size)};
        add_text(span, SLICE("redis.key_pattern"), span_join(span, parts, 3));
    }
}

static void add_match(struct span *span, const struct record *record,
                      const struct record_text *text)
{
    if (slice_equals_ignoring_case(text->fields[FIELD_COMMAND], SLICE("FCALL"))) {
        add_text(span, SLICE("matching.function"), text->fields[FIELD_SCRIPT]);
    }
    if ((record->flags & RECORD_FLAG_BLOCKING) == 0) {
        span_add_double(span, SLICE("matching.match_duration_ms"),
                        (double)(span->end_ns - span->start_ns) / (double)MS);
    }
}

/* How long the attempt took that this ends. */
static void add_duration(struct span *span, const struct record *record)
{
    if (record->redis.job_ns != 0) {
        span_add_double(span, SLICE("job.duration_ms"), (double)record->redis.job_ns / (double)MS);
    }
}

/* What the answer to a claim tells of the job before anything is done for it. */
static void add_claimed(struct span *span, const struct record *record,
                        const struct record_text *text)
{
    add_text(span, SLICE("worker.capabilities"), text->fields[FIELD_JOB_CAPABILITIES]);
    spans_add_number(span, SLICE("matching.scan_limit"), text->fields[FIELD_JOB_LIMIT]);
    if (record->redis.job_ns != 0 && record->redis.job_ns <= span->end_ns) {
        span_add_double(span, SLICE("queue.wait_time_ms"),
                        (double)(span->end_ns - record->redis.job_ns) / (double)MS);
    }
    if ((record->flags & RECORD_FLAG_CARRIED) != 0) {
        uint8_t digits[2 * sizeof record->parent_span_id];
        struct slice id = slice_of(digits, sizeof digits);
        hex_write(digits, record->parent_span_id, sizeof record->parent_span_id);
        span_add_bool(span, SLICE("trace.context_retrieved"), true);
        add_text(span, SLICE("trace.parent_id"), span_join(span, &id, 1));
    }
}

static void add_recovery(struct span *span, struct slice strategy)
{
    span_add_bool(span, SLICE("recovery.attempted"), true);
    span_add_literal(span, SLICE("recovery.strategy"), strategy);
}

/* What a step says of itself beside what is known of the job. */
static void add_step(struct span *span, const struct record *record, const struct record_text *text)
{
    switch ((enum job_action)record->redis.job_action) {
    case JOB_ACTION_SUBMIT:
        if (slice_equals_ignoring_case(text->fields[FIELD_COMMAND], SLICE("ZADD"))) {
            add_text(span, SLICE("queue.priority_score"), text->fields[FIELD_JOB_PRIORITY]);
        }
        add_text(span, SLICE("redis.queue"), text->fields[FIELD_JOB_QUEUE]);
        break;
    case JOB_ACTION_SAVE:
        add_text(span, SLICE("redis.operation"), text->fields[FIELD_COMMAND]);
        add_key_pattern(span, text);
        span_add_int(span, SLICE("job.payload_size_bytes"), (int64_t)record->redis.request_bytes);
        if ((record->flags & RECORD_FLAG_CARRIED) != 0) {
            span_add_bool(span, SLICE("trace.context_stored"), true);
        }
        break;
    case JOB_ACTION_CLAIM:
        add_match(span, record, text);
        add_claimed(span, record, text);
        break;
    case JOB_ACTION_RETRY:
        add_recovery(span, SLICE("retry"));
        add_duration(span, record);
        break;
    case JOB_ACTION_REQUEUE:
        add_recovery(span, SLICE("requeue"));
        add_duration(span, record);
        break;
    case JOB_ACTION_COMPLETE:
    case JOB_ACTION_FAIL:
    case JOB_ACTION_TIMEOUT:
    case JOB_ACTION_CANCEL:
        add_duration(span, record);
        break;
    case JOB_ACTION_MESSAGE:
        add_text(span, SLICE("redis.channel"), key_of(span, text));
        break;
    case JOB_ACTION_ARCHIVE:
        add_text(span, SLICE("job.archive.location"), key_of(span, text));
        break;
    case JOB_ACTION_NONE:
    case JOB_ACTION_READ:
    case JOB_ACTION_PROGRESS:
    case JOB_ACTION_START:
    case JOB_ACTION_FOLD:
    case JOB_ACTION_ACK:
    case JOB_ACTION_WORKFLOW_CANCEL:
    case JOB_ACTION_WORKFLOW_TIMEOUT:
    case JOB_ACTION_COUNT:
        break;
    }
}

static void add_links(struct span *span, const struct record *record, enum field_tag wanted)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        struct span_link *link;
        if (tag == wanted && value.size == 24 && (link = span_add_link(span)) != NULL) {
            memcpy(link->trace_id, value.data, 16);
            memcpy(link->span_id, value.data + 16, 8);
            link->is_candidate = tag == FIELD_CANDIDATE;
        }
    }
}

void spans_add_links(struct span *span, const struct record *record)
{
    add_links(span, record, FIELD_LINK);
}

void spans_add_candidates(struct span *span, const struct record *record)
{
    add_links(span, record, FIELD_CANDIDATE);
}

/* What the queue itself wrote down of the failure. */
static void add_exception(struct span *span, const struct record_text *text)
{
    struct slice type = text->fields[FIELD_JOB_ERROR_TYPE];
    struct slice message = text->fields[FIELD_JOB_ERROR];
    struct slice stack = text->fields[FIELD_JOB_STACK];
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

static void add_failure(struct span *span, const struct record_text *text, struct slice otherwise)
{
    struct slice type = text->fields[FIELD_JOB_ERROR_TYPE];
    struct slice message = text->fields[FIELD_JOB_ERROR];
    struct slice valid = type.size > 0 ? span_text(span, type) : otherwise;
    span_set_error(span, valid.data != NULL ? valid : otherwise);
    if (message.size > 0) {
        span->status_message = span_text(span, message);
    }
    add_exception(span, text);
}

/* A job that was put off waits from when it was due. */
static void add_wait(struct span *span, const struct record *record)
{
    uint64_t due = record->job.enqueued_ns + record->job.delay_ms * MS;
    uint64_t start = record->job.started_ns != 0 ? record->job.started_ns : span->start_ns;
    if (record->job.enqueued_ns != 0 && start >= due) {
        span_add_double(span, SLICE("queue.wait_time_ms"), (double)(start - due) / (double)MS);
    }
}

/* Of all that it said the last: its moment and how far it was. */
static void add_progress(struct span *span, const struct record *record)
{
    uint64_t since_start = record->job.progress_ns - record->start_ns;
    if (record->job.progress_ns < record->start_ns) {
        return;
    }
    struct span_event *event =
        span_add_event(span, span->start_ns + since_start, SLICE("job.progress"));
    if (event != NULL) {
        event->attributes[event->attribute_count++] = (struct attribute){
            .key = SLICE("percent"), .type = ATTRIBUTE_INT, .integer = record->job.percent};
    }
}

static void add_counts(struct span *span, const struct job_numbers *job)
{
    if (job->folded > 0) {
        span_add_int(span, SLICE("wirespan.job.folded_commands"), job->folded);
        span_add_double(span, SLICE("wirespan.job.folded_ms"), job->folded_us / 1e3);
    }
    if (job->empty_polls > 0) {
        span_add_int(span, SLICE("wirespan.job.empty_polls"), job->empty_polls);
        span_add_double(span, SLICE("wirespan.job.empty_poll_ms"), job->empty_poll_us / 1e3);
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
    span_add_int(span, SLICE("processing.start_time"), (int64_t)(span->start_ns / MS));
    span_add_double(span, SLICE("processing.actual_duration_ms"),
                    (double)(span->end_ns - span->start_ns) / (double)MS);
    add_counts(span, &record->job);
    if (record->job.progress_ns != 0) {
        add_progress(span, record);
    }
    spans_add_links(span, record);
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
        span->usual_name = span->name;
        span->name = name;
    }
    if (record->redis.job_action == JOB_ACTION_SUBMIT) {
        span->kind = SPAN_PRODUCER;
    }
    add_identity(span, text);
    add_step(span, record, text);
    spans_add_links(span, record);
    bool is_failure = record->redis.job_action == JOB_ACTION_FAIL;
    bool is_timeout = record->redis.job_action == JOB_ACTION_TIMEOUT;
    if ((is_failure || is_timeout) && record->error == RECORD_OK) {
        add_failure(span, text, is_timeout ? SLICE("timeout") : SLICE("_OTHER"));
    } else {
        add_exception(span, text);
    }
}
