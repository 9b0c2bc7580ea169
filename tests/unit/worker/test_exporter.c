/* The whole worker side but for its transports: a segment filled by hand, time and randomness
   given, batches read back with protobuf-c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <otlp.pb-c.h>

#include "fake_transport.h"
#include "worker/exporter.h"

#define MS       UINT64_C(1000000)
#define START_MS UINT64_C(1000000)

static uint64_t now_ms;
static uint64_t random_state;
static char said[16384];
static struct config config;
static struct exporter *exporter;
static struct fake_transport *fakes[LIMIT_TRANSPORTS];
static struct segment *segments[2];
static struct worker_wait wait_wish;
static bool serves_others;
static size_t mapped_size;

static void read_clock(void *context, struct segment_clock *now)
{
    (void)context;
    now->monotonic_ns = now_ms * MS;
    now->realtime_ns = UINT64_C(1700000000000) * MS + now_ms * MS;
}

static uint64_t draw(void *context)
{
    (void)context;
    return random_state += UINT64_C(0x9e3779b97f4a7c15);
}

static void keep(void *context, const char *text, size_t size)
{
    (void)context;
    size_t used = strlen(said);
    assert_true(used + size < sizeof(said));
    memcpy(said + used, text, size);
    said[used + size] = '\0';
}

static const struct exporter_seams seams = {
    .clock = read_clock,
    .random = draw,
    .write = keep,
    .root = "/nowhere",
};

/* Both exist before an exporter does; config may be changed in between. */
static int set_up(void **state)
{
    (void)state;
    now_ms = START_MS;
    random_state = 1;
    serves_others = false;
    said[0] = '\0';
    config_parse(&config, (const char *const[]){NULL}, NULL, NULL);
    mapped_size = segment_size(64);
    for (int i = 0; i < 2; i++) {
        struct segment_clock now;
        read_clock(NULL, &now);
        segments[i] = aligned_alloc(64, (mapped_size + 63) / 64 * 64);
        memset(segments[i], 0, mapped_size);
        segment_initialize(segments[i], 64, 100 + i, now);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    exporter_destroy(exporter);
    exporter = NULL;
    for (int i = 0; i < 2; i++) {
        free(segments[i]);
    }
    return 0;
}

static void create(const char *first, const char *second)
{
    struct transport *transports[2];
    uint32_t count = 0;
    fakes[0] = fake_create(first);
    transports[count++] = &fakes[0]->base;
    if (second != NULL) {
        fakes[1] = fake_create(second);
        transports[count++] = &fakes[1]->base;
    }
    struct exporter_seams used = seams;
    used.serves_others = serves_others;
    exporter = exporter_create(&config, &used, transports, count);
    assert_non_null(exporter);
    assert_int_equal(drain_add_segment(exporter, segments[0], mapped_size, NULL), 0);
}

static struct record *open_record(struct segment *segment, uint16_t *slot, unsigned number)
{
    static uint32_t cursor;
    *slot = segment_claim(segment, &cursor);
    assert_int_not_equal(*slot, SEGMENT_NO_SLOT);
    struct record *record = segment_record(segment, *slot);
    char command[16];
    int size = snprintf(command, sizeof(command), "C%u", number);
    record->kind = RECORD_REDIS_CLIENT;
    record->trace_flags = 3;
    record->trace_id[0] = 1;
    record->span_id[0] = 1;
    record->start_ns = now_ms * MS;
    record->redis.database = -1;
    record_add_field(record, FIELD_COMMAND, slice_of(command, (size_t)size), 16);
    segment_open(segment, *slot);
    return record;
}

static struct record *complete_in(struct segment *segment, unsigned number, uint8_t trace_flags)
{
    uint16_t slot;
    struct record *record = open_record(segment, &slot, number);
    record->trace_flags = trace_flags;
    record->end_ns = record->start_ns + 1;
    segment_complete(segment, &segment->doorbell, slot, 0);
    return record;
}

static void complete(unsigned number)
{
    complete_in(segments[0], number, 3);
}

static void step(bool flush)
{
    exporter_step(exporter, now_ms * MS, flush, &wait_wish);
}

/* The names of all spans of one delivered batch, by resource. */
static const char *names_of(const struct fake_transport *fake, uint32_t number)
{
    static char names[4096];
    names[0] = '\0';
    assert_true(number < fake->delivered_count);
    const struct fake_batch *batch = &fake->delivered[number];
    Otlp__ExportTraceServiceRequest *request =
        otlp__export_trace_service_request__unpack(NULL, batch->size, batch->bytes);
    assert_non_null(request);
    for (size_t r = 0; r < request->n_resource_spans; r++) {
        const Otlp__ScopeSpans *scope = request->resource_spans[r]->scope_spans[0];
        assert_string_equal(scope->scope->name, "wirespan");
        for (size_t i = 0; i < scope->n_spans; i++) {
            strcat(names, scope->spans[i]->name);
            strcat(names, " ");
        }
        strcat(names, "|");
    }
    otlp__export_trace_service_request__free_unpacked(request, NULL);
    return names;
}

/* ---- the schedule ---- */

static void the_first_flush_follows_quiet(void **state)
{
    (void)state;
    create("otlp", NULL);
    step(false);
    assert_true(wait_wish.idle);
    assert_int_equal(wait_wish.descriptor_count, 0);
    assert_true(exporter_is_drained(exporter));
    complete(1);
    step(false);
    assert_false(wait_wish.idle);
    assert_int_equal(wait_wish.timeout_ns, 250 * MS);
    assert_false(exporter_is_drained(exporter));
    now_ms += 249;
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 0);
    now_ms += 1;
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 1);
    assert_string_equal(names_of(fakes[0], 0), "C1 |");
    assert_true(wait_wish.idle);
    assert_true(exporter_is_drained(exporter));
    /* from now on the schedule */
    now_ms += 100;
    complete(2);
    step(false);
    assert_int_equal(wait_wish.timeout_ns, 4900 * MS);
    now_ms += 4899;
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 1);
    now_ms += 1;
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 2);
}

