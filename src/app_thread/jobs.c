#include "app_thread/jobs.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/inflater.h"
#include "app_thread/polls.h"
#include "app_thread/table_lock.h"
#include "app_thread/trace_context.h"
#include "base/hash.h"
#include "base/system_call.h"
#include "rules/time.h"
#include "wire/hex.h"
#include "wire/sha1.h"
#include "wire/traceparent.h"

/* Lists whose answers were jobs: more than one process waits for. */
#define KNOWN_LISTS 8u

/* A job in work, or one that has ended a moment ago (`slot` is none). */
struct job {
    uint64_t order;
    uint64_t tag;             /* hash of what it is acknowledged by; 0: nothing */
    uint64_t acknowledged_ns; /* 0: not yet */
    uint64_t draws;           /* of the thread's numbers, when it was claimed */
    const struct thread_state *owner;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t submit_id[8];
    uint8_t parent_id[8]; /* that was carried in the job */
    uint8_t claim_id[8];  /* of the span that claimed it */
    uint8_t save_id[8];   /* of the span that stored it, where nobody was known to submit it */
    uint32_t epoch;
    uint16_t slot;
    uint8_t trace_flags;
    uint8_t queue;
    bool is_derived;    /* the trace's id: both sides of the queue know it */
    bool is_carried;    /* a context stood in the job: trace and parent are its */
    bool is_submitted;  /* by this process: its submission is a span, or becomes one */
    bool was_submitted; /* the submission's span is there: another one is none of that name */
    bool was_claimed;   /* by this process */
    bool is_awaited;    /* it has ended, and what went wrong is perhaps still to be told */
};

struct job_table {
    _Atomic uint32_t lock; /* the epoch of the process that holds it; 0: nobody */
    uint32_t empty_polls;
    uint64_t empty_poll_ns;
    uint32_t next_list;
    _Atomic uint32_t awaited; /* jobs that have ended, of whose failure more may be told */
    uint64_t next_order;
    uint64_t lists[KNOWN_LISTS]; /* that jobs were claimed from, where a rule needs to know */
    uint64_t keys[LIMIT_JOBS];   /* of each job's identity without the time; 0: free */
    struct job jobs[LIMIT_JOBS];
    /* How often the job of that place has ended: what ends a thread's work for it. Read by threads
       without the lock. */
    _Atomic uint32_t ends[LIMIT_JOBS];
};

/* How another process ended a job of this one's. Shared memory, made at the start: whoever executes
   may be forked before anything is claimed. The claimer takes a place by the job's key and gives it
   back; who ends a job that it has not claimed looks for the place, and so does who is handed a job
   that another one has claimed. */
struct outcome {
    _Atomic uint64_t key;   /* 0: free */
    _Atomic uint64_t value; /* nanoseconds << 3 | enum job_end; 0: none yet */
    _Atomic uint32_t attempt;
    _Atomic uint64_t started_ns; /* since 1970 UTC, by the queue's own record; 0: not known */
    /* What went wrong, written before the value: sizes and texts. */
    uint16_t sizes[3];
    uint8_t error_type[64];
    uint8_t error[LIMIT_RULE_VALUE];
    uint8_t stack[LIMIT_RULE_STACK];
    _Atomic uint32_t version; /* odd while the ids are written; 2 more with each attempt and end */
    uint64_t began_ns;
    uint8_t trace_id[16]; /* of the attempt's span */
    uint8_t span_id[8];
    uint8_t trace_flags;
};

struct outcomes {
    _Atomic uint32_t telling; /* queues of which an end was seen, a bit each */
    struct outcome places[LIMIT_JOBS];
};

/* Places that are tried for one job. */
#define OUTCOME_TRIES 16u
_Static_assert(JOB_END_COUNT <= 8, "an end has three bits");

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
_Static_assert((int)RULE_ACTIONS == (int)JOB_ACTION_COUNT, "and as many");
#undef SAME

static const uint8_t no_lists[RULES_ENTRIES];

const struct rules *jobs_rules;
const uint8_t *jobs_lists = no_lists;
static struct job_table jobs_table;
static struct outcomes *jobs_outcomes;

