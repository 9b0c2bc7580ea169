/*
 * Forks that run no handlers: _Fork, clone without shared memory, and the bare system calls.
 *
 * The child has what locks the C library held at that moment, with nobody to release them. In a
 * program of one thread nobody holds any, unless it is the exporter's thread, in the middle of
 * loading an object: the child would wait for ever in its next pthread_create. So these wait for
 * that thread, as fork's own handlers make fork wait.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app_thread/callbacks.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/lifecycle.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/trace_context.h"
#include "base/system_call.h"

static void before_fork(void)
{
    if (hook_is_on()) {
        trace_context_before_fork(&thread_state);
    }
    if (callbacks.before_fork != NULL && hook_is_on()) {
        callbacks.before_fork();
    }
}

static void after_fork(bool is_child)
{
    if (!hook_is_on()) {
        return;
    }
    if (!is_child) {
        trace_context_after_fork(&thread_state);
    }
    if (is_child && callbacks.after_fork_in_child != NULL) {
        callbacks.after_fork_in_child();
    } else if (!is_child && callbacks.after_fork_in_parent != NULL) {
        callbacks.after_fork_in_parent();
    }
}

EXPORTED pid_t _Fork(void)
{
    before_fork();
    pid_t result;
    if (ORIGINAL(_Fork) != NULL) {
        result = original__Fork();
    } else {
        /* A C library that has none: who asks for it has found ours. */
        long number = raw_system_call(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
        if (number < 0) {
            errno = (int)-number;
        }
        result = number < 0 ? -1 : (pid_t)number;
    }
    after_fork(result == 0);
    return result;
}

/* ---- clone(2) as the C library has it ---- */

bool fork_is_clone(int (*function)(void *), void *stack, int flags)
{
    return (flags & CLONE_VM) == 0 && function != NULL && stack != NULL;
}

struct cloned {
    int (*function)(void *);
    void *argument;
};

static int run_cloned(void *pointer)
{
    struct cloned cloned = *(struct cloned *)pointer;
    after_fork(true);
    return cloned.function(cloned.argument);
}

/* The child has a copy of this frame: nothing is shared. */
int fork_clone(int (*function)(void *), void *stack, int flags, void *argument, pid_t *parent_id,
               void *thread_area, pid_t *child_id)
{
    struct cloned cloned = {function, argument};
    before_fork();
    int result =
        ORIGINAL(clone)(run_cloned, stack, flags, &cloned, parent_id, thread_area, child_id);
    after_fork(false);
    return result;
}

/* ---- the bare system calls ---- */

bool fork_is_system_call(long number, long a, long b)
{
    switch (number) {
#ifdef SYS_fork
    case SYS_fork:
        return true;
#endif
    case SYS_clone:
        /* On a stack of its own the child returns to where nobody could have called from. */
        return (a & CLONE_VM) == 0 && b == 0;
    case SYS_clone3: {
        struct clone_args arguments;
        memset(&arguments, 0, sizeof(arguments));
        size_t size = (size_t)b < sizeof(arguments) ? (size_t)b : sizeof(arguments);
        if (a == 0 || size < CLONE_ARGS_SIZE_VER0) {
            return false;
        }
        memcpy(&arguments, (const void *)a, size);
        return (arguments.flags & CLONE_VM) == 0 && arguments.stack == 0;
    }
    default:
        return false;
    }
}

long fork_system_call(long number, long a, long b, long c, long d, long e)
{
    before_fork();
    long result = raw_system_call(number, a, b, c, d, e, 0);
    after_fork(result == 0);
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
