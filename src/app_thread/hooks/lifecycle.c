/* The life of the process and of its threads. The tail jumps are in stubs_<cpu>.S; what they call
   first is here. */
#include "app_thread/hooks/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app_thread/callbacks.h"
#include "app_thread/child_environment.h"
#include "app_thread/connection.h"
#include "app_thread/exchange.h"
#include "app_thread/hooks/caller_scope.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/observe.h"
#include "app_thread/slab.h"
#include "base/system_call.h"

struct callbacks callbacks;
_Atomic bool lifecycle_raw_exit;

/* ---- ends ---- */

static void before_end(enum abort_reason reason, int code)
{
    if (callbacks.before_end != NULL && hook_is_on() && !hook_is_aside(&thread_state)) {
        int error = errno;
        callbacks.before_end(record_abort_cause(reason, code));
        errno = error;
    }
}

EXPORTED void _exit(int status)
{
    before_end(ABORT_EXIT, status & 0xFF);
    if (ORIGINAL(_exit) != NULL) {
        original__exit(status);
    }
    for (;;) {
        raw_system_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
    }
}

EXPORTED void _Exit(int status)
{
    _exit(status);
}

EXPORTED void quick_exit(int status)
{
    before_end(ABORT_EXIT, status & 0xFF);
    if (ORIGINAL(quick_exit) != NULL) {
        original_quick_exit(status);
    }
    _exit(status);
}

EXPORTED void abort(void)
{
    before_end(ABORT_SIGNAL, SIGABRT);
    if (ORIGINAL(abort) != NULL) {
        original_abort();
    }
    __builtin_trap();
}

static bool is_first_thread(void)
{
    return hook_is_on() && !hook_is_aside(&thread_state) &&
           raw_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0) == attachment_process_id();
}

/* The process ends with its last thread. One that the program does not know of must not be it. */
static void before_thread_ends(void)
{
    if (callbacks.before_first_thread_ends != NULL && is_first_thread()) {
        callbacks.before_first_thread_ends();
    }
}

EXPORTED void pthread_exit(void *result)
{
    before_thread_ends();
    if (ORIGINAL(pthread_exit) != NULL) {
        original_pthread_exit(result);
    }
    __builtin_trap();
}

/* ---- what a thread may ---- */

/* The kernel's structures of capset. Of a thread that is not ours nothing else can be set. */
struct capability_header {
    uint32_t version;
    int process;
};
#define CAPABILITIES_OF_32 0x19980330u /* a set of 32, not two */
#define CAPABILITY_BYTES   12u

EXPORTED int capset(void *header, const void *data)
{
    int result = ORIGINAL(capset)(header, data);
    if (result == 0 && callbacks.capabilities_set != NULL && is_first_thread()) {
        int error = errno;
        struct capability_header said;
        memcpy(&said, header, sizeof(said)); /* the kernel has read both */
        callbacks.capabilities_set(said.version, data,
                                   said.version == CAPABILITIES_OF_32 ? CAPABILITY_BYTES
                                                                      : 2 * CAPABILITY_BYTES);
        errno = error;
    }
    return result;
}

/* ---- called by the tail jumps ---- */

bool lifecycle_before_exec(void)
{
    if (unlikely(original_execve == NULL)) {
        originals_resolve();
    }
    bool is_told = child_environment_is_wanted(&thread_state);
    before_end(ABORT_EXEC, 0);
    return is_told;
}

/* From here on this may be the child: a process that shares our memory. */
static void mark_vfork(void)
{
    if (attachment != NULL) {
        attachment_process_id();
        thread_state.in_vfork = true;
    }
}

void lifecycle_before_vfork(void)
{
    if (unlikely(original_vfork == NULL)) {
        originals_resolve();
    }
    mark_vfork();
}

bool lifecycle_before_clone(int (*function)(void *), void *stack, int flags)
{
    if (unlikely(original_clone == NULL)) {
        originals_resolve();
    }
    /* A child that shares the memory but is another process; a thread is none. */
    if ((flags & CLONE_VM) && !(flags & CLONE_THREAD)) {
        mark_vfork();
    }
    return fork_is_clone(function, stack, flags);
}

