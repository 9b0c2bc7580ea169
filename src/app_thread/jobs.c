#include "app_thread/jobs.h"

#include <stdatomic.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/job_identity.h"
#include "app_thread/job_outcome.h"
#include "app_thread/job_record.h"
#include "app_thread/job_table.h"
#include "app_thread/job_traceback.h"
#include "app_thread/polls.h"
#include "app_thread/trace_context.h"
#include "base/hash.h"
#include "rules/time.h"

/* What a rule says that a command does is what its record says. */
#define SAME(name) _Static_assert((int)RULE_##name == (int)JOB_ACTION_##name, "one numbering")
SAME(NONE);
SAME(SUBMIT);
SAME(SAVE);
SAME(CLAIM);
SAME(READ);
SAME(COMPLETE);
SAME(FAIL);
SAME(RETRY);
SAME(REQUEUE);
SAME(TIMEOUT);
SAME(CANCEL);
SAME(PROGRESS);
SAME(MESSAGE);
SAME(ARCHIVE);
SAME(START);
SAME(FOLD);
SAME(ACK);
SAME(WORKFLOW_CANCEL);
SAME(WORKFLOW_TIMEOUT);
_Static_assert((int)RULE_ACTIONS == (int)JOB_ACTION_COUNT, "and as many");
#undef SAME

static const uint8_t no_lists[RULES_ENTRIES];

const struct rules *jobs_rules;
const uint8_t *jobs_lists = no_lists;

/* Lists whose answers were jobs: more than one process waits for. */
#define KNOWN_LISTS 8u

/* What is known of the queues, changed with the table of jobs locked. */
struct queues {
    uint32_t empty_polls; /* since a job was claimed, and how long they took */
    uint32_t next_list;
    uint64_t empty_poll_ns;
    uint64_t lists[KNOWN_LISTS]; /* that jobs were claimed from, where a rule needs to know */
};

static struct queues queues;

void jobs_configure(const struct rules *rules)
{
    jobs_rules = rules;
    jobs_lists = rules->list_of;
    job_outcome_configure();
}

/* ---- commands ---- */

static struct rule_capture *capture_of(uint32_t block)
{
    return slab_address(block);
}

_Static_assert(sizeof(struct rule_capture) <= SLAB_BLOCK_BYTES, "a capture is one buffer");

bool jobs_begin(struct connection *connection, uint8_t list, uint32_t arguments)
{
    if (connection->redis.job_block == 0) {
        connection->redis.job_block = slab_take(SLAB_BUFFER);
    }
    connection->redis.captures = connection->redis.job_block != 0;
    if (connection->redis.captures) {
        rules_begin(jobs_rules, capture_of(connection->redis.job_block), list, arguments);
    }
    return connection->redis.captures;
}

void jobs_argument(struct connection *connection, uint32_t index, struct slice piece, bool last)
{
    connection->redis.captures =
        rules_argument(jobs_rules, capture_of(connection->redis.job_block), index, piece, last);
}

void jobs_take(struct connection *connection, uint8_t list, const struct slice arguments[],
               uint32_t count)
{
    if (!jobs_begin(connection, list, count)) {
        return;
    }
    for (uint32_t i = 1; i < count && connection->redis.captures; i++) {
        jobs_argument(connection, i, arguments[i], true);
    }
}

uint32_t jobs_detach(struct connection *connection)
{
    uint32_t block = connection->redis.job_block;
    connection->redis.job_block = 0;
    return block;
}

void jobs_answer_item(uint32_t block, const struct resp_item *item)
{
    rules_reply_item(jobs_rules, capture_of(block), item);
}

/* ---- the table ---- */

/* The job's record is handed over, with or without a word of what went wrong. */
static void settle(struct thread_state *self, struct job *job)
{
    struct record *record = job->epoch == attachment_epoch() ? exchange_record(job->slot) : NULL;
    if (record != NULL) {
        record->is_parked = false;
        exchange_complete(self, job->slot, record->end_ns, RECORD_OK, 0);
    }
    job_table_close(job);
}

/* A thread that asks for more has said all of what it did before. In a loop others may still be
   about to. */
