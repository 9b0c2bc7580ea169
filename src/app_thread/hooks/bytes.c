/* Bytes that pass through stream sockets. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "app_thread/clock.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/inject.h"
#include "app_thread/observe.h"
#include "app_thread/readable.h"
#include "base/system_call.h"

/* Flags with which a receiving call takes nothing from the stream, or shows nothing of it. */
#define NOT_TAKEN (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)

/* ---- sending something else than the program asked for ---- */

/* Flags with which a call is made as it is: its buffers are used after it, or it connects. */
#define NOT_CHANGED (MSG_ZEROCOPY | MSG_FASTOPEN)

/* How the program sends; each way keeps what it means. */
struct way {
    bool is_message; /* by send and its kin, with flags; else by write and its kin */
    int flags;
    const struct msghdr *message; /* what else goes with it, or NULL */
};

#define BY_WRITE       (&(struct way){.is_message = false})
#define BY_SEND(flags) (&(struct way){.is_message = true, .flags = (flags)})

static ssize_t send_parts(int fd, const struct way *way, const struct iovec *iov, size_t count)
{
    if (!way->is_message) {
        return ORIGINAL(writev)(fd, iov, (int)count);
    }
    union {
        const struct iovec *borrowed;
        struct iovec *base;
    } pointer = {.borrowed = iov};
    struct msghdr message = {0};
    if (way->message != NULL) {
        message = *way->message;
    }
    message.msg_iov = pointer.base;
    message.msg_iovlen = count;
    return ORIGINAL(sendmsg)(fd, &message, way->flags);
}

/* A part went: as if nothing had found room, or a signal had come before anything went. */
static int error_of_part(int fd, const struct way *way)
{
    bool may_not_wait = (way->is_message && (way->flags & MSG_DONTWAIT)) ||
                        (raw_system_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) & O_NONBLOCK);
    return may_not_wait ? EAGAIN : EINTR;
}

/* What is left of the fields that an earlier call sent in part. False, with errno, if some of it is
   still left. */
static SLOW bool send_owed(struct connection *connection, int fd, const struct way *way)
{
    uint32_t owed;
    struct slice rest;
    while ((rest = inject_take_owed(connection, &owed)).size > 0) {
        struct iovec part = iovec_of(rest.data, rest.size);
        ssize_t sent = send_parts(fd, &(struct way){way->is_message, way->flags, NULL}, &part, 1);
        int error = sent < 0 ? errno : 0;
        if (!inject_paid(connection, owed, sent) && sent < (ssize_t)rest.size) {
            errno = sent < 0 ? error : error_of_part(fd, way);
            return false;
        }
    }
    return true;
}

static SLOW ssize_t send_inserting(struct observation *seen, int fd, const struct way *way,
                                   const struct iovec *iov, size_t count)
{
    uint8_t field[INJECT_FIELD_BYTES];
    struct iovec longer[INJECT_PARTS];
    size_t parts = inject_build(&seen->injection, iov, count, field, longer);
    ssize_t sent = send_parts(fd, way, longer, parts);
    return inject_settle(seen->touch.connection, &seen->injection, field, sent);
}

static SLOW ssize_t send_carrying(struct observation *seen, int fd, const struct way *way,
                                  const struct iovec *iov, size_t count)
{
    struct iovec longer[LIMIT_CARRYING_PARTS + 2];
    size_t parts = job_context_build(&seen->job, iov, count, longer);
    ssize_t sent = send_parts(fd, way, longer, parts);
    return job_context_settle(seen->touch.connection, &seen->job, sent);
}

static SLOW ssize_t send_otherwise(struct observation *seen, int fd, const struct way *way,
                                   const struct iovec *iov, size_t count)
{
    if (seen->step == SEND_INSERTING) {
        return send_inserting(seen, fd, way, iov, count);
    }
    if (seen->step == SEND_CARRYING) {
        return send_carrying(seen, fd, way, iov, count);
    }
    return send_owed(seen->touch.connection, fd, way) ? send_parts(fd, way, iov, count) : -1;
}

/* Before bytes go that no sending call of the program carries. */
static bool has_paid(int fd)
{
    struct touch touch;
    return descriptor_is_other(fd) || hook_is_aside(&thread_state) ||
           !connection_find(fd, &touch) || likely(!inject_owes(touch.connection)) ||
           send_owed(touch.connection, fd, BY_WRITE);
}

