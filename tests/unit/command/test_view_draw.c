/*
 * The drawings of tests/golden/view: NAME.json, drawn in every style, must be NAME.STYLE.txt.
 *
 *   test_view_draw FOLDER            compares
 *   test_view_draw FOLDER --update   writes the drawings, for reading before they are committed
 */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/limits.h"
#include "command/view/cells.h"
#include "command/view/draw.h"
#include "view_case.h"

static const char *const cases[] = {"request", "services", "orphans", "joined",
                                    "hostile", "deep",     "times",   "losses"};

struct style_case {
    const char *name;
    struct draw_style style;
};

static const struct style_case styles[] = {
    {"wide", {.width = 130, .utf8 = true}},
    {"ascii", {.width = 80}},
    {"narrow", {.width = 48, .utf8 = true}},
    {"colour", {.width = 100, .utf8 = true, .colour = true}},
    {"all", {.width = 100, .utf8 = true, .all = true}},
};

static const char *folder;
static bool updates;

/* The first spans of all traces as a list, as if each were all of its trace. */
static void draw_first_spans(const struct draw_style *style, const struct store *store)
{
    const struct store_trace *traces[8];
    size_t count = 0;
    for (struct store_trace *trace = store_quietest(store); trace != NULL && count < 8;
         trace = trace->livelier) {
        traces[count++] = trace;
    }
    struct tree *list = tree_create_list(traces, count);
    draw_tree(style, list);
    tree_destroy(list);
}

static char *draw_case(const char *name, struct draw_style style)
{
    const struct store_limits limits = {LIMIT_VIEW_SPANS, LIMIT_VIEW_BYTES};
    struct store *store = store_create(limits, 7);
    char *text = NULL;
    size_t size = 0;
    style.out = open_memstream(&text, &size);
    view_case_add(store, folder, name);
    struct tree *tree = NULL;
    for (struct store_trace *trace = store_quietest(store); trace != NULL;
         trace = trace->livelier) {
        if (tree == NULL || !tree_contains_trace(tree, trace)) {
            tree_destroy(tree);
            tree = tree_create(store, trace);
            draw_tree(&style, tree);
        }
    }
    tree_destroy(tree);
    if (store_quietest(store)->livelier != NULL) {
        draw_first_spans(&style, store);
    }
    draw_services(&style, store);
    draw_losses(&style, store);
    store_destroy(store);
    fclose(style.out);
    return text;
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t capacity = 0;
    if (file == NULL || getdelim(&text, &capacity, '\0', file) < 0) {
        fail_msg("cannot read %s", path);
    }
    fclose(file);
    return text;
}

static void drawings_are_as_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < sizeof(styles) / sizeof(styles[0]); j++) {
            char path[1024];
            snprintf(path, sizeof(path), "%s/%s.%s.txt", folder, cases[i], styles[j].name);
            char *text = draw_case(cases[i], styles[j].style);
            if (updates) {
                FILE *file = fopen(path, "w");
                assert_non_null(file);
                fputs(text, file);
                fclose(file);
            } else {
                char *expected = read_text(path);
                if (strcmp(text, expected) != 0) {
                    print_error("%s is otherwise:\n%s\n", path, text);
                }
                assert_string_equal(text, expected);
                free(expected);
            }
            free(text);
        }
    }
}

static void no_line_is_wider_than_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t width = 1; width < 160; width++) {
            struct draw_style style = {.width = width, .utf8 = true, .all = width % 2 == 0};
            char *text = draw_case(cases[i], style);
            char *place = NULL;
            for (char *line = strtok_r(text, "\n", &place); line != NULL;
                 line = strtok_r(NULL, "\n", &place)) {
                assert_in_range(cells_measure(line, true), 0, width);
                /* Narrower, a line may end within its guides. */
                assert_true(width < 70 || line[strlen(line) - 1] != ' ');
            }
            free(text);
        }
    }
}

static void ascii_is_ascii(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct draw_style style = {.width = 120, .all = true};
        char *text = draw_case(cases[i], style);
        for (const char *at = text; *at != '\0'; at++) {
            assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
        }
        free(text);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawings_are_as_kept),
        cmocka_unit_test(no_line_is_wider_than_asked),
        cmocka_unit_test(ascii_is_ascii),
    };
    if (argc < 2 || setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
        return 2;
    }
    setenv("TZ", "UTC", 1);
    tzset();
    folder = argv[1];
    updates = argc > 2 && strcmp(argv[2], "--update") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
