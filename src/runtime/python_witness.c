#include "runtime/python_witness.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
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
#include "base/symbol_versions.h"
#include "base/system_call.h"
#include "runtime/python.h"
#include "runtime/python_code.h"
#include "runtime/python_method.h"
#include "runtime/python_pools.h"
#include "runtime/python_queues.h"
#include "runtime/python_threads.h"

#define SLOT_TRAVERSE 71 /* Py_tp_traverse, of the stable ABI */

/* Where greenlet's table (its C API) has what is needed of it. */
enum { GREENLET_CURRENT = 4, GREENLET_PARENT = 11 };

struct python python;

/* ---- requests ---- */

/* A request whose head was read, and that is in no context yet. */
struct unbegun {
    int descriptor;
    struct thread_context work;
};

/* By a greenlet, other than which none works for it; by a loop, whose other tasks may; by one that
   reads for all connections of a server in one context, from which a task has the number of
   whichever was read from last. */
enum begun_by { BEGUN_BY_GREENLET, BEGUN_BY_LOOP, BEGUN_BY_SHARED };

struct begun {
    _Atomic uint32_t number; /* 0: none, or being written */
    _Atomic uint32_t spans;
    uint32_t epoch;
    /* The context of the task or greenlet that serves it; what is in there only is compared. */
    uintptr_t serving;
    uintptr_t tasks; /* the set in which a server keeps a task for each request; 0: none */
    enum begun_by by;
    int descriptor;
    /* The request, or what was taken, whose code has begun the task that has this number; 0: it is
       that itself. */
    uint32_t root;
    struct python_taken taken;  /* for which it was taken out of a queue; else .queue is 0 */
    struct thread_context work; /* not known: for nobody */
};

/* A record that was made a child of a request for the word of a context that was inherited. */
struct doubt {
    struct record *record;
    uint8_t span_id[8];
    bool is_out; /* its ids went out with it */
    uint32_t number;
    const void *context;
};

/* A request that a stream of tornado's read before its server asked for it. */
struct early {
    uintptr_t stream; /* is only compared */
    struct unbegun request;
};

/* Written by the main thread alone. `begun` is read by all; who reads an entry looks at its number
   before and after. */
static struct {
    uint32_t epoch; /* of the process that the rest belongs to */
    bool is_called; /* a pending call is under way */
    uint32_t unbegun_count;
    _Atomic uint32_t last_number;
    uint32_t doubt_count;
    uint32_t early_count;
    struct early early[LIMIT_WITNESS_UNBEGUN];
    struct unbegun unbegun[LIMIT_WITNESS_UNBEGUN];
    struct doubt doubts[LIMIT_WITNESS_DOUBTS];
    struct begun begun[LIMIT_WITNESS_NUMBERS]; /* by number, modulo */
} python_requests;

/* What this thread was told last; and whether it is the main one, of which process. */
static __thread struct {
    struct thread_context work;
    const void *context;
    uint32_t number;
    uint32_t epoch;
    bool is_main;
    bool is_doubted;
    bool is_out;
    bool was_planned; /* the last answer was for a request that was not sent yet */
} told __attribute__((tls_model("initial-exec")));

static int begin_all(void *argument);

static struct begun *find_begun(uint32_t number)
{
    struct begun *entry = &python_requests.begun[number % LIMIT_WITNESS_NUMBERS];
    /* acquire: pairs with the release in begin_request */
    bool is_it =
        number != 0 && atomic_load_explicit(&entry->number, memory_order_acquire) == number;
    return is_it && attachment_is_of_process(entry->epoch) ? entry : NULL;
}

/* ---- what is in a context, without a call of Python's ---- */

/* PyContext, its table of variables (a hash array mapped trie: PEP 567) and a capsule, as they have
   been in all versions since 3.7; tried out before they are relied on. */
enum {
    CONTEXT_PREVIOUS = 16, /* the one in which this one was entered */
    CONTEXT_TABLE = 24,
    TABLE_ROOT = 16,
    FEW_BITS = 24,
    FEW_ENTRIES = 32,
    MANY_CHILDREN = 16,
    CAPSULE_POINTER = 16,
    TABLE_DEPTH = 7
};

static const char *pointer_at(const void *object, size_t offset)
{
    const char *pointer;
    memcpy(&pointer, (const char *)object + offset, sizeof(pointer));
    return pointer;
}

static uint32_t number_of_capsule(const char *value)
{
    if (value == NULL || ((const py_object *)(const void *)value)->type != python.capsule) {
        return 0;
    }
    return (uint32_t)(uintptr_t)pointer_at(value, CAPSULE_POINTER);
}

/* The compiler's own would be a function of its library, which is not linked. */
static uint32_t count_bits(uint32_t bits)
{
    bits -= bits >> 1 & 0x55555555;
    bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f;
    return bits * 0x01010101 >> 24;
}

/* The number that the variable has in this context, which lives; 0: none. */
static uint32_t number_in(const void *context)
{
    const char *table = context == NULL ? NULL : pointer_at(context, CONTEXT_TABLE);
    const char *node = table == NULL ? NULL : pointer_at(table, TABLE_ROOT);
    uint32_t hash = python.hash;
    for (int depth = 0; depth < TABLE_DEPTH && node != NULL; depth++, hash >>= 5) {
        const void *type = ((const py_object *)(const void *)node)->type;
        uint32_t at = hash & 31;
        if (type == python.of_many) {
            node = pointer_at(node, MANY_CHILDREN + at * sizeof(void *));
            continue;
        }
        uint32_t bits;
        memcpy(&bits, node + FEW_BITS, sizeof(bits));
        if (type != python.of_few || (bits >> at & 1) == 0) {
            return 0;
        }
        uint32_t before = count_bits(bits & ((1u << at) - 1));
        const char *key = pointer_at(node, FEW_ENTRIES + before * 2 * sizeof(void *));
        const char *value = pointer_at(node, FEW_ENTRIES + (before * 2 + 1) * sizeof(void *));
        if (key != NULL) {
            return key == (const char *)python.variable ? number_of_capsule(value) : 0;
        }
        node = value;
    }
    return 0;
}

/* The context of the code that this thread of Python's runs, or was running when it gave the lock
   up; it is the thread's own, so that it stays as it is. */
static const void *current_context(void)
{
    const void *thread = python.PyGILState_GetThisThreadState();
    return thread == NULL || python.is_finalizing() ? NULL : pointer_at(thread, python.context_at);
}

static bool is_main_thread(void)
{
    if (unlikely(told.epoch != attachment_epoch())) {
        told.epoch = attachment_epoch();
        told.is_main = raw_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0) ==
                       raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    }
    return told.is_main;
}

/* On the main thread: begin_all will be called, before Python's next instruction. */
static bool call_soon(void)
{
    if (!python_requests.is_called) {
        python_requests.is_called = python.Py_AddPendingCall(begin_all, NULL) == 0;
    }
    return python_requests.is_called;
}

static struct thread_context *get_cause(bool is_planned)
{
    if (atomic_load_explicit(&python_requests.last_number, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&python.state, memory_order_acquire) != PYTHON_READY) {
        return NULL;
    }
    const void *context = current_context();
    uint32_t number = number_in(context);
    struct begun *entry = number == 0 ? NULL : find_begun(number);
    if (entry == NULL) {
        return NULL;
    }
    uint32_t root_number = entry->root;
    bool is_doubted = entry->serving != (uintptr_t)context || root_number != 0;
    bool may_be_asked = entry->by != BEGUN_BY_GREENLET || root_number != 0;
    told.work = entry->work;
    bool was_taken = entry->taken.queue != 0;
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in begin_request */
    if (atomic_load_explicit(&entry->number, memory_order_relaxed) != number) {
        return NULL;
    }
    if (!trace_context_is_current(&told.work)) {
        if (was_taken && !is_planned) { /* it has sent something */
            atomic_fetch_add_explicit(&entry->spans, 1, memory_order_relaxed);
        }
        return NULL;
    }
    if (is_doubted && (!may_be_asked || !is_main_thread() ||
                       python_requests.doubt_count == LIMIT_WITNESS_DOUBTS || !call_soon())) {
        return NULL;
    }
    told.context = context;
    told.number = number;
    told.is_doubted = is_doubted;
    told.was_planned = is_planned;
    struct begun *counts = root_number == 0 ? entry : find_begun(root_number);
    if (counts == NULL) {
        return NULL;
    }
    told.work.spans =
        atomic_fetch_add_explicit(&counts->spans, is_planned ? 0 : 1, memory_order_relaxed);
    return &told.work;
}

static struct thread_context *cause_of_http(struct slice method, struct slice target,
                                            uint64_t call_ns)
{
    (void)method;
    (void)target;
    bool was_planned = call_ns != 0 && told.was_planned;
    struct thread_context *cause = get_cause(call_ns == 0);
    told.is_out = was_planned;
    return cause;
}

