/* Waiting: a thread that waited for several things may next work for any of them. */
#include <errno.h>
#include <string.h>

#include "app_thread/callbacks.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/epoll_names.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/readable.h"
#include "app_thread/trace_context.h"
#include "app_thread/transfer.h"
#include "app_thread/turn.h"
#include "app_thread/wait_set.h"

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

/* What was put into an epoll descriptor. */
#define EPOLL_KNOWN   1u  /* seen from the beginning */
#define EPOLL_USED    2u  /* a descriptor was added */
#define EPOLL_MANY    4u  /* and another one */
#define EPOLL_WAITED  16u /* was waited for */
#define EPOLL_STRANGE 8u  /* an event's data does not begin with its descriptor's number */

_Atomic uint8_t epoll_contents[LIMIT_EPOLL_DESCRIPTORS];

static uint8_t contents_of(int epoll)
{
    return (unsigned)epoll < LIMIT_EPOLL_DESCRIPTORS
               ? atomic_load_explicit(&epoll_contents[epoll], memory_order_relaxed)
               : 0;
}

/* A blocking thread that makes a loop while it works for somebody, as asyncio.run does, runs it for
   that work: as long as all that wakes it are answers to clients. What comes through a pipe, a
   socket's other end in the process or an eventfd may be another thread's. */
static void note_inner(struct thread_state *self, int epoll)
{
    if (!self->runs_a_loop && trace_context_is_current(&self->context)) {
        self->inner_epoll = epoll;
        memcpy(self->inner_span_id, self->context.span_id, sizeof(self->inner_span_id));
    }
}

static bool is_inner(const struct thread_state *self, int epoll)
{
    return self->inner_epoll == epoll && epoll != 0 && trace_context_is_current(&self->context) &&
           memcmp(self->inner_span_id, self->context.span_id, sizeof(self->inner_span_id)) == 0;
}

static bool is_of_client(int fd)
{
    struct touch touch;
    return connection_find(fd, &touch) && touch.connection->role == ROLE_CLIENT &&
           !touch.connection->is_unix;
}

static SLOW void inner_loop_goes_on(struct thread_state *self, int epoll,
                                    const struct epoll_event *events, int count)
{
    bool is_own = (contents_of(epoll) & EPOLL_STRANGE) == 0;
    for (int i = 0; is_own && i < count; i++) {
        is_own = is_of_client((int)(uint32_t)events[i].data.u64);
    }
    if (!is_own) {
        self->inner_epoll = 0;
        self->runs_a_loop = true;
        trace_context_forget(self);
    }
}

static int made_epoll(int epoll)
{
    if (unlikely(thread_state.context.is_known)) {
        note_inner(&thread_state, epoll);
    }
    if (epoll >= 0 && (unsigned)epoll < LIMIT_EPOLL_DESCRIPTORS) {
        atomic_store_explicit(&epoll_contents[epoll], EPOLL_KNOWN, memory_order_relaxed);
    }
    return epoll;
}

EXPORTED int epoll_create(int size)
{
    return made_epoll(ORIGINAL(epoll_create)(size));
}

EXPORTED int epoll_create1(int flags)
{
    return made_epoll(ORIGINAL(epoll_create1)(flags));
}

EXPORTED int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    int result = ORIGINAL(epoll_ctl)(epoll, operation, fd, event);
    if (result != 0 || operation == EPOLL_CTL_DEL || (unsigned)epoll >= LIMIT_EPOLL_DESCRIPTORS) {
        return result;
    }
    uint8_t found = contents_of(epoll);
    uint8_t added = operation != EPOLL_CTL_ADD ? 0 : found & EPOLL_USED ? EPOLL_MANY : EPOLL_USED;
    if ((uint32_t)event->data.u64 != (uint32_t)fd) {
        added |= EPOLL_STRANGE;
    }
    if ((found | added) & EPOLL_STRANGE) {
        epoll_names_put(event->data.u64, fd);
    }
    if ((found | added) != found) {
        atomic_fetch_or_explicit(&epoll_contents[epoll], added, memory_order_relaxed);
    }
    return result;
}

/* Made to wait once for one descriptor, in the place of poll. Some loops add descriptors where no
   hook sees it (io_uring), but they wait again. */
static bool is_for_one(int epoll)
{
    uint8_t contents = contents_of(epoll);
    if ((contents & EPOLL_WAITED) == 0 && (unsigned)epoll < LIMIT_EPOLL_DESCRIPTORS) {
        atomic_fetch_or_explicit(&epoll_contents[epoll], EPOLL_WAITED, memory_order_relaxed);
    }
    return (contents & (uint8_t)~EPOLL_STRANGE) == (EPOLL_KNOWN | EPOLL_USED);
}

/* Whoever waits in epoll for more than one descriptor runs an event loop: from then on, what this
   thread writes after a read need not have been caused by that read. */
