/*
 * What a broken or hostile process may leave in shared memory: records (an even first byte) and
 * whole segments (an odd one) go through the reader, the span builders, the encoder and the
 * batches. Whatever the bytes say, every request must be decodable and its text valid UTF-8.
 */
#include "fuzz.h"

#include <stdlib.h>

#include <otlp.pb-c.h>

#include "drained_segment.h"
#include "worker/exporter.h"
#include "worker/otlp/encode.h"
#include "worker/spans/spans.h"
#include "worker/utf8.h"

#define SLOTS 16u
/* A span of one record: all its text a few times, three bytes for one. */
#define ROOM 16384u

/* ---- what must hold of every span ---- */

static void check_text(const char *text)
{
    struct slice slice = slice_of(text, strlen(text));
    if (utf8_valid_prefix(slice) != slice.size) {
        fuzz_fail("text that is not UTF-8");
    }
}

static void check_span(const Otlp__Span *span)
{
    if (span->trace_id.len != 16 || span->span_id.len != 8 || span->name[0] == '\0' ||
        span->start_time_unix_nano > span->end_time_unix_nano) {
        fuzz_fail("a span without ids, name or order of times");
    }
    check_text(span->name);
    check_text(span->trace_state);
    if (span->status != NULL) {
        check_text(span->status->message);
    }
    for (size_t i = 0; i < span->n_attributes; i++) {
        const Otlp__KeyValue *pair = span->attributes[i];
        if (pair->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE) {
            check_text(pair->value->string_value);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(span->attributes[j]->key, pair->key) == 0) {
                fuzz_fail("a key twice");
            }
        }
    }
}

/* ---- records ---- */

/* Takes the first bytes as limits, the rest as the record; ids and times are mended so that most
   inputs get past the validation. */
static bool make_record(struct slice input, struct record *record)
{
    memset(record, 0, sizeof(*record));
    size_t size = input.size < sizeof(*record) ? input.size : sizeof(*record);
    if (size > 0) {
        memcpy(record, input.data, size);
    }
    record->trace_id[0] |= 1;
    record->span_id[0] |= 1;
    record->start_ns += record->start_ns == 0;
    if (record->end_ns < record->start_ns) {
        record->end_ns = record->start_ns;
    }
    return record_is_valid(record);
}

static void check_encoding(const struct span *span)
{
    uint8_t *bytes = malloc(ROOM);
    if (bytes == NULL) {
        abort();
    }
    size_t size = otlp_encode_span(span, bytes, ROOM);
    Otlp__ScopeSpans *scope = otlp__scope_spans__unpack(NULL, size, bytes);
    if (size == 0 || scope == NULL || scope->n_spans != 1) {
        fuzz_fail("a span that cannot be decoded");
    }
    check_span(scope->spans[0]);
    otlp__scope_spans__free_unpacked(scope, NULL);
    /* In less room: nothing, and nothing beyond. */
    for (size_t room = 0; room < size; room += 1 + room / 8) {
        uint8_t *exact = malloc(room > 0 ? room : 1);
        if (exact == NULL) {
            abort();
        }
        if (otlp_encode_span(span, exact, room) != 0) {
            fuzz_fail("a span in less room than it takes");
        }
        free(exact);
    }
    free(bytes);
}

static void fuzz_one_record(struct slice input)
{
    static struct span span;
    struct record *record = malloc(sizeof(*record));
    if (record == NULL) {
        abort();
    }
    const uint8_t *head = slice_take(&input, 3).data;
    const struct span_limits limits = {
        .attributes = head[0] % 2 == 0 ? UINT32_MAX : head[0],
        .attribute_characters = head[1] % 2 == 0 ? UINT32_MAX : head[1],
        .events = 8,
        .links = 4,
    };
    const struct segment_clock clock = {
        .realtime_ns = (uint64_t)head[2] << 56 | 1,
        .monotonic_ns = 1000,
    };
    if (make_record(input, record)) {
        spans_build(&span, &limits, record, clock);
        check_encoding(&span);
    }
    free(record);
}

