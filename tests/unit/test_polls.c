/* What jobs ask again and again: one record for all, within bounds. */
#include "../support/attached_segment.h"
#include "app_thread/polls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "handoff/segment.h"

#define SLOTS  512u
#define SECOND UINT64_C(1000000000)

static struct segment *segment;
static struct segment_reader reader;
static struct thread_state *self;
static const uint8_t trace[16] = "the trace of one";
static const uint8_t other_trace[16] = "that of another.";
static const uint8_t parent[8] = "the job.";

static int set_up(void **state)
{
    (void)state;
    segment = attach_segment(SLOTS);
    self = &thread_state;
    return segment_reader_init(&reader, segment, segment_size(SLOTS));
}

static int tear_down(void **state)
{
    (void)state;
    polls_end(self, NULL);
    assert_true(detach_segment(&reader, SLOTS));
    return 0;
}

struct question {
    const uint8_t *trace;
    const char *target;
    uint64_t start_ns;
    uint16_t status;
    uint64_t body;
};

static struct slice slice(const char *text)
{
    return slice_of(text, strlen(text));
}

/* As a request of a job does: ids first, then the record. True: there is no span of its own. */
static bool ask(struct question question)
{
    struct trace_identity identity = {0};
    uint16_t slot = exchange_begin(self, NULL, RECORD_HTTP_CLIENT, question.start_ns);
    struct record *record = exchange_record(slot);
    if (record == NULL) {
        fail();
        return false;
    }
    memcpy(record->trace_id, question.trace, sizeof record->trace_id);
    memcpy(record->parent_span_id, parent, sizeof parent);
    record->parent_source = PARENT_CAUSAL;
    memcpy(identity.trace_id, record->trace_id, sizeof identity.trace_id);
    memcpy(identity.span_id, record->span_id, sizeof identity.span_id);
    polls_name(&identity, SLICE("GET"), slice(question.target));
    memcpy(record->span_id, identity.span_id, sizeof record->span_id);
    record_add_field(record, FIELD_METHOD, SLICE("GET"), 8);
    record_add_field(record, FIELD_TARGET, slice(question.target), LIMIT_TARGET_TEXT);
    record->http.status = question.status;
    record->http.response_body_bytes = question.body;
    record->end_ns = question.start_ns + 1000;
    bool is_taken = polls_take(self, slot, record);
    if (!is_taken) {
        exchange_complete(self, slot, record->end_ns, RECORD_OK, 0);
    }
    return is_taken;
}

static struct poll_numbers numbers_of(const struct record *record)
{
    struct poll_numbers numbers = {0};
    struct slice field = record_find_field(record, FIELD_POLL);
    if (field.size == sizeof numbers) {
        memcpy(&numbers, field.data, sizeof numbers);
    }
    return numbers;
}

static void one_span_for_all(void **state)
{
    (void)state;
    struct record record;
    for (uint32_t i = 0; i < 300; i++) {
        assert_true(ask((struct question){trace, "/state/1", (i + 1) * SECOND, 200, i}));
        assert_false(segment_reader_next(&reader, &record));
    }
    assert_true(ask((struct question){other_trace, "/state/1", SECOND, 200, 1}));
    assert_true(ask((struct question){trace, "/state/2", SECOND, 200, 1}));
    polls_end(self, trace);
    assert_true(segment_reader_next(&reader, &record));
    assert_int_equal(numbers_of(&record).attempts, 300);
    assert_int_equal(numbers_of(&record).last_ns, 300 * SECOND);
    assert_int_equal(record.start_ns, SECOND);
    assert_int_equal(record.end_ns, 300 * SECOND + 1000);
    assert_int_equal(record.http.response_body_bytes, 299);
    /* What was asked once is a request as any other. */
    assert_true(segment_reader_next(&reader, &record));
    assert_null(record_find_field(&record, FIELD_POLL).data);
    assert_false(segment_reader_next(&reader, &record));
    polls_end(self, NULL);
    assert_true(segment_reader_next(&reader, &record));
    assert_memory_equal(record.trace_id, other_trace, 16);
}

/* The ids that went out are those of the span that comes out, but for what is none of the
 * questions. */
static void ids_go_out_once(void **state)
{
    (void)state;
    struct record first;
    struct record record;
    assert_true(ask((struct question){trace, "/s", SECOND, 202, 1}));
    assert_false(ask((struct question){trace, "/s", 2 * SECOND, 500, 1}));
    assert_true(segment_reader_next(&reader, &record));
    assert_false(ask((struct question){trace, "/s", 3 * SECOND, 200, LIMIT_POLL_BODY + 1}));
    assert_true(segment_reader_next(&reader, &first));
    assert_memory_not_equal(first.span_id, record.span_id, 8);
    assert_true(ask((struct question){trace, "/s", 4 * SECOND, 200, LIMIT_POLL_BODY}));
    polls_end(self, trace);
    assert_true(segment_reader_next(&reader, &first));
    assert_memory_not_equal(first.span_id, record.span_id, 8);
    assert_int_equal(numbers_of(&first).attempts, 2);
    assert_int_equal(numbers_of(&first).failures, 2);
    assert_int_equal(first.http.status, 200);
}

/* One that is not asked again for long is handed over, and a later one begins a count. */
static void waits_no_longer_than_it_may(void **state)
{
    (void)state;
    struct record record;
    assert_true(ask((struct question){trace, "/s", SECOND, 200, 1}));
    uint64_t due = SECOND + 1000 + LIMIT_POLL_NS;
    assert_true(ask((struct question){trace, "/t", due - 1000, 200, 1}));
    assert_false(segment_reader_next(&reader, &record));
    assert_true(ask((struct question){trace, "/u", due - 999, 200, 1}));
    assert_true(segment_reader_next(&reader, &record));
    assert_true(slice_equals(record_find_field(&record, FIELD_TARGET), SLICE("/s")));
    assert_true(ask((struct question){trace, "/s", due + SECOND, 200, 1}));
    assert_true(ask((struct question){trace, "/s", due + 2 * SECOND, 200, 1}));
    polls_end(self, trace);
    uint32_t attempts = 0;
    while (segment_reader_next(&reader, &record)) {
        attempts =
            numbers_of(&record).attempts > attempts ? numbers_of(&record).attempts : attempts;
    }
    assert_int_equal(attempts, 3);
}

static void so_many_wait_at_a_time(void **state)
{
    (void)state;
    struct record record;
    char target[32];
    for (uint32_t i = 0; i < LIMIT_POLLS; i++) {
        snprintf(target, sizeof target, "/s/%u", i);
        assert_true(ask((struct question){trace, target, SECOND, 200, 1}));
        assert_false(segment_reader_next(&reader, &record));
    }
    assert_true(ask((struct question){trace, "/s/0", SECOND, 200, 1}));
    assert_true(ask((struct question){trace, "/one more", SECOND, 200, 1}));
    assert_true(segment_reader_next(&reader, &record));
    assert_true(slice_equals(record_find_field(&record, FIELD_TARGET), SLICE("/s/1")));
    assert_false(segment_reader_next(&reader, &record));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_span_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_go_out_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waits_no_longer_than_it_may, set_up, tear_down),
        cmocka_unit_test_setup_teardown(so_many_wait_at_a_time, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
