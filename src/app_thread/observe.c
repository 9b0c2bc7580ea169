#include "app_thread/observe.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/exchange.h"
#include "app_thread/host_names.h"
#include "app_thread/prepared.h"
#include "app_thread/readable.h"
#include "app_thread/turn.h"
#include "app_thread/witness.h"

static struct passage passage_of(struct thread_state *self, struct connection *connection,
                                 enum direction_name direction, uint64_t now)
{
    return (struct passage){
        .self = self, .connection = connection, .direction = direction, .now = now, .end_ns = now};
}

static bool is_passing_error(int error)
{
    return error == EAGAIN || error == EINTR || error == EINPROGRESS || error == EALREADY ||
           error == EMSGSIZE || error == ENOBUFS || error == ENOMEM || error == EFAULT ||
           error == EINVAL || error == EBADF || error == ENOTSOCK || error == EOPNOTSUPP;
}

static void pass_iov(struct passage *passage, const struct iovec *iov, size_t count, uint64_t limit)
{
    for (size_t i = 0; i < count && limit > 0; i++) {
        size_t size = iov[i].iov_len < limit ? iov[i].iov_len : limit;
        if (size > 0) {
            protocol_pass(passage, slice_of(iov[i].iov_base, size));
        }
        limit -= size;
    }
}

static SLOW void pass_carrying(struct passage *passage, const struct job_context *job,
                               const struct iovec *iov, size_t count, uint64_t limit)
{
    struct iovec longer[LIMIT_CARRYING_PARTS + 2];
    uint64_t more = job->size - (job->ends - job->at);
    size_t parts = job_context_build(job, iov, count, longer);
    pass_iov(passage, longer, parts, limit > UINT64_MAX - more ? limit : limit + more);
}

static uint64_t iov_size(const struct iovec *iov, size_t count)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    return size;
}

/* The socket failed: what is open on it fails with that, now or when it is closed. */
static void fail(struct thread_state *self, struct connection *connection, enum direction_name held,
                 int error, uint64_t now)
{
    if (is_passing_error(error) || (error == ENOTCONN && connection_is_connecting(connection))) {
        return;
    }
    connection_fail(connection, exchange_error_of(error), error);
    if (held == DIRECTION_IN && connection->role != ROLE_SERVER) {
        struct passage passage = passage_of(self, connection, DIRECTION_IN, now);
        protocol_end(&passage);
    }
}

/* ---- below TLS ---- */

/* Ciphertext passes, whose plaintext is framed where it is read and written. */
static SLOW void pass_encrypted(struct thread_state *self, const struct touch *touch,
                                enum direction_name direction, ssize_t result, int error)
{
    struct connection *connection = touch->connection;
    if (result > 0) {
        _Atomic uint64_t *bytes = &connection->encrypted_bytes[direction];
        uint64_t before = atomic_load_explicit(bytes, memory_order_relaxed);
        atomic_store_explicit(bytes, before + (uint64_t)result, memory_order_relaxed);
        return;
    }
    /* Inside a call of the TLS library the direction is held: that call will tell. */
    if ((result == 0 && direction == DIRECTION_OUT) || (result < 0 && is_passing_error(error)) ||
        !connection_enter(self, touch, direction, false)) {
        return;
    }
    if (result == 0) {
        connection->encrypted_end = true;
    } else {
        connection_fail(connection, exchange_error_of(error), error);
    }
    connection_leave(self, connection, direction);
}

/* ---- sending ---- */

static inline bool has_preview(const struct observation *seen)
{
    return unlikely(seen->step == SEND_INSERTING || seen->step == SEND_LOOKED_AT);
}

/* The sender may be killed in the middle of the call: what it asked for is then known outside. */
static void frame_ahead(struct observation *seen, const struct iovec *iov, size_t count)
{
    if (readable_iov(iov, count)) {
        struct passage passage = {.self = seen->self,
                                  .connection = seen->touch.connection,
                                  .direction = DIRECTION_OUT,
                                  .now = seen->start_ns};
        passage.preview = has_preview(seen) ? &seen->injection.preview : NULL;
        protocol_frame_ahead(&passage, iov, count, &seen->ahead);
    }
}