static void a_full_batch_goes_at_once(void **state)
{
    (void)state;
    config.max_batch_size = 3;
    create("otlp", NULL);
    complete(1);
    complete(2);
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 0);
    for (unsigned i = 3; i <= 7; i++) {
        complete(i);
    }
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 2);
    assert_string_equal(names_of(fakes[0], 0), "C1 C2 C3 |");
    assert_string_equal(names_of(fakes[0], 1), "C4 C5 C6 |");
}

static void a_flush_sends_everything(void **state)
{
    (void)state;
    config.max_batch_size = 3;
    create("otlp", NULL);
    for (unsigned i = 1; i <= 4; i++) {
        complete(i);
    }
    step(true);
    assert_int_equal(fakes[0]->delivered_count, 2);
    assert_string_equal(names_of(fakes[0], 1), "C4 |");
    assert_true(exporter_is_drained(exporter));
}

static void while_in_flight_the_segments_are_looked_at_often(void **state)
{
    (void)state;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_PENDING;
    complete(1);
    step(true);
    assert_int_equal(wait_wish.descriptor_count, 1);
    assert_int_equal(wait_wish.descriptors[0].fd, 7);
    assert_int_equal(wait_wish.timeout_ns, 5 * MS);
    now_ms += 5;
    step(false);
    assert_int_equal(wait_wish.timeout_ns, 20 * MS);
    assert_false(exporter_is_drained(exporter));
    fakes[0]->result = TRANSPORT_DELIVERED;
    step(false);
    assert_true(exporter_is_drained(exporter));
}

