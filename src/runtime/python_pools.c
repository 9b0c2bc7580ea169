#include "runtime/python_pools.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/jobs.h"
#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "runtime/python.h"
#include "runtime/python_method.h"
#include "runtime/python_queues.h"
#include "runtime/python_threads.h"

/* From the function that makes a thread: a thread's start, and a pool's function that calls it. */
#define FRAMES_TO_SUBMIT 5

enum pools_state { POOLS_UNKNOWN, POOLS_WATCHED, POOLS_OFF };

/* An item in a pool's queue, and for whom it is. Read and written with Python's lock. */
struct handed {
    uintptr_t item; /* 0: none. What is in there is only compared */
    uint32_t epoch;
    struct thread_context work;
};

static struct {
    python_pools_cause *cause;
    const void *item_type;
    py_method *put;
    py_method *put_at_once;
    py_method *get;
    py_method *get_at_once;
    py_method *release;
    py_method *acquire;
    py_object *start_soon; /* trio's functions: who hands over, and who takes; NULL: not loaded */
    py_object *work;
    py_method *load;
    py_method *load_bytes;
    _Atomic uint64_t looked_ns; /* for what is to be watched, while it is not there */
    _Atomic uint32_t looked_in; /* epoch of the process */
    _Atomic uint64_t born_ns;   /* when that process looked first */
    _Atomic uint8_t queues;     /* enum pools_state: of what they are made of */
    _Atomic uint8_t state;      /* of pools of threads */
    _Atomic uint8_t processes;  /* of pools of processes */
    _Atomic uint8_t trio;
    struct handed handed[LIMIT_WITNESS_HANDED_OVER];
} python_pools;

/* ---- what was handed over ---- */

#define HANDED_PLACES 8u /* that one item may have */

static struct handed *places_of(const py_object *item)
{
    uint64_t mixed = (uint64_t)(uintptr_t)item * UINT64_C(0x9e3779b97f4a7c15);
    return &python_pools.handed[(mixed >> 40) % (LIMIT_WITNESS_HANDED_OVER / HANDED_PLACES) *
                                HANDED_PLACES];
}

static struct handed *find_handed(const py_object *item)
{
    struct handed *places = places_of(item);
    for (uint32_t i = 0; i < HANDED_PLACES; i++) {
        if (places[i].item == (uintptr_t)item) {
            return &places[i];
        }
    }
    return NULL;
}

/* A place for it; where all are taken one that nobody waits for any more, or else any. */
static struct handed *make_place(const py_object *item)
{
    struct handed *places = places_of(item);
    struct handed *found = &places[(uintptr_t)item / 64 % HANDED_PLACES];
    for (uint32_t i = 0; i < HANDED_PLACES; i++) {
        if (places[i].item == 0) {
            return &places[i];
        }
        if (!attachment_is_of_process(places[i].epoch) ||
            !trace_context_is_current(&places[i].work)) {
            found = &places[i];
        }
    }
    return found;
}

static py_object *part_of(py_object *tuple, intptr_t at, intptr_t least)
{
    bool has_it = tuple != NULL && tuple->type == python.PyTuple_Type &&
                  python.PySequence_Size(tuple) >= least;
    return has_it ? python.PyTuple_GetItem(tuple, at) : NULL;
}

/* Celery's function that executes a task is called with the task's name, its id, and more. */
static bool find_job(py_object *arguments, struct thread_context *work)
{
    py_object *id = part_of(arguments, 1, 4);
    const char *text = id == NULL ? NULL : python.PyUnicode_AsUTF8(id);
    if (text == NULL) {
        python.PyErr_Clear();
        return false;
    }
    size_t size = strlen(text);
    return size <= LIMIT_WITNESS_JOB_ID && jobs_find_claimed(slice_of(text, size), work);
}

/* In a pool of threads, as Celery hands it over: what to call, and with what. */
static bool find_job_of_item(const py_object *item, struct thread_context *work)
{
    if (atomic_load_explicit(&python_pools.processes, memory_order_relaxed) != POOLS_WATCHED) {
        return false;
    }
    py_object *arguments = python_get((py_object *)(uintptr_t)item, "args");
    bool is_found = find_job(part_of(arguments, 1, 5), work);
    python_forget(arguments);
    return is_found;
}

