/* The life of descriptors: how they come to be sockets, connections, copies, and end. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app_thread/callbacks.h"
#include "app_thread/clock.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/observe.h"
#include "app_thread/trace_context.h"
#include "app_thread/turn.h"
#include "base/system_call.h"

/* Whether the tables are to be kept now. */
static bool keeps_tables(struct thread_state *self)
{
    return hook_is_on() && !hook_is_aside(self);
}

static void made_connection(void)
{
    struct thread_state *self = &thread_state;
    if (callbacks.after_connection != NULL && hook_is_on() && !hook_is_aside(self)) {
        int error = errno;
        callbacks.after_connection();
        errno = error;
    }
}

static enum descriptor_kind kind_of_socket(int domain, int type)
{
    bool is_stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
    bool is_known = domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX;
    return is_stream && is_known ? DESCRIPTOR_STREAM : DESCRIPTOR_OTHER;
}

EXPORTED int socket(int domain, int type, int protocol)
{
    int fd = ORIGINAL(socket)(domain, type, protocol);
    struct thread_state *self = &thread_state;
    if (fd >= 0 && hook_is_on() && (self->is_ours == THREAD_OURS_SHARING || !hook_is_aside(self))) {
        enum descriptor_kind kind = kind_of_socket(domain, type);
        descriptor_made(self, fd, kind);
        if (kind == DESCRIPTOR_STREAM) {
            made_connection();
        }
    }
    return fd;
}

EXPORTED int socketpair(int domain, int type, int protocol, int pair[2])
{
    int result = ORIGINAL(socketpair)(domain, type, protocol, pair);
    struct thread_state *self = &thread_state;
    if (result == 0 && hook_is_on() &&
        (self->is_ours == THREAD_OURS_SHARING || !hook_is_aside(self))) {
        /* Which end is the client is not known: told by the bytes. */
        bool is_stream = kind_of_socket(domain, type) == DESCRIPTOR_STREAM;
        descriptor_made(self, pair[0], is_stream ? DESCRIPTOR_UNKNOWN : DESCRIPTOR_OTHER);
        descriptor_made(self, pair[1], is_stream ? DESCRIPTOR_UNKNOWN : DESCRIPTOR_OTHER);
    }
    return result;
}

EXPORTED int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    if (descriptor_is_other(fd) || !keeps_tables(&thread_state)) {
        return ORIGINAL(connect)(fd, address, size);
    }
    uint64_t start_ns = clock_now_ns();
    int result = ORIGINAL(connect)(fd, address, size);
    int error = errno;
    if (result == 0 || error != EFAULT) {
        observe_connect_begin(fd, address, size, start_ns);
    }
    observe_connect_end(fd, result, error);
    made_connection();
    errno = error;
    return result;
}

EXPORTED int __connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return connect(fd, address, size);
}

static void accepted(int listener, int fd)
{
    struct thread_state *self = &thread_state;
    turn_accepts(self, listener);
    if (unlikely(witness != NULL) && witness->accepting != NULL && hook_is_on()) {
        witness->accepting();
    }
    if (fd >= 0 && keeps_tables(self)) {
        descriptor_made(self, fd, DESCRIPTOR_ACCEPTED);
        if (!self->runs_a_loop) {
            trace_context_forget(self);
        }
        made_connection();
    }
}

EXPORTED int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    int result = ORIGINAL(accept)(fd, address, size);
    accepted(fd, result);
    return result;
}

EXPORTED int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int result = ORIGINAL(accept4)(fd, address, size, flags);
    accepted(fd, result);
    return result;
}

EXPORTED int shutdown(int fd, int how)
{
    int result = ORIGINAL(shutdown)(fd, how);
    if (result == 0 && !descriptor_is_other(fd) && keeps_tables(&thread_state)) {
        observe_shutdown(fd, how);
    }
    return result;
}

EXPORTED int close(int fd)
{
    struct thread_state *self = &thread_state;
    if (keeps_tables(self)) {
        descriptor_closing(self, fd);
    }
    return ORIGINAL(close)(fd);
}

EXPORTED int __close(int fd)
{
    return close(fd);
}

EXPORTED int close_range(unsigned first, unsigned last, int flags)
{
    struct thread_state *self = &thread_state;
    /* CLOSE_RANGE_CLOEXEC closes nothing now. */
    if (keeps_tables(self) && (flags & 4) == 0) {
        descriptor_range_closing(self, first, last);
    }
    if (ORIGINAL(close_range) != NULL) {
        return original_close_range(first, last, flags);
    }
    long result = raw_system_call(SYS_close_range, first, last, flags, 0, 0, 0);
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return 0;
}

EXPORTED void closefrom(int first)
{
    struct thread_state *self = &thread_state;
    if (keeps_tables(self)) {
        descriptor_range_closing(self, first > 0 ? (unsigned)first : 0, LIMIT_DESCRIPTORS - 1);
    }
    if (ORIGINAL(closefrom) != NULL) {
        original_closefrom(first);
        return;
    }
    raw_system_call(SYS_close_range, first > 0 ? first : 0, -1, 0, 0, 0, 0);
}

EXPORTED int fclose(FILE *stream)
{
    struct thread_state *self = &thread_state;
    if (stream != NULL && keeps_tables(self)) {
        int error = errno;
        int fd = fileno(stream);
        errno = error;
        if (fd >= 0) {
            descriptor_closing(self, fd);
        }
    }
    return ORIGINAL(fclose)(stream);
}

/* What goes through stdio is written inside the C library, where no hook sees it. */
EXPORTED FILE *fdopen(int fd, const char *mode)
{
    FILE *stream = ORIGINAL(fdopen)(fd, mode);
    if (stream != NULL && !descriptor_is_other(fd) && keeps_tables(&thread_state)) {
        int error = errno;
        observe_stdio(fd);
        errno = error;
    }
    return stream;
}

static int duplicated(int from, int to)
{
    struct thread_state *self = &thread_state;
    if (to >= 0 && keeps_tables(self)) {
        descriptor_duplicated(self, from, to);
    }
    return to;
}

EXPORTED int dup(int fd)
{
    return duplicated(fd, ORIGINAL(dup)(fd));
}

EXPORTED int dup2(int from, int to)
{
    return duplicated(from, ORIGINAL(dup2)(from, to));
}

EXPORTED int __dup2(int from, int to)
{
    return duplicated(from, ORIGINAL(dup2)(from, to));
}

EXPORTED int dup3(int from, int to, int flags)
{
    return duplicated(from, ORIGINAL(dup3)(from, to, flags));
}

static int controlled(int fd, int command, int result)
{
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return duplicates ? duplicated(fd, result) : result;
}

EXPORTED int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return controlled(fd, command, ORIGINAL(fcntl)(fd, command, argument));
}

EXPORTED int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int result = ORIGINAL(fcntl64) != NULL ? original_fcntl64(fd, command, argument)
                                           : ORIGINAL(fcntl)(fd, command, argument);
    return controlled(fd, command, result);
}

EXPORTED int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    int result = ORIGINAL(getsockopt)(fd, level, option, value, size);
    if (result == 0 && level == SOL_SOCKET && option == SO_ERROR && !descriptor_is_other(fd) &&
        value != NULL && size != NULL && *size >= sizeof(int) && keeps_tables(&thread_state)) {
        int error;
        memcpy(&error, value, sizeof(error));
        observe_socket_error(fd, error);
    } else if (result == 0 && level == IPPROTO_TCP && option == TCP_INFO &&
               !descriptor_is_other(fd) && keeps_tables(&thread_state)) {
        int error = errno;
        observe_health_asked(fd);
        errno = error;
    }
    return result;
}
