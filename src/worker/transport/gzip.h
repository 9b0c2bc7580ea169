/* A buffer as one gzip member. */
#pragma once

#include "base/slice.h"

/* Compresses `plain` behind `reserved` bytes, which are left for the caller to fill (a frame's
   head). Returns memory to free, with the size of all in `*size`; NULL if there is no memory. */
uint8_t *gzip_compress(struct slice plain, size_t reserved, size_t *size);
