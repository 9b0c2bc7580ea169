/* Libraries that speak TLS, how they are recognised, and what is seen of what they carry. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* What comes out of a connection of such a library. */
enum tls_sight {
    TLS_OPAQUE,    /* one span for the connection, which says that it is TLS */
    TLS_PLAINTEXT, /* its exchanges, from the library's functions */
};

struct tls_library {
    const char *name;
    const char *file;   /* how its shared object's name begins; NULL: it has none */
    const char *symbol; /* a function that a program exports which has it inside; NULL: none does */
    const char *text;   /* stands in every program that has it inside; NULL: unknown */
    const char *patched_beside; /* inside a program that exports this, too, its functions are
                                   patched and read; NULL: never */
    enum tls_sight when_shared;
};

/* By rising generality: where several fit one program, the first is the one. */
extern const struct tls_library tls_libraries[];
extern const size_t tls_library_count;

/* Which of them is this shared object: an index, or tls_library_count. */
size_t tls_library_of_file(const char *name);
