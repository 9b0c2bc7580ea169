/* What threads hand to each other while one request is served, and when that is not believed. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/handover.h"
#include "app_thread/trace_context.h"
#include "base/limits.h"

static uint64_t segment;
static struct connection connection;
static struct connection another;
static struct thread_state server; /* reads requests and answers them */
static struct thread_state pooled;
static struct thread_state stranger;
static const char condition[1];
static const char lock[1];
static uint8_t latest; /* first byte of the latest request's span */

static void draw(struct thread_state *self)
{
    uint8_t number[8];
    trace_context_draw(self, number); /* its first makes a thread forget */
}

static void begin_process(uint32_t epoch)
{
    free(attachment);
    attachment = calloc(1, 4096);
    assert_non_null(attachment);
    atomic_store(&attachment->epoch, epoch);
    /* Nobody writes into it. */
    atomic_store(&attachment->segment, (struct segment *)(void *)&segment);
    draw(&server);
    draw(&pooled);
    draw(&stranger);
}

static int set_up(void **state)
{
    (void)state;
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * UINT64_C(1000000000);
    memset(&server, 0, sizeof(server));
    memset(&pooled, 0, sizeof(pooled));
    memset(&stranger, 0, sizeof(stranger));
    static uint32_t epoch = 1;
    begin_process(epoch += ATTACHMENT_NEXT_PROCESS);
    connection.serial = 1;
    connection.role = ROLE_SERVER;
    atomic_store(&connection.protocol, PROTOCOL_HTTP1);
    another = connection;
    another.serial = 2;
    stranger.runs_a_loop = true;
    handover_begin();
    return 0;
}

static void read_by(struct thread_state *self, struct connection *from)
{
    struct record record;
    memset(&record, 0, sizeof(record));
    memset(record.span_id, ++latest, sizeof(record.span_id));
    memset(record.trace_id, latest, sizeof(record.trace_id));
    record.start_ns = clock_now_ns();
    atomic_fetch_add(&attachment->sole.open, 1);
    atomic_fetch_add(&attachment->sole.begun, 1);
    trace_context_enter(self, &record, from, 0);
}

static void read_request(void)
{
    read_by(&server, &connection);
}

static void answer(void)
{
    atomic_fetch_add(&connection.answers, 1);
    atomic_fetch_sub(&attachment->sole.open, 1);
    trace_context_leave(&server, connection.serial);
}

static void wake(struct thread_state *self, const void *object, struct thread_state *by)
{
    handover_wakes(by, object);
    handover_waited(self, object, true);
}

/* The span for which a call of this thread's is made; 0: for none. */
static uint8_t call(struct thread_state *self)
{
    struct record record;
    memset(&record, 0, sizeof(record));
    bool is_lent = handover_lend(self);
    trace_context_begin_client(self, &record, clock_now_ns());
    if (is_lent) {
        trace_context_give_back(self);
    }
    assert_int_equal(record.parent_source, record.parent_span_id[0] ? PARENT_CAUSAL : PARENT_NONE);
    return record.parent_span_id[0];
}

static void what_a_thread_is_woken_for(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        read_request();
        wake(&pooled, condition, &server);
        assert_int_equal(call(&pooled), latest);
        assert_int_equal(call(&pooled), latest);
        /* What it has begun to do goes on behind a lock, and behind a wait that is over its time.
         */
        handover_waited(&pooled, condition, false);
        wake(&pooled, lock, &(struct thread_state){0});
        assert_int_equal(call(&pooled), latest);
        answer();
    }
    /* And whom that one wakes. */
    struct thread_state third = {0};
    draw(&third);
    read_request();
    wake(&pooled, condition, &server);
    wake(&third, lock, &pooled);
    assert_int_equal(call(&third), latest);
    answer();
}

static void it_ends_with_the_request_and_with_others(void **state)
{
    (void)state;
    read_request();
    wake(&pooled, condition, &server);
    assert_int_equal(call(&pooled), latest);
    wake(&pooled, lock, &stranger);
    assert_int_equal(call(&pooled), 0);
    answer();
    read_request();
    assert_int_equal(call(&pooled), 0);
    wake(&pooled, condition, &server);
    assert_int_equal(call(&pooled), latest);
    /* By what work comes to it, something else has come. */
    wake(&pooled, condition, &(struct thread_state){0});
    assert_int_equal(call(&pooled), 0);
    answer();
}

static void of_two_open_requests_neither(void **state)
{
    (void)state;
    read_request();
    wake(&pooled, condition, &server);
    struct thread_state other = {0};
    draw(&other);
    read_by(&other, &another);
    assert_int_equal(call(&pooled), 0);
    atomic_fetch_add(&another.answers, 1);
    atomic_fetch_sub(&attachment->sole.open, 1);
    /* The second one is over, but what has come to the thread meanwhile is not known. */
    assert_int_equal(call(&pooled), 0);
    wake(&pooled, condition, &server);
    assert_int_equal(call(&pooled), latest - 1);
    answer();
}