/* ---- segments ---- */

static void check_batch(const struct export_batch *batch)
{
    Otlp__ExportTraceServiceRequest *request =
        otlp__export_trace_service_request__unpack(NULL, batch->size, batch->bytes);
    if (request == NULL) {
        fuzz_fail("a request that cannot be decoded");
    }
    uint32_t count = 0;
    for (size_t r = 0; r < request->n_resource_spans; r++) {
        const Otlp__ScopeSpans *scope = request->resource_spans[r]->scope_spans[0];
        count += (uint32_t)scope->n_spans;
        for (size_t i = 0; i < scope->n_spans; i++) {
            check_span(scope->spans[i]);
        }
    }
    if (count != batch->span_count) {
        fuzz_fail("another number of spans than it says");
    }
    otlp__export_trace_service_request__free_unpacked(request, NULL);
}

static void read_clock(void *context, struct segment_clock *now)
{
    (void)context;
    *now = (struct segment_clock){.realtime_ns = UINT64_C(1700000000000000000),
                                  .monotonic_ns = 1000000};
}

static void make_plain(struct record *record, uint64_t number)
{
    record->kind = (uint16_t)(1 + number % (RECORD_KIND_COUNT - 1));
    record->trace_flags = 1;
    record->trace_id[0] = 1;
    record->span_id[0] = 1;
    record->start_ns = 1000 + number;
    record->end_ns = 2000;
    record_add_field(record, FIELD_HOST, SLICE("host"), 10);
}

/* The input is a list of patches: where (three bytes, in units of eight bytes), how many bytes
   (one), the bytes. */
static void patch(struct segment *segment, size_t size, struct slice input)
{
    while (input.size > 4) {
        const uint8_t *head = slice_take(&input, 4).data;
        size_t at = ((size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16) * 8 % size;
        size_t count = head[3] < input.size ? head[3] : input.size;
        count = count < size - at ? count : size - at;
        memcpy((uint8_t *)segment + at, slice_take(&input, count).data, count);
    }
}

static void fuzz_segment(struct slice input)
{
    struct config config;
    struct drained_sink sink = {.base = {.ops = &drained_ops}, .take = check_batch};
    struct transport *transports[] = {&sink.base};
    const struct exporter_seams seams = {
        .clock = read_clock, .random = drained_draw, .root = "/nowhere"};
    struct segment_clock now;
    struct worker_wait wait;
    size_t size;
    config_parse(&config, (const char *const[]){NULL}, NULL, NULL);
    struct exporter *exporter = exporter_create(&config, &seams, transports, 1);
    if (exporter == NULL) {
        abort();
    }
    read_clock(NULL, &now);
    struct segment *segment = drained_create(SLOTS, now, &size);
    drained_fill(segment, SLOTS - 4, 0, 1, 4, make_plain);
    struct slice later = input;
    struct slice before = slice_take(&later, input.size / 2);
    patch(segment, size, before);
    if (drain_add_segment(exporter, segment, size, NULL) == 0) {
        /* Once as it was found, once more changed under the reader's eyes. */
        exporter_step(exporter, now.monotonic_ns, true, &wait);
        patch(segment, size, later);
        exporter_step(exporter, now.monotonic_ns, true, &wait);
        drain_remove_segment(exporter, segment, 0);
        exporter_step(exporter, now.monotonic_ns, true, &wait);
    }
    exporter_destroy(exporter);
    free(segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) {
        return 0;
    }
    uint8_t *exact = fuzz_exact_copy(slice_of(data + 1, size - 1));
    if ((data[0] & 1) == 0) {
        fuzz_one_record(slice_of(exact, size - 1));
    } else {
        fuzz_segment(slice_of(exact, size - 1));
    }
    free(exact);
    return 0;
}
