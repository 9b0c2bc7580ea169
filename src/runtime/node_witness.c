#include "runtime/node_witness.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app_thread/attachment.h"
#include "app_thread/connection.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "app_thread/witness.h"
#include "base/compiler.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/symbol_versions.h"
#include "base/system_call.h"

/* ---- what Node exports: Node-API, and a few of V8's functions ---- */

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_ref__ *napi_ref;
typedef struct napi_handle_scope__ *napi_handle_scope;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value napi_callback(napi_env env, napi_callback_info info);
/* v8::Local<T> is one pointer and is passed as such. */
typedef void *v8_local;
typedef void v8_isolate;
typedef void promise_hook(int event, v8_local promise, v8_local parent);

/* v8::HandleScope is three words; the rest is room for what a debug build may add. */
struct v8_handle_scope {
    void *words[8];
};

#define NODE_FUNCTIONS(X)                                                                          \
    X(int, napi_call_function,                                                                     \
      (napi_env, napi_value receiver, napi_value function, size_t count, const napi_value *values, \
       napi_value *result))                                                                        \
    X(int, napi_add_env_cleanup_hook, (napi_env, void (*hook)(void *), void *argument))            \
    X(int, napi_close_handle_scope, (napi_env, napi_handle_scope))                                 \
    X(int, napi_create_function,                                                                   \
      (napi_env, const char *name, size_t size, napi_callback *, void *data, napi_value *))        \
    X(int, napi_create_reference, (napi_env, napi_value, uint32_t count, napi_ref *))              \
    X(int, napi_create_string_utf8, (napi_env, const char *, size_t, napi_value *))                \
    X(int, napi_create_uint32, (napi_env, uint32_t, napi_value *))                                 \
    X(int, napi_delete_reference, (napi_env, napi_ref))                                            \
    X(int, napi_get_and_clear_last_exception, (napi_env, napi_value *))                            \
    X(int, napi_get_cb_info,                                                                       \
      (napi_env, napi_callback_info, size_t * count, napi_value * values, napi_value * self,       \
       void **data))                                                                               \
    X(int, napi_get_element, (napi_env, napi_value, uint32_t, napi_value *))                       \
    X(int, napi_get_reference_value, (napi_env, napi_ref, napi_value *))                           \
    X(int, napi_get_undefined, (napi_env, napi_value *))                                           \
    X(int, napi_get_value_bool, (napi_env, napi_value, bool *))                                    \
    X(int, napi_get_value_int32, (napi_env, napi_value, int32_t *))                                \
    X(int, napi_get_value_string_latin1, (napi_env, napi_value, char *, size_t, size_t *))         \
    X(int, napi_get_value_string_utf8, (napi_env, napi_value, char *, size_t, size_t *))           \
    X(int, napi_get_value_uint32, (napi_env, napi_value, uint32_t *))                              \
    X(int, napi_open_handle_scope, (napi_env, napi_handle_scope *))                                \
    X(int, napi_run_script, (napi_env, napi_value, napi_value *))                                  \
    X(int, napi_typeof, (napi_env, napi_value, int *))

#define CXX_FUNCTIONS(X)                                                                           \
    X(v8_isolate *, isolate_try_get_current, (void), "_ZN2v87Isolate13TryGetCurrentEv")            \
    X(bool, isolate_in_context, (v8_isolate *), "_ZN2v87Isolate9InContextEv")                      \
    X(v8_local, isolate_get_current_context, (v8_isolate *),                                       \
      "_ZN2v87Isolate17GetCurrentContextEv")                                                       \
    X(void, handle_scope_begin, (struct v8_handle_scope *, v8_isolate *),                          \
      "_ZN2v811HandleScopeC1EPNS_7IsolateE")                                                       \
    X(void, handle_scope_end, (struct v8_handle_scope *), "_ZN2v811HandleScopeD1Ev")               \
    X(v8_local, object_new, (v8_isolate *), "_ZN2v86Object3NewEPNS_7IsolateE")                     \
    X(bool, is_running_microtasks, (v8_isolate *),                                                 \
      "_ZN2v815MicrotasksScope19IsRunningMicrotasksEPNS_7IsolateE")                                \
    X(v8_local, current_stack_trace, (v8_isolate *, int frames, int options),                      \
      "_ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE")              \
    X(int, frame_count, (v8_local trace), "_ZNK2v810StackTrace13GetFrameCountEv")                  \
    X(v8_local, frame_at, (v8_local trace, v8_isolate *, uint32_t),                                \
      "_ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj")                                               \
    X(napi_value, function_name, (v8_local frame), "_ZNK2v810StackFrame15GetFunctionNameEv")       \
    X(void, set_promise_hook, (v8_isolate *, promise_hook *),                                      \
      "_ZN2v87Isolate14SetPromiseHookEPFvNS_15PromiseHookTypeENS_5LocalINS_7PromiseEEENS2_INS_"    \
      "5ValueEEEE")                                                                                \
    X(int, promise_state, (v8_local promise), "_ZN2v87Promise5StateEv")                            \
    X(bool, is_undefined, (v8_local value), "_ZNK2v85Value15FullIsUndefinedEv")                    \
    X(bool, is_same, (v8_local value, v8_local other),                                             \
      "_ZNK2v85Value12StrictEqualsENS_5LocalIS0_EE")                                               \
    X(napi_value, promise_result, (v8_local promise), "_ZN2v87Promise6ResultEv")                   \
    X(void *, node_current_environment, (v8_local context),                                        \
      "_ZN4node21GetCurrentEnvironmentEN2v85LocalINS0_7ContextEEE")                                \
    X(double, node_execution_async_id, (v8_isolate *),                                             \
      "_ZN4node29AsyncHooksGetExecutionAsyncIdEPN2v87IsolateE")                                    \
    X(void, register_module,                                                                       \
      (v8_local exports, v8_local module, v8_local context,                                        \
       napi_value(*start)(napi_env, napi_value), int32_t version),                                 \
      "_Z30napi_module_register_by_symbolN2v85LocalINS_6ObjectEEENS0_INS_5ValueEEENS0_INS_"        \
      "7ContextEEEPFP12napi_value__P10napi_env__S8_Ei")

