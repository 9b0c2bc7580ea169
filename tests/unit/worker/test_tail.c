/* Traces that are judged as a whole, with records made by hand and time given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "process/sampling_ratio.h"
#include "worker/tail.h"

#define MS   UINT64_C(1000000)
#define WAIT (1000 * MS)
#define BASE (UINT64_C(1700000000000) * MS)

/* Fractions go by the last 7 bytes: these fall below both, between them, above both. */
#define UNLUCKY 0x00
#define MIDDLE  0xa0
#define LUCKY   0xf0

static struct tail *tail;
static struct resource *resource;
static struct record record;
static struct span span;
static uint64_t now_ns;

static int set_up(void **state)
{
    (void)state;
    now_ns = 5000 * MS;
    tail = tail_create(WAIT, SLICE("acme, zenith"), LIMIT_TAIL_BYTES);
    resource = calloc(1, sizeof(*resource));
    resource->references = 1;
    return tail == NULL || resource == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    tail = tail_destroy(tail);
    assert_null(tail);
    /* Whatever waited gave its reference back. */
    assert_int_equal(resource->references, 1);
    free(resource);
    return 0;
}

static void id_of(uint8_t id[16], uint32_t number, uint8_t luck)
{
    memset(id, 0, 16);
    memcpy(id, &number, sizeof(number));
    id[7] = 1;
    id[9] = luck;
}

/* A record of trace `number`, from `start_ms` to `end_ms`. */
static void begin(uint32_t number, uint8_t luck, uint64_t start_ms, uint64_t end_ms)
{
    memset(&record, 0, sizeof(record));
    record.kind = RECORD_REDIS_CLIENT;
    record.connection = number;
    id_of(record.trace_id, number, luck);
    span.status = SPAN_STATUS_UNSET;
    span.start_ns = BASE + start_ms * MS;
    span.end_ns = BASE + end_ms * MS;
}

static void link_to(uint32_t number, uint8_t luck)
{
    uint8_t link[24] = {0};
    id_of(link, number, luck);
    link[23] = 1;
    assert_true(record_add_field(&record, FIELD_LINK, slice_of(link, sizeof(link)), 24));
}

static enum tail_verdict take(void)
{
    const struct segment_clock clock = {.realtime_ns = BASE};
    return tail_take(tail, &record, &span, clock, resource, now_ns);
}

static enum tail_verdict take_of(uint32_t number, uint8_t luck, uint64_t start_ms, uint64_t end_ms)
{
    begin(number, luck, start_ms, end_ms);
    return take();
}

/* How many kept records of trace `number` come out, all being taken. */
static int kept_of(uint32_t number)
{
    struct record kept;
    struct segment_clock clock;
    struct resource *from;
    int count = 0;
    while (tail_next(tail, &kept, &clock, &from)) {
        count += kept.connection == number;
        assert_int_equal(clock.realtime_ns, BASE);
        resource_release(from);
    }
    return count;
}

static void wait_and_judge(void)
{
    now_ns += WAIT;
    tail_judge(tail, now_ns);
}

/* ---- the policy ---- */

static void thresholds_are_those_of_the_sampler(void **state)
{
    (void)state;
    assert_int_equal(TAIL_MEDIUM_THRESHOLD, sampling_ratio_threshold(0.5));
    assert_int_equal(TAIL_REST_THRESHOLD, sampling_ratio_threshold(0.1));
}

static void a_trace_waits_until_it_was_quiet(void **state)
{
    (void)state;
    assert_int_equal(tail_next_ns(tail), UINT64_MAX);
    assert_false(tail_is_waiting(tail));
    assert_int_equal(take_of(1, LUCKY, 0, 10), TAIL_HELD);
    assert_true(tail_is_waiting(tail));
    assert_int_equal(tail_next_ns(tail), now_ns + WAIT);
    now_ns += WAIT - 1;
    assert_int_equal(take_of(1, LUCKY, 10, 20), TAIL_HELD);
    tail_judge(tail, now_ns + WAIT - 1);
    assert_false(tail_has_kept(tail));
    wait_and_judge();
    assert_true(tail_has_kept(tail));
    assert_int_equal(kept_of(1), 2);
    assert_int_equal(tail_bytes(tail), 0);
    assert_int_equal(tail_count(tail)->kept_traces, 1);
    assert_int_equal(tail_count(tail)->kept_spans, 2);
}

