#include "runtime/node_jobs.h"

#include "app_thread/trace_context.h"
#include "runtime/node_testimony.h"

/* ---- values that are kept ---- */

static napi_value referred(const struct testimony *self, napi_ref reference)
{
    napi_value value = NULL;
    return node.napi_get_reference_value(self->env, reference, &value) == 0 ? value : NULL;
}

static bool refers_to(const struct testimony *self, napi_ref reference, v8_local value)
{
    v8_local referent = referred(self, reference);
    return referent != NULL && node.is_same(referent, value);
}

static void release(struct testimony *self, napi_ref *reference)
{
    if (*reference != NULL) {
        node.napi_delete_reference(self->env, *reference);
        *reference = NULL;
    }
}

static void refer(struct testimony *self, napi_ref *reference, v8_local value)
{
    release(self, reference);
    if (node.napi_create_reference(self->env, value, 1, reference) != 0) {
        *reference = NULL;
    }
}

/* The object that the promise ended with, or NULL. */
static napi_value object_of(const struct testimony *self, napi_ref reference)
{
    napi_value promise = referred(self, reference);
    int type;
    if (promise == NULL || node.promise_state(promise) != PROMISE_FULFILLED) {
        return NULL;
    }
    napi_value value = node.promise_result(promise);
    bool is_object =
        value != NULL && node.napi_typeof(self->env, value, &type) == 0 && type == TYPE_OBJECT;
    return is_object ? value : NULL;
}

static void drop_handed(struct testimony *self, uint32_t at)
{
    struct node_jobs *jobs = &self->jobs;
    release(self, &jobs->handed[at]);
    testimony_drop(jobs->handed, &jobs->handed_count, at, sizeof(jobs->handed[0]));
}

static void forget_handed(struct testimony *self)
{
    while (self->jobs.handed_count > 0) {
        drop_handed(self, self->jobs.handed_count - 1);
    }
}

/* ---- jobs that were claimed ---- */

static bool is_source(const struct node_jobs *jobs, uint64_t source)
{
    for (uint32_t i = 0; i < LIMIT_WITNESS_SOURCES; i++) {
        if (jobs->sources[i] == source) {
            return true;
        }
    }
    return false;
}

static void add_source(struct node_jobs *jobs, uint64_t source)
{
    if (!is_source(jobs, source)) {
        jobs->sources[jobs->next_source++ % LIMIT_WITNESS_SOURCES] = source;
    }
}

static void drop_claimed(struct node_jobs *jobs, uint32_t at)
{
    testimony_drop(jobs->claimed, &jobs->claimed_count, at, sizeof(jobs->claimed[0]));
}

/* The worker's own turn went on for a job: what it begins later could not be told from that. */
static void disown_entered(struct testimony *self)
{
    struct node_jobs *jobs = &self->jobs;
    if (jobs->has_entered && jobs->entered != 0) {
        self->begun[jobs->entered % LIMIT_WITNESS_BEGUN].is_known = false;
    }
    jobs->has_entered = false;
}

/* A job was claimed that may be begun by a worker that does not say so. */
static bool must_watch(const struct node_jobs *jobs)
{
    for (uint32_t i = 0; i < jobs->claimed_count; i++) {
        if (!jobs->claimed[i].is_told) {
            return true;
        }
    }
    return false;
}

static void drop_untold(struct node_jobs *jobs)
{
    for (uint32_t i = jobs->claimed_count; i > 0; i--) {
        if (!jobs->claimed[i - 1].is_told) {
            drop_claimed(jobs, i - 1);
        }
    }
}

static void stop_watching(struct testimony *self)
{
    if (self->jobs.watches) {
        disown_entered(self);
        node.set_promise_hook(self->isolate, NULL);
        self->jobs.watches = false;
        forget_handed(self);
        release(self, &self->jobs.entering);
    }
}

/* The oldest was not begun by a worker that says so: by another one, or by other means. */
static void give_up_oldest(struct testimony *self)
{
    struct node_jobs *jobs = &self->jobs;
    drop_claimed(jobs, 0);
    jobs->watch_left = LIMIT_WITNESS_UNKNOWN;
    jobs->unbegun++;
    if (!must_watch(jobs)) {
        stop_watching(self);
    }
}

static bool has_ended(struct testimony *self, const struct node_claimed *job)
{
    struct thread_context *work = testimony_find(self, job->number);
    return work == NULL || !trace_context_is_current(work);
}

