/*
 * The environment of a program that is started on behalf of a context: the caller's with
 * TRACEPARENT, and with TRACESTATE and BAGGAGE if there are any, and with WIRESPAN_STARTED_FOR if
 * it is a job's.
 *
 * It is written into one of a few areas, since the call may be made in the child of vfork, on a
 * small stack, in a signal handler, and must leave nothing behind in memory that the child shares.
 * An area is its thread's until the call has failed, or the thread is back from vfork.
 */
#pragma once

#include "app_thread/thread_state.h"
#include "base/slice.h"

/* Whether it is done at all, and what this program's own variables were when it was started: those
   say nothing about who starts another. The texts must last. Set once at start. */
void child_environment_configure(bool is_on, struct slice traceparent, struct slice tracestate,
                                 struct slice baggage, struct slice started_for);

/* Whether the thread works for a context of which a program that it starts would be told. */
bool child_environment_is_wanted(struct thread_state *self);

/* The environment for the program; NULL: it is to be left as it is, for whatever reason. */
char *const *child_environment_make(struct thread_state *self, char *const *environment);

/* The call that it was made for is back, or was made in a vfork child that is gone. Nothing if
   there is none. */
void child_environment_give_back(struct thread_state *self);