static void in_a_rush_the_segments_are_looked_at_more_often(void **state)
{
    (void)state;
    const uint32_t rush = LIMIT_SEGMENT_SLOTS / 8;
    struct segment_clock now;
    read_clock(NULL, &now);
    size_t size = (segment_size(rush) + 63) / 64 * 64;
    struct segment *large = aligned_alloc(64, size);
    assert_non_null(large);
    memset(large, 0, size);
    segment_initialize(large, rush, 102, now);
    create("otlp", NULL);
    assert_int_equal(drain_add_segment(exporter, large, segment_size(rush), NULL), 0);
    fakes[0]->result = TRANSPORT_PENDING;
    for (unsigned i = 1; i < rush; i++) {
        complete_in(large, i, 3);
    }
    step(true);
    assert_int_equal(wait_wish.timeout_ns, 5 * MS);
    now_ms += 5;
    for (unsigned i = 1; i <= rush; i++) {
        complete_in(large, i, 3);
    }
    step(true);
    assert_int_equal(wait_wish.timeout_ns, 1 * MS);
    drain_remove_segment(exporter, large, 0);
    free(large);
}

static void a_console_is_sent_to_at_once(void **state)
{
    (void)state;
    create("console", "otlp");
    complete(1);
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 1);
    assert_int_equal(fakes[1]->delivered_count, 0);
    now_ms += 250;
    step(false);
    assert_int_equal(fakes[1]->delivered_count, 1);
    now_ms += 1;
    complete(2);
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 2);
    assert_int_equal(fakes[1]->delivered_count, 1);
}

static void trouble_is_told_to_who_waits_for_a_flush(void **state)
{
    (void)state;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_PENDING;
    complete(1);
    step(true);
    assert_false(wait_wish.stalled);
    fakes[0]->result = TRANSPORT_RETRY;
    now_ms += 1;
    step(true);
    assert_true(wait_wish.stalled);
    assert_int_equal(fakes[0]->begun, 1);
    /* the same flush tries no more, another one does, once */
    now_ms += 1;
    step(true);
    assert_int_equal(fakes[0]->begun, 1);
    step(false);
    step(true);
    assert_int_equal(fakes[0]->begun, 2);
    assert_true(wait_wish.stalled);
    /* a receiver that wants more time than a batch has */
    fakes[0]->retry_after_ms = 100000;
    step(false);
    step(true);
    assert_int_equal(exporter->losses[LOSS_EXPORT_EXPIRED], 1);
    assert_false(wait_wish.stalled);
    complete(2);
    step(true);
    assert_true(wait_wish.stalled);
    assert_int_equal(fakes[0]->begun, 3);
}

/* ---- several of each ---- */

static void segments_have_their_own_resources(void **state)
{
    (void)state;
    create("otlp", NULL);
    assert_int_equal(drain_add_segment(exporter, segments[1], mapped_size, NULL), 0);
    complete_in(segments[0], 1, 3);
    complete_in(segments[1], 2, 3);
    complete_in(segments[0], 3, 3);
    step(true);
    assert_string_equal(names_of(fakes[0], 0), "C1 C3 |C2 |");
}

static void one_that_fails_does_not_hold_up_the_other(void **state)
{
    (void)state;
    create("otlp", "file");
    fakes[0]->result = TRANSPORT_RETRY;
    for (unsigned i = 1; i <= 5; i++) {
        complete(i);
        step(true);
        now_ms += 1;
    }
    assert_int_equal(fakes[1]->delivered_count, 5);
    assert_int_equal(fakes[0]->begun, 1);
    assert_non_null(strstr(said, "wirespan: otlp: as told; trying again\n"));
    fakes[0]->result = TRANSPORT_DELIVERED;
    now_ms += 2000;
    step(true);
    step(true);
    assert_int_equal(fakes[0]->delivered_count, 2);
    assert_string_equal(names_of(fakes[0], 0), "C1 |");
    assert_string_equal(names_of(fakes[0], 1), "C2 C3 C4 C5 |");
    assert_int_equal(exporter->losses[LOSS_EXPORT_EXPIRED], 0);
}

/* ---- what is not exported ---- */

