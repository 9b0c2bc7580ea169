/*
 * Contexts that libcurl is asked to send: which handles are known, what their lists are, and whose
 * the ids of a request are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/attached_segment.h"
#include "app_thread/announcement.h"
#include "app_thread/attachment.h"
#include "handoff/segment.h"

#define SLOTS 64u

static struct segment *segment;

static int set_up(void **state)
{
    (void)state;
    segment = attach_segment(SLOTS);
    return 0;
}

static struct header_list *announce(struct curl_handle *handle)
{
    return announcement_begin(&thread_state, handle, 1);
}

static struct traceparent context_of(const struct header_list *list)
{
    struct traceparent context;
    assert_memory_equal(list->text, "traceparent: ", 13);
    assert_true(traceparent_parse(slice_of(list->text + 13, strlen(list->text + 13)), &context));
    return context;
}

static void a_line_goes_before_the_programs(void **state)
{
    (void)state;
    static char one[] = "One: 1", two[] = "Two: 2";
    struct header_list second = {two, NULL}, first = {one, &second}, other = {two, NULL};
    struct curl_handle *handle = announcement_handle(&first, true);
    assert_ptr_equal(announcement_change_list(handle, &first), &first);
    struct header_list *list = announce(handle);
    assert_non_null(list);
    assert_ptr_equal(list->next, &first);
    assert_int_equal(atomic_load(&announcements), 1);
    /* Another list of the program's takes its place, and none. */
    assert_ptr_equal(announcement_change_list(handle, &other), list);
    assert_ptr_equal(list->next, &other);
    assert_ptr_equal(announcement_change_list(handle, NULL), list);
    assert_null(list->next);
    announcement_end(handle);
    assert_int_equal(atomic_load(&announcements), 0);
    assert_ptr_equal(announcement_change_list(handle, &first), &first);
    assert_ptr_equal(second.text, two);
    assert_null(second.next);
    assert_int_equal(announcement_forget_handle(handle), 0);
    assert_null(announcement_handle(&first, false));
}

static void a_context_of_the_program_stays_alone(void **state)
{
    (void)state;
    static const char *const lines[] = {"traceparent: x", "TraceParent:x", "TRACESTATE: a=b",
                                        "traceparent;", "traceparent:"};
    struct curl_handle *handle = announcement_handle(&lines, true);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[32];
        snprintf(text, sizeof(text), "%s", lines[i]);
        char plain[] = "Trace: 1";
        struct header_list last = {text, NULL}, first = {plain, &last};
        announcement_change_list(handle, &first);
        assert_null(announce(handle));
        announcement_change_list(handle, NULL);
        assert_non_null(announce(handle));
        assert_ptr_equal(announcement_change_list(handle, &first), &first);
        assert_int_equal(atomic_load(&announcements), 0);
    }
    announcement_forget_handle(handle);
}

static void long_lists_are_left_alone(void **state)
{
    (void)state;
    static char line[] = "A: b";
    static struct header_list lists[LIMIT_HEADER_LIST + 1];
    struct curl_handle *handle = announcement_handle(&lists, true);
    for (size_t i = 0; i <= LIMIT_HEADER_LIST; i++) {
        lists[i] = (struct header_list){line, i == 0 ? NULL : &lists[i - 1]};
    }
    announcement_change_list(handle, &lists[LIMIT_HEADER_LIST - 1]);
    assert_non_null(announce(handle));
    announcement_end(handle);
    announcement_change_list(handle, &lists[LIMIT_HEADER_LIST]);
    assert_null(announce(handle));
    announcement_forget_handle(handle);
}

static void each_request_has_ids_of_its_own(void **state)
{
    (void)state;
    static int easy;
    struct curl_handle *handle = announcement_handle(&easy, true);
    struct header_list *list = announce(handle);
    struct traceparent first = context_of(list), other = first;
    struct trace_identity identity;
    bool was_seen;
    assert_true(announcement_ids(&easy, &identity, &was_seen));
    assert_false(was_seen);
    other.parent_id[0] ^= 1;
    assert_false(announcement_take(&thread_state, &other, &identity));
    for (int turn = 0; turn < 2; turn++) { /* it may be framed once more */
        assert_true(announcement_take(&thread_state, &first, &identity));
        assert_memory_equal(identity.span_id, first.parent_id, 8);
        assert_memory_equal(identity.trace_id, first.trace_id, 16);
    }
    /* A redirection: a root has a trace of its own. */
    struct traceparent second = context_of(list);
    assert_memory_not_equal(second.parent_id, first.parent_id, 8);
    assert_memory_not_equal(second.trace_id, first.trace_id, 16);
    assert_true(announcement_ids(&easy, &identity, &was_seen));
    assert_true(was_seen);
    assert_memory_equal(identity.span_id, second.parent_id, 8);
    assert_true(announcement_take(&thread_state, &second, &identity));
    assert_false(announcement_take(&thread_state, &first, &identity));
    announcement_end(handle);
    assert_false(announcement_take(&thread_state, &second, &identity));
    assert_false(announcement_ids(&easy, &identity, &was_seen));
    announcement_forget_handle(handle);
}

static void there_are_so_many_at_a_time(void **state)
{
    (void)state;
    static int easies[LIMIT_ANNOUNCEMENTS + 1];
    for (uint32_t i = 0; i <= LIMIT_ANNOUNCEMENTS; i++) {
        struct curl_handle *handle = announcement_handle(&easies[i], true);
        assert_non_null(handle);
        assert_int_equal(announce(handle) != NULL, i < LIMIT_ANNOUNCEMENTS);
    }
    for (uint32_t i = 0; i <= LIMIT_ANNOUNCEMENTS; i++) {
        announcement_give(announcement_forget_handle(announcement_handle(&easies[i], false)));
    }
    assert_int_equal(atomic_load(&announcements), 0);
}

/* The last one: from then on nothing is known of handles that come. */
static void a_handle_without_room_ends_it(void **state)
{
    (void)state;
    static char easies[LIMIT_CURL_HANDLES * 2];
    const struct curl_handle *first = announcement_handle(&easies[0], true);
    uint32_t known = 1;
    while (known < LIMIT_CURL_HANDLES * 2 && announcement_handle(&easies[known], true) != NULL) {
        known++;
    }
    assert_in_range(known, 8, LIMIT_CURL_HANDLES);
    assert_ptr_equal(announcement_handle(&easies[0], true), first);
    for (uint32_t i = 0; i < known; i++) {
        announcement_forget_handle(announcement_handle(&easies[i], false));
    }
    assert_null(announcement_handle(&easies[0], true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_goes_before_the_programs),
        cmocka_unit_test(a_context_of_the_program_stays_alone),
        cmocka_unit_test(long_lists_are_left_alone),
        cmocka_unit_test(each_request_has_ids_of_its_own),
        cmocka_unit_test(there_are_so_many_at_a_time),
        cmocka_unit_test(a_handle_without_room_ends_it),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