/* What the request's line begins with, together. */
static SLOW struct slice gather_line(const struct injection *injection, const struct iovec *iov,
                                     uint8_t room[LIMIT_IDENTIFY_BYTES])
{
    size_t most = injection->at < LIMIT_IDENTIFY_BYTES ? injection->at : LIMIT_IDENTIFY_BYTES;
    size_t size = 0;
    for (; size < most; iov++) {
        size_t part = iov->iov_len < most - size ? iov->iov_len : most - size;
        if (part > 0) {
            memcpy(room + size, iov->iov_base, part);
        }
        size += part;
    }
    return slice_of(room, size);
}

/* A request's head is looked at before the call if something is to be written into it. */
static SLOW void plan_insertion(struct observation *seen, const struct iovec *iov, size_t count,
                                const struct trace_identity *sent)
{
    struct passage passage = {.self = seen->self,
                              .connection = seen->touch.connection,
                              .direction = DIRECTION_OUT,
                              .now = seen->start_ns};
    if (iov == NULL || count == 0 || seen->step != SEND_AS_IS ||
        !protocol_may_begin_http(&passage)) {
        return;
    }
    enum inject_plan plan =
        likely(sent == NULL) ? inject_plan(seen->self, iov, count, seen->start_ns, &seen->injection)
                             : inject_plan_again(iov, sent, &seen->injection);
    if (plan == INJECT_UNKNOWN) {
        return;
    }
    uint8_t room[LIMIT_IDENTIFY_BYTES];
    struct slice first = likely(seen->injection.preview.data != NULL)
                             ? slice_of(iov[0].iov_base, iov[0].iov_len)
                             : gather_line(&seen->injection, iov, room);
    if (protocol_begins_http(&passage, first)) {
        seen->step = plan == INJECT_FIELD ? SEND_INSERTING : SEND_LOOKED_AT;
    } else {
        exchange_drop_plan(&seen->injection.preview.plan);
    }
}

/* So is a job that is stored. What is read of it is what is sent. */
static SLOW void plan_carrying(struct observation *seen, const struct iovec *iov, size_t count)
{
    struct connection *connection = seen->touch.connection;
    uint8_t protocol = atomic_load_explicit(&connection->protocol, memory_order_relaxed);
    struct passage passage = {.self = seen->self,
                              .connection = connection,
                              .direction = DIRECTION_OUT,
                              .now = seen->start_ns};
    if (iov != NULL && count > 0 && seen->step == SEND_AS_IS &&
        (protocol == PROTOCOL_REDIS || protocol == PROTOCOL_UNDECIDED) &&
        job_context_plan(seen->self, connection, iov, count, seen->start_ns, &seen->job)) {
        if (protocol_begins_redis(&passage, slice_of(iov[0].iov_base, iov[0].iov_len))) {
            seen->step = SEND_CARRYING;
        } else {
            job_context_end(&seen->job);
        }
    }
}

static SLOW void begin_prepared(struct observation *seen)
{
    seen->is_prepared = true;
    seen->is_lent = prepared_lend(seen->self, seen->touch.connection);
}

/* Nothing else is looked at before the call but what the connection is: whether the bytes can be
   read, and how many of them are sent, the kernel will tell. */