#define NAPI_VERSION 8
#define TYPE_STRING  4
#define TYPE_OBJECT  6

/* v8::PromiseHookType, v8::Promise::PromiseState */
enum { PROMISE_MADE = 0, PROMISE_RESOLVED = 1, PROMISE_BEFORE = 2, PROMISE_AFTER = 3 };
enum { PROMISE_PENDING = 0, PROMISE_FULFILLED = 1 };

static struct {
#define FIELD(result, name, arguments)           result(*name) arguments;
#define FIELD_CXX(result, name, arguments, text) result(*name) arguments;
    NODE_FUNCTIONS(FIELD)
    CXX_FUNCTIONS(FIELD_CXX)
#undef FIELD
#undef FIELD_CXX
    bool tells;
} node;

/* ---- what is kept for one thread ---- */

/* A request that somebody has asked to be sent, and that was not seen yet. */
struct announcement {
    uint64_t key; /* of method and target */
    uint32_t number;
    bool trusts_storage; /* it will be written with the storage that it was announced with */
};

/* On whose behalf a connection was made, or a transaction begun on it; 0: nobody's. */
struct made {
    uint32_t connection;
    uint32_t number;
};

/* What was announced and not seen yet, by key. */
struct announcements {
    uint32_t count; /* entries[0] is the oldest */
    struct announcement entries[LIMIT_WITNESS_ANNOUNCED];
    uint64_t forgotten[LIMIT_WITNESS_FORGOTTEN / 64];
};

/* A number, and whether the code that runs now can be taken by its word. */
struct saying {
    uint32_t number;
    bool is_sure;
    bool is_collection; /* each command has a number of its own */
};

/* What ioredis sends in the callback that runs now: whose each command is, in their order. */
struct collection {
    double callback; /* its asynchronous id */
    uint32_t count;
    uint32_t next;
    uint32_t before; /* `next` before the call that is under way */
    uint32_t numbers[LIMIT_WITNESS_COLLECTED];
};

/* A job of this thread's that no code works for yet. */
struct claimed {
    uint64_t key;    /* of queue and id */
    uint64_t source; /* of queue and connection: workers share neither, as a rule */
    uint64_t until;  /* the event at which nobody will begin it any more */
    uint32_t number;
};

/* A worker's loop, waiting. */
struct loop {
    uint64_t source;  /* of its jobs */
    napi_ref turn;    /* the promise whose turn is the loop's next */
    napi_ref awaited; /* what it waits for: it has the job as its result, if that is its next */
    bool is_lost;     /* it went on when nobody looked */
    uint32_t claims;  /* since it was lost */
};

struct testimony {
    napi_env env;
    napi_ref getter;
    napi_ref enterer;
    v8_isolate *isolate;
    bool relies_on_storage; /* for requests that nobody announced */
    uint64_t asked_ns;      /* the call that the answer below is for */
    struct saying said;
    uint32_t last_number;
    /* The thread serves requests, and makes connections: there is something to be told. */
    bool has_served;
    bool has_clients;
    bool is_installed;
    bool gave_up; /* trying again would fail again */
    /* Promises are watched: a job was claimed, and not begun. */
    bool watches;
    bool has_entered;        /* a job, in the turn of the worker that begins it */
    bool is_mistaken;        /* a job was begun that is not the one it was taken for */
    uint32_t entered;        /* its number */
    uint64_t entered_source; /* in this turn */
    napi_ref entering;       /* the promise of the call that begins it */
    bool tells_jobs;
    /* Only the turns of loops that are known are looked at. */
    bool knows_loops;
    bool in_turn;       /* of some promise's */
    bool is_loops_turn; /* of a loop's: of loops[running], or of one that is not known yet */
    uint32_t running;
    napi_ref last_made; /* in the loop's turn */
    napi_ref last_awaited;
    uint64_t events;
    uint32_t unknown_left; /* claims for which loops are not relied upon */
    uint32_t unbegun_jobs; /* in a row */
    uint32_t loop_count;
    uint32_t claimed_count;
    uint32_t handed_count; /* handed[0] is the oldest */
    /* Read, not begun by the runtime yet; oldest first. */
    uint32_t unbegun_count;
    uint64_t taken_ns; /* the call that took them */
    uint32_t taken_count;
    struct announcements *taken_from;
    struct announcement taken[LIMIT_WITNESS_TAKEN];
    struct announcements requests;
    struct announcements commands;
    struct collection collection;
    struct claimed claimed[LIMIT_WITNESS_CLAIMED];
    napi_ref handed[LIMIT_WITNESS_HANDED]; /* promises of the next job */
    struct loop loops[LIMIT_WITNESS_LOOPS];
    struct thread_context unbegun[LIMIT_WITNESS_UNBEGUN];
    struct made made[LIMIT_WITNESS_MADE]; /* by the connection's serial, modulo */
    struct made transactions[LIMIT_WITNESS_TRANSACTIONS];
    struct thread_context begun[LIMIT_WITNESS_BEGUN]; /* by number, modulo */
};

/* NULL: no request was read and no connection was made on this thread yet. */
static __thread struct testimony *testimony __attribute__((tls_model("initial-exec")));

static uint64_t key_of(struct slice method, struct slice target)
{
    /* The two are told apart by a byte that is in neither. */
    return hash_bytes(hash_byte(hash_bytes(HASH_BEGIN, method), 0xff), target);
}

static struct thread_context *find_begun(struct testimony *self, uint32_t number)
{
    if (number == 0 || number > self->last_number ||
        self->last_number - number >= LIMIT_WITNESS_BEGUN) {
        return NULL;
    }
    return &self->begun[number % LIMIT_WITNESS_BEGUN];
}

