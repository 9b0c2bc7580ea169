#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "worker/transport/create.h"
#include "worker/transport/gzip.h"
#include "worker/transport/otlp_reply.h"
#include "worker/transport/otlp_transport.h"
#include "worker/transport/outcome.h"
#include "worker/transport/retry_after.h"

struct otlp_http {
    struct otlp_transport otlp;
    /* From the answer's headers. */
    uint32_t retry_after_ms;
    bool is_protobuf;
    bool is_encoded;
};

static void on_header(void *context, struct slice name, struct slice value)
{
    struct otlp_http *self = context;
    if (name.size == 0) {
        self->retry_after_ms = 0;
        self->is_protobuf = false;
        self->is_encoded = false;
    } else if (slice_equals_ignoring_case(name, SLICE("retry-after"))) {
        self->retry_after_ms = retry_after_ms(value, (int64_t)time(NULL));
    } else if (slice_equals_ignoring_case(name, SLICE("content-type"))) {
        self->is_protobuf = slice_starts_with(value, SLICE("application/x-protobuf"));
    } else if (slice_equals_ignoring_case(name, SLICE("content-encoding"))) {
        self->is_encoded = !slice_equals_ignoring_case(value, SLICE("identity"));
    }
}

static int begin(struct transport *transport, const struct export_batch *batch)
{
    struct otlp_transport *otlp = (struct otlp_transport *)transport;
    struct slice body = slice_of(batch->bytes, batch->size);
    uint8_t *compressed = NULL;
    if (body.size > LIMIT_EXPORT_REQUEST_BYTES) {
        return -EMSGSIZE;
    }
    if (otlp->gzip) {
        size_t size;
        compressed = gzip_compress(body, 0, &size);
        if (compressed == NULL) {
            return -ENOMEM;
        }
        body = slice_of(compressed, size);
    }
    return otlp_transport_begin(otlp, batch, body, compressed);
}

/* RFC 9113 6.5: every HTTP/2 server opens with a SETTINGS frame (type 4, stream 0). */
static bool is_http2_opening(struct slice body)
{
    return body.size >= 9 && body.data[3] == 4 &&
           memcmp(body.data + 5, (const uint8_t[4]){0}, 4) == 0;
}

static const char *advice_for(long status)
{
    switch (status) {
    case 401:
    case 403:
        return " (see OTEL_EXPORTER_OTLP_HEADERS)";
    case 404:
    case 405:
        return " (is it an OTLP endpoint? see OTEL_EXPORTER_OTLP_ENDPOINT)";
    case 413:
        return " (lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE)";
    case 415:
        return " (the receiver takes no protobuf over HTTP)";
    default:
        return status >= 300 && status < 400 ? " (redirects are not followed)" : "";
    }
}

static void say_status(const struct otlp_http *self, const struct post_answer *answer,
                       struct transport_outcome *outcome)
{
    struct rpc_status status = {0};
    if (self->is_encoded || (self->is_protobuf && !rpc_status_read(answer->body, &status))) {
        status.message[0] = '\0';
    } else if (!self->is_protobuf) {
        outcome_quote(answer->body, status.message, sizeof(status.message));
    }
    outcome_say(outcome, "%s answered %ld%s%s%.100s", self->otlp.place, answer->status,
                advice_for(answer->status), status.message[0] != '\0' ? ": " : "", status.message);
}

static enum transport_result judge_answer(const struct otlp_http *self,
                                          const struct post_answer *answer,
                                          struct transport_outcome *outcome)
{
    if (answer->status >= 200 && answer->status < 300) {
        /* Not every receiver answers in kind; what it says besides 2xx is then not for us. */
        if (self->is_protobuf && !self->is_encoded) {
            otlp_reply_read(answer->body, self->otlp.span_count, outcome);
        }
        return TRANSPORT_DELIVERED;
    }
    say_status(self, answer, outcome);
    switch (answer->status) {
    case 429:
    case 502:
    case 503:
    case 504:
        outcome->retry_after_ms = self->retry_after_ms;
        return TRANSPORT_RETRY;
    case 413:
        return TRANSPORT_TOO_LARGE;
    default:
        return TRANSPORT_REFUSED;
    }
}

static enum transport_result judge(struct otlp_transport *otlp, const struct post_answer *answer,
                                   struct transport_outcome *outcome)
{
    const struct otlp_http *self = (const struct otlp_http *)otlp;
    switch (answer->failure) {
    case POST_ANSWERED:
        return judge_answer(self, answer, outcome);
    case POST_BROKEN:
        outcome_say(outcome, "%s: %s", self->otlp.place, answer->error);
        return TRANSPORT_RETRY;
    case POST_TOO_LARGE:
        outcome_say(outcome, "%s answered %ld with more than %u bytes", self->otlp.place,
                    answer->status, LIMIT_EXPORT_RESPONSE_BYTES);
        return TRANSPORT_REFUSED;
    case POST_NOT_HTTP:
        if (is_http2_opening(answer->body)) {
            outcome_say(outcome,
                        "%s answers in HTTP/2, as gRPC receivers do: set "
                        "OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the port for HTTP (4318)",
                        self->otlp.place);
        } else {
            outcome_say(outcome, "%s does not answer in HTTP", self->otlp.place);
        }
        return TRANSPORT_REFUSED;
    case POST_UNUSABLE:
        outcome_say(outcome, "%s cannot be used: %s", self->otlp.place, answer->error);
        return TRANSPORT_REFUSED;
    }
    return TRANSPORT_REFUSED;
}

static const struct transport_ops otlp_http_ops = {
    .name = "otlp/http",
    .begin = begin,
    .step = otlp_transport_step,
    .descriptors = otlp_transport_descriptors,
    .cancel = otlp_transport_cancel,
    .destroy = otlp_transport_destroy,
};

struct transport *otlp_http_create(const struct config *config)
{
    struct otlp_http *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    const char *headers[] = {
        "Content-Type: application/x-protobuf",
        config->gzip ? "Content-Encoding: gzip" : NULL,
        NULL,
    };
    const struct post_options options = {
        .url = config->endpoint,
        .http = POST_HTTP_1_1,
        .headers = headers,
        .on_header = on_header,
        .context = self,
    };
    if (!otlp_transport_init(&self->otlp, &otlp_http_ops, judge, config, &options)) {
        free(self);
        return NULL;
    }
    return &self->otlp.base;
}
