/* A sampling ratio as the rejection threshold of consistent probability sampling. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The threshold that keeps nothing: randomness has 56 bits. */
#define SAMPLING_KEEP_NONE (UINT64_C(1) << 56)

/* Reads a decimal number ("0.25", "1e-3") between 0 and 1. False if `text` is anything else. */
bool sampling_ratio_parse(struct slice text, double *ratio);

/* The threshold T for which R >= T keeps that part of all traces, written with four significant hex
   digits as other implementations do, so that all of them keep the same traces. */
uint64_t sampling_ratio_threshold(double ratio);