static void fractions_go_by_the_trace_id(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        uint8_t luck;
        bool is_kept;
    } cases[] = {
        {999, UNLUCKY, false},  {999, MIDDLE, false}, {999, LUCKY, true},
        {1000, UNLUCKY, false}, {1000, MIDDLE, true}, {1000, LUCKY, true},
        {5000, UNLUCKY, false}, {5000, MIDDLE, true}, {5000, LUCKY, true},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(take_of(i, cases[i].luck, 0, cases[i].ms), TAIL_HELD);
        wait_and_judge();
        assert_int_equal(kept_of(i), cases[i].is_kept);
    }
    assert_int_equal(take_of(100, UNLUCKY, 0, 5001), TAIL_PASSES);
    assert_int_equal(tail_count(tail)->dropped_traces, 4);
    assert_int_equal(tail_count(tail)->dropped_spans, 4);
    assert_int_equal(tail_count(tail)->kept_traces, 6);
}

static void fractions_are_what_they_say(void **state)
{
    (void)state;
    uint64_t random = 1;
    int kept[2] = {0, 0};
    for (uint32_t i = 0; i < 20000; i++) {
        begin(i, 0, 0, i % 2 == 0 ? 10 : 2000);
        for (size_t at = 0; at < 16; at++) {
            random = random * UINT64_C(6364136223846793005) + 1;
            record.trace_id[at] = (uint8_t)(random >> 56);
        }
        assert_int_equal(take(), TAIL_HELD);
        now_ns += WAIT;
        tail_judge(tail, now_ns);
        kept[i % 2] += kept_of(i);
    }
    assert_in_range(kept[0], 900, 1100);
    assert_in_range(kept[1], 4850, 5150);
}

static void a_failure_keeps_all_of_its_trace(void **state)
{
    (void)state;
    assert_int_equal(take_of(1, UNLUCKY, 0, 10), TAIL_HELD);
    assert_int_equal(take_of(2, UNLUCKY, 0, 10), TAIL_HELD);
    begin(1, UNLUCKY, 10, 20);
    span.status = SPAN_STATUS_ERROR;
    assert_int_equal(take(), TAIL_PASSES);
    assert_int_equal(kept_of(1), 1);
    /* and what comes after it */
    assert_int_equal(take_of(1, UNLUCKY, 20, 30), TAIL_PASSES);
    wait_and_judge();
    assert_int_equal(kept_of(2), 0);
    assert_int_equal(tail_count(tail)->kept_traces, 1);
    assert_int_equal(tail_count(tail)->kept_spans, 3);
    assert_int_equal(tail_count(tail)->dropped_traces, 1);
}

static void customers_that_matter_are_kept(void **state)
{
    (void)state;
    static const struct {
        enum field_tag tag;
        const char *value;
        enum tail_verdict verdict;
    } cases[] = {
        {FIELD_JOB_TIER, "vip", TAIL_PASSES},        {FIELD_JOB_TIER, "VIP", TAIL_PASSES},
        {FIELD_JOB_TIER, "free", TAIL_HELD},         {FIELD_JOB_CUSTOMER, "acme", TAIL_PASSES},
        {FIELD_JOB_CUSTOMER, "zenith", TAIL_PASSES}, {FIELD_JOB_CUSTOMER, "zen", TAIL_HELD},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(i, UNLUCKY, 0, 10);
        record_add_field(&record, cases[i].tag, slice_of(cases[i].value, strlen(cases[i].value)),
                         100);
        assert_int_equal(take(), cases[i].verdict);
    }
}

static void the_duration_is_that_of_the_whole_trace(void **state)
{
    (void)state;
    assert_int_equal(take_of(1, UNLUCKY, 0, 10), TAIL_HELD);
    assert_int_equal(take_of(1, UNLUCKY, 4900, 5000), TAIL_HELD);
    assert_int_equal(take_of(1, UNLUCKY, 5000, 5001), TAIL_PASSES);
    assert_int_equal(kept_of(1), 2);
}

/* ---- what is linked ---- */

