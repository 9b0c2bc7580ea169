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

/* What a request to an object store, or for a model, is to a job; NULL data: nothing of its own. */
static struct slice transfer_name(const struct span *span)
{
    static const struct {
        struct slice operation;
        struct slice name;
    } names[] = {
        {LITERAL("upload"), LITERAL("process.image_upload")},
        {LITERAL("upload_part"), LITERAL("process.image_upload")},
        {LITERAL("download"), LITERAL("storage.download")},
    };
    struct slice name = {NULL, 0};
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        const struct attribute *attribute = &span->attributes[i];
        if (slice_equals(attribute->key, SLICE("model.file"))) {
            return SLICE("process.download_model");
        }
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]) &&
                           slice_equals(attribute->key, SLICE("storage.operation"));
             j++) {
            name = slice_equals(attribute->string, names[j].operation) ? names[j].name : name;
        }
    }
    return name;
}

/* A question that was asked again until the answer was another one. The interval is from the
   beginning of one to that of the next. */
static void add_poll(struct span *span, const struct record *record, struct slice field)
{
    struct poll_numbers numbers;
    if (field.size != sizeof(numbers)) {
        return;
    }
    memcpy(&numbers, field.data, sizeof(numbers));
    span_add_int(span, SLICE("poll.attempts"), numbers.attempts);
    if (numbers.attempts > 1 && numbers.last_ns > record->start_ns) {
        double whole_ms = (double)(numbers.last_ns - record->start_ns) / 1e6;
        span_add_double(span, SLICE("poll.interval_ms"), whole_ms / (numbers.attempts - 1));
    }
    if (numbers.failures > 0) {
        span_add_int(span, SLICE("poll.failures"), numbers.failures);
    }
}

/* Whether what the job has uploaded is delivered. */
static void add_delivery(struct span *span, const struct record *record)
{
    bool is_there = record->http.status / 100 == 2 || record->http.status == 304;
    span_add_literal(span, SLICE("cdn.test_result"),
                     is_there ? SLICE("success") : SLICE("failure"));
    span_add_double(span, SLICE("cdn.response_time_ms"),
                    (double)(span->end_ns - span->start_ns) / 1e6);
}

/* What a worker calls for its job has the name of that step, but where the service's own is one. */
static void name_for_job(struct span *span, const struct record *record,
                         const struct record_text *text)
{
    bool is_poll = text->fields[FIELD_POLL].data != NULL;
    struct slice transfer = transfer_name(span);
    if (is_poll) {
        transfer = SLICE("process.poll_completion");
    } else if (transfer.size == 0 && text->fields[FIELD_DELIVERY].data != NULL) {
        transfer = SLICE("process.cdn_test");
        add_delivery(span, record);
    }
    if (slice_equals(span->name, SLICE("triton.infer"))) {
        return;
    }
    span->usual_name = span->name;
    span->name = (record->flags & RECORD_FLAG_UPGRADED) != 0 ? SLICE("process.ws_connect")
                 : transfer.size > 0                         ? transfer
                                                             : SLICE("process.http_request");
}

/* What both ends of a WebSocket have agreed on. */
static void add_agreement(struct span *span, const struct record_text *text)
{
    struct slice upgrade = text->fields[FIELD_UPGRADE];
    struct slice extensions = text->fields[FIELD_EXTENSIONS];
    if (!slice_equals_ignoring_case(upgrade, SLICE("websocket"))) {
        return;
    }
    span_add_string(span, SLICE("websocket.subprotocol"), text->fields[FIELD_SUBPROTOCOL]);
    span_add_bool(span, SLICE("websocket.compressed"),
                  slice_starts_with(extensions, SLICE("permessage-deflate")));
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
    }
    if (is_client) {
        spans_add_store(span, record, text);
    }
    if (unlikely((record->flags & RECORD_FLAG_UPGRADED) != 0)) {
        add_agreement(span, text);
    }
    if (unlikely((record->flags & RECORD_FLAG_API_KEY) != 0) && !is_client) {
        span_add_bool(span, SLICE("auth.api_key_present"), true);
    }
    span->is_http_server = !is_client;
    if (unlikely((record->flags & RECORD_FLAG_FOR_JOB) != 0) && is_client) {
        add_poll(span, record, text->fields[FIELD_POLL]);
        name_for_job(span, record, text);
    }
}