static inline __attribute__((always_inline)) bool begin_send(struct observation *seen,
                                                             const struct iovec *iov, size_t count,
                                                             bool may_insert,
                                                             const struct trace_identity *sent)
{
    struct thread_state *self = seen->self;
    struct connection *connection = seen->touch.connection;
    seen->holds = false;
    seen->is_prepared = false;
    seen->epoch = 0;
    seen->ahead.size = 0;
    if (!may_insert) {
        seen->step = SEND_AS_IS;
    } else if (unlikely(inject_owes(connection))) {
        seen->step = SEND_OWED;
    }
    if (unlikely(connection_source(connection) != seen->source) ||
        !protocol_holds_over_call(connection)) {
        return true;
    }
    seen->holds = connection_enter(self, &seen->touch, DIRECTION_OUT, true);
    if (!seen->holds) {
        return false;
    }
    seen->epoch = attachment_epoch();
    seen->start_ns = 0;
    if (unlikely(connection->role == ROLE_SERVER &&
                 connection->directions[DIRECTION_IN].wants_upgrade)) {
        /* Pairs with has_in_flight of whoever reads the first bytes behind the answer. */
        atomic_store_explicit(&connection->unframed, true, memory_order_release);
    }
    if (connection->role != ROLE_SERVER) {
        if (unlikely(prepared_is(connection))) {
            begin_prepared(seen);
        }
        bool goes_on = unlikely(connection->write_began_ns != 0);
        seen->start_ns = goes_on ? connection->write_began_ns : clock_now_ns();
        /* Before the call; pairs with has_in_flight of whoever reads an answer. */
        atomic_store_explicit(&connection->unframed, true, memory_order_release);
        if (may_insert && protocol_may_be_http(connection) && inject_is_on) {
            plan_insertion(seen, iov, count, sent);
        }
        if (may_insert && unlikely(job_context_is_on)) {
            plan_carrying(seen, iov, count);
        }
        if (attachment_frames_ahead && iov != NULL && count > 0 && seen->step != SEND_CARRYING) {
            frame_ahead(seen, iov, count);
        }
    }
    return true;
}

bool observe_send_begin(struct observation *seen, int fd, const struct iovec *iov, size_t count)
{
    seen->self = &thread_state;
    seen->source = 0;
    return connection_touch(seen->self, fd, &seen->touch) &&
           begin_send(seen, iov, count, false, NULL);
}

bool observe_send_begin_inserting(struct observation *seen, int fd, const struct iovec *iov,
                                  size_t count)
{
    seen->self = &thread_state;
    seen->source = 0;
    return connection_touch(seen->self, fd, &seen->touch) &&
           begin_send(seen, iov, count, true, NULL);
}

bool observe_plaintext_send_begin(struct observation *seen, const struct touch *touch,
                                  const void *session, const struct iovec *iov, size_t count)
{
    seen->self = &thread_state;
    seen->source = (uintptr_t)session;
    seen->touch = *touch;
    return begin_send(seen, iov, count, false, NULL);
}

bool observe_plaintext_send_begin_inserting(struct observation *seen, const struct touch *touch,
                                            const void *session, const struct iovec *iov,
                                            const struct trace_identity *sent)
{
    seen->self = &thread_state;
    seen->source = (uintptr_t)session;
    seen->touch = *touch;
    seen->step = SEND_AS_IS;
    return begin_send(seen, iov, 1, true, sent);
}

/* Something else was sent than what was framed ahead of the call. */
static SLOW bool take_back(struct observation *seen)
{
    struct passage passage = {.self = seen->self,
                              .connection = seen->touch.connection,
                              .direction = DIRECTION_OUT,
                              .now = seen->start_ns};
    if (!protocol_take_back(&passage, &seen->ahead)) {
        return false;
    }
    if (seen->step == SEND_INSERTING) {
        trace_context_take_back(&seen->injection.preview.plan.identity);
    }
    if (witness != NULL) {
        witness->take_back(seen->start_ns);
    }
    return true;
}

/* What was sent, or was to be sent on a socket that failed: then its exchanges are there, and
   fail. */