static void a_slow_job_keeps_the_request_that_caused_it(void **state)
{
    (void)state;
    /* the request, 20 ms; its submission, in the job's trace */
    begin(2, UNLUCKY, 5, 6);
    link_to(1, UNLUCKY);
    assert_int_equal(take(), TAIL_HELD);
    assert_int_equal(take_of(1, UNLUCKY, 0, 20), TAIL_HELD);
    /* the job waits for its turn, works, and is open meanwhile */
    uint8_t id[16];
    id_of(id, 2, UNLUCKY);
    for (int i = 0; i < 6; i++) {
        now_ns += WAIT - 1;
        tail_note_open(tail, id, now_ns);
        tail_judge(tail, now_ns);
    }
    assert_int_equal(take_of(2, UNLUCKY, 30, 6030), TAIL_PASSES);
    struct record kept;
    struct segment_clock clock;
    struct resource *from;
    int traces = 0;
    while (tail_next(tail, &kept, &clock, &from)) {
        traces |= 1 << kept.connection;
        resource_release(from);
    }
    assert_int_equal(traces, 1 << 1 | 1 << 2);
    /* what is late of the request goes the same way */
    assert_int_equal(take_of(1, UNLUCKY, 20, 21), TAIL_PASSES);
    assert_int_equal(tail_count(tail)->kept_traces, 2);
    assert_int_equal(tail_count(tail)->dropped_spans, 0);
}

static void a_reason_is_found_behind_a_link(void **state)
{
    (void)state;
    begin(1, UNLUCKY, 0, 1);
    span.status = SPAN_STATUS_ERROR;
    assert_int_equal(take(), TAIL_PASSES);
    assert_int_equal(take_of(2, UNLUCKY, 0, 1), TAIL_HELD);
    begin(2, UNLUCKY, 1, 2);
    link_to(1, UNLUCKY);
    assert_int_equal(take(), TAIL_PASSES);
    assert_int_equal(kept_of(2), 1);
    /* the other way round: the link is the one that was kept's */
    begin(1, UNLUCKY, 1, 2);
    link_to(3, UNLUCKY);
    assert_int_equal(take(), TAIL_PASSES);
    assert_int_equal(take_of(3, UNLUCKY, 0, 1), TAIL_PASSES);
    assert_int_equal(tail_count(tail)->kept_traces, 2);
}

/* Each job submits the next one. */
static void a_reason_does_not_go_on_without_end(void **state)
{
    (void)state;
    begin(0, UNLUCKY, 0, 1);
    span.status = SPAN_STATUS_ERROR;
    assert_int_equal(take(), TAIL_PASSES);
    for (uint32_t i = 1; i <= LIMIT_TAIL_JOINED; i++) {
        begin(i, UNLUCKY, 0, 1);
        link_to(i - 1, UNLUCKY);
        assert_int_equal(take(), TAIL_PASSES);
    }
    begin(LIMIT_TAIL_JOINED + 1, UNLUCKY, 0, 1);
    link_to(LIMIT_TAIL_JOINED, UNLUCKY);
    assert_int_equal(take(), TAIL_HELD);
}

static void so_many_traces_are_judged_as_one(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= LIMIT_TAIL_JOINED + 1; i++) {
        assert_int_equal(take_of(i, UNLUCKY, 0, 1), TAIL_HELD);
    }
    begin(0, UNLUCKY, 0, 1);
    assert_int_equal(take(), TAIL_HELD);
    for (uint32_t i = 1; i < LIMIT_TAIL_JOINED + 1; i++) {
        begin(0, UNLUCKY, 0, 1);
        link_to(i, UNLUCKY);
        assert_int_equal(take(), TAIL_HELD);
    }
    begin(0, UNLUCKY, 0, 1);
    span.status = SPAN_STATUS_ERROR;
    assert_int_equal(take(), TAIL_PASSES);
    assert_int_equal(tail_count(tail)->kept_traces, LIMIT_TAIL_JOINED);
    wait_and_judge();
    assert_int_equal(tail_count(tail)->dropped_traces, 2);
}

/* ---- what comes late, and bounds ---- */

static void what_comes_late_goes_the_same_way(void **state)
{
    (void)state;
    assert_int_equal(take_of(1, UNLUCKY, 0, 10), TAIL_HELD);
    assert_int_equal(take_of(2, LUCKY, 0, 10), TAIL_HELD);
    wait_and_judge();
    assert_int_equal(kept_of(2), 1);
    assert_int_equal(take_of(1, UNLUCKY, 10, 11), TAIL_DROPPED);
    assert_int_equal(take_of(2, LUCKY, 10, 11), TAIL_PASSES);
    /* a late reason saves what follows */
    assert_int_equal(take_of(1, UNLUCKY, 10, 6000), TAIL_PASSES);
    assert_int_equal(take_of(1, UNLUCKY, 6000, 6001), TAIL_PASSES);
    assert_int_equal(tail_count(tail)->dropped_spans, 2);
}