/* ---- what the script asks for ---- */

static napi_value number_value(napi_env env, uint32_t number)
{
    napi_value value = NULL;
    node.napi_create_uint32(env, number, &value);
    return value;
}

napi_value node_jobs_take(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value values[2];
    size_t count = 2;
    char queue[LIMIT_RULE_VALUE * 2];
    char id[LIMIT_RULE_VALUE + 1];
    size_t queue_size;
    size_t id_size;
    if (self == NULL || node.napi_get_cb_info(env, info, &count, values, NULL, NULL) != 0 ||
        node.napi_get_value_string_latin1(env, values[0], queue, sizeof(queue), &queue_size) != 0 ||
        node.napi_get_value_string_latin1(env, values[1], id, sizeof(id), &id_size) != 0) {
        return number_value(env, 0);
    }
    struct node_jobs *jobs = &self->jobs;
    uint64_t key = testimony_key(slice_of(queue, queue_size), slice_of(id, id_size));
    for (uint32_t i = 0; i < jobs->claimed_count; i++) {
        if (jobs->claimed[i].key == key) {
            jobs->entered = jobs->claimed[i].number;
            jobs->source = jobs->claimed[i].source;
            jobs->tells = true;
            jobs->unbegun = 0;
            drop_claimed(jobs, i);
            return number_value(env, jobs->entered);
        }
    }
    jobs->is_mistaken = true;
    return number_value(env, 0);
}

/* What runs from here on works for the job that is the value, or for nobody. False: no job. Where
   its worker is new, it is given a method that says so. */
static bool enter(struct testimony *self, napi_value value, bool is_new)
{
    napi_value function;
    napi_value receiver;
    napi_value result;
    bool is_job = false;
    if (node.napi_get_reference_value(self->env, self->enterer, &function) != 0 ||
        node.napi_get_undefined(self->env, &receiver) != 0) {
        return false;
    }
    /* Any value but undefined says that it is new. */
    const napi_value values[2] = {value != NULL ? value : receiver, value};
    if (node.napi_call_function(self->env, receiver, function, is_new ? 2 : 1, values, &result) !=
        0) {
        node.napi_get_and_clear_last_exception(self->env, &result);
    } else if (node.napi_get_value_bool(self->env, result, &is_job) != 0) {
        is_job = false;
    }
    return is_job;
}

/* ---- the method that workers are given ---- */

/* processJob has three arguments; whoever gives it more gets them through as well. */
#define PROCESS_ARGUMENTS 8

/* A job that is begun by a worker that says so is none that a loop has yet to begin. */
static void take_handed(struct testimony *self, napi_value job)
{
    for (uint32_t i = 0; i < self->jobs.handed_count; i++) {
        napi_value object = object_of(self, self->jobs.handed[i]);
        if (object != NULL && node.is_same(object, job)) {
            drop_handed(self, i);
            return;
        }
    }
}

/* A worker says which job it begins. False: it has said so already, in a method of a class that was
   derived, or it is none. */
static bool begin_told(struct testimony *self, napi_value job)
{
    struct node_jobs *jobs = &self->jobs;
    jobs->source = 0;
    if (job == NULL || jobs->working > 0 || jobs->has_entered || !enter(self, job, false)) {
        return false;
    }
    take_handed(self, job);
    if (jobs->source != 0) {
        add_source(jobs, jobs->source);
        for (uint32_t i = 0; i < jobs->claimed_count && jobs->watch_left == 0; i++) {
            jobs->claimed[i].is_told |= jobs->claimed[i].source == jobs->source;
        }
    }
    return true;
}

/* processJob(job, ...), as the worker's class does it, for the job. */
static napi_value process(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value receiver;
    napi_value values[PROCESS_ARGUMENTS];
    size_t count = PROCESS_ARGUMENTS;
    napi_value result = NULL;
    void *data;
    if (self == NULL || node.napi_get_cb_info(env, info, &count, values, &receiver, &data) != 0) {
        return NULL;
    }
    const napi_ref *kept = data;
    napi_value method = referred(self, *kept);
    count = count < PROCESS_ARGUMENTS ? count : PROCESS_ARGUMENTS;
    bool begins = begin_told(self, count > 0 ? values[0] : NULL);
    self->jobs.working++;
    int status = node.napi_call_function(env, receiver, method, count, values, &result);
    self->jobs.working--;
    napi_value exception = NULL;
    if (status != 0) {
        node.napi_get_and_clear_last_exception(env, &exception);
        result = NULL;
    }
    if (begins) {
        enter(self, NULL, false);
    }
    if (exception != NULL) {
        node.napi_throw(env, exception);
    }
    if (self->jobs.watches && !must_watch(&self->jobs)) {
        stop_watching(self);
    }
    return result;
}

