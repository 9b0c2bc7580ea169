#include "worker/proc_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/system_call.h"

#define PATH_BYTES 512

struct slice proc_file_read(const char *root, const char *path, char *buffer, size_t capacity)
{
    char whole[PATH_BYTES];
    int size = snprintf(whole, sizeof(whole), "%s%s", root, path);
    if (size < 0 || (size_t)size >= sizeof(whole)) {
        return (struct slice){NULL, 0};
    }
    long fd = raw_system_call(SYS_openat, AT_FDCWD, (long)whole, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) {
        return (struct slice){NULL, 0};
    }
    size_t used = 0;
    while (used < capacity) {
        long got =
            raw_system_call(SYS_read, fd, (long)(buffer + used), (long)(capacity - used), 0, 0, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return slice_of(buffer, used);
}

static void path_of(char *path, size_t capacity, int32_t pid, const char *name)
{
    snprintf(path, capacity, "/proc/%d/%s", (int)pid, name);
}

struct slice proc_file_read_of(const char *root, int32_t pid, const char *name, char *buffer,
                               size_t capacity)
{
    char path[64];
    path_of(path, sizeof(path), pid, name);
    return proc_file_read(root, path, buffer, capacity);
}

struct slice proc_file_link_of(const char *root, int32_t pid, const char *name, char *buffer,
                               size_t capacity)
{
    char path[64];
    char whole[PATH_BYTES];
    path_of(path, sizeof(path), pid, name);
    int size = snprintf(whole, sizeof(whole), "%s%s", root, path);
    if (size < 0 || (size_t)size >= sizeof(whole)) {
        return (struct slice){NULL, 0};
    }
    long got =
        raw_system_call(SYS_readlinkat, AT_FDCWD, (long)whole, (long)buffer, (long)capacity, 0, 0);
    return slice_of(buffer, got > 0 ? (size_t)got : 0);
}