static void waits_in_loop(int epoll, int64_t timeout_ns)
{
    before_wait();
    struct thread_state *self = &thread_state;
    transfer_before_wait(self);
    if (!self->runs_a_loop) {
        if (is_for_one(epoll) || is_inner(self, epoll)) {
            return;
        }
        self->runs_a_loop = true;
        trace_context_forget(self);
    }
    turn_ends(self, timeout_ns);
}

static int has_waited(int epoll, const struct epoll_event *events, int count, int64_t timeout_ns)
{
    struct thread_state *self = &thread_state;
    if (self->runs_a_loop) {
        int error = errno;
        const uint8_t named = EPOLL_KNOWN | EPOLL_USED;
        uint8_t contents = contents_of(epoll);
        enum turn_naming naming = (contents & named) != named ? EVENTS_COUNTED
                                  : contents & EPOLL_STRANGE  ? EVENTS_BY_NAME
                                                              : EVENTS_BY_DESCRIPTOR;
        turn_begins(self, events, count, timeout_ns, naming);
        errno = error;
    } else if (unlikely(self->context.is_known && is_inner(self, epoll))) {
        int error = errno;
        inner_loop_goes_on(self, epoll, events, count);
        errno = error;
    }
    return count;
}

#define NS_OF_MS(ms) ((int64_t)(ms)*1000000)

/* Waiting for one descriptor is waiting for one answer; for none, it is a sleep, or a question
   whether poll works (urllib3 asks it before it first uses a connection again). libcurl waits
   beside its one transfer for somebody who wakes it.

   A thread that works for one request may wait for several answers (curl_multi in PHP), or for the
   pipes of a program that it has started, and Ruby waits for signals beside every answer. It goes
   on with that request, unless something else than an answer came where answers were waited for:
   that may be another thread's.

   Who waits for clients and for answers to calls of its own at once runs an event loop, whose turns
   go from one such wait to the next. Until that is seen, a thread that serves one request after the
   other looks the same, so its turns are followed, too, but nothing is asked of them. */
enum wait_purpose {
    WAIT_FOR_ANSWER,
    WAIT_WITHIN,         /* the work for one request; for no answers */
    WAIT_WITHIN_ANSWERS, /* the same, for answers among others */
    WAIT_FOR_TURN        /* a turn begins after it */
};

static enum wait_purpose waits_for(const struct wait_set *set, int64_t timeout_ns)
{
    before_wait();
    struct thread_state *self = &thread_state;
    transfer_before_wait(self);
    if (self->transfers.is_alone) {
        return WAIT_FOR_ANSWER;
    }
    if (set->polled != NULL && set->size == 1 && !self->takes_turns) {
        /* For what, is seen when the kernel has read it. */
        return self->runs_a_loop ? WAIT_FOR_ANSWER : WAIT_FOR_TURN;
    }
    struct wait_company company = wait_set_look(self, set);
    if (company.count == 0 || (company.count == 1 && company.has_client)) {
        return WAIT_FOR_ANSWER;
    }
    if (self->runs_a_loop && !self->takes_turns) {
        if (company.count > 1) {
            trace_context_forget(self); /* its turns are those of epoll */
        }
        return WAIT_FOR_ANSWER;
    }
    if (!self->runs_a_loop && company.count > 1 && company.is_known && !company.has_strangers &&
        trace_context_is_undivided(self)) {
        return company.has_client ? WAIT_WITHIN_ANSWERS : WAIT_WITHIN;
    }
    if (!self->runs_a_loop) {
        self->runs_a_loop = company.has_client && company.has_strangers;
        if (company.count > 1 && !(self->runs_a_loop && turn_is_own(self, clock_now_ns()))) {
            trace_context_forget(self);
        }
    }
    self->takes_turns = true;
    turn_ends(self, timeout_ns);
    return WAIT_FOR_TURN;
}

/* The first wait for something else than an answer: for clients, as it seems. */
static bool has_met_clients(struct thread_state *self, const struct wait_set *set, int result)
{
    struct touch touch;
    if (result <= 0 ||
        (connection_find(set->polled[0].fd, &touch) && touch.connection->role == ROLE_CLIENT)) {
        return false;
    }
    self->takes_turns = true;
    turn_ends(self, -1);
    return true;
}

/* Only connections. */
static bool are_answers(const struct epoll_event *events, int count)
{
    struct touch touch;
    for (int i = 0; i < count; i++) {
        if (!connection_find((int)(uint32_t)events[i].data.u64, &touch)) {
            return false;
        }
    }
    return true;
}

static SLOW int has_polled(const struct wait_set *set, int result, int64_t timeout_ns,
                           enum wait_purpose purpose)
{
    struct thread_state *self = &thread_state;
    struct epoll_event events[TURN_EVENTS * 4];
    const int room = (int)(sizeof(events) / sizeof(events[0]));
    int error = errno;
    int count = result <= 0 ? result : wait_set_collect(set, events, room);
    if (purpose == WAIT_WITHIN_ANSWERS) {
        if (count >= room || (count > 0 && !are_answers(events, count))) {
            trace_context_forget(self);
        }
    } else if (purpose == WAIT_FOR_TURN &&
               (self->takes_turns || has_met_clients(self, set, result))) {
        turn_begins(self, events, count, timeout_ns,
                    count < room ? EVENTS_BY_DESCRIPTOR : EVENTS_COUNTED);
    }
    errno = error;
    return result;
}