static struct thread_context *cause_of_bytes(const struct connection *connection, uint64_t call_ns)
{
    (void)connection;
    (void)call_ns;
    told.is_out = false;
    return get_cause(false);
}

/* Only for the request's own task, which needs no proof that could not be had in time. */
static bool cause_of_child(struct thread_context *work)
{
    if (atomic_load_explicit(&python_requests.last_number, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&python.state, memory_order_acquire) != PYTHON_READY) {
        return false;
    }
    const void *context = current_context();
    uint32_t number = number_in(context);
    const struct begun *entry = number == 0 ? NULL : find_begun(number);
    if (entry == NULL || entry->serving != (uintptr_t)context || entry->root != 0) {
        return false;
    }
    *work = entry->work;
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in begin_request */
    return atomic_load_explicit(&entry->number, memory_order_relaxed) == number;
}

static void gave(struct record *record, bool is_given)
{
    if (told.is_doubted && (is_given || told.is_out) &&
        python_requests.doubt_count < LIMIT_WITNESS_DOUBTS) {
        struct doubt *doubt = &python_requests.doubts[python_requests.doubt_count++];
        *doubt = (struct doubt){.record = record,
                                .is_out = told.is_out,
                                .number = told.number,
                                .context = told.context};
        memcpy(doubt->span_id, record->span_id, sizeof(doubt->span_id));
    }
}

static void take_back(uint64_t call_ns)
{
    (void)call_ns;
}

static void connecting(const struct connection *connection)
{
    (void)connection;
    python_pools_look();
}

static void job_claimed(const struct thread_context *work, const struct connection *connection,
                        struct slice system, const struct rule_facts *facts)
{
    (void)work;
    (void)connection;
    (void)system;
    (void)facts;
}

static bool tells_jobs(void)
{
    return false;
}

/* ---- what needs Python's lock ---- */

static py_object *own(py_object *borrowed)
{
    if (borrowed != NULL) {
        python.Py_IncRef(borrowed);
    }
    return borrowed;
}

/* What a dictionary has for a small number; the dictionary is given up. */
static py_object *step_item(py_object *dictionary, int number)
{
    py_object *key = dictionary == NULL ? NULL : python.PyLong_FromLong(number);
    py_object *value = key == NULL ? NULL : own(python.PyDict_GetItem(dictionary, key));
    python_forget(key);
    python_forget(dictionary);
    return value;
}

static py_object *step_reference(py_object *reference)
{
    py_object *object = reference == NULL ? NULL : own(python.PyWeakref_GetObject(reference));
    if (object == NULL) {
        python.PyErr_Clear();
    }
    python_forget(reference);
    return object;
}

static void *thread_context_slot(void)
{
    return (char *)python.PyThreadState_Get() + python.context_at;
}

/* Puts the number into the context. One that another thread is in stays as it is. */
static bool put(py_object *context, py_object *capsule)
{
    bool is_current = pointer_at(thread_context_slot(), 0) == (const char *)context;
    if (!is_current && python.PyContext_Enter(context) != 0) {
        python.PyErr_Clear();
        return false;
    }
    py_object *token = python.PyContextVar_Set(python.variable, capsule);
    python_forget(token);
    bool is_put = token != NULL;
    if (!is_put) {
        python.PyErr_Clear();
    }
    if (!is_current && python.PyContext_Exit(context) != 0) {
        python.PyErr_Clear();
    }
    return is_put;
}

static int take_context(py_object *object, void *argument)
{
    py_object **found = argument;
    if (object->type == python.context && *found == NULL) {
        *found = own(object);
    }
    return 0;
}

/* Visits what the object consists of, as that type of its tells. */
static void visit(py_object *object, const void *type, py_visit *visitor, void *argument)
{
    py_traverse *traverse = NULL;
    void *slot = python.PyType_GetSlot(type, SLOT_TRAVERSE);
    memcpy(&traverse, &slot, sizeof(slot));
    if (traverse != NULL) {
        traverse(object, visitor, argument);
    } else {
        python.PyErr_Clear();
    }
}

/* The context that a task runs in, or that a future's waiter runs in: each the first that the
   collector of garbage is told of. The future is given up. */
static py_object *step_context(py_object *future, const char *kind)
{
    py_object *found = NULL;
    py_object *module = future == NULL ? NULL : python_module("_asyncio");
    py_object *type = python_step(module, kind);
    if (type != NULL && python.PyType_IsSubtype(future->type, type)) {
        visit(future, type, take_context, &found);
    }
    python_forget(type);
    python_forget(future);
    return found;
}

/* The context of who waits for what the protocol reads: of aiohttp's server, a stream's reader, or
   the messages of a WebSocket of websockets'. */
static py_object *find_waiter(py_object *protocol)
{
    py_object *waiter = step_context(python_get(protocol, "_waiter"), "Future");
    if (waiter == NULL) {
        py_object *reader = step_reference(python_get(protocol, "_stream_reader_wr"));
        waiter = step_context(python_step(reader, "_waiter"), "Future");
    }
    if (waiter == NULL) {
        py_object *frames = python_step(python_get(protocol, "recv_messages"), "frames");
        waiter = step_context(python_step(frames, "get_waiter"), "Future");
    }
    return waiter;
}

/* The request whose number is in the context, if it came by the same connection. A task that serves
   a connection can have another's only from the context in which it was made. */
static const struct begun *begun_before(const void *context, const struct thread_context *work)
{
    const struct begun *entry = find_begun(number_in(context));
    return entry != NULL && entry->work.connection == work->connection ? entry : NULL;
}

/* The context of the task that will wait, if nothing has been done in it for any request. */
static py_object *find_fresh_task(py_object *protocol, const struct thread_context *work)
{
    static const char *const names[] = {"_task_handler", "_task"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        py_object *context = step_context(python_get(protocol, names[i]), "Task");
        uint32_t number = number_in(context);
        if (context != NULL &&
            (number == 0 || (find_begun(number) != NULL && begun_before(context, work) == NULL))) {
            return context;
        }
        python_forget(context);
    }
    return NULL;
}

/* The same of aiohttp's server, whose task has yet to be told that it may wait again: it begins a
   task of its own for each request, and what it began for the last one is done. */
static py_object *find_idle_task(py_object *protocol, const struct thread_context *work)
{
    py_object *served = python_get(protocol, "_current_request");
    bool is_idle = (const void *)served == python._Py_NoneStruct;
    python_forget(served);
    py_object *context =
        is_idle ? step_context(python_get(protocol, "_task_handler"), "Task") : NULL;
    const struct begun *last = begun_before(context, work);
    if (last != NULL && trace_context_is_current(&last->work)) {
        python_forget(context);
        return NULL;
    }
    return context;
}

/* A function of asyncio's that is C's; it is kept. */
static py_object *find_function(py_object **function, const char *name)
{
    if (*function == NULL) {
        *function = python_step(python_module("_asyncio"), name);
        if (*function != NULL && (*function)->type != python.PyCFunction_Type) {
            python_forget(*function);
            *function = NULL;
        }
    }
    return *function;
}

static py_object *running_loop(void)
{
    py_object *function = find_function(&python.get_running_loop, "_get_running_loop");
    py_object *loop = function == NULL ? NULL : python.PyObject_CallObject(function, NULL);
    if (loop == NULL) {
        python.PyErr_Clear();
    }
    return loop;
}

/* One that is not an open request's: those stay. */
static uint32_t next_number(void)
{
    uint32_t number = atomic_load_explicit(&python_requests.last_number, memory_order_relaxed);
    for (uint32_t i = 0; i < LIMIT_WITNESS_OPEN; i++) {
        number = number == UINT32_MAX ? 1 : number + 1;
        const struct begun *entry = &python_requests.begun[number % LIMIT_WITNESS_NUMBERS];
        if (atomic_load_explicit(&entry->number, memory_order_relaxed) == 0 || entry->root != 0 ||
            entry->taken.queue != 0 || !attachment_is_of_process(entry->epoch) ||
            !trace_context_is_current(&entry->work)) {
            break;
        }
    }
    return number;
}

