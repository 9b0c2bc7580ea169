#include "runtime/python_threads.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/trace_context.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "runtime/python_code.h"
#include "runtime/python_method.h"
#include "runtime/python_queues.h"

/* From the function that makes a thread to `start`: what wraps it calls it, and is not in between.
 */
#define FRAMES_TO_START 2

#define THREAD_SET 8 /* places that one thread may have */

/* A thread that was begun, and for whom. */
struct begun_thread {
    uintptr_t thread; /* 0: none. What is in there is only compared */
    uint32_t epoch;
    struct thread_context work;
    /* The first function of the program's of each thread that led here, the last one first. */
    const void *before[LIMIT_WITNESS_THREADS_DEEP];
};

enum { SENDS, SENDS_ALL, SENDS_MESSAGE, WRITES, METHODS };

enum sends_state { SENDS_UNKNOWN, SENDS_WATCHED, SENDS_OFF };

static struct {
    python_threads_parent *parent;
    py_method *methods[METHODS];
    uint8_t state; /* enum sends_state */
    bool has_tls;
    struct begun_thread begun[LIMIT_WITNESS_THREADS];
} python_threads;

/* How this thread has begun. */
static __thread struct {
    uint32_t epoch; /* in which it was looked for */
    bool is_begun;
    struct begun_thread by;
} begun_here __attribute__((tls_model("initial-exec")));

/* ---- who begins threads ---- */

static struct begun_thread *places_of(const py_object *thread)
{
    uint64_t mixed = (uint64_t)(uintptr_t)thread * UINT64_C(0x9e3779b97f4a7c15);
    return &python_threads.begun[(mixed >> 40) % (LIMIT_WITNESS_THREADS / THREAD_SET) * THREAD_SET];
}

static struct begun_thread *find_begun(const py_object *thread)
{
    struct begun_thread *places = places_of(thread);
    for (uint32_t i = 0; i < THREAD_SET; i++) {
        if (places[i].thread == (uintptr_t)thread) {
            return &places[i];
        }
    }
    return NULL;
}

/* A place for it; where all are taken one whose request is answered, or else any. */
static struct begun_thread *make_place(const py_object *thread)
{
    struct begun_thread *places = places_of(thread);
    struct begun_thread *found = &places[(uintptr_t)thread / 64 % THREAD_SET];
    for (uint32_t i = 0; i < THREAD_SET; i++) {
        if (places[i].thread == 0) {
            return &places[i];
        }
        if (!attachment_is_of_process(places[i].epoch) ||
            !trace_context_is_current(&places[i].work)) {
            found = &places[i];
        }
    }
    return found;
}

/* Whether that function of threading's runs in the frame. */
static bool runs(py_object *frame, const char *name, size_t size)
{
    static const char file[] = "/threading.py";
    py_object *code = frame == NULL ? NULL : python.PyFrame_GetCode(frame);
    bool is_it = code != NULL && python_is_text(python_get(code, "co_name"), name, size);
    py_object *where = is_it ? python_get(code, "co_filename") : NULL;
    const char *path = where == NULL ? NULL : python.PyUnicode_AsUTF8(where);
    size_t length = path == NULL ? 0 : strlen(path);
    is_it = length >= sizeof(file) - 1 &&
            memcmp(path + length - (sizeof(file) - 1), file, sizeof(file) - 1) == 0;
    python_forget(where);
    python_forget(code);
    return is_it;
}

/* The thread that is being started, if that is what the code does that makes a thread. */
static py_object *find_started(void)
{
    static const char start[] = "start";
    py_object *frame = python.PyEval_GetFrame();
    py_object *thread = NULL;
    if (frame != NULL) {
        python.Py_IncRef(frame);
    }
    for (int depth = 0; frame != NULL && thread == NULL && depth < FRAMES_TO_START; depth++) {
        if (runs(frame, start, sizeof(start))) {
            thread = python_local(python_get(frame, "f_locals"), "self");
            if (thread != NULL) {
                python_code_learn_variables(frame, thread);
            }
            break;
        }
        frame = python_step(frame, "f_back");
    }
    python_forget(frame);
    python.PyErr_Clear();
    return thread;
}

static bool is_given_work(py_object *thread)
{
    static const char *const names[] = {"_args", "args", "_kwargs", "kwargs"};
    bool is_it = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !is_it; i++) {
        py_object *given = python_get(thread, names[i]);
        is_it = given != NULL && python_code_brings_more(given);
        python_forget(given);
    }
    return is_it;
}

/* ---- in the place of Python's methods ---- */

/* Looks how this thread has begun: its outermost function has the thread's object. */
static SLOW void find_beginning(void)
{
    static const char bootstrap[] = "_bootstrap";
    py_object *frame = python.PyEval_GetFrame();
    begun_here.epoch = attachment_epoch();
    begun_here.is_begun = false;
    if (frame == NULL) {
        begun_here.epoch = 0;
        return;
    }
    python.Py_IncRef(frame);
    for (uint32_t i = 0; i < LIMIT_WITNESS_FRAMES; i++) {
        py_object *outer = python_get(frame, "f_back");
        if (outer == NULL || (const void *)outer == python._Py_NoneStruct) {
            python_forget(outer);
            break;
        }
        python_forget(frame);
        frame = outer;
    }
    if (runs(frame, bootstrap, sizeof(bootstrap))) {
        py_object *thread = python_local(python_get(frame, "f_locals"), "self");
        struct begun_thread *begun = thread == NULL ? NULL : find_begun(thread);
        if (begun != NULL) {
            begun_here.is_begun = attachment_is_of_process(begun->epoch);
            begun_here.by = *begun;
            begun->thread = 0;
        }
        python_forget(thread);
    }
    python_forget(frame);
    python.PyErr_Clear();
}