static void what_was_not_sampled_is_no_loss(void **state)
{
    (void)state;
    create("otlp", NULL);
    complete_in(segments[0], 1, 0);
    complete_in(segments[0], 2, 2);
    step(true);
    assert_int_equal(fakes[0]->begun, 0);
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        assert_int_equal(exporter->losses[loss], 0);
    }
}

/* A batch of four, then twice as many as the queue holds. */
static void overfill(void)
{
    for (unsigned i = 1; i <= 4; i++) {
        complete(i);
    }
    step(false);
    for (unsigned i = 5; i <= 12; i++) {
        complete(i);
    }
    step(false);
}

static void a_full_queue_drops_the_newest(void **state)
{
    (void)state;
    config.max_queue_size = 4;
    config.max_batch_size = 4;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_PENDING;
    /* one batch in flight, four wait, the rest is lost */
    overfill();
    assert_int_equal(exporter->losses[LOSS_QUEUE_FULL], 4);
    assert_non_null(strstr(said, "wirespan: lost: queue_full 1\n"));
    fakes[0]->result = TRANSPORT_DELIVERED;
    step(false);
    assert_string_equal(names_of(fakes[0], 0), "C1 C2 C3 C4 |");
    step(false);
    assert_string_equal(names_of(fakes[0], 1), "C5 C6 C7 C8 |");
}

/* Of many processes more may wait than a queue holds: it stays with them while a receiver takes. */
static void who_serves_others_leaves_what_has_no_room(void **state)
{
    (void)state;
    config.max_queue_size = 4;
    config.max_batch_size = 4;
    serves_others = true;
    create("otlp", NULL);
    assert_int_equal(drain_add_segment(exporter, segments[1], mapped_size, NULL), 0);
    fakes[0]->result = TRANSPORT_PENDING;
    for (unsigned i = 1; i <= 20; i++) {
        complete_in(segments[i % 2], i, 1);
    }
    step(false);
    step(false);
    assert_true(wait_wish.timeout_ns > 0);
    assert_false(exporter_is_drained(exporter));
    fakes[0]->result = TRANSPORT_DELIVERED;
    for (int i = 0; i < 20 && !exporter_is_drained(exporter); i++) {
        step(true);
    }
    assert_true(exporter_is_drained(exporter));
    assert_int_equal(exporter->outlets[0].exported, 20);
    assert_int_equal(exporter->losses[LOSS_QUEUE_FULL], 0);
}

/* While it cannot deliver, the segments are kept free all the same. */
static void who_serves_others_loses_what_nobody_takes(void **state)
{
    (void)state;
    config.max_queue_size = 4;
    config.max_batch_size = 4;
    serves_others = true;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_RETRY;
    overfill();
    assert_int_equal(exporter->losses[LOSS_QUEUE_FULL], 4);
}

static void refusals_are_counted(void **state)
{
    (void)state;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_REFUSED;
    complete(1);
    complete(2);
    step(true);
    assert_int_equal(exporter->losses[LOSS_EXPORT_REFUSED], 2);
    assert_non_null(strstr(said, "wirespan: lost: export_refused 2: as told\n"));
    assert_true(exporter_is_drained(exporter));
}

static void the_shorter_of_both_timeouts_ends_a_batch(void **state)
{
    (void)state;
    config.timeout_ms = 10000;
    config.export_timeout_ms = 300;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_PENDING;
    complete(1);
    step(true);
    now_ms += 299;
    step(false);
    assert_int_equal(exporter->losses[LOSS_EXPORT_EXPIRED], 0);
    now_ms += 1;
    step(false);
    assert_int_equal(exporter->losses[LOSS_EXPORT_EXPIRED], 1);
}

/* ---- losses as spans ---- */

