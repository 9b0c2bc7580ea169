/*
 * The system's errors as text, in English. The C library's strerror looks for a translation under a
 * lock, which stays taken in the child of a fork that came at that moment.
 */
#pragma once

#include <string.h>

static inline const char *error_text(int system_error)
{
    const char *text = strerrordesc_np(system_error);
    return text != NULL ? text : "unknown error";
}
