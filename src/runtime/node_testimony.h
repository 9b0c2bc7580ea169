/*
 * What a thread of Node's has told of whose work its code does. Everything is the thread's own (a
 * Worker has its own context and its own script); there are no locks. Memory is mapped at the first
 * request or connection, and unmapped with the environment that the script ran in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/slice.h"
#include "runtime/node_announced.h"
#include "runtime/node_api.h"
#include "runtime/node_jobs.h"

/* On whose behalf a connection was made, or a transaction begun on it; 0: nobody's. */
struct made {
    uint32_t connection;
    uint32_t number;
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

/* Whose code a script is, by V8's number of it. */
struct script_known {
    int id;
    bool is_known;
    uint8_t script;
};

struct testimony {
    napi_env env;
    napi_ref getter;
    napi_ref enterer;
    napi_ref arriver;
    v8_isolate *isolate;
    bool relies_on_storage; /* for requests that nobody announced */
    /* The thread serves requests, and makes connections: there is something to be told. */
    bool has_served;
    bool has_clients;
    bool is_installed;
    bool gave_up;       /* trying again would fail again */
    bool sends_scripts; /* what was sent last for somebody was a script of ioredis's */
    uint64_t asked_ns;  /* the call that the answer below is for */
    struct saying said;
    uint64_t passed_ns; /* the call that so many commands were passed over in before it was asked */
    uint32_t passed;
    uint32_t last_number;
    /* Read, not begun by the runtime yet; oldest first. */
    uint32_t unbegun_count;
    uint64_t taken_ns; /* the call that took them */
    uint32_t taken_count;
    struct announcements *taken_from;
    struct announcement taken[LIMIT_WITNESS_ANNOUNCED];
    struct announcements requests;
    struct announcements commands;
    struct collection collection;
    struct node_jobs jobs;
    struct script_known scripts[LIMIT_WITNESS_SCRIPTS]; /* by the number, modulo */
    struct thread_context unbegun[LIMIT_WITNESS_UNBEGUN];
    struct made made[LIMIT_WITNESS_MADE]; /* by the connection's serial, modulo */
    struct made transactions[LIMIT_WITNESS_TRANSACTIONS];
    struct thread_context begun[LIMIT_WITNESS_BEGUN]; /* by number, modulo */
};

/* NULL: no request was read and no connection was made on this thread yet. */
extern __thread struct testimony *testimony __attribute__((tls_model("initial-exec")));

/* A number for work that begins. */
static inline uint32_t testimony_begin(struct testimony *self, const struct thread_context *work)
{
    uint32_t number = ++self->last_number;
    self->begun[number % LIMIT_WITNESS_BEGUN] = *work;
    return number;
}

/* NULL: it is 0, or too old. */
static inline struct thread_context *testimony_find(struct testimony *self, uint32_t number)
{
    if (number == 0 || number > self->last_number ||
        self->last_number - number >= LIMIT_WITNESS_BEGUN) {
        return NULL;
    }
    return &self->begun[number % LIMIT_WITNESS_BEGUN];
}

/* Whether more than one request or job is in work, among those that began last. */
static inline bool testimony_overlaps(struct testimony *self)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < LIMIT_WITNESS_OVERLAPPING && found < 2; i++) {
        const struct thread_context *work = testimony_find(self, self->last_number - i);
        if (work == NULL) {
            break;
        }
        found += trace_context_is_current(work);
    }
    return found == 2;
}

/* Two texts that belong together, told apart by a byte that is in neither. */
static inline uint64_t testimony_key(struct slice one, struct slice other)
{
    return hash_bytes(hash_byte(hash_bytes(HASH_BEGIN, one), 0xff), other);
}

/* Takes an entry out of an array. */
static inline void testimony_drop(void *array, uint32_t *count, uint32_t at, size_t size)
{
    uint8_t *entries = array;
    (*count)--;
    memmove(entries + at * size, entries + (at + 1) * size, (*count - at) * size);
}

/* The functions that are running, the innermost first; `*count` is how many, `frames` at most. */
v8_local testimony_stack(const struct testimony *self, int frames, int *count);

/* Whether the function of that frame has the name. */
bool testimony_is_named(const struct testimony *self, v8_local trace, uint32_t frame,
                        struct slice name);
