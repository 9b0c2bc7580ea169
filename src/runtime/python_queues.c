#include "runtime/python_queues.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/observe.h"
#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "runtime/python_method.h"

/* A deque, as it has been in all versions since 3.5; tried out before it is relied on. */
enum { DEQUE_SIZE = 16, DEQUE_STATE = 56 };

/* A text, whose first two bits say whether it is shared; tried out. A tuple's parts. */
enum { TEXT_STATE = 32, TEXT_SHARED = 3, TUPLE_PARTS = 24 };

/* Numbers that every version of Python may have but one object for. */
#define LEAST_NUMBER_ALONE (-5)
#define MOST_NUMBER_ALONE  1024

enum {
    SET = 4,           /* places that one deque may have */
    QUEUE_SET = 8,     /* that one queue may have */
    HANDED_SET = 8,    /* that one thing may have */
    FRAMES_TO_GET = 2, /* from `_get` to the function that says whether it was waited for */
    FRAMES_TO_RUN = 2, /* and to the one that takes */
};

/* A queue; what is in there only is compared. Used with Python's lock. */
struct queue {
    uintptr_t address; /* of the deque, or of what is compiled; 0: none */
    uint32_t serial;   /* another one, whenever what is in it is not known any more */
    uint32_t epoch;
    uint32_t used;  /* when: the longest unused one is replaced */
    bool is_sealed; /* it hands nothing over */
    bool is_asked;  /* by whom it is taken from */
    bool is_pools;  /* a pool's thread does what it takes, one thing after the other */
    bool is_compiled;
    uint64_t state; /* the deque's, when it was seen last */
    uint64_t first; /* the number of the next thing to be taken out */
    uint64_t next;  /* of the next one to be put in */
};

/* A thing in a queue, and for whom it is. */
struct handed {
    uint32_t serial; /* of the queue; 0: none */
    uint32_t copies; /* it is in there so often; if that was ever more than once it is nobody's */
    bool is_nobodys;
    uintptr_t item;
    uint64_t number; /* the first one's */
    struct thread_context work;
};

/* What a deque is; stands in the low bits of its address. What was only seen to be taken from is no
   queue's, but may be a loop's. */
enum { DEQUE_OF_NOBODY, DEQUE_OF_QUEUE, DEQUE_OF_LOOP, DEQUE_ONLY_TAKEN_FROM, DEQUE_KINDS = 3 };

/* A deque that was looked at. Threads of interpreters other than the main one read them, too, which
   have another lock. */
struct seen {
    _Atomic uintptr_t address;
    _Atomic uint64_t state; /* after the change; a smaller one is another's in the same place */
};

struct functions {
    py_object *put;
    py_object *get;
    py_object *outer[FRAMES_TO_GET]; /* who calls `_get` where it is waited for; NULL: any */
    py_object *at_once;              /* not this one, as the outer one */
};

enum { OF_QUEUE, OF_ASYNCIO, MODULES };

static struct {
    const struct python_takers *takers;
    struct functions functions[MODULES];
    const void *types_of_one[5]; /* of things that are no work */
    const void *text;
    const void *number;
    const void *of_gevent[2];
    py_method *append;
    py_method *take_first;
    py_object *serve; /* waitress's function that takes connections */
    py_method *gevent_put;
    py_method *gevent_put_at_once;
    py_method *gevent_get;
    py_method *gevent_get_at_once;
    _Atomic uint32_t deques; /* that are queues' */
    uint32_t clock;
    uint32_t last_serial;
    bool tells_shared_texts;
    bool is_watching;
    bool has_gevent;
    _Atomic bool has_all;
    struct seen seen[LIMIT_WITNESS_DEQUES];
    struct queue queues[LIMIT_WITNESS_QUEUES];
    struct handed handed[LIMIT_WITNESS_HANDED_OVER];
} python_queues;

/* What this thread has taken last, if it runs no loop. */
static __thread struct python_taken taken_here __attribute__((tls_model("initial-exec")));

static uint64_t word_at(const void *object, size_t offset)
{
    uint64_t word;
    memcpy(&word, (const char *)object + offset, sizeof(word));
    return word;
}

