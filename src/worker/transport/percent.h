/* Percent-encoded text, as in header lists and grpc-message. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Writes `text` decoded to `into`, which has room for text.size bytes, and returns how many were
   written. A '%' that two hex digits do not follow stays as it is; then `*clean` becomes false. */
size_t percent_decode(struct slice text, char *into, bool *clean);