static void settle_all(struct thread_state *self, uint64_t now)
{
    uint32_t left = 0;
    if (job_table_awaited() == 0) {
        return;
    }
    for (struct job *job = NULL; (job = job_table_next_open(job)) != NULL;) {
        if (!job->is_awaited) {
            continue;
        }
        const struct record *record = exchange_record(job->slot);
        bool is_due = record == NULL || job->epoch != attachment_epoch() ||
                      (job->owner == self && !self->runs_a_loop) ||
                      now > record->end_ns + LIMIT_JOB_WORDS_NS;
        if (is_due) {
            settle(self, job);
        } else {
            left++;
        }
    }
    job_table_set_awaited(left);
}

/* ---- the rule of a command ---- */

static uint64_t hash_of(struct slice value)
{
    return value.size == 0 ? 0 : hash_bytes(HASH_BEGIN, value);
}

/* A submission is on its way: what stores the job may name it as its parent. */
static void note_submission(struct rule_capture *capture, const struct rule *rule)
{
    struct rule_facts facts;
    if (!rules_facts(jobs_rules, capture, capture->rule, &facts) ||
        facts.values[RULE_ID].size == 0 || !job_table_lock()) {
        return;
    }
    uint64_t key = job_identity_key(rule, &facts);
    struct job *job = job_table_find(key);
    job = job != NULL ? job : job_table_place(key);
    if (job != NULL) {
        job_identity_derive(job, rule, &facts);
        job->is_submitted = true;
    }
    job_table_unlock();
}

bool jobs_choose(struct passage *passage)
{
    struct connection *connection = passage->connection;
    bool captures = connection->redis.captures;
    connection->redis.captures = false;
    if (!captures) {
        return false;
    }
    struct rule_capture *capture = capture_of(connection->redis.job_block);
    if (!rules_choose(jobs_rules, capture)) {
        return false;
    }
    const struct rule *rule = &jobs_rules->rules[capture->rule];
    if (rule->action == RULE_SUBMIT) {
        note_submission(capture, rule);
    } else if (rule->action == RULE_CLAIM && unlikely(job_table_awaited() != 0) &&
               job_table_lock()) {
        settle_all(passage->self, passage->now);
        job_table_unlock();
    }
    return true;
}

static bool is_of_pool(const struct job *job)
{
    return (jobs_rules->queues[job->queue].flags & RULE_QUEUE_POOL) != 0;
}

/* ---- the only job ---- */

/* A job that is the only one in work may be told to be the cause of what a loop does. */
static void tell_sole(void)
{
    const struct job *sole = NULL;
    uint32_t count = 0;
    for (const struct job *job = NULL; (job = job_table_next_open(job)) != NULL && count < 2;) {
        /* Who claims for a pool does not execute. */
        if (job_table_is_in_work(job) && !is_of_pool(job)) {
            sole = job;
            count++;
        }
    }
    trace_context_set_sole(count == 1 ? exchange_record(sole->slot) : NULL);
}

/* ---- what commands do ---- */

struct deed {
    struct passage *passage;
    struct record *record; /* of the exchange; may be NULL */
    const struct rule *rule;
    const struct rule_facts *facts;
    uint64_t key;
    bool is_anonymous; /* there is a job, but nothing is known of it */
};

static uint64_t begun_at(const struct deed *deed)
{
    return deed->record != NULL ? deed->record->start_ns : deed->passage->now;
}

bool jobs_find_claimed(struct slice id, struct thread_context *work)
{
    struct rule_facts facts = {0};
    facts.values[RULE_ID] = id;
    for (uint8_t i = 0; jobs_rules != NULL && i < jobs_rules->queue_count; i++) {
        const struct rule_queue *queue = &jobs_rules->queues[i];
        const struct rule rule = {.queue = i};
        if ((queue->flags & RULE_QUEUE_POOL) != 0 && queue->identity == RULE_BIT(RULE_ID)) {
            if (job_outcome_read_claimed(job_identity_key(&rule, &facts), work)) {
                return true;
            }
        }
    }
    return false;
}

/* Something went wrong, and of what it was the queue is about to tell. */
static bool wants_words(const struct job *job, const struct record *record)
{
    enum job_end end = (enum job_end)record->job.end;
    return (end == JOB_END_FAILED || end == JOB_END_TIMED_OUT) &&
           (jobs_rules->queues[job->queue].flags & RULE_QUEUE_LATE_WORDS) != 0 &&
           record_find_field(record, FIELD_JOB_ERROR).data == NULL;
}

