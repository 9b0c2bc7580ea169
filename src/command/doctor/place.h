/*
 * A file system as a process sees it: that of this process, or that of another one below its
 * /proc/PID/root, whose absolute links must not lead out of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/slice.h"

struct place {
    int root; /* a folder's descriptor; -1: this process's own root */
};

/* Opens for reading; negative errno without success. */
int place_open(const struct place *place, const char *path);

/* Whether there is a file, and what stat says of it. */
bool place_stat(const struct place *place, const char *path, struct stat *status);

/* The whole file behind a descriptor, up to `most` bytes; released with free. An empty slice with
   NULL data if it cannot be read or is larger. */
struct slice place_read_descriptor(int descriptor, size_t most);

/* The same of a path. */
struct slice place_read(const struct place *place, const char *path, size_t most);
