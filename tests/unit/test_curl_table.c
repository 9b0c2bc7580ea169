#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/transport/curl_table.h"

static void libcurl_is_found(void **state)
{
    (void)state;
    struct curl_table table = {0};
    char why[256] = "";
    assert_true(curl_table_load(&table, curl_table_names, why, sizeof(why)));
    assert_string_equal(why, "");
    assert_non_null(table.version_info(CURLVERSION_NOW)->version);
    /* Again, as the next exporter of the process would. */
    assert_true(curl_table_load(&table, curl_table_names, why, sizeof(why)));
}

static void its_other_builds_are_found(void **state)
{
    (void)state;
    struct curl_table table;
    char why[256];
    const char *const names[] = {"libabsent.so.4", curl_table_names[0], NULL};
    assert_true(curl_table_load(&table, names, why, sizeof(why)));
}

static void its_absence_is_said(void **state)
{
    (void)state;
    struct curl_table table;
    char why[256];
    const char *const names[] = {"libabsent.so.4", "libabsent-too.so.4", NULL};
    assert_false(curl_table_load(&table, names, why, sizeof(why)));
    assert_non_null(strstr(why, "libcurl not found: libabsent.so.4"));
    const char *const wrong[] = {"libz.so.1", NULL};
    assert_false(curl_table_load(&table, wrong, why, sizeof(why)));
    assert_non_null(strstr(why, "it has no curl_"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libcurl_is_found),
        cmocka_unit_test(its_other_builds_are_found),
        cmocka_unit_test(its_absence_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
