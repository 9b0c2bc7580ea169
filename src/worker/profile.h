/*
 * Profiles: what spans are called, as data (rules/profiles.rules has the language).
 *
 * Spans are built with the names of the profile `library`, which needs nothing of this. Another
 * profile renames them and adds attributes, when they are complete. A profile is parsed once and
 * then never changed.
 */
#pragma once

#include <stdint.h>

#include "base/slice.h"
#include "worker/span.h"

struct profile;

struct profile_error {
    uint32_t line; /* 0: it is of the whole text */
    char text[160];
};

/* The profile `name` of that text; with an empty name the first one. Borrows from the text. NULL
   with `*error` if there is none of that name, the text is wrong, or there is no memory. */
struct profile *profile_create(struct slice text, struct slice name, struct profile_error *error);
struct profile *profile_destroy(struct profile *profile);

/* The one that WIRESPAN_PROFILE names: `library` and NULL data are NULL without an error; with a
   slash in it it is the path of a file. */
struct profile *profile_open(struct slice name, struct profile_error *error);

/* Renames a complete span. */
void profile_apply(const struct profile *profile, struct span *span);

/* The text that is built in. */
struct slice profile_shipped(void);