/* The attributes of the losses span in a batch: "name=value ...". */
static const char *losses_in(const struct fake_transport *fake, uint32_t number)
{
    static char text[1024];
    text[0] = '\0';
    assert_true(number < fake->delivered_count);
    const struct fake_batch *batch = &fake->delivered[number];
    Otlp__ExportTraceServiceRequest *request =
        otlp__export_trace_service_request__unpack(NULL, batch->size, batch->bytes);
    const Otlp__ScopeSpans *scope = request->resource_spans[0]->scope_spans[0];
    const Otlp__Span *span = scope->spans[scope->n_spans - 1];
    assert_string_equal(span->name, "wirespan.losses");
    assert_int_equal(span->parent_span_id.len, 0);
    assert_int_equal(span->trace_id.len, 16);
    assert_true(span->start_time_unix_nano <= span->end_time_unix_nano);
    for (size_t i = 0; i < span->n_attributes; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s=%d ", span->attributes[i]->key,
                 (int)span->attributes[i]->value->int_value);
    }
    otlp__export_trace_service_request__free_unpacked(request, NULL);
    return text;
}

static void losses_of_the_segment_are_told_at_a_flush(void **state)
{
    (void)state;
    config.log_level = LOG_LEVEL_INFO;
    create("otlp", NULL);
    segment_count_loss(segments[0], LOSS_SEGMENT_FULL, 3);
    complete(1);
    step(true);
    assert_string_equal(names_of(fakes[0], 0), "C1 wirespan.losses |");
    assert_string_equal(losses_in(fakes[0], 0), "wirespan.losses.segment_full=3 ");
    assert_non_null(strstr(said, "wirespan: lost: segment_full 3\n"));
    /* told once */
    step(true);
    now_ms += 70000;
    step(false);
    now_ms += 70000;
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 1);
}

static void losses_are_told_once_a_minute(void **state)
{
    (void)state;
    create("otlp", NULL);
    segment_count_loss(segments[0], LOSS_PIPELINE_FULL, 1);
    now_ms += 59999;
    step(false);
    now_ms += 1;
    segment_count_loss(segments[0], LOSS_PIPELINE_FULL, 1);
    step(false);
    now_ms += 5000;
    step(false);
    /* what was seen a second ago, and no more */
    assert_string_equal(losses_in(fakes[0], 0), "wirespan.losses.pipeline_full=1 ");
    now_ms += 60000;
    step(false);
    now_ms += 5000;
    step(false);
    assert_string_equal(losses_in(fakes[0], 1), "wirespan.losses.pipeline_full=1 ");
}

static void refused_losses_do_not_go_round_for_ever(void **state)
{
    (void)state;
    create("otlp", NULL);
    fakes[0]->result = TRANSPORT_REFUSED;
    segment_count_loss(segments[0], LOSS_SEGMENT_FULL, 1);
    for (int i = 0; i < 100; i++) {
        step(true);
        now_ms += 1;
    }
    assert_int_equal(fakes[0]->begun, 1);
    assert_true(exporter_is_drained(exporter));
}

/* ---- segments come and go ---- */

static void bad_segments_are_not_taken(void **state)
{
    (void)state;
    create("otlp", NULL);
    assert_int_equal(drain_add_segment(exporter, segments[0], mapped_size, NULL), -EEXIST);
    assert_int_equal(drain_add_segment(exporter, segments[1], mapped_size - 1, NULL), -EINVAL);
    segments[1]->magic++;
    assert_int_equal(drain_add_segment(exporter, segments[1], mapped_size, NULL), -EINVAL);
    drain_remove_segment(exporter, segments[1], 0);
    assert_int_equal(exporter->source_count, 1);
}

