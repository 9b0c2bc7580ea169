/* Buffers as gzip members. */
#pragma once

#include "base/slice.h"

/* Compresses `plain` behind `reserved` bytes, which are left for the caller to fill (a frame's
   head). Returns memory to free, with the size of all in `*size`; NULL if there is no memory. */
uint8_t *gzip_compress(struct slice plain, size_t reserved, size_t *size);

/* Expands the one member in `packed` to memory to free, with its size in `*size`. NULL if it is not
   a whole member, or would be larger than `limit`, or there is no memory. */
uint8_t *gzip_expand(struct slice packed, size_t limit, size_t *size);
