#include "app_thread/trace_context.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/candidates.h"
#include "app_thread/carried.h"
#include "app_thread/clock.h"
#include "app_thread/turn.h"
#include "app_thread/witness.h"
#include "base/compiler.h"

__thread struct thread_state thread_state __attribute__((tls_model("initial-exec")));

const struct witness *witness;

/* The only job in work: written by who holds the table of jobs. */
static struct {
    _Atomic uint32_t version; /* odd while it is written */
    _Atomic bool is_set;
    _Atomic bool serves; /* this process has served a request: its loop has other causes */
    uint32_t epoch;
    struct thread_context work; /* ids and flags alone */
} sole_job;

/* What the process was started for. */
static struct {
    _Atomic bool is_set;
    uint8_t trace_flags;
    bool is_of_job;
    _Atomic uint32_t spans;
    uint32_t carried; /* 0: nothing */
    uint64_t began_ns;
    uint8_t trace_id[16];
    uint8_t span_id[8];
} ambient;

/* A strong 64-bit mixer (two rounds of multiply and shift-xor, constants of the splitmix family):
   ids need to be unlike each other, not secret. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

static SLOW void draw_key(struct thread_state *self)
{
    if (self->random_key != 0 && attachment_is_of_process(self->random_epoch)) {
        self->random_epoch = attachment_epoch(); /* only the segment was replaced */
        return;
    }
    /* Threads differ by their own address and by the order in which they came, processes by the
       seed, which came from the kernel. */
    trace_context_forget(self);
    self->context.is_known = self->context.is_for_child && self->random_key != 0;
    self->context.is_for_child = false;
    uint64_t order = atomic_fetch_add_explicit(&attachment->next_ring, 1, memory_order_relaxed);
    self->ring = (uint32_t)order;
    self->slot_cursor = (uint32_t)order * 256u;
    self->random_epoch = attachment_epoch();
    self->random_key = mix(attachment->random_seed + mix((uintptr_t)self) + order) | 1;
}

/* `count` numbers of the thread's sequence are the caller's: the first is returned. */
static inline uint64_t take_numbers(struct thread_state *self, uint64_t count)
{
    if (unlikely(self->random_key == 0 || self->random_epoch != attachment_epoch())) {
        draw_key(self);
    }
#if defined(__x86_64__)
    /* One instruction, so that no signal handler comes in between; no other thread adds to this
       counter, so that it needs no lock, which would cost ten times as much. */
    __asm__("xaddq %0, %1" : "+r"(count), "+m"(self->random_counter) : : "cc");
    return count;
#else
    return __atomic_fetch_add(&self->random_counter, count, __ATOMIC_RELAXED);
#endif
}

static inline uint64_t random_of(const struct thread_state *self, uint64_t number)
{
    return mix(self->random_key + number * 0x9e3779b97f4a7c15ull);
}

/* Identifiers of zeros mean that there is none. */
static inline uint64_t not_zero(uint64_t value)
{
    return likely(value != 0) ? value : 1;
}

void trace_context_draw(struct thread_state *self, uint8_t bytes[8])
{
    uint64_t value = not_zero(random_of(self, take_numbers(self, 1)));
    memcpy(bytes, &value, sizeof(value));
}

/* Consistent probability sampling: the trace id's last 7 bytes against the threshold. */
static inline bool is_sampled(const uint8_t trace_id[16])
{
    uint64_t last;
    memcpy(&last, trace_id + 8, sizeof(last));
    return (__builtin_bswap64(last) & 0x00ffffffffffffffull) >= attachment_sampling_threshold;
}

static inline void begin_root(struct thread_state *self, struct record *record)
{
    uint64_t number = take_numbers(self, 3);
    uint64_t ids[3] = {random_of(self, number), not_zero(random_of(self, number + 1)),
                       not_zero(random_of(self, number + 2))};
    memcpy(record->trace_id, ids, sizeof(record->trace_id));
    memcpy(record->span_id, &ids[2], sizeof(record->span_id));
    record->trace_flags = is_sampled(record->trace_id) ? 3 : 2; /* 1: sampled, 2: random */
}

void trace_context_begin_server(struct thread_state *self, struct record *record)
{
    if (unlikely(!atomic_load_explicit(&sole_job.serves, memory_order_relaxed))) {
        atomic_store_explicit(&sole_job.serves, true, memory_order_relaxed);
    }
    begin_root(self, record);
}

