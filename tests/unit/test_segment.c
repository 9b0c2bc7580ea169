/* The segment: slots claimed, completed and drained; by many threads at once; after a death. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "handoff/bell_page.h"
#include "handoff/segment.h"

static struct segment *make_segment(uint32_t slots)
{
    size_t size = segment_size(slots);
    struct segment *segment = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(segment);
    memset(segment, 0, size);
    segment_initialize(segment, slots, 1, (struct segment_clock){1, 1});
    return segment;
}

static void fill(struct record *record, uint64_t number)
{
    record->kind = RECORD_HTTP_CLIENT;
    record->start_ns = number + 1;
    memset(record->trace_id, 1, sizeof(record->trace_id));
    memcpy(record->span_id, &record->start_ns, sizeof(record->span_id));
    record->text_used = 0;
}

static void completed_records_come_out_once_in_order(void **state)
{
    (void)state;
    struct segment *segment = make_segment(64);
    struct segment_reader reader;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(64)), 0);
    uint32_t cursor = 0;
    struct record copy;
    for (uint64_t round = 0; round < 1000; round++) {
        for (uint64_t i = 0; i < 48; i++) {
            uint16_t slot = segment_claim(segment, &cursor);
            assert_int_not_equal(slot, SEGMENT_NO_SLOT);
            fill(segment_record(segment, slot), round * 48 + i);
            segment_open(segment, slot);
            segment_record(segment, slot)->end_ns = UINT64_MAX;
            segment_complete(segment, &segment->doorbell, slot, 3);
        }
        for (uint64_t i = 0; i < 48; i++) {
            assert_true(segment_reader_next(&reader, &copy));
            assert_int_equal(copy.start_ns, round * 48 + i + 1);
        }
        assert_false(segment_reader_next(&reader, &copy));
    }
    assert_int_equal(segment->losses[LOSS_SEGMENT_FULL], 0);
    free(segment);
}

static void a_full_segment_counts_and_recovers(void **state)
{
    (void)state;
    struct segment *segment = make_segment(16);
    uint32_t cursor = 0;
    for (int i = 0; i < 16; i++) {
        assert_int_not_equal(segment_claim(segment, &cursor), SEGMENT_NO_SLOT);
    }
    assert_int_equal(segment_claim(segment, &cursor), SEGMENT_NO_SLOT);
    assert_int_equal(segment->losses[LOSS_SEGMENT_FULL], 1);
    segment_cancel(segment, 7);
    assert_int_equal(segment_claim(segment, &cursor), 7);
    free(segment);
}

static void what_remains_after_a_death_comes_out(void **state)
{
    (void)state;
    struct segment *segment = make_segment(16);
    struct segment_reader reader;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(16)), 0);
    uint32_t cursor = 0;
    uint16_t claimed = segment_claim(segment, &cursor);
    uint16_t open = segment_claim(segment, &cursor);
    uint16_t done = segment_claim(segment, &cursor);
    (void)claimed;
    fill(segment_record(segment, open), 10);
    segment_record(segment, open)->trace_id[15] = 10;
    segment_open(segment, open);
    fill(segment_record(segment, done), 20);
    segment_record(segment, done)->trace_id[15] = 20;
    segment_record(segment, done)->end_ns = 30;
    /* Killed between completing and publishing: DONE, but in no ring. */
    atomic_store(&segment->states[done], SLOT_DONE);

    uint32_t position = 0;
    uint8_t open_trace[16];
    assert_true(segment_reader_next_open(&reader, &position, open_trace));
    assert_int_equal(open_trace[15], 10);
    assert_true(segment_reader_next_open(&reader, &position, open_trace));
    assert_int_equal(open_trace[15], 20);
    assert_false(segment_reader_next_open(&reader, &position, open_trace));

    position = 0;
    struct record copy;
    assert_true(segment_reader_next_remaining(&reader, &position, 99,
                                              record_abort_cause(ABORT_SIGNAL, 9), &copy));
    assert_int_equal(copy.start_ns, 11);
    assert_int_equal(copy.error, RECORD_ERROR_ABORTED);
    assert_int_equal(copy.system_error, record_abort_cause(ABORT_SIGNAL, 9));
    assert_int_equal(copy.end_ns, 99);
    assert_true(segment_reader_next_remaining(&reader, &position, 99,
                                              record_abort_cause(ABORT_SIGNAL, 9), &copy));
    assert_int_equal(copy.start_ns, 21);
    assert_int_equal(copy.error, RECORD_OK);
    assert_false(segment_reader_next_remaining(&reader, &position, 99,
                                               record_abort_cause(ABORT_SIGNAL, 9), &copy));
    assert_int_equal(segment->losses[LOSS_RECORD_INVALID], 1);
    free(segment);
}

