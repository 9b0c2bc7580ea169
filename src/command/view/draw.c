#include "command/view/draw.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "command/view/cells.h"
#include "command/view/details.h"
#include "command/view/line.h"

#define SERVICE_MAX   20u
#define DURATION_WIDE 8u
#define GAP           2u

struct signs {
    const char *guide_through; /* a sibling of an ancestor follows */
    const char *guide_none;
    const char *guide_child;
    const char *guide_last;
    const char *guide_deep; /* deeper than is indented */
    const char *kinds[6];
    const char *error;
    const char *orphan;
    const char *joined;
    const char *bar_edge;
    const char *bar_full;
    const char *bar_left; /* the left half of a cell */
    const char *bar_right;
    const char *micro;
    const char *between;
};

static const struct signs utf8_signs = {
    .guide_through = "│  ",
    .guide_none = "   ",
    .guide_child = "├─ ",
    .guide_last = "└─ ",
    .guide_deep = "└┄ ",
    .kinds = {"·", "·", "◀", "▶", "▲", "▼"},
    .error = "✗",
    .orphan = "⋯ ",
    .joined = "⇄ ",
    .bar_edge = "│",
    .bar_full = "━",
    .bar_left = "╸",
    .bar_right = "╺",
    .micro = "µs",
    .between = " · ",
};

static const struct signs ascii_signs = {
    .guide_through = "|  ",
    .guide_none = "   ",
    .guide_child = "|- ",
    .guide_last = "`- ",
    .guide_deep = "`. ",
    .kinds = {".", ".", "<", ">", "^", "v"},
    .error = "!",
    .orphan = "~ ",
    .joined = "= ",
    .bar_edge = "|",
    .bar_full = "=",
    .bar_left = "-",
    .bar_right = "-",
    .micro = "us",
    .between = ", ",
};

/* Where each column of one tree begins and how wide it is. */
struct columns {
    const struct signs *signs;
    bool is_list;
    uint32_t depth; /* levels that are indented: a name must keep some room */
    size_t name_width;
    size_t service; /* width 0: all spans are of one service */
    size_t service_width;
    size_t duration;
    size_t bar; /* width 0: no room */
    size_t bar_width;
    size_t details;
};

static struct line begin_line(const struct draw_style *style)
{
    return (struct line){
        .out = style->out, .width = style->width, .colour = style->colour, .utf8 = style->utf8};
}

static const struct signs *signs_of(const struct draw_style *style)
{
    return style->utf8 ? &utf8_signs : &ascii_signs;
}

/* ---- layout ---- */

static uint32_t shown_depth(const struct columns *columns, const struct tree_row *row)
{
    return row->depth < columns->depth ? row->depth : columns->depth;
}

static bool has_sign(const struct tree_row *row)
{
    return row->place == TREE_ORPHAN || row->place == TREE_JOINED || row->place == TREE_CYCLE;
}

static size_t name_cells(const struct columns *columns, const struct tree_row *row, bool utf8)
{
    return shown_depth(columns, row) * 3 + (has_sign(row) ? 2 : 0) + 2 +
           cells_measure(row->span->name, utf8);
}

