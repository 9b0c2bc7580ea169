#include "handoff/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/system_call.h"

void doorbell_wake(struct doorbell *doorbell)
{
    if (atomic_exchange_explicit(&doorbell->asleep, DRAINER_AWAKE, memory_order_acq_rel) !=
        DRAINER_AWAKE) {
        atomic_fetch_add_explicit(&doorbell->word, 1, memory_order_release);
        raw_system_call(SYS_futex, (long)&doorbell->word, FUTEX_WAKE, 1, 0, 0, 0);
    }
}

void doorbell_ring(struct doorbell *doorbell)
{
    atomic_store_explicit(&doorbell->asleep, DRAINER_AWAKE, memory_order_release);
    atomic_fetch_add_explicit(&doorbell->word, 1, memory_order_release);
    raw_system_call(SYS_futex, (long)&doorbell->word, FUTEX_WAKE, 1, 0, 0, 0);
}

void doorbell_wait(struct doorbell *doorbell, uint32_t word, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                               .tv_nsec = (long)(timeout_ns % 1000000000u)};
    raw_system_call(SYS_futex, (long)&doorbell->word, FUTEX_WAIT, (long)word, (long)&timeout, 0, 0);
}