struct thread_context *python_threads_cause(void)
{
    if (python_threads.state != SENDS_WATCHED) {
        return NULL;
    }
    if (unlikely(begun_here.epoch != attachment_epoch())) {
        find_beginning();
    }
    if (!begun_here.is_begun) {
        return NULL;
    }
    if (!trace_context_is_current(&begun_here.by.work) || python_queues_has_taken()) {
        begun_here.is_begun = false;
        return NULL;
    }
    const void *first = python_code_thread_goes_straight();
    for (uint32_t i = 0; i < LIMIT_WITNESS_THREADS_DEEP && first != NULL; i++) {
        first = begun_here.by.before[i] == first ? NULL : first;
    }
    return first == NULL ? NULL : &begun_here.by.work;
}

/* This thread is about to send: for the request that has started it, if that is proven. */
static SLOW struct thread_context *find_sender(struct thread_state *self)
{
    int collects;
    if (!hook_is_on() || trace_context_is_current(&self->context) || !python_enter(&collects)) {
        return NULL;
    }
    struct thread_context *work = python_threads_cause();
    python.PyErr_Clear();
    python_leave(collects);
    if (work != NULL) {
        trace_context_borrow(self, work);
    }
    return self->context.is_lent ? work : NULL;
}

static inline py_object *sends(py_method *method, py_object *self, void *a, void *b, void *c,
                               void *d)
{
    bool may = begun_here.epoch != attachment_epoch() || begun_here.is_begun;
    struct thread_context *work = unlikely(may) ? find_sender(&thread_state) : NULL;
    py_object *result = method(self, a, b, c, d);
    if (unlikely(work != NULL)) {
        work->spans = thread_state.context.spans;
        trace_context_give_back(&thread_state);
    }
    return result;
}

static py_object *watched_send(py_object *self, void *a, void *b, void *c, void *d)
{
    return sends(python_threads.methods[SENDS], self, a, b, c, d);
}

static py_object *watched_send_all(py_object *self, void *a, void *b, void *c, void *d)
{
    return sends(python_threads.methods[SENDS_ALL], self, a, b, c, d);
}

static py_object *watched_send_message(py_object *self, void *a, void *b, void *c, void *d)
{
    return sends(python_threads.methods[SENDS_MESSAGE], self, a, b, c, d);
}

static py_object *watched_write(py_object *self, void *a, void *b, void *c, void *d)
{
    return sends(python_threads.methods[WRITES], self, a, b, c, d);
}

/* ---- to get there ---- */

/* The first thread that a request starts is the first that is heard of them. */
static SLOW void watch_sockets(void)
{
    static const char *const names[] = {"send", "sendall", "sendmsg"};
    static py_method *const watched[] = {watched_send, watched_send_all, watched_send_message};
    struct python_method *methods[3];
    py_object *type = python_step(python_module("_socket"), "socket");
    bool is_whole = type != NULL;
    for (size_t i = 0; i < 3; i++) {
        methods[i] = is_whole ? python_method_of_type(type, names[i], 0) : NULL;
        is_whole = methods[i] != NULL;
    }
    for (size_t i = 0; i < 3 && is_whole; i++) {
        python_method_watch(methods[i], &python_threads.methods[i], watched[i]);
    }
    python_forget(type);
    python_threads.state = is_whole ? SENDS_WATCHED : SENDS_OFF;
}

static SLOW void watch_tls(void)
{
    py_object *type = python_step(python_module("_ssl"), "_SSLSocket");
    struct python_method *method = type == NULL ? NULL : python_method_of_type(type, "write", 0);
    if (method != NULL) {
        python_method_watch(method, &python_threads.methods[WRITES], watched_write);
    }
    python_threads.has_tls = type != NULL;
    python_forget(type);
}

void python_threads_making(void)
{
    py_object *thread = find_started();
    if (thread == NULL) {
        return;
    }
    struct begun_thread *place = find_begun(thread);
    if (place != NULL) {
        place->thread = 0; /* has begun, and its memory is another's now */
    }
    struct begun_thread begun = {.thread = (uintptr_t)thread, .epoch = attachment_epoch()};
    bool has_cause = trace_context_lend(&thread_state, &begun.work);
    if (!has_cause) {
        const struct thread_context *cause = python_threads.parent();
        has_cause = cause != NULL;
        if (has_cause) {
            begun.work = *cause;
            bool is_own = cause == &begun_here.by.work;
            has_cause = !is_own || begun_here.by.before[LIMIT_WITNESS_THREADS_DEEP - 1] == NULL;
            if (is_own) {
                begun.before[0] = python_code_thread_goes_straight();
                memcpy(&begun.before[1], begun_here.by.before,
                       sizeof(begun.before) - sizeof(begun.before[0]));
            }
        }
    }
    if (has_cause && !is_given_work(thread)) {
        if (python_threads.state == SENDS_UNKNOWN) {
            watch_sockets();
        }
        if (!python_threads.has_tls) {
            watch_tls();
        }
        *make_place(thread) = begun;
    }
    python_forget(thread);
    python.PyErr_Clear();
}

void python_threads_prepare(python_threads_parent *parent)
{
    python_threads.parent = parent;
}
