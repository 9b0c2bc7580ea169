/*
 * Text as a terminal shows it: measured in cells, harmless.
 *
 * Names and values come from elsewhere. Control characters would move the cursor or worse, and
 * characters that turn the direction of writing would disorder a line: both are shown as '?' (line
 * breaks and tabs as a space), as is every byte that is not UTF-8, and without UTF-8 every byte
 * beyond ASCII. LC_CTYPE must be set for wide characters to be measured.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The cells that `text` takes. */
size_t cells_measure(const char *text, bool utf8);

/* Writes as much of the first `size` bytes of `text` as fits into `room` cells, with a sign at the
   end if something was cut. Returns the cells written. */
size_t cells_write(FILE *out, const char *text, size_t size, size_t room, bool utf8);