static void a_segment_that_lies_is_refused(void **state)
{
    (void)state;
    struct segment *segment = make_segment(16);
    struct segment_reader reader;
    size_t size = segment_size(16);
    assert_int_equal(segment_reader_init(&reader, segment, size - 1), -EINVAL);
    segment->slot_count = 15;
    assert_int_equal(segment_reader_init(&reader, segment, size), -EINVAL);
    segment->slot_count = 32;
    assert_int_equal(segment_reader_init(&reader, segment, size), -EINVAL);
    segment->slot_count = 2 * LIMIT_SEGMENT_SLOTS;
    assert_int_equal(segment_reader_init(&reader, segment, SIZE_MAX), -EINVAL);
    segment->slot_count = 16;
    segment->magic++;
    assert_int_equal(segment_reader_init(&reader, segment, size), -EINVAL);
    free(segment);
}

static void slots_out_of_range_in_a_ring_are_counted(void **state)
{
    (void)state;
    struct segment *segment = make_segment(16);
    struct segment_reader reader;
    struct record copy;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(16)), 0);
    segment->rings[0].tail = 2;
    segment->rings[0].places[0] = 1u << 16 | 4000;
    segment->rings[0].places[1] = 1u << 16 | 3; /* in range, but free */
    assert_false(segment_reader_next(&reader, &copy));
    assert_int_equal(segment->losses[LOSS_RECORD_INVALID], 2);
    free(segment);
}

static void a_place_never_written_is_stepped_over_after_a_minute(void **state)
{
    (void)state;
    struct segment *segment = make_segment(16);
    struct segment_reader reader;
    struct record copy;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(16)), 0);
    segment->rings[0].tail = 1; /* claimed by a thread that died */
    uint32_t cursor = 0;
    uint16_t slot = segment_claim(segment, &cursor);
    fill(segment_record(segment, slot), 7);
    segment_open(segment, slot);
    segment_record(segment, slot)->end_ns = UINT64_MAX;
    segment_complete(segment, &segment->doorbell, slot, 0);
    reader.now_ns = 1;
    for (int i = 0; i < 100000; i++) {
        assert_false(segment_reader_next(&reader, &copy));
    }
    reader.now_ns += UINT64_C(60000000000);
    assert_false(segment_reader_next(&reader, &copy));
    reader.now_ns += 1;
    assert_false(segment_reader_next(&reader, &copy));
    assert_true(segment_reader_next(&reader, &copy));
    assert_int_equal(copy.start_ns, 8);
    free(segment);
}

/* Two completions of which the first stands between claiming its place and writing it. Returns what
   is to be written there. */
static uint32_t leave_a_place_unwritten(struct segment *segment)
{
    uint32_t cursor = 0;
    uint32_t place = 0;
    for (uint64_t number = 1; number <= 2; number++) {
        uint16_t slot = segment_claim(segment, &cursor);
        fill(segment_record(segment, slot), number);
        segment_record(segment, slot)->end_ns = UINT64_MAX;
        segment_complete(segment, &segment->doorbell, slot, 0);
        if (number == 1) {
            place = atomic_exchange(&segment->rings[0].places[0], 0);
        }
    }
    return place;
}

static void a_late_writer_is_waited_for(void **state)
{
    (void)state;
    struct segment *segment = make_segment(64);
    struct segment_reader reader;
    struct record copy;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(64)), 0);
    uint32_t place = leave_a_place_unwritten(segment);
    for (int looks = 0; looks < 5000; looks++) {
        reader.now_ns = UINT64_C(1000000000) + (uint64_t)looks * 12000000;
        assert_false(segment_reader_next(&reader, &copy));
    }
    atomic_store(&segment->rings[0].places[0], place);
    assert_true(segment_reader_next(&reader, &copy));
    assert_int_equal(copy.start_ns, 2);
    assert_true(segment_reader_next(&reader, &copy));
    assert_int_equal(copy.start_ns, 3);
    assert_int_equal(segment->losses[LOSS_RECORD_INVALID], 0);
    free(segment);
}

