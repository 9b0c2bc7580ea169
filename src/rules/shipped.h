/* The rules that come with wirespan, as they were compiled when it was built. */
#pragma once

#include <stdint.h>

#include "base/slice.h"
#include "rules/rules.h"

struct shipped_rules {
    const char *name; /* of the file */
    struct slice text;
};

const struct rules *rules_shipped(void);

/* The files, in the order in which they were compiled; NULL beyond the last one. */
const struct shipped_rules *rules_shipped_file(uint32_t number);