/* Where that method is kept. NULL: there are too many. */
static napi_ref *find_method(struct testimony *self, napi_value method)
{
    struct node_jobs *jobs = &self->jobs;
    for (uint32_t i = 0; i < jobs->method_count; i++) {
        if (refers_to(self, jobs->methods[i], method)) {
            return &jobs->methods[i];
        }
    }
    if (jobs->method_count == LIMIT_WITNESS_WORKERS) {
        return NULL;
    }
    napi_ref *kept = &jobs->methods[jobs->method_count];
    *kept = NULL;
    refer(self, kept, method);
    jobs->method_count += *kept != NULL;
    return *kept != NULL ? kept : NULL;
}

napi_value node_jobs_own(napi_env env, napi_callback_info info)
{
    static const char name[] = "processJob";
    struct testimony *self = testimony;
    napi_value method;
    napi_value own = NULL;
    size_t count = 1;
    if (self == NULL || node.napi_get_cb_info(env, info, &count, &method, NULL, NULL) != 0) {
        return NULL;
    }
    napi_ref *kept = find_method(self, method);
    if (kept == NULL ||
        node.napi_create_function(env, name, sizeof(name) - 1, process, kept, &own) != 0) {
        return NULL;
    }
    add_source(&self->jobs, self->jobs.source);
    return own;
}

/* ---- a worker that is not known ---- */

/* The job that its loop begins: the one that was handed out first. */
static bool enter_handed(struct testimony *self)
{
    struct node_jobs *jobs = &self->jobs;
    bool is_job = false;
    while (jobs->handed_count > 0 && !is_job) {
        napi_value value = object_of(self, jobs->handed[0]);
        is_job = value != NULL && enter(self, value, true);
        drop_handed(self, 0);
    }
    return is_job;
}

static void begin_job(struct testimony *self, v8_local promise)
{
    struct node_jobs *jobs = &self->jobs;
    jobs->entered = 0;
    jobs->is_mistaken = false;
    if (!enter_handed(self)) {
        enter(self, NULL, false);
    }
    jobs->has_entered = true;
    refer(self, &jobs->entering, promise);
    if (jobs->is_mistaken || jobs->entering == NULL) {
        drop_untold(jobs);
        stop_watching(self);
    }
}

/* The worker calls, in its loop, what begins a job; no other code of the program's is running. */
#define LOOP_FRAMES 6

static bool is_in_loop(const struct testimony *self)
{
    int count;
    v8_local trace = testimony_stack(self, LOOP_FRAMES + 1, &count);
    if (count < 2 || count > LOOP_FRAMES) {
        return false;
    }
    /* Node's own function that runs what is due may be the last. */
    uint32_t last = (uint32_t)count - 1;
    last -= testimony_is_named(self, trace, last, SLICE("processTicksAndRejections"));
    return testimony_is_named(self, trace, last, SLICE("mainLoop")) ||
           testimony_is_named(self, trace, last, SLICE("run"));
}

static bool is_called(const struct testimony *self, struct slice name)
{
    int count;
    v8_local trace = testimony_stack(self, 1, &count);
    return count > 0 && testimony_is_named(self, trace, 0, name);
}

static void promise_made(struct testimony *self, v8_local promise, v8_local parent)
{
    struct node_jobs *jobs = &self->jobs;
    bool is_calls = node.is_undefined(parent); /* not made of another promise */
    if (jobs->working > 0) {
        return; /* it says itself what it does */
    }
    if (jobs->has_entered) {
        if (!is_calls && refers_to(self, jobs->entering, parent)) {
            /* The worker has begun the job, and notes it in its queue: it goes on for itself. */
            jobs->has_entered = false;
            enter(self, NULL, false);
        }
    } else if (is_calls && is_called(self, SLICE("processJob")) && is_in_loop(self)) {
        begin_job(self, promise);
    }
}