/* The request has its number from here on. `tasks` is NULL where no loop serves it. */
static uint32_t begin_request(const struct unbegun *request, const void *serving,
                              const py_object *tasks, enum begun_by by)
{
    uint32_t number = next_number();
    struct begun *entry = &python_requests.begun[number % LIMIT_WITNESS_NUMBERS];
    atomic_store_explicit(&entry->number, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* pairs with the fence in get_cause */
    entry->work = request->work;
    entry->descriptor = request->descriptor;
    entry->serving = (uintptr_t)serving;
    entry->tasks = (uintptr_t)tasks;
    entry->by = by;
    entry->taken.queue = 0;
    entry->root = 0;
    entry->epoch = python_requests.epoch;
    atomic_store_explicit(&entry->spans, 0, memory_order_relaxed);
    /* release: pairs with the acquire in find_begun */
    atomic_store_explicit(&entry->number, number, memory_order_release);
    atomic_store_explicit(&python_requests.last_number, number, memory_order_relaxed);
    atomic_store_explicit(&python.has_begun, true, memory_order_relaxed);
    return number;
}

static py_object *make_capsule(uint32_t number)
{
    py_object *capsule = python.PyCapsule_New((void *)(uintptr_t)number, NULL, NULL);
    if (capsule == NULL) {
        python.PyErr_Clear();
    }
    return capsule;
}

/* An earlier request of this connection is not answered yet: the task works for that. */
static bool is_busy(py_object *reading, const struct thread_context *work)
{
    const struct begun *entry = begun_before(reading, work);
    return entry != NULL && trace_context_is_current(&entry->work);
}

/* Who reads a message for a request goes on with that. */
static bool works_for_another(const void *context, const struct unbegun *request)
{
    const struct begun *entry = request->work.is_of_message ? find_begun(number_in(context)) : NULL;
    return entry != NULL && !entry->work.is_of_message && trace_context_is_current(&entry->work);
}

/* The request was read by a transport of that protocol, which reads in that context. */
static void begin_for(py_object *protocol, py_object *reading, const struct unbegun *request,
                      enum begun_by by)
{
    if (reading->type != python.context || is_busy(reading, &request->work) ||
        works_for_another(reading, request)) {
        return;
    }
    py_object *waiter = find_waiter(protocol);
    if (works_for_another(waiter, request)) {
        python_forget(waiter);
        return;
    }
    py_object *serving = waiter != NULL ? waiter : find_fresh_task(protocol, &request->work);
    serving = serving != NULL ? serving : find_idle_task(protocol, &request->work);
    py_object *tasks = python_get(protocol, "tasks");
    py_object *capsule = make_capsule(begin_request(request, serving, tasks, by));
    if (capsule != NULL && put(reading, capsule) && serving != NULL) {
        put(serving, capsule);
    }
    python_forget(tasks);
    python_forget(serving);
    python_forget(capsule);
}

static void begin_for_tornado(py_object *handle, const struct unbegun *request);

/* It is not answered yet, and its descriptor is still that of its connection. */
static bool is_of_open_connection(const struct unbegun *request)
{
    struct touch touch;
    return trace_context_is_current(&request->work) &&
           connection_find(request->descriptor, &touch) &&
           touch.connection->serial == request->work.connection;
}

/* The request was read by a transport of the running loop. */
static void begin_in_loop(py_object *loop, const struct unbegun *request)
{
    py_object *transport = step_reference(
        step_item(python_step(python_get(loop, "_transports"), "data"), request->descriptor));
    py_object *protocol = python_get(transport, "_protocol");
    py_object *above_tls = python_get(protocol, "_app_protocol");
    py_object *key =
        step_item(python_step(python_get(loop, "_selector"), "_fd_to_key"), request->descriptor);
    py_object *handles = python_step(key, "data");
    py_object *handle = handles == NULL ? NULL : own(python.PyTuple_GetItem(handles, 0));
    py_object *reading = python_get(handle, "_context");
    if (protocol != NULL && reading != NULL) {
        begin_for(above_tls != NULL ? above_tls : protocol, reading, request, BEGUN_BY_LOOP);
    } else if (transport == NULL) {
        begin_for_tornado(handle, request);
    }
    python_forget(reading);
    python_forget(handle);
    python_forget(handles);
    python_forget(above_tls);
    python_forget(protocol);
    python_forget(transport);
    python.PyErr_Clear();
}

/* uvloop shows neither its transports nor in which context each reads. But it has just entered that
   context, and called the protocol with what was read: that is the function about to run. */
static bool is_receiving(void)
{
    static const char name[] = "data_received";
    py_object *frame = python.PyEval_GetFrame();
    py_object *code = frame == NULL ? NULL : python.PyFrame_GetCode(frame);
    return python_is_text(python_step(code, "co_name"), name, sizeof(name));
}

/* The descriptor of a transport of uvloop's, all of which is compiled; below 0: it is none. */
static long descriptor_of(py_object *transport)
{
    static const char module[] = "uvloop.";
    long descriptor = -1;
    py_object *type = transport == NULL ? NULL : (py_object *)(uintptr_t)transport->type;
    if (!python_is_text(python_get(type, "__module__"), module, sizeof(module) - 1)) {
        return -1;
    }
    py_object *ask = python_get(transport, "get_extra_info");
    py_object *name = python.PyUnicode_FromString("socket");
    py_object *arguments = python.PyTuple_New(1);
    if (ask != NULL && name != NULL && arguments != NULL) {
        python.PyTuple_SetItem(arguments, 0, own(name));
        py_object *number = python_step(python.PyObject_CallObject(ask, arguments), "fileno");
        py_object *answer = number == NULL ? NULL : python.PyObject_CallObject(number, NULL);
        descriptor = answer == NULL ? -1 : python.PyLong_AsLong(answer);
        python_forget(answer);
        python_forget(number);
    }
    python_forget(arguments);
    python_forget(name);
    python_forget(ask);
    python.PyErr_Clear();
    return descriptor;
}

static void begin_in_uvloop(const struct unbegun *request)
{
    py_object *locals = is_receiving() ? python.PyEval_GetLocals() : NULL;
    py_object *name = locals == NULL ? NULL : python.PyUnicode_FromString("self");
    py_object *protocol = name == NULL ? NULL : own(python.PyDict_GetItem(locals, name));
    py_object *transport = python_get(protocol, "transport");
    if (transport == NULL) {
        transport = python_get(protocol, "_transport");
    }
    py_object *reading = own((py_object *)(uintptr_t)pointer_at(thread_context_slot(), 0));
    if (reading != NULL && descriptor_of(transport) == request->descriptor) {
        begin_for(protocol, reading, request, BEGUN_BY_SHARED);
    }
    python_forget(reading);
    python_forget(transport);
    python_forget(protocol);
    python_forget(name);
    python.PyErr_Clear();
}

/* The current greenlet, if it is one of those that a hub switches to; owned. */
static py_object *current_greenlet(void)
{
    py_object *interface = python_step(python_module("greenlet"), "_C_API");
    void *const *table =
        interface == NULL ? NULL : python.PyCapsule_GetPointer(interface, "greenlet._C_API");
    python_forget(interface);
    if (table == NULL) {
        python.PyErr_Clear();
        return NULL;
    }
    py_object *(*get_current)(void);
    py_object *(*get_parent)(py_object *);
    memcpy(&get_current, &table[GREENLET_CURRENT], sizeof(get_current));
    memcpy(&get_parent, &table[GREENLET_PARENT], sizeof(get_parent));
    py_object *current = get_current();
    py_object *hub = current == NULL ? NULL : get_parent(current);
    py_object *main_one = hub == NULL ? NULL : get_parent(hub);
    if (main_one == NULL) {
        python_forget(current);
        current = NULL;
    }
    python_forget(main_one);
    python_forget(hub);
    python.PyErr_Clear();
    return current;
}

static bool is_greenlet(void)
{
    py_object *current = current_greenlet();
    python_forget(current);
    return current != NULL;
}

/* The current greenlet has the number that will be given next. */
static bool put_next_number(void)
{
    py_object *capsule = make_capsule(next_number());
    py_object *token = capsule == NULL ? NULL : python.PyContextVar_Set(python.variable, capsule);
    python_forget(token);
    python_forget(capsule);
    python.PyErr_Clear();
    return token != NULL;
}

static void watch_greenlets(void);

/* The request was read by the current greenlet. */
static void begin_in_greenlet(const struct unbegun *request)
{
    if (is_greenlet() && put_next_number()) {
        begin_request(request, pointer_at(thread_context_slot(), 0), NULL, BEGUN_BY_GREENLET);
        watch_greenlets();
    }
}

/* The code of a method, if its module is loaded; is kept. */
static const py_object *code_of_method(const char *module, const char *type, const char *method)
{
    py_object *function = python_step(python_step(python_module(module), type), method);
    return python_step(function, "__code__");
}

/* The client is loaded by the first request that uses it. */
static void look_for_tornado(void)
{
    if (python.fetch == NULL) {
        python.fetch = code_of_method("tornado.simple_httpclient", "_HTTPConnection", "run");
    }
    if (python.handler == NULL) {
        python.handler = code_of_method("tornado.web", "RequestHandler", "_execute");
    }
}

static void begin(const struct unbegun *request)
{
    look_for_tornado();
    if (!is_of_open_connection(request)) {
        return;
    }
    py_object *loop = running_loop();
    py_object *selector = python_get(loop, "_selector");
    if (selector != NULL) {
        begin_in_loop(loop, request);
    } else {
        begin_in_uvloop(request);
    }
    python_forget(selector);
    python_forget(loop);
    begin_in_greenlet(request);
}

/* ---- who waits for whom ---- */

/* Futures, of which something else is waiting for the first; each is owned. */
struct waiting {
    py_object *partial; /* the type of functools.partial */
    py_object *future;
    uint32_t depth;
    uint32_t count;
    py_object *futures[LIMIT_WITNESS_WAITING];
};

#define CALLBACK_DEPTH 5

static int visit_part(py_object *object, void *argument)
{
    struct waiting *waiting = argument;
    const void *type = object->type;
    if (python.PyType_IsSubtype(type, waiting->future)) {
        if (waiting->count < LIMIT_WITNESS_WAITING) {
            waiting->futures[waiting->count++] = own(object);
        }
        return 0;
    }
    bool is_part = type == python.PyCFunction_Type || type == python.PyCell_Type ||
                   type == python.PyFunction_Type || type == python.PyMethod_Type ||
                   type == python.PyTuple_Type || type == waiting->partial;
    void *slot = is_part ? python.PyType_GetSlot(type, SLOT_TRAVERSE) : NULL;
    if (slot != NULL && waiting->depth < CALLBACK_DEPTH) {
        py_traverse *traverse;
        memcpy(&traverse, &slot, sizeof(traverse));
        waiting->depth++;
        traverse(object, visit_part, waiting);
        waiting->depth--;
    }
    return 0;
}

static bool is_in_module(py_object *module, const char *wanted)
{
    const char *name = module == NULL ? NULL : python.PyUnicode_AsUTF8(module);
    bool is_it = name != NULL && strncmp(name, wanted, strlen(wanted)) == 0;
    python_forget(module);
    python.PyErr_Clear();
    return is_it;
}

/* Whether the callback is one of asyncio's own functions, or of what tornado makes of them: who is
   called by those waits. */
static bool is_of_asyncio(py_object *callback)
{
    static const char *const modules[] = {"asyncio.", "tornado.concurrent", "tornado.gen",
                                          "tornado.simple_httpclient"};
    py_object *function = python_get(callback, "__func__");
    function = function != NULL ? function : python_get(callback, "func");
    py_object *module =
        function != NULL ? python_step(function, "__module__") : python_get(callback, "__module__");
    const char *name = module == NULL ? NULL : python.PyUnicode_AsUTF8(module);
    bool is_it = false;
    for (size_t i = 0; name != NULL && i < sizeof(modules) / sizeof(modules[0]); i++) {
        is_it = is_it || strncmp(name, modules[i], strlen(modules[i])) == 0;
    }
    python_forget(module);
    python.PyErr_Clear();
    return is_it;
}

#define OF_ANYIO "anyio._backends._asyncio"

/* The task that has entered the group of anyio's, and cannot leave it before its tasks have ended,
   if the callback is such a group's: a function inside one of the group's methods. */
static py_object *host_of_group(py_object *callback)
{
    if (callback->type != python.PyFunction_Type ||
        !is_in_module(python_get(callback, "__module__"), OF_ANYIO)) {
        return NULL;
    }
    py_object *cells = python_get(callback, "__closure__");
    bool has_cells = cells != NULL && cells->type == python.PyTuple_Type;
    intptr_t size = has_cells ? python.PySequence_Size(cells) : 0;
    py_object *host = NULL;
    for (intptr_t at = 0; at < size && host == NULL; at++) {
        py_object *part = python_get(python.PyTuple_GetItem(cells, at), "cell_contents");
        py_object *type = part == NULL ? NULL : (py_object *)(uintptr_t)part->type;
        if (type != NULL && is_in_module(python_get(type, "__module__"), OF_ANYIO)) {
            host = python_step(python_get(part, "cancel_scope"), "_host_task");
        }
        python_forget(part);
    }
    python_forget(cells);
    return host;
}

/* Adds who is waited for by that callback; true if it is a server's, of a task for one request. */
static bool add_waiting(struct waiting *waiting, py_object *callback, uintptr_t tasks)
{
    py_object *bound = python_get(callback, "__self__");
    bool is_server = bound != NULL && (uintptr_t)bound == tasks;
    if (bound != NULL && python.PyType_IsSubtype(bound->type, waiting->future)) {
        visit_part(bound, waiting);
    } else if (!is_server && is_of_asyncio(callback)) {
        py_object *parent = python_get(bound, "_parent_task"); /* of a group of tasks */
        if (parent != NULL) {
            visit_part(parent, waiting);
        } else {
            visit_part(callback, waiting);
        }
        python_forget(parent);
    } else if (!is_server) {
        py_object *host = host_of_group(callback);
        if (host != NULL) {
            visit_part(host, waiting);
        }
        python_forget(host);
    }
    python_forget(bound);
    return is_server;
}

/* The task is the first. To be ended. */
static void begin_waiting(struct waiting *waiting, py_object *task)
{
    memset(waiting, 0, sizeof(*waiting));
    waiting->future = python_step(python_module("_asyncio"), "Future");
    waiting->partial = python_step(python_module("functools"), "partial");
    if (waiting->future != NULL) {
        visit_part(task, waiting);
    }
}

static bool runs(py_object *task, const py_object *code)
{
    py_object *own_code = code == NULL ? NULL : python_step(python_get(task, "_coro"), "cr_code");
    python_forget(own_code);
    return code != NULL && own_code == code;
}

/* Whether the task makes one request of tornado's client, and nothing else. */
static bool is_fetch(py_object *task)
{
    return runs(task, python.fetch);
}

/* Whether the task is that of one request of tornado's server, and nothing else. */
static bool is_handler(py_object *task)
{
    return runs(task, python.handler);
}

/* Adds what tornado's client will resolve when that request is over. */
static void add_fetched(struct waiting *waiting, py_object *task)
{
    py_object *frame = python_step(python_get(task, "_coro"), "cr_frame");
    py_object *callback =
        python_step(python_local(python_step(frame, "f_locals"), "self"), "final_callback");
    if (callback != NULL) {
        visit_part(callback, waiting);
    }
    python_forget(callback);
}

/* Adds who is waited for by the future's callbacks; true if one is a server's. */
static bool add_all_waiting(struct waiting *waiting, py_object *future, uintptr_t tasks)
{
    py_object *callbacks = python_get(future, "_callbacks");
    intptr_t size = callbacks == NULL ? 0 : python.PySequence_Size(callbacks);
    bool has_server = false;
    for (intptr_t at = 0; at < size; at++) {
        py_object *pair = python.PySequence_GetItem(callbacks, at);
        py_object *callback = pair == NULL ? NULL : python.PyTuple_GetItem(pair, 0);
        has_server = (callback != NULL && add_waiting(waiting, callback, tasks)) || has_server;
        python_forget(pair);
    }
    python_forget(callbacks);
    if (is_fetch(future)) {
        add_fetched(waiting, future);
    }
    return has_server;
}

static void end_waiting(struct waiting *waiting)
{
    for (uint32_t i = 0; i < waiting->count; i++) {
        python_forget(waiting->futures[i]);
    }
    python_forget(waiting->partial);
    python_forget(waiting->future);
    python.PyErr_Clear();
}

/* Whether what the task runs is a method of what holds the request's connection. */
static bool serves_connection(py_object *task, const struct begun *entry)
{
    struct touch touch;
    if (!connection_find(entry->descriptor, &touch) ||
        touch.connection->serial != entry->work.connection) {
        return false;
    }
    py_object *frame = python_step(python_get(task, "_coro"), "cr_frame");
    py_object *serving = python_local(python_step(frame, "f_locals"), "self");
    py_object *transport = python_step(serving, "transport");
    bool is_it = descriptor_of(transport) == entry->descriptor;
    python_forget(transport);
    return is_it;
}

/* Whether the request's own task is the current one, or waits for it over any number of others. */
static bool is_waited_for(py_object *task, uint32_t number, const struct begun *entry)
{
    struct waiting waiting;
    bool is_it = false;
    begin_waiting(&waiting, task);
    for (uint32_t i = 0; i < waiting.count && !is_it; i++) {
        py_object *future = waiting.futures[i];
        py_object *context = step_context(own(future), "Task");
        is_it = context != NULL && (uintptr_t)context == entry->serving;
        bool is_its = context != NULL && number_in(context) == number;
        python_forget(context);
        if (!is_it) {
            is_it = add_all_waiting(&waiting, future, entry->tasks) && is_its &&
                    (entry->by != BEGUN_BY_SHARED || serves_connection(future, entry));
        }
    }
    end_waiting(&waiting);
    return is_it;
}

/* The task that runs now; owned. */
static py_object *current_task(void)
{
    py_object *function = find_function(&python.current_task, "current_task");
    if (function != NULL) {
        py_object *task = python.PyObject_CallObject(function, NULL);
        python.PyErr_Clear();
        return task;
    }
    py_object *loop = running_loop();
    py_object *tasks = python_step(python_module("asyncio.tasks"), "_current_tasks");
    py_object *task =
        loop == NULL || tasks == NULL ? NULL : own(python.PyDict_GetItem(tasks, loop));
    python_forget(tasks);
    python_forget(loop);
    return task;
}

/* Adds the greenlets that will be switched to by what a list of callbacks has. */
static int visit_links(py_object *object, void *argument)
{
    struct waiting *waiting = argument;
    if (object->type != python.PyList_Type) {
        return 0;
    }
    intptr_t size = python.PySequence_Size(object);
    for (intptr_t at = 0; at < size && waiting->count < LIMIT_WITNESS_WAITING; at++) {
        py_object *bound = python_step(python.PySequence_GetItem(object, at), "__self__");
        if (bound != NULL && !python.PyType_IsSubtype(bound->type, waiting->future)) {
            bound = python_step(bound, "greenlet"); /* a waiter's */
        }
        if (bound != NULL && python.PyType_IsSubtype(bound->type, waiting->future)) {
            waiting->futures[waiting->count++] = own(bound);
        }
        python_forget(bound);
    }
    return 0;
}

/* Whether the request's own greenlet waits for the end of the current one, over any number of
   others. */
static bool is_greenlet_waited_for(uint32_t number, const struct begun *entry)
{
    struct waiting waiting = {.future = python_step(python_module("greenlet"), "greenlet")};
    py_object *current = waiting.future == NULL ? NULL : current_greenlet();
    bool is_it = false;
    if (current != NULL) {
        waiting.futures[waiting.count++] = current;
    }
    for (uint32_t i = 0; i < waiting.count && !is_it; i++) {
        py_object *greenlet = waiting.futures[i];
        py_object *context = python_get(greenlet, "gr_context");
        const struct begun *begun =
            find_begun(context == NULL || context->type != python.context ? 0 : number_in(context));
        is_it = (uintptr_t)context == entry->serving;
        if (begun != NULL && begun->root == number && begun->serving == (uintptr_t)context) {
            visit(greenlet, greenlet->type, visit_links, &waiting);
        }
        python_forget(context);
    }
    end_waiting(&waiting);
    return is_it;
}

/* Whether that context, which is current, was entered by the request's own code, which is in that
   call still: a task that begins at once runs up to where it waits for the first time. */
static bool is_within(const void *context, uint32_t number, const struct begun *entry)
{
    const void *within = context;
    for (uint32_t i = 0; i < LIMIT_WITNESS_WITHIN && within != NULL && python.tells_previous; i++) {
        within = pointer_at(within, CONTEXT_PREVIOUS);
        if (number_in(within) != number) {
            return false;
        }
        if ((uintptr_t)within == entry->serving) {
            return entry->root == 0;
        }
    }
    return false;
}

/* Whether the current task is one of tornado's server that reads requests and answers them. */
static bool is_tornados(void)
{
    static const char name[] = "_server_request_loop";
    py_object *task = current_task();
    bool is_it =
        python_is_text(python_step(python_step(python_step(task, "_coro"), "cr_code"), "co_name"),
                       name, sizeof(name));
    python.PyErr_Clear();
    return is_it;
}

/* The context of the task that waits for the future, over any number of others. */
static py_object *waiting_context(py_object *future)
{
    struct waiting waiting;
    py_object *found = NULL;
    begin_waiting(&waiting, future);
    for (uint32_t i = 0; i < waiting.count && found == NULL; i++) {
        found = step_context(own(waiting.futures[i]), "Task");
        if (found == NULL) {
            add_all_waiting(&waiting, waiting.futures[i], 0);
        }
    }
    end_waiting(&waiting);
    return found;
}

static void begin_for_task(py_object *serving, const struct unbegun *request)
{
    if (serving->type != python.context || is_busy(serving, &request->work)) {
        return;
    }
    py_object *capsule = make_capsule(begin_request(request, serving, NULL, BEGUN_BY_LOOP));
    if (capsule != NULL) {
        put(serving, capsule);
    }
    python_forget(capsule);
}

/* The current task begins something. If it is tornado's server, and its stream has read a request
   early, it is for that. */
static void begin_early(void)
{
    py_object *task = is_tornados() ? current_task() : NULL;
    py_object *frame = python_step(python_get(task, "_coro"), "cr_frame");
    py_object *stream = python_step(python_local(python_step(frame, "f_locals"), "self"), "stream");
    uint32_t count = 0;
    bool is_found = false;
    for (uint32_t i = 0; i < python_requests.early_count; i++) {
        const struct early *early = &python_requests.early[i];
        bool is_open = is_of_open_connection(&early->request);
        if (is_open && !is_found && early->stream == (uintptr_t)stream) {
            begin_for_task((py_object *)(uintptr_t)current_context(), &early->request);
            is_found = true;
        } else if (is_open) {
            python_requests.early[count++] = *early;
        }
    }
    python_requests.early_count = count;
    python_forget(stream);
    python_forget(task);
}

/* The request was read by a stream of tornado's, which a loop calls by the handle, NULL: not yet.
   Who waits for what the stream reads serves its connection, or is reading it right now. */
static void begin_for_tornado(py_object *handle, const struct unbegun *request)
{
    py_object *loop = python_step(python_get(handle, "_callback"), "__self__");
    py_object *handler = step_item(python_step(loop, "handlers"), request->descriptor);
    bool is_pair = handler != NULL && handler->type == python.PyTuple_Type &&
                   python.PySequence_Size(handler) == 2;
    py_object *stream = is_pair ? python_get(python.PyTuple_GetItem(handler, 1), "__self__") : NULL;
    py_object *future = python_get(stream, "_read_future");
    py_object *serving = future == NULL ? NULL : waiting_context(future);
    if (serving == NULL && is_tornados()) {
        serving = own((py_object *)(uintptr_t)current_context());
    }
    if (serving != NULL) {
        begin_for_task(serving, request);
    } else if (stream != NULL && python_requests.early_count < LIMIT_WITNESS_UNBEGUN) {
        python_requests.early[python_requests.early_count++] =
            (struct early){(uintptr_t)stream, *request};
    }
    python_forget(serving);
    python_forget(future);
    python_forget(stream);
    python_forget(handler);
}

/* Whether the current task works for whom its number names: that one's own code has begun it, and
   it is no worker that loops; or that one waits for it. */
static bool is_believed(py_object *task, const void *context, uint32_t number)
{
    const struct begun *entry = find_begun(number);
    uint32_t root_number = entry != NULL && entry->root != 0 ? entry->root : number;
    const struct begun *root = find_begun(root_number);
    if (entry == NULL || root == NULL) {
        return false;
    }
    bool was_begun = entry->root != 0 && entry->serving == (uintptr_t)context;
    if (entry->by == BEGUN_BY_GREENLET) {
        return was_begun && (python_code_of_greenlet_goes_straight() ||
                             is_greenlet_waited_for(root_number, root));
    }
    if (task == NULL || (const void *)task == python._Py_NoneStruct) {
        return false;
    }
    bool is_new = !was_begun && is_within(context, number, entry);
    return (was_begun && (is_fetch(task) || is_handler(task))) ||
           ((was_begun || is_new) && python_code_goes_straight(task)) ||
           (is_new && python_code_serves_at_once(task)) || is_waited_for(task, root_number, root);
}

static void withdraw(const struct doubt *doubt)
{
    trace_context_withdraw(&thread_state, doubt->record, doubt->span_id, doubt->is_out);
}

/* An inherited number is right for who is waited for by the request's own task. Whoever is not
   may by now work for others: a worker that the request has started, say. */
static void settle(const struct doubt *doubt)
{
    bool is_there = pointer_at(thread_context_slot(), 0) == (const char *)doubt->context;
    py_object *task = is_there ? current_task() : NULL;
    if (!is_believed(task, doubt->context, doubt->number)) {
        withdraw(doubt);
    }
    python_forget(task);
}

/* For whom the code works that runs on this thread now; with Python's lock. */
static struct thread_context *cause_of_code(void)
{
    struct thread_context *cause = get_cause(true);
    told.was_planned = false; /* nothing is sent */
    if (cause == NULL) {
        return python_threads_cause();
    }
    if (!told.is_doubted) {
        return cause;
    }
    int collects = python_stay();
    py_object *task = current_task();
    bool is_proven = is_believed(task, told.context, told.number);
    python_forget(task);
    python_leave(collects);
    return is_proven ? cause : NULL;
}

/* ---- who takes from queues ---- */

/* For which the code that has this context took something out of a queue last. */
static struct begun *taken_in(const void *context)
{
    struct begun *entry = find_begun(number_in(context));
    return entry != NULL && entry->taken.queue != 0 && entry->serving == (uintptr_t)context ? entry
                                                                                            : NULL;
}

/* The context's code works for a request that was read, whatever it takes. `task` NULL: a
   greenlet's code. */
static bool works_for_itself(const void *context, py_object *task)
{
    uint32_t number = number_in(context);
    const struct begun *entry = find_begun(number);
    if (entry != NULL && entry->root != 0) {
        number = entry->root;
        entry = find_begun(number);
    }
    if (entry == NULL || entry->taken.queue != 0 || !trace_context_is_current(&entry->work)) {
        return false;
    }
    return entry->serving == (uintptr_t)context ||
           (task != NULL && entry->by != BEGUN_BY_GREENLET && is_waited_for(task, number, entry));
}

/* The code that has this context has taken something, and works for `work` until it takes something
   else. False: it works for nobody, because it is ahead. */
static bool take_in(py_object *context, const struct thread_context *work,
                    const struct python_taken *what, enum begun_by by)
{
    struct begun *last = taken_in(context);
    struct python_taken next = *what;
    uint32_t sent = last == NULL ? 0 : atomic_load_explicit(&last->spans, memory_order_relaxed);
    bool follows = last == NULL || python_taken_follows(&last->taken, sent, &next);
    struct unbegun request = {.descriptor = -1};
    if (work != NULL && follows) {
        request.work = *work;
    } else {
        memset(next.span_id, 0, sizeof(next.span_id));
    }
    bool is_same =
        last != NULL && memcmp(last->taken.span_id, next.span_id, sizeof(next.span_id)) == 0;
    if (!is_same) {
        uint32_t number = begin_request(&request, context, NULL, by);
        py_object *capsule = make_capsule(number);
        last = capsule != NULL && put(context, capsule) ? find_begun(number) : NULL;
        sent = 0;
        python_forget(capsule);
    }
    if (last != NULL) {
        next.sent = sent;
        last->taken = next;
    }
    return follows;
}

/* Whether the task runs nothing but a queue's function, so that what it takes is for who waits. */
static bool is_mere_get(py_object *task)
{
    py_object *code = python_step(python_get(task, "_coro"), "cr_code");
    bool is_it = code != NULL && python_queues_is_get(code);
    python_forget(code);
    return is_it;
}

/* What the task has taken is its result, or may be: who waits for it is its taker, if the task does
   nothing else (`is_mere`), or else works for nobody. */
static bool take_for_waiting(py_object *task, const struct thread_context *work,
                             const struct python_taken *what, bool is_mere)
{
    struct waiting waiting;
    uint8_t crossed[LIMIT_WITNESS_WAITING] = {0}; /* tasks that lie between */
    bool follows = true;
    begin_waiting(&waiting, task);
    for (uint32_t i = 0; i < waiting.count; i++) {
        py_object *future = waiting.futures[i];
        py_object *context = i == 0 ? NULL : step_context(own(future), "Task");
        bool is_own = context != NULL && works_for_itself(context, future);
        if (context != NULL && !is_own) {
            bool is_taker = is_mere && crossed[i] == 0;
            if (is_taker || number_in(context) != 0) {
                follows = take_in(context, is_taker ? work : NULL, what, BEGUN_BY_LOOP) && follows;
            }
        }
        uint32_t before = waiting.count;
        if (!is_own) {
            add_all_waiting(&waiting, future, 0);
        }
        memset(crossed + before, crossed[i] + (context != NULL), waiting.count - before);
        python_forget(context);
    }
    end_waiting(&waiting);
    return follows;
}

static bool is_waited_for_at_all(py_object *task)
{
    py_object *callbacks = python_get(task, "_callbacks");
    bool is_it = callbacks != NULL && (const void *)callbacks != python._Py_NoneStruct;
    python_forget(callbacks);
    return is_it;
}

static bool take_by_task(py_object *context, const struct thread_context *work,
                         const struct python_taken *what)
{
    py_object *task = current_task();
    bool is_right = true;
    if (task == NULL || (const void *)task == python._Py_NoneStruct) {
        /* A callback: whoever begins something in there does it for nobody. */
        const struct begun *entry = find_begun(number_in(context));
        if (entry != NULL && entry->serving != (uintptr_t)context) {
            take_in(context, NULL, what, BEGUN_BY_LOOP);
        }
    } else if (works_for_itself(context, task)) {
        is_right = false;
    } else {
        is_right = take_in(context, work, what, BEGUN_BY_LOOP);
        if (is_waited_for_at_all(task)) {
            is_right = take_for_waiting(task, work, what, is_mere_get(task)) && is_right;
        }
    }
    python_forget(task);
    return is_right;
}

/* Whether the greenlet is a part of a request, and has taken what was put in for another one: what
   that is, work or something lent, is not known. */
static bool is_begun_for_another(const void *context, const struct thread_context *work)
{
    uint32_t number = number_in(context);
    const struct begun *entry = find_begun(number);
    return work != NULL && entry != NULL && entry->root != 0 &&
           trace_context_is_current(&entry->work) &&
           memcmp(entry->work.span_id, work->span_id, sizeof(work->span_id)) != 0 &&
           is_believed(NULL, context, number);
}

static bool take_by_greenlet(const struct thread_context *work, const struct python_taken *what)
{
    if (!is_greenlet()) {
        return true;
    }
    if (pointer_at(thread_context_slot(), 0) == NULL && !put_next_number()) {
        return true; /* setting a variable has made it a context */
    }
    py_object *context = own((py_object *)(uintptr_t)pointer_at(thread_context_slot(), 0));
    bool is_right = false;
    if (is_begun_for_another(context, work)) {
        take_in(context, NULL, what, BEGUN_BY_GREENLET);
    } else if (!works_for_itself(context, NULL)) {
        is_right = take_in(context, work, what, BEGUN_BY_GREENLET);
    }
    python_forget(context);
    return is_right;
}

/* A loop in another thread shows nothing. */
static bool shows_takers(void)
{
    return atomic_load_explicit(&python.state, memory_order_acquire) == PYTHON_READY &&
           is_main_thread() && python_requests.epoch == attachment_epoch();
}

static bool take(const struct thread_context *work, const struct python_taken *what)
{
    if (!shows_takers()) {
        return true;
    }
    py_object *loop = running_loop();
    py_object *context = own((py_object *)(uintptr_t)pointer_at(thread_context_slot(), 0));
    bool is_right = true;
    if (loop == NULL || (const void *)loop == python._Py_NoneStruct) {
        is_right = take_by_greenlet(work, what);
    } else if (context != NULL) {
        is_right = take_by_task(context, work, what);
    }
    python_forget(context);
    python_forget(loop);
    python.PyErr_Clear();
    return is_right;
}

static const struct python_taken *taken_last(void)
{
    const struct begun *last = shows_takers() ? taken_in(current_context()) : NULL;
    return last == NULL ? NULL : &last->taken;
}

/* ---- who begins tasks ---- */

static bool is_handle(const py_object *item)
{
    static const char *const modules[] = {"asyncio.events", "uvloop.loop"};
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        if (python.handles[i] == NULL) {
            python.handles[i] = python_step(python_module(modules[i]), "Handle"); /* is kept */
        }
        if (item->type == python.handles[i] && python.handles[i] != NULL) {
            return true;
        }
    }
    return false;
}