void jobs_configure(const struct rules *rules)
{
    jobs_rules = rules;
    jobs_lists = rules->list_of;
    if (jobs_outcomes == NULL) {
        long address = raw_system_call(SYS_mmap, 0, sizeof(struct outcomes), PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        jobs_outcomes = address < 0 && address > -4096 ? NULL : (struct outcomes *)address;
    }
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

static bool lock_table(void)
{
    if (table_lock_take(&jobs_table.lock)) {
        return true;
    }
    exchange_count_loss(LOSS_ABANDONED);
    return false;
}

static void unlock_table(void)
{
    table_lock_give(&jobs_table.lock);
}

static struct job *find_job(uint64_t key)
{
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        if (jobs_table.keys[i] == key) {
            return &jobs_table.jobs[i];
        }
    }
    return NULL;
}

static bool is_in_work(const struct job *job)
{
    return job->slot != SEGMENT_NO_SLOT && job->epoch == attachment_epoch() && !job->is_awaited;
}

/* The job's record is handed over, with or without a word of what went wrong. */
static void settle(struct thread_state *self, struct job *job)
{
    struct record *record = job->epoch == attachment_epoch() ? exchange_record(job->slot) : NULL;
    job->is_awaited = false;
    if (record != NULL) {
        record->is_parked = false;
        exchange_complete(self, job->slot, record->end_ns, RECORD_OK, 0);
    }
    job->slot = SEGMENT_NO_SLOT;
}

/* A thread that asks for more has said all of what it did before. In a loop others may still be
   about to. */
static void settle_all(struct thread_state *self, uint64_t now)
{
    uint32_t left = 0;
    if (atomic_load_explicit(&jobs_table.awaited, memory_order_relaxed) == 0) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        struct job *job = &jobs_table.jobs[i];
        if (jobs_table.keys[i] == 0 || !job->is_awaited) {
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
    atomic_store_explicit(&jobs_table.awaited, left, memory_order_relaxed);
}

/* A free place, or that of the job that ended first. */
static struct job *oldest_place(void)
{
    struct job *place = NULL;
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        struct job *job = &jobs_table.jobs[i];
        if (jobs_table.keys[i] == 0) {
            return job;
        }
        if (!is_in_work(job) && !job->is_awaited && (place == NULL || job->order < place->order)) {
            place = job;
        }
    }
    return place;
}

/* A place for a job: its own, if it was known before. NULL: so many are in work. */
static struct job *place_job(uint64_t key)
{
    struct job *place = find_job(key);
    place = place != NULL ? place : oldest_place();
    if (place == NULL) {
        return NULL;
    }
    if (jobs_table.keys[place - jobs_table.jobs] != key) {
        place->is_derived = false;
        place->is_carried = false;
        place->is_submitted = false;
        place->was_submitted = false;
        place->was_claimed = false;
        memset(place->save_id, 0, sizeof place->save_id);
    }
    jobs_table.keys[place - jobs_table.jobs] = key;
    place->order = ++jobs_table.next_order;
    place->slot = SEGMENT_NO_SLOT;
    place->epoch = attachment_epoch();
    return place;
}

static _Atomic uint32_t *ends_of(const struct job *job)
{
    return &jobs_table.ends[job - jobs_table.jobs];
}

/* ---- identities ---- */

static void hash_value(struct sha1 *sha1, struct slice value)
{
    const uint8_t size[2] = {(uint8_t)value.size, (uint8_t)(value.size >> 8)};
    sha1_update(sha1, slice_of(size, sizeof size));
    sha1_update(sha1, value);
}

static const struct rule_queue *queue_of(const struct rule *rule)
{
    return &jobs_rules->queues[rule->queue];
}

/* The identity's variables, but for the time. */
static void hash_identity(const struct rule *rule, const struct rule_facts *facts,
                          struct slice purpose, uint8_t hash[SHA1_BYTES])
{
    const struct rule_queue *queue = queue_of(rule);
    struct sha1 sha1;
    sha1_init(&sha1);
    hash_value(&sha1, purpose);
    hash_value(&sha1, rules_text(jobs_rules, queue->name));
    bool needs_time =
        (queue->identity >> RULE_ENQUEUED & 1) != 0 && !hex_ends_in_uuid(facts->values[RULE_ID]);
    for (uint32_t variable = 0; variable < RULE_VARIABLES; variable++) {
        bool is_time = variable == RULE_ENQUEUED;
        if ((queue->identity >> variable & 1) != 0 && (!is_time || needs_time)) {
            hash_value(&sha1, facts->values[variable]);
        }
    }
    sha1_finish(&sha1, hash);
}

static uint64_t hash_of(struct slice value)
{
    return value.size == 0 ? 0 : hash_bytes(HASH_BEGIN, value);
}

static uint64_t key_of(const struct rule *rule, const struct rule_facts *facts)
{
    uint64_t key = HASH_BEGIN ^ rule->queue;
    uint32_t identity = queue_of(rule)->identity & ~(1u << RULE_ENQUEUED);
    for (uint32_t variable = 0; variable < RULE_VARIABLES; variable++) {
        struct slice value =
            (identity >> variable & 1) != 0 ? facts->values[variable] : slice_of(NULL, 0);
        key = hash_byte(hash_bytes(key, value), (uint8_t)variable);
    }
    return key != 0 ? key : 1;
}

/* Whether what is known of the job makes a name that no other job has. */
static bool is_identified(const struct rule *rule, const struct rule_facts *facts)
{
    const struct rule_queue *queue = queue_of(rule);
    if (hex_ends_in_uuid(facts->values[RULE_ID]) || (queue->flags & RULE_QUEUE_UNIQUE_IDS) != 0) {
        return true;
    }
    return (queue->identity >> RULE_ENQUEUED & 1) != 0 && facts->values[RULE_ENQUEUED].size > 0;
}

/* Both sides of the queue come to the same ids. */
static void derive_ids(const struct rule *rule, const struct rule_facts *facts,
                       uint8_t trace_id[16], uint8_t submit_id[8])
{
    uint8_t hash[SHA1_BYTES];
    hash_identity(rule, facts, SLICE("trace"), hash);
    memcpy(trace_id, hash, 16);
    hash_identity(rule, facts, SLICE("submit"), hash);
    memcpy(submit_id, hash, 8);
    trace_id[15] |= trace_id[15] == 0;
    submit_id[7] |= submit_id[7] == 0;
}

/* `count` bytes in hexadecimal, not all zero. */
static bool take_id(struct slice text, uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    if (text.size != 2 * count || !hex_read(text.data, bytes, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any != 0;
}

static bool take_context(const struct rule_facts *facts, enum rule_variable trace,
                         enum rule_variable parent, struct traceparent *context)
{
    if (!take_id(facts->values[trace], context->trace_id, sizeof context->trace_id) ||
        !take_id(facts->values[parent], context->parent_id, sizeof context->parent_id)) {
        return false;
    }
    context->flags = trace_context_flags(context->trace_id);
    return true;
}

/* The context that stands in the job: its own before its workflow's. */
static bool find_context(const struct rule_facts *facts, struct traceparent *context)
{
    return take_context(facts, RULE_TRACE, RULE_PARENT, context) ||
           traceparent_parse(facts->values[RULE_TRACEPARENT], context) ||
           take_context(facts, RULE_WORKFLOW_TRACE, RULE_WORKFLOW_PARENT, context);
}

/* Gives the job the ids that both sides come to: those that it carries, or else derived ones where
   it is named well enough. True if its trace is another one now. */
static bool derive_job(struct job *job, const struct rule *rule, const struct rule_facts *facts)
{
    uint8_t trace_id[16];
    struct traceparent context;
    bool is_other = false;
    if (!job->is_derived && is_identified(rule, facts)) {
        derive_ids(rule, facts, trace_id, job->submit_id);
        job->is_derived = true;
        if (!job->is_carried) {
            memcpy(job->trace_id, trace_id, sizeof job->trace_id);
            job->trace_flags = trace_context_flags(trace_id);
            is_other = true;
        }
    }
    if (!job->is_carried && find_context(facts, &context)) {
        memcpy(job->trace_id, context.trace_id, sizeof job->trace_id);
        memcpy(job->parent_id, context.parent_id, sizeof job->parent_id);
        job->trace_flags = trace_context_follow(&context);
        job->is_carried = true;
        is_other = true;
    }
    return is_other;
}

/* A submission is on its way: what stores the job may name it as its parent. */
static void note_submission(struct rule_capture *capture, const struct rule *rule)
{
    struct rule_facts facts;
    if (!rules_facts(jobs_rules, capture, capture->rule, &facts) ||
        facts.values[RULE_ID].size == 0 || !lock_table()) {
        return;
    }
    uint64_t key = key_of(rule, &facts);
    struct job *job = find_job(key);
    job = job != NULL ? job : place_job(key);
    if (job != NULL) {
        derive_job(job, rule, &facts);
        job->is_submitted = true;
    }
    unlock_table();
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
    } else if (rule->action == RULE_CLAIM &&
               unlikely(atomic_load_explicit(&jobs_table.awaited, memory_order_relaxed) != 0) &&
               lock_table()) {
        settle_all(passage->self, passage->now);
        unlock_table();
    }
    return true;
}

/* ---- records ---- */

static void add_fact(struct record *record, enum field_tag tag, struct slice value)
{
    if (value.size > 0) {
        record_add_field(record, tag, value,
                         tag == FIELD_JOB_STACK ? LIMIT_RULE_STACK : LIMIT_RULE_VALUE);
    }
}

static void add_facts(struct record *record, const struct rule *rule,
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
    add_fact(record, FIELD_JOB_SYSTEM, rules_text(jobs_rules, queue_of(rule)->name));
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        if (record_find_field(record, (enum field_tag)told[i].tag).data == NULL) {
            add_fact(record, (enum field_tag)told[i].tag, facts->values[told[i].variable]);
        }
    }
}

static bool is_none(const uint8_t id[8])
{
    static const uint8_t none[8];
    return memcmp(id, none, sizeof none) == 0;
}

static void add_link(struct record *record, const uint8_t trace_id[16], const uint8_t span_id[8])
{
    uint8_t link[24];
    memcpy(link, trace_id, 16);
    memcpy(link + 16, span_id, 8);
    record_add_field(record, FIELD_LINK, slice_of(link, sizeof link), sizeof link);
}

/* The span that the record would have been below by its thread is told as a link. */
static void link_to_parent(struct record *record)
{
    if (!is_none(record->parent_span_id)) {
        add_link(record, record->trace_id, record->parent_span_id);
    }
}

/* The submission is another process's span, and a parent only where that is known to be there. */
static void tell_submission(struct record *record, const struct job *job)
{
    if (!attachment_producers_are_traced) {
        add_link(record, job->trace_id, job->submit_id);
        return;
    }
    memcpy(record->parent_span_id, job->submit_id, sizeof record->parent_span_id);
    record->parent_source = PARENT_AMBIENT;
    record->flags |= RECORD_FLAG_REMOTE_PARENT;
}

/* Puts a record into the job's trace: below what the job carries, else beside its submission. */
static void join_trace(struct record *record, const struct job *job)
{
    memcpy(record->trace_id, job->trace_id, sizeof record->trace_id);
    memset(record->parent_span_id, 0, sizeof record->parent_span_id);
    record->trace_flags = job->trace_flags;
    record->parent_source = PARENT_NONE;
    if (job->is_carried) {
        memcpy(record->parent_span_id, job->parent_id, sizeof record->parent_span_id);
        record->parent_source = PARENT_CONTENT;
        record->flags |= RECORD_FLAG_REMOTE_PARENT;
    } else if (job->is_derived) {
        tell_submission(record, job);
    }
}

static uint32_t number_of(struct slice text)
{
    uint32_t number = 0;
    for (size_t i = 0; i < text.size && i < 9 && (uint8_t)(text.data[i] - '0') <= 9; i++) {
        number = number * 10 + (uint32_t)(text.data[i] - '0');
    }
    return number;
}

static void set_numbers(struct record *record, const struct rule_facts *facts)
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
        record->job.delay_ms = number_of(facts->values[RULE_DELAY]);
    }
    if (facts->values[RULE_ATTEMPT].size > 0) {
        record->job.attempt = number_of(facts->values[RULE_ATTEMPT]);
    } else if (facts->values[RULE_ATTEMPTS].size > 0) {
        record->job.attempt = number_of(facts->values[RULE_ATTEMPTS]) + 1;
    }
    if (facts->values[RULE_STALLED].size > 0) {
        record->job.stalled = number_of(facts->values[RULE_STALLED]);
    }
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
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        /* Who claims for a pool does not execute. */
        if (jobs_table.keys[i] != 0 && is_in_work(&jobs_table.jobs[i]) &&
            !is_of_pool(&jobs_table.jobs[i])) {
            sole = &jobs_table.jobs[i];
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

static struct outcome *find_outcome(uint64_t key)
{
    for (uint32_t i = 0; jobs_outcomes != NULL && i < OUTCOME_TRIES; i++) {
        struct outcome *place = &jobs_outcomes->places[(key + i) % LIMIT_JOBS];
        if (atomic_load_explicit(&place->key, memory_order_acquire) == key) {
            return place;
        }
    }
    return NULL;
}

static void tell_claimed(struct outcome *place, const struct record *record)
{
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed);
    atomic_store_explicit(&place->version, version | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* pairs with the fence in jobs_find_claimed */
    place->began_ns = record->start_ns;
    memcpy(place->trace_id, record->trace_id, sizeof place->trace_id);
    memcpy(place->span_id, record->span_id, sizeof place->span_id);
    place->trace_flags = record->trace_flags;
    /* release: pairs with the acquire in jobs_find_claimed */
    atomic_store_explicit(&place->version, (version | 1) + 1, memory_order_release);
}

static void end_claimed(struct outcome *place)
{
    atomic_fetch_add_explicit(&place->version, 2, memory_order_relaxed);
}

static void prepare_outcome(uint64_t key, const struct record *record)
{
    for (uint32_t i = 0; jobs_outcomes != NULL && i < OUTCOME_TRIES; i++) {
        struct outcome *place = &jobs_outcomes->places[(key + i) % LIMIT_JOBS];
        uint64_t none = 0;
        if (atomic_compare_exchange_strong_explicit(&place->key, &none, key, memory_order_acq_rel,
                                                    memory_order_acquire) ||
            none == key) {
            atomic_store_explicit(&place->attempt, record->job.attempt, memory_order_relaxed);
            atomic_store_explicit(&place->started_ns, 0, memory_order_relaxed);
            memset(place->sizes, 0, sizeof place->sizes);
            atomic_store_explicit(&place->value, 0, memory_order_relaxed);
            tell_claimed(place, record);
            return;
        }
    }
}

static void read_words(struct record *record, const struct outcome *place);

/* What was told of the job, 0 for nothing, and to its record what went wrong; its place is free
   then. */
static uint64_t take_outcome(uint64_t key, struct record *record)
{
    struct outcome *place = find_outcome(key);
    if (place == NULL) {
        return 0;
    }
    /* acquire: pairs with the release in tell_outcome */
    uint64_t told = atomic_load_explicit(&place->value, memory_order_acquire);
    if (told != 0 && record != NULL) {
        read_words(record, place);
    }
    uint64_t started_ns = atomic_load_explicit(&place->started_ns, memory_order_relaxed);
    if (record != NULL && started_ns != 0) {
        record->job.started_ns = started_ns;
    }
    end_claimed(place);
    atomic_store_explicit(&place->key, 0, memory_order_release);
    return told;
}

static uint64_t told_outcome(uint64_t key)
{
    struct outcome *place = find_outcome(key);
    return place == NULL ? 0 : atomic_load_explicit(&place->value, memory_order_relaxed);
}

/* Another process claimed the job, if any did. `attempt` is the one that has ended; 0: the one that
   is in work. */
static void write_words(struct outcome *place, const struct rule_facts *facts)
{
    const struct slice words[3] = {facts->values[RULE_ERROR_TYPE], facts->values[RULE_ERROR],
                                   facts->values[RULE_STACK]};
    const size_t room[3] = {sizeof place->error_type, sizeof place->error, sizeof place->stack};
    uint8_t *const texts[3] = {place->error_type, place->error, place->stack};
    for (uint32_t i = 0; i < 3; i++) {
        size_t size = words[i].size < room[i] ? words[i].size : room[i];
        if (size > 0) {
            memcpy(texts[i], words[i].data, size);
            place->sizes[i] = (uint16_t)size;
        }
    }
}

static void add_word(struct record *record, enum field_tag tag, const uint8_t *text, size_t size)
{
    if (record_find_field(record, tag).data == NULL) {
        add_fact(record, tag, slice_of(text, size));
    }
}

/* The sizes are of shared memory: no more than there is room for. */
static void read_words(struct record *record, const struct outcome *place)
{
    const size_t room[3] = {sizeof place->error_type, sizeof place->error, sizeof place->stack};
    size_t sizes[3];
    for (uint32_t i = 0; i < 3; i++) {
        size_t size = __atomic_load_n(&place->sizes[i], __ATOMIC_RELAXED);
        sizes[i] = size < room[i] ? size : room[i];
    }
    add_word(record, FIELD_JOB_ERROR_TYPE, place->error_type, sizes[0]);
    add_word(record, FIELD_JOB_ERROR, place->error, sizes[1]);
    add_word(record, FIELD_JOB_STACK, place->stack, sizes[2]);
}

static void tell_outcome(uint64_t key, struct job *job, enum job_end end, uint32_t attempt,
                         uint64_t now, const struct rule_facts *facts)
{
    struct outcome *place = find_outcome(key);
    bool is_it =
        place != NULL &&
        (attempt == 0 || atomic_load_explicit(&place->attempt, memory_order_relaxed) == attempt);
    if (is_it) {
        write_words(place, facts);
        /* release: pairs with the acquire in take_outcome */
        atomic_store_explicit(&place->value, now << 3 | (uint64_t)end, memory_order_release);
        end_claimed(place);
    }
    if (job != NULL) {
        atomic_fetch_add_explicit(ends_of(job), 1, memory_order_relaxed);
    }
}

static bool read_claimed(struct outcome *place, struct thread_context *work)
{
    uint32_t version = atomic_load_explicit(&place->version, memory_order_acquire);
    *work = (struct thread_context){.trace_flags = place->trace_flags,
                                    .is_known = true,
                                    .is_of_job = true,
                                    .answered = version,
                                    .began_ns = place->began_ns,
                                    .answers = &place->version};
    memcpy(work->trace_id, place->trace_id, sizeof work->trace_id);
    memcpy(work->span_id, place->span_id, sizeof work->span_id);
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in tell_claimed */
    return (version & 1) == 0 && atomic_load_explicit(&place->value, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&place->version, memory_order_relaxed) == version;
}

bool jobs_find_claimed(struct slice id, struct thread_context *work)
{
    struct rule_facts facts = {0};
    facts.values[RULE_ID] = id;
    for (uint8_t i = 0; jobs_rules != NULL && i < jobs_rules->queue_count; i++) {
        const struct rule_queue *queue = &jobs_rules->queues[i];
        const struct rule rule = {.queue = i};
        if ((queue->flags & RULE_QUEUE_POOL) != 0 && queue->identity == 1u << RULE_ID) {
            struct outcome *place = find_outcome(key_of(&rule, &facts));
            if (place != NULL) {
                return read_claimed(place, work);
            }
        }
    }
    return false;
}

static uint64_t key_in_table(const struct job *job)
{
    return jobs_table.keys[job - jobs_table.jobs];
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
    uint64_t told = take_outcome(key_in_table(job), record);
    if (told != 0 && end == JOB_END_UNKNOWN) {
        end = (enum job_end)(told & 7);
        now = told >> 3;
    }
    job->order = ++jobs_table.next_order;
    /* release: pairs with nothing; a thread that still sees the old number works for it a little
       longer */
    atomic_fetch_add_explicit(ends_of(job), 1, memory_order_relaxed);
    if (record != NULL) {
        polls_end(self, record->trace_id);
        record->job.end = (uint8_t)end;
        record->end_ns = now > record->start_ns ? now : record->start_ns;
    }
    if (record != NULL && wants_words(job, record)) {
        record->is_parked = true;
        job->is_awaited = true;
        atomic_fetch_add_explicit(&jobs_table.awaited, 1, memory_order_relaxed);
    } else {
        settle(self, job);
    }
}

/* Whether an end of a job of that queue was ever seen here or in a process of the same origin. */
static bool tells_ends(uint8_t queue)
{
    return jobs_outcomes != NULL &&
           (atomic_load_explicit(&jobs_outcomes->telling, memory_order_relaxed) >> queue & 1) != 0;
}

static void note_end(uint8_t queue)
{
    if (jobs_outcomes != NULL && !tells_ends(queue)) {
        atomic_fetch_or_explicit(&jobs_outcomes->telling, 1u << queue, memory_order_relaxed);
    }
}

/* Without an end on the wire the acknowledgement is the last that was said. */
static uint64_t last_word(const struct job *job, uint64_t now)
{
    bool is_last = job->acknowledged_ns != 0 && !tells_ends(job->queue);
    return is_last ? job->acknowledged_ns : now;
}

/* Jobs of pools that others have ended meanwhile, and those of which no end will be told. */
static void collect_ends(struct thread_state *self, uint64_t now)
{
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        struct job *job = &jobs_table.jobs[i];
        if (jobs_table.keys[i] == 0 || !is_in_work(job) || !is_of_pool(job)) {
            continue;
        }
        uint64_t patience =
            tells_ends(job->queue) ? attachment_context_age_ns : LIMIT_JOB_SILENCE_NS;
        bool is_silent = job->acknowledged_ns != 0 && now > job->acknowledged_ns + patience;
        if (is_silent || told_outcome(jobs_table.keys[i]) != 0) {
            end_job(self, job, JOB_END_UNKNOWN, last_word(job, now));
        }
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
        join_trace(record, job);
    } else {
        struct job stranger = {0};
        if (derive_job(&stranger, deed->rule, deed->facts)) {
            link_to_parent(record);
            join_trace(record, &stranger);
        }
    }
    add_facts(record, deed->rule, deed->facts);
}

