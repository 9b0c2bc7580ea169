/* What is to be known of one executable or shared object, taken from its file once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "command/doctor/text_list.h"

struct object {
    char *path;
    bool is_elf;
    bool is_64;
    bool is_big_endian;
    uint16_t machine;
    bool is_loadable;   /* it has a dynamic section: a loader may load others beside it */
    char *interpreter;  /* the loader that it names; NULL: none */
    char *run_path;     /* DT_RUNPATH, else NULL */
    char *old_run_path; /* DT_RPATH, which counts only without the former */
    struct text_list needed;
    bool is_go;
    bool uses_io_uring; /* it calls liburing */
    bool opens_objects; /* it calls dlopen */
    bool is_node;       /* it offers what only Node does, or a build of Python's */
    bool is_python;
    bool is_patched;          /* so that the TLS library inside is read: see tls_libraries */
    size_t tls_inside;        /* tls_libraries; their number: none */
    struct text_list imports; /* those among the wanted names that it takes from other objects */
    struct text_list exports; /* the same that it offers */
};

/* Takes everything from the bytes of the file. `wanted` are the names for imports and exports;
   NULL: all names. False without memory; the object is to be finished in any case. */
bool object_inspect(struct object *object, const char *path, struct slice bytes,
                    const struct text_list *wanted);

void object_finish(struct object *object);

/* Whether a loader would accept both in one process. */
bool object_is_compatible(const struct object *a, const struct object *b);

/* The processor's name and word size, as in "x86-64" or "i386": static text or `into`. */
const char *object_machine_name(const struct object *object, char into[32]);

/* The last part of its path. */
const char *object_name(const struct object *object);