static void a_dead_process_leaves_aborted_exchanges(void **state)
{
    (void)state;
    create("otlp", NULL);
    uint16_t slot;
    complete(1);
    open_record(segments[0], &slot, 2);
    now_ms += 10;
    segment_count_loss(segments[0], LOSS_CONTENDED, 1);
    drain_remove_segment(exporter, segments[0], 0);
    assert_int_equal(exporter->source_count, 0);
    /* it is gone for good: nothing looks at it any more */
    memset(segments[0], 0xff, mapped_size);
    step(true);
    assert_string_equal(names_of(fakes[0], 0), "C1 C2 wirespan.losses |");
    Otlp__ExportTraceServiceRequest *request = otlp__export_trace_service_request__unpack(
        NULL, fakes[0]->delivered[0].size, fakes[0]->delivered[0].bytes);
    const Otlp__Span *aborted = request->resource_spans[0]->scope_spans[0]->spans[1];
    assert_int_equal(aborted->status->code, OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR);
    assert_int_equal(aborted->end_time_unix_nano - aborted->start_time_unix_nano, 10 * MS);
    otlp__export_trace_service_request__free_unpacked(request, NULL);
}

static void the_clock_pair_is_renewed(void **state)
{
    (void)state;
    create("otlp", NULL);
    step(false);
    now_ms += 5000;
    step(false);
    assert_int_equal(segments[0]->clock.monotonic_ns, now_ms * MS);
    assert_int_equal(segments[0]->clock.realtime_ns, UINT64_C(1700000000000) * MS + now_ms * MS);
    now_ms += 999;
    step(false);
    assert_int_equal(segments[0]->clock.monotonic_ns, (now_ms - 999) * MS);
}

static void counters_that_run_backwards_are_no_losses(void **state)
{
    (void)state;
    create("otlp", NULL);
    segment_count_loss(segments[0], LOSS_CONTENDED, 5);
    step(true);
    segments[0]->losses[LOSS_CONTENDED] = 2;
    now_ms += 2000;
    step(false);
    assert_int_equal(exporter->losses[LOSS_CONTENDED], 5);
}

static void another_exporter_goes_on_where_the_first_ended(void **state)
{
    (void)state;
    create("otlp", NULL);
    complete(1);
    complete(2);
    segment_count_loss(segments[0], LOSS_CONTENDED, 5);
    step(true);
    exporter_destroy(exporter);
    complete(3);
    create("otlp", NULL);
    step(true);
    assert_string_equal(names_of(fakes[0], 0), "C3 |");
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        assert_int_equal(exporter->losses[loss], 0);
    }
    /* a place that nobody can be at is not believed */
    exporter_destroy(exporter);
    segments[0]->rings[0].drained += LIMIT_SEGMENT_SLOTS;
    create("otlp", NULL);
    complete(4);
    step(true);
    assert_string_equal(names_of(fakes[0], 0), "C4 |");
}

/* ---- the end ---- */

static void the_end_counts_and_says(void **state)
{
    (void)state;
    bool destroyed = false;
    config.log_level = LOG_LEVEL_INFO;
    create("otlp", NULL);
    fakes[0]->destroyed = &destroyed;
    complete(1);
    step(true);
    fakes[0]->result = TRANSPORT_PENDING;
    complete(2);
    step(true);
    complete(3);
    complete(4);
    segment_count_loss(segments[0], LOSS_SEGMENT_FULL, 9);
    now_ms += 1;
    step(false);
    said[0] = '\0';
    exporter_destroy(exporter);
    exporter = NULL;
    assert_true(destroyed);
    assert_non_null(strstr(said, "wirespan: 1 spans exported by otlp\n"
                                 "wirespan: lost: segment_full 9, export_expired 3\n"));
}

static void the_end_is_silent_by_default(void **state)
{
    (void)state;
    create("otlp", NULL);
    complete(1);
    step(true);
    exporter_destroy(exporter);
    exporter = NULL;
    assert_string_equal(said, "");
    exporter_destroy(NULL);
}

/* ---- links back ---- */

static void submit_for(uint8_t request, uint8_t job)
{
    uint8_t link[24] = {0};
    link[0] = 1; /* the request's trace */
    link[16] = request;
    uint16_t slot;
    struct record *record = open_record(segments[0], &slot, job);
    record->redis.job_action = JOB_ACTION_SUBMIT;
    record->trace_id[0] = 2;
    record->span_id[0] = job;
    record_add_field(record, FIELD_LINK, slice_of(link, sizeof(link)), 24);
    record->end_ns = record->start_ns + 1;
    segment_complete(segments[0], &segments[0]->doorbell, slot, 0);
}