static void drop(void *array, uint32_t *count, uint32_t at, size_t size)
{
    uint8_t *entries = array;
    (*count)--;
    memmove(entries + at * size, entries + (at + 1) * size, (*count - at) * size);
}

/* ---- called by the script ---- */

static napi_value number_value(napi_env env, uint32_t number)
{
    napi_value value = NULL;
    node.napi_create_uint32(env, number, &value);
    return value;
}

/* begin(descriptor): the oldest request that was read there is being served now. Returns its
   number, or 0. */
static napi_value begin(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value value;
    size_t count = 1;
    int32_t descriptor = -1;
    struct touch touch;
    if (self == NULL || node.napi_get_cb_info(env, info, &count, &value, NULL, NULL) != 0 ||
        node.napi_get_value_int32(env, value, &descriptor) != 0 || descriptor < 0 ||
        !connection_find(descriptor, &touch)) {
        return number_value(env, 0);
    }
    for (uint32_t i = 0; i < self->unbegun_count; i++) {
        if (self->unbegun[i].connection == touch.connection->serial) {
            uint32_t number = ++self->last_number;
            self->begun[number % LIMIT_WITNESS_BEGUN] = self->unbegun[i];
            drop(self->unbegun, &self->unbegun_count, i, sizeof(self->unbegun[0]));
            return number_value(env, number);
        }
    }
    return number_value(env, 0);
}

static uint32_t forgotten_bit(uint64_t key)
{
    return (uint32_t)(key ^ key >> 32) % LIMIT_WITNESS_FORGOTTEN;
}

/* It may still be sent: what looks like it cannot be told from it any more. */
static void forget_announcement(struct announcements *all, const struct announcement *announcement)
{
    uint32_t bit = forgotten_bit(announcement->key);
    all->forgotten[bit / 64] |= 1ull << bit % 64;
}

static void add_announcement(struct announcements *all, struct announcement announcement)
{
    if (all->count == LIMIT_WITNESS_ANNOUNCED) {
        forget_announcement(all, &all->entries[0]);
        drop(all->entries, &all->count, 0, sizeof(all->entries[0]));
    }
    all->entries[all->count++] = announcement;
}

enum announced { BY_UNDICI, BY_HTTP, BY_NODE_REDIS };

static bool read_target(napi_env env, napi_value value, uint32_t kind,
                        char text[LIMIT_WITNESS_TARGET], size_t *size)
{
    if (kind != BY_NODE_REDIS) {
        return node.napi_get_value_string_latin1(env, value, text, LIMIT_WITNESS_TARGET, size) == 0;
    }
    return node.napi_get_value_string_utf8(env, value, text, LIMIT_WITNESS_TARGET, size) == 0;
}

/* announce(number, kind, method, target): of a command, its name and first argument. */
static napi_value announce(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value values[4];
    size_t count = 4;
    uint32_t number;
    uint32_t kind;
    char method[LIMIT_HEADER_TEXT];
    char target[LIMIT_WITNESS_TARGET];
    size_t method_size;
    size_t target_size;
    if (self != NULL && node.napi_get_cb_info(env, info, &count, values, NULL, NULL) == 0 &&
        node.napi_get_value_uint32(env, values[0], &number) == 0 &&
        node.napi_get_value_uint32(env, values[1], &kind) == 0 &&
        node.napi_get_value_string_latin1(env, values[2], method, sizeof(method), &method_size) ==
            0 &&
        read_target(env, values[3], kind, target, &target_size)) {
        uint64_t key = key_of(slice_of(method, method_size), slice_of(target, target_size));
        add_announcement(kind == BY_NODE_REDIS ? &self->commands : &self->requests,
                         (struct announcement){key, number, kind == BY_HTTP});
    }
    return NULL;
}

/* rely(): http's requests are not announced. */
static napi_value rely(napi_env env, napi_callback_info info)
{
    (void)env;
    (void)info;
    if (testimony != NULL) {
        testimony->relies_on_storage = true;
    }
    return NULL;
}

/* collect(numbers, count): what ioredis has collected is being sent. */
static napi_value collect(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value values[2];
    size_t given = 2;
    uint32_t count;
    if (self == NULL || node.napi_get_cb_info(env, info, &given, values, NULL, NULL) != 0 ||
        node.napi_get_value_uint32(env, values[1], &count) != 0) {
        return NULL;
    }
    struct collection *collection = &self->collection;
    collection->callback = node.node_execution_async_id(self->isolate);
    collection->count = count < LIMIT_WITNESS_COLLECTED ? count : LIMIT_WITNESS_COLLECTED;
    collection->next = 0;
    for (uint32_t i = 0; i < collection->count; i++) {
        napi_value number;
        if (node.napi_get_element(env, values[0], i, &number) != 0 ||
            node.napi_get_value_uint32(env, number, &collection->numbers[i]) != 0) {
            collection->numbers[i] = 0;
        }
    }
    return NULL;
}

/* take(queue, id): the job's number, or 0. */
static napi_value take(napi_env env, napi_callback_info info)
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
    uint64_t key = key_of(slice_of(queue, queue_size), slice_of(id, id_size));
    for (uint32_t i = 0; i < self->claimed_count; i++) {
        if (self->claimed[i].key == key) {
            uint32_t number = self->claimed[i].number;
            self->entered = number;
            self->entered_source = self->claimed[i].source;
            drop(self->claimed, &self->claimed_count, i, sizeof(self->claimed[0]));
            return number_value(env, number);
        }
    }
    self->is_mistaken = true;
    return number_value(env, 0);
}

/* ---- called by the hooks ---- */

/* Whether the function of that frame has the name. */
static bool is_named(const struct testimony *self, v8_local trace, uint32_t frame,
                     struct slice name)
{
    char text[32];
    size_t size;
    napi_value value = node.function_name(node.frame_at(trace, self->isolate, frame));
    return value != NULL &&
           node.napi_get_value_string_latin1(self->env, value, text, sizeof(text), &size) == 0 &&
           slice_equals(slice_of(text, size), name);
}

