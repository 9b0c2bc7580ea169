#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "worker/transport/retry_after.h"

#define NOW 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example */

static uint32_t wait_for(const char *value, int64_t now_s)
{
    return retry_after_ms(slice_of(value, strlen(value)), now_s);
}

static void seconds(void **state)
{
    (void)state;
    assert_int_equal(wait_for("0", NOW), 0);
    assert_int_equal(wait_for("1", NOW), 1000);
    assert_int_equal(wait_for("299", NOW), 299000);
    assert_int_equal(wait_for("300", NOW), LIMIT_RETRY_AFTER_MS);
    assert_int_equal(wait_for("301", NOW), LIMIT_RETRY_AFTER_MS);
    assert_int_equal(wait_for("99999999999999999999999999999", NOW), LIMIT_RETRY_AFTER_MS);
    assert_int_equal(wait_for("0000000000000000000000002", NOW), 2000);
}

static void dates(void **state)
{
    (void)state;
    assert_int_equal(wait_for("Sun, 06 Nov 1994 08:49:37 GMT", NOW), 0);
    assert_int_equal(wait_for("Sun, 06 Nov 1994 08:49:38 GMT", NOW), 1000);
    assert_int_equal(wait_for("Sun, 06 Nov 1994 08:49:36 GMT", NOW), 0);
    assert_int_equal(wait_for("Sun, 06 Nov 1994 08:54:36 GMT", NOW), 299000);
    assert_int_equal(wait_for("Sun, 06 Nov 1995 08:49:37 GMT", NOW), LIMIT_RETRY_AFTER_MS);
    assert_int_equal(wait_for("Thu, 29 Feb 2024 00:00:10 GMT", 1709164800), 10000);
    assert_int_equal(wait_for("Fri, 01 Mar 2024 00:00:05 GMT", 1709251200), 5000);
    assert_int_equal(wait_for("Thu, 01 Jan 1970 00:00:07 GMT", 0), 7000);
}

static void what_says_nothing(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",
        "soon",
        "-5",
        "1.5",
        "5 ",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Now 2094 08:49:37 GMT",
        "Sun, 06 Nov 2094 08:49:37 CET",
        "Sun, 00 Nov 2094 08:49:37 GMT",
        "Sun, 06 Nov 2094 24:49:37 GMT",
        "Sun, 06 Nov 20x4 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_equal(wait_for(values[i], NOW), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds),
        cmocka_unit_test(dates),
        cmocka_unit_test(what_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