static void promise_resolved(struct testimony *self, v8_local promise)
{
    struct node_jobs *jobs = &self->jobs;
    if (!is_called(self, SLICE("fetch"))) {
        return;
    }
    if (jobs->handed_count == LIMIT_WITNESS_HANDED) {
        drop_untold(jobs); /* which is the next one would not be known */
        stop_watching(self);
    } else {
        napi_ref *handed = &jobs->handed[jobs->handed_count];
        *handed = NULL;
        refer(self, handed, promise);
        jobs->handed_count += *handed != NULL;
    }
}

/* Some promise's turn begins, or ends. */
static void turn_is_over(struct testimony *self)
{
    disown_entered(self);
    if (!must_watch(&self->jobs)) {
        stop_watching(self);
    }
}

static void promise_event(int event, v8_local promise, v8_local parent)
{
    struct testimony *self = testimony;
    napi_handle_scope scope;
    if (self == NULL || !self->jobs.watches ||
        node.napi_open_handle_scope(self->env, &scope) != 0) {
        return;
    }
    self->jobs.events++;
    if (event == PROMISE_MADE) {
        promise_made(self, promise, parent);
    } else if (event == PROMISE_RESOLVED) {
        promise_resolved(self, promise);
    } else {
        turn_is_over(self);
    }
    if (self->jobs.claimed_count > 0 && self->jobs.events >= self->jobs.claimed[0].until) {
        give_up_oldest(self);
    }
    node.napi_close_handle_scope(self->env, scope);
}

static void watch(struct testimony *self)
{
    struct node_jobs *jobs = &self->jobs;
    napi_handle_scope scope;
    if (node.napi_open_handle_scope(self->env, &scope) != 0) {
        jobs->claimed_count = 0;
        return;
    }
    /* Between turns: what was handed out before is taken, or never will be. */
    disown_entered(self);
    forget_handed(self);
    node.napi_close_handle_scope(self->env, scope);
    if (!jobs->watches) {
        node.set_promise_hook(self->isolate, promise_event);
        jobs->watches = true;
    }
}

/* ---- claims ---- */

static struct slice key_of_queue(const struct rule_facts *facts, uint8_t *room)
{
    struct slice prefix = facts->values[RULE_PREFIX];
    struct slice name = facts->values[RULE_QUEUE];
    if (prefix.size > LIMIT_RULE_VALUE || name.size > LIMIT_RULE_VALUE) {
        return slice_of(NULL, 0);
    }
    memcpy(room, prefix.data, prefix.size);
    room[prefix.size] = ':';
    memcpy(room + prefix.size + 1, name.data, name.size);
    return slice_of(room, prefix.size + 1 + name.size);
}

void node_jobs_claimed(struct testimony *self, const struct thread_context *work,
                       const struct connection *connection, const struct rule_facts *facts)
{
    uint8_t room[2 * LIMIT_RULE_VALUE + 1];
    struct node_jobs *jobs = &self->jobs;
    if (jobs->unbegun == LIMIT_WITNESS_UNBEGUN_JOBS) {
        return;
    }
    struct slice queue = key_of_queue(facts, room);
    uint64_t key = testimony_key(queue, facts->values[RULE_ID]);
    uint32_t place = 0;
    while (place < jobs->claimed_count && jobs->claimed[place].key != key) {
        place++;
    }
    if (place < jobs->claimed_count || place == LIMIT_WITNESS_CLAIMED) {
        /* Its last attempt was not begun; or there is no room. */
        drop_claimed(jobs, place % LIMIT_WITNESS_CLAIMED);
    }
    while (jobs->claimed_count > 0 && has_ended(self, &jobs->claimed[0])) {
        give_up_oldest(self);
    }
    uint32_t number = testimony_begin(self, work);
    uint64_t source =
        testimony_key(queue, slice_of(&connection->serial, sizeof(connection->serial)));
    bool is_told = jobs->watch_left == 0 && is_source(jobs, source);
    jobs->claimed[jobs->claimed_count++] =
        (struct node_claimed){key, source, jobs->events + LIMIT_WITNESS_PROMISES, number, is_told};
    jobs->watch_left -= jobs->watch_left > 0;
    if (!is_told) {
        watch(self);
    }
}

bool node_jobs_are_told(const struct testimony *self)
{
    return self->jobs.tells || self->jobs.watches;
}

void node_jobs_forget(struct testimony *self)
{
    if (self->jobs.watches) {
        node.set_promise_hook(self->isolate, NULL);
    }
}
