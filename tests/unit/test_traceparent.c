/* traceparent: what is taken and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/traceparent.h"

#define IDS "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

/* The value lies in memory of exactly its size, so that a sanitizer sees a step beyond it. */
static bool parse(const char *text, struct traceparent *parsed)
{
    size_t size = strlen(text);
    uint8_t *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, text, size);
    bool is_valid = traceparent_parse(slice_of(exact, size), parsed);
    free(exact);
    return is_valid;
}

static void valid_ones_are_read(void **state)
{
    (void)state;
    struct traceparent parsed;
    assert_true(parse("00-" IDS "-01", &parsed));
    assert_int_equal(parsed.trace_id[0], 0x0a);
    assert_int_equal(parsed.trace_id[15], 0x9c);
    assert_int_equal(parsed.parent_id[0], 0xb7);
    assert_int_equal(parsed.parent_id[7], 0x31);
    assert_int_equal(parsed.flags, 1);
    assert_true(parse("00-" IDS "-00", &parsed));
    assert_int_equal(parsed.flags, 0);
    assert_true(parse("00-" IDS "-ff", &parsed));
    assert_int_equal(parsed.flags, 3);
    assert_true(parse("cc-" IDS "-03", &parsed));
    assert_int_equal(parsed.flags, 3);
    assert_true(parse("01-" IDS "-01-what-the-future-brings", &parsed));
}

static void invalid_ones_are_refused(void **state)
{
    (void)state;
    static const char *const invalid[] = {
        "",
        "00",
        "00-" IDS,
        "00-" IDS "-",
        "00-" IDS "-0",
        "00-" IDS "-01-",
        "00-" IDS "-01-more",
        "00-" IDS "-011",
        "01-" IDS "-01more",
        "ff-" IDS "-01",
        "0-" IDS "-01",
        "0g-" IDS "-01",
        "00-" IDS "-0g",
        "00_" IDS "-01",
        "00-" IDS "_01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033310-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        " 00-" IDS "-01",
    };
    struct traceparent parsed;
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        if (parse(invalid[i], &parsed)) {
            fail_msg("taken: %s", invalid[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_ones_are_read),
        cmocka_unit_test(invalid_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
