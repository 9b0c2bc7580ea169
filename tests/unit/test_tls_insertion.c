/*
 * Requests that a TLS library takes with a field in them: what it is given, and for which session
 * what is left of it is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app_thread/slab.h"
#include "app_thread/tls_insertion.h"

#define LINE "GET / HTTP/1.1\r\n"
#define HEAD LINE "Host: h\r\n\r\n"
#define AT   ((uint32_t)sizeof(LINE) - 1)

static const uint8_t random_bytes[2][TLS_RANDOM_BYTES] = {{1}, {2}};
static const int sessions[2];

static struct touch new_connection(void)
{
    uint32_t block = slab_take(SLAB_CONNECTION);
    struct connection *connection = slab_address(block);
    connection->block = block;
    return (struct touch){connection, atomic_fetch_add(&connection->generation, 1) + 1};
}

static struct tls_insertion *begin(const struct touch *touch, size_t size, bool takes_records)
{
    static uint8_t request[3 * TLS_RECORD_BYTES];
    struct injection injection = {.at = AT};
    memset(request, 'b', sizeof(request));
    memcpy(request, HEAD, sizeof(HEAD) - 1);
    return tls_insertion_begin(touch, random_bytes[0], &injection, slice_of(request, size),
                               takes_records);
}

static void the_field_stands_behind_the_first_line(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    struct tls_insertion *insertion = begin(&touch, sizeof(HEAD) - 1, true);
    assert_non_null(insertion);
    assert_int_equal(insertion->own, sizeof(HEAD) - 1);
    assert_int_equal(insertion->size, insertion->own + INJECT_FIELD_BYTES);
    assert_memory_equal(insertion->bytes, LINE "traceparent: 00-0", AT + 17);
    assert_memory_equal(insertion->bytes + AT + INJECT_FIELD_BYTES, "Host: h\r\n\r\n", 11);
    tls_insertion_end(insertion);
}

static void no_more_is_copied_than_a_record(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    for (unsigned takes_records = 0; takes_records < 2; takes_records++) {
        uint32_t most = TLS_RECORD_BYTES - (takes_records ? 0 : INJECT_FIELD_BYTES);
        for (uint32_t size = most - 1; size <= most + 1; size++) {
            struct tls_insertion *insertion = begin(&touch, size, takes_records);
            assert_int_equal(insertion->own, size < most ? size : most);
            assert_int_equal(insertion->size, insertion->own + INJECT_FIELD_BYTES);
            tls_insertion_end(insertion);
        }
    }
}

static void a_record_is_cut_as_the_library_cuts(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    static const struct {
        uint32_t taken, own;
    } cases[] = {{AT - 1, 1000}, {AT, AT}, {512, 512}, {999, 999}, {1000, 1000}, {1001, 1000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_insertion *insertion = begin(&touch, 1000, true);
        tls_insertion_cut(insertion, cases[i].taken);
        assert_int_equal(insertion->own, cases[i].own);
        assert_int_equal(insertion->size, cases[i].own + INJECT_FIELD_BYTES);
        tls_insertion_end(insertion);
    }
}

static void what_is_kept_is_that_sessions(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    struct tls_insertion *insertion = begin(&touch, 100, true);
    assert_int_equal(atomic_load(&tls_insertions_kept), 0);
    tls_insertion_keep(insertion, &sessions[0]);
    assert_int_equal(atomic_load(&tls_insertions_kept), 1);
    assert_true(tls_insertion_is_kept(&sessions[0]));
    assert_false(tls_insertion_is_kept(&sessions[1]));
    assert_null(tls_insertion_take(&sessions[1], random_bytes[0]));
    assert_ptr_equal(tls_insertion_take(&sessions[0], random_bytes[0]), insertion);
    assert_true(insertion->was_kept);
    assert_null(tls_insertion_take(&sessions[0], random_bytes[0]));
    assert_int_equal(atomic_load(&tls_insertions_kept), 0);
    /* Another session at that address has no part of it, and nor has the first any more. */
    tls_insertion_keep(insertion, &sessions[0]);
    assert_null(tls_insertion_take(&sessions[0], random_bytes[1]));
    assert_null(tls_insertion_take(&sessions[0], random_bytes[0]));
    assert_int_equal(atomic_load(&tls_insertions_kept), 0);
}

