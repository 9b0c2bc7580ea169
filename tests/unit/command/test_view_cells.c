/* Text as the terminal gets it, and numbers as text. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "command/view/cells.h"
#include "command/view/details.h"
#include "command/view/line.h"

static void assert_written(const char *text, size_t room, bool utf8, const char *expected,
                           size_t expected_cells)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    size_t cells = cells_write(file, text, strlen(text), room, utf8);
    fclose(file);
    assert_string_equal(out, expected);
    assert_int_equal(cells, expected_cells);
    free(out);
}

static void what_fits_is_written_whole(void **state)
{
    (void)state;
    assert_written("name", 4, true, "name", 4);
    assert_written("name", 4, false, "name", 4);
    assert_written("größe", 5, true, "größe", 5);
    assert_written("", 0, true, "", 0);
}

static void what_does_not_is_cut_with_a_sign(void **state)
{
    (void)state;
    assert_written("name", 3, true, "na…", 3);
    assert_written("name", 3, false, "na~", 3);
    assert_written("name", 1, true, "…", 1);
    assert_written("name", 0, true, "", 0);
}

static void wide_characters_take_two_cells(void **state)
{
    (void)state;
    assert_int_equal(cells_measure("画像", true), 4);
    assert_written("画像", 4, true, "画像", 4);
    /* One cell is left over: half a character is none. */
    assert_written("画像生", 4, true, "画…", 3);
    assert_int_equal(cells_measure("e\u0301", true), 1);
}

static void what_would_move_the_cursor_is_not_written(void **state)
{
    (void)state;
    assert_written("a\033[2Jb", 20, true, "a?[2Jb", 6);
    assert_written("a\tb\nc\rd", 20, true, "a b c d", 7);
    assert_written("a\xC2\x9B"
                   "b\u202ec\u2066d",
                   20, true, "a?b?c?d", 7);
    assert_written("a\x7f\x01", 20, true, "a??", 3);
}

static void what_is_not_utf8_is_not_written(void **state)
{
    (void)state;
    assert_written("a\xFF"
                   "b\xC0\x80",
                   20, true, "a?b??", 5);
    assert_written("\xE2\x82", 20, true, "??", 2);           /* cut off */
    assert_written("\xED\xA0\x80", 20, true, "???", 3);      /* a surrogate */
    assert_written("\xF4\x90\x80\x80", 20, true, "????", 4); /* beyond Unicode */
    assert_written("größe", 20, false, "gr??e", 5);          /* one for each character */
}

static void blanks_at_the_end_of_a_line_are_left_out(void **state)
{
    (void)state;
    char *out = NULL;
    size_t size = 0;
    struct line line = {.out = open_memstream(&out, &size), .width = 10, .utf8 = true};
    line_put(&line, LINE_PLAIN, "a ", SIZE_MAX);
    line_skip(&line, 2);
    line_end(&line);
    line_put(&line, LINE_PLAIN, "a ", SIZE_MAX);
    line_go_to(&line, 5);
    line_put(&line, LINE_RED, "bcdefgh", SIZE_MAX);
    line_end(&line);
    fclose(line.out);
    assert_string_equal(out, "a\na    bcde…\n");
    free(out);
}

static void assert_duration(uint64_t ns, const char *expected)
{
    struct buffer text = {0};
    details_append_duration(&text, ns, "us");
    buffer_append(&text, "", 1);
    assert_string_equal(text.bytes, expected);
    buffer_finish(&text);
}

static void durations_have_three_digits(void **state)
{
    (void)state;
    assert_duration(0, "0 ns");
    assert_duration(999, "999 ns");
    assert_duration(1000, "1.00 us");
    assert_duration(9999, "9.99 us");
    assert_duration(10000, "10.0 us");
    assert_duration(99999, "99.9 us");
    assert_duration(999999, "999 us");
    assert_duration(1000000, "1.00 ms");
    assert_duration(999999999, "999 ms");
    assert_duration(1000000000, "1.00 s");
    assert_duration(59999999999, "59.9 s");
    assert_duration(60000000000, "1 m 00 s");
    assert_duration(3599999999999, "59 m 59 s");
    assert_duration(3600000000000, "1 h 00 m");
    assert_duration(UINT64_MAX, "5124095 h 34 m");
}

static void assert_bytes(uint64_t bytes, const char *expected)
{
    struct buffer text = {0};
    details_append_bytes(&text, bytes);
    buffer_append(&text, "", 1);
    assert_string_equal(text.bytes, expected);
    buffer_finish(&text);
}

static void bytes_have_three_digits(void **state)
{
    (void)state;
    assert_bytes(0, "0 B");
    assert_bytes(999, "999 B");
    assert_bytes(1000, "1.00 kB");
    assert_bytes(1234567, "1.23 MB");
    assert_bytes(UINT64_MAX, "18446744073 GB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_written_whole),
        cmocka_unit_test(what_does_not_is_cut_with_a_sign),
        cmocka_unit_test(wide_characters_take_two_cells),
        cmocka_unit_test(what_would_move_the_cursor_is_not_written),
        cmocka_unit_test(what_is_not_utf8_is_not_written),
        cmocka_unit_test(blanks_at_the_end_of_a_line_are_left_out),
        cmocka_unit_test(durations_have_three_digits),
        cmocka_unit_test(bytes_have_three_digits),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
