/*
 * Work of a service that goes on beyond the request for it, and the messages that tell of it. What
 * the service's rules name stands on both; how the run went is told by events.
 */
#include "wire/service.h"

#include "worker/spans/kinds.h"
#include "worker/spans/spans.h"

#define MS 1e6

static void add_event(struct span *span, uint64_t time_ns, struct slice name)
{
    span_add_event(span, time_ns, name);
}

/* Of all that was said of it the last. */
static void add_progress(struct span *span, const struct record *record)
{
    struct span_event *event =
        span_add_event(span, span->start_ns + (record->run.progress_ns - record->start_ns),
                       SLICE("progress.updated"));
    if (event != NULL && record->run.percent != RUN_NO_PERCENT) {
        event->attributes[event->attribute_count++] = (struct attribute){
            .key = SLICE("percent"), .type = ATTRIBUTE_INT, .integer = record->run.percent};
    }
}

static void add_end(struct span *span, const struct record *record, const struct record_text *text)
{
    switch ((enum run_end)record->run.end) {
    case RUN_END_COMPLETED:
        add_event(span, span->end_ns, SLICE("execution.completed"));
        if (record->run.retrieved_ns != 0) {
            add_event(span, span->end_ns, SLICE("results.retrieved"));
        }
        break;
    case RUN_END_FAILED: {
        struct slice type = text->fields[FIELD_RUN_ERROR];
        struct slice valid = type.size > 0 ? span_text(span, type) : SLICE("_OTHER");
        add_event(span, span->end_ns, SLICE("execution.failed"));
        span_set_error(span, valid.data != NULL ? valid : SLICE("_OTHER"));
        break;
    }
    case RUN_END_CANCELLED:
        add_event(span, span->end_ns, SLICE("execution.cancelled"));
        break;
    case RUN_END_UNKNOWN:
        span_add_literal(span, SLICE("wirespan.run.end"), SLICE("unknown"));
        break;
    case RUN_END_NONE:
    case RUN_END_COUNT:
        break;
    }
}

void spans_build_run(struct span *span, const struct record *record, const struct record_text *text)
{
    struct slice number = text->fields[FIELD_SERVICE];
    const struct service_endpoint *endpoint =
        number.size == 1 ? service_endpoint(number.data[0]) : NULL;
    struct peer peer = spans_peer(span, record, text);
    span->kind = SPAN_INTERNAL;
    spans_add_network(span, &peer);
    spans_add_service(span, record, text);
    span->name = endpoint == NULL ? SLICE("run") : service_text(endpoint->run_name);
    add_event(span, span->start_ns, SLICE("submitted"));
    if (record->run.started_ns > record->start_ns && record->run.started_ns <= record->end_ns) {
        add_event(span, span->start_ns + (record->run.started_ns - record->start_ns),
                  SLICE("execution.started"));
        span_add_double(span, SLICE("execution.duration_ms"),
                        (double)(record->end_ns - record->run.started_ns) / MS);
    }
    if (record->run.progress_ns > record->start_ns && record->run.progress_ns <= record->end_ns) {
        add_progress(span, record);
    }
    if (record->run.messages > 0) {
        span_add_int(span, SLICE("wirespan.run.messages"), record->run.messages);
    }
    if (record->error != RECORD_OK) {
        spans_add_error(span, record);
    } else {
        add_end(span, record, text);
    }
}

void spans_build_message(struct span *span, const struct record *record,
                         const struct record_text *text)
{
    struct peer peer = spans_peer(span, record, text);
    span->kind = SPAN_INTERNAL;
    span->name = SLICE("websocket.message");
    spans_add_network(span, &peer);
    spans_add_service(span, record, text);
    if (record->message.kind == MESSAGE_IMAGES) {
        span->name = SLICE("process.image_generation");
        span_add_int(span, SLICE("http.response.body.size"), (int64_t)record->message.bytes);
        return;
    }
    if (record->message.kind == MESSAGE_SENT) {
        span->name = SLICE("process.ws_send");
        spans_add_links(span, record);
    }
    span_add_int(span, SLICE("websocket.message.size"), (int64_t)record->message.bytes);
}
