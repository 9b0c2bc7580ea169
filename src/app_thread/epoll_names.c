#include "app_thread/epoll_names.h"

#include <stdatomic.h>

#include "base/limits.h"

#define NOBODY     (-1)
#define TABLE_BITS 10u

struct name {
    _Atomic uint64_t data;
    _Atomic int32_t fd;
};

_Static_assert(LIMIT_EPOLL_NAMES == 1u << TABLE_BITS, "places are told by bits");

static struct name epoll_names[LIMIT_EPOLL_NAMES];
static _Atomic uint64_t epoll_data[LIMIT_EPOLL_NAMES]; /* by descriptor */

static struct name *place_of(uint64_t data)
{
    return &epoll_names[data * 0x9e3779b97f4a7c15ull >> (64 - TABLE_BITS)];
}

static uint64_t data_of(int fd)
{
    return atomic_load_explicit(&epoll_data[fd], memory_order_relaxed);
}

void epoll_names_put(uint64_t data, int fd)
{
    struct name *name = place_of(data);
    uint64_t before = atomic_load_explicit(&name->data, memory_order_relaxed);
    int other = atomic_load_explicit(&name->fd, memory_order_relaxed);
    bool is_known = (unsigned)fd < LIMIT_EPOLL_NAMES;
    bool is_another = before == data && other != fd;
    bool is_shared = is_another && (other == NOBODY || data_of(other) == data);
    /* Nobody while the two are written. */
    atomic_store_explicit(&name->fd, NOBODY, memory_order_relaxed);
    atomic_store_explicit(&name->data, data, memory_order_release);
    if (is_known) {
        atomic_store_explicit(&epoll_data[fd], data, memory_order_release);
    }
    if (is_known && !is_shared) {
        atomic_store_explicit(&name->fd, fd, memory_order_release);
    }
}

int epoll_names_find(uint64_t data)
{
    const struct name *name = place_of(data);
    int fd = atomic_load_explicit(&name->fd, memory_order_acquire);
    return fd >= 0 && atomic_load_explicit(&name->data, memory_order_acquire) == data &&
                   data_of(fd) == data
               ? fd
               : NOBODY;
}
