#include "command/doctor/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_below(int root, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags, .resolve = RESOLVE_IN_ROOT};
    long result = syscall(SYS_openat2, root, path, &how, sizeof(how));
    return result < 0 ? -errno : (int)result;
}

static int open_with(const struct place *place, const char *path, int flags)
{
    /* A pipe or a device must not hold anybody up. */
    flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (place->root >= 0) {
        return open_below(place->root, path, (uint64_t)flags);
    }
    int descriptor = open(path, flags);
    return descriptor < 0 ? -errno : descriptor;
}

int place_open(const struct place *place, const char *path)
{
    return open_with(place, path, O_RDONLY);
}

bool place_stat(const struct place *place, const char *path, struct stat *status)
{
    int descriptor = open_with(place, path, O_PATH);
    if (descriptor < 0) {
        return false;
    }
    bool is_known = fstat(descriptor, status) == 0;
    close(descriptor);
    return is_known;
}

struct slice place_read_descriptor(int descriptor, size_t most)
{
    struct stat status;
    uint8_t *bytes = NULL;
    size_t size = 0;
    size_t capacity = 0;
    /* Files of /proc have no size until they are read. */
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size > most) {
        return (struct slice){0};
    }
    for (;;) {
        if (size == capacity) {
            capacity = capacity > 0 ? 2 * capacity : (size_t)status.st_size + 4096;
            uint8_t *grown = realloc(bytes, capacity);
            if (grown == NULL) {
                break;
            }
            bytes = grown;
        }
        ssize_t got = read(descriptor, bytes + size, capacity - size);
        if (got == 0) {
            return slice_of(bytes, size);
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        size += got > 0 ? (size_t)got : 0;
        if (got < 0 || size > most) {
            break;
        }
    }
    free(bytes);
    return (struct slice){0};
}

struct slice place_read(const struct place *place, const char *path, size_t most)
{
    int descriptor = place_open(place, path);
    if (descriptor < 0) {
        return (struct slice){0};
    }
    struct slice bytes = place_read_descriptor(descriptor, most);
    close(descriptor);
    return bytes;
}