static void reasons_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(call(&pooled), 0); /* while nobody is served */
    read_request();
    wake(&pooled, condition, &server);
    for (unsigned i = 0; i < LIMIT_HANDOVER_DOUBT; i++) {
        assert_int_equal(call(&pooled), 0);
    }
    assert_int_equal(call(&pooled), latest);
    answer();
    assert_int_equal(call(&pooled), 0); /* what outlives its request, too */
    read_request();
    wake(&pooled, condition, &server);
    assert_int_equal(call(&pooled), 0);
    answer();
}

static void who_collects(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= LIMIT_HANDOVER_OTHERS; i++) {
        read_request();
        wake(&pooled, condition, &server);
        if (i < LIMIT_HANDOVER_OTHERS) {
            answer();
        }
    }
    handover_waits(&server, lock);
    assert_int_equal(call(&pooled), 0);
    handover_waited(&server, lock, false);
    answer();
    /* Woken once in vain: believed if the request's own thread waits. */
    for (int waits = 0; waits < 2; waits++) {
        for (int i = 0; i < 2; i++) {
            read_request();
            wake(&pooled, condition, &server);
            if (i == 0) {
                answer();
            }
        }
        if (waits) {
            handover_waits(&server, lock);
        }
        assert_int_equal(call(&pooled), waits ? latest : 0);
        handover_waited(&server, lock, false);
        answer();
    }
    /* Who has told a thread that waited for it does not collect. */
    read_request();
    wake(&pooled, condition, &server);
    handover_waits(&server, lock);
    wake(&server, lock, &pooled);
    answer();
    for (unsigned i = 0; i <= LIMIT_HANDOVER_OTHERS; i++) {
        read_request();
        wake(&pooled, condition, &server);
        if (i < LIMIT_HANDOVER_OTHERS) {
            answer();
        }
    }
    assert_int_equal(call(&pooled), latest);
    answer();
}

static void a_thread_that_is_made(void **state)
{
    (void)state;
    uintptr_t own = (uintptr_t)pthread_self();
    read_request();
    handover_makes(&server);
    assert_int_equal(call(&pooled), latest); /* it may be there before its maker knows its name */
    handover_made(&server, own);
    struct thread_state second = {0};
    draw(&second);
    assert_int_equal(call(&second), latest);
    answer();
    /* It may be made to serve all, if the request's own thread goes on. */
    read_request();
    struct thread_state third = {0};
    draw(&third);
    handover_makes(&server);
    handover_made(&server, own);
    assert_int_equal(call(&server), latest);
    assert_int_equal(call(&third), 0);
    answer();
    /* Made for nobody, or another thread. */
    struct thread_state fourth = {0};
    draw(&fourth);
    handover_makes(&stranger);
    handover_made(&stranger, own);
    read_request();
    handover_makes(&server);
    handover_made(&server, own + 4096);
    assert_int_equal(call(&fourth), 0);
    answer();
}

static void an_answer_that_a_loop_reads(void **state)
{
    (void)state;
    uint8_t span_id[8];
    read_request();
    wake(&pooled, condition, &server);
    memset(span_id, latest, sizeof(span_id));
    handover_answered(&stranger, span_id);
    wake(&pooled, lock, &stranger);
    assert_int_equal(call(&pooled), latest);
    memset(span_id, latest + 1, sizeof(span_id));
    stranger.handed = 0;
    handover_answered(&stranger, span_id);
    wake(&pooled, lock, &stranger);
    assert_int_equal(call(&pooled), 0);
    answer();
}

static void requests_of_a_forked_process_have_other_numbers(void **state)
{
    (void)state;
    read_request();
    wake(&pooled, condition, &server);
    uint32_t epoch = attachment_epoch();
    memset(&server, 0, sizeof(server));
    begin_process(epoch + ATTACHMENT_NEXT_PROCESS);
    read_request();
    handover_wakes(&server, lock); /* so that it has handed something over itself */
    assert_int_equal(call(&pooled), 0);
    answer();
}

static void whose_work_is_a_job_hands_no_request_over(void **state)
{
    (void)state;
    static _Atomic uint32_t ends;
    struct record job = {.span_id = {0xee}, .trace_id = {0xee}, .start_ns = clock_now_ns()};
    struct thread_state worker = {0};
    draw(&worker);
    read_request();
    handover_wakes(&server, lock);
    trace_context_enter_job(&worker, &job, &ends, false);
    wake(&pooled, condition, &worker);
    assert_int_equal(call(&pooled), 0);
    answer();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_a_thread_is_woken_for, set_up),
        cmocka_unit_test_setup(it_ends_with_the_request_and_with_others, set_up),
        cmocka_unit_test_setup(of_two_open_requests_neither, set_up),
        cmocka_unit_test_setup(reasons_of_its_own, set_up),
        cmocka_unit_test_setup(who_collects, set_up),
        cmocka_unit_test_setup(a_thread_that_is_made, set_up),
        cmocka_unit_test_setup(an_answer_that_a_loop_reads, set_up),
        cmocka_unit_test_setup(requests_of_a_forked_process_have_other_numbers, set_up),
        cmocka_unit_test_setup(whose_work_is_a_job_hands_no_request_over, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