/* ---- one buffer ---- */

#define OBSERVE_SEND(call, way, fd, iov, count)                                                    \
    do {                                                                                           \
        struct observation seen;                                                                   \
        seen.step = SEND_AS_IS;                                                                    \
        bool observed = !hook_is_aside(&thread_state) &&                                           \
                        observe_send_begin_inserting(&seen, (fd), (iov), (count));                 \
        ssize_t result = likely(seen.step <= SEND_LOOKED_AT)                                       \
                             ? (call)                                                              \
                             : send_otherwise(&seen, (fd), (way), (iov), (count));                 \
        if (observed) {                                                                            \
            observe_send_end(&seen, (iov), (count), result, errno);                                \
        }                                                                                          \
        return result;                                                                             \
    } while (0)

/* The same for calls that are never changed. */
#define OBSERVE_AS_IS(call, fd, iov, count)                                                        \
    do {                                                                                           \
        struct observation seen;                                                                   \
        if (!has_paid(fd)) {                                                                       \
            return -1;                                                                             \
        }                                                                                          \
        bool observed =                                                                            \
            !hook_is_aside(&thread_state) && observe_send_begin(&seen, (fd), (iov), (count));      \
        ssize_t result = (call);                                                                   \
        if (observed) {                                                                            \
            observe_send_end(&seen, (iov), (count), result, errno);                                \
        }                                                                                          \
        return result;                                                                             \
    } while (0)

#define OBSERVE_RECEIVE(call, fd, iov, count)                                                      \
    do {                                                                                           \
        struct receipt seen;                                                                       \
        bool observed = !hook_is_aside(&thread_state) && observe_receive_begin(&seen, (fd));       \
        ssize_t result = (call);                                                                   \
        if (observed) {                                                                            \
            observe_receive_end(&seen, (iov), (count), result, errno);                             \
        }                                                                                          \
        return result;                                                                             \
    } while (0)

static SLOW ssize_t observed_read(int fd, void *buffer, size_t size)
{
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_RECEIVE(ORIGINAL(read)(fd, buffer, size), fd, &iov, 1);
}

EXPORTED ssize_t read(int fd, void *buffer, size_t size)
{
    return likely(descriptor_is_other(fd)) ? original_read(fd, buffer, size)
                                           : observed_read(fd, buffer, size);
}

EXPORTED ssize_t __read(int fd, void *buffer, size_t size)
{
    return descriptor_is_other(fd) ? original_read(fd, buffer, size)
                                   : observed_read(fd, buffer, size);
}

EXPORTED ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room)
{
    if (descriptor_is_other(fd)) {
        return original___read_chk(fd, buffer, size, room);
    }
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_RECEIVE(ORIGINAL(__read_chk)(fd, buffer, size, room), fd, &iov, 1);
}

static SLOW ssize_t observed_write(int fd, const void *buffer, size_t size)
{
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_SEND(ORIGINAL(write)(fd, buffer, size), BY_WRITE, fd, &iov, 1);
}

EXPORTED ssize_t write(int fd, const void *buffer, size_t size)
{
    return likely(descriptor_is_other(fd)) ? original_write(fd, buffer, size)
                                           : observed_write(fd, buffer, size);
}

EXPORTED ssize_t __write(int fd, const void *buffer, size_t size)
{
    return descriptor_is_other(fd) ? original_write(fd, buffer, size)
                                   : observed_write(fd, buffer, size);
}

static SLOW ssize_t send_unchanged(int fd, const void *buffer, size_t size, int flags)
{
    struct iovec iov = iovec_of(buffer, size);
    if (flags & MSG_OOB) {
        return ORIGINAL(send)(fd, buffer, size, flags);
    }
    OBSERVE_AS_IS(ORIGINAL(send)(fd, buffer, size, flags), fd, &iov, 1);
}

EXPORTED ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    if (descriptor_is_other(fd)) {
        return ORIGINAL(send)(fd, buffer, size, flags);
    }
    if (unlikely(flags & (MSG_OOB | NOT_CHANGED))) {
        return send_unchanged(fd, buffer, size, flags);
    }
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_SEND(ORIGINAL(send)(fd, buffer, size, flags), BY_SEND(flags), fd, &iov, 1);
}

