/*
 * Preloaded behind the object under test: a kernel that takes less than it is given.
 *
 * cut_calls() says how many bytes the next sending calls on a descriptor find room for; 0: none, so
 * that the call fails with EAGAIN. Later calls, and other descriptors, are not cut.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/system_call.h"

#define ROOMS_MAX 256
#define PARTS_MAX 64

static int cut_descriptor = -1;
static size_t rooms[ROOMS_MAX];
static size_t room_count;
static size_t next_room;

void cut_calls(int fd, const size_t *list, size_t count);

void cut_calls(int fd, const size_t *list, size_t count)
{
    cut_descriptor = fd;
    room_count = count < ROOMS_MAX ? count : ROOMS_MAX;
    next_room = 0;
    for (size_t i = 0; i < room_count; i++) {
        rooms[i] = list[i];
    }
}

/* Not by syscall(), which is hooked. */
static ssize_t pass(int fd, const struct msghdr *message, int flags, bool is_message)
{
    long result = is_message ? raw_system_call(SYS_sendmsg, fd, (long)message, flags, 0, 0, 0)
                             : raw_system_call(SYS_writev, fd, (long)message->msg_iov,
                                               (long)message->msg_iovlen, 0, 0, 0);
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

static ssize_t take(int fd, const struct msghdr *message, int flags, bool is_message)
{
    struct iovec parts[PARTS_MAX];
    if (fd != cut_descriptor || next_room == room_count || message->msg_iovlen > PARTS_MAX) {
        return pass(fd, message, flags, is_message);
    }
    size_t room = rooms[next_room++];
    size_t count = 0;
    for (size_t i = 0; i < message->msg_iovlen && room > 0; i++, count++) {
        parts[count] = message->msg_iov[i];
        parts[count].iov_len = parts[count].iov_len < room ? parts[count].iov_len : room;
        room -= parts[count].iov_len;
    }
    if (count == 0) {
        errno = EAGAIN;
        return -1;
    }
    struct msghdr cut = *message;
    cut.msg_iov = parts;
    cut.msg_iovlen = count;
    return pass(fd, &cut, flags, is_message);
}

static ssize_t take_one(int fd, const void *buffer, size_t size, int flags, bool is_message)
{
    union {
        const void *borrowed;
        void *base;
    } pointer = {.borrowed = buffer};
    struct iovec part = {pointer.base, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return take(fd, &message, flags, is_message);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    return take_one(fd, buffer, size, 0, false);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    return take_one(fd, buffer, size, flags, true);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    union {
        const struct iovec *borrowed;
        struct iovec *base;
    } pointer = {.borrowed = iov};
    struct msghdr message = {.msg_iov = pointer.base, .msg_iovlen = count > 0 ? (size_t)count : 0};
    return take(fd, &message, 0, false);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return take(fd, message, flags, true);
}
