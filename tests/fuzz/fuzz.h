/*
 * Fuzz targets. Each file fuzz_NAME.c defines LLVMFuzzerTestOneInput; it is linked with libFuzzer
 * (-Dfuzz=true, clang), and always with a main that replays the corpus as a test. A broken
 * invariant aborts.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The invariant of a framer (`wire_subject` of tests/wire): whole, in random pieces and byte by
   byte the bytes give the same events. */
void fuzz_framer(struct slice input);

/* A copy of the bytes in memory of exactly their size, so that a sanitizer sees every read beyond.
   Released with free. */
uint8_t *fuzz_exact_copy(struct slice bytes);

/* Says what is wrong and aborts. */
_Noreturn void fuzz_fail(const char *message);