/* The deed's job, made known where its name allows; NULL: it is of no trace. */
static struct job *derived_job(const struct deed *deed)
{
    struct traceparent context;
    struct job *job = find_job(deed->key);
    if (job == NULL &&
        (is_identified(deed->rule, deed->facts) || find_context(deed->facts, &context))) {
        job = place_job(deed->key);
    }
    if (job != NULL) {
        derive_job(job, deed->rule, deed->facts);
    }
    return job != NULL && (job->is_derived || job->is_carried) ? job : NULL;
}

/* Pushed again: by who works on it, or a second time by who submitted it. The first submission has
   the span id that others know. */
static bool is_pushed_again(const struct deed *deed, const struct job *job)
{
    return job->was_submitted || job->was_claimed ||
           number_of(deed->facts->values[RULE_ATTEMPTS]) > 0;
}

static void push_again(const struct deed *deed, struct job *job)
{
    struct record *record = deed->record;
    bool in_work = is_in_work(job);
    /* A pool says by other words that this is a retry. */
    bool is_pool = (queue_of(deed->rule)->flags & RULE_QUEUE_POOL) != 0;
    uint32_t ended = number_of(deed->facts->values[RULE_ATTEMPTS]);
    bool is_retry = !is_pool && (in_work || ended > 0);
    link_to_parent(record);
    join_trace(record, job);
    record->redis.job_action = is_retry ? JOB_ACTION_RETRY : JOB_ACTION_REQUEUE;
    add_facts(record, deed->rule, deed->facts);
    const struct record *attempt = in_work ? exchange_record(job->slot) : NULL;
    if (!in_work) {
        tell_outcome(deed->key, NULL, JOB_END_RETRIED, ended, begun_at(deed), deed->facts);
    } else if (attempt == NULL || ended == 0 || attempt->job.attempt == 0 ||
               attempt->job.attempt == ended) {
        end_job(deed->passage->self, job, JOB_END_RETRIED, begun_at(deed));
    }
}