static bool is_one_service(const struct tree *tree)
{
    for (size_t i = 1; i < tree->row_count; i++) {
        if (strcmp(tree->rows[i].span->service, tree->rows[0].span->service) != 0) {
            return false;
        }
    }
    return true;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct columns measure(const struct draw_style *style, const struct tree *tree)
{
    struct columns columns = {.signs = signs_of(style), .is_list = tree->trace_count == 0};
    size_t name_limit = larger(style->width * 2 / 5, smaller(24, style->width));
    columns.depth =
        name_limit < 15 ? 1 : (uint32_t)smaller((name_limit - 12) / 3, LIMIT_VIEW_DEPTH);
    bool shows_services = !is_one_service(tree) && style->width >= 60;
    for (size_t i = 0; i < tree->row_count; i++) {
        const struct tree_row *row = &tree->rows[i];
        columns.name_width = larger(columns.name_width, name_cells(&columns, row, style->utf8));
        if (shows_services) {
            columns.service_width =
                larger(columns.service_width, cells_measure(row->span->service, style->utf8));
        }
    }
    columns.service_width = smaller(columns.service_width, SERVICE_MAX);
    columns.name_width = smaller(columns.name_width, name_limit);
    columns.bar_width = style->width >= 110 ? 24 : style->width >= 76 ? 12 : 0;
    columns.service = 2 + columns.name_width + GAP;
    columns.duration =
        columns.service + (columns.service_width > 0 ? columns.service_width + GAP : 0);
    columns.bar = columns.duration + DURATION_WIDE + 1;
    columns.details = columns.bar + (columns.bar_width > 0 ? columns.bar_width + 2 : 0) + 1;
    return columns;
}

/* ---- the line about the whole ---- */

static void put_count(struct line *line, const char *between, enum line_colour colour, size_t count,
                      const char *one, const char *many)
{
    char text[64];
    snprintf(text, sizeof(text), "%zu %s", count, count == 1 ? one : many);
    line_put(line, LINE_DIM, between, SIZE_MAX);
    line_put(line, colour, text, SIZE_MAX);
}

static void put_duration(struct line *line, const char *between, uint64_t ns, const char *micro)
{
    struct buffer text = {0};
    details_append_duration(&text, ns, micro);
    buffer_append(&text, "", 1);
    if (!text.failed) {
        line_put(line, LINE_DIM, between, SIZE_MAX);
        line_put(line, LINE_PLAIN, text.bytes, SIZE_MAX);
    }
    buffer_finish(&text);
}

static void put_time(struct line *line, const char *between, uint64_t ns)
{
    char day[32];
    char text[48];
    struct tm broken_down;
    time_t seconds = (time_t)(ns / 1000000000);
    if (localtime_r(&seconds, &broken_down) == NULL ||
        strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &broken_down) == 0) {
        return;
    }
    snprintf(text, sizeof(text), "%s.%03u", day, (unsigned)(ns / 1000000 % 1000));
    line_put(line, LINE_DIM, between, SIZE_MAX);
    line_put(line, LINE_PLAIN, text, SIZE_MAX);
}

static void put_trace_id(struct line *line, const struct tree *tree)
{
    struct buffer id = {0};
    buffer_append_text(&id, "trace ");
    for (size_t i = 0; i < 16; i++) {
        buffer_print(&id, "%02x", tree->traces[0]->trace_id[i]);
    }
    buffer_append(&id, "", 1);
    line_put(line, LINE_BOLD, id.failed ? "" : id.bytes, SIZE_MAX);
    buffer_finish(&id);
}

static void draw_head(const struct draw_style *style, const struct tree *tree,
                      const struct signs *signs)
{
    struct line line = begin_line(style);
    bool is_list = tree->trace_count == 0;
    if (is_list) {
        put_count(&line, "", LINE_BOLD, tree->row_count, "span by itself", "spans by themselves");
    } else {
        put_trace_id(&line, tree);
    }
    line_skip(&line, GAP);
    if (tree->row_count > 0 && is_one_service(tree)) {
        line_put(&line, LINE_CYAN, tree->rows[0].span->service, SERVICE_MAX);
        line_skip(&line, GAP);
    }
    if (tree->trace_count > 1) {
        put_count(&line, "with ", LINE_PLAIN, tree->trace_count - 1, "joined", "joined");
        line_put(&line, LINE_DIM, signs->between, SIZE_MAX);
    }
    if (is_list) {
        line_put(&line, LINE_PLAIN, "each a trace", SIZE_MAX);
    } else {
        put_count(&line, "", LINE_PLAIN, tree->row_count, "span", "spans");
    }
    if (tree->error_count > 0) {
        put_count(&line, signs->between, LINE_RED, tree->error_count, "error", "errors");
    }
    put_duration(&line, signs->between, tree->end_ns - tree->start_ns, signs->micro);
    put_time(&line, signs->between, tree->start_ns);
    line_end(&line);
}

