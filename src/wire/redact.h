/* Redaction of URLs, done while they are copied: what is not copied cannot leak. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Copies a request target (origin, absolute or authority form) into `out`, at most `capacity`
   bytes. User information becomes REDACTED:REDACTED@; the values of query keys that carry
   signatures, tokens, keys and passwords (the conventions' list and a wider one, compared without
   regard to case, punctuation and percent-encoding) become REDACTED, those of path parameters
   likewise. `target_cut` says that the target's end is missing. Returns the bytes written; `*cut`
   tells whether the end is missing from the copy. A value that may be secret is never copied in
   part. */
size_t redact_target(struct slice target, bool target_cut, uint8_t *out, size_t capacity,
                     bool *cut);

/* Whether the copy of a target that is not cut would be the target itself, because there is nothing
   in it that could be secret. A quick look: false may mean nothing. */
bool redact_changes_nothing(struct slice target);