static void a_copy_has_a_record_and_no_field(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    static uint8_t bytes[TLS_RECORD_BYTES + 1];
    memset(bytes, 'c', sizeof(bytes));
    for (uint32_t size = TLS_RECORD_BYTES - 1; size <= TLS_RECORD_BYTES + 1; size++) {
        struct tls_insertion *copy =
            tls_insertion_copy(&touch, random_bytes[0], slice_of(bytes, size));
        assert_non_null(copy);
        assert_true(copy->is_copy);
        assert_false(copy->names_span);
        assert_int_equal(copy->own, size < TLS_RECORD_BYTES ? size : TLS_RECORD_BYTES);
        assert_memory_equal(copy->bytes, bytes, copy->own);
        tls_insertion_keep(copy, &sessions[0]);
        assert_ptr_equal(tls_insertion_take(&sessions[0], random_bytes[0]), copy);
        tls_insertion_end(copy);
    }
}

static void the_programs_bytes_are_what_lies_around_the_field(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    struct tls_insertion *insertion = begin(&touch, 1000, true);
    for (uint32_t own = 1000; own > 241; own -= 241) {
        tls_insertion_cut(insertion, own);
        struct tls_insertion *copy = tls_insertion_copy_own(insertion);
        assert_int_equal(copy->own, own);
        assert_memory_equal(copy->bytes, HEAD, sizeof(HEAD) - 1);
        assert_memory_equal(copy->bytes + own - 3, "bbb", 3);
        tls_insertion_end(copy);
    }
    tls_insertion_end(insertion);
}

static void copies_leave_half_of_the_places(void **state)
{
    (void)state;
    struct touch touch = new_connection();
    struct tls_insertion *copies[LIMIT_TLS_INSERTIONS / 2];
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS / 2; i++) {
        copies[i] = tls_insertion_copy(&touch, random_bytes[0], slice_of(HEAD, 4));
        assert_non_null(copies[i]);
        tls_insertion_keep(copies[i], &copies[i]);
    }
    assert_null(tls_insertion_copy(&touch, random_bytes[0], slice_of(HEAD, 4)));
    struct tls_insertion *insertion = begin(&touch, 100, true);
    assert_non_null(insertion);
    tls_insertion_end(insertion);
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS / 2; i++) {
        assert_ptr_equal(tls_insertion_take(&copies[i], random_bytes[0]), copies[i]);
        tls_insertion_end(copies[i]);
    }
}

static void there_are_so_many_at_a_time(void **state)
{
    (void)state;
    struct touch touches[2] = {new_connection(), new_connection()};
    struct tls_insertion *all[LIMIT_TLS_INSERTIONS];
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        all[i] = begin(&touches[i % 2], 100, true);
        assert_non_null(all[i]);
    }
    assert_null(begin(&touches[0], 100, true));
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        tls_insertion_keep(all[i], &all[i]);
    }
    assert_null(begin(&touches[0], 100, true));
    /* With its connection goes what was kept for it. */
    atomic_fetch_add(&touches[1].connection->generation, 1);
    tls_insertion_forget_gone();
    assert_int_equal(atomic_load(&tls_insertions_kept), LIMIT_TLS_INSERTIONS / 2);
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        assert_ptr_equal(tls_insertion_take(&all[i], random_bytes[0]), i % 2 == 0 ? all[i] : NULL);
        if (i % 2 == 0) {
            tls_insertion_end(all[i]);
        }
    }
    assert_int_equal(atomic_load(&tls_insertions_kept), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_field_stands_behind_the_first_line),
        cmocka_unit_test(no_more_is_copied_than_a_record),
        cmocka_unit_test(a_record_is_cut_as_the_library_cuts),
        cmocka_unit_test(what_is_kept_is_that_sessions),
        cmocka_unit_test(a_copy_has_a_record_and_no_field),
        cmocka_unit_test(the_programs_bytes_are_what_lies_around_the_field),
        cmocka_unit_test(copies_leave_half_of_the_places),
        cmocka_unit_test(there_are_so_many_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