static void pass_sent(struct observation *seen, const struct iovec *iov, size_t count,
                      ssize_t result, int error)
{
    struct connection *connection = seen->touch.connection;
    bool is_server = connection->role == ROLE_SERVER;
    bool failed = result < 0 && !is_passing_error(error) &&
                  !(error == ENOTCONN && connection_is_connecting(connection));
    bool is_framed =
        seen->ahead.size > 0 &&
        (failed || (result > 0 && (uint64_t)result == seen->ahead.size) || !take_back(seen));
    if (is_framed) {
        /* All of it went as it was framed, or fails as such. */
    } else if (result > 0 || (failed && seen->holds && !is_server)) {
        struct passage passage = {.self = seen->self,
                                  .connection = connection,
                                  .direction = DIRECTION_OUT,
                                  .now =
                                      is_server || !seen->holds ? clock_now_ns() : seen->start_ns};
        passage.preview = has_preview(seen) ? &seen->injection.preview : NULL;
        uint64_t limit = result > 0 ? (uint64_t)result : UINT64_MAX;
        if (unlikely(seen->step == SEND_CARRYING) && limit >= seen->job.ends) {
            pass_carrying(&passage, &seen->job, iov, count, limit);
        } else {
            pass_iov(&passage, iov, count, limit);
        }
    }
    if (unlikely(seen->source != 0)) {
        /* The TLS library may have sent a part of what it asks for again. */
        connection->write_began_ns = result < 0 && error == EAGAIN ? seen->start_ns : 0;
    }
    if (result < 0) {
        fail(seen->self, connection, DIRECTION_OUT, error, clock_now_ns());
    }
}

/* The program sends again what was not sent, or the connection was given up: then an id may be on
   its way that no span has. */
static SLOW void drop_plan(struct observation *seen, ssize_t result)
{
    if (exchange_drop_plan(&seen->injection.preview.plan) && result > 0) {
        exchange_count_loss(LOSS_ABANDONED);
    }
}

static SLOW void end_in_another_epoch(const struct observation *seen, ssize_t result)
{
    struct connection *connection = seen->touch.connection;
    if (!attachment_is_of_process(seen->epoch)) {
        /* A handler forked in the middle of the call, and this is the child: what was sent is the
           parent's, in the parent's segment. */
        connection_set_adrift_for_good(connection);
    } else if (result > 0 && (uint64_t)result == seen->ahead.size) {
        /* The segment was replaced, and what was sent has been framed: it is found to be of the old
           one when the direction is taken again. */
    } else {
        exchange_count_loss(LOSS_CONTENDED);
        connection_set_adrift(connection);
    }
    atomic_store_explicit(&connection->unframed, false, memory_order_release);
    connection_let_go(connection, DIRECTION_OUT);
}

static inline void end_carrying(struct observation *seen)
{
    if (unlikely(seen->step == SEND_CARRYING)) {
        job_context_end(&seen->job);
    }
}

/* What was sent of a request is sent for one; what was sent before any does not count. */
static SLOW void end_prepared(const struct observation *seen, ssize_t result)
{
    struct connection *connection = seen->touch.connection;
    uint8_t protocol = atomic_load_explicit(&connection->protocol, memory_order_relaxed);
    if (result > 0 && (protocol == PROTOCOL_HTTP1 || protocol == PROTOCOL_REDIS)) {
        prepared_end(connection);
    }
    if (seen->is_lent) {
        trace_context_give_back(seen->self);
    }
}

static inline __attribute__((always_inline)) void
end_send(struct observation *seen, const struct iovec *iov, size_t count, ssize_t result, int error)
{
    struct connection *connection = seen->touch.connection;
    turn_sends(seen->self, connection);
    if (unlikely(seen->holds && seen->epoch != attachment_epoch())) {
        end_in_another_epoch(seen, result);
        end_carrying(seen);
        return;
    }
    if (unlikely(connection_source(connection) != seen->source)) {
        if (seen->source == 0) {
            pass_encrypted(seen->self, &seen->touch, DIRECTION_OUT, result, error);
        }
    } else if (seen->holds || (result != 0 && connection_enter(seen->self, &seen->touch,
                                                               DIRECTION_OUT, result > 0))) {
        if (result != 0 || seen->ahead.size > 0) {
            pass_sent(seen, iov, count, result, error);
        }
        seen->holds = true;
    }
    if (unlikely(seen->step == SEND_INSERTING)) {
        drop_plan(seen, result);
    }
    end_carrying(seen);
    if (seen->holds) {
        /* release pairs with has_in_flight: what was sent is framed, or waits and says so */
        atomic_store_explicit(&connection->unframed, false, memory_order_release);
        connection_leave(seen->self, connection, DIRECTION_OUT);
    }
}

