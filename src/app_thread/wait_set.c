#include "app_thread/wait_set.h"

#include <stddef.h>

#include "app_thread/connection.h"
#include "app_thread/readable.h"

/* The descriptor at that place that is waited for; -1: none. */
static int descriptor_at(const struct wait_set *set, uint64_t place)
{
    if (set->polled != NULL) {
        return set->polled[place].fd;
    }
    for (int i = 0; i < 3; i++) {
        if (set->sets[i] != NULL && FD_ISSET((int)place, set->sets[i])) {
            return (int)place;
        }
    }
    return -1;
}

static bool can_be_read(const struct wait_set *set)
{
    if (set->polled != NULL) {
        return set->size <= READABLE_BYTES / sizeof(struct pollfd) &&
               readable(set->polled, set->size * sizeof(struct pollfd));
    }
    for (int i = 0; i < 3; i++) {
        if (set->sets[i] != NULL && !readable(set->sets[i], (set->size + 63) / 64 * 8)) {
            return false;
        }
    }
    return set->size <= FD_SETSIZE;
}

static void look_at(struct wait_company *company, const struct thread_state *self, int fd)
{
    struct touch touch;
    if (connection_find(fd, &touch)) {
        company->has_client |= touch.connection->role == ROLE_CLIENT;
        company->has_strangers |= touch.connection->role == ROLE_SERVER &&
                                  touch.connection->serial != self->context.connection;
    } else if ((unsigned)fd < LIMIT_DESCRIPTORS) {
        /* What was made by socket() and never connected is waited for in order to accept. */
        company->has_strangers |=
            atomic_load_explicit(&descriptor_kinds[fd], memory_order_relaxed) == DESCRIPTOR_STREAM;
    }
}

struct wait_company wait_set_look(const struct thread_state *self, const struct wait_set *set)
{
    struct wait_company company = {.count = set->size > 1 ? 2 : (uint32_t)set->size};
    if (set->size == 0 || !can_be_read(set)) {
        company.is_known = set->size == 0;
        return company;
    }
    company.is_known = true;
    company.count = 0;
    for (uint64_t i = 0; i < set->size; i++) {
        int fd = descriptor_at(set, i);
        if (fd < 0) {
            continue;
        }
        company.count += company.count < 2;
        look_at(&company, self, fd);
        if (company.count == 2 && company.has_client && company.has_strangers) {
            break;
        }
    }
    return company;
}

int wait_set_collect(const struct wait_set *set, struct epoll_event *events, int room)
{
    int count = 0;
    for (uint64_t i = 0; i < set->size && count < room; i++) {
        int fd = descriptor_at(set, i);
        if (fd >= 0 && (set->polled == NULL || set->polled[i].revents != 0)) {
            events[count++].data.u64 = (uint32_t)fd;
        }
    }
    return count;
}
