/*
 * What a span says about itself beyond its name: its most telling attributes, in the order in which
 * a reader looks for them, without what the name already says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "command/view/buffer.h"
#include "command/view/tree.h"

enum detail_colour { DETAIL_PLAIN, DETAIL_ERROR, DETAIL_NOTE };

/* Is told of each piece of text in its order. */
typedef void details_sink(void *context, enum detail_colour colour, const char *text);

/* Returns false if there was no memory for a piece. */
bool details_tell(const struct tree_row *row, details_sink *sink, void *context);

/* Appends a duration with three significant digits and its unit: "12.3 ms". `micro` is the sign
   for a millionth. */
void details_append_duration(struct buffer *text, uint64_t ns, const char *micro);

/* Appends a number of bytes: "512 B", "1.2 kB". */
void details_append_bytes(struct buffer *text, uint64_t bytes);
