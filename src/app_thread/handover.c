#include "app_thread/handover.h"

#include <pthread.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/trace_context.h"
#include "base/limits.h"

_Atomic bool handover_matters;

/* A thread that a signal at that address wakes, or that has that name, is handed work for the
   request of that number. */
struct place {
    _Atomic uintptr_t name;
    _Atomic uint32_t number; /* of the process's requests, or one of the following */
};

#define OF_NOBODY   0u         /* nothing is handed over */
#define OF_STRANGER UINT32_MAX /* by a thread that does not work for the only request */

static struct place handover_signals[LIMIT_HANDOVER_SIGNALS];
static struct place handover_threads[LIMIT_HANDOVER_THREADS];
static _Atomic uint32_t handover_next_signal;
static _Atomic uint32_t handover_next_thread;

/* The request for which something was handed over last. */
static struct {
    _Atomic uint32_t version; /* odd while it is written */
    _Atomic uint32_t number;
    _Atomic uint32_t spans;   /* that were given this parent */
    _Atomic bool goes_on;     /* its own thread has called since it made another one */
    _Atomic uintptr_t awaits; /* what its own thread waits for */
    _Atomic uint32_t making;  /* its number, while a thread is being made for it; else 0 */
    struct thread_context work;
} handover_request;

static uint32_t count_open(void)
{
    return attachment != NULL ? atomic_load_explicit(&attachment->sole.open, memory_order_relaxed)
                              : 0;
}

/* The number of the only request that is open, if it is the last one that came; else 0. In the
   child of a fork, where requests are counted anew, it is none that the parent has had. */
static uint32_t only_request(void)
{
    if (count_open() != 1) {
        return 0;
    }
    uint32_t process = attachment_epoch() / ATTACHMENT_NEXT_PROCESS;
    uint32_t number =
        atomic_load_explicit(&attachment->sole.begun, memory_order_relaxed) + process * 0x9e3779b1u;
    return number != OF_STRANGER ? number : 0;
}

static bool is_noted(uint32_t number)
{
    return atomic_load_explicit(&handover_request.number, memory_order_relaxed) == number;
}

