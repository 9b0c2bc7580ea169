/* Filling a transport_outcome. */
#pragma once

#include "base/slice.h"
#include "worker/transport/transport.h"

/* Formats outcome->message, cut to its size. */
__attribute__((format(printf, 2, 3))) void outcome_say(struct transport_outcome *outcome,
                                                       const char *format, ...);

/* Copies the first line of text that came from outside, NUL-terminated and cut to `capacity`;
   control characters become blanks, so that no peer can forge lines of a log. */
void outcome_quote(struct slice text, char *into, size_t capacity);