static void end_job(struct thread_state *self, struct job *job, enum job_end end, uint64_t now)
{
    struct record *record = exchange_record(job->slot);
    uint64_t told = job_outcome_take(job_table_key(job), record);
    if (told != 0 && end == JOB_END_UNKNOWN) {
        end = (enum job_end)(told & 7);
        now = told >> 3;
    }
    job_table_touch(job);
    /* release: pairs with nothing; a thread that still sees the old number works for it a little
       longer */
    atomic_fetch_add_explicit(job_table_ends(job), 1, memory_order_relaxed);
    if (record != NULL) {
        polls_end(self, record->trace_id);
        record->job.end = (uint8_t)end;
        record->end_ns = now > record->start_ns ? now : record->start_ns;
    }
    if (record != NULL && wants_words(job, record)) {
        record->is_parked = true;
        job->is_awaited = true;
        job_table_set_awaited(job_table_awaited() + 1);
    } else {
        settle(self, job);
    }
}

/* Without an end on the wire the acknowledgement is the last that was said. */
static uint64_t last_word(const struct job *job, uint64_t now)
{
    bool is_last = job->acknowledged_ns != 0 && !job_outcome_tells_ends(job->queue);
    return is_last ? job->acknowledged_ns : now;
}

/* Jobs of pools that others have ended meanwhile, and those of which no end will be told: after a
   while, or when many more were claimed since. */
static void collect_ends(struct thread_state *self, uint64_t now)
{
    struct job *first = NULL;
    uint32_t silent = 0;
    for (struct job *job = NULL; (job = job_table_next_open(job)) != NULL;) {
        if (!job_table_is_in_work(job) || !is_of_pool(job)) {
            continue;
        }
        uint64_t patience =
            job_outcome_tells_ends(job->queue) ? attachment_context_age_ns : LIMIT_JOB_SILENCE_NS;
        bool is_silent = job->acknowledged_ns != 0 && now > job->acknowledged_ns + patience;
        if (is_silent || job->is_anonymous || job_outcome_is_told(job_table_key(job))) {
            end_job(self, job, JOB_END_UNKNOWN, last_word(job, now));
        } else if (job->acknowledged_ns != 0 && !job_outcome_tells_ends(job->queue)) {
            first = first == NULL || job->acknowledged_ns < first->acknowledged_ns ? job : first;
            silent++;
        }
    }
    if (silent >= LIMIT_SILENT_JOBS) {
        end_job(self, first, JOB_END_UNKNOWN, first->acknowledged_ns);
    }
}

static void role(const struct deed *deed)
{
    if (deed->record != NULL) {
        deed->record->redis.job_action = deed->rule->action;
    }
}

/* A command about a job that is known here is of that job's trace. */
static void describe(const struct deed *deed, struct job *job)
{
    struct record *record = deed->record;
    if (record == NULL) {
        return;
    }
    role(deed);
    if (job != NULL) {
        job_record_join(record, job);
    } else {
        struct job stranger = {0};
        if (job_identity_derive(&stranger, deed->rule, deed->facts)) {
            job_record_link_parent(record);
            job_record_join(record, &stranger);
        }
    }
    job_record_facts(record, deed->rule, deed->facts);
}

/* The deed's job, made known where its name allows; NULL: it is of no trace. */
static struct job *derived_job(const struct deed *deed)
{
    struct traceparent context;
    struct job *job = job_table_find(deed->key);
    if (job == NULL && (job_identity_is_complete(deed->rule, deed->facts) ||
                        job_identity_context(deed->facts, &context))) {
        job = job_table_place(deed->key);
    }
    if (job != NULL) {
        job_identity_derive(job, deed->rule, deed->facts);
    }
    return job != NULL && (job->is_derived || job->is_carried) ? job : NULL;
}

/* Pushed again: by who works on it, or a second time by who submitted it. The first submission has
   the span id that others know. */
static bool is_pushed_again(const struct deed *deed, const struct job *job)
{
    return job->was_submitted || job->was_claimed || job_record_attempts(deed->facts) > 0;
}