static uint32_t links_of_request(uint8_t request)
{
    uint16_t slot;
    struct record *record = open_record(segments[0], &slot, 99);
    record->kind = RECORD_HTTP_SERVER;
    record->trace_id[0] = 1;
    record->span_id[0] = request;
    record->end_ns = record->start_ns + 1;
    segment_complete(segments[0], &segments[0]->doorbell, slot, 0);
    step(false);
    return exporter->span.link_count;
}

static void a_request_links_to_what_it_submitted(void **state)
{
    (void)state;
    create("otlp", NULL);
    assert_int_equal(links_of_request(50), 0);
    submit_for(51, 61);
    submit_for(51, 62);
    assert_int_equal(links_of_request(51), 2);
    assert_int_equal(exporter->span.links[0].trace_id[0], 2);
    assert_int_equal(exporter->span.links[0].span_id[0], 61);
    assert_int_equal(exporter->span.links[1].span_id[0], 62);
    assert_int_equal(links_of_request(52), 0);
    /* The oldest goes. */
    for (uint32_t i = 0; i < LIMIT_BACKLINKS - 1; i++) {
        submit_for(53, 63);
        step(false);
    }
    assert_int_equal(links_of_request(51), 1);
    submit_for(53, 63);
    assert_int_equal(links_of_request(51), 0);
}

/* ---- the tail policy ---- */

static struct record *complete_of_trace(struct segment *segment, unsigned number, uint8_t trace,
                                        uint64_t duration_ms)
{
    uint16_t slot;
    struct record *record = open_record(segment, &slot, number);
    record->trace_id[0] = trace;
    record->end_ns = record->start_ns + duration_ms * MS;
    segment_complete(segment, &segment->doorbell, slot, 0);
    return record;
}

static void by_default_no_trace_waits(void **state)
{
    (void)state;
    create("otlp", NULL);
    assert_null(exporter->tail);
    exporter_conclude(exporter);
    step(true);
    assert_true(exporter_is_drained(exporter));
}

static void a_process_judges_what_is_quiet_and_closed(void **state)
{
    (void)state;
    config.tail_policy = TAIL_SEEDS;
    create("console", NULL);
    uint16_t slot;
    struct record *job = open_record(segments[0], &slot, 9);
    complete_of_trace(segments[0], 1, 1, 1);
    complete_of_trace(segments[0], 2, 2, 1);
    step(false);
    assert_false(wait_wish.idle);
    assert_int_equal(wait_wish.timeout_ns, 1000 * MS);
    /* The second one's is over: its id is of those that are dropped. The first one's is open. */
    for (int i = 0; i < 4; i++) {
        now_ms += 1000;
        step(false);
    }
    assert_int_equal(tail_count(exporter->tail)->dropped_traces, 1);
    assert_int_equal(fakes[0]->delivered_count, 0);
    now_ms += 2000;
    job->end_ns = now_ms * MS;
    segment_complete(segments[0], &segments[0]->doorbell, slot, 0);
    step(false);
    assert_int_equal(fakes[0]->delivered_count, 1);
    assert_string_equal(names_of(fakes[0], 0), "C9 C1 |");
    assert_true(wait_wish.idle);
}

static void the_end_of_a_process_judges_all(void **state)
{
    (void)state;
    config.tail_policy = TAIL_SEEDS;
    create("otlp", NULL);
    complete_of_trace(segments[0], 1, 1, 1);
    struct record *lucky = complete_of_trace(segments[0], 2, 2, 1);
    memset(lucky->trace_id + 8, 0xff, 8);
    step(true);
    assert_true(exporter_is_drained(exporter));
    assert_int_equal(fakes[0]->delivered_count, 1);
    assert_string_equal(names_of(fakes[0], 0), "wirespan.tail_policy C2 |");
}

