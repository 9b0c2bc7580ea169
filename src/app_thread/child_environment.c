#include "app_thread/child_environment.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#include "app_thread/carried.h"
#include "app_thread/clock.h"
#include "app_thread/exchange.h"
#include "app_thread/readable.h"
#include "app_thread/trace_context.h"
#include "base/limits.h"
#include "base/system_call.h"
#include "wire/traceparent.h"

#define TRACEPARENT "TRACEPARENT="
#define TRACESTATE  "TRACESTATE="
#define BAGGAGE     "BAGGAGE="
#define STARTED_FOR "WIRESPAN_STARTED_FOR="
#define JOB         "job"

enum variable { VARIABLE_PARENT, VARIABLE_STATE, VARIABLE_BAGGAGE, VARIABLE_FOR, VARIABLES };

static const struct slice names[VARIABLES] = {
    {(const uint8_t *)TRACEPARENT, sizeof(TRACEPARENT) - 1},
    {(const uint8_t *)TRACESTATE, sizeof(TRACESTATE) - 1},
    {(const uint8_t *)BAGGAGE, sizeof(BAGGAGE) - 1},
    {(const uint8_t *)STARTED_FOR, sizeof(STARTED_FOR) - 1},
};

struct area {
    _Atomic uintptr_t owner; /* the state of the thread that has it; 0: nobody */
    long process;            /* in which the thread took it: a vfork child's is its own */
    char parent[sizeof(TRACEPARENT) + TRACEPARENT_BYTES];
    char state[sizeof(TRACESTATE) + LIMIT_TRACESTATE];
    char baggage[sizeof(BAGGAGE) + LIMIT_BAGGAGE];
    char started_for[sizeof(STARTED_FOR JOB)];
    char *entries[LIMIT_CHILD_VARIABLES + VARIABLES + 1];
};

static struct area child_areas[LIMIT_CHILD_AREAS];
static struct slice child_inherited[VARIABLES];
static bool child_is_on;

void child_environment_configure(bool is_on, struct slice traceparent, struct slice tracestate,
                                 struct slice baggage, struct slice started_for)
{
    child_is_on = is_on;
    child_inherited[VARIABLE_PARENT] = traceparent;
    child_inherited[VARIABLE_STATE] = tracestate;
    child_inherited[VARIABLE_BAGGAGE] = baggage;
    child_inherited[VARIABLE_FOR] = started_for;
}

bool child_environment_is_wanted(struct thread_state *self)
{
    struct child_cause cause;
    return child_is_on && trace_context_of_child(self, clock_now_ns(), &cause);
}

/* ---- areas ---- */

static struct area *take_area(struct thread_state *self)
{
    long process = raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    if (self->child_area != 0 && child_areas[self->child_area - 1].process == process) {
        return NULL; /* a signal handler, in the middle of another call */
    }
    /* Of a vfork child that is gone: otherwise this thread would not run. */
    child_environment_give_back(self);
    for (uint8_t i = 0; i < LIMIT_CHILD_AREAS; i++) {
        uintptr_t nobody = 0;
        if (atomic_compare_exchange_strong_explicit(&child_areas[i].owner, &nobody, (uintptr_t)self,
                                                    memory_order_acquire, memory_order_relaxed)) {
            child_areas[i].process = process;
            self->child_area = (uint8_t)(i + 1);
            return &child_areas[i];
        }
    }
    return NULL;
}

void child_environment_give_back(struct thread_state *self)
{
    if (self->child_area != 0) {
        struct area *area = &child_areas[self->child_area - 1];
        self->child_area = 0;
        atomic_store_explicit(&area->owner, 0, memory_order_release);
    }
}

/* The child of a fork does not get a segment for this. */
static void count_loss(void)
{
    if (atomic_load_explicit(&attachment->segment, memory_order_relaxed) != NULL) {
        exchange_count_loss(LOSS_CONTEXT_CUT);
    }
}

/* ---- the caller's environment ---- */