static void push_again(const struct deed *deed, struct job *job)
{
    struct record *record = deed->record;
    bool in_work = job_table_is_in_work(job);
    /* A pool says by other words that this is a retry. */
    bool is_pool = (jobs_queue_of(deed->rule)->flags & RULE_QUEUE_POOL) != 0;
    uint32_t ended = job_record_attempts(deed->facts);
    bool is_retry = !is_pool && (in_work || ended > 0 || job_outcome_is_awaited(deed->key));
    /* Whoever had it did not come to it, or was lost. */
    enum job_end end = job_record_number(deed->facts->values[RULE_STALLED]) > 0 ? JOB_END_REQUEUED
                                                                                : JOB_END_RETRIED;
    job_record_link_parent(record);
    job_record_join(record, job);
    record->redis.job_action = is_retry ? JOB_ACTION_RETRY : JOB_ACTION_REQUEUE;
    job_record_facts(record, deed->rule, deed->facts);
    const struct record *attempt = in_work ? exchange_record(job->slot) : NULL;
    if (!in_work) {
        job_outcome_tell(deed->key, end, ended, begun_at(deed), deed->facts);
    } else if (attempt == NULL || ended == 0 || attempt->job.attempt == 0 ||
               attempt->job.attempt == ended) {
        end_job(deed->passage->self, job, end, begun_at(deed));
    }
}

static void submit(const struct deed *deed)
{
    struct record *record = deed->record;
    if (record == NULL) {
        return;
    }
    role(deed);
    struct job *job = derived_job(deed);
    if (job == NULL) {
        job_record_facts(record, deed->rule, deed->facts);
        return;
    }
    if (is_pushed_again(deed, job)) {
        push_again(deed, job);
        return;
    }
    job->is_submitted = true;
    job->was_submitted = true;
    job_record_submitted(record, job);
    if (job->is_derived) {
        memcpy(record->span_id, job->submit_id, sizeof record->span_id);
    }
    if (!job_record_is_none(job->save_id)) {
        record_add_link(record, job->trace_id, job->save_id);
        memset(job->save_id, 0, sizeof job->save_id);
    }
    job_record_facts(record, deed->rule, deed->facts);
}

/* Below the submission only where there is one already: who stores a job may never enqueue it. One
   that comes later links back. */
static void save(const struct deed *deed)
{
    struct record *record = deed->record;
    struct job *job = derived_job(deed);
    if (record == NULL) {
        return;
    }
    role(deed);
    if (job != NULL) {
        /* Whoever submits what was begun before submits it once more. */
        job->was_submitted |= deed->facts->values[RULE_AGAIN].size > 0;
        job_record_submitted(record, job);
        if (job->is_submitted && job->is_derived) {
            memcpy(record->parent_span_id, job->submit_id, sizeof record->parent_span_id);
            record->parent_source = PARENT_CONTENT;
        } else {
            memcpy(job->save_id, record->span_id, sizeof job->save_id);
        }
    }
    job_record_facts(record, deed->rule, deed->facts);
}

/* A blocking thread that claims has done with what it claimed before. */
static void end_before(const struct deed *deed)
{
    struct thread_state *self = deed->passage->self;
    bool is_in_loop = self->runs_a_loop || self->inner_epoll != 0;
    if (is_in_loop && (jobs_queue_of(deed->rule)->flags & RULE_QUEUE_SERIAL) == 0) {
        return;
    }
    for (struct job *job = NULL; (job = job_table_next_open(job)) != NULL;) {
        if (job->owner == self && job_table_is_in_work(job) && job->queue == deed->rule->queue) {
            end_job(self, job, JOB_END_UNKNOWN, begun_at(deed));
        }
    }
}

static uint32_t microseconds(uint64_t ns)
{
    return ns / 1000 < UINT32_MAX ? (uint32_t)(ns / 1000) : UINT32_MAX;
}

static uint64_t time_of(const struct deed *deed)
{
    uint64_t begun = begun_at(deed);
    bool has_ended = deed->record != NULL && deed->record->end_ns != 0;
    uint64_t end = has_ended ? deed->record->end_ns : deed->passage->now;
    return end > begun ? end - begun : 0;
}

static void open_job(const struct deed *deed, struct job *job)
{
    struct thread_state *self = deed->passage->self;
    job_table_open(job,
                   exchange_begin(self, deed->passage->connection, RECORD_JOB, deed->passage->now));
    struct record *record = exchange_record(job->slot);
    if (record == NULL) {
        return;
    }
    job_record_join(record, job);
    memcpy(job->span_id, record->span_id, sizeof job->span_id);
    record->job.attempt = 0;
    record->job.empty_polls = queues.empty_polls;
    record->job.empty_poll_us = microseconds(queues.empty_poll_ns);
    queues.empty_polls = 0;
    queues.empty_poll_ns = 0;
    job_record_numbers(record, job, deed->rule, deed->facts);
    job_record_facts(record, deed->rule, deed->facts);
    bool forks = (jobs_queue_of(deed->rule)->flags & RULE_QUEUE_FORKS) != 0;
    if (!is_of_pool(job)) {
        trace_context_enter_job(self, record, job_table_ends(job), forks);
    }
    if (unlikely(witness != NULL)) {
        trace_context_tell_claim(record, deed->passage->connection, job_table_ends(job),
                                 rules_text(jobs_rules, jobs_queue_of(deed->rule)->name),
                                 deed->facts);
    }
    if (forks || is_of_pool(job)) {
        job_outcome_prepare(job_table_key(job), record);
    }
    job->tag = hash_of(deed->facts->values[RULE_TAG]);
    job->acknowledged_ns = 0;
    job->was_claimed = true;
    job->owner = self;
    job->draws = self->random_counter;
}