static void hand_over(const py_object *item)
{
    struct handed *handed = find_handed(item);
    if (handed != NULL) {
        handed->item = 0; /* was never taken out, and its memory is another's now */
    }
    struct thread_context work;
    if (!trace_context_lend(&thread_state, &work)) {
        struct thread_context *cause = python_pools.cause();
        if (cause != NULL) {
            work = *cause;
        } else if (!find_job_of_item(item, &work)) {
            return;
        }
    }
    handed = make_place(item);
    *handed = (struct handed){.item = (uintptr_t)item, .epoch = attachment_epoch(), .work = work};
}

static void take_over(const py_object *item)
{
    struct handed *handed = find_handed(item);
    if (handed != NULL) {
        handed->item = 0;
        if (attachment_is_of_process(handed->epoch)) {
            trace_context_borrow(&thread_state, &handed->work);
        }
    }
}

/* ---- in the place of Python's methods ---- */

static py_object *watched_put(py_object *self, void *arguments, void *count, void *names,
                              void *more)
{
    if (hook_is_on() && (intptr_t)count >= 1) {
        const py_object *item = *(py_object *const *)arguments;
        if (item->type == python_pools.item_type) {
            hand_over(item);
            return python_pools.put(self, arguments, count, names, more);
        }
    }
    py_object *result = python_pools.put(self, arguments, count, names, more);
    if (result != NULL && (intptr_t)count >= 1 && hook_is_on()) {
        python_queues_put(self, *(py_object *const *)arguments);
    }
    return result;
}

static py_object *took(py_object *queue, py_object *item, bool is_waiting)
{
    if (item == NULL || !hook_is_on()) {
        return item;
    }
    if (item->type == python_pools.item_type) {
        take_over(item);
    } else {
        python_queues_took(queue, item, is_waiting);
    }
    return item;
}

static py_object *watched_put_at_once(py_object *self, void *arguments, void *count, void *names,
                                      void *more)
{
    py_object *result = python_pools.put_at_once(self, arguments, count, names, more);
    if (result != NULL && (intptr_t)count >= 1 && hook_is_on()) {
        python_queues_put(self, *(py_object *const *)arguments);
    }
    return result;
}

static py_object *watched_get(py_object *self, void *type, void *arguments, void *count,
                              void *names)
{
    trace_context_give_back(&thread_state);
    py_object *item = python_pools.get(self, type, arguments, count, names);
    return took(self, item, item != NULL && python_queues_would_wait(arguments, count, names));
}

static py_object *watched_get_at_once(py_object *self, void *a, void *b, void *c, void *d)
{
    trace_context_give_back(&thread_state);
    return took(self, python_pools.get_at_once(self, a, b, c, d), false);
}

/* trio hands its threads what to do by a place in their object and a lock, which the thread waits
   for: whoever lets that go has put something there, and who gets it takes that. */
static bool is_run_by(const py_object *code)
{
    py_object *frame = python.PyEval_GetFrame();
    py_object *runs = frame == NULL ? NULL : python.PyFrame_GetCode(frame);
    python_forget(runs); /* the frame has it */
    return runs != NULL && runs == code;
}

static py_object *watched_release(py_object *self, void *a, void *b, void *c, void *d)
{
    int collects;
    if (hook_is_on() && is_run_by(python_pools.start_soon) && python_enter(&collects)) {
        hand_over(self);
        python.PyErr_Clear();
        python_leave(collects);
    }
    return python_pools.release(self, a, b, c, d);
}

static py_object *watched_acquire(py_object *self, void *a, void *b, void *c, void *d)
{
    if (thread_state.runs_a_loop || !hook_is_on() || !is_run_by(python_pools.work)) {
        return python_pools.acquire(self, a, b, c, d);
    }
    trace_context_give_back(&thread_state);
    py_object *result = python_pools.acquire(self, a, b, c, d);
    if (result != NULL && result != python._Py_FalseStruct) {
        take_over(self);
    }
    return result;
}

/* A message to a process of a pool, as billiard's are: its kind, and of what is to be done two
   numbers, a function, and arguments. */
