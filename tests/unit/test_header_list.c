#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker/transport/header_list.h"
#include "worker/transport/percent.h"

/* All lines of a list, joined by '|'; '!' stands for an entry that cannot be sent. */
static const char *lines_of(const char *text, bool lower)
{
    static char all[512];
    char line[256];
    struct slice list = slice_of(text, strlen(text));
    assert_true(HEADER_LINE_CAPACITY(list.size) <= sizeof(line));
    all[0] = '\0';
    enum header_result result;
    while ((result = header_list_next(&list, lower, line)) != HEADER_END) {
        size_t size = strlen(all);
        snprintf(all + size, sizeof(all) - size, "%s%s", size > 0 ? "|" : "",
                 result == HEADER_LINE ? line : "!");
    }
    return all;
}

static void entries_become_lines(void **state)
{
    (void)state;
    assert_string_equal(lines_of("", false), "");
    assert_string_equal(lines_of(" , ,,", false), "");
    assert_string_equal(lines_of("a=b", false), "a: b");
    assert_string_equal(lines_of("\t a = b ,, c=d=e; f ", false), "a: b|c: d=e; f");
    assert_string_equal(lines_of("Authorization=Bearer%20x%2Cy", false),
                        "Authorization: Bearer x,y");
    assert_string_equal(lines_of("empty=", false), "empty;");
    assert_string_equal(lines_of("X-Key=Value", true), "x-key: Value");
    assert_string_equal(lines_of("utf8=%C3%BC", false), "utf8: \xC3\xBC");
}

static void entries_that_cannot_be_sent(void **state)
{
    (void)state;
    assert_string_equal(lines_of("novalue,a=b", false), "!|a: b");
    assert_string_equal(lines_of("=b", false), "!");
    assert_string_equal(lines_of("bad name=b", false), "!");
    assert_string_equal(lines_of("name:=b", false), "!");
    assert_string_equal(lines_of("a=%", false), "!");
    assert_string_equal(lines_of("a=%4", false), "!");
    assert_string_equal(lines_of("a=%zz", false), "!");
    assert_string_equal(lines_of("a=b%0d%0aevil: c", false), "!");
    assert_string_equal(lines_of("a=%00", false), "!");
    assert_string_equal(lines_of("a=%7F", false), "!");
    assert_string_equal(lines_of("a=tab%09inside", false), "a: tab\tinside");
}

static void lines_fit_their_capacity(void **state)
{
    (void)state;
    /* The longest line for its entry has the longest value; the shortest entry is "a=". */
    static const char *const lists[] = {"a=", "a=b", "abc=defgh"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        size_t size = strlen(lists[i]);
        struct slice list = slice_of(lists[i], size);
        char line[32];
        memset(line, '#', sizeof(line));
        assert_int_equal(header_list_next(&list, false, line), HEADER_LINE);
        assert_true(strlen(line) + 1 <= HEADER_LINE_CAPACITY(size));
        assert_int_equal(line[HEADER_LINE_CAPACITY(size)], '#');
    }
}

static void percent_decoding(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *decoded;
        bool clean;
    } cases[] = {
        {"", "", true},
        {"plain+text", "plain+text", true},
        {"%41%7a%7A", "Azz", true},
        {"100%", "100%", false},
        {"%4", "%4", false},
        {"%G1%41", "%G1A", false},
        {"%%41", "%A", false},
        {"a%20b%2", "a b%2", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char into[32];
        bool clean;
        struct slice text = slice_of(cases[i].text, strlen(cases[i].text));
        size_t size = percent_decode(text, into, &clean);
        assert_int_equal(size, strlen(cases[i].decoded));
        assert_memory_equal(into, cases[i].decoded, size);
        assert_int_equal(clean, cases[i].clean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_become_lines),
        cmocka_unit_test(entries_that_cannot_be_sent),
        cmocka_unit_test(lines_fit_their_capacity),
        cmocka_unit_test(percent_decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
