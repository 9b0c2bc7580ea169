/*
 * What the hooks of data calls do: look before the call, look after it.
 *
 * None of these touches errno. A hook is
 *
 *     struct observation seen;
 *     bool observed = observe_send_begin(&seen, fd, &iov, 1);
 *     ssize_t result = original(...);
 *     if (observed) observe_send_end(&seen, &iov, 1, result, errno);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "app_thread/inject.h"
#include "app_thread/job_context.h"
#include "app_thread/protocol.h"

/* How the hook is to make its call. */
enum send_step {
    SEND_AS_IS,
    SEND_LOOKED_AT, /* as it is: the head is known, and nothing goes into it */
    SEND_INSERTING, /* with `traceparent` in the head: inject_build, inject_settle */
    SEND_OWED,      /* after what an earlier call owes: inject_take_owed */
    SEND_CARRYING   /* with a context in a job: job_context_build, job_context_settle */
};

struct observation {
    struct touch touch;
    struct thread_state *self;
    uintptr_t source;  /* whose bytes these are: a TLS session's, or 0: the socket's */
    bool holds;        /* the direction is held over the call */
    bool is_prepared;  /* the connection was, for a request (prepared.h) */
    bool is_lent;      /* the thread works, in this call, for whom that was */
    uint32_t epoch;    /* in which it was taken */
    uint64_t start_ns; /* just before the call */
    struct ahead ahead;
    enum send_step step;
    union {
        struct injection injection;
        struct job_context job; /* SEND_CARRYING */
    };
};

/* `iov` may be NULL. It is looked at only where requests are framed ahead of the call, and where it
   can be read. */
bool observe_send_begin(struct observation *seen, int fd, const struct iovec *iov, size_t count);
/* The same for a call that may be made as `seen->step` says, whatever is returned: the caller has
   set it to SEND_AS_IS. Then the result that observe_send_end is told is what the program will see.
 */
bool observe_send_begin_inserting(struct observation *seen, int fd, const struct iovec *iov,
                                  size_t count);
void observe_send_end(struct observation *seen, const struct iovec *iov, size_t count,
                      ssize_t result, int error);

/* The smaller state of a receiving call. */
struct receipt {
    struct touch touch;
    struct thread_state *self;
    uintptr_t source;
    int fd; /* below 0: not of a socket, but of a session above it */
};

bool observe_receive_begin(struct receipt *seen, int fd);
/* `visible`: whether the bytes lie in `iov` (not for MSG_TRUNC into no buffer). */
void observe_receive_end(struct receipt *seen, const struct iovec *iov, size_t count,
                         ssize_t result, int error);

/* `result` bytes went out, or came in, that nobody could see (sendfile, splice). */
void observe_unseen(int fd, enum direction_name direction, ssize_t result);

/* ---- above TLS ----
 *
 * The same for the plaintext of a TLS session. Calls on the socket below then only count.
 */

bool observe_plaintext_send_begin(struct observation *seen, const struct touch *touch,
                                  const void *session, const struct iovec *iov, size_t count);
/* The same for a call into which `traceparent` may be inserted, if `seen->step` says so then.
   `sent` are the ids that went with an earlier call for the same bytes, or NULL. */
bool observe_plaintext_send_begin_inserting(struct observation *seen, const struct touch *touch,
                                            const void *session, const struct iovec *iov,
                                            const struct trace_identity *sent);
/* Ended by observe_send_end; an error of EAGAIN means that the call will be made again. */

/* The session's connection became known only by the call that sent these bytes. */
void observe_plaintext_sent(const struct touch *touch, const void *session, const struct iovec *iov,
                            size_t count, ssize_t result);

void observe_plaintext_received(const struct touch *touch, const void *session,
                                const struct iovec *iov, size_t count, ssize_t result, int error);

/* `result` bytes of plaintext that nobody could see. */
void observe_plaintext_unseen(const struct touch *touch, const void *session,
                              enum direction_name direction, ssize_t result);

/* ---- the life of a connection ---- */

/* After a call that connects and began at `start_ns`, unless it failed with EFAULT: `address` is
   what the kernel was given. Then, for connect(), what came of it. */
void observe_connect_begin(int fd, const void *address, uint32_t size, uint64_t start_ns);
void observe_connect_end(int fd, int result, int error);

/* getsockopt(SO_ERROR) told the outcome of a connect() in progress. */
void observe_socket_error(int fd, int error);

/* The thread has asked how the connection does (TCP_INFO). A server's that blocks, and has nothing
   to work for, is about to serve the request that another thread has read from it. */
void observe_health_asked(int fd);

/* The thread has done with what it did, and takes that connection to serve it: the one request that
   another thread has read from it. `fd` below 0: it takes something else. */
void observe_connection_taken(int fd);

/* shutdown(fd, how) succeeded. */
void observe_shutdown(int fd, int how);

/* The descriptor was wrapped into a FILE: what passes from here on is not seen. */
void observe_stdio(int fd);
