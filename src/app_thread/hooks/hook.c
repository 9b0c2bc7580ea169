#include "app_thread/hooks/hook.h"

#include <sys/syscall.h>

#include "base/system_call.h"

SLOW bool hook_is_aside_slow(struct thread_state *self)
{
    if (self->is_ours) {
        return true;
    }
    /* In the vfork child the process id differs from the one that the page remembers; in the
       parent, back from vfork, it does not. */
    if (attachment != NULL &&
        raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == attachment->process_id) {
        self->in_vfork = false;
        return false;
    }
    return true;
}