/* The first time that it hands something over. */
static SLOW bool note_request(struct thread_state *self, uint32_t number)
{
    struct thread_context work;
    uint32_t version = atomic_load_explicit(&handover_request.version, memory_order_relaxed);
    if (!trace_context_lend(self, &work) || work.is_of_job || work.is_of_message ||
        (version & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&handover_request.version, &version, version + 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return false;
    }
    atomic_thread_fence(memory_order_release); /* pairs with the fence in copy_request */
    handover_request.work = work;
    atomic_store_explicit(&handover_request.spans, 0, memory_order_relaxed);
    atomic_store_explicit(&handover_request.goes_on, false, memory_order_relaxed);
    atomic_store_explicit(&handover_request.number, number, memory_order_relaxed);
    /* release: pairs with the acquire in copy_request */
    atomic_store_explicit(&handover_request.version, version + 2, memory_order_release);
    return true;
}

static bool copy_request(uint32_t number, struct thread_context *work)
{
    uint32_t version = atomic_load_explicit(&handover_request.version, memory_order_acquire);
    bool is_it = is_noted(number);
    *work = handover_request.work;
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in note_request */
    return (version & 1) == 0 && is_it &&
           atomic_load_explicit(&handover_request.version, memory_order_relaxed) == version;
}

/* The thread works for it itself. Compared while another one may be written: then they differ, or
   it is the same. */
static bool is_its_own(const struct thread_state *self)
{
    return trace_context_is_current(&self->context) && !self->context.is_lent &&
           memcmp(self->context.span_id, handover_request.work.span_id,
                  sizeof(self->context.span_id)) == 0;
}

/* It was handed something for that request, and has no reasons of its own. */
static bool is_handed(const struct thread_state *self, uint32_t number)
{
    return self->handed == number && self->handover.doubt == 0 &&
           self->handover.others < LIMIT_HANDOVER_OTHERS;
}

/* What it calls for is what it was handed. */
static bool calls_for(const struct thread_state *self, uint32_t number)
{
    return is_handed(self, number) &&
           (self->handover.others == 0 ||
            atomic_load_explicit(&handover_request.awaits, memory_order_relaxed) != 0) &&
           !(self->handover.is_made &&
             atomic_load_explicit(&handover_request.goes_on, memory_order_relaxed));
}

static SLOW bool was_made_for(uint32_t number)
{
    uintptr_t thread = (uintptr_t)pthread_self();
    uint32_t next = atomic_load_explicit(&handover_next_thread, memory_order_relaxed);
    if (atomic_load_explicit(&handover_request.making, memory_order_acquire) == number) {
        return true;
    }
    /* Names are used again: the latest counts. */
    for (uint32_t i = 1; i <= LIMIT_HANDOVER_THREADS; i++) {
        const struct place *place = &handover_threads[(next - i) % LIMIT_HANDOVER_THREADS];
        uint32_t made_for = atomic_load_explicit(&place->number, memory_order_acquire);
        if (atomic_load_explicit(&place->name, memory_order_relaxed) == thread) {
            return made_for == number;
        }
    }
    return false;
}

/* What it was handed may be that it was made. */
static void learn_of_making(struct thread_state *self, uint32_t number)
{
    if (self->handed == 0 && !self->handover.has_called && was_made_for(number)) {
        self->handed = number;
        self->handover.is_made = true;
    }
}

/* The number of the only request, if this thread works for it. */
static uint32_t number_of_work(struct thread_state *self)
{
    uint32_t number = only_request();
    if (number == 0) {
        return 0;
    }
    if (trace_context_is_current(&self->context) && !self->context.is_lent) {
        return (is_noted(number) && is_its_own(self)) || note_request(self, number) ? number : 0;
    }
    learn_of_making(self, number);
    return is_handed(self, number) && is_noted(number) ? number : 0;
}

/* Others are threads of the runtime (a collector, a compiler) and idle ones of pools. */
static bool has_work_of_its_own(const struct thread_state *self)
{
    return self->handover.doubt > 0 || self->runs_a_loop;
}

static struct place *find_signal(const void *object)
{
    for (uint32_t i = 0; i < LIMIT_HANDOVER_SIGNALS; i++) {
        struct place *place = &handover_signals[i];
        if (atomic_load_explicit(&place->name, memory_order_relaxed) == (uintptr_t)object) {
            return place;
        }
    }
    return NULL;
}

void handover_wakes(struct thread_state *self, const void *object)
{
    uint32_t number = number_of_work(self);
    struct place *place = find_signal(object);
    if (number != 0 && self->handed == number &&
        atomic_load_explicit(&handover_request.awaits, memory_order_relaxed) == (uintptr_t)object) {
        self->handover.is_awaited = true;
    }
    if (number == 0) {
        number = has_work_of_its_own(self) ? OF_STRANGER : OF_NOBODY;
    }
    if (place == NULL) {
        if (number == OF_NOBODY) {
            return;
        }
        uint32_t next = atomic_fetch_add_explicit(&handover_next_signal, 1, memory_order_relaxed);
        place = &handover_signals[next % LIMIT_HANDOVER_SIGNALS];
        atomic_store_explicit(&place->number, OF_NOBODY, memory_order_relaxed);
        /* release: a name is never seen with the number of the one before */
        atomic_store_explicit(&place->name, (uintptr_t)object, memory_order_release);
    }
    atomic_store_explicit(&place->number, number, memory_order_relaxed);
}

/* Of what work comes by. */
static uint8_t hash_of(const void *object)
{
    return (uint8_t)(((uintptr_t)object * 0x9e3779b97f4a7c15u) >> 56);
}

void handover_waits(struct thread_state *self, const void *object)
{
    if (is_its_own(self)) {
        atomic_store_explicit(&handover_request.awaits, (uintptr_t)object, memory_order_relaxed);
    }
}

/* It is woken again; for another request, if that is certain. */
static void count_other(struct thread_state *self, bool is_other)
{
    if (self->handed == 0 || self->handover.has_called || self->handover.is_awaited) {
        self->handover.others = 0;
    } else if (is_other && self->handover.others < LIMIT_HANDOVER_OTHERS) {
        self->handover.others++;
    }
    self->handover.has_called = false;
}

void handover_waited(struct thread_state *self, const void *object, bool was_woken)
{
    handover_waits(self, NULL);
    if (!was_woken) {
        if (self->handover.is_made) {
            self->handed = OF_STRANGER; /* what was made to act from time to time is for all */
            self->handover.is_made = false;
        }
        return;
    }
    uint32_t only = only_request();
    const struct place *place = find_signal(object);
    uint32_t number =
        place == NULL ? OF_NOBODY : atomic_load_explicit(&place->number, memory_order_relaxed);
    /* A lock of the runtime's, as a rule, or what was signalled long ago. */
    bool is_no_news = number == OF_NOBODY ? self->handover.by != hash_of(object)
                                          : self->handed == only && number != OF_STRANGER;
    if (only != 0 && is_no_news) {
        return;
    }
    self->handover.by = hash_of(object);
    /* Some threads wait, when they begin, for a last word from their maker. */
    self->handover.is_made = only != 0 && number == only &&
                             (self->handover.is_made || self->handed == 0) && was_made_for(number);
    if (only == 0 || number != only) {
        count_other(self, count_open() > 1);
        self->handed = OF_STRANGER;
    } else if (self->handed != number) {
        count_other(self, self->handed != OF_STRANGER);
        self->handed = number;
    }
}

void handover_makes(struct thread_state *self)
{
    atomic_store_explicit(&handover_request.making, number_of_work(self), memory_order_relaxed);
}

/* Which has begun to run by now. */
void handover_made(struct thread_state *self, uintptr_t thread)
{
    uint32_t next = atomic_load_explicit(&handover_next_thread, memory_order_relaxed);
    struct place *place = &handover_threads[next % LIMIT_HANDOVER_THREADS];
    atomic_store_explicit(&place->number, OF_NOBODY, memory_order_relaxed);
    atomic_store_explicit(&place->name, thread, memory_order_relaxed);
    /* release: pairs with the acquire in was_made_for */
    atomic_store_explicit(&place->number, number_of_work(self), memory_order_release);
    atomic_store_explicit(&handover_next_thread, next + 1, memory_order_release);
    atomic_store_explicit(&handover_request.making, 0, memory_order_release);
    atomic_store_explicit(&handover_request.goes_on, false, memory_order_relaxed);
}

void handover_answered(struct thread_state *self, const uint8_t parent_span_id[8])
{
    uint32_t number = only_request();
    struct thread_context work;
    if (number != 0 && copy_request(number, &work) &&
        memcmp(work.span_id, parent_span_id, sizeof(work.span_id)) == 0) {
        self->handed = number;
    }
}

bool handover_find(struct thread_state *self, struct thread_context *work)
{
    uint32_t number = only_request();
    if (number == 0 || witness != NULL || self->runs_a_loop) {
        return false;
    }
    learn_of_making(self, number);
    return calls_for(self, number) && copy_request(number, work) &&
           trace_context_is_current(work) &&
           atomic_load_explicit(&handover_request.spans, memory_order_relaxed) <
               attachment_context_spans;
}

/* A call for which the thread was not handed anything. */
static void doubt(struct thread_state *self, bool is_first)
{
    uint32_t open = count_open();
    if (open == 0 || (open == 1 && self->handed == 0 && !is_first)) {
        self->handover.doubt = LIMIT_HANDOVER_DOUBT;
    }
}

SLOW bool handover_lend_slow(struct thread_state *self)
{
    struct thread_context work;
    if (self->runs_a_loop || self->is_ours) {
        return false;
    }
    if (trace_context_is_current(&self->context)) {
        if (is_its_own(self)) {
            atomic_store_explicit(&handover_request.goes_on, true, memory_order_relaxed);
        }
        return false;
    }
    bool is_found = handover_find(self, &work);
    bool is_first = !self->handover.has_called;
    self->handover.has_called = true;
    if (is_found) {
        trace_context_borrow(self, &work);
        atomic_fetch_add_explicit(&handover_request.spans, self->context.is_lent,
                                  memory_order_relaxed);
        return self->context.is_lent;
    }
    self->handover.others = 0;
    if (self->handover.doubt > 0 && self->handed != 0 && self->handed == only_request()) {
        self->handover.doubt--;
    } else {
        doubt(self, is_first);
    }
    return false;
}