/* ---- a span ---- */

/* Whether more siblings follow on each level, for the guides of the rows below. */
struct guides {
    bool continues[LIMIT_VIEW_DEPTH + 1];
};

/* Keeps the levels in step with `row`, whose own level is the last one. */
static void follow_guides(struct guides *guides, const struct columns *columns,
                          const struct tree_row *row)
{
    guides->continues[shown_depth(columns, row)] = !row->is_last && row->depth > 0;
}

static void put_guides(struct line *line, const struct columns *columns,
                       const struct guides *guides, const struct tree_row *row)
{
    const struct signs *signs = columns->signs;
    uint32_t depth = shown_depth(columns, row);
    for (uint32_t level = 1; level < depth; level++) {
        line_put(line, LINE_DIM,
                 guides->continues[level] ? signs->guide_through : signs->guide_none, SIZE_MAX);
    }
    if (row->depth > depth) {
        line_put(line, LINE_DIM, signs->guide_deep, SIZE_MAX);
    } else if (depth > 0) {
        line_put(line, LINE_DIM, row->is_last ? signs->guide_last : signs->guide_child, SIZE_MAX);
    }
}

static void put_name(struct line *line, const struct columns *columns, const struct guides *guides,
                     const struct tree_row *row)
{
    const struct signs *signs = columns->signs;
    const struct store_span *span = row->span;
    put_guides(line, columns, guides, row);
    if (has_sign(row)) {
        line_put(line, LINE_YELLOW, row->place == TREE_JOINED ? signs->joined : signs->orphan,
                 SIZE_MAX);
    }
    line_put(line, LINE_DIM, signs->kinds[span->kind], 1);
    line_skip(line, 1);
    size_t end = 2 + columns->name_width;
    size_t at = line->used + line->blanks;
    enum line_colour colour = row->depth == 0 && !columns->is_list ? LINE_BOLD : LINE_PLAIN;
    line_put(line, span->is_error ? LINE_RED : colour, span->name, at < end ? end - at : 1);
}

static void put_right(struct line *line, size_t column, size_t width, const char *text)
{
    size_t cells = cells_measure(text, line->utf8);
    line_go_to(line, column + (cells < width ? width - cells : 0));
    line_put(line, LINE_PLAIN, text, SIZE_MAX);
}

static void put_span_duration(struct line *line, const struct columns *columns,
                              const struct store_span *span)
{
    struct buffer text = {0};
    details_append_duration(&text, span->end_ns - span->start_ns, columns->signs->micro);
    buffer_append(&text, "", 1);
    if (!text.failed) {
        put_right(line, columns->duration, DURATION_WIDE, text.bytes);
    }
    buffer_finish(&text);
}

/* `part` of `whole` in half cells of `cells`. */
static size_t half_cells(uint64_t part, uint64_t whole, size_t cells)
{
    return whole == 0 ? 0 : (size_t)((double)part / (double)whole * (double)cells * 2.0);
}

static void put_bar(struct line *line, const struct columns *columns, const struct tree *tree,
                    const struct store_span *span)
{
    const struct signs *signs = columns->signs;
    uint64_t whole = tree->end_ns - tree->start_ns;
    size_t halves = columns->bar_width * 2;
    size_t begin = half_cells(span->start_ns - tree->start_ns, whole, columns->bar_width);
    size_t end = half_cells(span->end_ns - tree->start_ns, whole, columns->bar_width);
    begin = smaller(begin, halves - 1);
    end = smaller(larger(end, begin + 1), halves);
    struct buffer bar = {0};
    for (size_t half = begin & ~(size_t)1; half < end; half += 2) {
        bool left = half >= begin;
        bool right = half + 1 < end;
        buffer_append_text(&bar, left && right ? signs->bar_full
                                 : left        ? signs->bar_left
                                               : signs->bar_right);
    }
    buffer_append(&bar, "", 1);
    line_put(line, LINE_DIM, signs->bar_edge, SIZE_MAX);
    line_skip(line, begin / 2);
    line_put(line, span->is_error ? LINE_RED : LINE_GREEN, bar.failed ? "" : bar.bytes, SIZE_MAX);
    buffer_finish(&bar);
    line_go_to(line, columns->bar + 1 + columns->bar_width);
    line_put(line, LINE_DIM, signs->bar_edge, SIZE_MAX);
}