/* How the attempt in work has ended, now that the job is claimed anew. */
static enum job_end end_by_next(const struct deed *deed, const struct job *job)
{
    const struct record *record = exchange_record(job->slot);
    uint32_t before = job_record_attempts(deed->facts);
    bool is_later = record != NULL && record->job.attempt != 0 && before >= record->job.attempt;
    return is_later ? JOB_END_RETRIED : JOB_END_UNKNOWN;
}

/* What a claim alone says, beside what it says of the job. */
static void describe_claim(const struct deed *deed)
{
    const struct rule_facts *facts = deed->facts;
    struct slice enqueued = facts->values[RULE_ENQUEUED];
    /* Since when one waits that is tried again the queue does not say. */
    if (enqueued.size > 0 && job_record_number(facts->values[RULE_ATTEMPTS]) == 0) {
        deed->record->redis.job_ns =
            rules_time(enqueued, (enum rule_unit)facts->units[RULE_ENQUEUED]);
    }
    job_record_fact(deed->record, FIELD_JOB_CAPABILITIES, facts->values[RULE_CAPABILITIES]);
    job_record_fact(deed->record, FIELD_JOB_LIMIT, facts->values[RULE_LIMIT]);
}

static bool claim(const struct deed *deed)
{
    struct record *exchange = deed->record;
    settle_all(deed->passage->self, deed->passage->now);
    if ((jobs_queue_of(deed->rule)->flags & RULE_QUEUE_POOL) != 0) {
        collect_ends(deed->passage->self, deed->passage->now);
    } else {
        end_before(deed);
    }
    if (deed->facts->values[RULE_ID].size == 0 && !deed->is_anonymous) {
        queues.empty_polls += !deed->rule->is_next;
        queues.empty_poll_ns += time_of(deed);
        return false;
    }
    struct job *job = job_table_find(deed->key);
    if (job != NULL && job_table_is_in_work(job)) {
        end_job(deed->passage->self, job, end_by_next(deed, job), deed->passage->now);
    }
    if (job != NULL && job->is_awaited) {
        settle(deed->passage->self, job);
    }
    job = job_table_place(deed->key);
    if (job == NULL) {
        exchange_count_loss(LOSS_ABANDONED);
        return true;
    }
    job->queue = deed->rule->queue;
    job->is_anonymous = deed->is_anonymous;
    job->is_derived = false;
    job->is_carried = false;
    if (job_identity_derive(job, deed->rule, deed->facts)) {
        /* Its ids are known by now. */
    } else if (exchange != NULL) {
        memcpy(job->trace_id, exchange->trace_id, sizeof job->trace_id);
        job->trace_flags = exchange->trace_flags;
    } else {
        trace_context_draw(deed->passage->self, job->trace_id);
        trace_context_draw(deed->passage->self, job->trace_id + 8);
        job->trace_flags = trace_context_flags(job->trace_id);
    }
    open_job(deed, job);
    describe(deed, job);
    if (exchange != NULL) {
        memcpy(job->claim_id, exchange->span_id, sizeof job->claim_id);
        describe_claim(deed);
    }
    return true;
}

/* What is told now makes the job's name complete, or shows the context that it carries: its attempt
   belongs into another trace than it seemed, which the claim's span is in. */
static void move_job(const struct deed *deed, struct job *job, struct record *record)
{
    struct thread_context *context = &deed->passage->self->context;
    uint8_t before[16];
    memcpy(before, job->trace_id, sizeof before);
    if (!job_identity_derive(job, deed->rule, deed->facts)) {
        return;
    }
    record_add_link(record, before, job->claim_id);
    job_record_join(record, job);
    if (memcmp(context->span_id, job->span_id, sizeof job->span_id) == 0) {
        memcpy(context->trace_id, job->trace_id, sizeof context->trace_id);
        context->trace_flags = job->trace_flags;
    }
    if (deed->record != NULL &&
        memcmp(deed->record->parent_span_id, job->span_id, sizeof job->span_id) == 0) {
        memcpy(deed->record->trace_id, job->trace_id, sizeof job->trace_id);
        deed->record->trace_flags = job->trace_flags;
    }
}