EXPORTED ssize_t __send(int fd, const void *buffer, size_t size, int flags)
{
    return send(fd, buffer, size, flags);
}

EXPORTED ssize_t sendto(int fd, const void *buffer, size_t size, int flags,
                        const struct sockaddr *address, socklen_t address_size)
{
    if (descriptor_is_other(fd) || (flags & MSG_OOB)) {
        return ORIGINAL(sendto)(fd, buffer, size, flags, address, address_size);
    }
    if ((flags & MSG_FASTOPEN) && !hook_is_aside(&thread_state)) {
        /* Connects without a call to connect. */
        observe_connect_begin(fd, address, address_size, clock_now_ns());
    }
    struct iovec iov = iovec_of(buffer, size);
    if (unlikely((flags & NOT_CHANGED) || address != NULL)) {
        OBSERVE_AS_IS(ORIGINAL(sendto)(fd, buffer, size, flags, address, address_size), fd, &iov,
                      1);
    }
    OBSERVE_SEND(ORIGINAL(sendto)(fd, buffer, size, flags, address, address_size), BY_SEND(flags),
                 fd, &iov, 1);
}

static SLOW ssize_t observed_recv(int fd, void *buffer, size_t size, int flags)
{
    if (flags & NOT_TAKEN) {
        return ORIGINAL(recv)(fd, buffer, size, flags);
    }
    if ((flags & MSG_TRUNC) != 0) {
        /* On TCP the bytes are dropped without being shown. */
        ssize_t dropped = ORIGINAL(recv)(fd, buffer, size, flags);
        if (dropped > 0 && !hook_is_aside(&thread_state)) {
            observe_unseen(fd, DIRECTION_IN, dropped);
        }
        return dropped;
    }
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_RECEIVE(ORIGINAL(recv)(fd, buffer, size, flags), fd, &iov, 1);
}

EXPORTED ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    return descriptor_is_other(fd) ? original_recv(fd, buffer, size, flags)
                                   : observed_recv(fd, buffer, size, flags);
}

EXPORTED ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags)
{
    if (descriptor_is_other(fd) || (flags & (NOT_TAKEN | MSG_TRUNC))) {
        return ORIGINAL(__recv_chk)(fd, buffer, size, room, flags);
    }
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_RECEIVE(ORIGINAL(__recv_chk)(fd, buffer, size, room, flags), fd, &iov, 1);
}

EXPORTED ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
                          socklen_t *address_size)
{
    if (descriptor_is_other(fd) || (flags & NOT_TAKEN)) {
        return ORIGINAL(recvfrom)(fd, buffer, size, flags, address, address_size);
    }
    if ((flags & MSG_TRUNC) != 0) {
        ssize_t dropped = ORIGINAL(recvfrom)(fd, buffer, size, flags, address, address_size);
        if (dropped > 0 && !hook_is_aside(&thread_state)) {
            observe_unseen(fd, DIRECTION_IN, dropped);
        }
        return dropped;
    }
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_RECEIVE(ORIGINAL(recvfrom)(fd, buffer, size, flags, address, address_size), fd, &iov,
                    1);
}

EXPORTED ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
                                struct sockaddr *address, socklen_t *address_size)
{
    if (descriptor_is_other(fd) || (flags & (NOT_TAKEN | MSG_TRUNC))) {
        return ORIGINAL(__recvfrom_chk)(fd, buffer, size, room, flags, address, address_size);
    }
    struct iovec iov = iovec_of(buffer, size);
    OBSERVE_RECEIVE(ORIGINAL(__recvfrom_chk)(fd, buffer, size, room, flags, address, address_size),
                    fd, &iov, 1);
}

/* ---- several buffers ---- */

EXPORTED ssize_t readv(int fd, const struct iovec *iov, int count)
{
    if (descriptor_is_other(fd)) {
        return original_readv(fd, iov, count);
    }
    OBSERVE_RECEIVE(ORIGINAL(readv)(fd, iov, count), fd, iov, count > 0 ? (size_t)count : 0);
}

EXPORTED ssize_t writev(int fd, const struct iovec *iov, int count)
{
    if (descriptor_is_other(fd)) {
        return original_writev(fd, iov, count);
    }
    OBSERVE_SEND(ORIGINAL(writev)(fd, iov, count), BY_WRITE, fd, iov,
                 count > 0 ? (size_t)count : 0);
}

