/*
 * What one span costs the worker side: from a completed record in a segment to its bytes in a
 * batch. Only the steps are timed, not the filling, by the thread's processor time. Prints
 * nanoseconds per span and spans per second for each kind of record; a share of the whole shows
 * what building and encoding take.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drained_segment.h"
#include "worker/exporter.h"
#include "worker/otlp/encode.h"
#include "worker/spans/spans.h"

#define ROUNDS 100

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void read_clock(void *context, struct segment_clock *now)
{
    (void)context;
    now->monotonic_ns = now_ns();
    now->realtime_ns = UINT64_C(1700000000000000000);
}

static void write_out(void *context, const char *text, size_t size)
{
    (void)context;
    fwrite(text, 1, size, stderr);
}

/* ---- a transport that takes everything ---- */

static uint64_t sent_bytes;

static void count_bytes(const struct export_batch *batch)
{
    sent_bytes += batch->size;
}

/* ---- records ---- */

static void add(struct record *record, enum field_tag tag, const char *text)
{
    record_add_field(record, tag, slice_of(text, strlen(text)), 256);
}

static void fill_common(struct record *record, uint64_t number)
{
    record->trace_flags = 3;
    memset(record->trace_id, 1, sizeof(record->trace_id));
    memcpy(record->span_id, &number, sizeof(number));
    record->span_id[7] = 1;
    memset(record->parent_span_id, 7, sizeof(record->parent_span_id));
    record->parent_source = PARENT_CAUSAL;
    record->start_ns = 1000000 + number;
    record->end_ns = record->start_ns + 250000;
    record->peer =
        (struct endpoint){.family = ADDRESS_IPV4, .port = 6379, .address = {10, 0, 13, 201}};
}

static void fill_redis(struct record *record, uint64_t number)
{
    record->kind = RECORD_REDIS_CLIENT;
    fill_common(record, number);
    record->redis.database = 0;
    add(record, FIELD_PEER_NAME, "redis.internal");
    add(record, FIELD_COMMAND, "HGETALL");
    add(record, FIELD_QUERY_TEXT, "HGETALL job:0123456789abcdef");
}

static void fill_http(struct record *record, uint64_t number)
{
    record->kind = RECORD_HTTP_CLIENT;
    fill_common(record, number);
    record->peer.port = 8080;
    record->http.status = 200;
    record->http.version_minor = 1;
    record->http.request_body_bytes = 1234;
    record->http.response_body_bytes = 54321;
    add(record, FIELD_METHOD, "POST");
    add(record, FIELD_TARGET, "/v1/images/generations?model=gpt-image-1&size=1024x1024");
    add(record, FIELD_HOST, "api.example.com:8080");
    add(record, FIELD_USER_AGENT, "python-requests/2.31.0");
}

static void measure(const char *name, void (*make)(struct record *, uint64_t))
{
    struct config config;
    config_parse(&config, (const char *const[]){NULL}, NULL, NULL);
    const struct exporter_seams seams = {
        .clock = read_clock, .random = drained_draw, .write = write_out, .root = "/nowhere"};
    struct drained_sink sink = {.base = {.ops = &drained_ops}, .take = count_bytes};
    struct transport *transports[] = {&sink.base};
    struct exporter *exporter = exporter_create(&config, &seams, transports, 1);
    size_t size;
    struct segment_clock clock;
    struct worker_wait wait;
    read_clock(NULL, &clock);
    struct segment *segment = drained_create(LIMIT_SEGMENT_SLOTS, clock, &size);
    if (exporter == NULL) {
        abort();
    }
    if (drain_add_segment(exporter, segment, size, NULL) != 0) {
        abort();
    }
    sent_bytes = 0;
    uint64_t spent = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        drained_fill(segment, LIMIT_SEGMENT_SLOTS, round * LIMIT_SEGMENT_SLOTS, 64, 0, make);
        uint64_t before = now_ns();
        exporter_step(exporter, before, true, &wait);
        spent += now_ns() - before;
    }
    double spans = (double)ROUNDS * LIMIT_SEGMENT_SLOTS;
    if (!exporter_is_drained(exporter) || exporter->outlets[0].exported != (uint64_t)spans) {
        fprintf(stderr, "%s: %llu of %.0f spans exported\n", name,
                (unsigned long long)exporter->outlets[0].exported, spans);
        exit(1);
    }
    printf("%-6s drain to batch  %6.0f ns/span %9.0f spans/s %5.0f bytes/span\n", name,
           (double)spent / spans, spans * 1e9 / (double)spent, (double)sent_bytes / spans);

    /* The two inner parts alone, on one hot record. */
    static struct span span;
    static struct record record;
    static uint8_t bytes[4096];
    make(&record, 1);
    uint64_t before = now_ns();
    for (int i = 0; i < 400000; i++) {
        spans_build(&span, &exporter->limits, &record, clock);
    }
    uint64_t built = now_ns();
    size_t total = 0;
    for (int i = 0; i < 400000; i++) {
        total += otlp_encode_span(&span, bytes, sizeof(bytes));
    }
    uint64_t encoded = now_ns();
    printf("%-6s build %.0f ns, encode %.0f ns (%zu bytes)\n", name,
           (double)(built - before) / 400000, (double)(encoded - built) / 400000, total / 400000);
    exporter_destroy(exporter);
    free(segment);
}

int main(void)
{
    measure("redis", fill_redis);
    measure("http", fill_http);
    return 0;
}
