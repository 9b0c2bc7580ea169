#include "base/compiler.h"
#include "worker/spans/kinds.h"
#include "worker/spans/spans.h"

/* OTLP SpanFlags: the parent's W3C flags are known, it is known whether the parent is remote, and
   it is. */
#define FLAGS_TRACE_MASK    0x000000ffu
#define FLAGS_HAS_IS_REMOTE 0x00000100u
#define FLAGS_IS_REMOTE     0x00000200u

static const struct slice *parent_source_name(uint8_t source)
{
#define NAME(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
    static const struct slice names[PARENT_SOURCE_COUNT] = {
        [PARENT_NONE] = NAME("none"),       [PARENT_REMOTE] = NAME("remote"),
        [PARENT_CAUSAL] = NAME("causal"),   [PARENT_CONTENT] = NAME("content"),
        [PARENT_AMBIENT] = NAME("ambient"), [PARENT_SDK] = NAME("sdk"),
    };
#undef NAME
    return &names[source < PARENT_SOURCE_COUNT ? source : PARENT_NONE];
}

uint64_t spans_unix_time(struct segment_clock clock, uint64_t monotonic_ns)
{
    uint64_t time;
    if (monotonic_ns >= clock.monotonic_ns) {
        uint64_t later = monotonic_ns - clock.monotonic_ns;
        return __builtin_add_overflow(clock.realtime_ns, later, &time) ? UINT64_MAX : time;
    }
    uint64_t earlier = clock.monotonic_ns - monotonic_ns;
    return clock.realtime_ns > earlier ? clock.realtime_ns - earlier : 0;
}

static uint32_t flags_of(const struct record *record)
{
    bool is_remote =
        record->parent_source == PARENT_REMOTE || (record->flags & RECORD_FLAG_REMOTE_PARENT) != 0;
    return (record->trace_flags & FLAGS_TRACE_MASK) | FLAGS_HAS_IS_REMOTE |
           (is_remote ? FLAGS_IS_REMOTE : 0);
}

static void find_text(struct record_text *text, const struct record *record)
{
    memset(text, 0, sizeof(*text));
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        /* The first of a kind counts. */
        if (likely(tag < FIELD_TAG_COUNT) && text->fields[tag].data == NULL) {
            text->fields[tag] = value;
        }
    }
}

static void add_links(struct span *span, const struct record *record,
                      const struct record_text *text)
{
    if (unlikely(text->fields[FIELD_LINK].data != NULL)) {
        spans_add_links(span, record);
    }
}

static void build_kind(struct span *span, const struct record *record,
                       const struct record_text *text)
{
    switch ((enum record_kind)record->kind) {
    case RECORD_HTTP_CLIENT:
    case RECORD_HTTP_SERVER:
        spans_build_http(span, record, text);
        add_links(span, record, text);
        break;
    case RECORD_REDIS_CLIENT:
        spans_build_redis(span, record, text);
        if (unlikely(record->redis.job_action != JOB_ACTION_NONE)) {
            spans_add_job_role(span, record, text);
        } else {
            add_links(span, record, text);
        }
        break;
    case RECORD_WEBSOCKET_CLIENT:
    case RECORD_WEBSOCKET_SERVER:
        spans_build_websocket(span, record, text);
        break;
    case RECORD_CONNECT:
    case RECORD_OPAQUE:
        spans_build_connection(span, record, text);
        break;
    case RECORD_JOB:
        spans_build_job(span, record, text);
        break;
    case RECORD_RUN:
        spans_build_run(span, record, text);
        break;
    case RECORD_MESSAGE:
        spans_build_message(span, record, text);
        break;
    case RECORD_WORKFLOW:
        spans_build_workflow(span, record, text);
        break;
    case RECORD_NONE:
    case RECORD_KIND_COUNT:
        break;
    }
}

void spans_build(struct span *span, const struct span_limits *limits, const struct record *record,
                 struct segment_clock clock)
{
    struct record_text text;
    find_text(&text, record);
    span_begin(span, limits);
    memcpy(span->trace_id, record->trace_id, sizeof(span->trace_id));
    memcpy(span->span_id, record->span_id, sizeof(span->span_id));
    memcpy(span->parent_span_id, record->parent_span_id, sizeof(span->parent_span_id));
    span->flags = flags_of(record);
    span->start_ns = spans_unix_time(clock, record->start_ns);
    span->end_ns = spans_unix_time(clock, record->end_ns);
    span->trace_state = span_text(span, text.fields[FIELD_TRACESTATE]);

    build_kind(span, record, &text);
    if (unlikely(text.fields[FIELD_CANDIDATE].data != NULL) &&
        record->parent_source == PARENT_NONE) {
        spans_add_candidates(span, record);
    }
    span_add_literal(span, SLICE("wirespan.parent.source"),
                     *parent_source_name(record->parent_source));
    if (unlikely((record->flags & RECORD_FLAG_TEXT_CUT) != 0)) {
        span_add_bool(span, SLICE("wirespan.text_cut"), true);
    }
}
