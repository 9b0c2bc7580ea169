/* Trees and totals as lines of text for a terminal. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "command/view/store.h"
#include "command/view/tree.h"

struct draw_style {
    FILE *out;
    size_t width; /* cells of a line */
    bool colour;
    bool utf8; /* else ASCII alone */
    bool all;  /* every attribute, event and link below its span */
};

/* One tree, or a list of spans: a line about the whole, then a line for each span. */
void draw_tree(const struct draw_style *style, const struct tree *tree);

/* A table of what each service sent. */
void draw_services(const struct draw_style *style, const struct store *store);

/* What exporters reported as lost, and what was dropped or refused here; nothing if there is none.
 */
void draw_losses(const struct draw_style *style, const struct store *store);
