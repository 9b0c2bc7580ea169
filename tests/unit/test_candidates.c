/* What a thread may be working for: the few requests that it has read and nobody has answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/candidates.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/trace_context.h"
#include "app_thread/witness.h"
#include "base/limits.h"

#define CONNECTIONS (LIMIT_CANDIDATES + 2u)

static struct connection connections[CONNECTIONS];
static struct thread_state other_thread;

static int set_up(void **state)
{
    (void)state;
    free(attachment);
    attachment = calloc(1, 4096);
    assert_non_null(attachment);
    atomic_store(&attachment->epoch, 1);
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * UINT64_C(1000000000);
    struct thread_state *threads[] = {&thread_state, &other_thread};
    for (int i = 0; i < 2; i++) {
        memset(threads[i], 0, sizeof(*threads[i]));
        uint8_t number[8];
        trace_context_draw(threads[i], number); /* its first makes a thread forget */
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        connections[i].serial = i + 1;
        connections[i].role = ROLE_SERVER;
        atomic_store(&connections[i].protocol, PROTOCOL_HTTP1);
        atomic_fetch_add(&connections[i].answers, 1); /* ends what the test before left */
    }
    return 0;
}

static void read_request(struct thread_state *self, uint32_t number)
{
    struct record record;
    memset(&record, 0, sizeof(record));
    memset(record.span_id, (int)number + 1, sizeof(record.span_id));
    memset(record.trace_id, (int)number + 1, sizeof(record.trace_id));
    record.start_ns = clock_now_ns();
    atomic_fetch_add(&attachment->sole.open, 1);
    atomic_fetch_add(&attachment->sole.begun, 1);
    trace_context_enter(self, &record, &connections[number], 0);
}

static void answer(uint32_t number)
{
    atomic_fetch_add(&connections[number].answers, 1);
    atomic_fetch_sub(&attachment->sole.open, 1);
    trace_context_leave(&thread_state, connections[number].serial);
}

/* A bit for each request that a call made now links to. */
static unsigned linked(struct thread_state *self)
{
    struct record record;
    memset(&record, 0, sizeof(record));
    trace_context_begin_client(self, &record, clock_now_ns());
    assert_true(candidates_exist(self) || atomic_load(&attachment->sole.open) == 0);
    candidates_tell(self, &record);
    unsigned found = 0;
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(&record, &offset, &tag, &value)) {
        assert_int_equal(tag, FIELD_CANDIDATE);
        assert_int_equal(value.size, 24);
        assert_int_equal(value.data[0], value.data[23]);
        assert_int_equal(found & 1u << (value.data[0] - 1), 0);
        found |= 1u << (value.data[0] - 1);
    }
    return found;
}

static void a_loop_links_to_what_is_open(void **state)
{
    (void)state;
    thread_state.runs_a_loop = true;
    assert_int_equal(linked(&thread_state), 0);
    for (uint32_t i = 0; i < LIMIT_CANDIDATES; i++) {
        read_request(&thread_state, i);
        assert_int_equal(linked(&thread_state), (2u << i) - 1);
    }
    answer(1);
    answer(0);
    assert_int_equal(linked(&thread_state), 0xC);
    read_request(&thread_state, 0);
    assert_int_equal(linked(&thread_state), 0xD);
    answer(0);
    answer(2);
    assert_int_equal(linked(&thread_state), 0x8);
    answer(3);
    assert_int_equal(linked(&thread_state), 0);
}

/* With one more than may be, none; nor as long as one is open that came then. */
static void many_are_none(void **state)
{
    (void)state;
    thread_state.runs_a_loop = true;
    for (uint32_t i = 0; i <= LIMIT_CANDIDATES; i++) {
        read_request(&thread_state, i);
    }
    assert_int_equal(linked(&thread_state), 0);
    answer(0);
    assert_int_equal(linked(&thread_state), 0);
    answer(LIMIT_CANDIDATES);
    assert_int_equal(linked(&thread_state), 0xE);
    read_request(&thread_state, 0);
    assert_int_equal(linked(&thread_state), 0xF);
}

/* One that lasts for longer than as many others as are remembered is not known any more. */
static void places_are_taken_in_turn(void **state)
{
    (void)state;
    thread_state.runs_a_loop = true;
    read_request(&thread_state, 0);
    for (uint32_t i = 1; i < LIMIT_CANDIDATE_PLACES; i++) {
        read_request(&thread_state, 1);
        assert_int_equal(linked(&thread_state), 3);
        answer(1);
    }
    assert_int_equal(linked(&thread_state), 1);
    read_request(&thread_state, 1);
    assert_int_equal(linked(&thread_state), 0);
    answer(1);
    assert_int_equal(linked(&thread_state), 0);
}

