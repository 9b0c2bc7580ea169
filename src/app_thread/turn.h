/*
 * Turns of an event loop: from one wait in epoll to the next.
 *
 * What a loop does may belong to any of the requests that it has read, so nothing is claimed, but
 * where there is only one that it can belong to:
 *
 *     QUIET    the thread blocked, so that nothing was left to be run; since then it has read at
 *              most what may become a request
 *     OWN      a request was read out of such quiet while no other was open in the process; all
 *              that reached the thread since came by that request's own connections, or by timers
 *              that were set since
 *     FOREIGN  anything else: another request, an answer to somebody else's call, a wake-up by
 *              another thread, a timer that was set before, a signal
 *
 * A loop that never reads from anybody but one WebSocket is that session's own: what a message
 * began that was read alone, out of quiet, has at least the rest of that turn, whatever else is
 * open in the process.
 *
 * One foreign turn ends the claim for good: what it began may now wait for a lock, or for one of a
 * few connections, and be let go on by the request's own turn.
 *
 * What reaches a thread is what epoll reports: each event is of one of the request's connections,
 * or has to be found again as a read, an accept or the outcome of a connect. An event that is not,
 * as that of an eventfd, is foreign. A blocking wait's timeout tells when the next timer is due:
 * until then, who fires one has set it since.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"

/* What the events' data say of their descriptors. */
enum turn_naming {
    EVENTS_COUNTED,       /* nothing that is known */
    EVENTS_BY_DESCRIPTOR, /* they begin with them */
    EVENTS_BY_NAME        /* epoll_names knows them, perhaps */
};

/* Around a wait in epoll; `timeout_ns` below 0: for ever. `count` is what the wait returned. */
void turn_ends(struct thread_state *self, int64_t timeout_ns);
void turn_begins(struct thread_state *self, const struct epoll_event *events, int count,
                 int64_t timeout_ns, enum turn_naming naming);

/* The thread has called accept on the listener, whatever came of it. */
void turn_accepts_slow(struct thread_state *self, int listener);
/* Bytes or the end came by the connection, or the outcome of its connect. */
void turn_reads_slow(struct thread_state *self, int fd, const struct connection *connection);
/* Bytes are sent on the connection, or it is made: answers come to whom they are for. */
void turn_sends_slow(struct thread_state *self, const struct connection *connection);

static inline void turn_accepts(struct thread_state *self, int listener)
{
    if (unlikely(self->runs_a_loop || self->takes_turns)) {
        turn_accepts_slow(self, listener);
    }
}

static inline void turn_reads(struct thread_state *self, int fd,
                              const struct connection *connection)
{
    if (unlikely(self->runs_a_loop || self->takes_turns)) {
        turn_reads_slow(self, fd, connection);
    }
}

static inline void turn_sends(struct thread_state *self, const struct connection *connection)
{
    if (unlikely(self->turn.state == TURN_OWN)) {
        turn_sends_slow(self, connection);
    }
}

/* The head of a request was read on that connection. True: from here on the turns are its own. */
bool turn_begins_request(struct thread_state *self);

/* A message that names whose work it is was read from a WebSocket. True: from here on the turns are
   that work's own. Nobody says when it ends: at the latest with the next message. */
bool turn_begins_message(struct thread_state *self, const struct connection *connection);

/* Whether what the thread does now can only belong to its context. */
bool turn_is_own(struct thread_state *self, uint64_t now);