/* Without the function the answer is what a kernel without it gives. */
static ssize_t not_there(void)
{
    errno = ENOSYS;
    return -1;
}

/* preadv2 and pwritev2 work on sockets with offset -1 only; on others they fail. */
EXPORTED ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    if (ORIGINAL(preadv2) == NULL) {
        return not_there();
    }
    if (descriptor_is_other(fd)) {
        return original_preadv2(fd, iov, count, offset, flags);
    }
    OBSERVE_RECEIVE(original_preadv2(fd, iov, count, offset, flags), fd, iov,
                    count > 0 ? (size_t)count : 0);
}

EXPORTED ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    return preadv2(fd, iov, count, offset, flags);
}

EXPORTED ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    if (ORIGINAL(pwritev2) == NULL) {
        return not_there();
    }
    if (descriptor_is_other(fd)) {
        return original_pwritev2(fd, iov, count, offset, flags);
    }
    OBSERVE_AS_IS(original_pwritev2(fd, iov, count, offset, flags), fd, iov,
                  count > 0 ? (size_t)count : 0);
}

EXPORTED ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    return pwritev2(fd, iov, count, offset, flags);
}

/* Whether the kernel has read the structures that describe a call, so that we can, too. */
static bool was_looked_at(ssize_t result, int error)
{
    return result >= 0 || (error != EFAULT && error != EBADF && error != ENOTSOCK);
}

/* Whether the message can be read before the kernel has done so, and is nothing but bytes; asked
   only where something might be written into it. */
static bool is_plain_message(int fd, const struct msghdr *message, int flags)
{
    struct iovec whole = iovec_of(message, sizeof(*message));
    struct touch touch;
    if (!inject_is_on || (flags & NOT_CHANGED) || !connection_find(fd, &touch) ||
        (!protocol_may_be_http(touch.connection) && !inject_owes(touch.connection) &&
         !job_context_is_on) ||
        !readable_iov(&whole, 1) || message->msg_controllen != 0 || message->msg_name != NULL ||
        message->msg_iovlen > LIMIT_INJECT_PARTS) {
        return false;
    }
    struct iovec parts = iovec_of(message->msg_iov, message->msg_iovlen * sizeof(struct iovec));
    return readable_iov(&parts, 1);
}

static SLOW ssize_t observed_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct observation seen;
    seen.step = SEND_AS_IS;
    bool is_plain = is_plain_message(fd, message, flags);
    if (!is_plain && !has_paid(fd)) {
        return -1;
    }
    bool observed =
        !hook_is_aside(&thread_state) &&
        (is_plain ? observe_send_begin_inserting(&seen, fd, message->msg_iov, message->msg_iovlen)
                  : observe_send_begin(&seen, fd, NULL, 0));
    ssize_t result = likely(seen.step <= SEND_LOOKED_AT)
                         ? ORIGINAL(sendmsg)(fd, message, flags)
                         : send_otherwise(&seen, fd, &(struct way){true, flags, message},
                                          message->msg_iov, message->msg_iovlen);
    if (observed && was_looked_at(result, errno)) {
        observe_send_end(&seen, message->msg_iov, message->msg_iovlen, result, errno);
    } else if (observed) {
        observe_send_end(&seen, NULL, 0, result, errno);
    }
    return result;
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (descriptor_is_other(fd) || (flags & MSG_OOB) || message == NULL) {
        return ORIGINAL(sendmsg)(fd, message, flags);
    }
    if ((flags & MSG_FASTOPEN) && !hook_is_aside(&thread_state)) {
        observe_connect_begin(fd, message->msg_name, message->msg_namelen, clock_now_ns());
    }
    return observed_sendmsg(fd, message, flags);
}

/* Descriptors that another process sent: whatever was known of their numbers is of the past. */
static void take_descriptors(struct msghdr *message)
{
    struct thread_state *self = &thread_state;
    if (message->msg_control == NULL || message->msg_controllen < sizeof(struct cmsghdr) ||
        hook_is_aside(self) || !hook_is_on()) {
        return;
    }
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS ||
            control->cmsg_len < CMSG_LEN(0)) {
            continue;
        }
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
            descriptor_made(self, fd, DESCRIPTOR_UNKNOWN);
        }
    }
}

