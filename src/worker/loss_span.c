#include <string.h>

#include "worker/exporter.h"
#include "worker/spans/spans.h"

#define WATCH_INTERVAL_NS UINT64_C(1000000000)
#define TELL_INTERVAL_NS  UINT64_C(60000000000)

/* OTLP SpanFlags of a sampled root with a random id: as parents go, it has none from elsewhere. */
#define ROOT_FLAGS 0x103u

void loss_count(struct exporter *exporter, uint64_t now_ns, enum loss loss, uint64_t count,
                const char *detail)
{
    exporter->losses[loss] += count;
    exporter->losses_untold[loss] += count;
    report_loss(&exporter->report, now_ns, loss, count, detail);
}

void loss_watch(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        uint64_t total = atomic_load_explicit(&source->segment->losses[loss], memory_order_relaxed);
        /* A counter that ran backwards was written by nobody of ours. */
        uint64_t more = total > source->losses_seen[loss] ? total - source->losses_seen[loss] : 0;
        source->losses_seen[loss] = total;
        source->losses_untold[loss] += more;
        exporter->losses[loss] += more;
        report_loss(&exporter->report, now_ns, (enum loss)loss, more, "");
    }
}

static bool has_untold(const uint64_t untold[LOSS_COUNT])
{
    uint64_t any = 0;
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        any |= untold[loss];
    }
    return any != 0;
}

static void add_losses(struct span *span, const struct exporter *exporter,
                       const struct source *source)
{
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        uint64_t count = source->losses_untold[loss] + exporter->losses_untold[loss];
        const char *name = loss_name((enum loss)loss);
        const struct slice parts[] = {SLICE("wirespan.losses."), slice_of(name, strlen(name))};
        if (count > 0) {
            span_add_int(span, span_join(span, parts, 2), (int64_t)count);
        }
    }
}

static void draw(struct exporter *exporter, uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t value = exporter->seams.random(exporter->seams.context);
        value += value == 0;
        memcpy(bytes + at, &value, 8);
    }
}

static void begin_root(struct exporter *exporter, struct slice name)
{
    struct span *span = &exporter->span;
    span_begin(span, &exporter->limits);
    draw(exporter, span->trace_id, sizeof(span->trace_id));
    draw(exporter, span->span_id, sizeof(span->span_id));
    span->flags = ROOT_FLAGS;
    span->name = name;
    span->kind = SPAN_INTERNAL;
}

void loss_tell_of(struct exporter *exporter, struct source *source, uint64_t now_ns)
{
    if (!has_untold(source->losses_untold) && !has_untold(exporter->losses_untold)) {
        return;
    }
    struct span *span = &exporter->span;
    begin_root(exporter, SLICE("wirespan.losses"));
    span->end_ns = spans_unix_time(source->clock, now_ns);
    span->start_ns = source->told_ns < span->end_ns ? source->told_ns : span->end_ns;
    add_losses(span, exporter, source);
    source->told_ns = span->end_ns;
    memset(source->losses_untold, 0, sizeof(source->losses_untold));
    memset(exporter->losses_untold, 0, sizeof(exporter->losses_untold));
    drain_enqueue_span(exporter, source->resource, now_ns);
}

void loss_tell_tail(struct exporter *exporter, uint64_t now_ns)
{
    const struct tail_counts *now = tail_count(exporter->tail);
    const struct tail_counts *told = &exporter->tail_told;
    const struct {
        struct slice key;
        uint64_t count;
    } counts[] = {
        {SLICE("wirespan.tail.kept_traces"), now->kept_traces - told->kept_traces},
        {SLICE("wirespan.tail.kept_spans"), now->kept_spans - told->kept_spans},
        {SLICE("wirespan.tail.dropped_traces"), now->dropped_traces - told->dropped_traces},
        {SLICE("wirespan.tail.dropped_spans"), now->dropped_spans - told->dropped_spans},
        {SLICE("wirespan.tail.hurried_traces"), now->hurried_traces - told->hurried_traces},
    };
    if (now->dropped_spans == told->dropped_spans || exporter->tail_resource == NULL) {
        return;
    }
    struct span *span = &exporter->span;
    struct segment_clock clock;
    exporter->seams.clock(exporter->seams.context, &clock);
    begin_root(exporter, SLICE("wirespan.tail_policy"));
    span->start_ns = clock.realtime_ns;
    span->end_ns = clock.realtime_ns;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (counts[i].count > 0) {
            span_add_int(span, counts[i].key, (int64_t)counts[i].count);
        }
    }
    exporter->tail_told = *now;
    drain_enqueue_span(exporter, exporter->tail_resource, now_ns);
}

void loss_tell(struct exporter *exporter, uint64_t now_ns, bool flush_begins)
{
    if (flush_begins || now_ns - exporter->losses_watched_ns >= WATCH_INTERVAL_NS) {
        exporter->losses_watched_ns = now_ns;
        for (uint32_t i = 0; i < exporter->source_count; i++) {
            loss_watch(exporter, exporter->sources[i], now_ns);
        }
    }
    if (!flush_begins && now_ns - exporter->losses_told_ns < TELL_INTERVAL_NS) {
        return;
    }
    exporter->losses_told_ns = now_ns;
    if (exporter->tail != NULL) {
        loss_tell_tail(exporter, now_ns);
    }
    for (uint32_t i = 0; i < exporter->source_count; i++) {
        loss_tell_of(exporter, exporter->sources[i], now_ns);
    }
}
