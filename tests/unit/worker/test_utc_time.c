#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "worker/utc_time.h"

static void compare(uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    assert_non_null(gmtime_r(&seconds, &parts));
    char expected[64];
    snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
             parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
             parts.tm_sec, (unsigned)(unix_ms % 1000));
    char text[UTC_TIME_BYTES];
    assert_int_equal(utc_time_format(unix_ms, text), 24);
    assert_string_equal(text, expected);
}

static void test_every_day_is_the_c_librarys(void **unused)
{
    (void)unused;
    const uint64_t day = 86400000;
    for (uint64_t number = 0; number < 2932897; number += number < 100000 ? 1 : 97) {
        compare(number * day);
        compare(number * day + day - 1);
    }
}

static void test_what_lies_beyond_is_the_last_moment(void **unused)
{
    (void)unused;
    char text[UTC_TIME_BYTES];
    assert_int_equal(utc_time_format(UINT64_MAX, text), 24);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day_is_the_c_librarys),
        cmocka_unit_test(test_what_lies_beyond_is_the_last_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
