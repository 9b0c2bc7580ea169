#include "runtime/node_witness.h"

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
#include "base/limits.h"
#include "base/system_call.h"
#include "runtime/node_jobs.h"
#include "runtime/node_testimony.h"

__thread struct testimony *testimony __attribute__((tls_model("initial-exec")));

/* What fails after the start is said. */
static bool tells_failures;

/* ---- called by the script ---- */

static napi_value number_value(napi_env env, uint32_t number)
{
    napi_value value = NULL;
    node.napi_create_uint32(env, number, &value);
    return value;
}

/* Who reads a message for a request or a job goes on with that. */
static bool works_for_another(struct testimony *self, uint32_t number)
{
    const struct thread_context *work = testimony_find(self, number);
    return work != NULL && !work->is_of_message && trace_context_is_current(work);
}

/* begin(descriptor, number): the oldest request, or message, that was read there is being served
   now, by code that works for that number. Returns its own, or 0. */
static napi_value begin(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value values[2];
    size_t count = 2;
    int32_t descriptor = -1;
    int32_t holder = 0;
    struct touch touch;
    if (self == NULL || node.napi_get_cb_info(env, info, &count, values, NULL, NULL) != 0 ||
        node.napi_get_value_int32(env, values[0], &descriptor) != 0 || descriptor < 0 ||
        node.napi_get_value_int32(env, values[1], &holder) != 0 ||
        works_for_another(self, (uint32_t)holder) || !connection_find(descriptor, &touch)) {
        return number_value(env, 0);
    }
    for (uint32_t i = 0; i < self->unbegun_count; i++) {
        if (self->unbegun[i].connection == touch.connection->serial) {
            uint32_t number = testimony_begin(self, &self->unbegun[i]);
            testimony_drop(self->unbegun, &self->unbegun_count, i, sizeof(self->unbegun[0]));
            return number_value(env, number);
        }
    }
    return number_value(env, 0);
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
        uint64_t key = testimony_key(slice_of(method, method_size), slice_of(target, target_size));
        announced_add(kind == BY_NODE_REDIS ? &self->commands : &self->requests,
                      (struct announcement){key, number, kind == BY_HTTP});
    }
    return NULL;
}

/* overlaps(): more than one request or job is in work. */
static napi_value overlaps(napi_env env, napi_callback_info info)
{
    (void)info;
    napi_value value = NULL;
    node.napi_get_boolean(env, testimony != NULL && testimony_overlaps(testimony), &value);
    return value;
}

/* isOpen(number): that request or job is still in work. */
static napi_value is_open(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value argument;
    napi_value value = NULL;
    size_t count = 1;
    uint32_t number = 0;
    if (self == NULL || node.napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != 0 ||
        node.napi_get_value_uint32(env, argument, &number) != 0) {
        number = 0;
    }
    const struct thread_context *work = self == NULL ? NULL : testimony_find(self, number);
    node.napi_get_boolean(env, work != NULL && trace_context_is_current(work), &value);
    return value;
}

/* give(kind, after, count, from, number): of requests (0) or commands (1) the last `count` before
   those `after` that were announced last, if they are of `from`, are the work of that number. */
