#include "rules/shipped.h"

#include <stddef.h>

#include "rules/shipped_rules.inc"

const struct rules *rules_shipped(void)
{
    return &table.rules;
}

const struct shipped_rules *rules_shipped_file(uint32_t number)
{
    return number < sizeof files / sizeof files[0] ? &files[number] : NULL;
}
