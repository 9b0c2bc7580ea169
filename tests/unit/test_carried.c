/* What is carried beside a context: places are taken in turn, and what is gone is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/attached_segment.h"
#include "app_thread/attachment.h"
#include "app_thread/carried.h"
#include "handoff/segment.h"

#define SLOTS 8u

static struct segment *segment;

static struct segment *give_segment(struct attachment *page)
{
    page->random_seed = 1;
    return segment;
}

static int set_up(void **state)
{
    (void)state;
    segment = attach_segment(SLOTS);
    attachment_renew = give_segment;
    return 0;
}

static uint64_t cut(void)
{
    return atomic_load(&segment->losses[LOSS_CONTEXT_CUT]);
}

static uint32_t put(const char *tracestate, const char *baggage)
{
    uint16_t number = carried_begin();
    assert_int_not_equal(number, 0);
    carried_add_tracestate(number, slice_of(tracestate, strlen(tracestate)));
    carried_add_baggage(number, slice_of(baggage, strlen(baggage)));
    return carried_end(number, true);
}

static void check(uint32_t carried, const char *tracestate, const char *baggage)
{
    static uint8_t text[LIMIT_BAGGAGE];
    size_t size = carried_copy_tracestate(carried, text, LIMIT_TRACESTATE);
    assert_int_equal(size, strlen(tracestate));
    assert_memory_equal(text, tracestate, size);
    size = carried_copy_baggage(carried, text, sizeof(text));
    assert_int_equal(size, strlen(baggage));
    assert_memory_equal(text, baggage, size);
}

static void it_is_what_was_put(void **state)
{
    (void)state;
    uint32_t first = put("a=1, b=2", "k=v ;p , bad, l=w");
    uint32_t second = put("", "x=y");
    assert_int_equal(put("", ""), 0);
    assert_int_equal(put("A=1", "bad"), 0);
    check(first, "a=1,b=2", "k=v ;p,l=w");
    check(second, "", "x=y");
    check(0, "", "");
    assert_int_equal(carried_pin_line(second).size, 0);
    struct slice line = carried_pin_line(first);
    assert_true(slice_equals(line, SLICE("tracestate: a=1,b=2\r\n")));
    carried_unpin(first);
    struct record record = {0};
    carried_tell(&record, first);
    assert_true(slice_equals(record_find_field(&record, FIELD_TRACESTATE), SLICE("a=1,b=2")));
    record_drop_field(&record, FIELD_TRACESTATE);
    assert_int_equal(record.text_used, 0);
    /* Without room it is not there. */
    uint8_t text[6];
    assert_int_equal(carried_copy_tracestate(first, text, sizeof(text)), 0);
}

static void without_a_parent_a_state_is_void(void **state)
{
    (void)state;
    uint16_t number = carried_begin();
    carried_add_tracestate(number, SLICE("a=1"));
    assert_int_equal(carried_end(number, false), 0);
    number = carried_begin();
    carried_add_tracestate(number, SLICE("a=1"));
    carried_add_baggage(number, SLICE("k=v"));
    check(carried_end(number, false), "", "k=v");
    assert_int_equal(cut(), 0);
}

static void the_oldest_gives_way(void **state)
{
    (void)state;
    uint32_t pinned = put("p=1", "");
    assert_int_not_equal(carried_pin_line(pinned).size, 0);
    uint32_t old = put("o=1", "");
    for (uint32_t i = 0; i < LIMIT_CARRIED - 3; i++) {
        put("x=1", "");
    }
    check(old, "o=1", "");
    for (uint32_t i = 0; i < 3; i++) {
        put("y=1", "");
    }
    check(old, "", "");
    /* What somebody reads stays. */
    for (uint32_t i = 0; i < 3 * LIMIT_CARRIED; i++) {
        put("z=1", "");
    }
    check(pinned, "p=1", "");
    carried_unpin(pinned);
    for (uint32_t i = 0; i < LIMIT_CARRIED; i++) {
        put("z=1", "");
    }
    check(pinned, "", "");
    assert_int_equal(cut(), 0);
}

static void without_a_place_there_is_none(void **state)
{
    (void)state;
    static uint16_t numbers[LIMIT_CARRIED];
    for (uint32_t i = 0; i < LIMIT_CARRIED; i++) {
        numbers[i] = carried_begin();
        assert_int_not_equal(numbers[i], 0);
    }
    assert_int_equal(carried_begin(), 0);
    assert_int_equal(cut(), 1);
    for (uint32_t i = 0; i < LIMIT_CARRIED; i++) {
        assert_int_equal(carried_end(numbers[i], true), 0);
    }
    assert_int_not_equal(put("a=1", ""), 0);
}

static void baggage_has_limits(void **state)
{
    (void)state;
    static char text[LIMIT_BAGGAGE + 100];
    static char wanted[LIMIT_BAGGAGE + 1];
    uint64_t before = cut();
    /* Bytes: the first one and a last one of exactly the rest. */
    for (size_t over = 0; over < 2; over++) {
        memcpy(text, "a=1,b=", 6);
        memset(text + 6, 'v', LIMIT_BAGGAGE - 6 + over);
        text[LIMIT_BAGGAGE + over] = '\0';
        uint32_t carried = put("s=1", text);
        check(carried, "s=1", over == 0 ? text : "a=1");
        assert_int_equal(cut() - before, over);
    }
    /* Members. */
    before = cut();
    size_t used = 0;
    for (uint32_t i = 0; i <= LIMIT_BAGGAGE_MEMBERS; i++) {
        if (i == LIMIT_BAGGAGE_MEMBERS) {
            memcpy(wanted, text, used + 1);
        }
        used += (size_t)sprintf(text + used, "%sk%u=v", i > 0 ? "," : "", i);
    }
    check(put("", wanted), "", wanted);
    assert_int_equal(cut(), before);
    check(put("", text), "", wanted);
    assert_int_equal(cut(), before + 1);
}

static void a_span_shows_whole_members(void **state)
{
    (void)state;
    static char text[LIMIT_TRACESTATE_TEXT + 2];
    for (size_t over = 0; over < 2; over++) {
        memcpy(text, "a=1,b=", 6);
        memset(text + 6, 'v', LIMIT_TRACESTATE_TEXT - 6 + over);
        text[LIMIT_TRACESTATE_TEXT + over] = '\0';
        struct record record = {0};
        carried_tell(&record, put(text, ""));
        struct slice shown = record_find_field(&record, FIELD_TRACESTATE);
        assert_int_equal(shown.size, over == 0 ? LIMIT_TRACESTATE_TEXT : 3);
        assert_int_equal((record.flags & RECORD_FLAG_TEXT_CUT) != 0, over);
    }
}

static void what_the_program_was_started_with_stays(void **state)
{
    (void)state;
    assert_int_equal(carried_for_good(SLICE(""), SLICE("")), 0);
    uint32_t carried = carried_for_good(SLICE("a=1"), SLICE("k=v"));
    for (uint32_t i = 0; i < 2 * LIMIT_CARRIED; i++) {
        put("x=1", "");
    }
    check(carried, "a=1", "k=v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_was_put),
        cmocka_unit_test(without_a_parent_a_state_is_void),
        cmocka_unit_test(the_oldest_gives_way),
        cmocka_unit_test(without_a_place_there_is_none),
        cmocka_unit_test(baggage_has_limits),
        cmocka_unit_test(a_span_shows_whole_members),
        cmocka_unit_test(what_the_program_was_started_with_stays),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