static void judged_traces_are_forgotten_in_the_end(void **state)
{
    (void)state;
    begin(0, UNLUCKY, 0, 10);
    span.status = SPAN_STATUS_ERROR;
    assert_int_equal(take(), TAIL_PASSES);
    for (uint32_t i = 1; i < LIMIT_TAIL_REMEMBERED; i++) {
        begin(i, UNLUCKY, 0, 10);
        span.status = SPAN_STATUS_ERROR;
        assert_int_equal(take(), TAIL_PASSES);
    }
    assert_int_equal(take_of(0, UNLUCKY, 0, 10), TAIL_PASSES);
    begin(LIMIT_TAIL_REMEMBERED, UNLUCKY, 0, 10);
    span.status = SPAN_STATUS_ERROR;
    assert_int_equal(take(), TAIL_PASSES);
    assert_int_equal(take_of(0, UNLUCKY, 0, 10), TAIL_HELD);
    assert_int_equal(take_of(1, UNLUCKY, 0, 10), TAIL_PASSES);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    size_t bound = 100000;
    tail_destroy(tail);
    tail = tail_create(WAIT, SLICE(""), bound);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(take_of(i, UNLUCKY, 0, 10), TAIL_HELD);
        assert_true(tail_bytes(tail) <= bound);
    }
    /* the oldest were judged by what was known */
    assert_true(tail_count(tail)->hurried_traces > 500);
    assert_int_equal(tail_count(tail)->hurried_traces, tail_count(tail)->dropped_traces);
    assert_int_equal(take_of(0, UNLUCKY, 10, 11), TAIL_DROPPED);
    assert_int_equal(take_of(999, UNLUCKY, 10, 11), TAIL_HELD);
}

static void what_is_kept_and_not_taken_fills_the_memory(void **state)
{
    (void)state;
    tail_destroy(tail);
    tail = tail_create(WAIT, SLICE(""), 100000);
    enum tail_verdict verdict = TAIL_HELD;
    uint32_t taken = 0;
    for (; verdict == TAIL_HELD && taken < 1000; taken++) {
        verdict = take_of(taken, LUCKY, 0, 10);
    }
    assert_int_equal(verdict, TAIL_NO_ROOM);
    int kept = 0;
    struct record other;
    struct segment_clock clock;
    struct resource *from;
    while (tail_next(tail, &other, &clock, &from)) {
        resource_release(from);
        kept++;
    }
    assert_int_equal(kept, taken - 1);
    assert_int_equal(take_of(2000, LUCKY, 0, 10), TAIL_HELD);
}

static void a_record_comes_out_as_it_went_in(void **state)
{
    (void)state;
    begin(1, LUCKY, 0, 10);
    record_add_field(&record, FIELD_COMMAND, SLICE("HGETALL"), 100);
    link_to(1, LUCKY); /* to itself: no other trace */
    struct record before = record;
    assert_int_equal(take(), TAIL_HELD);
    wait_and_judge();
    struct record after;
    memset(&after, 0, sizeof(after));
    struct segment_clock clock;
    struct resource *from;
    assert_true(tail_next(tail, &after, &clock, &from));
    assert_memory_equal(&before, &after, sizeof(after));
    assert_ptr_equal(from, resource);
    resource_release(from);
    assert_false(tail_next(tail, &after, &clock, &from));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(thresholds_are_those_of_the_sampler),
        TEST(a_trace_waits_until_it_was_quiet),
        TEST(fractions_go_by_the_trace_id),
        TEST(fractions_are_what_they_say),
        TEST(a_failure_keeps_all_of_its_trace),
        TEST(customers_that_matter_are_kept),
        TEST(the_duration_is_that_of_the_whole_trace),
        TEST(a_slow_job_keeps_the_request_that_caused_it),
        TEST(a_reason_is_found_behind_a_link),
        TEST(a_reason_does_not_go_on_without_end),
        TEST(so_many_traces_are_judged_as_one),
        TEST(what_comes_late_goes_the_same_way),
        TEST(judged_traces_are_forgotten_in_the_end),
        TEST(memory_is_bounded),
        TEST(what_is_kept_and_not_taken_fills_the_memory),
        TEST(a_record_comes_out_as_it_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