static ssize_t receive_message(int fd, struct msghdr *message, int flags)
{
    if (descriptor_is_other(fd) || (flags & (NOT_TAKEN | MSG_TRUNC)) || message == NULL) {
        return ORIGINAL(recvmsg)(fd, message, flags);
    }
    struct receipt seen;
    bool observed = !hook_is_aside(&thread_state) && observe_receive_begin(&seen, fd);
    ssize_t result = ORIGINAL(recvmsg)(fd, message, flags);
    if (observed && result >= 0) {
        observe_receive_end(&seen, message->msg_iov, message->msg_iovlen, result, errno);
    } else if (observed) {
        observe_receive_end(&seen, NULL, 0, result, errno);
    }
    return result;
}

EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t result = receive_message(fd, message, flags);
    if (result >= 0 && message != NULL && unlikely(message->msg_controllen > 0)) {
        take_descriptors(message);
    }
    return result;
}

/* Many messages on a stream: framed after the call, one after the other. */
EXPORTED int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (!has_paid(fd)) {
        return -1;
    }
    int sent = ORIGINAL(sendmmsg)(fd, messages, count, flags);
    if (descriptor_is_other(fd) || sent <= 0 || hook_is_aside(&thread_state)) {
        return sent;
    }
    int error = errno;
    for (int i = 0; i < sent; i++) {
        const struct msghdr *message = &messages[i].msg_hdr;
        struct observation seen;
        if (observe_send_begin(&seen, fd, message->msg_iov, message->msg_iovlen)) {
            observe_send_end(&seen, message->msg_iov, message->msg_iovlen,
                             (ssize_t)messages[i].msg_len, 0);
        }
    }
    errno = error;
    return sent;
}

EXPORTED int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                      struct timespec *timeout)
{
    int received = ORIGINAL(recvmmsg)(fd, messages, count, flags, timeout);
    if (received <= 0 || hook_is_aside(&thread_state)) {
        return received;
    }
    int error = errno;
    for (int i = 0; i < received; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        struct receipt seen;
        if (!(flags & (NOT_TAKEN | MSG_TRUNC)) && !descriptor_is_other(fd) &&
            observe_receive_begin(&seen, fd)) {
            observe_receive_end(&seen, message->msg_iov, message->msg_iovlen,
                                (ssize_t)messages[i].msg_len, 0);
        }
        take_descriptors(message);
    }
    errno = error;
    return received;
}

/* ---- bytes that never pass through the program's memory ---- */

EXPORTED ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
    if (!has_paid(out)) {
        return -1;
    }
    ssize_t result = ORIGINAL(sendfile)(out, in, offset, count);
    if (!descriptor_is_other(out) && result > 0 && !hook_is_aside(&thread_state)) {
        observe_unseen(out, DIRECTION_OUT, result);
    }
    return result;
}

EXPORTED ssize_t sendfile64(int out, int in, off_t *offset, size_t count)
{
    return sendfile(out, in, offset, count);
}

EXPORTED ssize_t splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t count,
                        unsigned flags)
{
    if (!has_paid(out)) {
        return -1;
    }
    ssize_t result = ORIGINAL(splice)(in, in_offset, out, out_offset, count, flags);
    if (result > 0 && !hook_is_aside(&thread_state)) {
        if (!descriptor_is_other(in)) {
            observe_unseen(in, DIRECTION_IN, result);
        }
        if (!descriptor_is_other(out)) {
            observe_unseen(out, DIRECTION_OUT, result);
        }
    }
    return result;
}

/* The C library formats and writes by itself: only the count is known. */

static int printed(int fd, int result)
{
    if (result > 0 && !descriptor_is_other(fd) && !hook_is_aside(&thread_state)) {
        observe_unseen(fd, DIRECTION_OUT, result);
    }
    return result;
}

EXPORTED int vdprintf(int fd, const char *format, va_list arguments)
{
    return printed(fd, ORIGINAL(vdprintf)(fd, format, arguments));
}

EXPORTED int dprintf(int fd, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = ORIGINAL(vdprintf)(fd, format, arguments);
    va_end(arguments);
    return printed(fd, result);
}

EXPORTED int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments)
{
    return printed(fd, ORIGINAL(__vdprintf_chk)(fd, flag, format, arguments));
}

EXPORTED int __dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = ORIGINAL(__vdprintf_chk)(fd, flag, format, arguments);
    va_end(arguments);
    return printed(fd, result);
}
