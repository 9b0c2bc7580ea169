#include "command/view/line.h"

#include <string.h>

#include "command/view/cells.h"

static const char *const colour_codes[] = {
    [LINE_PLAIN] = "",        [LINE_BOLD] = "\033[1m",   [LINE_DIM] = "\033[2m",
    [LINE_RED] = "\033[31m",  [LINE_GREEN] = "\033[32m", [LINE_YELLOW] = "\033[33m",
    [LINE_CYAN] = "\033[36m",
};

size_t line_room(const struct line *line)
{
    size_t used = line->used + line->blanks;
    return used < line->width ? line->width - used : 0;
}

void line_put(struct line *line, enum line_colour colour, const char *text, size_t room)
{
    size_t left = line_room(line);
    room = room < left ? room : left;
    /* Blanks at the end are owed like any others, so that none ends a line. */
    size_t size = strlen(text);
    size_t trimmed = size;
    while (trimmed > 0 && text[trimmed - 1] == ' ') {
        trimmed--;
    }
    if (room == 0 || trimmed == 0) {
        line_skip(line, size < room ? size : room);
        return;
    }
    for (; line->blanks > 0; line->blanks--) {
        fputc(' ', line->out);
        line->used++;
    }
    bool is_coloured = line->colour && colour != LINE_PLAIN;
    if (is_coloured) {
        fputs(colour_codes[colour], line->out);
    }
    size_t cells = cells_write(line->out, text, trimmed, room, line->utf8);
    if (is_coloured) {
        fputs("\033[0m", line->out);
    }
    line->used += cells;
    line_skip(line, size - trimmed);
}

void line_skip(struct line *line, size_t cells)
{
    line->blanks += cells;
}

void line_go_to(struct line *line, size_t column)
{
    if (line->used + line->blanks < column) {
        line->blanks = column - line->used;
    }
}

void line_end(struct line *line)
{
    fputc('\n', line->out);
    line->used = 0;
    line->blanks = 0;
}