static napi_value give(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value values[5];
    size_t count = 5;
    uint32_t numbers[5];
    if (self == NULL || node.napi_get_cb_info(env, info, &count, values, NULL, NULL) != 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < 5; i++) {
        if (node.napi_get_value_uint32(env, values[i], &numbers[i]) != 0) {
            return NULL;
        }
    }
    announced_give(numbers[0] == 0 ? &self->requests : &self->commands, numbers[1], numbers[2],
                   numbers[3], numbers[4]);
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

/* ---- called by the hooks ---- */

#define FRAME_NAME 32u /* longer ones are cut */

/* Above the function that makes a promise stand the hooks; above a tick's, what it has called. */
#define MAKER_FRAMES      3
#define MAKER_FRAMES_MOST 12
#define TICK_FRAMES       100

/* What the function of that frame is called, written into `text`. */
static struct slice name_of(const struct testimony *self, v8_local trace, uint32_t frame,
                            char text[FRAME_NAME])
{
    size_t size = 0;
    napi_value value = node.function_name(node.frame_at(trace, self->isolate, frame));
    bool has_name = value != NULL && node.napi_get_value_string_latin1(self->env, value, text,
                                                                       FRAME_NAME, &size) == 0;
    return slice_of(text, has_name ? size : 0);
}

bool testimony_is_named(const struct testimony *self, v8_local trace, uint32_t frame,
                        struct slice name)
{
    char text[FRAME_NAME];
    return slice_equals(name_of(self, trace, frame, text), name);
}

v8_local testimony_stack(const struct testimony *self, int frames, int *count)
{
    enum { NAMES = 1 << 2 | 1 << 3 }; /* v8::StackTrace::StackTraceOptions: scripts, functions */
    v8_local trace = node.current_stack_trace(self->isolate, frames, NAMES);
    *count = trace == NULL ? 0 : node.frame_count(trace);
    return trace;
}

/* Clients whose promises their own connections keep: what these wait for is an answer. */
static const char *const clients[] = {"/ioredis", "/@redis/", "/undici/", "/bullmq"};

enum script {
    SCRIPT_OF_NONE,
    SCRIPT_OF_HOOKS,
    SCRIPT_OF_NODE,
    SCRIPT_OF_CLIENT,
    SCRIPT_OF_PROGRAM
};

/* Whose code the function of that frame is; none's if it is V8's own, or this witness's. */
static enum script read_script(const struct testimony *self, v8_local frame)
{
    char text[LIMIT_WITNESS_SCRIPT];
    size_t size = 0;
    napi_value value = node.script_name(frame);
    if (value == NULL ||
        node.napi_get_value_string_latin1(self->env, value, text, sizeof(text), &size) != 0 ||
        size == 0) {
        return SCRIPT_OF_NONE;
    }
    if (slice_equals(slice_of(text, size), SLICE("node:internal/promise_hooks")) ||
        slice_equals(slice_of(text, size), SLICE("node:internal/async_hooks"))) {
        return SCRIPT_OF_HOOKS;
    }
    if (slice_starts_with(slice_of(text, size), SLICE("node:"))) {
        return SCRIPT_OF_NODE;
    }
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        if (strstr(text, clients[i]) != NULL) {
            return SCRIPT_OF_CLIENT;
        }
    }
    return SCRIPT_OF_PROGRAM;
}

static enum script script_of(struct testimony *self, v8_local trace, uint32_t at)
{
    v8_local frame = node.frame_at(trace, self->isolate, at);
    int id = node.script_id(frame);
    struct script_known *known = &self->scripts[(uint32_t)id % LIMIT_WITNESS_SCRIPTS];
    if (!known->is_known || known->id != id) {
        *known = (struct script_known){id, true, (uint8_t)read_script(self, frame)};
    }
    return (enum script)known->script;
}

/* Exact for so many scripts, lines and columns; others may be taken for one another. */
static double place_of(const struct testimony *self, v8_local trace, uint32_t at)
{
    v8_local frame = node.frame_at(trace, self->isolate, at);
    uint64_t location = node.location(frame);
    uint64_t place = (uint64_t)(uint32_t)node.script_id(frame) % (1u << 16);
    place = place << 18 | location % (1u << 18);
    place = place << 18 | (location >> 32) % (1u << 18);
    return (double)place;
}

/* Where the program makes the promise that is being made: the same number for the same place, or 0
   if it is not the program that makes it. */