/* What a handle consists of. */
struct handle {
    const void *context;
    py_object *step; /* lets a task go on */
};

static int visit_handle(py_object *object, void *argument)
{
    struct handle *handle = argument;
    if (object->type == python.context) {
        handle->context = object;
    } else if (object->type == python.step) {
        handle->step = object;
    }
    return 0;
}

/* asyncio's, which no module has. */
static int find_step_type(py_object *object, void *argument)
{
    static const char name[] = "TaskStepMethWrapper";
    py_object *type = (py_object *)(uintptr_t)object->type;
    (void)argument;
    if (python.step == NULL && python_is_text(python_get(type, "__name__"), name, sizeof(name))) {
        python.Py_IncRef(type);
        python.step = type;
    }
    return 0;
}

/* What a coroutine was begun with, and what is looked for among it. */
struct wanted {
    uintptr_t item;
    uintptr_t part;
    bool is_found;
};

static int visit_argument(py_object *object, void *argument)
{
    struct wanted *wanted = argument;
    uintptr_t address = (uintptr_t)object;
    wanted->is_found = wanted->is_found || address == wanted->item || address == wanted->part;
    return 0;
}

/* Whether the task that will take that step was given what was taken last. */
static bool is_given(py_object *step, const struct python_taken *taken)
{
    py_object *coroutine = python_step(python_get(step, "__self__"), "_coro");
    struct wanted wanted = {.item = taken->item, .part = taken->part};
    if (coroutine != NULL) {
        visit(coroutine, coroutine->type, visit_argument, &wanted);
    }
    python_forget(coroutine);
    return wanted.is_found;
}

