#include "process/identity.h"

#include <sys/syscall.h>

#include "app_thread/clock.h"
#include "base/system_call.h"

/* Of this process or, in a new one, of the one that it was forked from. */
static uint32_t last_epoch;

void identity_draw(struct attachment *page)
{
    if (atomic_load_explicit(&page->epoch, memory_order_relaxed) != 0) {
        return;
    }
    uint64_t random[2] = {0, 0};
    raw_system_call(SYS_getrandom, (long)random, sizeof(random), 1 /* non-blocking */, 0, 0, 0);
    int32_t process_id = attachment_process_id();
    page->random_seed = random[0] ^ clock_now_ns() ^ (uint64_t)process_id << 40;
    uint32_t epoch = (uint32_t)random[1] ^ (uint32_t)clock_now_ns() ^ (uint32_t)process_id << 16;
    if ((epoch ^ last_epoch) < ATTACHMENT_NEXT_PROCESS) {
        epoch ^= ATTACHMENT_NEXT_PROCESS;
    }
    last_epoch = epoch | 1;
    atomic_store_explicit(&page->epoch, last_epoch, memory_order_relaxed);
}