static double maker(struct testimony *self)
{
    uint32_t at = 0;
    for (int frames = MAKER_FRAMES; frames <= MAKER_FRAMES_MOST; frames *= 4) {
        int count;
        v8_local trace = testimony_stack(self, frames, &count);
        for (; at < (uint32_t)count; at++) {
            enum script script = script_of(self, trace, at);
            if (script != SCRIPT_OF_NONE && script != SCRIPT_OF_HOOKS) {
                return script == SCRIPT_OF_PROGRAM ? place_of(self, trace, at) : 0;
            }
        }
        if (count < frames) {
            break;
        }
    }
    return 0;
}

/* What runs in process.nextTick's turn is the program's own function, not one of Node's. */
static bool ticks(struct testimony *self)
{
    int count;
    v8_local trace = testimony_stack(self, TICK_FRAMES, &count);
    if (count < 2 || count == TICK_FRAMES) {
        return true;
    }
    uint32_t last = (uint32_t)count - 1;
    last -= testimony_is_named(self, trace, last, SLICE("processTicksAndRejections"));
    enum script script = script_of(self, trace, last);
    return script != SCRIPT_OF_NODE && script != SCRIPT_OF_HOOKS;
}

/* ioredis sends what was collected from many callers in a callback of the first one's. Two frames
   of streams and a few of the library's own lie above it. */
#define FLUSHER        SLICE("executeAutoPipeline")
#define FLUSHER_FRAMES 24

/* What a script's own function sends is sent for its caller: whatever is collected passes through
   other functions. Fewer frames tell that, which is what a trace costs. */
#define SENDER        SLICE("sendCommand")
#define SCRIPT        SLICE("execute")
#define SCRIPT_FRAMES 10

static bool sends_script(const struct testimony *self, v8_local trace, int count)
{
    for (int i = 0; i + 1 < count && i + 1 < SCRIPT_FRAMES; i++) {
        if (testimony_is_named(self, trace, (uint32_t)i, SENDER)) {
            return testimony_is_named(self, trace, (uint32_t)i + 1, SCRIPT);
        }
    }
    return false;
}

/* p-limit's function that begins what waits calls this one; what that sends at once is sent before
   it is seen for whom it was begun. */
#define BEGUN        SLICE("run")
#define BEGINS       SLICE("next")
#define BEGUN_FRAMES 64

static bool was_begun(const struct testimony *self)
{
    int count;
    bool is_next = false;
    v8_local trace = testimony_stack(self, BEGUN_FRAMES, &count);
    for (int i = 0; i < count; i++) {
        char text[FRAME_NAME];
        struct slice name = name_of(self, trace, (uint32_t)i, text);
        if (is_next && slice_equals(name, BEGINS)) {
            return true;
        }
        is_next = slice_equals(name, BEGUN);
    }
    return false;
}

static bool is_flushing(struct testimony *self)
{
    int count;
    if (self->sends_scripts) {
        v8_local top = testimony_stack(self, SCRIPT_FRAMES, &count);
        if (sends_script(self, top, count)) {
            return false;
        }
    }
    v8_local trace = testimony_stack(self, FLUSHER_FRAMES, &count);
    bool was_begun = false;
    for (int i = 0; i < count; i++) {
        char text[FRAME_NAME];
        struct slice name = name_of(self, trace, (uint32_t)i, text);
        if (slice_equals(name, FLUSHER) ||
            (was_begun && slice_equals(name, BEGINS) && testimony_overlaps(self))) {
            return true;
        }
        was_begun = slice_equals(name, BEGUN);
    }
    self->sends_scripts = sends_script(self, trace, count);
    return false;
}

/* look(what): the place where the program makes the promise that is being made, or 0; whether the
   tick that runs is the program's; whether p-limit begins what runs. */
enum look { LOOK_MAKER, LOOK_TICK, LOOK_BEGUN };

static napi_value look(napi_env env, napi_callback_info info)
{
    struct testimony *self = testimony;
    napi_value argument;
    napi_value value = NULL;
    size_t count = 1;
    uint32_t what = LOOK_MAKER;
    if (self != NULL && node.napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == 0 &&
        node.napi_get_value_uint32(env, argument, &what) == 0) {
        double found = what == LOOK_MAKER  ? maker(self)
                       : what == LOOK_TICK ? (double)ticks(self)
                                           : (double)was_begun(self);
        node.napi_create_double(env, found, &value);
    }
    return value;
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
        testimony_drop(self->unbegun, &self->unbegun_count, 0, sizeof(self->unbegun[0]));
    }
    self->unbegun[self->unbegun_count++] = *work;
}

