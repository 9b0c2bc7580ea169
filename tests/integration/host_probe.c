/*
 * Preloaded into any program: exports one span before main, says on stderr what became of it.
 * PROBE_KIND (http, grpc), PROBE_URL and PROBE_CERTIFICATE configure it; a program without
 * PROBE_URL is left alone.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/transport/create.h"

/* resource_spans { scope_spans { spans { trace_id, span_id, name: "x" } } } */
static const uint8_t one_span[] = {
    0x0a, 35, 0x12, 33, 0x12, 31,   0x0a, 16, 1, 2, 3, 4, 5, 6, 7, 8,    9, 10,  11,
    12,   13, 14,   15, 16,   0x12, 8,    1,  2, 3, 4, 5, 6, 7, 8, 0x2a, 1, 'x',
};

static enum transport_result run(struct transport *transport, struct transport_outcome *outcome)
{
    const struct export_batch batch = {one_span, sizeof(one_span), 1};
    if (transport->ops->begin(transport, &batch) != 0) {
        return TRANSPORT_REFUSED;
    }
    enum transport_result result;
    while ((result = transport->ops->step(transport, outcome)) == TRANSPORT_PENDING) {
        struct pollfd descriptors[8];
        int timeout_ms = -1;
        size_t count = transport->ops->descriptors(transport, descriptors, 8, &timeout_ms);
        poll(descriptors, count, timeout_ms);
    }
    return result;
}

__attribute__((constructor)) static void probe(void)
{
    const char *url = getenv("PROBE_URL");
    const char *kind = getenv("PROBE_KIND");
    const char *certificate = getenv("PROBE_CERTIFICATE");
    if (url == NULL || kind == NULL) {
        return;
    }
    struct config config = {.log_level = LOG_LEVEL_WARN, .timeout_ms = 20000, .gzip = true};
    snprintf(config.endpoint, sizeof(config.endpoint), "%s", url);
    if (certificate != NULL) {
        config.certificate = slice_of(certificate, strlen(certificate));
    }
    struct transport *transport =
        strcmp(kind, "grpc") == 0 ? otlp_grpc_create(&config) : otlp_http_create(&config);
    if (transport == NULL) {
        return;
    }
    struct transport_outcome outcome = {0};
    enum transport_result result = run(transport, &outcome);
    dprintf(STDERR_FILENO, "probe: %s %s\n", result == TRANSPORT_DELIVERED ? "delivered" : "not",
            outcome.message);
    transport->ops->destroy(transport);
}
