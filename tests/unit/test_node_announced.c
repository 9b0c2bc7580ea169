/* What was told to be sent is found again, in its order, within bounds. */
#include "runtime/node_announced.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct announcements all;

static int set_up(void **state)
{
    (void)state;
    memset(&all, 0, sizeof(all));
    return 0;
}

static void add(uint64_t key, uint32_t number)
{
    announced_add(&all, (struct announcement){key, number, false});
}

static void finds_what_is_alike_in_its_order(void **state)
{
    (void)state;
    add(7, 1);
    add(8, 2);
    add(7, 3);
    struct alike alike = announced_look(&all, 7);
    assert_int_equal(alike.count, 2);
    assert_int_equal(alike.number, 1);
    assert_false(alike.is_one);
    assert_int_equal(announced_find(&all, 7, 3), 2);
    assert_int_equal(announced_find(&all, 8, 3), all.count);
    assert_int_equal(announced_take(&all, 2).number, 3);
    alike = announced_look(&all, 7);
    assert_int_equal(alike.count, 1);
    assert_true(alike.is_one);
    assert_int_equal(announced_look(&all, 9).count, 0);
}

static void takes_from_the_middle_and_puts_back_in_front(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 5; i++) {
        add(i, i);
    }
    struct announcement third = announced_take(&all, 2);
    struct announcement first = announced_take(&all, 0);
    announced_put_back(&all, third);
    announced_put_back(&all, first);
    const uint32_t order[] = {1, 3, 2, 4, 5};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(announced_take(&all, 0).number, order[i]);
    }
    assert_int_equal(all.count, 0);
}

static void goes_round_for_ever(void **state)
{
    (void)state;
    add(1, 1);
    for (uint32_t i = 0; i < 3 * LIMIT_WITNESS_ANNOUNCED; i++) {
        add(i + 2, i + 2);
        assert_int_equal(announced_look(&all, i + 2).first, 1);
        assert_int_equal(announced_take(&all, 0).key, i + 1);
    }
    assert_int_equal(all.count, 1);
}

static void what_cannot_be_told_is_nobodys(void **state)
{
    (void)state;
    add(7, 1);
    add(7, 2);
    announced_disown(&all, 7);
    assert_int_equal(announced_look(&all, 7).number, 0);
    assert_true(announced_look(&all, 7).is_one);
}

static void the_last_are_given_to_another(void **state)
{
    (void)state;
    add(1, 1);
    add(2, 1);
    add(3, 1);
    announced_give(&all, 1, 1, 2, 8);
    announced_give(&all, 1, 1, 1, 9);
    assert_int_equal(announced_look(&all, 1).number, 1);
    assert_int_equal(announced_look(&all, 2).number, 9);
    assert_int_equal(announced_look(&all, 3).number, 1);
    announced_give(&all, 0, 9, 1, 4);
    assert_int_equal(announced_look(&all, 1).number, 4);
    assert_int_equal(announced_look(&all, 2).number, 9);
    announced_give(&all, 9, 1, 4, 5);
    assert_int_equal(announced_look(&all, 3).number, 4);
}

/* Too many make the oldest untold, until as many were sent; not for ever. */
static void forgets_the_oldest_until_it_is_sent(void **state)
{
    (void)state;
    const uint32_t more = 100;
    for (uint32_t i = 0; i < LIMIT_WITNESS_ANNOUNCED + more; i++) {
        add(i, i + 1);
    }
    for (uint32_t i = 0; i < more; i++) {
        assert_int_equal(announced_look(&all, i).count, 0);
        assert_true(announced_is_forgotten(&all, i, false));
        assert_true(announced_is_forgotten(&all, i, true));
    }
    for (uint32_t i = more; i < LIMIT_WITNESS_ANNOUNCED + more; i++) {
        assert_false(announced_is_forgotten(&all, i, true));
        assert_int_equal(announced_look(&all, i).number, i + 1);
    }
    announced_put_back(&all, (struct announcement){1, 1, false});
    assert_true(announced_is_forgotten(&all, 1, true));
    assert_false(announced_is_forgotten(&all, 1, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(finds_what_is_alike_in_its_order, set_up),
        cmocka_unit_test_setup(takes_from_the_middle_and_puts_back_in_front, set_up),
        cmocka_unit_test_setup(goes_round_for_ever, set_up),
        cmocka_unit_test_setup(what_cannot_be_told_is_nobodys, set_up),
        cmocka_unit_test_setup(the_last_are_given_to_another, set_up),
        cmocka_unit_test_setup(forgets_the_oldest_until_it_is_sent, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