static void become_child(struct record *record, const struct thread_context *work)
{
    memcpy(record->trace_id, work->trace_id, sizeof(record->trace_id));
    memcpy(record->parent_span_id, work->span_id, sizeof(record->parent_span_id));
    record->trace_flags = work->trace_flags;
    record->parent_source = PARENT_CAUSAL;
    record->flags |= (uint16_t)(work->is_of_job * RECORD_FLAG_FOR_JOB);
    if (unlikely(work->is_of_message)) {
        record->parent_source = PARENT_CONTENT;
        record->flags |= RECORD_FLAG_REMOTE_PARENT;
    }
}

/* That is what it was made. */
static bool is_child_of_work(const struct record *record)
{
    return record->parent_source == PARENT_CAUSAL ||
           (record->parent_source == PARENT_CONTENT &&
            (record->flags & RECORD_FLAG_REMOTE_PARENT) != 0);
}

/* Neither too old nor too large. */
static bool is_in_bounds(struct thread_context *context, uint64_t now)
{
    if (unlikely(context->spans >= attachment_context_spans ||
                 now > context->began_ns + attachment_context_age_ns)) {
        context->is_known = false;
    }
    return context->is_known;
}

void trace_context_set_sole(const struct record *job)
{
    uint32_t version = atomic_load_explicit(&sole_job.version, memory_order_relaxed);
    atomic_store_explicit(&sole_job.version, version | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* pairs with the fence in get_sole */
    if (job != NULL) {
        memcpy(sole_job.work.trace_id, job->trace_id, sizeof(job->trace_id));
        memcpy(sole_job.work.span_id, job->span_id, sizeof(job->span_id));
        sole_job.work.trace_flags = job->trace_flags;
        sole_job.work.is_of_job = true;
        sole_job.epoch = attachment_epoch();
    }
    atomic_store_explicit(&sole_job.is_set, job != NULL, memory_order_relaxed);
    /* release: pairs with the acquire in get_sole */
    atomic_store_explicit(&sole_job.version, (version | 1) + 1, memory_order_release);
}

/* The sole job, if it is whose work this thread does. */
static SLOW bool get_sole(const struct thread_state *self, struct thread_context *work)
{
    if (!self->runs_a_loop || atomic_load_explicit(&sole_job.serves, memory_order_relaxed) ||
        (witness != NULL && witness->tells_jobs())) {
        return false;
    }
    uint32_t version = atomic_load_explicit(&sole_job.version, memory_order_acquire);
    *work = sole_job.work;
    bool is_ours = attachment_is_of_process(sole_job.epoch);
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in trace_context_set_sole */
    return (version & 1) == 0 && is_ours &&
           atomic_load_explicit(&sole_job.version, memory_order_relaxed) == version;
}

static SLOW void begin_below_sole(struct thread_state *self, struct record *record)
{
    struct thread_context work;
    if (get_sole(self, &work)) {
        become_child(record, &work);
    }
}

void trace_context_set_ambient(struct slice traceparent, struct slice tracestate,
                               struct slice baggage, bool is_of_job, uint64_t now)
{
    struct traceparent parent;
    struct record record = {0};
    if (!traceparent_parse(traceparent, &parent)) {
        return;
    }
    trace_context_adopt(&record, &parent, true);
    memcpy(ambient.trace_id, parent.trace_id, sizeof(ambient.trace_id));
    memcpy(ambient.span_id, parent.parent_id, sizeof(ambient.span_id));
    ambient.trace_flags = record.trace_flags;
    ambient.is_of_job = is_of_job;
    ambient.began_ns = now;
    ambient.carried = carried_for_good(tracestate, baggage);
    atomic_store_explicit(&ambient.is_set, true, memory_order_release);
}

/* Who serves requests works for them. */
static SLOW void begin_below_ambient(struct record *record, uint64_t now)
{
    if (atomic_load_explicit(&sole_job.serves, memory_order_relaxed) ||
        now > ambient.began_ns + attachment_context_age_ns ||
        atomic_fetch_add_explicit(&ambient.spans, 1, memory_order_relaxed) >=
            attachment_context_spans) {
        atomic_store_explicit(&ambient.is_set, false, memory_order_relaxed);
        return;
    }
    memcpy(record->trace_id, ambient.trace_id, sizeof(record->trace_id));
    memcpy(record->parent_span_id, ambient.span_id, sizeof(record->parent_span_id));
    record->trace_flags = ambient.trace_flags;
    record->parent_source = PARENT_AMBIENT;
    record->flags |= RECORD_FLAG_REMOTE_PARENT;
    record->flags |= (uint16_t)(ambient.is_of_job * RECORD_FLAG_FOR_JOB);
}

/* That is being served in this process. */
static bool is_only_request(void)
{
    return attachment != NULL &&
           atomic_load_explicit(&attachment->sole.open, memory_order_relaxed) <= 1;
}

/* Requests are passed from thread to thread. */
static SLOW void doubt_readers(void)
{
    if (attachment == NULL) {
        return;
    }
    atomic_store_explicit(&attachment->readers, -LIMIT_READERS_DOUBTED, memory_order_relaxed);
}

void trace_context_answers(struct thread_state *self, const struct connection *connection)
{
    if (self->runs_a_loop || attachment == NULL) {
        return;
    }
    if (unlikely(self->context.connection != connection->serial)) {
        doubt_readers();
    } else if (unlikely(atomic_load_explicit(&attachment->readers, memory_order_relaxed) <
                        LIMIT_READERS_SHOWN)) {
        atomic_fetch_add_explicit(&attachment->readers, 1, memory_order_relaxed);
    }
}

/* Whether what a blocking thread does is for the request that it has read, and not for another that
   it was handed since. */
static bool is_certain(const struct thread_context *context)
{
    return witness != NULL || context->is_of_job || context->is_of_message || context->is_lent ||
           atomic_load_explicit(&attachment->readers, memory_order_relaxed) >=
               LIMIT_READERS_SHOWN ||
           is_only_request();
}

bool trace_context_is_undivided(const struct thread_state *self)
{
    const struct thread_context *context = &self->context;
    return trace_context_is_current(context) && attachment != NULL && !context->is_of_job &&
           !context->is_of_message &&
           (is_only_request() || atomic_load_explicit(&attachment->readers, memory_order_relaxed) >=
                                     LIMIT_READERS_SHOWN);
}

/* It calls, and not for what it has read last, which is answered: it was handed what it does. */
static SLOW void call_by_server(const struct thread_state *self)
{
    const struct thread_context *context = &self->context;
    if (witness == NULL && !self->runs_a_loop && !context->is_of_job && !context->is_lent &&
        atomic_load_explicit(context->answers, memory_order_relaxed) != context->answered &&
        atomic_load_explicit(&attachment->sole.open, memory_order_relaxed) != 0) {
        doubt_readers();
    }
}

/* Returns the context of which the record is a child now; it has not been counted there. */
static inline struct thread_context *give_ids(struct thread_state *self, struct record *record,
                                              uint64_t now)
{
    struct thread_context *context = &self->context;
    if (likely(!trace_context_is_current(context)) || !is_in_bounds(context, now) ||
        (self->runs_a_loop ? !turn_is_own(self, clock_now_ns()) : !is_certain(context))) {
        begin_root(self, record);
        if (unlikely(self->serves)) {
            call_by_server(self);
        }
        if (unlikely(atomic_load_explicit(&sole_job.is_set, memory_order_relaxed))) {
            begin_below_sole(self, record);
        } else if (unlikely(atomic_load_explicit(&ambient.is_set, memory_order_relaxed))) {
            begin_below_ambient(record, now);
        }
        return NULL;
    }
    /* Drawing notices that this is the child of a fork, whose context is the parent's. */
    trace_context_draw(self, record->span_id);
    if (unlikely(!context->is_known)) {
        begin_root(self, record);
        return NULL;
    }
    become_child(record, context);
    return context;
}

/* What goes with a context, for what it is the parent of. */
static inline uint32_t carried_by(uint8_t parent_source, const struct thread_context *work)
{
    if (work != NULL) {
        return work->carried;
    }
    return unlikely(parent_source == PARENT_AMBIENT) ? ambient.carried : 0;
}

static inline void tell_carried(struct record *record, uint32_t carried)
{
    if (unlikely(carried != 0)) {
        carried_tell(record, carried);
    }
}

void trace_context_begin_client(struct thread_state *self, struct record *record, uint64_t now)
{
    struct thread_context *work = give_ids(self, record, now);
    tell_carried(record, carried_by(record->parent_source, work));
    if (work != NULL) {
        work->spans++;
    }
}

/* `work` is the witness's: the bounds are its request's. */
static struct thread_context *take_witness(struct record *record, struct thread_context *work)
{
    if (work != NULL && record->parent_source == PARENT_NONE && trace_context_is_current(work) &&
        is_in_bounds(work, record->start_ns)) {
        become_child(record, work);
        return work;
    }
    return NULL;
}

void trace_context_plan_http(struct thread_state *self, struct trace_identity *identity,
                             struct slice method, struct slice target, uint64_t now)
{
    struct record record;
    /* What follows the head of a record is not looked at. */
    memset(&record, 0, offsetof(struct record, end_ns));
    record.start_ns = now;
    identity->work = give_ids(self, &record, now);
    if (unlikely(witness != NULL) && record.parent_source == PARENT_NONE) {
        identity->work = take_witness(&record, witness->cause_of_http(method, target, 0));
    }
    memcpy(identity->trace_id, record.trace_id, sizeof(identity->trace_id));
    memcpy(identity->span_id, record.span_id, sizeof(identity->span_id));
    memcpy(identity->parent_span_id, record.parent_span_id, sizeof(identity->parent_span_id));
    identity->trace_flags = record.trace_flags;
    identity->parent_source = record.parent_source;
    identity->record_flags = record.flags;
    identity->carried = carried_by(record.parent_source, identity->work);
}

void trace_context_fulfil(struct record *record, const struct trace_identity *identity)
{
    memcpy(record->trace_id, identity->trace_id, sizeof(record->trace_id));
    memcpy(record->span_id, identity->span_id, sizeof(record->span_id));
    memcpy(record->parent_span_id, identity->parent_span_id, sizeof(record->parent_span_id));
    record->trace_flags = identity->trace_flags;
    record->parent_source = identity->parent_source;
    record->flags |= identity->record_flags;
    tell_carried(record, identity->carried);
    if (identity->work != NULL) {
        identity->work->spans++;
    }
}

void trace_context_replace(struct record *record, const struct trace_identity *identity)
{
    record->flags &= (uint16_t) ~(RECORD_FLAG_FOR_JOB | RECORD_FLAG_REMOTE_PARENT);
    trace_context_fulfil(record, identity);
}

void trace_context_renew(struct thread_state *self, struct trace_identity *identity)
{
    struct record root;
    begin_root(self, &root);
    memcpy(identity->span_id, root.span_id, sizeof(identity->span_id));
    if (identity->parent_source == PARENT_NONE) {
        memcpy(identity->trace_id, root.trace_id, sizeof(identity->trace_id));
        identity->trace_flags = root.trace_flags;
    }
}

void trace_context_take_back(const struct trace_identity *identity)
{
    if (identity->work != NULL) {
        identity->work->spans--;
    }
}

static void become_witnessed(struct record *record, struct thread_context *work)
{
    if (unlikely(record == NULL)) {
        return;
    }
    bool is_given = take_witness(record, work) != NULL;
    if (is_given) {
        tell_carried(record, work->carried);
        work->spans++;
    }
    if (work != NULL && witness->gave != NULL && is_child_of_work(record) &&
        memcmp(record->parent_span_id, work->span_id, sizeof(work->span_id)) == 0) {
        witness->gave(record, is_given);
    }
}

void trace_context_ask_for_http(struct record *record, struct slice method, struct slice target)
{
    become_witnessed(record, witness->cause_of_http(method, target, record->start_ns));
}

void trace_context_ask_for_bytes(struct record *record, const struct connection *connection,
                                 uint64_t call_ns)
{
    become_witnessed(record, witness->cause_of_bytes(connection, call_ns));
}

void trace_context_pass_over(uint64_t call_ns)
{
    if (witness->pass_over != NULL) {
        witness->pass_over(call_ns);
    }
}

void trace_context_ask_for_command(struct record *record, const struct connection *connection,
                                   struct slice name, struct slice first, uint64_t call_ns)
{
    if (witness->cause_of_command != NULL) {
        become_witnessed(record, witness->cause_of_command(connection, name, first, call_ns));
    }
}

uint8_t trace_context_follow(const struct traceparent *parent)
{
    bool sampled = attachment_sampling_follows_parent ? (parent->flags & 1) != 0
                                                      : is_sampled(parent->trace_id);
    return (uint8_t)((parent->flags & 2) | sampled);
}

void trace_context_adopt(struct record *record, const struct traceparent *parent, bool is_remote)
{
    memcpy(record->trace_id, parent->trace_id, sizeof(record->trace_id));
    memcpy(record->parent_span_id, parent->parent_id, sizeof(record->parent_span_id));
    record->trace_flags = trace_context_follow(parent);
    record->parent_source = is_remote ? PARENT_REMOTE : PARENT_SDK;
    if (is_remote) {
        record->flags |= RECORD_FLAG_REMOTE_PARENT;
    }
}

void trace_context_disown(struct thread_state *self, struct record *record)
{
    begin_root(self, record);
    memset(record->parent_span_id, 0, sizeof(record->parent_span_id));
    record->parent_source = PARENT_NONE;
    record->flags &= (uint16_t)~RECORD_FLAG_REMOTE_PARENT;
}

/* It may have been the cause. */
static void link_to_candidate(struct record *record)
{
    record_add_candidate(record, record->trace_id, record->parent_span_id);
}

void trace_context_withdraw(struct thread_state *self, struct record *record,
                            const uint8_t span_id[8], bool is_out)
{
    if (memcmp(record->span_id, span_id, sizeof(record->span_id)) != 0 ||
        !is_child_of_work(record)) {
        return;
    }
    record_drop_field(record, FIELD_TRACESTATE);
    link_to_candidate(record);
    record->flags &= (uint16_t)~RECORD_FLAG_REMOTE_PARENT;
    if (is_out) {
        memset(record->parent_span_id, 0, sizeof(record->parent_span_id));
        record->parent_source = PARENT_NONE;
    } else {
        trace_context_disown(self, record);
    }
}

void trace_context_begin_below(struct thread_state *self, struct record *record,
                               const struct record *parent)
{
    memcpy(record->trace_id, parent->trace_id, sizeof(record->trace_id));
    memcpy(record->parent_span_id, parent->span_id, sizeof(record->parent_span_id));
    trace_context_draw(self, record->span_id);
    record->trace_flags = parent->trace_flags;
    record->parent_source = PARENT_CAUSAL;
    struct slice state = record_find_field(parent, FIELD_TRACESTATE);
    if (unlikely(state.size > 0)) {
        record_add_field(record, FIELD_TRACESTATE, state, LIMIT_TRACESTATE_TEXT);
    }
}

static void begin_context(struct thread_context *context, uint64_t began_ns, uint32_t connection,
                          const _Atomic uint32_t *answers)
{
    context->connection = connection;
    context->began_ns = began_ns;
    context->spans = 0;
    context->carried = 0;
    context->answers = answers;
    context->answered = atomic_load_explicit(answers, memory_order_relaxed);
    context->is_for_child = false;
    context->is_of_job = false;
    context->is_of_message = false;
    context->is_lent = false;
    context->is_known = true;
}

static void set_context(struct thread_context *context, const struct record *work,
                        uint32_t connection, const _Atomic uint32_t *answers)
{
    memcpy(context->trace_id, work->trace_id, sizeof(context->trace_id));
    memcpy(context->span_id, work->span_id, sizeof(context->span_id));
    context->trace_flags = work->trace_flags;
    begin_context(context, work->start_ns, connection, answers);
}

/* More work has come while a loop is there that was made for other work: it serves both, or will.
 */
static inline void leave_inner_loop(struct thread_state *self)
{
    if (unlikely(self->inner_epoll != 0)) {
        self->inner_epoll = 0;
        self->runs_a_loop = true;
        trace_context_forget(self);
    }
}

/* The thread has read that request, and it may turn out that nobody knows what it works for. */
static SLOW void note_candidate(struct thread_state *self, const struct record *server,
                                const _Atomic uint32_t *answers)
{
    struct thread_context work;
    set_context(&work, server, 0, answers);
    candidates_note(self, &work);
}

void trace_context_enter(struct thread_state *self, const struct record *server,
                         const struct connection *from, uint32_t carried)
{
    leave_inner_loop(self);
    struct thread_context *context = &self->context;
    uint32_t connection = from->serial;
    const _Atomic uint32_t *answers = &from->answers;
    if (unlikely(witness != NULL)) {
        struct thread_context work;
        set_context(&work, server, connection, answers);
        work.carried = carried;
        witness->request_read(&work, from->descriptor);
    }
    trace_context_give_back(self);
    context->is_known = trace_context_is_current(context);
    bool is_own_turn = (self->runs_a_loop || self->takes_turns) && turn_begins_request(self);
    if (self->runs_a_loop) {
        if (witness == NULL) {
            note_candidate(self, server, answers);
        }
        if (!is_own_turn) {
            return;
        }
    } else if (unlikely(context->is_ambiguous) && is_only_request()) {
        context->is_ambiguous = false; /* whatever there was is answered */
    } else if (unlikely(context->is_ambiguous)) {
        note_candidate(self, server, answers);
        return;
    }
    if (context->is_known && context->connection != connection) {
        /* A second request before the first is answered, and no wait in between. */
        candidates_note(self, context);
        note_candidate(self, server, answers);
        context->is_known = false;
        context->is_ambiguous = true;
        if (!self->takes_turns) {
            doubt_readers();
        }
        return;
    }
    if (context->is_known) {
        /* Pipelined on the same connection: the oldest unanswered one is current. */
        return;
    }
    set_context(context, server, connection, answers);
    context->carried = carried;
    self->serves = true;
}

bool trace_context_may_join(const struct thread_state *self)
{
    return !self->runs_a_loop && !self->context.is_ambiguous &&
           !trace_context_is_current(&self->context);
}

void trace_context_join(struct thread_state *self, const struct record *server,
                        const struct connection *from)
{
    if (trace_context_may_join(self)) {
        uint8_t number[8];
        trace_context_draw(self, number); /* a new thread's first makes it forget */
        set_context(&self->context, server, from->serial, &from->answers);
        self->serves = true;
    }
}

void trace_context_enter_message(struct thread_state *self, const struct traceparent *parent,
                                 const struct connection *from, uint64_t now)
{
    struct thread_context *context = &self->context;
    struct thread_context work;
    struct traceparent followed = *parent;
    followed.flags = trace_context_flags(parent->trace_id);
    memcpy(work.trace_id, parent->trace_id, sizeof(work.trace_id));
    memcpy(work.span_id, parent->parent_id, sizeof(work.span_id));
    work.trace_flags = trace_context_follow(&followed);
    begin_context(&work, now, from->serial, &from->answers);
    work.is_of_message = true;
    work.is_ambiguous = false;
    atomic_store_explicit(&sole_job.serves, true, memory_order_relaxed);
    if (unlikely(witness != NULL) && witness->message_read != NULL) {
        witness->message_read(&work, from->descriptor);
    }
    if (trace_context_is_current(context)) {
        return;
    }
    if (self->runs_a_loop ? turn_begins_message(self, from) : !context->is_ambiguous) {
        *context = work;
    }
}

uint8_t trace_context_flags(const uint8_t trace_id[16])
{
    return is_sampled(trace_id) ? 3 : 2;
}

void trace_context_enter_job(struct thread_state *self, const struct record *job,
                             const _Atomic uint32_t *ends, bool forks)
{
    struct thread_context *context = &self->context;
    trace_context_give_back(self);
    leave_inner_loop(self);
    if (self->runs_a_loop || trace_context_is_current(context)) {
        return;
    }
    set_context(context, job, 0, ends);
    context->is_known = !forks;
    context->is_of_job = true;
    context->is_ambiguous = false;
    context->is_for_child = forks;
}

void trace_context_tell_claim(const struct record *job, const struct connection *connection,
                              const _Atomic uint32_t *ends, struct slice system,
                              const struct rule_facts *facts)
{
    struct thread_context work;
    set_context(&work, job, 0, ends);
    work.is_of_job = true;
    work.is_ambiguous = false;
    witness->job_claimed(&work, connection, system, facts);
}

bool trace_context_lend(struct thread_state *self, struct thread_context *copy)
{
    struct thread_context *context = &self->context;
    uint64_t now = clock_now_ns();
    if (!trace_context_is_current(context) || !is_in_bounds(context, now) ||
        self->random_epoch != attachment_epoch() ||
        (self->runs_a_loop ? !turn_is_own(self, now) : !is_certain(context))) {
        return false;
    }
    *copy = *context;
    return true;
}

void trace_context_borrow(struct thread_state *self, const struct thread_context *work)
{
    /* In a process that has none yet, and a thread, the first number makes what was known
     * forgotten.
     */
    if (attachment_await_segment() == NULL) {
        return;
    }
    take_numbers(self, 1);
    if (self->runs_a_loop || trace_context_is_current(&self->context) ||
        !trace_context_is_current(work)) {
        return;
    }
    self->context = *work;
    self->context.is_lent = true;
}

void trace_context_leave(struct thread_state *self, uint32_t connection)
{
    if (self->context.connection == connection) {
        self->context.is_known = false;
    }
}

/* ---- programs that are started ---- */

static bool has_age_left(uint64_t began_ns, uint64_t now)
{
    return now <= began_ns + attachment_context_age_ns;
}

static void take_cause(struct child_cause *cause, const struct thread_context *work)
{
    memcpy(cause->trace_id, work->trace_id, sizeof(cause->trace_id));
    memcpy(cause->span_id, work->span_id, sizeof(cause->span_id));
    cause->trace_flags = work->trace_flags;
    cause->carried = work->carried;
    cause->is_of_job = work->is_of_job;
    cause->is_known = true;
}

/* `connection`: what is asked about is not a program, but what is sent there by a call that began
   now. A witness that may doubt its word afterwards is asked in the way that leaves no doubt. */
static const struct thread_context *ask_witness(const struct connection *connection, uint64_t now,
                                                struct thread_context *work)
{
    if (connection != NULL && witness->gave == NULL) {
        return witness->cause_of_bytes(connection, now);
    }
    return witness->cause_of_child(work) ? work : NULL;
}

static bool find_cause(struct thread_state *self, const struct connection *connection, uint64_t now,
                       struct child_cause *cause)
{
    const struct thread_context *context = &self->context;
    struct thread_context work;
    bool is_observed = attachment_epoch() != 0;
    memset(cause, 0, sizeof(*cause));
    /* After a fork it is the parent's. */
    if (trace_context_is_current(context) && attachment_is_of_process(self->random_epoch) &&
        has_age_left(context->began_ns, now) &&
        (self->runs_a_loop ? turn_is_own(self, now) : is_certain(context))) {
        take_cause(cause, context);
        if (unlikely(witness != NULL) && is_observed && connection == NULL) {
            (void)witness->cause_of_child(&work); /* so that it is prepared for the next one */
        }
    } else if (atomic_load_explicit(&sole_job.is_set, memory_order_relaxed)) {
        if (get_sole(self, &work)) {
            work.carried = 0;
            take_cause(cause, &work);
        }
    } else if (atomic_load_explicit(&ambient.is_set, memory_order_acquire) &&
               !atomic_load_explicit(&sole_job.serves, memory_order_relaxed) &&
               has_age_left(ambient.began_ns, now)) {
        memcpy(cause->trace_id, ambient.trace_id, sizeof(cause->trace_id));
        memcpy(cause->span_id, ambient.span_id, sizeof(cause->span_id));
        cause->trace_flags = ambient.trace_flags;
        cause->carried = ambient.carried;
        cause->is_of_job = ambient.is_of_job;
        cause->is_known = true;
        cause->is_ambient = true;
    }
    if (!cause->is_known && is_observed && witness != NULL) {
        const struct thread_context *found = ask_witness(connection, now, &work);
        if (found != NULL && trace_context_is_current(found) &&
            has_age_left(found->began_ns, now)) {
            take_cause(cause, found);
        }
    }
    return cause->is_known;
}

bool trace_context_of_child(struct thread_state *self, uint64_t now, struct child_cause *cause)
{
    if (attachment == NULL || !atomic_load_explicit(&attachment_is_on, memory_order_relaxed)) {
        return false;
    }
    if (self->child.is_known && !attachment_is_of_process(self->random_epoch)) {
        *cause = self->child;
        return true;
    }
    return find_cause(self, NULL, now, cause);
}

bool trace_context_of_bytes(struct thread_state *self, const struct connection *connection,
                            uint64_t call_ns, struct child_cause *cause)
{
    return find_cause(self, connection, call_ns, cause);
}

void trace_context_before_fork(struct thread_state *self)
{
    /* A child that forks again, before anything of it was observed, is what its parent was. */
    if (attachment == NULL || attachment_epoch() == 0) {
        return;
    }
    const struct thread_context *context = &self->context;
    if (!find_cause(self, NULL, clock_now_ns(), &self->child) && context->is_for_child &&
        atomic_load_explicit(context->answers, memory_order_relaxed) == context->answered) {
        take_cause(&self->child, context);
    }
}

void trace_context_after_fork(struct thread_state *self)
{
    self->child.is_known = false;
}

void trace_context_forget(struct thread_state *self)
{
    if (unlikely(trace_context_is_current(&self->context))) {
        candidates_note(self, &self->context);
    }
    self->context.is_known = false;
    self->context.is_ambiguous = false;
}
