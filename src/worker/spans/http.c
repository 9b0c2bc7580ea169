#include "base/compiler.h"
#include "worker/spans/kinds.h"

#define LITERAL(text)                                                                              \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct slice schemes[2] = {LITERAL("http"), LITERAL("https")};

/* The conventions' list; others would let a peer choose span names. */
static const struct slice known_methods[] = {
    LITERAL("GET"),     LITERAL("POST"),  LITERAL("PUT"),     LITERAL("DELETE"), LITERAL("HEAD"),
    LITERAL("OPTIONS"), LITERAL("PATCH"), LITERAL("CONNECT"), LITERAL("TRACE"),  LITERAL("QUERY"),
};

static bool is_known(struct slice method)
{
    for (size_t i = 0; i < sizeof(known_methods) / sizeof(known_methods[0]); i++) {
        if (slice_equals(method, known_methods[i])) {
            return true;
        }
    }
    return false;
}

static void add_method(struct span *span, const struct record_text *text)
{
    static const struct slice key = LITERAL("http.request.method");
    struct slice method = text->fields[FIELD_METHOD];
    if (likely(is_known(method))) {
        span->name = method;
        span_add_literal(span, key, method);
        return;
    }
    span->name = SLICE("HTTP");
    span_add_literal(span, key, SLICE("_OTHER"));
    if (method.size > 0) {
        span_add_string(span, SLICE("http.request.method_original"), method);
    }
}

static bool is_failure(uint16_t status, bool is_client)
{
    return status >= (is_client ? 400 : 500) || (status > 0 && status < 100);
}

/* What the status code says comes first; below it, what happened to the connection. A client that
   gave up by itself has not failed (the conventions), a server that did has. */
static void add_outcome(struct span *span, const struct record *record, bool is_client)
{
    uint16_t status = record->http.status;
    if (status != 0) {
        span_add_int(span, SLICE("http.response.status_code"), status);
    }
    if (unlikely(is_failure(status, is_client))) {
        span_set_error(span, span_decimal(span, status));
    } else if (unlikely(record->error != RECORD_OK)) {
        spans_add_error(span, record);
    }
}

static void add_sizes(struct span *span, const struct http_numbers *http)
{
    if (http->request_body_bytes > 0) {
        span_add_int(span, SLICE("http.request.body.size"), (int64_t)http->request_body_bytes);
    }
    if (http->status != 0) {
        span_add_int(span, SLICE("http.response.body.size"), (int64_t)http->response_body_bytes);
    }
}

static struct slice version_of(const struct http_numbers *http)
{
    switch ((enum transfer_version)http->transfer.version) {
    case TRANSFER_HTTP2:
        return SLICE("2");
    case TRANSFER_HTTP3:
        return SLICE("3");
    case TRANSFER_HTTP1:
    case TRANSFER_UNKNOWN:
        break;
    }
    return http->version_minor == 0 ? SLICE("1.0") : SLICE("1.1");
}

static void add_phase(struct span *span, struct slice key, uint32_t microseconds)
{
    if (microseconds != 0) {
        span_add_double(span, key, microseconds / 1e6);
    }
}

/* By the names that curl itself gives these numbers (curl -w), in seconds as there. */
static void add_transfer(struct span *span, const struct transfer_numbers *transfer)
{
    add_phase(span, SLICE("curl.time_namelookup"), transfer->name_us);
    add_phase(span, SLICE("curl.time_connect"), transfer->connect_us);
    add_phase(span, SLICE("curl.time_appconnect"), transfer->tls_us);
    add_phase(span, SLICE("curl.time_pretransfer"), transfer->ready_us);
    add_phase(span, SLICE("curl.time_starttransfer"), transfer->first_byte_us);
    add_phase(span, SLICE("curl.time_redirect"), transfer->redirect_us);
    add_phase(span, SLICE("curl.time_total"), transfer->total_us);
    span_add_int(span, SLICE("curl.num_connects"), transfer->connects);
    if (transfer->redirects != 0) {
        span_add_int(span, SLICE("curl.num_redirects"), transfer->redirects);
    }
    if (transfer->result != 0) {
        span_add_int(span, SLICE("curl.exitcode"), transfer->result);
    }
}

static struct slice text_of(const struct span *span, struct slice key)
{
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        if (slice_equals(span->attributes[i].key, key) &&
            span->attributes[i].type == ATTRIBUTE_STRING) {
            return span->attributes[i].string;
        }
    }
    return (struct slice){NULL, 0};
}

/* By what the stores and services have told. */
static struct slice step_of(const struct span *span, const struct record *record)
{
    struct slice operation = text_of(span, SLICE("storage.operation"));
    if ((record->flags & RECORD_FLAG_UPGRADED) != 0) {
        return SLICE("process.ws_connect");
    }
    if (text_of(span, SLICE("model.file")).data != NULL) {
        return SLICE("process.download_model");
    }
    if (slice_starts_with(operation, SLICE("upload"))) {
        return SLICE("process.image_upload");
    }
    return slice_equals(operation, SLICE("download")) ? SLICE("storage.download")
                                                      : SLICE("process.http_request");
}

/* What a worker calls for its job has the name of that step, but where the service's own is one. */
static void name_for_job(struct span *span, const struct record *record)
{
    if (!slice_equals(span->name, SLICE("triton.infer"))) {
        span->usual_name = span->name;
        span->name = step_of(span, record);
    }
}

void spans_build_http(struct span *span, const struct record *record,
                      const struct record_text *text)
{
    bool is_client = record->kind == RECORD_HTTP_CLIENT;
    struct peer peer = spans_peer(span, record, text);
    span->kind = is_client ? SPAN_CLIENT : SPAN_SERVER;
    add_method(span, text);
    if (is_client) {
        spans_add_client_url(span, record, text, &peer, schemes);
    } else {
        spans_add_server_url(span, record, text, &peer, schemes);
    }
    spans_add_network(span, &peer);
    span_add_literal(span, SLICE("network.protocol.version"), version_of(&record->http));
    span_add_string(span, SLICE("user_agent.original"), text->fields[FIELD_USER_AGENT]);
    span_add_string(span, SLICE("request.id"), text->fields[FIELD_REQUEST_ID]);
    add_sizes(span, &record->http);
    add_outcome(span, record, is_client);
    if (unlikely(record->http.transfer.version != TRANSFER_UNKNOWN)) {
        add_transfer(span, &record->http.transfer);
    }
    if (unlikely(text->fields[FIELD_SERVICE].data != NULL)) {
        spans_add_service(span, record, text);
    } else if (is_client) {
        spans_add_store(span, record, text);
    }
    span->is_http_server = !is_client;
    if (unlikely((record->flags & RECORD_FLAG_FOR_JOB) != 0) && is_client) {
        name_for_job(span, record);
    }
}