static void was_handed(py_object *message)
{
    py_object *task = part_of(message, 1, 2);
    py_object *arguments = part_of(task, 3, 5);
    struct thread_context work;
    if (part_of(arguments, 1, 4) == NULL) {
        return;
    }
    struct thread_state *self = &thread_state;
    trace_context_give_back(self);
    if (self->runs_a_loop && self->turn.returned_ns < atomic_load_explicit(&python_pools.born_ns,
                                                                           memory_order_relaxed)) {
        self->runs_a_loop = false; /* it was forked by a thread that did, and has not since */
    }
    if (find_job(arguments, &work)) {
        trace_context_borrow(self, &work);
    }
}

static py_object *loaded(py_object *message)
{
    if (message != NULL && message->type == python.PyTuple_Type && hook_is_on() &&
        python.PySequence_Size(message) == 2) {
        was_handed(message);
    }
    return message;
}

static py_object *watched_load(py_object *self, void *a, void *b, void *c, void *d)
{
    return loaded(python_pools.load(self, a, b, c, d));
}

static py_object *watched_load_bytes(py_object *self, void *a, void *b, void *c, void *d)
{
    return loaded(python_pools.load_bytes(self, a, b, c, d));
}

/* ---- to get there ---- */

static bool is_unknown(_Atomic uint8_t *state)
{
    return atomic_load_explicit(state, memory_order_relaxed) == POOLS_UNKNOWN;
}

static void note(_Atomic uint8_t *state, bool is_watched)
{
    atomic_store_explicit(state, is_watched ? POOLS_WATCHED : POOLS_OFF, memory_order_relaxed);
}

static void watch_queues(py_object *queue)
{
    struct python_method *put = python_method_of_type(queue, "put", METHOD_TAKES_A_VECTOR);
    struct python_method *put_at_once =
        python_method_of_type(queue, "put_nowait", METHOD_TAKES_A_VECTOR);
    struct python_method *get =
        python_method_of_type(queue, "get", METHOD_TAKES_A_VECTOR | METHOD_TAKES_ITS_TYPE);
    struct python_method *get_at_once = python_method_of_type(queue, "get_nowait", 0);
    bool is_whole = put != NULL && put_at_once != NULL && get != NULL && get_at_once != NULL &&
                    python_queues_watch_deque();
    if (is_whole) {
        python_method_watch(get, &python_pools.get, watched_get);
        python_method_watch(get_at_once, &python_pools.get_at_once, watched_get_at_once);
        python_method_watch(put, &python_pools.put, watched_put);
        python_method_watch(put_at_once, &python_pools.put_at_once, watched_put_at_once);
    }
    note(&python_pools.queues, is_whole);
    if (!is_whole) {
        note(&python_pools.state, false);
    }
}

static py_object *code_of(py_object *type, const char *name)
{
    return python_step(python_get(type, name), "__code__");
}

/* Both types are there. */
static void watch_trio(py_object *pool, py_object *worker)
{
    py_object *lock = python_step(python_module("_thread"), "LockType");
    struct python_method *release = python_method_of_type(lock, "release", 0);
    struct python_method *acquire = python_method_of_type(lock, "acquire", 0);
    python_pools.start_soon = code_of(pool, "start_thread_soon"); /* both are kept */
    python_pools.work = code_of(worker, "_work");
    bool is_whole = release != NULL && acquire != NULL && python_pools.start_soon != NULL &&
                    python_pools.work != NULL;
    if (is_whole) {
        python_method_watch(release, &python_pools.release, watched_release);
        python_method_watch(acquire, &python_pools.acquire, watched_acquire);
    }
    note(&python_pools.trio, is_whole);
    python_forget(lock);
}

/* It may be in the middle of being loaded. */
static void look_for_trio(void)
{
    py_object *cache = python_module("trio._core._thread_cache");
    py_object *pool = python_get(cache, "ThreadCache");
    py_object *worker = python_get(cache, "WorkerThread");
    if (pool != NULL && worker != NULL) {
        watch_trio(pool, worker);
    }
    python_forget(worker);
    python_forget(pool);
    python_forget(cache);
}

static void look_for_threads(void)
{
    if (is_unknown(&python_pools.trio)) {
        look_for_trio();
    }
    if (is_unknown(&python_pools.queues)) {
        py_object *queue = python_step(python_module("_queue"), "SimpleQueue");
        if (queue != NULL) {
            watch_queues(queue);
        }
        python_forget(queue);
    }
    if (is_unknown(&python_pools.state) && !is_unknown(&python_pools.queues)) {
        /* What is compared with later is kept. */
        python_pools.item_type =
            python_step(python_module("concurrent.futures.thread"), "_WorkItem");
        if (python_pools.item_type != NULL) {
            note(&python_pools.state, true);
        }
    }
    if (atomic_load_explicit(&python_pools.queues, memory_order_relaxed) == POOLS_WATCHED) {
        python_queues_look();
    }
}