static void a_writer_that_never_comes_back_is_stepped_over(void **state)
{
    (void)state;
    struct segment *segment = make_segment(64);
    struct segment_reader reader;
    struct record copy;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(64)), 0);
    leave_a_place_unwritten(segment);
    reader.now_ns = 1;
    assert_false(segment_reader_next(&reader, &copy));
    reader.now_ns += UINT64_C(60000000000);
    assert_false(segment_reader_next(&reader, &copy));
    reader.now_ns += 1;
    assert_false(segment_reader_next(&reader, &copy));
    /* who sleeps on the doorbell knows where the drainer is, and sees no backlog but the rest */
    assert_int_equal(atomic_load(&segment->rings[0].drained), 1);
    assert_true(segment_reader_next(&reader, &copy));
    assert_int_equal(copy.start_ns, 3);
    assert_int_equal(atomic_load(&segment->rings[0].drained), 2);
    uint32_t position = 0;
    assert_true(segment_reader_next_remaining(&reader, &position, 9, 0, &copy));
    assert_int_equal(copy.start_ns, 2);
    free(segment);
}

/* A thread that rested while others wrote stands where all is taken. */
static void a_free_record_is_found_behind_a_backlog(void **state)
{
    (void)state;
    struct segment *segment = make_segment(LIMIT_SEGMENT_SLOTS);
    uint32_t cursor = 0;
    for (uint32_t i = 0; i < LIMIT_SEGMENT_SLOTS / 4 * 3; i++) {
        assert_int_not_equal(segment_claim(segment, &cursor), SEGMENT_NO_SLOT);
    }
    uint32_t other = 100;
    assert_int_not_equal(segment_claim(segment, &other), SEGMENT_NO_SLOT);
    assert_int_not_equal(segment_try_claim(segment, &other), SEGMENT_NO_SLOT);
    assert_int_equal(segment->losses[LOSS_SEGMENT_FULL], 0);
    free(segment);
}

/* However the records are spread over the rings. */
static void a_backlog_wakes_the_drainer_in_time(void **state)
{
    (void)state;
    for (uint32_t rings = 1; rings <= LIMIT_SEGMENT_RINGS; rings++) {
        struct segment *segment = make_segment(LIMIT_SEGMENT_SLOTS);
        uint32_t cursor = 0;
        uint32_t written = 0;
        doorbell_announce(&segment->doorbell, DRAINER_TIMED);
        while (atomic_load(&segment->doorbell.asleep) == DRAINER_TIMED && written < 4096) {
            uint16_t slot = segment_claim(segment, &cursor);
            fill(segment_record(segment, slot), written);
            segment_open(segment, slot);
            segment_record(segment, slot)->end_ns = UINT64_MAX;
            segment_complete(segment, &segment->doorbell, slot, written % rings);
            written++;
        }
        assert_in_range(written, LIMIT_SEGMENT_SLOTS / 4, LIMIT_SEGMENT_SLOTS / 2);
        free(segment);
    }
}

#define WRITERS 4
#define EACH    200000u
#define ALL     (WRITERS * (uint64_t)EACH)

struct writer {
    struct segment *segment;
    uint64_t first;
    uint32_t ring;
};

static void *write_records(void *argument)
{
    struct writer *writer = argument;
    uint32_t cursor = writer->ring * 256;
    for (uint64_t i = 0; i < EACH; i++) {
        uint16_t slot = segment_claim(writer->segment, &cursor);
        if (slot == SEGMENT_NO_SLOT) {
            continue;
        }
        fill(segment_record(writer->segment, slot), writer->first + i);
        segment_open(writer->segment, slot);
        segment_record(writer->segment, slot)->end_ns = UINT64_MAX;
        segment_complete(writer->segment, &writer->segment->doorbell, slot, writer->ring);
    }
    return NULL;
}

