#include "app_thread/hooks/hook.h"

#include "app_thread/child_environment.h"

#include <sys/syscall.h>

#include "base/system_call.h"

SLOW bool hook_is_aside_slow(struct thread_state *self)
{
    if (self->is_ours) {
        return true;
    }
    /* The page remembers the id of the process that called vfork: it was asked for then. In the
       child the kernel gives another; in the child of a later fork the page was wiped. */
    int32_t parent = attachment == NULL
                         ? 0
                         : atomic_load_explicit(&attachment->process_id, memory_order_relaxed);
    if (attachment != NULL &&
        (parent == 0 || raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == parent)) {
        self->in_vfork = false;
        child_environment_give_back(self);
        return false;
    }
    return true;
}