/* The task whose first step the handle is gets a number of its own. */
static void begin_task(const struct handle *handle, uint32_t number)
{
    look_for_tornado();
    py_object *context = (py_object *)(uintptr_t)handle->context;
    struct begun *entry = find_begun(number);
    uint32_t root_number = entry->root != 0 ? entry->root : number;
    struct begun *root = find_begun(root_number);
    if (root == NULL || root->by == BEGUN_BY_GREENLET) {
        return;
    }
    struct unbegun request = {.descriptor = -1, .work = root->work};
    uint32_t begun = begin_request(&request, context, NULL, BEGUN_BY_LOOP);
    python_requests.begun[begun % LIMIT_WITNESS_NUMBERS].root = root_number;
    py_object *capsule = make_capsule(begun);
    if (capsule != NULL) {
        put(context, capsule);
    }
    python_forget(capsule);
    if (root->taken.queue != 0 && is_given(handle->step, &root->taken)) {
        /* Who takes things and begins a task for each is not ahead. */
        atomic_fetch_add_explicit(&root->spans, 1, memory_order_relaxed);
    }
}

/* Whether the code that has this context is itself what its number names, or believed. */
static bool may_begin_tasks(const void *context, uint32_t number)
{
    const struct begun *entry = find_begun(number);
    if (entry->root == 0 && entry->serving == (uintptr_t)context) {
        return true;
    }
    py_object *task = entry->by == BEGUN_BY_GREENLET ? NULL : current_task();
    bool is_it = is_believed(task, context, number);
    python_forget(task);
    return is_it;
}

