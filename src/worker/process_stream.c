#include "worker/process_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/system_call.h"

static bool table_is_private;

void process_stream_set_private(bool is_private)
{
    table_is_private = is_private;
}

int process_stream_borrow(int fd)
{
    if (!table_is_private) {
        return (int)raw_system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
    }
    long process = raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    long handle = raw_system_call(SYS_pidfd_open, process, 0, 0, 0, 0, 0);
    if (handle >= 0) {
        long borrowed = raw_system_call(SYS_pidfd_getfd, handle, fd, 0, 0, 0, 0);
        raw_system_call(SYS_close, handle, 0, 0, 0, 0, 0);
        if (borrowed >= 0) {
            return (int)borrowed;
        }
    }
    /* Older kernels, and sandboxes that forbid it: opened anew, which pipes, terminals and files
       that are appended to bear. */
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%ld/fd/%d", process, fd);
    return (int)raw_system_call(SYS_openat, AT_FDCWD, (long)path,
                                O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0, 0, 0);
}

void process_stream_write_stderr(const char *text, size_t size)
{
    int fd = table_is_private ? process_stream_borrow(STDERR_FILENO) : STDERR_FILENO;
    while (fd >= 0 && size > 0) {
        long written = raw_system_call(SYS_write, fd, (long)text, (long)size, 0, 0, 0);
        if (written == -EINTR) {
            continue;
        }
        if (written <= 0) {
            break;
        }
        text += written;
        size -= (size_t)written;
    }
    if (table_is_private && fd >= 0) {
        raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
    }
}
