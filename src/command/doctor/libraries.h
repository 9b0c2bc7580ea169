/* The objects of a program: those that the loader will map, found as it would find them without
   running it, and those that a process has. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "command/doctor/object.h"
#include "command/doctor/place.h"
#include "command/doctor/text_list.h"

struct libraries {
    struct object *items; /* the executable is no part of it */
    size_t count;
    struct text_list missing; /* names that were not found, or only for another processor */
    bool is_cut;              /* there are more than LIMIT_DOCTOR_OBJECTS */
};

/* All that `program` needs, and what those need. `search_path` is LD_LIBRARY_PATH, or NULL. False
   without memory; to be finished in any case. */
bool libraries_resolve(struct libraries *libraries, const struct place *place,
                       const struct object *program, const char *search_path,
                       const struct text_list *wanted);

/* Those at `paths`; what is no ELF file any more is left out. */
bool libraries_read(struct libraries *libraries, const struct place *place,
                    const struct text_list *paths, const struct text_list *wanted);

/* The one whose path ends in that name, or begins it with `is_prefix`; NULL without one. */
const struct object *libraries_find(const struct libraries *libraries, const char *name,
                                    bool is_prefix);

void libraries_finish(struct libraries *libraries);
