/*
 * One line of output: text goes in until the terminal's width is reached, what does not fit is cut
 * with a sign, and no line ends in blanks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum line_colour { LINE_PLAIN, LINE_BOLD, LINE_DIM, LINE_RED, LINE_GREEN, LINE_YELLOW, LINE_CYAN };

struct line {
    FILE *out;
    size_t width;
    bool colour;
    bool utf8;
    size_t used;   /* cells written */
    size_t blanks; /* cells owed: written before the next text */
};

/* Writes `text`, at most `room` cells of it; blanks at its end are skipped. */
void line_put(struct line *line, enum line_colour colour, const char *text, size_t room);

/* Leaves `cells` blank. */
void line_skip(struct line *line, size_t cells);

/* Goes on at cell `column`, if the line is not there yet. */
void line_go_to(struct line *line, size_t column);

/* Cells left. */
size_t line_room(const struct line *line);

/* Ends the line; the next one begins. */
void line_end(struct line *line);