void observe_send_end(struct observation *seen, const struct iovec *iov, size_t count,
                      ssize_t result, int error)
{
    end_send(seen, iov, count, result, error);
    if (unlikely(seen->is_prepared)) {
        end_prepared(seen, result);
    }
}

/* ---- receiving ---- */

void observe_plaintext_sent(const struct touch *touch, const void *session, const struct iovec *iov,
                            size_t count, ssize_t result)
{
    struct observation seen = {.touch = *touch, .self = &thread_state, .step = SEND_AS_IS};
    seen.source = (uintptr_t)session;
    observe_send_end(&seen, iov, count, result, 0);
}

bool observe_receive_begin(struct receipt *seen, int fd)
{
    seen->self = &thread_state;
    seen->source = 0;
    seen->fd = fd;
    return connection_touch(seen->self, fd, &seen->touch);
}

/* Is it still there? Who asks so of a connection that nothing is awaited from is about to use it.
 */
static SLOW void probe(struct thread_state *self, struct connection *connection)
{
    if (atomic_load_explicit(&connection->protocol, memory_order_relaxed) == PROTOCOL_HTTP1 &&
        pairing_count(&connection->pairing) == 0) {
        prepared_note(self, connection);
    }
}

void observe_receive_end(struct receipt *seen, const struct iovec *iov, size_t count,
                         ssize_t result, int error)
{
    struct connection *connection = seen->touch.connection;
    if (result < 0 && is_passing_error(error)) {
        if (error == EAGAIN && connection->role == ROLE_CLIENT && iov_size(iov, count) == 1) {
            probe(seen->self, connection);
        }
        return;
    }
    if (result == 0 && iov_size(iov, count) == 0) {
        return; /* nothing was asked for: no sign of the end */
    }
    if (seen->fd >= 0) {
        turn_reads(seen->self, seen->fd, connection);
    }
    if (unlikely(connection_source(connection) != seen->source)) {
        if (seen->source == 0) {
            pass_encrypted(seen->self, &seen->touch, DIRECTION_IN, result, error);
        }
        return;
    }
    if (!connection_enter(seen->self, &seen->touch, DIRECTION_IN, result > 0)) {
        return;
    }
    struct passage passage = passage_of(seen->self, connection, DIRECTION_IN, clock_now_ns());
    if (unlikely(connection_source(connection) != seen->source)) {
        /* Another session's since: these bytes are its ciphertext. */
    } else if (result > 0) {
        pass_iov(&passage, iov, count, (uint64_t)result);
    } else if (result == 0) {
        protocol_end(&passage);
    } else {
        fail(seen->self, connection, DIRECTION_IN, error, passage.now);
    }
    connection_leave(seen->self, connection, DIRECTION_IN);
}

void observe_plaintext_received(const struct touch *touch, const void *session,
                                const struct iovec *iov, size_t count, ssize_t result, int error)
{
    struct receipt seen = {
        .touch = *touch, .self = &thread_state, .source = (uintptr_t)session, .fd = -1};
    observe_receive_end(&seen, iov, count, result, error);
}

