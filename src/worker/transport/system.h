/* The system calls of the transports. A program may define close, write or send itself, and its
   definition would be found before the C library's: what goes on here is none of its business.
   All return the kernel's answer, -errno on failure, and leave errno alone. */
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/system_call.h"

static inline int system_open(const char *path, int flags, unsigned mode)
{
    return (int)raw_system_call(SYS_openat, AT_FDCWD, (long)path, flags, (long)mode, 0, 0);
}

static inline void system_close(int fd)
{
    raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline long system_write(int fd, const void *bytes, size_t size)
{
    return raw_system_call(SYS_write, fd, (long)bytes, (long)size, 0, 0, 0);
}

static inline int system_socket(int family, int type)
{
    return (int)raw_system_call(SYS_socket, family, type, 0, 0, 0, 0);
}

static inline int system_connect(int fd, const void *address, socklen_t size)
{
    return (int)raw_system_call(SYS_connect, fd, (long)address, (long)size, 0, 0, 0);
}

static inline long system_send(int fd, const void *bytes, size_t size)
{
    return raw_system_call(SYS_sendto, fd, (long)bytes, (long)size, MSG_NOSIGNAL, 0, 0);
}

static inline long system_receive(int fd, void *bytes, size_t size)
{
    return raw_system_call(SYS_recvfrom, fd, (long)bytes, (long)size, 0, 0, 0);
}

/* Which of them are ready now. */
static inline int system_poll_now(struct pollfd *descriptors, size_t count)
{
    struct timespec now = {0};
    return (int)raw_system_call(SYS_ppoll, (long)descriptors, (long)count, (long)&now, 0, 0, 0);
}