/* A request that tornado's client has kept until another one had ended is begun: for whom, shows
   who waits for it. 0: not known. */
static uint32_t number_of_waiting(py_object *task)
{
    struct waiting waiting;
    uint32_t found = 0;
    begin_waiting(&waiting, task);
    for (uint32_t i = 0; i < waiting.count && found == 0; i++) {
        py_object *future = waiting.futures[i];
        py_object *context = i == 0 ? NULL : step_context(own(future), "Task");
        uint32_t number = number_in(context);
        const struct begun *entry = find_begun(number);
        if (entry != NULL && entry->serving == (uintptr_t)context) {
            found = trace_context_is_current(&entry->work) ? number : 0;
            python_forget(context);
            break;
        }
        python_forget(context);
        add_all_waiting(&waiting, future, 0);
    }
    end_waiting(&waiting);
    return found;
}

/* The context has a number by which it is nobody's. */
static void make_nobodys(const void *context)
{
    struct unbegun request = {.descriptor = -1};
    py_object *capsule = make_capsule(begin_request(&request, context, NULL, BEGUN_BY_LOOP));
    if (capsule != NULL) {
        put((py_object *)(uintptr_t)context, capsule);
    }
    python_forget(capsule);
}

/* The same of the first step of such a request; true: that it is none of the code's that runs. */
static bool begins_for_waiting(const struct handle *handle)
{
    py_object *task = python_get(handle->step, "__self__");
    bool is_it = task != NULL && is_fetch(task) && python_code_is_within("_release_fetch");
    uint32_t number = is_it ? number_of_waiting(task) : 0;
    if (number != 0) {
        begin_task(handle, number);
    } else if (is_it) {
        make_nobodys(handle->context);
    }
    python_forget(task);
    return is_it;
}

