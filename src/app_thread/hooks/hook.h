/* What all wrappers share. */
#pragma once

#include <stdbool.h>

#include "app_thread/attachment.h"
#include "app_thread/thread_state.h"
#include "base/compiler.h"

SLOW bool hook_is_aside_slow(struct thread_state *self);

/* Whether this thread's calls are none of our business: it is the worker's, or it is a vfork child,
   which shares the parent's memory and must not touch the parent's tables. */
static inline bool hook_is_aside(struct thread_state *self)
{
    return unlikely(self->is_ours || self->in_vfork) && hook_is_aside_slow(self);
}

/* Whether anything is observed in this process. */
static inline bool hook_is_on(void)
{
    return atomic_load_explicit(&attachment_is_on, memory_order_relaxed);
}
