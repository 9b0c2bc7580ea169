/* What a call of poll or select waits for, and what it found. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "app_thread/thread_state.h"

struct wait_set {
    const struct pollfd *polled; /* NULL: select's */
    const fd_set *sets[3];       /* NULL where the program gave none */
    uint64_t size;               /* of the array; above all numbers in the sets */
};

struct wait_company {
    uint32_t count;     /* of descriptors, up to 2 */
    bool is_known;      /* else the set cannot be read, or is too large to be looked at */
    bool has_client;    /* a connection that this process made is among them */
    bool has_strangers; /* and a listener, or a client's connection to this process that is not the
                          one whose request the thread has read last */
};

/* Before the call, when only the kernel knows whether the memory can be read. */
struct wait_company wait_set_look(const struct thread_state *self, const struct wait_set *set);

/* After a call that has found something: what is ready, as epoll would say it, by descriptor.
   Returns how many; `room` if there may be more. */
int wait_set_collect(const struct wait_set *set, struct epoll_event *events, int room);