/* Where a job is made: the context that it carries is that of its maker. */
static void take_producers_place(struct record *record, const struct job *job)
{
    link_to_parent(record);
    memcpy(record->trace_id, job->trace_id, sizeof record->trace_id);
    memset(record->parent_span_id, 0, sizeof record->parent_span_id);
    record->parent_source = PARENT_NONE;
    record->trace_flags = job->trace_flags;
    if (job->is_carried) {
        memcpy(record->parent_span_id, job->parent_id, sizeof record->parent_span_id);
        record->parent_source = PARENT_CONTENT;
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
        add_facts(record, deed->rule, deed->facts);
        return;
    }
    if (is_pushed_again(deed, job)) {
        push_again(deed, job);
        return;
    }
    job->is_submitted = true;
    job->was_submitted = true;
    take_producers_place(record, job);
    if (job->is_derived) {
        memcpy(record->span_id, job->submit_id, sizeof record->span_id);
    }
    if (!is_none(job->save_id)) {
        add_link(record, job->trace_id, job->save_id);
        memset(job->save_id, 0, sizeof job->save_id);
    }
    add_facts(record, deed->rule, deed->facts);
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
        take_producers_place(record, job);
        if (job->is_submitted && job->is_derived) {
            memcpy(record->parent_span_id, job->submit_id, sizeof record->parent_span_id);
            record->parent_source = PARENT_CONTENT;
        } else {
            memcpy(job->save_id, record->span_id, sizeof job->save_id);
        }
    }
    add_facts(record, deed->rule, deed->facts);
}

