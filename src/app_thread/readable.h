/* Whether the program's own memory can be read, before the kernel has judged it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* What is asked about at a time. */
#define READABLE_PAGE 4096u

/* More than this is not asked about. */
#define READABLE_BYTES (64u << 10)

/* Whether all that `iov` points at can be read, READABLE_BYTES at most. Pages that were readable
   once are not asked about again: a program that takes one away and then sends from it, counting on
   EFAULT, is not thought of. Others cost a system call each. */
bool readable_iov(const struct iovec *iov, size_t count);

/* Bytes that are only read: an iovec cannot say so. */
static inline struct iovec iovec_of(const void *data, size_t size)
{
    union {
        const void *borrowed;
        void *base;
    } pointer = {.borrowed = data};
    return (struct iovec){.iov_base = pointer.base, .iov_len = size};
}

/* The same of one piece. */
static inline bool readable(const void *data, size_t size)
{
    struct iovec part = iovec_of(data, size);
    return readable_iov(&part, 1);
}