EXPORTED int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    waits_in_loop(epoll, NS_OF_MS(timeout));
    return has_waited(epoll, events, ORIGINAL(epoll_wait)(epoll, events, count, timeout),
                      NS_OF_MS(timeout));
}

EXPORTED int epoll_pwait(int epoll, struct epoll_event *events, int count, int timeout,
                         const sigset_t *mask)
{
    waits_in_loop(epoll, NS_OF_MS(timeout));
    return has_waited(epoll, events, ORIGINAL(epoll_pwait)(epoll, events, count, timeout, mask),
                      NS_OF_MS(timeout));
}

EXPORTED int epoll_pwait2(int epoll, struct epoll_event *events, int count,
                          const struct timespec *timeout, const sigset_t *mask)
{
    /* How long is not asked: it may lie at an address that cannot be read. */
    waits_in_loop(epoll, 0);
    if (ORIGINAL(epoll_pwait2) == NULL) {
        errno = ENOSYS;
        return -1;
    }
    int result = original_epoll_pwait2(epoll, events, count, timeout, mask);
    has_waited(epoll, events, thread_state.runs_a_loop ? -1 : result, 0);
    return result;
}

#define NS_OF(seconds, rest) ((int64_t)(seconds)*INT64_C(1000000000) + (int64_t)(rest))

/* How long the kernel will wait at most, below 0: for ever. What cannot be read, it will not take.
 */
static int64_t ns_of_timespec(const struct timespec *timeout)
{
    return timeout == NULL                       ? -1
           : readable(timeout, sizeof(*timeout)) ? NS_OF(timeout->tv_sec, timeout->tv_nsec)
                                                 : 0;
}

static int64_t ns_of_timeval(const struct timeval *timeout)
{
    return timeout == NULL                       ? -1
           : readable(timeout, sizeof(*timeout)) ? NS_OF(timeout->tv_sec, timeout->tv_usec * 1000)
                                                 : 0;
}

#define WAIT_OF_POLL(original, timeout_ns, ...)                                                    \
    struct wait_set set = {.polled = descriptors, .size = count};                                  \
    int64_t ns = timeout_ns;                                                                       \
    enum wait_purpose purpose = waits_for(&set, ns);                                               \
    int result = ORIGINAL(original)(__VA_ARGS__);                                                  \
    return unlikely(purpose > WAIT_WITHIN) ? has_polled(&set, result, ns, purpose) : result

EXPORTED int poll(struct pollfd *descriptors, nfds_t count, int timeout)
{
    WAIT_OF_POLL(poll, NS_OF_MS(timeout), descriptors, count, timeout);
}

EXPORTED int __poll_chk(struct pollfd *descriptors, nfds_t count, int timeout, size_t room)
{
    WAIT_OF_POLL(__poll_chk, NS_OF_MS(timeout), descriptors, count, timeout, room);
}

EXPORTED int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout,
                   const sigset_t *mask)
{
    WAIT_OF_POLL(ppoll, ns_of_timespec(timeout), descriptors, count, timeout, mask);
}

EXPORTED int __ppoll_chk(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout,
                         const sigset_t *mask, size_t room)
{
    WAIT_OF_POLL(__ppoll_chk, ns_of_timespec(timeout), descriptors, count, timeout, mask, room);
}

#define WAIT_OF_SELECT(original, timeout_ns, ...)                                                  \
    struct wait_set set = {.sets = {readable_set, writable_set, exceptional_set},                  \
                           .size = limit > 0 ? (uint64_t)limit : 0};                               \
    int64_t ns = timeout_ns;                                                                       \
    enum wait_purpose purpose = waits_for(&set, ns);                                               \
    int result = ORIGINAL(original)(__VA_ARGS__);                                                  \
    return unlikely(purpose > WAIT_WITHIN) ? has_polled(&set, result, ns, purpose) : result

EXPORTED int select(int limit, fd_set *readable_set, fd_set *writable_set, fd_set *exceptional_set,
                    struct timeval *timeout)
{
    WAIT_OF_SELECT(select, ns_of_timeval(timeout), limit, readable_set, writable_set,
                   exceptional_set, timeout);
}

EXPORTED int pselect(int limit, fd_set *readable_set, fd_set *writable_set, fd_set *exceptional_set,
                     const struct timespec *timeout, const sigset_t *mask)
{
    WAIT_OF_SELECT(pselect, ns_of_timespec(timeout), limit, readable_set, writable_set,
                   exceptional_set, timeout, mask);
}
