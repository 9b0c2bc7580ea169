/* Waiting: a thread that waited for several things may next work for any of them. */
#include <errno.h>

#include "app_thread/callbacks.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/trace_context.h"
#include "app_thread/transfer.h"

/* A program that came by its connections without socket, connect or accept is about to wait: as
   good a moment as those to have the exporter started. */
static SLOW void start_exporter(void)
{
    struct thread_state *self = &thread_state;
    if (callbacks.after_connection == NULL || !hook_is_on() || hook_is_aside(self)) {
        return;
    }
    atomic_store_explicit(&attachment->wants_exporter, 0, memory_order_relaxed);
    int error = errno;
    callbacks.after_connection();
    errno = error;
}

static inline void before_wait(void)
{
    if (unlikely(attachment != NULL &&
                 atomic_load_explicit(&attachment->wants_exporter, memory_order_relaxed) != 0)) {
        start_exporter();
    }
}

/* Whoever waits in epoll runs an event loop: from then on, what this thread writes after a read
   need not have been caused by that read. */
static void waits_in_loop(void)
{
    before_wait();
    thread_state.runs_a_loop = true;
    transfer_before_wait(&thread_state);
    trace_context_forget(&thread_state);
}

/* Waiting for one descriptor is waiting for one answer; for none, it is a sleep, or a question
   whether poll works (urllib3 asks it before it first uses a connection again). libcurl waits
   beside its one transfer for somebody who wakes it. */
static void waits_for(nfds_t count)
{
    before_wait();
    transfer_before_wait(&thread_state);
    if (count > 1 && !thread_state.transfers.is_alone) {
        trace_context_forget(&thread_state);
    }
}

EXPORTED int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    waits_in_loop();
    return ORIGINAL(epoll_wait)(epoll, events, count, timeout);
}

EXPORTED int epoll_pwait(int epoll, struct epoll_event *events, int count, int timeout,
                         const sigset_t *mask)
{
    waits_in_loop();
    return ORIGINAL(epoll_pwait)(epoll, events, count, timeout, mask);
}

EXPORTED int epoll_pwait2(int epoll, struct epoll_event *events, int count,
                          const struct timespec *timeout, const sigset_t *mask)
{
    waits_in_loop();
    if (ORIGINAL(epoll_pwait2) == NULL) {
        errno = ENOSYS;
        return -1;
    }
    return original_epoll_pwait2(epoll, events, count, timeout, mask);
}

EXPORTED int poll(struct pollfd *descriptors, nfds_t count, int timeout)
{
    waits_for(count);
    return ORIGINAL(poll)(descriptors, count, timeout);
}

EXPORTED int __poll_chk(struct pollfd *descriptors, nfds_t count, int timeout, size_t room)
{
    waits_for(count);
    return ORIGINAL(__poll_chk)(descriptors, count, timeout, room);
}

EXPORTED int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout,
                   const sigset_t *mask)
{
    waits_for(count);
    return ORIGINAL(ppoll)(descriptors, count, timeout, mask);
}

EXPORTED int __ppoll_chk(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout,
                         const sigset_t *mask, size_t room)
{
    waits_for(count);
    return ORIGINAL(__ppoll_chk)(descriptors, count, timeout, mask, room);
}

/* How many descriptors a select waits for; more than one is all that matters. */
static nfds_t selected(int limit, const fd_set *const sets[3])
{
    int found = -1;
    nfds_t count = 0;
    for (int fd = 0; fd < limit && fd < FD_SETSIZE && count < 2; fd++) {
        for (int i = 0; i < 3; i++) {
            if (sets[i] != NULL && FD_ISSET(fd, sets[i]) && fd != found) {
                found = fd;
                count++;
            }
        }
    }
    return count;
}

EXPORTED int select(int limit, fd_set *readable, fd_set *writable, fd_set *exceptional,
                    struct timeval *timeout)
{
    if (unlikely(thread_state.context.is_known)) {
        waits_for(selected(limit, (const fd_set *const[3]){readable, writable, exceptional}));
    } else {
        transfer_before_wait(&thread_state);
        trace_context_forget(&thread_state);
    }
    return ORIGINAL(select)(limit, readable, writable, exceptional, timeout);
}

EXPORTED int pselect(int limit, fd_set *readable, fd_set *writable, fd_set *exceptional,
                     const struct timespec *timeout, const sigset_t *mask)
{
    if (unlikely(thread_state.context.is_known)) {
        waits_for(selected(limit, (const fd_set *const[3]){readable, writable, exceptional}));
    } else {
        transfer_before_wait(&thread_state);
        trace_context_forget(&thread_state);
    }
    return ORIGINAL(pselect)(limit, readable, writable, exceptional, timeout, mask);
}