/* Something is put into a loop's deque. If it is the first step of a task, that task is begun by
   the code that runs now. */
static void schedules(py_object *item)
{
    if ((item->type != python.handles[0] && item->type != python.handles[1]) || !shows_takers()) {
        return;
    }
    const void *context = current_context();
    uint32_t inherited = number_in(context);
    int collects;
    if (python_requests.early_count > 0 && python_enter(&collects)) {
        begin_early();
        python_leave(collects);
    }
    uint32_t number = number_in(context);
    const struct begun *entry = find_begun(number);
    bool may_begin = entry != NULL && trace_context_is_current(&entry->work);
    if ((!may_begin && python.fetch == NULL) || !python_enter(&collects)) {
        return;
    }
    struct handle handle = {NULL, NULL};
    if (unlikely(python.step == NULL)) {
        visit(item, item->type, find_step_type, NULL);
    }
    visit(item, item->type, visit_handle, &handle);
    if (handle.step != NULL && handle.context != NULL && handle.context != context &&
        !begins_for_waiting(&handle) && may_begin && number_in(handle.context) == inherited &&
        may_begin_tasks(context, number)) {
        begin_task(&handle, number);
    }
    python.PyErr_Clear();
    python_leave(collects);
}

/* ---- who begins greenlets ---- */

static int visit_iterators(py_object *object, void *argument)
{
    bool *are_known = argument;
    *are_known = *are_known && (object->type == python.PyListIter_Type ||
                                object->type == python.PyTupleIter_Type ||
                                object->type == python.PyRangeIter_Type);
    return 0;
}

/* The first tuple has the iterators, the second the last result. */
static int visit_zipped(py_object *object, void *argument)
{
    bool is_first = object->type == python.PyTuple_Type;
    if (is_first) {
        visit(object, object->type, visit_iterators, argument);
    }
    return is_first;
}

enum mapping { MAPS_NOTHING, MAPS_WHAT_IS_THERE, MAPS_WHAT_MAY_COME };

static int visit_mapping(py_object *object, void *argument)
{
    enum mapping *mapping = argument;
    if (object->type == python.PyZip_Type) {
        bool are_known = true;
        visit(object, object->type, visit_zipped, &are_known);
        *mapping = are_known ? MAPS_WHAT_IS_THERE : MAPS_WHAT_MAY_COME;
    }
    return 0;
}

/* Whether the current greenlet is one of gevent's own that begins one for each of what it was
   handed (imap): its loop is compiled, and is not seen. */
static enum mapping find_mapping(void)
{
    static const char plain[] = "Greenlet";
    py_object *current = current_greenlet();
    py_object *type = current == NULL ? NULL : (py_object *)(uintptr_t)current->type;
    enum mapping mapping = MAPS_NOTHING;
    if (type != NULL && is_in_module(python_get(type, "__module__"), "gevent.") &&
        !python_is_text(python_get(type, "__name__"), plain, sizeof(plain))) {
        mapping = MAPS_WHAT_MAY_COME;
        visit(current, current->type, visit_mapping, &mapping);
    }
    python_forget(current);
    return mapping;
}

/* Whether the code that has this context may begin greenlets for whom its number names. */
static bool may_begin_greenlets(const void *context, uint32_t number)
{
    const struct begun *entry = find_begun(number);
    if (entry->by != BEGUN_BY_GREENLET || entry->serving != (uintptr_t)context) {
        return false;
    }
    enum mapping mapping = entry->root == 0 ? MAPS_NOTHING : find_mapping();
    return entry->root == 0 || mapping == MAPS_WHAT_IS_THERE ||
           (mapping == MAPS_NOTHING && is_believed(NULL, context, number));
}

/* It gets a context with a number of its own, unless the program has given it one. */
static void begin_greenlet(py_object *greenlet, uint32_t number)
{
    static const char name[] = "gr_context";
    const struct begun *entry = find_begun(number);
    uint32_t root_number = entry->root != 0 ? entry->root : number;
    const struct begun *root = find_begun(root_number);
    py_object *before = python_get(greenlet, name);
    bool is_free = (const void *)before == python._Py_NoneStruct;
    py_object *context = root == NULL || !is_free ? NULL : python.PyContext_New();
    py_object *text = context == NULL ? NULL : python.PyUnicode_FromString(name);
    if (text != NULL) {
        struct unbegun request = {.descriptor = -1, .work = root->work};
        uint32_t begun = begin_request(&request, context, NULL, BEGUN_BY_GREENLET);
        python_requests.begun[begun % LIMIT_WITNESS_NUMBERS].root = root_number;
        py_object *capsule = make_capsule(begun);
        if (capsule != NULL && put(context, capsule)) {
            python.PyObject_GenericSetAttr(greenlet, text, context);
        }
        python_forget(capsule);
    }
    python_forget(text);
    python_forget(context);
    python_forget(before);
}

/* Called by gevent for each greenlet that is begun, by the code that begins it. */
static py_object *begins_greenlet(py_object *self, py_object *greenlet)
{
    (void)self;
    const void *context = hook_is_on() && shows_takers() ? current_context() : NULL;
    uint32_t number = number_in(context);
    const struct begun *entry = find_begun(number);
    int collects;
    if (entry != NULL && trace_context_is_current(&entry->work) && python_enter(&collects)) {
        if (may_begin_greenlets(context, number)) {
            begin_greenlet(greenlet, number);
        }
        python.PyErr_Clear();
        python_leave(collects);
    }
    return own((py_object *)(uintptr_t)python._Py_NoneStruct);
}

static void watch_greenlets(void)
{
    /* PyMethodDef */
    static const struct {
        const char *name;
        py_object *(*function)(py_object *, py_object *);
        int flags;
        const char *text;
    } method = {"begins_greenlet", begins_greenlet, METHOD_TAKES_ONE, NULL};
    if (python.watches_greenlets) {
        return;
    }
    python.watches_greenlets = true;
    py_object *type = python_step(python_module("gevent"), "Greenlet");
    py_object *add = python_step(python_step(type, "add_spawn_callback"), "__func__");
    py_object *arguments = add == NULL ? NULL : python.PyTuple_New(1);
    py_object *function =
        arguments == NULL ? NULL : python.PyCFunction_NewEx((void *)(uintptr_t)&method, NULL, NULL);
    if (function != NULL) {
        python.PyTuple_SetItem(arguments, 0, function);
        python_forget(python.PyObject_CallObject(add, arguments));
    }
    python_forget(arguments);
    python_forget(add);
    python.PyErr_Clear();
}

/* ---- where things are in memory ---- */