/* A blocking thread that claims has done with what it claimed before. */
static void end_before(const struct deed *deed)
{
    struct thread_state *self = deed->passage->self;
    bool is_in_loop = self->runs_a_loop || self->inner_epoll != 0;
    if (is_in_loop && (queue_of(deed->rule)->flags & RULE_QUEUE_SERIAL) == 0) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        struct job *job = &jobs_table.jobs[i];
        if (jobs_table.keys[i] != 0 && job->owner == self && is_in_work(job) &&
            job->queue == deed->rule->queue) {
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
    return deed->passage->now > begun ? deed->passage->now - begun : 0;
}

static void open_job(const struct deed *deed, struct job *job)
{
    struct thread_state *self = deed->passage->self;
    job->slot = exchange_begin(self, deed->passage->connection, RECORD_JOB, deed->passage->now);
    struct record *record = exchange_record(job->slot);
    if (record == NULL) {
        return;
    }
    join_trace(record, job);
    memcpy(job->span_id, record->span_id, sizeof job->span_id);
    record->job.attempt = 0;
    record->job.empty_polls = jobs_table.empty_polls;
    record->job.empty_poll_us = microseconds(jobs_table.empty_poll_ns);
    jobs_table.empty_polls = 0;
    jobs_table.empty_poll_ns = 0;
    set_numbers(record, deed->facts);
    add_facts(record, deed->rule, deed->facts);
    bool forks = (queue_of(deed->rule)->flags & RULE_QUEUE_FORKS) != 0;
    if (!is_of_pool(job)) {
        trace_context_enter_job(self, record, ends_of(job), forks);
    }
    if (unlikely(witness != NULL)) {
        trace_context_tell_claim(record, deed->passage->connection, ends_of(job),
                                 rules_text(jobs_rules, queue_of(deed->rule)->name), deed->facts);
    }
    if (forks || is_of_pool(job)) {
        prepare_outcome(key_in_table(job), record);
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
    uint32_t before = number_of(deed->facts->values[RULE_ATTEMPTS]);
    bool is_later = record != NULL && record->job.attempt != 0 && before >= record->job.attempt;
    return is_later ? JOB_END_RETRIED : JOB_END_UNKNOWN;
}

static bool claim(const struct deed *deed)
{
    struct record *exchange = deed->record;
    settle_all(deed->passage->self, deed->passage->now);
    if ((queue_of(deed->rule)->flags & RULE_QUEUE_POOL) != 0) {
        collect_ends(deed->passage->self, deed->passage->now);
    } else {
        end_before(deed);
    }
    if (deed->facts->values[RULE_ID].size == 0 && !deed->is_anonymous) {
        jobs_table.empty_polls += !deed->rule->is_next;
        jobs_table.empty_poll_ns += time_of(deed);
        return false;
    }
    struct job *job = find_job(deed->key);
    if (job != NULL && is_in_work(job)) {
        end_job(deed->passage->self, job, end_by_next(deed, job), deed->passage->now);
    }
    if (job != NULL && job->is_awaited) {
        settle(deed->passage->self, job);
    }
    job = place_job(deed->key);
    if (job == NULL) {
        exchange_count_loss(LOSS_ABANDONED);
        return true;
    }
    job->queue = deed->rule->queue;
    job->is_derived = false;
    job->is_carried = false;
    if (derive_job(job, deed->rule, deed->facts)) {
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
    if (!derive_job(job, deed->rule, deed->facts)) {
        return;
    }
    add_link(record, before, job->claim_id);
    join_trace(record, job);
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
    struct job *job = find_job(deed->key);
    struct record *record = job != NULL && is_in_work(job) ? exchange_record(job->slot) : NULL;
    if (record != NULL) {
        move_job(deed, job, record);
        set_numbers(record, deed->facts);
        add_facts(record, deed->rule, deed->facts);
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
    for (uint32_t i = 0; i < LIMIT_JOBS && deed->facts->values[RULE_ID].data == NULL; i++) {
        struct job *job = &jobs_table.jobs[i];
        bool is_of_queue = jobs_table.keys[i] != 0 && job->queue == deed->rule->queue;
        struct record *each = is_of_queue && is_in_work(job) ? exchange_record(job->slot) : NULL;
        if (each != NULL) {
            count_folded(deed, each);
        }
    }
}

/* The queue has done with the job, whether or not its worker has. */
static void acknowledge(const struct deed *deed)
{
    uint64_t tag = hash_of(deed->facts->values[RULE_TAG]);
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        struct job *job = &jobs_table.jobs[i];
        bool is_it = jobs_table.keys[i] != 0 && job->tag == tag && is_in_work(job);
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
            add_facts(record, deed->rule, deed->facts);
            settle(deed->passage->self, job);
        }
    } else if (has_words && (job == NULL || !is_in_work(job))) {
        struct outcome *place = find_outcome(deed->key);
        if (place != NULL) {
            write_words(place, deed->facts);
        }
    }
}

/* Another process claimed the job, and this one begins to work on it. */
static void tell_start(const struct deed *deed)
{
    struct slice started = deed->facts->values[RULE_STARTED];
    struct outcome *place = started.size > 0 ? find_outcome(deed->key) : NULL;
    if (place != NULL) {
        enum rule_unit unit = (enum rule_unit)deed->facts->units[RULE_STARTED];
        atomic_store_explicit(&place->started_ns, rules_time(started, unit), memory_order_relaxed);
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
    struct job *job = find_job(deed->key);
    bool in_work = job != NULL && is_in_work(job);
    struct record *record = in_work ? exchange_record(job->slot) : NULL;
    if (deed->rule->needs_claim && !in_work) {
        return true;
    }
    if (is_end(action, &end)) {
        describe(deed, job);
        note_end(deed->rule->queue);
        /* The next attempt of a pool may be in work before it is said that this one is over: that
           it was pushed again has said so. */
        if (action == RULE_RETRY && (queue_of(deed->rule)->flags & RULE_QUEUE_POOL) != 0) {
            return true;
        }
        if (in_work) {
            tell_more(deed);
            end_job(self, job, end, begun_at(deed));
        } else {
            tell_outcome(deed->key, job, end, 0, begun_at(deed), deed->facts);
        }
        return true;
    }
    if (action == RULE_READ || action == RULE_START || action == RULE_PROGRESS) {
        bool is_root = deed->record != NULL && is_none(deed->record->parent_span_id);
        tell_more(deed);
        if (action == RULE_START && !in_work) {
            tell_start(deed);
        }
        if (is_root && in_work) {
            join_trace(deed->record, job);
        }
        if (record != NULL && action == RULE_PROGRESS) {
            record->job.progress_count++;
            record->job.progress_ns = deed->passage->now;
            record->job.percent = (uint8_t)number_of(deed->facts->values[RULE_PROGRESS_VALUE]);
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
        if (__atomic_load_n(&jobs_table.lists[i], __ATOMIC_RELAXED) == list) {
            return true;
        }
    }
    return false;
}

static void note_list(uint64_t list)
{
    if (!is_known_list(list)) {
        __atomic_store_n(&jobs_table.lists[jobs_table.next_list++ % KNOWN_LISTS], list,
                         __ATOMIC_RELAXED);
    }
}

/* ---- tracebacks that are packed ---- */

static uint8_t digit_of_base64(uint8_t byte)
{
    return (uint8_t)((uint8_t)(byte - 'A') < 26   ? byte - 'A'
                     : (uint8_t)(byte - 'a') < 26 ? byte - 'a' + 26
                     : (uint8_t)(byte - '0') < 10 ? byte - '0' + 52
                     : byte == '+'                ? 62
                     : byte == '/'                ? 63
                                                  : 64);
}

static size_t decode_base64(struct slice text, uint8_t *bytes)
{
    uint32_t bits = 0;
    uint32_t held = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = digit_of_base64(text.data[i]);
        if (digit > 63) {
            break;
        }
        held = held << 6 | digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[size++] = (uint8_t)(held >> bits);
        }
    }
    return size;
}

/* The last line of a traceback is the failure's type and text. */
static void find_error(struct slice stack, struct rule_facts *facts)
{
    while (stack.size > 0 && stack.data[stack.size - 1] == '\n') {
        stack.size--;
    }
    size_t at = stack.size;
    while (at > 0 && stack.data[at - 1] != '\n') {
        at--;
    }
    struct slice line = slice_of(stack.data + at, stack.size - at);
    size_t name = 0;
    while (name < line.size && (line.data[name] == '_' || line.data[name] == '.' ||
                                digit_of_base64(line.data[name]) < 62)) {
        name++;
    }
    bool has_text = name + 2 < line.size && line.data[name] == ':';
    if (at == 0 || name == 0 || (!has_text && name != line.size)) {
        return; /* a text of several lines, or no traceback at all */
    }
    facts->values[RULE_ERROR_TYPE] = slice_of(line.data, name);
    if (has_text) {
        facts->values[RULE_ERROR] = slice_of(line.data + name + 2, line.size - name - 2);
    }
}

/* In the capture, where what was kept last is decoded in place and unpacked behind that. What was
   cut is not told of: its end, which matters, is not there. */
static SLOW void unpack(struct rule_capture *capture, struct rule_facts *facts)
{
    struct slice packed = facts->values[RULE_STACK];
    uint8_t *bytes = (uint8_t *)(uintptr_t)packed.data;
    struct inflater inflater = {0};
    struct slice out;
    facts->values[RULE_STACK] = slice_of(NULL, 0);
    if (packed.size >= LIMIT_RULE_PACKED ||
        bytes + packed.size != capture->text + capture->text_used ||
        !inflater_begin(&inflater, INFLATE_ZLIB)) {
        return;
    }
    struct slice in = slice_of(bytes, decode_base64(packed, bytes));
    uint8_t *room = bytes + in.size;
    size_t limit = (size_t)(capture->text + RULE_CAPTURE_TEXT - room);
    limit = limit < LIMIT_RULE_STACK ? limit : LIMIT_RULE_STACK;
    size_t used = 0;
    enum inflater_event event;
    while ((event = inflater_next(&inflater, &in, &out)) == INFLATER_DATA) {
        if (out.size >= limit) {
            memcpy(room, out.data + out.size - limit, limit);
            used = limit;
            continue;
        }
        size_t over = used + out.size > limit ? used + out.size - limit : 0;
        memmove(room, room + over, used - over);
        memcpy(room + used - over, out.data, out.size);
        used += out.size - over;
    }
    inflater_end(&inflater);
    if (event == INFLATER_NEED_MORE && used > 0) {
        facts->values[RULE_STACK] = slice_of(room, used);
        find_error(facts->values[RULE_STACK], facts);
    }
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
        unpack(capture, &facts);
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
        .key = key_of(rule, &facts),
    };
    if (!holds && rule->is_tentative && !is_nothing) {
        rules_keys(jobs_rules, capture, number, &facts);
        trace_context_draw(passage->self, (uint8_t *)&deed.key);
        deed.is_anonymous = true;
    }
    if (lock_table()) {
        if (holds && rule->is_tentative) {
            note_list(list);
        }
        stays = act_locked(&deed);
        tell_sole();
        unlock_table();
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
    if (!lock_table()) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        struct job *job = &jobs_table.jobs[i];
        bool in_work = jobs_table.keys[i] != 0 && is_in_work(job);
        struct record *record = in_work ? exchange_record(job->slot) : NULL;
        if (jobs_table.keys[i] != 0 && job->is_awaited) {
            settle(self, job);
        }
        if (record == NULL) {
            continue;
        }
        if (cause == 0) {
            end_job(self, job, JOB_END_UNKNOWN, last_word(job, now));
        } else {
            uint16_t slot = job->slot;
            job->slot = SEGMENT_NO_SLOT;
            exchange_complete(self, slot, now, RECORD_ERROR_ABORTED, cause);
        }
    }
    unlock_table();
}