/* More is known of a job: its type, and perhaps the time that makes its name complete. */
static void tell_more(const struct deed *deed)
{
    struct job *job = job_table_find(deed->key);
    struct record *record =
        job != NULL && job_table_is_in_work(job) ? exchange_record(job->slot) : NULL;
    if (record != NULL) {
        move_job(deed, job, record);
        job_record_numbers(record, job, deed->rule, deed->facts);
        job_record_facts(record, deed->rule, deed->facts);
    }
}

static void count_folded(const struct deed *deed, struct record *record)
{
    record->job.folded++;
    record->job.folded_us = microseconds((uint64_t)record->job.folded_us * 1000 + time_of(deed));
}

/* Bookkeeping that names no job is for all jobs in work of that queue. */
static void fold(const struct deed *deed, struct record *record)
{
    if (record != NULL) {
        count_folded(deed, record);
        return;
    }
    if (deed->facts->values[RULE_ID].data != NULL) {
        return;
    }
    for (struct job *job = NULL; (job = job_table_next_open(job)) != NULL;) {
        bool is_of_queue = job->queue == deed->rule->queue;
        struct record *each =
            is_of_queue && job_table_is_in_work(job) ? exchange_record(job->slot) : NULL;
        if (each != NULL) {
            count_folded(deed, each);
        }
    }
}

/* The queue has done with the job, whether or not its worker has. */
static void acknowledge(const struct deed *deed)
{
    uint64_t tag = hash_of(deed->facts->values[RULE_TAG]);
    for (struct job *job = NULL; (job = job_table_next_open(job)) != NULL;) {
        bool is_it = job->tag == tag && job_table_is_in_work(job);
        struct record *record = is_it ? exchange_record(job->slot) : NULL;
        if (record != NULL) {
            record->job.folded++;
            job->acknowledged_ns = deed->passage->now;
        }
    }
}

static bool is_end(enum rule_action action, enum job_end *end)
{
    static const uint8_t ends[RULE_ACTIONS] = {
        [RULE_COMPLETE] = JOB_END_COMPLETED, [RULE_FAIL] = JOB_END_FAILED,
        [RULE_RETRY] = JOB_END_RETRIED,      [RULE_REQUEUE] = JOB_END_REQUEUED,
        [RULE_TIMEOUT] = JOB_END_TIMED_OUT,  [RULE_CANCEL] = JOB_END_CANCELLED,
    };
    *end = (enum job_end)ends[action];
    return ends[action] != 0;
}

/* A message or the archive says what went wrong with an attempt that has ended: here, or in the
   process that claimed the job. */
static void take_late_words(const struct deed *deed, struct job *job)
{
    bool has_words =
        deed->facts->values[RULE_ERROR].size > 0 || deed->facts->values[RULE_STACK].size > 0;
    if (job != NULL && job->is_awaited) {
        struct record *record =
            job->epoch == attachment_epoch() ? exchange_record(job->slot) : NULL;
        if (record != NULL && has_words) {
            job_record_facts(record, deed->rule, deed->facts);
            settle(deed->passage->self, job);
        }
    } else if (has_words && (job == NULL || !job_table_is_in_work(job))) {
        job_outcome_tell_words(deed->key, deed->facts);
    }
}

/* Another process claimed the job, and this one begins to work on it. */
static void tell_start(const struct deed *deed)
{
    struct slice started = deed->facts->values[RULE_STARTED];
    if (started.size > 0) {
        enum rule_unit unit = (enum rule_unit)deed->facts->units[RULE_STARTED];
        job_outcome_tell_start(deed->key, rules_time(started, unit));
    }
}

static void tell_duration(const struct deed *deed, const struct record *attempt)
{
    if (deed->record != NULL && attempt != NULL && begun_at(deed) > attempt->start_ns) {
        deed->record->redis.job_ns = begun_at(deed) - attempt->start_ns;
    }
}