static v8_local stack_trace(const struct testimony *self, int frames, int *count)
{
    enum { FUNCTION_NAMES = 1 << 3 }; /* v8::StackTrace::StackTraceOptions */
    v8_local trace = node.current_stack_trace(self->isolate, frames, FUNCTION_NAMES);
    *count = trace == NULL ? 0 : node.frame_count(trace);
    return trace;
}

/* ioredis sends what was collected from many callers in a callback of the first one's. Two frames
   of streams and a few of the library's own lie above it. */
#define FLUSHER        SLICE("executeAutoPipeline")
#define FLUSHER_FRAMES 24

static bool is_flushing(const struct testimony *self)
{
    int count;
    v8_local trace = stack_trace(self, FLUSHER_FRAMES, &count);
    for (int i = 0; i < count; i++) {
        if (is_named(self, trace, (uint32_t)i, FLUSHER)) {
            return true;
        }
    }
    return false;
}

/* What the storage holds for the code that runs now; 0: nothing, or it cannot be asked. */
static struct saying ask_storage(struct testimony *self, bool doubts)
{
    napi_handle_scope scope;
    napi_value function;
    napi_value receiver;
    napi_value argument;
    napi_value result = NULL;
    struct saying said = {0, false, false};
    /* Nobody's code runs outside of callbacks. What goes on after an await was begun by the one who
       waits, whoever ended the wait. */
    bool goes_on = self->last_number != 0 && node.is_running_microtasks(self->isolate);
    if (self->last_number == 0 || (!goes_on && node.node_execution_async_id(self->isolate) <= 0) ||
        node.napi_open_handle_scope(self->env, &scope) != 0) {
        return said;
    }
    int32_t number = 0;
    if (node.napi_get_reference_value(self->env, self->getter, &function) == 0 &&
        node.napi_get_undefined(self->env, &receiver) == 0 &&
        node.napi_create_uint32(self->env, doubts && !goes_on, &argument) == 0) {
        if (node.napi_call_function(self->env, receiver, function, 1, &argument, &result) != 0) {
            node.napi_get_and_clear_last_exception(self->env, &result);
        } else if (node.napi_get_value_int32(self->env, result, &number) != 0) {
            number = 0;
        }
    }
    said.number = (uint32_t)(number < 0 ? -number : number);
    bool is_collected = doubts && self->collection.count > 0 &&
                        self->collection.callback == node.node_execution_async_id(self->isolate);
    bool flushes = doubts && (number > 0 || is_collected) && is_flushing(self);
    said.is_collection = flushes && is_collected;
    said.is_sure = number > 0 && !flushes;
    node.napi_close_handle_scope(self->env, scope);
    return said;
}

/* The thread's memory, made at its first request or connection. */
static SLOW struct testimony *make_testimony(void)
{
    if (node.isolate_try_get_current() == NULL) {
        return NULL; /* none of Node's threads that run JavaScript */
    }
    long address = raw_system_call(SYS_mmap, 0, sizeof(struct testimony), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    testimony = address > 0 ? (struct testimony *)address : NULL;
    return testimony;
}

static inline struct testimony *get_testimony(void)
{
    return likely(testimony != NULL) ? testimony : make_testimony();
}

static void install(struct testimony *self);

static void request_read(const struct thread_context *work, int descriptor)
{
    (void)descriptor;
    struct testimony *self = get_testimony();
    if (self == NULL || self->gave_up) {
        return;
    }
    if (unlikely(self->has_clients && !self->is_installed)) {
        install(self);
    }
    self->has_served = true;
    if (!self->is_installed) {
        return;
    }
    if (self->unbegun_count == LIMIT_WITNESS_UNBEGUN) {
        drop(self->unbegun, &self->unbegun_count, 0, sizeof(self->unbegun[0]));
    }
    self->unbegun[self->unbegun_count++] = *work;
}

static void remember_taken(struct testimony *self, struct announcements *from,
                           struct announcement announcement, uint64_t call_ns)
{
    if (self->taken_ns != call_ns) {
        self->taken_from = from;
        self->taken_ns = call_ns;
        self->taken_count = 0;
    }
    if (self->taken_count < LIMIT_WITNESS_TAKEN) {
        self->taken[self->taken_count++] = announcement;
    } else {
        forget_announcement(from, &announcement);
    }
}

/* Before all others: what is still announced with the same method and target was asked for later.
 */
static void take_back(uint64_t call_ns)
{
    struct testimony *self = testimony;
    if (self == NULL) {
        return;
    }
    if (self->asked_ns == call_ns) {
        self->collection.next = self->collection.before;
        self->asked_ns = 0;
    }
    if (self->taken_ns != call_ns) {
        return;
    }
    self->taken_ns = 0;
    struct announcements *all = self->taken_from;
    for (uint32_t left = self->taken_count; left > 0; left--) {
        if (all->count == LIMIT_WITNESS_ANNOUNCED) {
            forget_announcement(all, &self->taken[left - 1]);
            continue;
        }
        memmove(&all->entries[1], &all->entries[0], all->count * sizeof(all->entries[0]));
        all->entries[0] = self->taken[left - 1];
        all->count++;
    }
}

/* The announcement that the bytes must have been, which is taken if they are sent; the number of
   whose work it is, or 0. */
static uint32_t find_announcement(struct testimony *self, struct announcements *all, uint64_t key,
                                  uint64_t call_ns)
{
    uint32_t candidates = 0;
    uint32_t first = 0;
    bool is_one = true;
    bool trusts_storage = true;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct announcement *entry = &all->entries[i];
        if (entry->key != key) {
            continue;
        }
        first = candidates == 0 ? i : first;
        candidates++;
        is_one = is_one && entry->number == all->entries[first].number;
        trusts_storage = trusts_storage && entry->trusts_storage;
    }
    uint32_t bit = forgotten_bit(key);
    if (candidates == 0 && self->relies_on_storage && all == &self->requests) {
        return ask_storage(self, false).number;
    }
    if (candidates == 0 || (all->forgotten[bit / 64] >> bit % 64 & 1) != 0) {
        return 0;
    }
    uint32_t number = all->entries[first].number;
    if (!is_one) {
        number = trusts_storage ? ask_storage(self, false).number : 0;
        uint32_t match = all->count;
        for (uint32_t i = first; i < all->count; i++) {
            struct announcement *entry = &all->entries[i];
            if (entry->key == key && number != 0 && entry->number == number &&
                match == all->count) {
                match = i;
            }
        }
        if (match == all->count && call_ns == 0) {
            return 0;
        }
        if (match == all->count) {
            /* Any of them: none of the others can be told any more. */
            for (uint32_t i = first; i < all->count; i++) {
                if (all->entries[i].key == key) {
                    all->entries[i].number = 0;
                    all->entries[i].trusts_storage = false;
                }
            }
            number = 0;
        } else {
            first = match;
        }
    }
    if (call_ns != 0) {
        remember_taken(self, all, all->entries[first], call_ns);
        drop(all->entries, &all->count, first, sizeof(all->entries[0]));
    }
    return number;
}

