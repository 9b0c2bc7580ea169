#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "worker/transport/create.h"
#include "worker/transport/grpc.h"
#include "worker/transport/gzip.h"
#include "worker/transport/otlp_transport.h"
#include "worker/transport/outcome.h"

#define METHOD "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

struct otlp_grpc {
    struct otlp_transport otlp;
    /* From the answer's headers and trailers. */
    int status;
    char message[160];
    struct rpc_status details;
};

static void forget_answer(struct otlp_grpc *self)
{
    self->status = GRPC_ABSENT;
    self->message[0] = '\0';
    self->details = (struct rpc_status){0};
}

static void on_header(void *context, struct slice name, struct slice value)
{
    struct otlp_grpc *self = context;
    if (name.size == 0) {
        forget_answer(self);
    } else if (slice_equals_ignoring_case(name, SLICE("grpc-status"))) {
        self->status = grpc_status_read(value);
    } else if (slice_equals_ignoring_case(name, SLICE("grpc-message"))) {
        grpc_message_read(value, self->message, sizeof(self->message));
    } else if (slice_equals_ignoring_case(name, SLICE("grpc-status-details-bin"))) {
        grpc_details_read(value, &self->details);
    }
}

static uint8_t *frame_batch(const struct export_batch *batch, bool is_compressed, size_t *size)
{
    struct slice plain = slice_of(batch->bytes, batch->size);
    uint8_t *frame;
    if (is_compressed) {
        frame = gzip_compress(plain, GRPC_FRAME_HEAD, size);
    } else {
        *size = GRPC_FRAME_HEAD + plain.size;
        frame = malloc(*size);
        if (frame != NULL && plain.size > 0) {
            memcpy(frame + GRPC_FRAME_HEAD, plain.data, plain.size);
        }
    }
    if (frame != NULL) {
        grpc_frame_head(frame, is_compressed, (uint32_t)(*size - GRPC_FRAME_HEAD));
    }
    return frame;
}

static int begin(struct transport *transport, const struct export_batch *batch)
{
    struct otlp_grpc *self = (struct otlp_grpc *)transport;
    if (batch->size > LIMIT_EXPORT_REQUEST_BYTES) {
        return -EMSGSIZE;
    }
    size_t size;
    uint8_t *frame = frame_batch(batch, self->otlp.gzip, &size);
    if (frame == NULL) {
        return -ENOMEM;
    }
    forget_answer(self);
    return otlp_transport_begin(&self->otlp, batch, slice_of(frame, size), frame);
}

/* Servers answer in the request's encoding, so a compressed answer is gzip. False if `body` is not
   the answer to an export. */
static bool read_reply(const struct otlp_grpc *self, struct slice body,
                       struct transport_outcome *outcome)
{
    bool compressed;
    struct slice message;
    if (!grpc_frame_read(body, &compressed, &message)) {
        return false;
    }
    if (!compressed) {
        return otlp_reply_read(message, self->otlp.span_count, outcome);
    }
    size_t size;
    uint8_t *plain = gzip_expand(message, LIMIT_EXPORT_RESPONSE_BYTES, &size);
    bool is_read =
        plain != NULL && otlp_reply_read(slice_of(plain, size), self->otlp.span_count, outcome);
    free(plain);
    return is_read;
}

/* libcurl 7.88 loses trailers that a GOAWAY follows at once. A server answers with a message only
   where it answers OK. */
static bool is_ok_without_trailers(const struct otlp_grpc *self, const struct post_answer *answer)
{
    bool compressed;
    struct slice message;
    return self->status == GRPC_ABSENT && answer->status == 200 && answer->body.size > 0 &&
           grpc_frame_read(answer->body, &compressed, &message);
}

