#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handoff/losses.h"

static void every_loss_has_a_name(void **state)
{
    (void)state;
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        assert_non_null(loss_name((enum loss)loss));
        assert_string_not_equal(loss_name((enum loss)loss), "unknown");
    }
    assert_string_equal(loss_name(LOSS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_loss_has_a_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
