/* /etc/ld.so.cache: where the C library's loader finds shared objects by their name. */
#pragma once

#include <stddef.h>

#include "base/slice.h"

/* The path of the `index`th entry of that name; empty without one. The file is not trusted. */
struct slice loader_cache_find(struct slice cache, const char *name, size_t index);
