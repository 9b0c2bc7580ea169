#include "app_thread/attachment.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/system_call.h"

/* Attaching takes microseconds; asking for an arena may take a second, and the thread that asks
   waits no longer either. */
#define AWAIT_NS    100000
#define AWAIT_TRIES 10000

struct attachment *attachment;
_Atomic bool attachment_is_on;
uint64_t attachment_sampling_threshold;
bool attachment_sampling_follows_parent;
bool attachment_frames_ahead;
bool attachment_reads_traceparent;
bool attachment_reads_baggage;
bool attachment_producers_are_traced;
uint64_t attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * UINT64_C(1000000000);
uint32_t attachment_context_spans = LIMIT_CONTEXT_SPANS;
bool attachment_reports_connections;
attachment_renewal *attachment_renew;

/* enum witness_state; a forked child has its parent's. */
static _Atomic uint32_t witness_state;

static void tell_of_witness(struct segment *segment)
{
    if (segment != NULL) {
        atomic_store_explicit(&segment->witness,
                              atomic_load_explicit(&witness_state, memory_order_relaxed),
                              memory_order_relaxed);
    }
}

void attachment_note_witness(enum witness_state state)
{
    atomic_store_explicit(&witness_state, state, memory_order_relaxed);
    if (attachment != NULL) {
        tell_of_witness(atomic_load_explicit(&attachment->segment, memory_order_acquire));
    }
}

SLOW struct segment *attachment_segment_slow(void)
{
    struct attachment *page = attachment;
    if (!atomic_load_explicit(&attachment_is_on, memory_order_relaxed) ||
        attachment_renew == NULL) {
        return NULL;
    }
    /* The child of a fork starts with one thread, but a second may be there before the first call
       that is observed. The one that comes late goes unobserved for a moment. */
    uint32_t none = RENEWAL_NONE;
    if (!atomic_compare_exchange_strong_explicit(&page->renewal, &none, RENEWAL_BUSY,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return NULL;
    }
    struct segment *segment = attachment_renew(page);
    tell_of_witness(segment);
    /* release: the page is complete before the segment can be seen, and the segment is there before
       the renewal is over */
    atomic_store_explicit(&page->segment, segment, memory_order_release);
    /* Also without a segment: such a process does not try at every call. */
    atomic_store_explicit(&page->renewal, RENEWAL_DONE, memory_order_release);
    return segment;
}

static bool is_under_way(void)
{
    const struct attachment *page = attachment;
    return page != NULL &&
           (atomic_load_explicit(&page->renewal, memory_order_acquire) == RENEWAL_BUSY ||
            atomic_load_explicit(&page->is_asking, memory_order_acquire) != 0);
}

struct segment *attachment_await_segment(void)
{
    struct segment *segment = attachment_segment();
    const struct timespec pause = {.tv_nsec = AWAIT_NS};
    for (int tries = 0; segment == NULL && tries < AWAIT_TRIES && is_under_way(); tries++) {
        raw_system_call(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
        segment = attachment_segment();
    }
    /* Again: the other thread may have been done between the look and the question. */
    return segment != NULL ? segment : attachment_segment();
}

void attachment_replace_segment(void)
{
    struct attachment *page = attachment;
    if (atomic_load_explicit(&page->segment, memory_order_acquire) == NULL) {
        atomic_store_explicit(&page->renewal, RENEWAL_NONE, memory_order_release);
        attachment_segment();
        return;
    }
    struct segment *segment = attachment_renew(page);
    if (segment == NULL) {
        return;
    }
    tell_of_witness(segment);
    uint32_t epoch = attachment_epoch();
    uint32_t count = (epoch + ATTACHMENT_NEXT_SEGMENT) % ATTACHMENT_NEXT_PROCESS;
    /* Never without a segment, in which bytes would go unseen. A slot of the old one that a thread
       in the middle of a call takes for one of the new is found to be no record there. */
    atomic_store_explicit(&page->segment, segment, memory_order_release);
    atomic_store_explicit(&page->epoch,
                          epoch / ATTACHMENT_NEXT_PROCESS * ATTACHMENT_NEXT_PROCESS + count,
                          memory_order_relaxed);
}

int32_t attachment_process_id(void)
{
    int32_t id = atomic_load_explicit(&attachment->process_id, memory_order_relaxed);
    if (id == 0) {
        id = (int32_t)raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
        atomic_store_explicit(&attachment->process_id, id, memory_order_relaxed);
    }
    return id;
}