/* The value behind a name; NULL: another variable. Reads no byte behind the end. */
static const char *value_of(const char *entry, struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char *at = entry + i;
        if ((i == 0 || (uintptr_t)at % READABLE_PAGE == 0) && !readable(at, 1)) {
            return NULL;
        }
        if ((uint8_t)*at != name.data[i]) {
            return NULL;
        }
    }
    return entry + name.size;
}

/* What this program was started with. */
static bool is_inherited(const char *value, struct slice inherited)
{
    for (size_t i = 0; i < inherited.size; i++) {
        if ((uint8_t)value[i] != inherited.data[i]) {
            return false;
        }
    }
    return value[inherited.size] == '\0';
}

/* ---- ours ---- */

static void write_variables(struct area *area, const struct child_cause *cause)
{
    memcpy(area->parent, TRACEPARENT, sizeof(TRACEPARENT) - 1);
    traceparent_write((uint8_t *)area->parent + sizeof(TRACEPARENT) - 1, cause->trace_id,
                      cause->span_id, cause->trace_flags);
    area->parent[sizeof(area->parent) - 1] = '\0';
    memcpy(area->state, TRACESTATE, sizeof(TRACESTATE) - 1);
    memcpy(area->baggage, BAGGAGE, sizeof(BAGGAGE) - 1);
    memcpy(area->started_for, STARTED_FOR JOB, sizeof(STARTED_FOR JOB));
    char *state = area->state + sizeof(TRACESTATE) - 1;
    char *baggage = area->baggage + sizeof(BAGGAGE) - 1;
    state[carried_copy_tracestate(cause->carried, (uint8_t *)state, LIMIT_TRACESTATE)] = '\0';
    baggage[carried_copy_baggage(cause->carried, (uint8_t *)baggage, LIMIT_BAGGAGE)] = '\0';
}

/* The caller's entries in their order. What of ours it has inherited gives way, what it has of its
   own stays. False: nothing is to be changed. */
static bool merge(struct area *area, const struct child_cause *cause, char *const *environment)
{
    char *ours[VARIABLES] = {
        area->parent,
        area->state[sizeof(TRACESTATE) - 1] != '\0' ? area->state : NULL,
        area->baggage[sizeof(BAGGAGE) - 1] != '\0' ? area->baggage : NULL,
        cause->is_of_job ? area->started_for : NULL,
    };
    size_t count = 0;
    for (size_t i = 0; environment != NULL; i++) {
        if (!readable(&environment[i], sizeof(environment[i]))) {
            return false;
        }
        char *entry = environment[i];
        if (entry == NULL) {
            break;
        }
        if (count == LIMIT_CHILD_VARIABLES) {
            count_loss();
            return false;
        }
        enum variable is = VARIABLES;
        const char *value = NULL;
        for (int v = 0; v < VARIABLES && value == NULL; v++) {
            value = value_of(entry, names[v]);
            is = value != NULL ? (enum variable)v : is;
        }
        if (value == NULL) {
            area->entries[count++] = entry;
            continue;
        }
        bool is_own = !is_inherited(value, child_inherited[is]);
        if (is == VARIABLE_PARENT && (is_own || cause->is_ambient)) {
            return false;
        }
        if (is_own) {
            area->entries[count++] = entry;
            ours[is] = NULL;
        } else if (ours[is] != NULL) {
            area->entries[count++] = ours[is];
            ours[is] = NULL;
        }
    }
    for (int v = 0; v < VARIABLES; v++) {
        if (ours[v] != NULL) {
            area->entries[count++] = ours[v];
        }
    }
    area->entries[count] = NULL;
    return true;
}

char *const *child_environment_make(struct thread_state *self, char *const *environment)
{
    struct child_cause cause;
    if (!child_is_on || !trace_context_of_child(self, clock_now_ns(), &cause)) {
        return NULL;
    }
    struct area *area = take_area(self);
    if (area == NULL) {
        count_loss();
        return NULL;
    }
    write_variables(area, &cause);
    if (!merge(area, &cause, environment)) {
        child_environment_give_back(self);
        return NULL;
    }
    return area->entries;
}