struct detail_place {
    struct line *line;
    bool is_first;
};

static void put_detail(void *context, enum detail_colour colour, const char *text)
{
    static const enum line_colour colours[] = {
        [DETAIL_PLAIN] = LINE_PLAIN, [DETAIL_ERROR] = LINE_RED, [DETAIL_NOTE] = LINE_YELLOW};
    struct detail_place *place = context;
    line_skip(place->line, place->is_first ? 0 : GAP);
    place->is_first = false;
    line_put(place->line, colours[colour], text, SIZE_MAX);
}

static void draw_row(const struct draw_style *style, const struct columns *columns,
                     const struct guides *guides, const struct tree *tree,
                     const struct tree_row *row)
{
    struct line line = begin_line(style);
    const struct signs *signs = columns->signs;
    line_put(&line, LINE_RED, row->span->is_error ? signs->error : "", 1);
    line_go_to(&line, 2);
    put_name(&line, columns, guides, row);
    if (columns->service_width > 0) {
        line_go_to(&line, columns->service);
        line_put(&line, LINE_CYAN, row->span->service, columns->service_width);
    }
    put_span_duration(&line, columns, row->span);
    if (columns->bar_width > 0) {
        line_go_to(&line, columns->bar);
        put_bar(&line, columns, tree, row->span);
    }
    line_go_to(&line, columns->details);
    struct detail_place place = {&line, true};
    details_tell(row, put_detail, &place);
    line_end(&line);
}

/* ---- every attribute ---- */

static void draw_pair(const struct draw_style *style, size_t indent, const char *key,
                      const char *value)
{
    struct line line = begin_line(style);
    line_skip(&line, indent);
    line_put(&line, LINE_CYAN, key, SIZE_MAX);
    line_skip(&line, 1);
    line_put(&line, LINE_PLAIN, value, SIZE_MAX);
    line_end(&line);
}

static void draw_all(const struct draw_style *style, const struct columns *columns,
                     const struct tree_row *row)
{
    const struct signs *signs = columns->signs;
    const struct store_span *span = row->span;
    size_t indent = 2 + shown_depth(columns, row) * 3 + 2;
    struct buffer text = {0};
    for (size_t i = 0; columns->is_list && i < sizeof(span->trace_id); i++) {
        buffer_print(&text, "%02x", span->trace_id[i]);
    }
    buffer_append_text(&text, columns->is_list ? "/" : "");
    for (size_t i = 0; i < sizeof(span->span_id); i++) {
        buffer_print(&text, "%02x", span->span_id[i]);
    }
    buffer_append(&text, "", 1);
    draw_pair(style, indent, "span", text.failed ? "" : text.bytes);
    for (size_t i = 0; i < span->attribute_count; i++) {
        draw_pair(style, indent, span->attributes[i].key, span->attributes[i].value);
    }
    for (size_t i = 0; i < span->event_count; i++) {
        const struct store_event *event = &span->events[i];
        text.used = 0;
        buffer_append_text(&text, event->time_ns < span->start_ns ? "-" : "+");
        details_append_duration(&text,
                                event->time_ns < span->start_ns ? span->start_ns - event->time_ns
                                                                : event->time_ns - span->start_ns,
                                signs->micro);
        buffer_append_text(&text, " ");
        buffer_append_text(&text, event->name);
        buffer_append_text(&text, " ");
        buffer_append_text(&text, event->attributes);
        buffer_append(&text, "", 1);
        draw_pair(style, indent, "event", text.failed ? "" : text.bytes);
    }
    for (size_t i = 0; i < span->link_count; i++) {
        text.used = 0;
        for (size_t j = 0; j < 16; j++) {
            buffer_print(&text, "%02x", span->links[i].trace_id[j]);
        }
        buffer_append_text(&text, "/");
        for (size_t j = 0; j < 8; j++) {
            buffer_print(&text, "%02x", span->links[i].span_id[j]);
        }
        buffer_append(&text, "", 1);
        draw_pair(style, indent, "link", text.failed ? "" : text.bytes);
    }
    buffer_finish(&text);
}