static struct thread_context *cause_of_http(struct slice method, struct slice target,
                                            uint64_t call_ns)
{
    struct testimony *self = testimony;
    if (self == NULL || !self->is_installed || target.size >= LIMIT_WITNESS_TARGET) {
        return NULL;
    }
    return find_begun(self,
                      find_announcement(self, &self->requests, key_of(method, target), call_ns));
}

static struct thread_context *cause_of_bytes(const struct connection *connection, uint64_t call_ns)
{
    struct testimony *self = testimony;
    if (self == NULL || !self->is_installed) {
        return NULL;
    }
    if (self->asked_ns != call_ns) {
        self->asked_ns = call_ns;
        self->said = ask_storage(self, true);
        self->collection.before = self->collection.next;
    }
    struct collection *collection = &self->collection;
    if (self->said.is_collection) {
        uint32_t at = collection->next++;
        return at < collection->count ? find_begun(self, collection->numbers[at]) : NULL;
    }
    /* A library's own queue, sent when its connection is made, runs for whoever had it made. */
    const struct made *made = &self->made[connection->serial % LIMIT_WITNESS_MADE];
    if (!self->said.is_sure ||
        (made->connection == connection->serial && made->number == self->said.number)) {
        return NULL;
    }
    return find_begun(self, self->said.number);
}

/* What node-redis sends, whose turn collects for all. What it may not show is announced as '?'; a
   transaction as its beginning, and what follows on the connection is part of it. */
static struct thread_context *cause_of_command(const struct connection *connection,
                                               struct slice name, struct slice first,
                                               uint64_t call_ns)
{
    struct testimony *self = testimony;
    if (self == NULL || !self->is_installed || first.size >= LIMIT_WITNESS_TARGET) {
        return NULL;
    }
    struct made *transaction = &self->transactions[connection->serial % LIMIT_WITNESS_TRANSACTIONS];
    if (connection->redis.sends_transaction) {
        bool is_its = transaction->connection == connection->serial;
        return find_begun(self, is_its ? transaction->number : 0);
    }
    uint32_t number = find_announcement(self, &self->commands, key_of(name, first), call_ns);
    if (number == 0) {
        number = find_announcement(self, &self->commands, key_of(name, SLICE("?")), call_ns);
    }
    if (slice_equals(name, SLICE("MULTI"))) {
        *transaction = (struct made){connection->serial, number};
    }
    return find_begun(self, number);
}

/* While Node forks, its code waits for us to return; in the child nobody is to be asked. */
static bool cause_of_child(struct thread_context *work)
{
    struct testimony *self = testimony;
    if (self == NULL || self->gave_up) {
        return false;
    }
    self->has_clients = true;
    if (unlikely(!self->is_installed && self->has_served)) {
        install(self);
    }
    const struct thread_context *found =
        self->is_installed ? find_begun(self, ask_storage(self, false).number) : NULL;
    if (found != NULL) {
        *work = *found;
    }
    return found != NULL;
}

static void connecting(const struct connection *connection)
{
    struct testimony *self = get_testimony();
    if (self == NULL || self->gave_up) {
        return;
    }
    self->has_clients = true;
    if (unlikely(!self->is_installed && self->has_served)) {
        install(self);
    }
    if (self->is_installed) {
        self->made[connection->serial % LIMIT_WITNESS_MADE] =
            (struct made){connection->serial, ask_storage(self, false).number};
    }
}

/* ---- jobs ---- */

#define NO_LOOP UINT32_MAX

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

static void forget_handed(struct testimony *self)
{
    for (uint32_t i = 0; i < self->handed_count; i++) {
        release(self, &self->handed[i]);
    }
    self->handed_count = 0;
}

/* The worker's own turn went on for a job: what it begins later could not be told from that. */
static void disown_entered(struct testimony *self)
{
    if (self->has_entered && self->entered != 0) {
        self->begun[self->entered % LIMIT_WITNESS_BEGUN].is_known = false;
    }
    self->has_entered = false;
}

static void forget_loop(struct testimony *self, uint32_t at)
{
    release(self, &self->loops[at].turn);
    release(self, &self->loops[at].awaited);
    drop(self->loops, &self->loop_count, at, sizeof(self->loops[0]));
}

static void leave_turn(struct testimony *self)
{
    release(self, &self->last_made);
    release(self, &self->last_awaited);
    self->entered_source = 0;
    self->in_turn = false;
    self->is_loops_turn = false;
}

static void stop_watching(struct testimony *self)
{
    disown_entered(self);
    node.set_promise_hook(self->isolate, NULL);
    self->watches = false;
    self->claimed_count = 0;
    forget_handed(self);
    release(self, &self->entering);
    leave_turn(self);
}