/* The callback that the read was made for comes next. */
static void message_read(const struct thread_context *work, int descriptor)
{
    struct testimony *self = get_testimony();
    if (self == NULL || self->gave_up) {
        return;
    }
    self->has_clients = true; /* or will have */
    /* The request that made the WebSocket is not announced. */
    for (uint32_t i = self->unbegun_count; i > 0; i--) {
        if (self->unbegun[i - 1].connection == work->connection) {
            testimony_drop(self->unbegun, &self->unbegun_count, i - 1, sizeof(self->unbegun[0]));
        }
    }
    request_read(work, descriptor);
    napi_handle_scope scope;
    if (!self->is_installed || node.napi_open_handle_scope(self->env, &scope) != 0) {
        return;
    }
    napi_value function;
    napi_value receiver;
    napi_value argument;
    napi_value result;
    if (node.napi_get_reference_value(self->env, self->arriver, &function) == 0 &&
        node.napi_get_undefined(self->env, &receiver) == 0 &&
        node.napi_create_uint32(self->env, (uint32_t)descriptor, &argument) == 0 &&
        node.napi_call_function(self->env, receiver, function, 1, &argument, &result) != 0) {
        node.napi_get_and_clear_last_exception(self->env, &result);
    }
    node.napi_close_handle_scope(self->env, scope);
}