static void sleep_on(struct segment_reader *reader)
{
    struct doorbell *doorbell = &reader->segment->doorbell;
    uint32_t word = doorbell_word(doorbell);
    doorbell_announce(doorbell, DRAINER_IDLE);
    doorbell_wait(doorbell, word, segment_reader_has_backlog(reader) ? 1000000u : 100000000u);
    doorbell_announce(doorbell, DRAINER_AWAKE);
}

static void threads_lose_nothing_that_is_not_counted(void **state)
{
    (void)state;
    struct segment *segment = make_segment(LIMIT_SEGMENT_SLOTS);
    struct segment_reader reader;
    assert_int_equal(segment_reader_init(&reader, segment, segment_size(LIMIT_SEGMENT_SLOTS)), 0);
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){segment, i * (uint64_t)EACH, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_records, &writers[i]), 0);
    }
    uint8_t *seen = calloc(ALL, 1);
    assert_non_null(seen);
    struct record copy;
    uint64_t received = 0;
    for (;;) {
        while (segment_reader_next(&reader, &copy)) {
            assert_true(copy.start_ns <= ALL);
            assert_int_equal(seen[copy.start_ns - 1]++, 0);
            received++;
        }
        if (received + segment->losses[LOSS_SEGMENT_FULL] == ALL) {
            break;
        }
        sleep_on(&reader);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_false(segment_reader_next(&reader, &copy));
    assert_int_equal(segment->losses[LOSS_RECORD_INVALID], 0);
    free(seen);
    free(segment);
}

/* Who asks takes the time first, and may be interrupted before the look at the page. */
static void a_drainer_that_spoke_after_the_question_is_alive(void **state)
{
    (void)state;
    struct bell_page page = {.alive_ns = 10 * BELL_SILENCE_NS};
    assert_true(bell_page_is_alive(&page, 10 * BELL_SILENCE_NS - 1));
    assert_true(bell_page_is_alive(&page, 1));
    assert_true(bell_page_is_alive(&page, 11 * BELL_SILENCE_NS - 1));
    assert_false(bell_page_is_alive(&page, 11 * BELL_SILENCE_NS));
}

#define EXITED_WITH(code) ((code) << 8)

static void a_parent_tells_how_its_child_ended(void **state)
{
    (void)state;
    static struct bell_page page;
    assert_int_equal(bell_page_find_end(&page, 77, 5, 100), -1);
    bell_page_note_end(&page, 77, 5, EXITED_WITH(3), 200);
    assert_int_equal(bell_page_find_end(&page, 77, 5, 100), EXITED_WITH(3));
    /* It had the number before. */
    assert_int_equal(bell_page_find_end(&page, 77, 5, 201), -1);
    /* Numbers of another namespace. */
    assert_int_equal(bell_page_find_end(&page, 77, 6, 100), -1);
    bell_page_note_end(&page, 77 + BELL_ENDS, 5, 9, 300);
    assert_int_equal(bell_page_find_end(&page, 77, 5, 100), -1);
    assert_int_equal(bell_page_find_end(&page, 77 + BELL_ENDS, 5, 100), 9);
    /* A namespace's number has more bits than are kept. */
    bell_page_note_end(&page, 1, 0xF0000005, 9, 300);
    assert_int_equal(bell_page_find_end(&page, 1, 0xF0000005, 100), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completed_records_come_out_once_in_order),
        cmocka_unit_test(a_full_segment_counts_and_recovers),
        cmocka_unit_test(what_remains_after_a_death_comes_out),
        cmocka_unit_test(a_segment_that_lies_is_refused),
        cmocka_unit_test(slots_out_of_range_in_a_ring_are_counted),
        cmocka_unit_test(a_place_never_written_is_stepped_over_after_a_minute),
        cmocka_unit_test(a_late_writer_is_waited_for),
        cmocka_unit_test(a_writer_that_never_comes_back_is_stepped_over),
        cmocka_unit_test(a_free_record_is_found_behind_a_backlog),
        cmocka_unit_test(a_backlog_wakes_the_drainer_in_time),
        cmocka_unit_test(threads_lose_nothing_that_is_not_counted),
        cmocka_unit_test(a_parent_tells_how_its_child_ended),
        cmocka_unit_test(a_drainer_that_spoke_after_the_question_is_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
