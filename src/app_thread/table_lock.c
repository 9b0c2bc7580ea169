#include "app_thread/table_lock.h"

#include <sys/syscall.h>

#include "app_thread/attachment.h"
#include "base/system_call.h"

#define SPIN_TRIES  256
#define SPIN_YIELDS 16

/* Between one try and the next. */
static void wait_a_moment(int tries)
{
    if (tries >= SPIN_TRIES) {
        raw_system_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool table_lock_take(_Atomic uint32_t *lock)
{
    uint32_t epoch = attachment_epoch();
    for (int tries = 0; tries < SPIN_TRIES + SPIN_YIELDS; tries++) {
        uint32_t holder = atomic_load_explicit(lock, memory_order_relaxed);
        /* Another process's holder was a thread of the one that this one was forked from. */
        if ((holder == 0 || !attachment_is_of_process(holder)) &&
            atomic_compare_exchange_weak_explicit(lock, &holder, epoch, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
        wait_a_moment(tries);
    }
    return false;
}
