/*
 * Which job of BullMQ's the code of a Node thread works for.
 *
 * A worker's loop begins its jobs one after the other, some time after they were claimed. Until the
 * first one is begun all promises are watched, to see which job the loop is handed and when it
 * begins it. That costs as much as a small job does. But a job tells its worker, whose class is
 * then given another method processJob: it says whose work begins, does what the one before does,
 * and is in no stack trace. No promise is watched for jobs that are begun so.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "base/limits.h"
#include "rules/match.h"
#include "runtime/node_api.h"

struct testimony;

/* A job of this thread's that no code works for yet. */
struct node_claimed {
    uint64_t key;    /* of queue and id */
    uint64_t source; /* of queue and connection: workers share neither, as a rule */
    uint64_t until;  /* the event at which nobody will begin it any more */
    uint32_t number;
    bool is_told; /* by the worker, when it begins it: no promise is watched for it */
};

struct node_jobs {
    /* Promises are watched: a job was claimed, and not begun. */
    bool watches;
    bool has_entered;    /* a job, in the turn of the worker that begins it */
    bool is_mistaken;    /* a job was begun that is not the one it was taken for */
    bool tells;          /* jobs were begun: it knows whose work is done */
    uint32_t working;    /* calls of the method that workers are given that have not returned */
    uint32_t entered;    /* the number of the job that was begun last */
    uint64_t source;     /* where it came from */
    napi_ref entering;   /* the promise of the call that begins it */
    uint64_t events;     /* of promises */
    uint32_t watch_left; /* claims for which all promises are watched */
    uint32_t unbegun;    /* jobs in a row that nothing began */
    uint32_t next_source;
    uint32_t claimed_count;
    uint32_t handed_count; /* handed[0] is the oldest */
    uint32_t method_count;
    struct node_claimed claimed[LIMIT_WITNESS_CLAIMED];
    napi_ref handed[LIMIT_WITNESS_HANDED];   /* promises of the next job */
    uint64_t sources[LIMIT_WITNESS_SOURCES]; /* of workers that say when they begin; 0: none */
    napi_ref methods[LIMIT_WITNESS_WORKERS]; /* that classes of workers had */
};

/* Functions for the script. take(queue, id): the job's number, or 0. own(method): what a
   class of workers is given instead, or undefined. */
napi_value node_jobs_take(napi_env env, napi_callback_info info);
napi_value node_jobs_own(napi_env env, napi_callback_info info);

/* This thread has claimed a job on the connection. */
void node_jobs_claimed(struct testimony *self, const struct thread_context *work,
                       const struct connection *connection, const struct rule_facts *facts);

/* Whether jobs are begun so that it is seen: nothing else is to be guessed. */
bool node_jobs_are_told(const struct testimony *self);

/* The thread's environment is going. */
void node_jobs_forget(struct testimony *self);