static void pass_unseen(struct thread_state *self, const struct touch *touch, uintptr_t source,
                        enum direction_name direction, ssize_t result)
{
    if (unlikely(connection_source(touch->connection) != source)) {
        if (source == 0) {
            pass_encrypted(self, touch, direction, result, 0);
        }
        return;
    }
    if (!connection_enter(self, touch, direction, true)) {
        return;
    }
    struct passage passage = passage_of(self, touch->connection, direction, clock_now_ns());
    protocol_pass_unseen(&passage, (uint64_t)result);
    connection_leave(self, touch->connection, direction);
}

void observe_unseen(int fd, enum direction_name direction, ssize_t result)
{
    struct touch touch;
    if (result > 0 && connection_touch(&thread_state, fd, &touch)) {
        if (direction == DIRECTION_IN) {
            turn_reads(&thread_state, fd, touch.connection);
        } else {
            turn_sends(&thread_state, touch.connection);
        }
        pass_unseen(&thread_state, &touch, 0, direction, result);
    }
}

void observe_plaintext_unseen(const struct touch *touch, const void *session,
                              enum direction_name direction, ssize_t result)
{
    if (result > 0) {
        pass_unseen(&thread_state, touch, (uintptr_t)session, direction, result);
    }
}

/* ---- the life of a connection ---- */

static void set_peer(struct connection *connection, const void *address, uint32_t size)
{
    struct sockaddr_storage copy;
    memset(&copy, 0, sizeof(copy));
    memcpy(&copy, address, size < sizeof(copy) ? size : sizeof(copy));
    endpoint_from_address(&connection->peer, &copy);
    if (copy.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)&copy;
        size_t length = size - offsetof(struct sockaddr_un, sun_path);
        size_t room = sizeof(connection->peer_name) - 1;
        length = length < room ? length : room;
        memcpy(connection->peer_name, un->sun_path, length);
        connection->peer_name[0] =
            connection->peer_name[0] == '\0' ? '@' : connection->peer_name[0];
        connection->is_unix = true;
    } else {
        host_names_find(&connection->peer, connection->peer_name, sizeof(connection->peer_name));
    }
}

static bool is_stream_address(const void *address, uint32_t size)
{
    sa_family_t family;
    if (address == NULL || size < sizeof(family)) {
        return false;
    }
    memcpy(&family, address, sizeof(family));
    return (family == AF_INET && size >= sizeof(struct sockaddr_in)) ||
           (family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) ||
           (family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path));
}

void observe_connect_begin(int fd, const void *address, uint32_t size, uint64_t start_ns)
{
    struct thread_state *self = &thread_state;
    struct touch touch;
    if (!is_stream_address(address, size) || !connection_touch(self, fd, &touch) ||
        !connection_enter(self, &touch, DIRECTION_OUT, false)) {
        return;
    }
    struct connection *connection = touch.connection;
    if (connection->opened_ns == 0) {
        connection->role = ROLE_CLIENT;
        turn_sends(self, connection);
        connection->opened_ns = start_ns;
        if (unlikely(witness != NULL)) {
            witness->connecting(connection);
        }
        prepared_note(self, connection);
        set_peer(connection, address, size);
    }
    connection_leave(self, connection, DIRECTION_OUT);
}

/* A connect that failed: no exchange came of it, but a span. */
static void report_failed_connect(struct thread_state *self, struct connection *connection,
                                  int error)
{
    connection_set_connecting(connection, false);
    bool is_lent = prepared_lend(self, connection);
    uint16_t slot = exchange_begin(self, connection, RECORD_CONNECT, connection->opened_ns);
    if (is_lent) {
        trace_context_give_back(self);
    }
    exchange_complete(self, slot, clock_now_ns(), exchange_error_of(error), error);
    /* The application may try another address on the same socket. */
    connection->opened_ns = 0;
    connection->has_endpoints = false;
    connection->peer = (struct endpoint){0};
    connection->peer_name[0] = '\0';
}

