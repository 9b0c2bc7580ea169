/*
 * Witnesses: where many requests are served, or many jobs done, in turn by one thread, the runtime
 * alone knows whose work the code does that runs now. What knows how to ask it (src/runtime) stands
 * behind these functions; without one, such a thread's requests have no parent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "base/slice.h"
#include "handoff/record.h"
#include "rules/match.h"

struct witness {
    /* This thread has read a whole request head from the descriptor; `work` is copied. */
    void (*request_read)(const struct thread_context *work, int descriptor);
    /* The same of a message from a WebSocket that names whose work it is. NULL: nobody wants to
       know. */
    void (*message_read)(const struct thread_context *work, int descriptor);
    /* Whose work is the HTTP request with this method and target, that the call sends that began at
       `call_ns`? NULL: not known. It stays the witness's, and counts its spans. With `call_ns` 0 it
       may not be sent yet, and the next answer is the same; else it is not asked about again. */
    struct thread_context *(*cause_of_http)(struct slice method, struct slice target,
                                            uint64_t call_ns);
    /* That call sent something else than it was asked to, or nothing: the requests that were asked
       about in it will be asked about again. */
    void (*take_back)(uint64_t call_ns);
    /* Whose work is the command whose first byte the call sends on the connection that began at
       `call_ns`? Asked once for each command, in their order. */
    struct thread_context *(*cause_of_bytes)(const struct connection *connection, uint64_t call_ns);
    /* It is no matter whose the next command is: it is not asked about, and counts in their order.
       NULL: nobody wants to know. */
    void (*pass_over)(uint64_t call_ns);
    /* The same, where that was not known, by the command's name as it was sent and its first
       argument (data NULL: it has none). NULL: these tell nothing. */
    struct thread_context *(*cause_of_command)(const struct connection *connection,
                                               struct slice name, struct slice first,
                                               uint64_t call_ns);
    /* The record is a child of what was answered last: `is_given` now, else when it was planned, or
       for another reason. NULL: nobody wants to know. */
    void (*gave)(struct record *record, bool is_given);
    /* Whose work is the program that the code starts now? False: not known. Asked in the process
       that forks, or in its child by vfork; must change nothing. */
    bool (*cause_of_child)(struct thread_context *work);
    /* The code that runs now makes a connection. */
    void (*connecting)(const struct connection *connection);
    /* This thread has accepted a connection or found none, or uses a descriptor for the first time.
       NULL: nobody wants to know. */
    void (*accepting)(void);
    /* The program is about to make a thread. NULL: nobody wants to know. */
    void (*making_thread)(void);
    /* This thread has read the answer by which it claimed, on the connection, a job of the queue
       that rules call `system`; `work` is copied. */
    void (*job_claimed)(const struct thread_context *work, const struct connection *connection,
                        struct slice system, const struct rule_facts *facts);
    /* Whether it knows for which job this thread's code runs, so that nothing is to be guessed. */
    bool (*tells_jobs)(void);
};

/* NULL: none. Set once at start. */
extern const struct witness *witness;
