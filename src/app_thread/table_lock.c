#include "app_thread/table_lock.h"

#include <sys/syscall.h>
#include <time.h>

#include "app_thread/attachment.h"
#include "base/system_call.h"

#define SPIN_TRIES 256
/* Then its holder has lost the processor. Yielding does not give it one where others wait for it,
   too; a nap of a tenth of a millisecond does. */
#define NAPS   100
#define NAP_NS 50000

/* Somebody has waited for this holder in vain, and nobody else does: the word is even. An epoch is
   odd, and any of its other bits may be set. */
static bool is_stuck(uint32_t word)
{
    return word != 0 && word % 2 == 0;
}

/* Between one try and the next. */
static void wait_a_moment(int tries)
{
    if (tries >= SPIN_TRIES) {
        const struct timespec nap = {.tv_nsec = NAP_NS};
        raw_system_call(SYS_nanosleep, (long)&nap, 0, 0, 0, 0, 0);
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
    for (int tries = 0; tries < SPIN_TRIES + NAPS; tries++) {
        uint32_t word = atomic_load_explicit(lock, memory_order_relaxed);
        /* Another process's holder was a thread of the one that this one was forked from. */
        if ((word == 0 || !attachment_is_of_process(word)) &&
            atomic_compare_exchange_weak_explicit(lock, &word, epoch, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
        if (is_stuck(word)) {
            return false;
        }
        wait_a_moment(tries);
    }
    uint32_t word = atomic_load_explicit(lock, memory_order_relaxed);
    if (word > 1) {
        atomic_compare_exchange_strong_explicit(lock, &word, word & ~1u, memory_order_relaxed,
                                                memory_order_relaxed);
    }
    return false;
}
