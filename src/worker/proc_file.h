/* Small files of /proc and /etc, read without stdio and without any name that could be interposed:
   this runs inside other people's processes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Reads at most `capacity` bytes of the file at `root` + `path`. An empty slice if there are none.
 */
struct slice proc_file_read(const char *root, const char *path, char *buffer, size_t capacity);

/* The same of a process's own file: /proc/<pid>/<name>. */
struct slice proc_file_read_of(const char *root, int32_t pid, const char *name, char *buffer,
                               size_t capacity);

/* Where the link /proc/<pid>/<name> points. */
struct slice proc_file_link_of(const char *root, int32_t pid, const char *name, char *buffer,
                               size_t capacity);
