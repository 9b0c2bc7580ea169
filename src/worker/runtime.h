/*
 * Which language's runtime a process is, where its executable leaves no doubt.
 *
 * Names are those that OpenTelemetry's SDKs of these languages report. What is not certain is left
 * out: a version is known from the file's name (python3.11), or from a file that came with it.
 */
#pragma once

#include <stdint.h>

#include "base/slice.h"

#define RUNTIME_VERSION_BYTES 32u

struct runtime {
    struct slice name; /* static text; empty: unknown */
    struct slice version;
    char text[RUNTIME_VERSION_BYTES]; /* the version's */
};

/* `executable` is where /proc/<pid>/exe points; it may lie in `buffer`, which is used for reading.
   Files are looked for below `root` as that process sees them. */
void runtime_detect(struct runtime *runtime, const char *root, int32_t process_id,
                    struct slice executable, char *buffer, size_t capacity);