/* A sandbox may kill the process for any system call that it does not make by itself. */
static void stop_before_sandbox(void)
{
    atomic_store_explicit(&attachment_is_on, false, memory_order_relaxed);
}

void lifecycle_before_prctl(int option)
{
    if (unlikely(original_prctl == NULL)) {
        originals_resolve();
    }
    if (option == PR_SET_SECCOMP) {
        stop_before_sandbox();
    }
}

void lifecycle_before_dlopen(void)
{
    if (unlikely(original_dlopen == NULL)) {
        originals_resolve();
    }
}

/* What is unloaded may make room for another object at the same place. */
void lifecycle_before_dlclose(void)
{
    if (unlikely(original_dlclose == NULL)) {
        originals_resolve();
    }
    caller_scope_forget_all();
}

/* Bytes pass by a system call that no wrapper sees. */
static void missed(int fd)
{
    struct touch touch;
    if (connection_find(fd, &touch) && connection_source(touch.connection) == 0) {
        exchange_count_loss(LOSS_MISSED_BYTES);
        connection_set_adrift(touch.connection);
    }
}

bool lifecycle_before_syscall(long number, long a, long b, long c)
{
    struct thread_state *self = &thread_state;
    if (number == SYS_vfork) {
        mark_vfork();
        return false;
    }
    if (!hook_is_on() || hook_is_aside(self)) {
        return false;
    }
    switch (number) {
    case SYS_close:
        descriptor_closing(self, (int)a);
        break;
    case SYS_close_range:
        if ((c & 4) == 0) {
            descriptor_range_closing(self, (unsigned)a, (unsigned)b);
        }
        break;
#ifdef SYS_dup2
    case SYS_dup2:
#endif
    case SYS_dup3:
        if (a != b) {
            descriptor_closing(self, (int)b);
        }
        break;
    case SYS_read:
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
    case SYS_sendto:
    case SYS_recvfrom:
    case SYS_sendmsg:
    case SYS_recvmsg:
    case SYS_sendmmsg:
    case SYS_recvmmsg:
    case SYS_preadv2:
    case SYS_pwritev2:
    case SYS_sendfile: /* (out, in, ...) */
        missed((int)a);
        break;
    case SYS_splice: /* (in, offset, out, ...) */
        missed((int)a);
        missed((int)c);
        break;
    case SYS_clone:
        if ((a & CLONE_VM) && !(a & CLONE_THREAD)) {
            mark_vfork();
        }
        break;
    case SYS_seccomp:
        stop_before_sandbox();
        break;
    case SYS_exit:
        before_thread_ends();
        atomic_store_explicit(&lifecycle_raw_exit, true, memory_order_relaxed);
        break;
    case SYS_exit_group:
        before_end(ABORT_EXIT, (int)a & 0xFF);
        break;
    default:
        break;
    }
    return fork_is_system_call(number, a, b);
}

/* ---- threads ---- */

struct thread_start {
    void *(*function)(void *);
    void *argument;
    uint8_t is_ours;
};

/* A thread that our own thread makes (a name look-up of the exporter) is ours, too. */
static void *run_ours(void *pointer)
{
    uint32_t block = (uint32_t)(uintptr_t)pointer;
    struct thread_start start;
    memcpy(&start, slab_address(block), sizeof(start));
    slab_give(SLAB_BUFFER, block);
    thread_state.is_ours = start.is_ours;
    return start.function(start.argument);
}

static void tell_witness(void)
{
    if (unlikely(witness != NULL) && witness->making_thread != NULL && hook_is_on()) {
        int error = errno;
        witness->making_thread();
        errno = error;
    }
}

EXPORTED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                            void *(*function)(void *), void *argument)
{
    if (likely(!thread_state.is_ours)) {
        tell_witness();
        return ORIGINAL(pthread_create)(thread, attributes, function, argument);
    }
    uint32_t block = slab_take(SLAB_BUFFER);
    if (block == 0) {
        return EAGAIN;
    }
    struct thread_start start = {function, argument, thread_state.is_ours};
    memcpy(slab_address(block), &start, sizeof(start));
    int result = ORIGINAL(pthread_create)(thread, attributes, run_ours, (void *)(uintptr_t)block);
    if (result != 0) {
        slab_give(SLAB_BUFFER, block);
    }
    return result;
}
