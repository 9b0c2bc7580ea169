/* Findings for people and for machines. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "command/doctor/findings.h"
#include "command/doctor/text_list.h"

struct presentation {
    const char *title; /* the command, or the process */
    const struct findings *findings;
    const struct text_list *hooked; /* NULL: the names are not wanted */
    bool has_colour;
};

/* False if it could not be written. */
bool present_text(FILE *out, const struct presentation *presentation);
bool present_json(FILE *out, const struct presentation *presentation);