static void connect_outcome(int fd, bool in_progress, int error)
{
    struct thread_state *self = &thread_state;
    struct touch touch;
    if (!connection_find(fd, &touch) || self->is_ours ||
        !connection_enter(self, &touch, DIRECTION_OUT, false)) {
        return;
    }
    struct connection *connection = touch.connection;
    if (in_progress) {
        connection_set_connecting(connection, connection->opened_ns != 0);
    } else if (error == 0) {
        connection_set_connecting(connection, false);
    } else if (connection->opened_ns != 0 && connection->directions[DIRECTION_OUT].bytes == 0) {
        report_failed_connect(self, connection, error);
    }
    connection_leave(self, connection, DIRECTION_OUT);
}

void observe_connect_end(int fd, int result, int error)
{
    if (result == 0) {
        connect_outcome(fd, false, 0);
    } else if (error == EINPROGRESS || error == EAGAIN || error == EINTR) {
        connect_outcome(fd, true, 0);
    } else if (error == ECONNREFUSED || error == ETIMEDOUT || error == ENETUNREACH ||
               error == EHOSTUNREACH || error == ECONNRESET || error == ENOENT || error == EACCES ||
               error == EPERM || error == EADDRNOTAVAIL || error == ENETDOWN ||
               error == EHOSTDOWN || error == ECONNABORTED) {
        connect_outcome(fd, false, error);
    }
}

void observe_socket_error(int fd, int error)
{
    struct touch touch;
    if (connection_find(fd, &touch) && connection_is_connecting(touch.connection)) {
        turn_reads(&thread_state, fd, touch.connection);
        connect_outcome(fd, false, error);
    }
}

/* A blocking thread serves the oldest request on that connection; `alone`: if there is one. */
static void serve(struct thread_state *self, int fd, bool alone)
{
    struct touch touch;
    if (self->is_ours || !trace_context_may_join(self) || !connection_find(fd, &touch) ||
        touch.connection->role != ROLE_SERVER ||
        !connection_enter(self, &touch, DIRECTION_OUT, false)) {
        return;
    }
    struct pairing_entry entry;
    if (atomic_load_explicit(&touch.connection->protocol, memory_order_acquire) == PROTOCOL_HTTP1 &&
        pairing_oldest(&touch.connection->pairing, &entry) && (entry.flags & PAIRING_COMPLETE) &&
        (!alone || pairing_count(&touch.connection->pairing) == 1)) {
        const struct record *record = exchange_record(entry.slot);
        if (record != NULL) {
            trace_context_join(self, record, touch.connection);
        }
    }
    connection_leave(self, touch.connection, DIRECTION_OUT);
}

void observe_health_asked(int fd)
{
    serve(&thread_state, fd, false);
}

void observe_connection_taken(int fd)
{
    struct thread_state *self = &thread_state;
    if (!self->runs_a_loop) {
        trace_context_forget(self);
        serve(self, fd, true);
    }
}

void observe_shutdown(int fd, int how)
{
    struct thread_state *self = &thread_state;
    struct touch touch;
    if (how == SHUT_RD || !connection_find(fd, &touch) || self->is_ours ||
        !connection_enter(self, &touch, DIRECTION_OUT, false)) {
        return;
    }
    struct passage passage = passage_of(self, touch.connection, DIRECTION_OUT, clock_now_ns());
    protocol_end(&passage);
    connection_leave(self, touch.connection, DIRECTION_OUT);
}

void observe_stdio(int fd)
{
    struct thread_state *self = &thread_state;
    struct touch touch;
    if (!connection_touch(self, fd, &touch) || connection_source(touch.connection) != 0 ||
        !connection_enter(self, &touch, DIRECTION_OUT, true)) {
        return;
    }
    exchange_count_loss(LOSS_MISSED_BYTES);
    struct passage passage = passage_of(self, touch.connection, DIRECTION_OUT, clock_now_ns());
    protocol_park(&passage, OPAQUE_UNKNOWN);
    connection_leave(self, touch.connection, DIRECTION_OUT);
}
