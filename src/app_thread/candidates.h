/*
 * What a thread may be working for, where it is not known for which: requests that it has read and
 * that are not answered yet. A span without a parent links to them.
 *
 * A link to one of many helps nobody, so there are none while more than LIMIT_CANDIDATES requests
 * are open in the process. Noted are the requests of loops that no witness knows, of threads that
 * read a second one before the first was answered, and those that a thread had in work when it
 * waited for many things. In the child of a fork the candidate is what the parent's thread worked
 * for then.
 *
 *     places  written by whoever notes, one at a time (version); read by the thread that is in them
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/attachment.h"
#include "app_thread/thread_state.h"
#include "base/compiler.h"
#include "handoff/record.h"

/* The thread may work for that, until its request is answered. */
void candidates_note(const struct thread_state *self, const struct thread_context *work);

/* Whether there may be any: to be asked before what follows. */
static inline bool candidates_exist(const struct thread_state *self)
{
    return (atomic_load_explicit(&attachment->sole.open, memory_order_relaxed) |
            self->child.is_known) != 0;
}

/* Adds them to the record of an exchange; nothing if that has a parent. */
void candidates_tell(struct thread_state *self, struct record *record);
