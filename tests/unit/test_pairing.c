/* The queue of unanswered exchanges: order, bounds, taking back, and both ends at work at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app_thread/pairing.h"
#include "base/limits.h"

static struct pairing_entry entry_of(uint32_t value)
{
    return (struct pairing_entry){.slot = (uint16_t)value, .value = value};
}

static uint32_t pop_value(struct pairing *pairing)
{
    struct pairing_entry entry;
    assert_true(pairing_oldest(pairing, &entry));
    pairing_pop(pairing);
    return entry.value;
}

static void order_is_kept_whatever_the_depth(void **state)
{
    (void)state;
    static const uint32_t depths[] = {1, 7, 8, 9, 100, 134, 135, 1000};
    struct pairing pairing;
    pairing_init(&pairing);
    uint32_t pushed = 0;
    uint32_t popped = 0;
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        for (int round = 0; round < 50; round++) {
            while (pushed - popped < depths[i]) {
                assert_true(pairing_push(&pairing, entry_of(pushed++)));
            }
            assert_int_equal(pairing_count(&pairing), depths[i]);
            for (uint32_t take = depths[i] / 2 + 1; take > 0 && popped < pushed; take--) {
                assert_int_equal(pop_value(&pairing), popped++);
            }
        }
        while (popped < pushed) {
            assert_int_equal(pop_value(&pairing), popped++);
        }
    }
    pairing_finish(&pairing);
}

static void the_bound_holds(void **state)
{
    (void)state;
    struct pairing pairing;
    pairing_init(&pairing);
    uint32_t pushed = 0;
    while (pairing_push(&pairing, entry_of(pushed))) {
        pushed++;
        assert_true(pushed <= LIMIT_PIPELINE + PAIRING_INLINE);
    }
    assert_int_equal(pushed, LIMIT_PIPELINE + PAIRING_INLINE);
    for (uint32_t i = 0; i < pushed; i++) {
        assert_int_equal(pop_value(&pairing), i);
    }
    pairing_finish(&pairing);
}

static void the_newest_can_be_taken_back(void **state)
{
    (void)state;
    struct pairing pairing;
    struct pairing_entry entry;
    pairing_init(&pairing);
    for (uint32_t depth = 1; depth < 400; depth++) {
        for (uint32_t i = 0; i < depth; i++) {
            assert_true(pairing_push(&pairing, entry_of(i)));
        }
        for (uint32_t i = depth; i > depth / 3; i--) {
            assert_true(pairing_unpush(&pairing, &entry));
            assert_int_equal(entry.value, i - 1);
        }
        for (uint32_t i = depth / 3; i < depth; i++) {
            assert_true(pairing_push(&pairing, entry_of(i)));
        }
        for (uint32_t i = 0; i < depth; i++) {
            assert_int_equal(pop_value(&pairing), i);
        }
        assert_false(pairing_oldest(&pairing, &entry));
        assert_false(pairing_unpush(&pairing, &entry));
    }
    pairing_finish(&pairing);
}

static void entries_can_be_changed_in_place(void **state)
{
    (void)state;
    struct pairing pairing;
    struct pairing_entry entry;
    pairing_init(&pairing);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(pairing_push(&pairing, entry_of(i)));
        assert_true(pairing_newest(&pairing, &entry));
        entry.flags = PAIRING_HEAD;
        pairing_update_newest(&pairing, entry);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(pairing_oldest(&pairing, &entry));
        assert_int_equal(entry.flags, PAIRING_HEAD);
        entry.value += 1000;
        pairing_update_oldest(&pairing, entry);
        assert_int_equal(pop_value(&pairing), i + 1000);
    }
    pairing_finish(&pairing);
}

#define MANY 2000000u

static void *push_many(void *argument)
{
    struct pairing *pairing = argument;
    for (uint32_t i = 0; i < MANY; i++) {
        while (!pairing_push(pairing, entry_of(i))) {
        }
        if (i % 1000 == 999 && i + 1000 < MANY) {
            /* Now and then something that nobody pops is pushed and taken back: an entry that the
               popper cannot have reached, for it is paced by the count, but at the very end. */
            struct pairing_entry entry;
            if (pairing_count(pairing) > 200 && pairing_unpush(pairing, &entry)) {
                i--;
            }
        }
    }
    return NULL;
}

static void both_ends_work_at_once(void **state)
{
    (void)state;
    static struct pairing pairing;
    pairing_init(&pairing);
    pthread_t pusher;
    assert_int_equal(pthread_create(&pusher, NULL, push_many, &pairing), 0);
    struct pairing_entry entry;
    uint32_t expected = 0;
    while (expected < MANY) {
        /* Leaves the newest alone, as answers do: what is not sent is not answered. */
        if ((pairing_count(&pairing) > 100 || expected + 100 >= MANY) &&
            pairing_oldest(&pairing, &entry)) {
            assert_int_equal(entry.value, expected);
            pairing_pop(&pairing);
            expected++;
        }
    }
    pthread_join(pusher, NULL);
    pairing_finish(&pairing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_kept_whatever_the_depth),
        cmocka_unit_test(the_bound_holds),
        cmocka_unit_test(the_newest_can_be_taken_back),
        cmocka_unit_test(entries_can_be_changed_in_place),
        cmocka_unit_test(both_ends_work_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