static enum transport_result judge_answer(struct otlp_grpc *self, const struct post_answer *answer,
                                          struct transport_outcome *outcome)
{
    int status = self->status;
    if (status == GRPC_OK || is_ok_without_trailers(self, answer)) {
        if (!read_reply(self, answer->body, outcome)) {
            outcome_say(outcome, "%s delivered, but its answer cannot be read", self->otlp.place);
        }
        return TRANSPORT_DELIVERED;
    }
    if (status == GRPC_ABSENT) {
        status = grpc_status_of_http(answer->status);
        outcome_say(outcome, "%s answered HTTP %ld without a gRPC status (is it a gRPC receiver?)",
                    self->otlp.place, answer->status);
    } else {
        outcome_say(outcome, "%s answered %s%s%.120s", self->otlp.place, grpc_status_name(status),
                    self->message[0] != '\0' ? ": " : "", self->message);
    }
    if (!grpc_is_retryable(status, self->details.has_retry_info)) {
        return status == GRPC_RESOURCE_EXHAUSTED &&
                       self->otlp.batch_size > LIMIT_USUAL_GRPC_MESSAGE_BYTES
                   ? TRANSPORT_TOO_LARGE
                   : TRANSPORT_REFUSED;
    }
    outcome->retry_after_ms = self->details.retry_delay_ms;
    return TRANSPORT_RETRY;
}

static enum transport_result judge_breakage(const struct otlp_grpc *self,
                                            const struct post_answer *answer,
                                            struct transport_outcome *outcome)
{
    /* A server that refuses a message by the size in its head does so while it is being sent;
       libcurl then often loses the status. It will do so again. */
    if (answer->is_reset && self->otlp.batch_size > LIMIT_USUAL_GRPC_MESSAGE_BYTES) {
        outcome_say(outcome,
                    "%s stopped reading a batch of %zu bytes: lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                    self->otlp.place, self->otlp.batch_size);
        return TRANSPORT_TOO_LARGE;
    }
    outcome_say(outcome, "%s: %s%s", self->otlp.place, answer->error,
                answer->is_mute ? "; if that is a port for OTLP over HTTP, set "
                                  "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
                                : "");
    return TRANSPORT_RETRY;
}

static enum transport_result judge(struct otlp_transport *otlp, const struct post_answer *answer,
                                   struct transport_outcome *outcome)
{
    struct otlp_grpc *self = (struct otlp_grpc *)otlp;
    const char *place = otlp->place;
    switch (answer->failure) {
    case POST_ANSWERED:
        if (!answer->is_http2) {
            outcome_say(outcome,
                        "%s has no HTTP/2, which gRPC needs: set "
                        "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
                        place);
            return TRANSPORT_REFUSED;
        }
        return judge_answer(self, answer, outcome);
    case POST_BROKEN:
        return judge_breakage(self, answer, outcome);
    case POST_TOO_LARGE:
        outcome_say(outcome, "%s answered with more than %u bytes", place,
                    LIMIT_EXPORT_RESPONSE_BYTES);
        return TRANSPORT_REFUSED;
    case POST_NOT_HTTP:
    case POST_UNUSABLE:
        outcome_say(outcome, "%s cannot be used: %s", place, answer->error);
        return TRANSPORT_REFUSED;
    }
    return TRANSPORT_REFUSED;
}

static const struct transport_ops otlp_grpc_ops = {
    .name = "otlp/grpc",
    .begin = begin,
    .step = otlp_transport_step,
    .descriptors = otlp_transport_descriptors,
    .cancel = otlp_transport_cancel,
    .destroy = otlp_transport_destroy,
};

static bool prepare(struct otlp_grpc *self, const struct config *config)
{
    char url[sizeof(config->endpoint) + sizeof(METHOD)];
    size_t base = strlen(config->endpoint);
    while (base > 0 && config->endpoint[base - 1] == '/') {
        base--;
    }
    snprintf(url, sizeof(url), "%.*s%s", (int)base, config->endpoint, METHOD);
    char timeout[GRPC_TIMEOUT_CAPACITY];
    grpc_timeout_header(config->timeout_ms, timeout);
    const char *headers[6] = {"content-type: application/grpc", "te: trailers"};
    size_t count = 2;
    if (config->gzip) {
        headers[count++] = "grpc-encoding: gzip";
    }
    if (config->timeout_ms > 0) {
        headers[count++] = timeout;
    }
    const struct post_options options = {
        .url = url,
        .http = POST_HTTP_2,
        .headers = headers,
        .on_header = on_header,
        .context = self,
    };
    return otlp_transport_init(&self->otlp, &otlp_grpc_ops, judge, config, &options);
}

struct transport *otlp_grpc_create(const struct config *config)
{
    struct otlp_grpc *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    if (!prepare(self, config)) {
        free(self);
        return NULL;
    }
    return &self->otlp.base;
}