/* A thread that claims for a child to work on it has begun with it itself. */
static void work_itself(struct thread_state *self, const struct job *job)
{
    struct thread_context *context = &self->context;
    if (context->is_for_child && memcmp(context->span_id, job->span_id, sizeof job->span_id) == 0) {
        context->is_known = true;
    }
}

/* True if the exchange stays a span. */
static bool act_locked(const struct deed *deed)
{
    struct thread_state *self = deed->passage->self;
    enum rule_action action = (enum rule_action)deed->rule->action;
    enum job_end end;
    if (action == RULE_CLAIM) {
        return claim(deed);
    }
    if (action == RULE_SUBMIT) {
        submit(deed);
        return true;
    }
    if (action == RULE_SAVE) {
        save(deed);
        return true;
    }
    if (action == RULE_WORKFLOW_CANCEL || action == RULE_WORKFLOW_TIMEOUT) {
        role(deed);
        if (deed->record != NULL) {
            job_record_facts(deed->record, deed->rule, deed->facts);
        }
        return true;
    }
    struct job *job = job_table_find(deed->key);
    bool in_work = job != NULL && job_table_is_in_work(job);
    struct record *record = in_work ? exchange_record(job->slot) : NULL;
    if (deed->rule->needs_claim && !in_work) {
        return true;
    }
    if (is_end(action, &end)) {
        describe(deed, job);
        job_outcome_note_end(deed->rule->queue);
        /* The next attempt of a pool may be in work before it is said that this one is over: that
           it was pushed again has said so. */
        if (action == RULE_RETRY && (jobs_queue_of(deed->rule)->flags & RULE_QUEUE_POOL) != 0) {
            return true;
        }
        if (in_work) {
            tell_more(deed);
            tell_duration(deed, record);
            end_job(self, job, end, begun_at(deed));
        } else {
            job_outcome_tell(deed->key, end, 0, begun_at(deed), deed->facts);
            if (job != NULL) {
                atomic_fetch_add_explicit(job_table_ends(job), 1, memory_order_relaxed);
            }
        }
        return true;
    }
    if (action == RULE_READ || action == RULE_START || action == RULE_PROGRESS) {
        bool is_root = deed->record != NULL && job_record_is_none(deed->record->parent_span_id);
        tell_more(deed);
        if (action == RULE_START && in_work) {
            work_itself(self, job);
        } else if (action == RULE_START) {
            tell_start(deed);
        }
        if (is_root && in_work) {
            job_record_join(deed->record, job);
        }
        if (record != NULL && action == RULE_PROGRESS) {
            record->job.progress_count++;
            record->job.progress_ns = deed->passage->now;
            record->job.percent =
                (uint8_t)job_record_number(deed->facts->values[RULE_PROGRESS_VALUE]);
        }
    } else if (action == RULE_FOLD) {
        fold(deed, record);
        return false;
    } else if (action == RULE_ACK) {
        acknowledge(deed);
        return false;
    } else {
        describe(deed, job);
        take_late_words(deed, job);
    }
    return true;
}

bool jobs_ends_known(const struct connection *connection)
{
    struct rule_capture *capture = capture_of(connection->redis.job_block);
    const struct rule *rule = &jobs_rules->rules[capture->rule];
    struct rule_facts facts;
    enum job_end end;
    if (!is_end((enum rule_action)rule->action, &end) ||
        !rules_facts(jobs_rules, capture, capture->rule, &facts) || !job_table_lock()) {
        return false;
    }
    const struct job *job = job_table_find(job_identity_key(rule, &facts));
    bool is_known = job != NULL && job_table_is_in_work(job);
    job_table_unlock();
    return is_known;
}

/* ---- lists that may hold jobs ---- */

/* A rule may be for any list whose values look like jobs. One that has had jobs is a queue: to find
   it empty is no exchange, and a value that cannot be understood is a job all the same. */

static uint64_t list_of(const struct rule *rule, const struct rule_capture *capture,
                        uint16_t number)
{
    struct rule_facts facts;
    uint64_t hash = HASH_BEGIN ^ rule->queue;
    if (rules_keys(jobs_rules, capture, number, &facts)) {
        hash = hash_bytes(hash, facts.values[RULE_QUEUE]);
    }
    return hash != 0 ? hash : 1;
}

/* Read without the lock, too: a word at a time. */
static bool is_known_list(uint64_t list)
{
    for (uint32_t i = 0; i < KNOWN_LISTS; i++) {
        if (__atomic_load_n(&queues.lists[i], __ATOMIC_RELAXED) == list) {
            return true;
        }
    }
    return false;
}

