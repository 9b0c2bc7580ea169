#include "process/identity.h"

#include <sys/syscall.h>

#include "app_thread/clock.h"
#include "base/system_call.h"

void identity_draw(struct attachment *page)
{
    uint64_t random[2] = {0, 0};
    raw_system_call(SYS_getrandom, (long)random, sizeof(random), 1 /* non-blocking */, 0, 0, 0);
    int32_t process_id = attachment_process_id();
    page->random_seed = random[0] ^ clock_now_ns() ^ (uint64_t)process_id << 40;
    /* Odd, and unlike the parent's even where no random numbers can be had. */
    uint32_t epoch = (uint32_t)random[1] ^ (uint32_t)clock_now_ns() ^ (uint32_t)process_id << 16;
    atomic_store_explicit(&page->epoch, epoch | 1, memory_order_relaxed);
}
