#include "worker/transport/otlp_reply.h"

#include <otlp.pb-c.h>
#include <rpc_status.pb-c.h>

#include "base/limits.h"
#include "worker/transport/outcome.h"

bool otlp_reply_read(struct slice body, uint32_t span_count, struct transport_outcome *outcome)
{
    Otlp__ExportTraceServiceResponse *response =
        otlp__export_trace_service_response__unpack(NULL, body.size, body.data);
    if (response == NULL) {
        return false;
    }
    const Otlp__ExportTracePartialSuccess *partial = response->partial_success;
    if (partial != NULL) {
        char text[160];
        const char *said = partial->error_message;
        outcome_quote(slice_of(said, strlen(said)), text, sizeof(text));
        if (partial->rejected_spans > 0) {
            outcome->rejected = partial->rejected_spans < span_count
                                    ? (uint32_t)partial->rejected_spans
                                    : span_count;
            outcome_say(outcome, "the receiver rejected %u of %u spans: %s", outcome->rejected,
                        span_count, text);
        } else if (text[0] != '\0') {
            outcome_say(outcome, "the receiver warns: %s", text);
        }
    }
    otlp__export_trace_service_response__free_unpacked(response, NULL);
    return true;
}

static void read_retry_info(const Rpc__Any *detail, struct rpc_status *status)
{
    static const char suffix[] = "/google.rpc.RetryInfo";
    size_t size = strlen(detail->type_url);
    if (size < sizeof(suffix) - 1 ||
        strcmp(detail->type_url + size - (sizeof(suffix) - 1), suffix)) {
        return;
    }
    Rpc__RetryInfo *info = rpc__retry_info__unpack(NULL, detail->value.len, detail->value.data);
    if (info == NULL) {
        return;
    }
    status->has_retry_info = true;
    const Rpc__Duration *delay = info->retry_delay;
    if (delay != NULL && delay->seconds >= 0 && delay->nanos >= 0) {
        int64_t seconds = delay->seconds;
        int64_t limit_s = LIMIT_RETRY_AFTER_MS / 1000;
        int64_t delay_ms =
            seconds < limit_s ? seconds * 1000 + delay->nanos / 1000000 : LIMIT_RETRY_AFTER_MS;
        status->retry_delay_ms =
            delay_ms < LIMIT_RETRY_AFTER_MS ? (uint32_t)delay_ms : LIMIT_RETRY_AFTER_MS;
    }
    rpc__retry_info__free_unpacked(info, NULL);
}

bool rpc_status_read(struct slice body, struct rpc_status *status)
{
    Rpc__Status *read = rpc__status__unpack(NULL, body.size, body.data);
    if (read == NULL) {
        return false;
    }
    *status = (struct rpc_status){0};
    outcome_quote(slice_of(read->message, strlen(read->message)), status->message,
                  sizeof(status->message));
    for (size_t i = 0; i < read->n_details; i++) {
        read_retry_info(read->details[i], status);
    }
    rpc__status__free_unpacked(read, NULL);
    return true;
}