static void another_threads_are_no_candidates(void **state)
{
    (void)state;
    thread_state.runs_a_loop = true;
    other_thread.runs_a_loop = true;
    read_request(&thread_state, 0);
    read_request(&other_thread, 1);
    assert_int_equal(linked(&thread_state), 1);
    assert_int_equal(linked(&other_thread), 2);
}

static void a_thread_that_read_two_links_to_both(void **state)
{
    (void)state;
    read_request(&thread_state, 0);
    assert_int_equal(linked(&thread_state), 0); /* its parent */
    read_request(&thread_state, 1);
    assert_int_equal(linked(&thread_state), 3);
    read_request(&thread_state, 2);
    assert_int_equal(linked(&thread_state), 7);
    answer(0);
    assert_int_equal(linked(&thread_state), 6);
    trace_context_forget(&thread_state);
    assert_int_equal(linked(&thread_state), 6);
    answer(1);
    answer(2);
    read_request(&thread_state, 0);
    assert_int_equal(linked(&thread_state), 0);
}

/* What the thread has in work may have been passed on, and not be believed to be the cause. */
static void what_is_in_work_is_one(void **state)
{
    (void)state;
    read_request(&thread_state, 0);
    read_request(&other_thread, 1);
    struct record record;
    memset(&record, 0, sizeof(record));
    candidates_tell(&thread_state, &record);
    assert_int_equal(record.text_used, RECORD_FIELD_HEAD_BYTES + 24);
    assert_int_equal(record_find_field(&record, FIELD_CANDIDATE).data[0], 1);
}

static void a_thread_that_waited_links_to_what_it_had(void **state)
{
    (void)state;
    read_request(&thread_state, 0);
    trace_context_forget(&thread_state);
    assert_int_equal(linked(&thread_state), 1);
    trace_context_forget(&thread_state);
    assert_int_equal(linked(&thread_state), 1);
    answer(0);
    assert_int_equal(linked(&thread_state), 0);
}

static void request_read(const struct thread_context *work, int descriptor)
{
    (void)work;
    (void)descriptor;
}

static void witnesses_know_better(void **state)
{
    (void)state;
    static const struct witness knows = {.request_read = request_read};
    thread_state.runs_a_loop = true;
    witness = &knows;
    read_request(&thread_state, 0);
    witness = NULL;
    assert_int_equal(linked(&thread_state), 0);
}

static void a_forked_child_has_its_parents(void **state)
{
    (void)state;
    struct child_cause cause = {.is_known = true};
    memset(cause.trace_id, 3, sizeof(cause.trace_id));
    memset(cause.span_id, 3, sizeof(cause.span_id));
    thread_state.child = cause;
    for (uint32_t i = 0; i < LIMIT_CANDIDATES; i++) {
        assert_int_equal(linked(&thread_state), 4);
    }
    assert_int_equal(linked(&thread_state), 0);
    /* What the program was started for is a parent, or nothing. */
    thread_state.child = cause;
    thread_state.child.is_ambient = true;
    assert_int_equal(linked(&thread_state), 0);
    /* Who serves is no child any more. */
    thread_state.child = cause;
    read_request(&thread_state, 0);
    answer(0);
    assert_int_equal(linked(&thread_state), 0);
    assert_false(thread_state.child.is_known);
}

/* What another process had noted, before it forked this one, is nobody's. */
static void notes_are_of_one_process(void **state)
{
    (void)state;
    thread_state.runs_a_loop = true;
    read_request(&thread_state, 0);
    assert_int_equal(linked(&thread_state), 1);
    atomic_fetch_add(&attachment->epoch, ATTACHMENT_NEXT_PROCESS);
    uint8_t number[8];
    uint32_t ring = thread_state.ring;
    trace_context_draw(&thread_state, number);
    thread_state.ring = ring;
    assert_int_equal(linked(&thread_state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_loop_links_to_what_is_open, set_up),
        cmocka_unit_test_setup(many_are_none, set_up),
        cmocka_unit_test_setup(places_are_taken_in_turn, set_up),
        cmocka_unit_test_setup(another_threads_are_no_candidates, set_up),
        cmocka_unit_test_setup(a_thread_that_read_two_links_to_both, set_up),
        cmocka_unit_test_setup(what_is_in_work_is_one, set_up),
        cmocka_unit_test_setup(a_thread_that_waited_links_to_what_it_had, set_up),
        cmocka_unit_test_setup(witnesses_know_better, set_up),
        cmocka_unit_test_setup(a_forked_child_has_its_parents, set_up),
        cmocka_unit_test_setup(notes_are_of_one_process, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
