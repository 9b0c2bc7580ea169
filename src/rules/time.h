/* Times as queues write them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "rules/rules.h"

/* Nanoseconds since 1970 UTC; 0: not a time in that unit. */
uint64_t rules_time(struct slice text, enum rule_unit unit);