static uint32_t mixed(uint64_t value)
{
    return (uint32_t)(value * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

/* ---- queues ---- */

static struct queue *queue_set(const void *address)
{
    return &python_queues
                .queues[mixed((uintptr_t)address) % (LIMIT_WITNESS_QUEUES / QUEUE_SET) * QUEUE_SET];
}

static struct queue *find_queue(const void *address)
{
    struct queue *set = queue_set(address);
    for (uint32_t i = 0; i < QUEUE_SET; i++) {
        if (set[i].address == (uintptr_t)address) {
            set[i].used = ++python_queues.clock;
            return &set[i];
        }
    }
    return NULL;
}

/* What is in it now is nobody's. */
static void begin_queue(struct queue *queue, uint64_t size)
{
    python_queues.last_serial += python_queues.last_serial == UINT32_MAX ? 2 : 1;
    queue->serial = python_queues.last_serial;
    queue->epoch = attachment_epoch();
    queue->first = 0;
    queue->next = size;
}

static struct queue *add_queue(const void *address, uint64_t state, uint64_t size)
{
    struct queue *set = queue_set(address);
    struct queue *queue = &set[0];
    for (uint32_t i = 1; i < QUEUE_SET && queue->address != 0; i++) {
        if (set[i].address == 0 ||
            python_queues.clock - set[i].used > python_queues.clock - queue->used) {
            queue = &set[i];
        }
    }
    *queue = (struct queue){
        .address = (uintptr_t)address, .used = ++python_queues.clock, .state = state};
    begin_queue(queue, size);
    return queue;
}

static struct handed *handed_set(const struct queue *queue, const py_object *item)
{
    return &python_queues.handed[mixed((uintptr_t)item ^ (uint64_t)queue->serial << 40) %
                                 (LIMIT_WITNESS_HANDED_OVER / HANDED_SET) * HANDED_SET];
}

static struct handed *find_handed(const struct queue *queue, const py_object *item)
{
    struct handed *set = handed_set(queue, item);
    for (uint32_t i = 0; i < HANDED_SET; i++) {
        if (set[i].serial == queue->serial && set[i].item == (uintptr_t)item) {
            return &set[i];
        }
    }
    return NULL;
}

static struct handed *add_handed(const struct queue *queue, const py_object *item)
{
    struct handed *set = handed_set(queue, item);
    struct handed *found = &set[queue->next % HANDED_SET];
    for (uint32_t i = 0; i < HANDED_SET; i++) {
        if (set[i].serial == 0) {
            return &set[i];
        }
        if (!trace_context_is_current(&set[i].work)) {
            found = &set[i];
        }
    }
    return found;
}

/* ---- what is no work ---- */

/* There is one object for all who use that value, or may be. */
static bool is_shared(const py_object *item)
{
    for (size_t i = 0; i < sizeof(python_queues.types_of_one) / sizeof(void *); i++) {
        if (item->type == python_queues.types_of_one[i]) {
            return true;
        }
    }
    if (item->type == python_queues.text) {
        return !python_queues.tells_shared_texts ||
               (word_at(item, TEXT_STATE) & TEXT_SHARED) != 0 || word_at(item, DEQUE_SIZE) < 2;
    }
    if (item->type == python_queues.number) {
        long value = python.PyLong_AsLong((py_object *)(uintptr_t)item);
        if (value == -1) {
            python.PyErr_Clear(); /* too large: alone */
        }
        return value >= LEAST_NUMBER_ALONE && value <= MOST_NUMBER_ALONE;
    }
    return false;
}

/* A tuple of what is shared may be shared, too. */
static bool is_work(const py_object *item)
{
    if (item->type != python.PyTuple_Type) {
        return !is_shared(item);
    }
    uint64_t parts = word_at(item, DEQUE_SIZE);
    for (uint64_t i = 0; i < parts; i++) {
        const py_object *part =
            (const py_object *)(uintptr_t)word_at(item, TUPLE_PARTS + i * sizeof(void *));
        if (!is_shared(part)) {
            return part->type != python.PyTuple_Type || word_at(part, DEQUE_SIZE) > 0;
        }
    }
    return false;
}

/* ---- in and out ---- */

/* A tuple that is taken apart is gone, and its memory soon another's. */
static uintptr_t first_part(const py_object *item)
{
    bool has_one = item->type == python.PyTuple_Type && word_at(item, DEQUE_SIZE) > 0;
    return has_one ? (uintptr_t)word_at(item, TUPLE_PARTS) : 0;
}

static bool find_cause(struct thread_context *work)
{
    if (trace_context_lend(&thread_state, work)) {
        return true;
    }
    const struct thread_context *cause = python_queues.takers->cause();
    if (cause != NULL) {
        *work = *cause;
    }
    return cause != NULL;
}

static const struct python_taken *taken_last(void)
{
    return thread_state.runs_a_loop ? python_queues.takers->last() : &taken_here;
}

/* The thing has the queue's next number. */
static void put_in(struct queue *queue, const py_object *item)
{
    struct handed *handed = find_handed(queue, item);
    uint64_t number = queue->next++;
    if (handed != NULL) {
        handed->is_nobodys = true; /* it is in there already */
        handed->copies++;
        return;
    }
    const struct python_taken *last = taken_last();
    bool goes_on = last != NULL && last->queue == queue->serial;
    if (goes_on && last->item == (uintptr_t)item && last->part == first_part(item)) {
        queue->is_sealed = true; /* was lent */
    }
    struct thread_context work;
    if (goes_on || queue->is_sealed || !is_work(item) || !find_cause(&work)) {
        return;
    }
    *add_handed(queue, item) = (struct handed){.serial = queue->serial,
                                               .copies = 1,
                                               .item = (uintptr_t)item,
                                               .number = number,
                                               .work = work};
}

/* What this thread, which runs no loop, does is for `work` from now on. False: the queue is not
   used as one. */
static bool take_here(const struct thread_context *work, const struct python_taken *what)
{
    struct thread_state *self = &thread_state;
    trace_context_give_back(self);
    if (trace_context_is_current(&self->context)) {
        return false;
    }
    struct python_taken next = *what;
    bool follows = python_taken_follows(&taken_here, self->random_counter, &next);
    if (!follows) {
        memset(next.span_id, 0, sizeof(next.span_id));
    } else if (work != NULL) {
        trace_context_borrow(self, work);
    }
    next.sent = self->random_counter;
    taken_here = next;
    return follows;
}

/* The same of a pool's thread, whether or not it has sent anything for what it took before. */
static void take_in_pool(const struct thread_context *work)
{
    trace_context_give_back(&thread_state);
    if (work != NULL) {
        trace_context_borrow(&thread_state, work);
    }
}

/* One of it is not in the queue any more; NULL: nothing was known. */
static void forget_handed(struct handed *handed)
{
    if (handed != NULL) {
        handed->copies--;
        handed->serial = handed->copies == 0 ? 0 : handed->serial;
        handed->is_nobodys = true;
    }
}

static void took_out(struct queue *queue, const py_object *item, bool is_waiting)
{
    uint64_t number = queue->first++;
    struct handed *handed = find_handed(queue, item);
    const struct thread_context *work = NULL;
    struct python_taken what = {
        .queue = queue->serial, .item = (uintptr_t)item, .part = first_part(item)};
    if (handed != NULL && is_waiting && !queue->is_sealed && !handed->is_nobodys &&
        (handed->number == number || queue->is_compiled) &&
        attachment_is_of_process(queue->epoch) && trace_context_is_current(&handed->work)) {
        work = &handed->work;
        memcpy(what.span_id, work->span_id, sizeof(what.span_id));
    }
    if (queue->is_pools && !thread_state.runs_a_loop) {
        take_in_pool(work);
        forget_handed(handed);
        return;
    }
    bool is_right =
        thread_state.runs_a_loop ? python_queues.takers->take(work, &what) : take_here(work, &what);
    queue->is_sealed = queue->is_sealed || !is_right;
    forget_handed(handed);
}

/* ---- of deques ---- */

static struct seen *seen_set(const void *deque)
{
    return &python_queues.seen[mixed((uintptr_t)deque) % (LIMIT_WITNESS_DEQUES / SET) * SET];
}

/* The function that runs, which has called a method of C's; its frame is the caller's to forget. */
static py_object *code_of(py_object *frame)
{
    py_object *code = frame == NULL ? NULL : python.PyFrame_GetCode(frame);
    python_forget(code); /* the frame has it */
    return code;
}

static bool is_in(bool puts, const struct functions **of)
{
    const py_object *code = code_of(python.PyEval_GetFrame());
    for (uint32_t i = 0; i < MODULES && code != NULL; i++) {
        const struct functions *functions = &python_queues.functions[i];
        if (code == (puts ? functions->put : functions->get)) {
            *of = functions;
            return true;
        }
    }
    return false;
}

/* Whether `_get`, which runs, was called by who would have waited. */
static bool is_waited_for(const struct functions *of)
{
    py_object *frame = python.PyEval_GetFrame();
    bool is_it = true;
    python.Py_IncRef(frame);
    for (uint32_t i = 0; i < FRAMES_TO_GET && is_it; i++) {
        frame = python_step(frame, "f_back");
        const py_object *code =
            frame == NULL || (const void *)frame == python._Py_NoneStruct ? NULL : code_of(frame);
        is_it = of->outer[i] != NULL ? code == of->outer[i] : code == NULL || code != of->at_once;
    }
    python_forget(frame);
    return is_it;
}

static bool ends_with(py_object *text, const char *wanted, size_t size)
{
    const char *is = text == NULL ? NULL : python.PyUnicode_AsUTF8(text);
    size_t length = is == NULL ? 0 : strlen(is);
    bool ends = length >= size && memcmp(is + length - size, wanted, size) == 0;
    python_forget(text);
    return ends;
}

/* Whether who takes is a thread of anyio's pool: each has a queue of its own, by which it is handed
   one function after the other, and waits for the next one when that is done. */
static bool is_taken_by_pool(void)
{
    static const char run[] = "run";
    static const char file[] = "/anyio/_backends/_asyncio.py";
    py_object *frame = python.PyEval_GetFrame();
    python.Py_IncRef(frame);
    for (uint32_t i = 0; i < FRAMES_TO_RUN && frame != NULL; i++) {
        frame = python_step(frame, "f_back");
    }
    bool is_there = frame != NULL && (const void *)frame != python._Py_NoneStruct;
    py_object *code = is_there ? code_of(frame) : NULL;
    bool is_it = code != NULL && python_is_text(python_get(code, "co_name"), run, sizeof(run)) &&
                 ends_with(python_get(code, "co_filename"), file, sizeof(file) - 1);
    python_forget(frame);
    python.PyErr_Clear();
    return is_it;
}

/* The place of that deque among those that were looked at. */
static struct seen *find_seen(const void *deque)
{
    struct seen *set = seen_set(deque);
    for (uint32_t i = 0; i < SET; i++) {
        uintptr_t address = atomic_load_explicit(&set[i].address, memory_order_relaxed);
        if ((address & ~(uintptr_t)DEQUE_KINDS) == (uintptr_t)deque) {
            return &set[i];
        }
    }
    return NULL;
}

static void note_seen(const void *deque, unsigned kind)
{
    struct seen *place = find_seen(deque);
    struct seen *set = seen_set(deque);
    if (place != NULL && kind == DEQUE_ONLY_TAKEN_FROM &&
        (atomic_load_explicit(&place->address, memory_order_relaxed) & DEQUE_KINDS) !=
            DEQUE_OF_QUEUE) {
        return; /* more was known */
    }
    uint32_t at = (uint32_t)(word_at(deque, DEQUE_STATE) ^ ++python_queues.clock);
    for (uint32_t i = 0; i < SET && place == NULL; i++, at++) {
        /* Those of queues stay, if they are few. */
        if (i == SET - 1 || (atomic_load_explicit(&set[at % SET].address, memory_order_relaxed) &
                             DEQUE_KINDS) == 0) {
            place = &set[at % SET];
        }
    }
    if (place == NULL) {
        return;
    }
    uint32_t was = (atomic_load_explicit(&place->address, memory_order_relaxed) & DEQUE_KINDS) ==
                   DEQUE_OF_QUEUE;
    atomic_fetch_add_explicit(&python_queues.deques, (uint32_t)(kind == DEQUE_OF_QUEUE) - was,
                              memory_order_relaxed);
    atomic_store_explicit(&place->state, word_at(deque, DEQUE_STATE) + 1, memory_order_relaxed);
    atomic_store_explicit(&place->address, (uintptr_t)deque | kind, memory_order_relaxed);
}

/* The queue whose deque this is, as it is before it changes. */
static struct queue *queue_of_deque(const void *deque)
{
    struct queue *queue = find_queue(deque);
    uint64_t state = word_at(deque, DEQUE_STATE);
    uint64_t size = word_at(deque, DEQUE_SIZE);
    if (queue == NULL || state < queue->state) {
        if (queue != NULL) {
            queue->address = 0; /* another deque has its memory */
        }
        queue = add_queue(deque, state, size);
    } else if (state != queue->state || size != queue->next - queue->first ||
               !attachment_is_of_process(queue->epoch)) {
        begin_queue(queue, size);
    }
    queue->state = state + 1;
    return queue;
}

static SLOW void appends(py_object *deque, const py_object *item)
{
    const struct functions *of;
    int collects;
    if (!python_enter(&collects)) {
        return;
    }
    if (is_in(true, &of)) {
        note_seen(deque, DEQUE_OF_QUEUE);
        put_in(queue_of_deque(deque), item);
    } else {
        note_seen(deque, python_queues.takers->is_handle(item) ? DEQUE_OF_LOOP : DEQUE_OF_NOBODY);
    }
    python_leave(collects);
}

/* Before it takes: of what queue, and whether that was waited for. */
static SLOW struct queue *takes_first(py_object *deque, bool *is_waiting)
{
    const struct functions *of;
    struct queue *queue = NULL;
    int collects;
    if (!python_enter(&collects)) {
        return NULL;
    }
    if (is_in(false, &of)) {
        note_seen(deque, DEQUE_OF_QUEUE);
        queue = word_at(deque, DEQUE_SIZE) > 0 ? queue_of_deque(deque) : NULL;
        *is_waiting = is_waited_for(of);
        if (queue != NULL && !queue->is_asked) {
            queue->is_asked = true;
            queue->is_pools = is_taken_by_pool();
        }
    } else {
        note_seen(deque, DEQUE_ONLY_TAKEN_FROM);
        if (thread_state.context.is_lent) {
            static const char name[] = "_get"; /* of a queue of another kind */
            py_object *frame = python.PyEval_GetFrame();
            py_object *code = frame == NULL ? NULL : python.PyFrame_GetCode(frame);
            if (python_is_text(python_step(code, "co_name"), name, sizeof(name))) {
                trace_context_give_back(&thread_state);
            }
        }
    }
    python_leave(collects);
    return queue;
}

/* Whether the code of this thread may work for a request. */
static inline bool may_have_cause(void)
{
    return thread_state.context.is_known ||
           (thread_state.runs_a_loop &&
            atomic_load_explicit(&python.has_begun, memory_order_relaxed));
}

enum matter { MATTERS_NOT, MATTERS, MATTERS_TO_LOOP };

/* Whether it must be looked at what is done with that deque. This is asked for every append and
   popleft of the program. */
static inline enum matter matters(const void *deque, bool appends)
{
    bool may = python_queues.is_watching && may_have_cause();
    if (likely(!may && atomic_load_explicit(&python_queues.deques, memory_order_relaxed) == 0)) {
        return MATTERS_NOT;
    }
    struct seen *set = seen_set(deque);
    for (uint32_t i = 0; i < SET; i++) {
        uintptr_t kind =
            atomic_load_explicit(&set[i].address, memory_order_relaxed) - (uintptr_t)deque;
        if (kind == DEQUE_OF_QUEUE) {
            return MATTERS;
        }
        if (kind <= DEQUE_KINDS) {
            uint64_t state = word_at(deque, DEQUE_STATE);
            bool is_same = atomic_load_explicit(&set[i].state, memory_order_relaxed) <= state;
            atomic_store_explicit(&set[i].state, state + 1, memory_order_relaxed);
            if (is_same && kind == DEQUE_OF_LOOP && may && appends) {
                return MATTERS_TO_LOOP;
            }
            bool is_new = !is_same || (kind == DEQUE_ONLY_TAKEN_FROM && appends);
            return may && is_new ? MATTERS : MATTERS_NOT;
        }
    }
    return may ? MATTERS : MATTERS_NOT;
}

static py_object *watched_append(py_object *self, void *item, void *b, void *c, void *d)
{
    enum matter matter = matters(self, true);
    if (unlikely(matter != MATTERS_NOT) && hook_is_on()) {
        if (matter == MATTERS) {
            appends(self, item);
        }
        python_queues.takers->schedules(item);
    }
    return python_queues.append(self, item, b, c, d);
}

static SLOW py_object *take_first_slow(py_object *self, void *a, void *b, void *c, void *d)
{
    bool is_waiting = false;
    struct queue *queue = takes_first(self, &is_waiting);
    py_object *item = python_queues.take_first(self, a, b, c, d);
    int collects;
    if (queue != NULL && item != NULL && python_enter(&collects)) {
        took_out(queue, item, is_waiting);
        python_leave(collects);
    }
    return item;
}

/* A thread of waitress's takes a connection from which the main thread has read a request. */
static SLOW py_object *take_connection(py_object *self, void *a, void *b, void *c, void *d)
{
    py_object *item = python_queues.take_first(self, a, b, c, d);
    int collects;
    if (item != NULL && python_enter(&collects)) {
        py_object *number = python_get(item, "_fileno");
        bool is_there = number != NULL && number->type == python_queues.number;
        observe_connection_taken(is_there ? (int)python.PyLong_AsLong(number) : -1);
        python_forget(number);
        python_leave(collects);
    }
    return item;
}

static py_object *watched_take_first(py_object *self, void *a, void *b, void *c, void *d)
{
    if (unlikely(python_queues.serve != NULL) && hook_is_on() &&
        code_of(python.PyEval_GetFrame()) == python_queues.serve) {
        return take_connection(self, a, b, c, d);
    }
    if (unlikely(matters(self, false) == MATTERS || thread_state.context.is_lent) && hook_is_on()) {
        return take_first_slow(self, a, b, c, d);
    }
    return python_queues.take_first(self, a, b, c, d);
}

/* ---- of what is compiled ---- */

static bool enter_compiled(int *collects)
{
    bool may_matter = may_have_cause() || python_queues.last_serial != 0;
    return may_matter && python_queues.is_watching && python_enter(collects);
}

/* Its things have no order that could be relied on: who waits is handed one while others wait for
   Python's lock. */
static struct queue *find_compiled(const void *address)
{
    struct queue *queue = find_queue(address);
    if (queue == NULL && may_have_cause()) {
        queue = add_queue(address, 0, 0);
        queue->is_compiled = true;
    } else if (queue != NULL && !attachment_is_of_process(queue->epoch)) {
        begin_queue(queue, 0);
    }
    return queue;
}

void python_queues_put(py_object *address, const py_object *item)
{
    int collects;
    if (!enter_compiled(&collects)) {
        return;
    }
    struct queue *queue = find_compiled(address);
    if (queue != NULL) {
        put_in(queue, item);
    }
    python_leave(collects);
}

void python_queues_took(py_object *address, const py_object *item, bool is_waiting)
{
    int collects;
    if (!enter_compiled(&collects)) {
        return;
    }
    struct queue *queue = find_compiled(address);
    if (queue != NULL) {
        took_out(queue, item, is_waiting);
    }
    python_leave(collects);
}

bool python_queues_would_wait(void *const *arguments, void *count, const py_object *names)
{
    intptr_t size = (intptr_t)count + (names == NULL ? 0 : (intptr_t)word_at(names, DEQUE_SIZE));
    for (intptr_t i = 0; i < size; i++) {
        if (arguments[i] == python._Py_FalseStruct) {
            return false;
        }
    }
    return true;
}

/* Of gevent's, those that are first in, first out. */
static bool is_of_gevent(const py_object *queue)
{
    return hook_is_on() &&
           (queue->type == python_queues.of_gevent[0] || queue->type == python_queues.of_gevent[1]);
}

static py_object *gevent_put(py_object *self, void *arguments, void *count, void *names, void *more)
{
    py_object *result = python_queues.gevent_put(self, arguments, count, names, more);
    if (result != NULL && (intptr_t)count >= 1 && is_of_gevent(self)) {
        python_queues_put(self, *(py_object *const *)arguments);
    }
    return result;
}

static py_object *gevent_put_at_once(py_object *self, void *item, void *b, void *c, void *d)
{
    py_object *result = python_queues.gevent_put_at_once(self, item, b, c, d);
    if (result != NULL && is_of_gevent(self)) {
        python_queues_put(self, item);
    }
    return result;
}

static py_object *gevent_get(py_object *self, void *arguments, void *count, void *names, void *more)
{
    py_object *item = python_queues.gevent_get(self, arguments, count, names, more);
    if (item != NULL && is_of_gevent(self)) {
        python_queues_took(self, item, python_queues_would_wait(arguments, count, names));
    }
    return item;
}

static py_object *gevent_get_at_once(py_object *self, void *a, void *b, void *c, void *d)
{
    py_object *item = python_queues.gevent_get_at_once(self, a, b, c, d);
    if (item != NULL && is_of_gevent(self)) {
        python_queues_took(self, item, false);
    }
    return item;
}

/* ---- to get there ---- */

static py_object *code_of_function(py_object *type, const char *name)
{
    return python_step(python_get(type, name), "__code__");
}

static bool has_functions(struct functions *functions, const char *module, bool awaits)
{
    if (functions->put != NULL) {
        return true;
    }
    py_object *type = python_step(python_module(module), "Queue");
    if (type == NULL) {
        return false;
    }
    py_object *at_once = code_of_function(type, "get_nowait");
    py_object *get = code_of_function(type, "get");
    functions->get = code_of_function(type, "_get");
    if (at_once != NULL && get != NULL && functions->get != NULL) {
        if (awaits) {
            functions->outer[0] = at_once;
            functions->outer[1] = get;
        } else {
            functions->at_once = at_once;
        }
        functions->put = code_of_function(type, "_put");
    }
    python_forget(type);
    return functions->put != NULL;
}

static bool has_gevent(void)
{
    static const char name[] = "gevent._gevent_cqueue";
    if (python_queues.has_gevent) {
        return true;
    }
    py_object *module = python_module(name);
    py_object *simple = python_get(module, "SimpleQueue");
    py_object *queue = python_get(module, "Queue");
    struct python_method *put = python_method_of_cython(simple, "put", METHOD_TAKES_A_VECTOR);
    struct python_method *put_at_once =
        python_method_of_cython(simple, "put_nowait", METHOD_TAKES_ONE);
    struct python_method *get = python_method_of_cython(simple, "get", METHOD_TAKES_A_VECTOR);
    struct python_method *get_at_once =
        python_method_of_cython(simple, "get_nowait", METHOD_TAKES_NOTHING);
    python_queues.has_gevent =
        put != NULL && put_at_once != NULL && get != NULL && get_at_once != NULL && queue != NULL;
    if (python_queues.has_gevent) {
        python_queues.of_gevent[0] = simple; /* both are kept */
        python_queues.of_gevent[1] = queue;
        python_method_watch(get, &python_queues.gevent_get, gevent_get);
        python_method_watch(get_at_once, &python_queues.gevent_get_at_once, gevent_get_at_once);
        python_method_watch(put, &python_queues.gevent_put, gevent_put);
        python_method_watch(put_at_once, &python_queues.gevent_put_at_once, gevent_put_at_once);
    } else {
        python_forget(simple);
        python_forget(queue);
    }
    python_forget(module);
    return python_queues.has_gevent;
}

void python_queues_look(void)
{
    if (!python_queues.is_watching || !python_queues_may_come()) {
        return;
    }
    if (python_queues.serve == NULL) {
        py_object *type = python_step(python_module("waitress.task"), "ThreadedTaskDispatcher");
        python_queues.serve = code_of_function(type, "handler_thread"); /* is kept */
        python_forget(type);
    }
    bool has_all = has_functions(&python_queues.functions[OF_QUEUE], "queue", false);
    has_all =
        has_functions(&python_queues.functions[OF_ASYNCIO], "asyncio.queues", true) && has_all;
    has_all = has_gevent() && has_all;
    python.PyErr_Clear();
    atomic_store_explicit(&python_queues.has_all, has_all, memory_order_relaxed);
}

bool python_queues_may_come(void)
{
    return !atomic_load_explicit(&python_queues.has_all, memory_order_relaxed);
}

static bool deque_is(const py_object *deque, uint64_t size, uint64_t state)
{
    return word_at(deque, DEQUE_SIZE) == size && word_at(deque, DEQUE_STATE) == state;
}

/* Whether the parts of a deque are where they are looked for. */
static bool try_out(py_object *type)
{
    py_object *deque = python.PyObject_CallObject(type, NULL);
    py_object *item = python.PyUnicode_FromString("wirespan.tried");
    bool is_right = deque != NULL && item != NULL && deque_is(deque, 0, 0);
    for (uint64_t i = 0; i < 2 && is_right; i++) {
        py_object *none = python_queues.append(deque, item, NULL, NULL, NULL);
        python_forget(none);
        is_right = none != NULL && deque_is(deque, i + 1, i + 1);
    }
    for (uint64_t i = 0; i < 2 && is_right; i++) {
        py_object *first = python_queues.take_first(deque, NULL, NULL, NULL, NULL);
        python_forget(first);
        is_right = first == item && deque_is(deque, 1 - i, 3 + i);
    }
    if (item != NULL) {
        py_object *shared = python.PyUnicode_InternFromString("wirespan.shared");
        python_queues.text = item->type;
        python_queues.tells_shared_texts = shared != NULL &&
                                           (word_at(item, TEXT_STATE) & TEXT_SHARED) == 0 &&
                                           (word_at(shared, TEXT_STATE) & TEXT_SHARED) != 0;
        python_forget(shared);
    }
    python_forget(item);
    python_forget(deque);
    python.PyErr_Clear();
    return is_right;
}

/* Types of which one object may be all that there is. */
static void find_types_of_one(void)
{
    const py_object *none = python._Py_NoneStruct;
    const py_object *no = python._Py_FalseStruct;
    const void *const types[] = {none->type, no->type, python.PyBaseObject_Type,
                                 python.PyFloat_Type, python.PyBytes_Type};
    _Static_assert(sizeof(types) == sizeof(python_queues.types_of_one), "all of them");
    memcpy(python_queues.types_of_one, types, sizeof(types));
    python_queues.number = python.PyLong_Type;
}

bool python_queues_watch_deque(void)
{
    py_object *type = python_step(python_module("_collections"), "deque");
    struct python_method *append = python_method_of_type(type, "append", METHOD_TAKES_ONE);
    struct python_method *take_first = python_method_of_type(type, "popleft", METHOD_TAKES_NOTHING);
    bool is_whole = append != NULL && take_first != NULL;
    if (is_whole) {
        python_queues.append = append->function;
        python_queues.take_first = take_first->function;
        find_types_of_one();
        python_queues.is_watching = try_out(type);
        python_method_watch(take_first, &python_queues.take_first, watched_take_first);
        if (python_queues.is_watching) {
            python_method_watch(append, &python_queues.append, watched_append);
        }
    }
    python_forget(type);
    return is_whole;
}

void python_queues_prepare(const struct python_takers *takers)
{
    python_queues.takers = takers;
}

bool python_queues_is_get(const py_object *code)
{
    return code == python_queues.functions[OF_ASYNCIO].outer[1];
}

bool python_queues_has_taken(void)
{
    return taken_here.queue != 0;
}