void draw_tree(const struct draw_style *style, const struct tree *tree)
{
    struct columns columns = measure(style, tree);
    struct guides guides = {{false}};
    draw_head(style, tree, columns.signs);
    for (size_t i = 0; i < tree->row_count; i++) {
        follow_guides(&guides, &columns, &tree->rows[i]);
        draw_row(style, &columns, &guides, tree, &tree->rows[i]);
        if (style->all) {
            draw_all(style, &columns, &tree->rows[i]);
        }
    }
}

/* ---- totals ---- */

void draw_services(const struct draw_style *style, const struct store *store)
{
    size_t count = 0;
    const struct store_service *services = store_services(store, &count);
    if (count == 0) {
        return;
    }
    size_t width = sizeof("service") - 1;
    for (size_t i = 0; i < count; i++) {
        width = larger(width, cells_measure(services[i].name, style->utf8));
    }
    width = smaller(width, style->width / 2);
    struct line line = begin_line(style);
    line_put(&line, LINE_BOLD, "service", width);
    put_right(&line, width, 10, "spans");
    put_right(&line, width + 10, 10, "errors");
    put_right(&line, width + 20, 11, "longest");
    line_end(&line);
    for (size_t i = 0; i < count; i++) {
        char number[24];
        struct buffer longest = {0};
        details_append_duration(&longest, services[i].longest_ns, signs_of(style)->micro);
        buffer_append(&longest, "", 1);
        line_put(&line, LINE_CYAN, services[i].name, width);
        snprintf(number, sizeof(number), "%" PRIu64, services[i].span_count);
        put_right(&line, width, 10, number);
        snprintf(number, sizeof(number), "%" PRIu64, services[i].error_count);
        put_right(&line, width + 10, 10, number);
        put_right(&line, width + 20, 11, longest.failed ? "" : longest.bytes);
        line_end(&line);
        buffer_finish(&longest);
    }
}

static void draw_loss(const struct draw_style *style, const char *who, const char *reason,
                      uint64_t count)
{
    struct line line = begin_line(style);
    char number[24];
    snprintf(number, sizeof(number), "%" PRIu64, count);
    line_put(&line, LINE_YELLOW, "lost ", SIZE_MAX);
    line_put(&line, LINE_YELLOW, number, SIZE_MAX);
    line_skip(&line, GAP);
    line_put(&line, LINE_PLAIN, reason, SIZE_MAX);
    line_skip(&line, GAP);
    line_put(&line, LINE_CYAN, who, SIZE_MAX);
    line_end(&line);
}

void draw_losses(const struct draw_style *style, const struct store *store)
{
    size_t count = 0;
    const struct store_loss *losses = store_losses(store, &count);
    for (size_t i = 0; i < count; i++) {
        draw_loss(style, losses[i].service, losses[i].reason, losses[i].count);
    }
    struct store_totals totals = store_totals(store);
    if (totals.dropped_spans > 0) {
        draw_loss(style, "wirespan view", "spans, for want of room", totals.dropped_spans);
    }
    if (totals.invalid > 0) {
        draw_loss(style, "wirespan view", "spans without a valid id", totals.invalid);
    }
}
