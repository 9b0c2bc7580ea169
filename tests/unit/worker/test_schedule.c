#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/schedule.h"

#define MS UINT64_C(1000000)

static void nothing_waits_nothing_is_due(void **state)
{
    (void)state;
    struct schedule schedule = {.delay_ns = 5000 * MS};
    assert_true(schedule_due(&schedule) == SCHEDULE_NEVER);
    schedule_note_span(&schedule, 10 * MS);
    schedule_note_batch(&schedule, 11 * MS, false);
    assert_true(schedule_due(&schedule) == SCHEDULE_NEVER);
}

static void the_first_export_waits_for_quiet(void **state)
{
    (void)state;
    struct schedule schedule = {.delay_ns = 5000 * MS};
    schedule_note_span(&schedule, 10 * MS);
    assert_int_equal(schedule_due(&schedule), 260 * MS);
    schedule_note_span(&schedule, 100 * MS);
    assert_int_equal(schedule_due(&schedule), 350 * MS);
    /* without quiet: the schedule's delay after the first span */
    schedule_note_span(&schedule, 4900 * MS);
    assert_int_equal(schedule_due(&schedule), 5010 * MS);
}

static void later_ones_follow_the_delay(void **state)
{
    (void)state;
    struct schedule schedule = {.delay_ns = 5000 * MS};
    schedule_note_span(&schedule, 10 * MS);
    schedule_note_batch(&schedule, 300 * MS, false);
    schedule_note_export(&schedule, 310 * MS);
    assert_true(schedule_due(&schedule) == SCHEDULE_NEVER);
    schedule_note_span(&schedule, 400 * MS);
    assert_int_equal(schedule_due(&schedule), 5310 * MS);
    schedule_note_span(&schedule, 5000 * MS);
    assert_int_equal(schedule_due(&schedule), 5310 * MS);
}

static void what_a_full_batch_leaves_waits_on(void **state)
{
    (void)state;
    struct schedule schedule = {.delay_ns = 5000 * MS};
    schedule_note_span(&schedule, 10 * MS);
    schedule_note_batch(&schedule, 20 * MS, true);
    schedule_note_export(&schedule, 30 * MS);
    assert_int_equal(schedule_due(&schedule), 5030 * MS);
}

static void no_delay_is_at_once(void **state)
{
    (void)state;
    struct schedule schedule = {.delay_ns = 0};
    schedule_note_span(&schedule, 10 * MS);
    assert_int_equal(schedule_due(&schedule), 10 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_waits_nothing_is_due),
        cmocka_unit_test(the_first_export_waits_for_quiet),
        cmocka_unit_test(later_ones_follow_the_delay),
        cmocka_unit_test(what_a_full_batch_leaves_waits_on),
        cmocka_unit_test(no_delay_is_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