static void note_list(uint64_t list)
{
    if (!is_known_list(list)) {
        __atomic_store_n(&queues.lists[queues.next_list++ % KNOWN_LISTS], list, __ATOMIC_RELAXED);
    }
}

/* Who waits for a job until there is one has one when there is an answer. */
static bool is_popped_nameless(const struct rule *rule, const struct record *record,
                               const struct rule_facts *facts)
{
    return rule->action == RULE_CLAIM && !rule->is_next && facts->values[RULE_ID].size == 0 &&
           record != NULL && (record->flags & RECORD_FLAG_BLOCKING) != 0;
}

/* One of the rules that the answer is told by; true if the exchange stays a span. */
static bool act(struct passage *passage, struct record *record, struct rule_capture *capture,
                uint16_t number)
{
    const struct rule *rule = &jobs_rules->rules[number];
    struct rule_facts facts;
    bool holds = rules_facts(jobs_rules, capture, number, &facts);
    bool stays = true;
    /* A claim that found nothing: the rule says what something would look like. */
    if (!holds && rule->action != RULE_CLAIM) {
        return true;
    }
    if (holds && unlikely(facts.units[RULE_STACK] == RULE_UNIT_PACKED)) {
        job_traceback_unpack(capture, &facts);
    }
    uint64_t list = rule->is_tentative ? list_of(rule, capture, number) : 0;
    bool is_nothing = record == NULL || (record->flags & RECORD_FLAG_NULL_REPLY) != 0;
    if (!holds && rule->is_tentative && !is_known_list(list)) {
        return true;
    }
    if (!holds) {
        memset(&facts, 0, sizeof facts);
    }
    struct deed deed = {
        .passage = passage,
        .record = record,
        .rule = rule,
        .facts = &facts,
        .key = job_identity_key(rule, &facts),
    };
    /* What came out and cannot be read is a job all the same. */
    bool is_unread = holds ? is_popped_nameless(rule, record, &facts) : rule->is_tentative;
    if (is_unread && !is_nothing) {
        rules_keys(jobs_rules, capture, number, &facts);
        trace_context_draw(passage->self, (uint8_t *)&deed.key);
        deed.is_anonymous = true;
    }
    if (job_table_lock()) {
        if (holds && rule->is_tentative) {
            note_list(list);
        }
        stays = act_locked(&deed);
        tell_sole();
        job_table_unlock();
    }
    return stays;
}

bool jobs_answered(struct passage *passage, struct record *record, uint32_t block, bool is_error)
{
    struct rule_capture *capture = capture_of(block);
    uint16_t number = capture->rule;
    bool stays = true;
    bool is_submission = jobs_rules->rules[number].action == RULE_SUBMIT;
    if (!is_error || is_submission) {
        stays = act(passage, record, capture, number);
        if (!is_error && jobs_rules->rules[number].has_next) {
            act(passage, NULL, capture, (uint16_t)(number + 1));
        }
    }
    slab_give(SLAB_BUFFER, block);
    return stays;
}

bool jobs_was_waiting(struct pairing_entry entry, const struct record *record)
{
    if (entry.effect != REDIS_JOB) {
        return false;
    }
    const struct rule_capture *capture = capture_of(entry.value);
    const struct rule *rule = &jobs_rules->rules[capture->rule];
    uint8_t action = rule->action;
    bool is_blocking = record != NULL && (record->flags & RECORD_FLAG_BLOCKING) != 0;
    if (rule->is_tentative && !is_known_list(list_of(rule, capture, capture->rule))) {
        return false;
    }
    return action == RULE_FOLD || (action == RULE_CLAIM && is_blocking);
}

void jobs_finish_all(struct thread_state *self, uint64_t now, int32_t cause)
{
    if (!job_table_lock()) {
        return;
    }
    for (struct job *job = NULL; (job = job_table_next_open(job)) != NULL;) {
        bool in_work = job_table_is_in_work(job);
        struct record *record = in_work ? exchange_record(job->slot) : NULL;
        if (job->is_awaited) {
            settle(self, job);
        }
        if (record == NULL) {
            continue;
        }
        if (cause == 0) {
            end_job(self, job, JOB_END_UNKNOWN, last_word(job, now));
        } else {
            uint16_t slot = job->slot;
            job_table_close(job);
            exchange_complete(self, slot, now, RECORD_ERROR_ABORTED, cause);
        }
    }
    job_table_unlock();
}
