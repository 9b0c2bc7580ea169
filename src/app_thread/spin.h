/* Waiting for a lock that is held for some thousand instructions at most. */
#pragma once

#include <sys/syscall.h>

#include "base/system_call.h"

/* Tries in a row, some microseconds; then as many chances for a holder that lost its processor. */
#define SPIN_TRIES  256
#define SPIN_YIELDS 16

/* Between one try and the next. */
static inline void spin_wait(int tries)
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