/* Whether there may be more to watch than was found. */
static bool may_come(void)
{
    return atomic_load_explicit(&python_pools.queues, memory_order_relaxed) != POOLS_OFF &&
           (is_unknown(&python_pools.state) || python_queues_may_come());
}

static void look_for_processes(void)
{
    py_object *billiard = python_module("billiard");
    py_object *pickle = python_module("_pickle");
    if (billiard != NULL && pickle != NULL) {
        struct python_method *load = python_method_of_module(pickle, "load");
        struct python_method *load_bytes = python_method_of_module(pickle, "loads");
        bool is_whole = load != NULL && load_bytes != NULL;
        if (is_whole) {
            python_method_watch(load, &python_pools.load, watched_load);
            python_method_watch(load_bytes, &python_pools.load_bytes, watched_load_bytes);
        }
        note(&python_pools.processes, is_whole);
    }
    python_forget(pickle);
    python_forget(billiard);
}

/* The pending call: on the main thread, with Python's lock, between two instructions. */
static int look(void *argument)
{
    (void)argument;
    if (python.PyErr_Occurred() != NULL ||
        python.PyInterpreterState_Get() != python.PyInterpreterState_Main()) {
        return 0;
    }
    look_for_threads();
    if (is_unknown(&python_pools.processes)) {
        look_for_processes();
    }
    python.PyErr_Clear();
    return 0;
}

/* The item that a pool is being handed right now, for which it makes its first thread: it is in the
   queue already, and was put there by the function that has it. */
static py_object *find_first_item(void)
{
    static const char submit[] = "submit";
    py_object *frame = python.PyEval_GetFrame();
    py_object *item = NULL;
    if (frame != NULL) {
        python.Py_IncRef(frame);
    }
    for (int depth = 0; frame != NULL && item == NULL && depth < FRAMES_TO_SUBMIT; depth++) {
        py_object *code = python.PyFrame_GetCode(frame);
        if (python_is_text(python_step(code, "co_name"), submit, sizeof(submit))) {
            py_object *found = python_local(python_get(frame, "f_locals"), "w");
            item = found != NULL && found->type == python_pools.item_type ? found : NULL;
            python_forget(found); /* the frame has it */
        }
        frame = python_step(frame, "f_back");
    }
    python_forget(frame);
    python.PyErr_Clear();
    return item; /* the frame has it */
}

/* Of a pool that is being made. */
static void look_at_first_item(void)
{
    bool was_unknown = is_unknown(&python_pools.state);
    look_for_threads();
    if (was_unknown && !is_unknown(&python_pools.state)) {
        py_object *item = find_first_item();
        if (item != NULL) {
            hand_over(item);
        }
    }
}

void python_pools_making_thread(void)
{
    int collects;
    if (python.PyGILState_GetThisThreadState() == NULL || !python.PyGILState_Check() ||
        !python_enter(&collects)) {
        return;
    }
    python_threads_making();
    if (may_come()) {
        look_at_first_item();
    }
    python.PyErr_Clear();
    python_leave(collects);
}

void python_pools_look(void)
{
    uint64_t now = clock_now_ns();
    uint32_t epoch = attachment_epoch();
    if (atomic_load_explicit(&python_pools.looked_in, memory_order_relaxed) != epoch) {
        atomic_store_explicit(&python_pools.looked_in, epoch, memory_order_relaxed);
        atomic_store_explicit(&python_pools.born_ns, now, memory_order_relaxed);
    } else if (now < atomic_load_explicit(&python_pools.looked_ns, memory_order_relaxed) +
                         LIMIT_WITNESS_LOOK_NS) {
        return;
    }
    if ((is_unknown(&python_pools.processes) || may_come()) &&
        python.PyGILState_GetThisThreadState() != NULL) {
        atomic_store_explicit(&python_pools.looked_ns, now, memory_order_relaxed);
        python.Py_AddPendingCall(look, NULL);
    }
}

void python_pools_prepare(python_pools_cause *cause)
{
    python_pools.cause = cause;
}
