#include "app_thread/readable.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "base/compiler.h"
#include "base/system_call.h"

#define PAGE_BITS      12
#define PAGE_WORD_BITS 9
#define PAGE_WORDS     (1u << PAGE_WORD_BITS)
/* No way of changing the signal mask: the kernel reads the set and refuses. */
#define NO_WAY       (-1L)
#define SIGNAL_SET   8
#define MEMORY_TOP   (UINT64_C(1) << 47)
#define GOLDEN_RATIO UINT64_C(0x9e3779b97f4a7c15)

/* Numbers of pages that were readable, each in the one place that it may have. */
_Static_assert(READABLE_PAGE == 1u << PAGE_BITS, "pages are numbered by their first address");

static _Atomic uint64_t readable_pages[PAGE_WORDS];

static SLOW bool ask(uint64_t page, _Atomic uint64_t *place)
{
    long result =
        raw_system_call(SYS_rt_sigprocmask, NO_WAY, (long)(page << PAGE_BITS), 0, SIGNAL_SET, 0, 0);
    if (result != -EINVAL) {
        return false;
    }
    atomic_store_explicit(place, page, memory_order_relaxed);
    return true;
}

static bool is_readable(uint64_t page)
{
    _Atomic uint64_t *place = &readable_pages[page * GOLDEN_RATIO >> (64 - PAGE_WORD_BITS)];
    return likely(atomic_load_explicit(place, memory_order_relaxed) == page) || ask(page, place);
}

/* More than one piece, or one that crosses a page's end. */
static SLOW bool are_readable(const struct iovec *iov, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t first = (uint64_t)(uintptr_t)iov[i].iov_base;
        size_t size = iov[i].iov_len;
        if (size == 0) {
            continue;
        }
        if (size > READABLE_BYTES - total || first < READABLE_PAGE || first > MEMORY_TOP - size) {
            return false;
        }
        total += size;
        uint64_t last = (first + size - 1) >> PAGE_BITS;
        for (uint64_t page = first >> PAGE_BITS; page <= last; page++) {
            if (unlikely(!is_readable(page))) {
                return false;
            }
        }
    }
    return total > 0;
}

bool readable_iov(const struct iovec *iov, size_t count)
{
    uint64_t first = (uint64_t)(uintptr_t)iov[0].iov_base;
    size_t last_offset = iov[0].iov_len - 1;
    /* The usual case: one piece, with bytes in it, within a page. */
    if (likely(count == 1 && last_offset < READABLE_PAGE && first >= READABLE_PAGE &&
               first < MEMORY_TOP && (first & (READABLE_PAGE - 1)) + last_offset < READABLE_PAGE)) {
        return is_readable(first >> PAGE_BITS);
    }
    return are_readable(iov, count);
}
