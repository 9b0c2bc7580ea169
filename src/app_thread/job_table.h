/*
 * The jobs of a process: those in work, and those that ended a moment ago, for what follows an end
 * (an archive, a message) is of the same trace. A full table forgets the job that was touched
 * longest ago and is not in work.
 *
 * Everything is done with the lock held, but for the numbers of job_table_ends and for
 * job_table_awaits.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app_thread/thread_state.h"
#include "base/limits.h"
#include "handoff/segment.h"

/* A job in work, or one that has ended a moment ago (`slot` is none). */
struct job {
    uint64_t tag;             /* hash of what it is acknowledged by; 0: nothing */
    uint64_t acknowledged_ns; /* 0: not yet */
    uint64_t draws;           /* of the thread's numbers, when it was claimed */
    const struct thread_state *owner;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t submit_id[8];
    uint8_t parent_id[8]; /* that was carried in the job */
    uint8_t claim_id[8];  /* of the span that claimed it */
    uint8_t save_id[8];   /* of the span that stored it, where nobody was known to submit it */
    uint32_t epoch;
    uint32_t attempt; /* the last one whose number is known; 0: none is */
    uint32_t left;    /* 1 + how many it might still have had then; 0: not known */
    uint16_t slot;    /* of its record; written by job_table_open and job_table_close */
    uint8_t trace_flags;
    uint8_t queue;
    bool is_derived;    /* the trace's id: both sides of the queue know it */
    bool is_carried;    /* a context stood in the job: trace and parent are its */
    bool is_submitted;  /* by this process: its submission is a span, or becomes one */
    bool was_submitted; /* the submission's span is there: another one is none of that name */
    bool was_claimed;   /* by this process */
    bool is_anonymous;  /* it was claimed without a name: nobody will tell of it */
    bool is_awaited;    /* it has ended, and what went wrong is perhaps still to be told */
};

/* False, and counted as a loss: its holder does not get on. */
bool job_table_lock(void);
void job_table_unlock(void);

/* NULL: nothing is known of such a job. */
struct job *job_table_find(uint64_t key);

/* A place for a job without a record: its own, if it was known before. NULL: so many are in work.
 */
struct job *job_table_place(uint64_t key);

/* What it was placed by. */
uint64_t job_table_key(const struct job *job);

/* It has a record from here on; it has none any more. */
void job_table_open(struct job *job, uint16_t slot);
void job_table_close(struct job *job);

/* Something was told of it: others are forgotten first. */
void job_table_touch(struct job *job);

/* The jobs that have a record, one after the other, from NULL to NULL: in work or awaited, or of
   the process that this one was forked from. */
struct job *job_table_next_open(const struct job *after);

bool job_table_is_in_work(const struct job *job);

/* How many jobs have ended of whose failure more may be told. Read without the lock, too. */
uint32_t job_table_awaited(void);
void job_table_set_awaited(uint32_t count);

/* How often the job of that place has ended: what ends a thread's work for it. Read by threads
   without the lock. */
_Atomic uint32_t *job_table_ends(const struct job *job);