/* What runs from here on works for the job that is the value, or for nobody. False: no job. */
static bool enter(struct testimony *self, napi_value value)
{
    napi_value function;
    napi_value receiver;
    napi_value result;
    bool is_job = false;
    if (node.napi_get_reference_value(self->env, self->enterer, &function) != 0 ||
        node.napi_get_undefined(self->env, &receiver) != 0) {
        return false;
    }
    const napi_value argument = value != NULL ? value : receiver;
    if (node.napi_call_function(self->env, receiver, function, 1, &argument, &result) != 0) {
        node.napi_get_and_clear_last_exception(self->env, &result);
    } else if (node.napi_get_value_bool(self->env, result, &is_job) != 0) {
        is_job = false;
    }
    return is_job;
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

/* The job that a loop which is not known begins: the one that was handed out first. */
static bool enter_handed(struct testimony *self)
{
    bool is_job = false;
    while (self->handed_count > 0 && !is_job) {
        napi_ref reference = self->handed[0];
        drop(self->handed, &self->handed_count, 0, sizeof(self->handed[0]));
        napi_value value = object_of(self, reference);
        is_job = value != NULL && enter(self, value);
        release(self, &reference);
    }
    return is_job;
}

/* The job that a loop which is known begins: the one that it waited for. */
static bool enter_awaited(struct testimony *self, const struct loop *loop)
{
    v8_local awaited = referred(self, loop->awaited);
    for (uint32_t i = 0; awaited != NULL && i < self->handed_count; i++) {
        if (refers_to(self, self->handed[i], awaited)) {
            release(self, &self->handed[i]);
            drop(self->handed, &self->handed_count, i, sizeof(self->handed[0]));
            break;
        }
    }
    napi_value value = object_of(self, loop->awaited);
    return value != NULL && enter(self, value);
}

static void begin_job(struct testimony *self, v8_local promise)
{
    self->entered = 0;
    self->entered_source = 0;
    self->is_mistaken = false;
    bool is_known = self->is_loops_turn && self->running != NO_LOOP;
    bool is_job = is_known ? enter_awaited(self, &self->loops[self->running]) : enter_handed(self);
    if (!is_job) {
        enter(self, NULL);
    }
    self->has_entered = true;
    self->tells_jobs = true;
    self->unbegun_jobs = 0;
    if (!self->is_loops_turn && self->in_turn) {
        self->is_loops_turn = true;
        self->running = NO_LOOP;
    }
    refer(self, &self->entering, promise);
    if (self->is_mistaken || self->entering == NULL) {
        stop_watching(self);
    }
}

/* The worker calls, in its loop, what begins a job; no other code of the program's is running. */
#define LOOP_FRAMES 6

static bool is_in_loop(const struct testimony *self)
{
    int count;
    v8_local trace = stack_trace(self, LOOP_FRAMES + 1, &count);
    if (count < 2 || count > LOOP_FRAMES) {
        return false;
    }
    /* Node's own function that runs what is due may be the last. */
    uint32_t last = (uint32_t)count - 1;
    last -= is_named(self, trace, last, SLICE("processTicksAndRejections"));
    return is_named(self, trace, last, SLICE("mainLoop")) ||
           is_named(self, trace, last, SLICE("run"));
}

static bool is_called(const struct testimony *self, struct slice name)
{
    int count;
    v8_local trace = stack_trace(self, 1, &count);
    return count > 0 && is_named(self, trace, 0, name);
}

static void promise_made(struct testimony *self, v8_local promise, v8_local parent)
{
    bool is_calls = node.is_undefined(parent); /* not made of another promise */
    bool is_known = self->is_loops_turn && self->running != NO_LOOP;
    if (self->has_entered) {
        if (!is_calls && refers_to(self, self->entering, parent)) {
            /* The worker has begun the job, and notes it in its queue: it goes on for itself. */
            self->has_entered = false;
            enter(self, NULL);
        }
    } else if (!is_calls) {
        if (self->is_loops_turn) {
            refer(self, &self->last_made, promise);
            refer(self, &self->last_awaited, parent);
        }
    } else if (is_known ? object_of(self, self->loops[self->running].awaited) != NULL &&
                              is_called(self, SLICE("processJob"))
                        : !self->knows_loops && is_called(self, SLICE("processJob")) &&
                              is_in_loop(self)) {
        begin_job(self, promise);
    }
}

static void promise_resolved(struct testimony *self, v8_local promise)
{
    if (!is_called(self, SLICE("fetch"))) {
        return;
    }
    if (self->handed_count == LIMIT_WITNESS_HANDED) {
        stop_watching(self); /* which is the next one would not be known */
    } else {
        napi_ref *handed = &self->handed[self->handed_count];
        *handed = NULL;
        refer(self, handed, promise);
        self->handed_count += *handed != NULL;
    }
}

/* The loop whose turn ended, which may be new. */
static struct loop *find_running(struct testimony *self)
{
    if (self->running != NO_LOOP) {
        struct loop *loop = &self->loops[self->running];
        loop->source = self->entered_source != 0 ? self->entered_source : loop->source;
        return loop;
    }
    if (self->entered_source == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < self->loop_count; i++) {
        if (self->loops[i].is_lost && self->loops[i].source == self->entered_source) {
            return &self->loops[i];
        }
    }
    if (self->loop_count == LIMIT_WITNESS_LOOPS) {
        return NULL;
    }
    self->unknown_left = LIMIT_WITNESS_NEW; /* it may not be the only new one */
    struct loop *loop = &self->loops[self->loop_count++];
    *loop = (struct loop){.source = self->entered_source};
    return loop;
}

static void turn_ends(struct testimony *self)
{
    self->in_turn = false;
    if (self->is_loops_turn) {
        disown_entered(self);
        struct loop *loop = find_running(self);
        if (loop != NULL && self->last_made != NULL && self->last_awaited != NULL) {
            /* An await is the last that its turn does. */
            release(self, &loop->turn);
            release(self, &loop->awaited);
            loop->turn = self->last_made;
            loop->awaited = self->last_awaited;
            loop->is_lost = false;
            self->last_made = NULL;
            self->last_awaited = NULL;
        } else if (loop != NULL) {
            forget_loop(self, (uint32_t)(loop - self->loops));
        }
        leave_turn(self);
    }
    if (self->claimed_count == 0 && !self->has_entered) {
        stop_watching(self);
    }
}

static void turn_begins(struct testimony *self, v8_local promise)
{
    turn_ends(self); /* of one that began unseen */
    self->entered_source = 0;
    self->in_turn = self->watches;
    for (uint32_t i = 0; self->watches && i < self->loop_count; i++) {
        if (refers_to(self, self->loops[i].turn, promise)) {
            self->is_loops_turn = true;
            self->running = i;
            break;
        }
    }
}

/* The oldest was not begun by a loop: by one that is not known yet, or by other means. */
static void give_up_oldest(struct testimony *self)
{
    drop(self->claimed, &self->claimed_count, 0, sizeof(self->claimed[0]));
    self->unknown_left = LIMIT_WITNESS_UNKNOWN;
    self->unbegun_jobs++;
    if (self->claimed_count == 0) {
        stop_watching(self);
    }
}

static bool has_ended(struct testimony *self, const struct claimed *job)
{
    struct thread_context *work = find_begun(self, job->number);
    return work == NULL || !trace_context_is_current(work);
}

static void promise_event(int event, v8_local promise, v8_local parent)
{
    struct testimony *self = testimony;
    napi_handle_scope scope;
    if (self == NULL || !self->watches) {
        return;
    }
    self->events++;
    /* Most events are none of a loop's. */
    if (self->knows_loops && event != PROMISE_BEFORE && !self->is_loops_turn) {
        self->in_turn = self->in_turn && event != PROMISE_AFTER;
        if (self->claimed_count > 0 && self->events >= self->claimed[0].until) {
            give_up_oldest(self);
        }
        return;
    }
    if (node.napi_open_handle_scope(self->env, &scope) != 0) {
        return;
    }
    switch (event) {
    case PROMISE_BEFORE:
        turn_begins(self, promise);
        break;
    case PROMISE_AFTER:
        turn_ends(self);
        break;
    case PROMISE_MADE:
        promise_made(self, promise, parent);
        break;
    default:
        if (!self->knows_loops) {
            promise_resolved(self, promise);
        }
        break;
    }
    if (self->claimed_count > 0 && self->events >= self->claimed[0].until) {
        give_up_oldest(self);
    }
    node.napi_close_handle_scope(self->env, scope);
}

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

/* Whether the one loop that may begin a job from there is known, and waits as it did when it was
   last seen: then it is enough to look at its turns. Where workers share a connection there may be
   more of them than are known. */
static bool knows_source(struct testimony *self, uint64_t source)
{
    uint32_t count = 0;
    bool is_lost = false;
    for (uint32_t i = self->loop_count; i > 0; i--) {
        struct loop *loop = &self->loops[i - 1];
        if (loop->source != source) {
            continue;
        }
        v8_local awaited = referred(self, loop->awaited);
        loop->is_lost = awaited == NULL || node.promise_state(awaited) != PROMISE_PENDING;
        count++;
        is_lost = is_lost || loop->is_lost;
        loop->claims = loop->is_lost ? loop->claims + 1 : 0;
        if (loop->claims > LIMIT_WITNESS_UNKNOWN) {
            forget_loop(self, i - 1); /* its worker is closed */
        }
    }
    return count == 1 && !is_lost;
}

static void watch(struct testimony *self, uint64_t source)
{
    napi_handle_scope scope;
    if (node.napi_open_handle_scope(self->env, &scope) != 0) {
        self->claimed_count = 0;
        return;
    }
    /* Between turns: what was handed out before is taken, or never will be. */
    disown_entered(self);
    leave_turn(self);
    forget_handed(self);
    bool is_known = knows_source(self, source) && self->unknown_left == 0;
    self->unknown_left -= self->unknown_left > 0;
    self->knows_loops = is_known && (self->claimed_count == 1 || self->knows_loops);
    node.napi_close_handle_scope(self->env, scope);
    if (!self->watches) {
        node.set_promise_hook(self->isolate, promise_event);
        self->watches = true;
    }
}

static void job_claimed(const struct thread_context *work, const struct connection *connection,
                        struct slice system, const struct rule_facts *facts)
{
    uint8_t room[2 * LIMIT_RULE_VALUE + 1];
    struct testimony *self = get_testimony();
    if (self == NULL || self->gave_up || !slice_equals(system, SLICE("bullmq"))) {
        return;
    }
    if (unlikely(!self->is_installed)) {
        install(self);
    }
    if (!self->is_installed || self->unbegun_jobs == LIMIT_WITNESS_UNBEGUN_JOBS) {
        return;
    }
    struct slice queue = key_of_queue(facts, room);
    uint64_t key = key_of(queue, facts->values[RULE_ID]);
    uint32_t place = 0;
    while (place < self->claimed_count && self->claimed[place].key != key) {
        place++;
    }
    if (place < self->claimed_count || place == LIMIT_WITNESS_CLAIMED) {
        /* Its last attempt was not begun; or there is no room. */
        drop(self->claimed, &self->claimed_count, place % LIMIT_WITNESS_CLAIMED,
             sizeof(self->claimed[0]));
    }
    while (self->claimed_count > 0 && has_ended(self, &self->claimed[0])) {
        give_up_oldest(self);
    }
    uint32_t number = ++self->last_number;
    self->begun[number % LIMIT_WITNESS_BEGUN] = *work;
    self->claimed[self->claimed_count++] = (struct claimed){
        key, key_of(queue, slice_of(&connection->serial, sizeof(connection->serial))),
        self->events + LIMIT_WITNESS_PROMISES, number};
    watch(self, self->claimed[self->claimed_count - 1].source);
}

static bool tells_jobs(void)
{
    return testimony != NULL && (testimony->tells_jobs || testimony->watches);
}

/* ---- start and end ---- */

#define SCRIPT_FAILED "its script failed"

static const char script[] =
#include "node_witness.inc"
    ;

static void tell(const char *why, size_t size)
{
    attachment_note_witness(size == strlen(SCRIPT_FAILED) && memcmp(why, SCRIPT_FAILED, size) == 0
                                ? WITNESS_NODE_FAILED
                                : WITNESS_NODE_LACKS_MODULES);
    static const char before[] = "wirespan: Node cannot say what its requests are made for: ";
    if (node.tells) {
        raw_system_call(SYS_write, STDERR_FILENO, (long)before, sizeof(before) - 1, 0, 0, 0);
        raw_system_call(SYS_write, STDERR_FILENO, (long)why, (long)size, 0, 0, 0);
        raw_system_call(SYS_write, STDERR_FILENO, (long)"\n", 1, 0, 0, 0);
    }
}

static void forget_thread(void *argument)
{
    struct testimony *self = argument;
    if (self->watches) {
        node.set_promise_hook(self->isolate, NULL);
    }
    testimony = NULL;
    raw_system_call(SYS_munmap, (long)self, sizeof(*self), 0, 0, 0, 0);
}

/* Keeps the function that stands at that place. */
static bool keep(napi_env env, napi_value functions, uint32_t at, napi_ref *reference)
{
    napi_value function;
    return node.napi_get_element(env, functions, at, &function) == 0 &&
           node.napi_create_reference(env, function, 1, reference) == 0;
}

/* Runs the script; the functions that read and write the storage, or NULL. */
static napi_value run_script(napi_env env, char *why, size_t room, size_t *why_size)
{
    napi_value text;
    napi_value function;
    napi_value receiver;
    napi_value arguments[5];
    napi_value result;
    int type;
    if (node.napi_create_string_utf8(env, script, sizeof(script) - 1, &text) != 0 ||
        node.napi_run_script(env, text, &function) != 0 ||
        node.napi_get_undefined(env, &receiver) != 0 ||
        node.napi_create_function(env, NULL, 0, begin, NULL, &arguments[0]) != 0 ||
        node.napi_create_function(env, NULL, 0, announce, NULL, &arguments[1]) != 0 ||
        node.napi_create_function(env, NULL, 0, rely, NULL, &arguments[2]) != 0 ||
        node.napi_create_function(env, NULL, 0, take, NULL, &arguments[3]) != 0 ||
        node.napi_create_function(env, NULL, 0, collect, NULL, &arguments[4]) != 0 ||
        node.napi_call_function(env, receiver, function, 5, arguments, &result) != 0 ||
        node.napi_typeof(env, result, &type) != 0) {
        node.napi_get_and_clear_last_exception(env, &result);
        return NULL;
    }
    if (type == TYPE_STRING) {
        node.napi_get_value_string_latin1(env, result, why, room, why_size);
    }
    return type == TYPE_OBJECT ? result : NULL;
}

static napi_value start(napi_env env, napi_value exports)
{
    char why[128] = SCRIPT_FAILED;
    size_t why_size = strlen(why);
    struct testimony *self = testimony;
    napi_value functions = run_script(env, why, sizeof(why), &why_size);
    self->env = env;
    if (functions == NULL || !keep(env, functions, 0, &self->getter) ||
        !keep(env, functions, 1, &self->enterer) ||
        node.napi_add_env_cleanup_hook(env, forget_thread, self) != 0) {
        tell(why, why_size);
        self->env = NULL;
    } else {
        attachment_note_witness(WITNESS_NODE_TELLS);
    }
    return exports;
}

/* In the read that brought a request, where no code of the program's is running, or in a connect,
   where it waits for us to return. */
static SLOW void install(struct testimony *self)
{
    self->isolate = node.isolate_try_get_current();
    if (self->isolate == NULL || !node.isolate_in_context(self->isolate)) {
        return;
    }
    struct v8_handle_scope scope;
    node.handle_scope_begin(&scope, self->isolate);
    v8_local context = node.isolate_get_current_context(self->isolate);
    if (context != NULL && node.node_current_environment(context) != NULL) {
        v8_local module = node.object_new(self->isolate);
        node.register_module(module, module, context, start, NAPI_VERSION);
        self->is_installed = self->env != NULL;
        self->gave_up = !self->is_installed;
    }
    node.handle_scope_end(&scope);
}

/* Node exports its functions, and those of libuv. */
extern const char uv_fileno[] __attribute__((weak));

const char *node_witness_prepare(bool tells)
{
    const char *volatile uv = uv_fileno;
    if (uv == NULL || dlsym(RTLD_DEFAULT, "napi_module_register") == NULL) {
        return NULL;
    }
    bool is_whole = true;
#define RESOLVE(result, name, arguments)                                                           \
    *(void **)&node.name = dlsym(RTLD_DEFAULT, #name);                                             \
    is_whole = is_whole && node.name != NULL;
#define RESOLVE_CXX(result, name, arguments, text)                                                 \
    *(void **)&node.name = dlsym(RTLD_DEFAULT, text);                                              \
    is_whole = is_whole && node.name != NULL;
    NODE_FUNCTIONS(RESOLVE)
    CXX_FUNCTIONS(RESOLVE_CXX)
#undef RESOLVE
#undef RESOLVE_CXX
    if (!is_whole) {
        attachment_note_witness(WITNESS_NODE_LACKS_FUNCTION);
        return "it lacks a function that is needed";
    }
    node.tells = tells;
    static const struct witness node_witness = {
        .request_read = request_read,
        .cause_of_http = cause_of_http,
        .take_back = take_back,
        .cause_of_bytes = cause_of_bytes,
        .cause_of_command = cause_of_command,
        .cause_of_child = cause_of_child,
        .connecting = connecting,
        .job_claimed = job_claimed,
        .tells_jobs = tells_jobs,
    };
    witness = &node_witness;
    attachment_note_witness(WITNESS_NODE_WAITS);
    return NULL;
}