#define TRIED_VARIABLES    64
#define THREAD_STATE_WORDS 128 /* the context stands among the first 64 */

static bool find_context_in_thread(py_object *context)
{
    const char *thread = python.PyThreadState_Get();
    for (uint32_t i = 0; i < THREAD_STATE_WORDS; i++) {
        if (pointer_at(thread, i * sizeof(void *)) == (const char *)context) {
            python.context_at = i * (uint32_t)sizeof(void *);
            return true;
        }
    }
    return false;
}

/* Sets variables around ours, and looks for ours after each: its table grows from few to many. */
static bool finds_number(py_object *context, py_object *capsule, uint32_t number)
{
    py_object *others[TRIED_VARIABLES] = {NULL};
    bool is_found = true;
    python_forget(python.PyContextVar_Set(python.variable, capsule));
    python.capsule = capsule->type;
    const char *root = pointer_at(pointer_at(context, CONTEXT_TABLE), TABLE_ROOT);
    python.of_few = ((const py_object *)(const void *)root)->type;
    for (int i = 0; i < TRIED_VARIABLES && is_found; i++) {
        is_found = number_in(context) == number;
        others[i] = python.PyContextVar_New("wirespan.tried", NULL);
        python_forget(others[i] == NULL ? NULL : python.PyContextVar_Set(others[i], capsule));
        root = pointer_at(pointer_at(context, CONTEXT_TABLE), TABLE_ROOT);
        const void *type = ((const py_object *)(const void *)root)->type;
        python.of_many = type != python.of_few ? type : python.of_many;
    }
    is_found = is_found && python.of_many != NULL && number_in(context) == number;
    for (int i = 0; i < TRIED_VARIABLES; i++) {
        python_forget(others[i]);
    }
    return is_found;
}

static bool try_out(void)
{
    const uint32_t number = 0x5eed5eed;
    py_object *context = python.PyContext_New();
    py_object *empty = python.PyContext_New();
    py_object *capsule = make_capsule(number);
    python.variable = python.PyContextVar_New("wirespan", NULL);
    bool is_right = false;
    if (context != NULL && empty != NULL && capsule != NULL && python.variable != NULL &&
        python.PyContext_Enter(context) == 0) {
        intptr_t hash = python.PyObject_Hash(python.variable);
        uint32_t folded = (uint32_t)hash ^ (uint32_t)((uint64_t)hash >> 32);
        python.hash = folded == UINT32_MAX ? UINT32_MAX - 1 : folded;
        python.context = context->type;
        is_right = find_context_in_thread(context) && finds_number(context, capsule, number) &&
                   current_context() == context && python.PyContext_Enter(empty) == 0;
        if (is_right) {
            is_right = current_context() == empty && number_in(empty) == 0;
            python.tells_previous = pointer_at(empty, CONTEXT_PREVIOUS) == (const char *)context;
            python.PyContext_Exit(empty);
        }
        python.PyContext_Exit(context);
    }
    python_forget(capsule);
    python_forget(empty);
    python_forget(context);
    return is_right && python.PyErr_Occurred() == NULL;
}

static void stop(void)
{
    atomic_store_explicit(&python.state, PYTHON_OFF, memory_order_release);
}

static void tell(const char *why)
{
    static const char before[] = "wirespan: Python cannot say what its requests are made for: ";
    if (python.tells) {
        raw_system_call(SYS_write, STDERR_FILENO, (long)before, sizeof(before) - 1, 0, 0, 0);
        raw_system_call(SYS_write, STDERR_FILENO, (long)why, (long)strlen(why), 0, 0, 0);
        raw_system_call(SYS_write, STDERR_FILENO, (long)"\n", 1, 0, 0, 0);
    }
}

static SLOW void install(void)
{
    /* release: pairs with the acquire in get_cause */
    bool is_right = try_out() && python.Py_AtExit(stop) == 0;
    python.PyErr_Clear();
    atomic_store_explicit(&python.state, is_right ? PYTHON_READY : PYTHON_OFF,
                          memory_order_release);
    attachment_note_witness(is_right ? WITNESS_PYTHON_TELLS : WITNESS_PYTHON_DIFFERS);
    if (!is_right) {
        tell("its contexts are not as they should be");
    }
}

/* The pending call: on the main thread, with Python's lock, between two instructions. */
static int begin_all(void *argument)
{
    (void)argument;
    uint32_t count = python_requests.unbegun_count;
    uint32_t doubts = python_requests.doubt_count;
    bool is_ours = python_requests.epoch == attachment_epoch();
    python_requests.unbegun_count = 0;
    python_requests.doubt_count = 0;
    python_requests.is_called = false;
    if (!is_ours || count + doubts == 0) {
        return 0;
    }
    if (python.PyErr_Occurred() != NULL ||
        python.PyInterpreterState_Get() != python.PyInterpreterState_Main()) {
        for (uint32_t i = 0; i < doubts; i++) {
            withdraw(&python_requests.doubts[i]);
        }
        return 0;
    }
    /* Finalizers would run in the contexts that are entered here. */
    int collects = python_stay();
    if (unlikely(python.state == PYTHON_UNKNOWN)) {
        install();
    }
    for (uint32_t i = 0; i < count && python.state == PYTHON_READY; i++) {
        begin(&python_requests.unbegun[i]);
    }
    for (uint32_t i = 0; i < doubts; i++) {
        settle(&python_requests.doubts[i]);
    }
    python_leave(collects);
    return 0;
}

/* ---- called by the hooks ---- */

static void request_read(const struct thread_context *work, int descriptor)
{
    python_pools_look();
    if (!thread_state.runs_a_loop || !is_main_thread() ||
        atomic_load_explicit(&python.state, memory_order_relaxed) == PYTHON_OFF ||
        python.PyGILState_GetThisThreadState() == NULL) {
        return;
    }
    if (python_requests.epoch != attachment_epoch()) {
        python_requests.epoch = attachment_epoch();
        python_requests.unbegun_count = 0;
        python_requests.doubt_count = 0;
        python_requests.early_count = 0;
        python_requests.is_called = false;
    }
    if (python_requests.unbegun_count == LIMIT_WITNESS_UNBEGUN) {
        return;
    }
    python_requests.unbegun[python_requests.unbegun_count++] = (struct unbegun){descriptor, *work};
    if (!call_soon()) {
        python_requests.unbegun_count = 0;
    }
}

const char *python_witness_prepare(bool tells)
{
    if (dlsym(RTLD_DEFAULT, "Py_AddPendingCall") == NULL) {
        return NULL;
    }
    bool is_whole = true;
#define RESOLVE(result, name, arguments)                                                           \
    *(void **)&python.name = dlsym(RTLD_DEFAULT, #name);                                           \
    is_whole = is_whole && python.name != NULL;
    PYTHON_FUNCTIONS(RESOLVE)
#undef RESOLVE
#define RESOLVE(name)                                                                              \
    python.name = dlsym(RTLD_DEFAULT, #name);                                                      \
    is_whole = is_whole && python.name != NULL;
    PYTHON_TYPES(RESOLVE)
#undef RESOLVE
    *(void **)&python.is_finalizing = dlsym(RTLD_DEFAULT, "Py_IsFinalizing");
    if (python.is_finalizing == NULL) {
        *(void **)&python.is_finalizing = dlsym(RTLD_DEFAULT, "_Py_IsFinalizing");
    }
    *(void **)&python.collects = dlsym(RTLD_DEFAULT, "PyGC_Disable");
    *(void **)&python.collects_again = dlsym(RTLD_DEFAULT, "PyGC_Enable");
    *(void **)&python.find_in_type = dlsym(RTLD_DEFAULT, "_PyType_Lookup");
    if (!is_whole || python.is_finalizing == NULL ||
        (python.collects != NULL && python.collects_again == NULL)) {
        attachment_note_witness(WITNESS_PYTHON_LACKS_FUNCTION);
        return "it lacks a function that is needed";
    }
    if (strstr(python.Py_GetVersion(), "free-threading") != NULL) {
        attachment_note_witness(WITNESS_PYTHON_HAS_NO_LOCK);
        return "it has no lock";
    }
    python.tells = tells;
    static const struct python_takers takers = {.cause = cause_of_code,
                                                .take = take,
                                                .last = taken_last,
                                                .is_handle = is_handle,
                                                .schedules = schedules};
    python_pools_prepare(cause_of_code);
    python_threads_prepare(cause_of_code);
    python_queues_prepare(&takers);
    static const struct witness python_witness = {
        .request_read = request_read,
        .message_read = request_read,
        .cause_of_http = cause_of_http,
        .take_back = take_back,
        .cause_of_bytes = cause_of_bytes,
        .cause_of_child = cause_of_child,
        .gave = gave,
        .connecting = connecting,
        .accepting = python_pools_look,
        .making_thread = python_pools_making_thread,
        .job_claimed = job_claimed,
        .tells_jobs = tells_jobs,
    };
    witness = &python_witness;
    attachment_note_witness(WITNESS_PYTHON_WAITS);
    return NULL;
}
