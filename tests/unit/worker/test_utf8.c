#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/utf8.h"

static const struct {
    const char *text;
    size_t size;
    size_t valid;
    const char *repaired;
} cases[] = {
    {"", 0, 0, ""},
    {"plain ascii, longer than eight", 30, 30, "plain ascii, longer than eight"},
    {"\xc3\xa4", 2, 2, "\xc3\xa4"},
    {"\xe2\x82\xac!", 4, 4, "\xe2\x82\xac!"},
    {"\xf0\x9f\x98\x80", 4, 4, "\xf0\x9f\x98\x80"},
    {"\xf4\x8f\xbf\xbf", 4, 4, "\xf4\x8f\xbf\xbf"},
    /* a NUL, alone and inside a run of eight */
    {"\0", 1, 0, "\xef\xbf\xbd"},
    {"abc\0defgh", 9, 3,
     "abc\xef\xbf\xbd"
     "defgh"},
    /* a byte that begins nothing; a stray continuation */
    {"a\xff"
     "b",
     3, 1,
     "a\xef\xbf\xbd"
     "b"},
    {"\x80", 1, 0, "\xef\xbf\xbd"},
    /* overlong, surrogate, beyond the last code point */
    {"\xc0\x80", 2, 0, "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xe0\x9f\xbf", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf0\x8f\xbf\xbf", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf4\x90\x80\x80", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    /* cut short at the end */
    {"ok\xe2\x82", 4, 2, "ok\xef\xbf\xbd\xef\xbf\xbd"},
    {"12345678\xf0\x9f\x98", 11, 8, "12345678\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
};

static void validity_and_repair(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice text = slice_of(cases[i].text, cases[i].size);
        assert_int_equal(utf8_valid_prefix(text), cases[i].valid);
        uint8_t out[64];
        bool cut = true;
        size_t used = utf8_repair(text, out, sizeof(out), &cut);
        assert_false(cut);
        assert_int_equal(used, strlen(cases[i].repaired));
        assert_memory_equal(out, cases[i].repaired, used);
        assert_int_equal(utf8_valid_prefix(slice_of(out, used)), used);
    }
}

static void repair_stops_at_whole_characters(void **state)
{
    (void)state;
    uint8_t out[4];
    bool cut;
    assert_int_equal(utf8_repair(SLICE("ab\xe2\x82\xac"), out, 4, &cut), 2);
    assert_true(cut);
    assert_int_equal(utf8_repair(SLICE("a\xe2\x82\xac"), out, 4, &cut), 4);
    assert_false(cut);
    assert_int_equal(utf8_repair(SLICE("ab\xff"), out, 4, &cut), 2);
    assert_true(cut);
}

static void characters_are_counted_not_bytes(void **state)
{
    (void)state;
    struct slice text = SLICE("a\xc3\xa4\xe2\x82\xac"
                              "b");
    assert_int_equal(utf8_prefix_of_characters(text, 0), 0);
    assert_int_equal(utf8_prefix_of_characters(text, 1), 1);
    assert_int_equal(utf8_prefix_of_characters(text, 2), 3);
    assert_int_equal(utf8_prefix_of_characters(text, 3), 6);
    assert_int_equal(utf8_prefix_of_characters(text, 4), 7);
    assert_int_equal(utf8_prefix_of_characters(text, UINT32_MAX), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validity_and_repair),
        cmocka_unit_test(repair_stops_at_whole_characters),
        cmocka_unit_test(characters_are_counted_not_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