static void remember_taken(struct testimony *self, struct announcements *from,
                           struct announcement announcement, uint64_t call_ns)
{
    if (self->taken_ns != call_ns) {
        self->taken_from = from;
        self->taken_ns = call_ns;
        self->taken_count = 0;
    }
    /* A call sends no more than are known when it begins. */
    if (self->taken_count < LIMIT_WITNESS_ANNOUNCED) {
        self->taken[self->taken_count++] = announcement;
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
    for (uint32_t left = self->taken_count; left > 0; left--) {
        announced_put_back(self->taken_from, self->taken[left - 1]);
    }
}

/* The announcement that the bytes must have been, which is taken if they are sent; the number of
   whose work it is, or 0. */
static uint32_t find_announcement(struct testimony *self, struct announcements *all, uint64_t key,
                                  uint64_t call_ns)
{
    struct alike alike = announced_look(all, key);
    if (alike.count == 0 && self->relies_on_storage && all == &self->requests) {
        return ask_storage(self, false).number;
    }
    if (announced_is_forgotten(all, key, call_ns != 0) || alike.count == 0) {
        return 0;
    }
    uint32_t number = alike.number;
    uint32_t place = alike.first;
    if (!alike.is_one) {
        number = alike.trusts_storage ? ask_storage(self, false).number : 0;
        place = number == 0 ? all->count : announced_find(all, key, number);
        if (place == all->count) {
            /* Any of them: none of the others can be told any more. */
            number = 0;
            place = alike.first;
            if (call_ns != 0) {
                announced_disown(all, key);
            }
        }
    }
    if (call_ns != 0) {
        remember_taken(self, all, announced_take(all, place), call_ns);
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
    return testimony_find(
        self, find_announcement(self, &self->requests, testimony_key(method, target), call_ns));
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
        self->collection.next += self->passed_ns == call_ns ? self->passed : 0;
    }
    struct collection *collection = &self->collection;
    if (self->said.is_collection) {
        uint32_t at = collection->next++;
        return at < collection->count ? testimony_find(self, collection->numbers[at]) : NULL;
    }
    /* A library's own queue, sent when its connection is made, runs for whoever had it made. */
    const struct made *made = &self->made[connection->serial % LIMIT_WITNESS_MADE];
    if (!self->said.is_sure ||
        (made->connection == connection->serial && made->number == self->said.number)) {
        return NULL;
    }
    return testimony_find(self, self->said.number);
}

static void pass_over(uint64_t call_ns)
{
    struct testimony *self = testimony;
    if (self == NULL || !self->is_installed) {
        return;
    }
    if (self->asked_ns == call_ns) {
        self->collection.next += self->said.is_collection;
        return;
    }
    self->passed = self->passed_ns == call_ns ? self->passed + 1 : 1;
    self->passed_ns = call_ns;
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
        return testimony_find(self, is_its ? transaction->number : 0);
    }
    uint32_t number = find_announcement(self, &self->commands, testimony_key(name, first), call_ns);
    if (number == 0) {
        number = find_announcement(self, &self->commands, testimony_key(name, SLICE("?")), call_ns);
    }
    if (slice_equals(name, SLICE("MULTI"))) {
        *transaction = (struct made){connection->serial, number};
    }
    return testimony_find(self, number);
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
        self->is_installed ? testimony_find(self, ask_storage(self, false).number) : NULL;
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

static void job_claimed(const struct thread_context *work, const struct connection *connection,
                        struct slice system, const struct rule_facts *facts)
{
    struct testimony *self = get_testimony();
    if (self == NULL || self->gave_up || !slice_equals(system, SLICE("bullmq"))) {
        return;
    }
    if (unlikely(!self->is_installed)) {
        install(self);
    }
    if (self->is_installed) {
        node_jobs_claimed(self, work, connection, facts);
    }
}

static bool tells_jobs(void)
{
    return testimony != NULL && node_jobs_are_told(testimony);
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
    if (tells_failures) {
        raw_system_call(SYS_write, STDERR_FILENO, (long)before, sizeof(before) - 1, 0, 0, 0);
        raw_system_call(SYS_write, STDERR_FILENO, (long)why, (long)size, 0, 0, 0);
        raw_system_call(SYS_write, STDERR_FILENO, (long)"\n", 1, 0, 0, 0);
    }
}

static void forget_thread(void *argument)
{
    struct testimony *self = argument;
    node_jobs_forget(self);
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

/* What the script is given, in the order of its parameters. */
static napi_callback *const given[] = {
    begin, announce, rely, node_jobs_take, collect, node_jobs_own, overlaps, give, look, is_open,
};
#define FUNCTIONS (sizeof(given) / sizeof(given[0]))

static bool make_functions(napi_env env, napi_value values[FUNCTIONS])
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        if (node.napi_create_function(env, NULL, 0, given[i], NULL, &values[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Runs the script; the functions that read and write the storage, or NULL. */
static napi_value run_script(napi_env env, char *why, size_t room, size_t *why_size)
{
    napi_value text;
    napi_value function;
    napi_value receiver;
    napi_value arguments[FUNCTIONS];
    napi_value result;
    int type;
    if (node.napi_create_string_utf8(env, script, sizeof(script) - 1, &text) != 0 ||
        node.napi_run_script(env, text, &function) != 0 ||
        node.napi_get_undefined(env, &receiver) != 0 || !make_functions(env, arguments) ||
        node.napi_call_function(env, receiver, function, FUNCTIONS, arguments, &result) != 0 ||
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
        !keep(env, functions, 1, &self->enterer) || !keep(env, functions, 2, &self->arriver) ||
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

const char *node_witness_prepare(bool tells)
{
    if (!node_api_is_there()) {
        return NULL;
    }
    if (!node_api_resolve()) {
        attachment_note_witness(WITNESS_NODE_LACKS_FUNCTION);
        return "it lacks a function that is needed";
    }
    tells_failures = tells;
    static const struct witness node_witness = {
        .request_read = request_read,
        .message_read = message_read,
        .cause_of_http = cause_of_http,
        .take_back = take_back,
        .cause_of_bytes = cause_of_bytes,
        .pass_over = pass_over,
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