static void who_serves_others_goes_on_waiting(void **state)
{
    (void)state;
    config.tail_policy = TAIL_SEEDS;
    struct exporter_seams others = seams;
    others.serves_others = true;
    fakes[0] = fake_create("otlp");
    struct transport *transports[1] = {&fakes[0]->base};
    exporter = exporter_create(&config, &others, transports, 1);
    assert_int_equal(drain_add_segment(exporter, segments[0], mapped_size, NULL), 0);
    assert_int_equal(drain_add_segment(exporter, segments[1], mapped_size, NULL), 0);
    /* A process ends and wants to see its spans off; its trace goes on in another one. */
    complete_of_trace(segments[0], 1, 1, 1);
    step(true);
    assert_true(exporter_is_drained(exporter));
    drain_remove_segment(exporter, segments[0], 0);
    now_ms += 29000;
    step(false);
    assert_int_equal(tail_count(exporter->tail)->dropped_traces, 0);
    complete_of_trace(segments[1], 2, 1, 6000);
    step(true);
    assert_int_equal(fakes[0]->delivered_count, 1);
    assert_string_equal(names_of(fakes[0], 0), "C2 |C1 |");
    complete_of_trace(segments[1], 3, 3, 1);
    exporter_conclude(exporter);
    step(true);
    assert_true(exporter_is_drained(exporter));
    assert_int_equal(tail_count(exporter->tail)->dropped_traces, 1);
}

static void more_than_the_queue_holds_waits_for_its_turn(void **state)
{
    (void)state;
    config.tail_policy = TAIL_SEEDS;
    config.max_queue_size = 4;
    config.max_batch_size = 2;
    create("otlp", NULL);
    for (unsigned i = 0; i < 20; i++) {
        struct record *record = complete_of_trace(segments[0], i, 1, 1);
        memset(record->trace_id + 8, 0xff, 8);
    }
    for (int i = 0; i < 20 && !(i > 0 && exporter_is_drained(exporter)); i++) {
        step(true);
        now_ms += 10;
    }
    assert_true(exporter_is_drained(exporter));
    assert_int_equal(exporter->outlets[0].exported, 20);
    assert_int_equal(exporter->losses[LOSS_QUEUE_FULL], 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_first_flush_follows_quiet),
        TEST(a_full_batch_goes_at_once),
        TEST(a_flush_sends_everything),
        TEST(while_in_flight_the_segments_are_looked_at_often),
        TEST(in_a_rush_the_segments_are_looked_at_more_often),
        TEST(a_console_is_sent_to_at_once),
        TEST(trouble_is_told_to_who_waits_for_a_flush),
        TEST(segments_have_their_own_resources),
        TEST(one_that_fails_does_not_hold_up_the_other),
        TEST(what_was_not_sampled_is_no_loss),
        TEST(a_full_queue_drops_the_newest),
        TEST(who_serves_others_leaves_what_has_no_room),
        TEST(who_serves_others_loses_what_nobody_takes),
        TEST(refusals_are_counted),
        TEST(the_shorter_of_both_timeouts_ends_a_batch),
        TEST(losses_of_the_segment_are_told_at_a_flush),
        TEST(losses_are_told_once_a_minute),
        TEST(refused_losses_do_not_go_round_for_ever),
        TEST(bad_segments_are_not_taken),
        TEST(a_dead_process_leaves_aborted_exchanges),
        TEST(the_clock_pair_is_renewed),
        TEST(counters_that_run_backwards_are_no_losses),
        TEST(another_exporter_goes_on_where_the_first_ended),
        TEST(the_end_counts_and_says),
        TEST(the_end_is_silent_by_default),
        TEST(a_request_links_to_what_it_submitted),
        TEST(by_default_no_trace_waits),
        TEST(a_process_judges_what_is_quiet_and_closed),
        TEST(the_end_of_a_process_judges_all),
        TEST(who_serves_others_goes_on_waiting),
        TEST(more_than_the_queue_holds_waits_for_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
