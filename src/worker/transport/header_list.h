/* OTEL_EXPORTER_OTLP_HEADERS: `name=value,name=value`, values percent-encoded. Values are secrets:
   they are never logged. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

enum header_result {
    HEADER_END,
    HEADER_LINE,
    HEADER_INVALID /* not name=value, no HTTP token as name, or bytes that no header may hold */
};

/* Room for any line made of a list of `size` bytes. */
#define HEADER_LINE_CAPACITY(size) ((size) + 3)

/* Takes the next entry off `*list` and writes it to `line` in libcurl's form, NUL-terminated:
   "name: value", or "name;" where the value is empty. Names are lowered if `lower` (HTTP/2 wants
   it). Blanks around name and value are dropped; empty entries are skipped. */
enum header_result header_list_next(struct slice *list, bool lower, char *line);
