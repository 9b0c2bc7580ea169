/* Records in, spans out, compared as text: first line kind, name and status, then the attributes in
   order. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/service.h"
#include "worker/spans/kinds.h"
#include "worker/spans/spans.h"

static const struct span_limits no_limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
static const struct segment_clock clock_pair = {.realtime_ns = 1700000000000000000,
                                                .monotonic_ns = 5000};

static struct record record;
static struct span span;
static char text[8192];
static size_t used;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)vsnprintf(text + used, sizeof(text) - used, format, arguments);
    va_end(arguments);
}

static void add_attribute(const struct attribute *attribute)
{
    add("%.*s ", (int)attribute->key.size, attribute->key.data);
    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        add("'%.*s'\n", (int)attribute->string.size, attribute->string.data);
        break;
    case ATTRIBUTE_STRINGS:
        add("['%.*s']\n", (int)attribute->string.size, attribute->string.data);
        break;
    case ATTRIBUTE_INT:
        add("%" PRId64 "\n", attribute->integer);
        break;
    case ATTRIBUTE_DOUBLE:
        add("%g\n", attribute->real);
        break;
    case ATTRIBUTE_BOOL:
        add("%s\n", attribute->boolean ? "true" : "false");
        break;
    }
}

static const char *span_as_text(void)
{
    static const char *const kinds[] = {"", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};
    static const char *const states[] = {"", " OK", " ERROR"};
    used = 0;
    add("%s '%.*s'%s", kinds[span.kind], (int)span.name.size, span.name.data, states[span.status]);
    if (span.status_message.size > 0) {
        add(" (%.*s)", (int)span.status_message.size, span.status_message.data);
    }
    add("\n");
    for (uint32_t i = 0; i < span.attribute_count; i++) {
        add_attribute(&span.attributes[i]);
    }
    return text;
}

/* ---- records ---- */

static void begin(enum record_kind kind)
{
    memset(&record, 0, sizeof(record));
    record.kind = (uint16_t)kind;
    record.trace_flags = 3;
    memset(record.trace_id, 0xaa, sizeof(record.trace_id));
    memset(record.span_id, 0xbb, sizeof(record.span_id));
    record.start_ns = 6000;
    record.end_ns = 9000;
    record.peer =
        (struct endpoint){.family = ADDRESS_IPV4, .port = 8080, .address = {127, 0, 0, 1}};
}

static void field(enum field_tag tag, const char *value)
{
    assert_true(record_add_field(&record, tag, slice_of(value, strlen(value)), 1000));
}

static void http(enum record_kind kind, const char *method, const char *target, const char *host,
                 uint16_t status)
{
    begin(kind);
    field(FIELD_METHOD, method);
    field(FIELD_TARGET, target);
    if (host != NULL) {
        field(FIELD_HOST, host);
    }
    record.http.version_minor = 1;
    record.http.status = status;
}

static void redis(const char *command)
{
    begin(RECORD_REDIS_CLIENT);
    record.peer.port = 6379;
    record.redis.database = -1;
    field(FIELD_COMMAND, command);
}

static const char *build(void)
{
    assert_true(record_is_valid(&record));
    spans_build(&span, &no_limits, &record, clock_pair);
    return span_as_text();
}

/* The value of one attribute as text, "-" if it is not there. */
static const char *value_of(const char *key)
{
    for (uint32_t i = 0; i < span.attribute_count; i++) {
        if (slice_equals(span.attributes[i].key, slice_of(key, strlen(key)))) {
            used = 0;
            add_attribute(&span.attributes[i]);
            text[used - 1] = '\0';
            return text + strlen(key) + 1;
        }
    }
    return "-";
}

/* ---- what all have in common ---- */

static void times_ids_and_flags(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/", "h", 200);
    field(FIELD_TRACESTATE, "a=b");
    build();
    assert_int_equal(span.start_ns, 1700000000000001000);
    assert_int_equal(span.end_ns, 1700000000000004000);
    assert_memory_equal(span.trace_id, record.trace_id, 16);
    assert_memory_equal(span.span_id, record.span_id, 8);
    assert_int_equal(span.flags, 0x103);
    assert_int_equal(span.trace_state.size, 3);
    record.parent_source = PARENT_REMOTE;
    build();
    assert_int_equal(span.flags, 0x303);
    record.parent_source = PARENT_CAUSAL;
    record.trace_flags = 1;
    build();
    assert_int_equal(span.flags, 0x101);
    record.flags = RECORD_FLAG_REMOTE_PARENT;
    build();
    assert_int_equal(span.flags, 0x301);
}

static void times_saturate(void **state)
{
    (void)state;
    struct segment_clock pair = {.realtime_ns = 100, .monotonic_ns = 1000};
    assert_int_equal(spans_unix_time(pair, 1000), 100);
    assert_int_equal(spans_unix_time(pair, 950), 50);
    assert_int_equal(spans_unix_time(pair, 800), 0);
    assert_int_equal(spans_unix_time(pair, 0), 0);
    assert_int_equal(spans_unix_time(pair, UINT64_MAX), UINT64_MAX - 900);
    pair.realtime_ns = 2000;
    assert_int_equal(spans_unix_time(pair, UINT64_MAX), UINT64_MAX);
}

static void every_source_of_a_parent_is_named(void **state)
{
    (void)state;
    static const char *const names[PARENT_SOURCE_COUNT] = {"'none'",    "'remote'",  "'causal'",
                                                           "'content'", "'ambient'", "'sdk'"};
    for (uint8_t source = 0; source < PARENT_SOURCE_COUNT; source++) {
        redis("GET");
        record.parent_source = source;
        build();
        assert_string_equal(value_of("wirespan.parent.source"), names[source]);
    }
}

static void cut_text_is_said(void **state)
{
    (void)state;
    redis("GET");
    build();
    assert_string_equal(value_of("wirespan.text_cut"), "-");
    record.flags |= RECORD_FLAG_TEXT_CUT;
    build();
    assert_string_equal(value_of("wirespan.text_cut"), "true");
}

static void bad_text_becomes_replacement_characters(void **state)
{
    (void)state;
    redis("GE\xff");
    field(FIELD_QUERY_TEXT, "GE\xff \xc3");
    field(FIELD_PEER_NAME, "h\x80");
    build();
    assert_string_equal(value_of("db.operation.name"), "'GE\xef\xbf\xbd'");
    assert_string_equal(value_of("db.query.text"), "'GE\xef\xbf\xbd \xef\xbf\xbd'");
    assert_string_equal(value_of("server.address"), "'h\xef\xbf\xbd'");
}

static void limits_hold(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", "h", 200);
    struct span_limits limits = {4, 10, 8, 4};
    spans_build(&span, &limits, &record, clock_pair);
    assert_int_equal(span.attribute_count, 4);
    assert_true(span.dropped_attributes > 0);
    assert_string_equal(value_of("url.full"), "'http://h/\xc3\xa4'");
    uint32_t all = span.attribute_count + span.dropped_attributes;
    limits.attributes = all;
    spans_build(&span, &limits, &record, clock_pair);
    assert_int_equal(span.attribute_count, all);
    assert_int_equal(span.dropped_attributes, 0);
    limits.attributes = 0;
    spans_build(&span, &limits, &record, clock_pair);
    assert_int_equal(span.attribute_count, 0);
    assert_int_equal(span.dropped_attributes, all);
}

static void the_arrays_bound_what_is_added(void **state)
{
    (void)state;
    span_begin(&span, &no_limits);
    for (int i = 0; i < SPAN_ATTRIBUTES_MAX + 3; i++) {
        span_add_int(&span, SLICE("k"), i);
    }
    assert_int_equal(span.attribute_count, SPAN_ATTRIBUTES_MAX);
    assert_int_equal(span.dropped_attributes, 3);
    for (int i = 0; i < SPAN_EVENTS_MAX; i++) {
        assert_non_null(span_add_event(&span, 1, SLICE("e")));
    }
    assert_null(span_add_event(&span, 1, SLICE("e")));
    assert_int_equal(span.dropped_events, 1);
    for (int i = 0; i < SPAN_LINKS_MAX; i++) {
        assert_non_null(span_add_link(&span));
    }
    assert_null(span_add_link(&span));
    assert_int_equal(span.dropped_links, 1);
    const struct span_limits few = {1, 1, 1, 1};
    span_begin(&span, &few);
    assert_non_null(span_add_event(&span, 1, SLICE("e")));
    assert_null(span_add_event(&span, 1, SLICE("e")));
    assert_non_null(span_add_link(&span));
    assert_null(span_add_link(&span));
}

static void scratch_is_bounded(void **state)
{
    (void)state;
    static uint8_t half[SPAN_SCRATCH_BYTES / 2];
    const struct slice part = slice_of(half, sizeof(half));
    span_begin(&span, &no_limits);
    assert_non_null(span_join(&span, &part, 1).data);
    assert_non_null(span_join(&span, &part, 1).data);
    const struct slice byte = SLICE("x");
    assert_null(span_join(&span, &byte, 1).data);
    assert_null(span_text(&span, SLICE("\xff")).data);
    span_add_string(&span, SLICE("k"), SLICE("\xff"));
    assert_int_equal(span.attribute_count, 0);
    assert_int_equal(span.dropped_attributes, 1);
}

/* ---- HTTP ---- */

static void http_transfer(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "https://h/x", "h", 200);
    record.http.transfer = (struct transfer_numbers){
        .name_us = 1000,
        .connect_us = 2000,
        .tls_us = 3000,
        .ready_us = 4000,
        .first_byte_us = 5000,
        .total_us = 6000,
        .redirect_us = 500,
        .redirects = 2,
        .connects = 1,
        .version = TRANSFER_HTTP2,
        .result = 18,
    };
    build();
    assert_non_null(strstr(text, "network.protocol.version '2'\n"));
    assert_non_null(strstr(text, "curl.time_namelookup 0.001\n"
                                 "curl.time_connect 0.002\n"
                                 "curl.time_appconnect 0.003\n"
                                 "curl.time_pretransfer 0.004\n"
                                 "curl.time_starttransfer 0.005\n"
                                 "curl.time_redirect 0.0005\n"
                                 "curl.time_total 0.006\n"
                                 "curl.num_connects 1\n"
                                 "curl.num_redirects 2\n"
                                 "curl.exitcode 18\n"));
    record.http.transfer.version = TRANSFER_HTTP3;
    assert_non_null(strstr(build(), "network.protocol.version '3'\n"));
    record.http.transfer = (struct transfer_numbers){.version = TRANSFER_HTTP1};
    build();
    assert_non_null(strstr(text, "network.protocol.version '1.1'\n"));
    assert_null(strstr(text, "curl.time"));
    record.http.transfer.version = TRANSFER_UNKNOWN;
    assert_null(strstr(build(), "curl."));
}

static void http_client(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "POST", "/v1/jobs?x=1", "api.example.com:8080", 201);
    field(FIELD_USER_AGENT, "tool/1.0");
    field(FIELD_REQUEST_ID, "r-1");
    record.http.request_body_bytes = 12;
    record.http.response_body_bytes = 345;
    assert_string_equal(build(), "CLIENT 'POST'\n"
                                 "http.request.method 'POST'\n"
                                 "url.full 'http://api.example.com:8080/v1/jobs?x=1'\n"
                                 "server.address 'api.example.com'\n"
                                 "server.port 8080\n"
                                 "network.peer.address '127.0.0.1'\n"
                                 "network.peer.port 8080\n"
                                 "network.protocol.version '1.1'\n"
                                 "user_agent.original 'tool/1.0'\n"
                                 "request.id 'r-1'\n"
                                 "http.request.body.size 12\n"
                                 "http.response.body.size 345\n"
                                 "http.response.status_code 201\n"
                                 "wirespan.parent.source 'none'\n");
}

static void http_server(void **state)
{
    (void)state;
    http(RECORD_HTTP_SERVER, "GET", "/api/jobs/7?full=1&sig=REDACTED", "shop.example", 404);
    record.parent_source = PARENT_REMOTE;
    record.http.version_minor = 0;
    assert_string_equal(build(), "SERVER 'GET'\n"
                                 "http.request.method 'GET'\n"
                                 "url.scheme 'http'\n"
                                 "url.path '/api/jobs/7'\n"
                                 "url.query 'full=1&sig=REDACTED'\n"
                                 "server.address 'shop.example'\n"
                                 "server.port 80\n"
                                 "client.address '127.0.0.1'\n"
                                 "network.peer.address '127.0.0.1'\n"
                                 "network.peer.port 8080\n"
                                 "network.protocol.version '1.0'\n"
                                 "http.response.body.size 0\n"
                                 "http.response.status_code 404\n"
                                 "wirespan.parent.source 'remote'\n");
}

static void methods_are_bounded(void **state)
{
    (void)state;
    static const char *const known[] = {"GET",     "POST",  "PUT",     "DELETE", "HEAD",
                                        "OPTIONS", "PATCH", "CONNECT", "TRACE",  "QUERY"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        http(RECORD_HTTP_SERVER, known[i], "/", "h", 200);
        build();
        assert_memory_equal(span.name.data, known[i], span.name.size);
        assert_string_equal(value_of("http.request.method_original"), "-");
    }
    static const char *const unknown[] = {"get", "PROPFIND", "GETX"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        http(RECORD_HTTP_SERVER, unknown[i], "/", "h", 200);
        build();
        assert_memory_equal(span.name.data, "HTTP", 4);
        assert_string_equal(value_of("http.request.method"), "'_OTHER'");
        char quoted[32];
        snprintf(quoted, sizeof(quoted), "'%s'", unknown[i]);
        assert_string_equal(value_of("http.request.method_original"), quoted);
    }
}

static void status_codes(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        bool client_fails;
        bool server_fails;
    } cases[] = {
        {101, false, false}, {200, false, false}, {302, false, false}, {399, false, false},
        {400, true, false},  {404, true, false},  {499, true, false},  {500, true, true},
        {503, true, true},   {999, true, true},   {99, true, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int is_client = 0; is_client < 2; is_client++) {
            http(is_client ? RECORD_HTTP_CLIENT : RECORD_HTTP_SERVER, "GET", "/", "h",
                 cases[i].code);
            build();
            bool fails = is_client ? cases[i].client_fails : cases[i].server_fails;
            assert_int_equal(span.status, fails ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET);
            char quoted[16];
            snprintf(quoted, sizeof(quoted), "'%u'", cases[i].code);
            assert_string_equal(value_of("error.type"), fails ? quoted : "-");
            assert_int_equal(span.status_message.size, 0);
        }
    }
}

static void errors_below_the_protocol(void **state)
{
    (void)state;
    static const struct {
        enum record_error error;
        int number;
        const char *type;
    } cases[] = {
        {RECORD_ERROR_REFUSED, ECONNREFUSED, "'connection_refused'"},
        {RECORD_ERROR_RESET, ECONNRESET, "'connection_reset'"},
        {RECORD_ERROR_TIMEOUT, 0, "'timeout'"},
        {RECORD_ERROR_HOST_NOT_FOUND, 0, "'host_not_found'"},
        {RECORD_ERROR_UNREACHABLE, EHOSTUNREACH, "'host_unreachable'"},
        {RECORD_ERROR_UNREACHABLE, ENETUNREACH, "'network_unreachable'"},
        {RECORD_ERROR_EOF, 0, "'eof'"},
        {RECORD_ERROR_PROTOCOL, 0, "'protocol_error'"},
        {RECORD_ERROR_OTHER, EPERM, "'_OTHER'"},
        {RECORD_ERROR_ABORTED, 0, "'aborted'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http(RECORD_HTTP_CLIENT, "GET", "/", "h", 0);
        record.error = (uint8_t)cases[i].error;
        record.system_error = cases[i].number;
        build();
        assert_int_equal(span.status, SPAN_STATUS_ERROR);
        assert_string_equal(value_of("error.type"), cases[i].type);
        assert_string_equal(value_of("http.response.status_code"), "-");
        assert_int_equal(span.status_message.size > 0, cases[i].number != 0);
    }
}

static void a_cut_answer_has_both_code_and_error(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/", "h", 201);
    record.error = RECORD_ERROR_RESET;
    build();
    assert_int_equal(span.status, SPAN_STATUS_ERROR);
    assert_string_equal(value_of("http.response.status_code"), "201");
    assert_string_equal(value_of("error.type"), "'connection_reset'");
}

static void who_gives_up_matters(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/", "h", 0);
    record.error = RECORD_ERROR_CANCELLED;
    build();
    assert_int_equal(span.status, SPAN_STATUS_UNSET);
    assert_string_equal(value_of("error.type"), "-");
    assert_string_equal(value_of("wirespan.cancelled"), "true");
    redis("GET");
    record.error = RECORD_ERROR_CANCELLED;
    build();
    assert_int_equal(span.status, SPAN_STATUS_UNSET);
    assert_string_equal(value_of("error.type"), "-");
    assert_string_equal(value_of("wirespan.cancelled"), "true");
    http(RECORD_HTTP_SERVER, "GET", "/", "h", 0);
    record.error = RECORD_ERROR_CANCELLED;
    build();
    assert_int_equal(span.status, SPAN_STATUS_ERROR);
    assert_string_equal(value_of("error.type"), "'cancelled'");
    assert_string_equal(value_of("wirespan.cancelled"), "-");
}

static void client_urls(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *host;
        uint16_t flags;
        const char *url;
        const char *address;
        const char *port;
    } cases[] = {
        {"/a", "h", 0, "'http://h/a'", "'h'", "80"},
        {"/a", "h", RECORD_FLAG_TLS, "'https://h/a'", "'h'", "443"},
        {"/a", "h:444", RECORD_FLAG_TLS, "'https://h:444/a'", "'h'", "444"},
        {"/", "[::1]:81", 0, "'http://[::1]:81/'", "'::1'", "81"},
        {"/", "[::1]", 0, "'http://[::1]/'", "'::1'", "80"},
        {"/", "u:p@h:81", 0, "'http://h:81/'", "'h'", "81"},
        {"/", "h:99999", 0, "'http://h:99999/'", "'h'", "80"},
        {"/", NULL, 0, "'http://127.0.0.1:8080/'", "'127.0.0.1'", "8080"},
        {"/", "", 0, "'http://127.0.0.1:8080/'", "'127.0.0.1'", "8080"},
        {"http://o:82/p?q", "h", RECORD_FLAG_PROXIED, "'http://o:82/p?q'", "'o'", "82"},
        {"https://o/p", "h", RECORD_FLAG_PROXIED, "'https://o/p'", "'o'", "443"},
        {"http://o", "h", 0, "'http://o'", "'o'", "80"},
        {"t.example:443", "t.example:443", 0, "'t.example:443'", "'t.example'", "443"},
        {"*", "h", 0, "'http://h'", "'h'", "80"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http(RECORD_HTTP_CLIENT, "GET", cases[i].target, cases[i].host, 200);
        record.flags = cases[i].flags;
        build();
        assert_string_equal(value_of("url.full"), cases[i].url);
        assert_string_equal(value_of("server.address"), cases[i].address);
        assert_string_equal(value_of("server.port"), cases[i].port);
    }
}

static void a_looked_up_name_stands_for_the_address(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/", NULL, 200);
    field(FIELD_PEER_NAME, "db.internal");
    build();
    assert_string_equal(value_of("url.full"), "'http://db.internal:8080/'");
    assert_string_equal(value_of("server.address"), "'db.internal'");
    assert_string_equal(value_of("network.peer.address"), "'127.0.0.1'");
}

static void servers_behind_proxies(void **state)
{
    (void)state;
    http(RECORD_HTTP_SERVER, "GET", "/", "inner:8000", 200);
    field(FIELD_FORWARDED_PROTO, "HTTPS");
    field(FIELD_FORWARDED_HOST, "shop.example");
    field(FIELD_FORWARDED_FOR, "\"[2001:db8::1]:4711\"");
    build();
    assert_string_equal(value_of("url.scheme"), "'https'");
    assert_string_equal(value_of("server.address"), "'shop.example'");
    assert_string_equal(value_of("server.port"), "443");
    assert_string_equal(value_of("client.address"), "'2001:db8::1'");
    assert_string_equal(value_of("network.peer.address"), "'127.0.0.1'");

    static const struct {
        const char *value;
        const char *address;
    } cases[] = {
        {"192.0.2.1", "'192.0.2.1'"},
        {"192.0.2.1:80, 10.0.0.1", "'192.0.2.1'"},
        {"2001:db8::2", "'2001:db8::2'"},
        {"unknown", "'unknown'"},
        {"", "'127.0.0.1'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http(RECORD_HTTP_SERVER, "GET", "/", "h", 200);
        field(FIELD_FORWARDED_FOR, cases[i].value);
        field(FIELD_FORWARDED_PROTO, "gopher");
        build();
        assert_string_equal(value_of("client.address"), cases[i].address);
        assert_string_equal(value_of("url.scheme"), "'http'");
    }
}

static void server_targets(void **state)
{
    (void)state;
    http(RECORD_HTTP_SERVER, "GET", "http://o.example:81/p?q=1", "h", 200);
    build();
    assert_string_equal(value_of("url.path"), "'/p'");
    assert_string_equal(value_of("url.query"), "'q=1'");
    assert_string_equal(value_of("server.address"), "'o.example'");
    assert_string_equal(value_of("server.port"), "81");
    http(RECORD_HTTP_SERVER, "GET", "http://o.example", "h", 200);
    build();
    assert_string_equal(value_of("url.path"), "'/'");
    http(RECORD_HTTP_SERVER, "GET", "/p?", "h", 200);
    build();
    assert_string_equal(value_of("url.path"), "'/p'");
    assert_string_equal(value_of("url.query"), "-");
    http(RECORD_HTTP_SERVER, "OPTIONS", "*", "h", 200);
    build();
    assert_string_equal(value_of("url.path"), "-");
}

static void peers(void **state)
{
    (void)state;
    http(RECORD_HTTP_SERVER, "GET", "/", "h", 200);
    record.peer = (struct endpoint){
        .family = ADDRESS_IPV6, .port = 9, .address = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    build();
    assert_string_equal(value_of("network.peer.address"), "'2001:db8::1'");
    assert_string_equal(value_of("client.address"), "'2001:db8::1'");
    record.peer = (struct endpoint){
        .family = ADDRESS_IPV6,
        .port = 9,
        .address = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 200, [14] = 0, [15] = 255}};
    build();
    assert_string_equal(value_of("network.peer.address"), "'10.200.0.255'");
    record.peer = (struct endpoint){.family = ADDRESS_NONE};
    build();
    assert_string_equal(value_of("network.peer.address"), "-");
    assert_string_equal(value_of("client.address"), "-");
    record.peer = (struct endpoint){.family = ADDRESS_UNIX};
    field(FIELD_PEER_PATH, "@abstract");
    build();
    assert_string_equal(value_of("network.peer.address"), "'@abstract'");
    assert_string_equal(value_of("network.peer.port"), "-");
    assert_string_equal(value_of("network.transport"), "'unix'");
}

static void a_client_on_a_unix_socket(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/info", NULL, 200);
    record.peer = (struct endpoint){.family = ADDRESS_UNIX};
    field(FIELD_PEER_PATH, "/run/d.sock");
    build();
    assert_string_equal(value_of("url.full"), "'http://localhost/info'");
    assert_string_equal(value_of("server.address"), "'/run/d.sock'");
    assert_string_equal(value_of("server.port"), "-");
}

/* ---- jobs ---- */

static void step(const char *command, enum job_action action)
{
    redis(command);
    record.redis.job_action = (uint8_t)action;
    field(FIELD_JOB_SYSTEM, "plain");
    field(FIELD_JOB_ID, "7f");
}

static void steps_of_a_job(void **state)
{
    (void)state;
    step("ZADD", JOB_ACTION_SUBMIT);
    field(FIELD_JOB_QUEUE, "jobs:pending");
    field(FIELD_JOB_PRIORITY, "75");
    build();
    assert_memory_equal(span.name.data, "job.submit", span.name.size);
    assert_memory_equal(span.usual_name.data, "ZADD 127.0.0.1:6379", span.usual_name.size);
    assert_int_equal(span.kind, SPAN_PRODUCER);
    assert_string_equal(value_of("redis.queue"), "'jobs:pending'");
    assert_string_equal(value_of("queue.priority_score"), "'75'");

    step("HSET", JOB_ACTION_SAVE);
    field(FIELD_QUERY_TEXT, "HSET app:job:7f:data id ?");
    field(FIELD_JOB_TIER, "vip");
    build();
    assert_memory_equal(span.name.data, "job.save_redis", span.name.size);
    assert_string_equal(value_of("redis.operation"), "'HSET'");
    assert_string_equal(value_of("redis.key_pattern"), "'app:job:{job_id}:data'");
    assert_string_equal(value_of("customer.tier"), "'vip'");

    step("HSET", JOB_ACTION_SAVE);
    field(FIELD_QUERY_TEXT, "HSET");
    build();
    assert_string_equal(value_of("redis.key_pattern"), "-");

    /* a record that lies */
    step("HSETHSETHSET", JOB_ACTION_ARCHIVE);
    field(FIELD_QUERY_TEXT, "HSET");
    build();
    assert_string_equal(value_of("job.archive.location"), "-");

    step("FCALL", JOB_ACTION_CLAIM);
    field(FIELD_SCRIPT, "findMatchingJob");
    record.start_ns = 6000;
    record.end_ns = 2506000;
    build();
    assert_string_equal(value_of("matching.function"), "'findMatchingJob'");
    assert_string_equal(value_of("matching.match_duration_ms"), "2.5");
    step("BZPOPMAX", JOB_ACTION_CLAIM);
    record.flags |= RECORD_FLAG_BLOCKING;
    build();
    assert_string_equal(value_of("matching.match_duration_ms"), "-");

    step("PUBLISH", JOB_ACTION_MESSAGE);
    field(FIELD_QUERY_TEXT, "PUBLISH complete_job ?");
    build();
    assert_string_equal(value_of("redis.channel"), "'complete_job'");
    step("ZADD", JOB_ACTION_ARCHIVE);
    field(FIELD_QUERY_TEXT, "ZADD jobs:completed ? ?");
    build();
    assert_string_equal(value_of("job.archive.location"), "'jobs:completed'");
    step("EVALSHA", JOB_ACTION_RETRY);
    build();
    assert_string_equal(value_of("recovery.attempted"), "true");
    assert_string_equal(value_of("recovery.strategy"), "'retry'");
}

static void a_job_says_how_far_it_was(void **state)
{
    (void)state;
    begin(RECORD_JOB);
    record.job.attempt = 2;
    record.job.progress_ns = 7000;
    record.job.progress_count = 4;
    record.job.percent = 50;
    record.job.folded = 3;
    record.job.folded_us = 1500;
    record.job.empty_polls = 2;
    record.job.empty_poll_us = 2250;
    build();
    assert_string_equal(value_of("wirespan.job.folded_commands"), "3");
    assert_string_equal(value_of("wirespan.job.folded_ms"), "1.5");
    assert_string_equal(value_of("wirespan.job.empty_polls"), "2");
    assert_string_equal(value_of("wirespan.job.empty_poll_ms"), "2.25");
    assert_memory_equal(span.name.data, "job.process", span.name.size);
    assert_string_equal(value_of("processing.start_time"), "1700000000000");
    assert_string_equal(value_of("job.retry_count"), "1");
    assert_int_equal(span.event_count, 1);
    assert_int_equal(span.events[0].time_ns, span.start_ns + 1000);
    assert_int_equal(span.events[0].attributes[0].integer, 50);
    /* A moment before the job began is nobody's. */
    record.job.progress_ns = 5999;
    build();
    assert_int_equal(span.event_count, 0);
}

static void a_call_for_a_job_has_the_name_of_that_step(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "GET", "/a", "h", 200);
    record.flags |= RECORD_FLAG_FOR_JOB;
    build();
    assert_memory_equal(span.name.data, "process.http_request", span.name.size);
    assert_memory_equal(span.usual_name.data, "GET", span.usual_name.size);
    record.flags |= RECORD_FLAG_UPGRADED;
    build();
    assert_memory_equal(span.name.data, "process.ws_connect", span.name.size);
    static const struct {
        const char *method;
        const char *host;
        const char *target;
        const char *name;
    } cases[] = {
        {"PUT", "pictures.s3.amazonaws.com", "/a.png", "process.image_upload"},
        {"GET", "pictures.s3.amazonaws.com", "/a.png", "storage.download"},
        {"DELETE", "pictures.s3.amazonaws.com", "/a.png", "process.http_request"},
        {"GET", "models.example", "/flux.safetensors", "process.download_model"},
        {"GET", "pictures.s3.amazonaws.com", "/flux.safetensors", "process.download_model"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http(RECORD_HTTP_CLIENT, cases[i].method, cases[i].target, cases[i].host, 200);
        record.flags |= RECORD_FLAG_FOR_JOB;
        build();
        assert_true(slice_equals(span.name, slice_of(cases[i].name, strlen(cases[i].name))));
        assert_true(
            slice_equals(span.usual_name, slice_of(cases[i].method, strlen(cases[i].method))));
    }
    /* What is served is nobody's step. */
    http(RECORD_HTTP_SERVER, "GET", "/a", "h", 200);
    record.flags |= RECORD_FLAG_FOR_JOB;
    build();
    assert_memory_equal(span.name.data, "GET", span.name.size);
    assert_true(span.is_http_server);
}

/* ---- Redis ---- */

static void redis_command(void **state)
{
    (void)state;
    redis("HGETALL");
    record.redis.database = 2;
    field(FIELD_QUERY_TEXT, "HGETALL job:?");
    field(FIELD_PEER_NAME, "cache");
    assert_string_equal(build(), "CLIENT 'HGETALL cache:6379'\n"
                                 "db.system.name 'redis'\n"
                                 "db.operation.name 'HGETALL'\n"
                                 "db.namespace '2'\n"
                                 "db.query.text 'HGETALL job:?'\n"
                                 "server.address 'cache'\n"
                                 "network.peer.address '127.0.0.1'\n"
                                 "network.peer.port 6379\n"
                                 "wirespan.parent.source 'none'\n");
}

static void redis_details(void **state)
{
    (void)state;
    redis("set");
    record.peer.port = 6380;
    build();
    assert_string_equal(value_of("db.operation.name"), "'set'");
    assert_string_equal(value_of("server.port"), "6380");
    assert_string_equal(value_of("db.namespace"), "-");
    assert_memory_equal(span.name.data, "set 127.0.0.1:6380", span.name.size);

    redis("EVALSHA");
    field(FIELD_SCRIPT, "0123456789abcdef0123456789abcdef01234567");
    build();
    assert_memory_equal(span.name.data, "EVALSHA 0123456789abcdef0123456789abcdef01234567",
                        span.name.size);
    assert_string_equal(value_of("db.stored_procedure.name"),
                        "'0123456789abcdef0123456789abcdef01234567'");

    redis("GET");
    record.peer = (struct endpoint){.family = ADDRESS_UNIX};
    field(FIELD_PEER_PATH, "/tmp/redis.sock");
    build();
    assert_memory_equal(span.name.data, "GET /tmp/redis.sock", span.name.size);
    assert_string_equal(value_of("server.address"), "'/tmp/redis.sock'");
    assert_string_equal(value_of("server.port"), "-");

    redis("GET");
    record.peer = (struct endpoint){.family = ADDRESS_NONE};
    build();
    assert_memory_equal(span.name.data, "GET", span.name.size);

    redis("GET");
    record.peer = (struct endpoint){.family = ADDRESS_IPV6, .port = 6379, .address = {[15] = 1}};
    build();
    assert_memory_equal(span.name.data, "GET [::1]:6379", span.name.size);

    begin(RECORD_REDIS_CLIENT);
    record.redis.database = -1;
    build();
    assert_memory_equal(span.name.data, "redis", span.name.size);
    assert_string_equal(value_of("db.operation.name"), "-");
}

static void redis_errors(void **state)
{
    (void)state;
    redis("GET");
    record.error = RECORD_ERROR_REPLY;
    field(FIELD_ERROR_PREFIX, "WRONGTYPE");
    build();
    assert_int_equal(span.status, SPAN_STATUS_ERROR);
    assert_string_equal(value_of("db.response.status_code"), "'WRONGTYPE'");
    assert_string_equal(value_of("error.type"), "'WRONGTYPE'");
    redis("GET");
    record.error = RECORD_ERROR_REPLY;
    build();
    assert_string_equal(value_of("error.type"), "'ERR'");
    redis("GET");
    record.error = RECORD_ERROR_RESET;
    build();
    assert_string_equal(value_of("error.type"), "'connection_reset'");
    assert_string_equal(value_of("db.response.status_code"), "-");
}

static void redis_circumstances(void **state)
{
    (void)state;
    redis("BLPOP");
    record.flags = RECORD_FLAG_BLOCKING | RECORD_FLAG_NULL_REPLY;
    build();
    assert_string_equal(value_of("wirespan.redis.blocking"), "true");
    assert_string_equal(value_of("wirespan.redis.null_reply"), "true");
    assert_string_equal(value_of("wirespan.redis.queued"), "-");
    redis("SET");
    record.flags = RECORD_FLAG_QUEUED | RECORD_FLAG_NO_REPLY;
    build();
    assert_string_equal(value_of("wirespan.redis.queued"), "true");
    assert_string_equal(value_of("wirespan.redis.no_reply"), "true");
    assert_int_equal(span.status, SPAN_STATUS_UNSET);
}

static void redis_transactions(void **state)
{
    (void)state;
    redis("EXEC");
    record.redis.reply_elements = 3;
    record.redis.error_elements = 1;
    build();
    assert_string_equal(value_of("db.operation.batch.size"), "3");
    assert_string_equal(value_of("wirespan.redis.error_elements"), "1");
    assert_int_equal(span.status, SPAN_STATUS_UNSET);
    /* never 1 */
    redis("exec");
    record.redis.reply_elements = 1;
    build();
    assert_string_equal(value_of("db.operation.batch.size"), "-");
    redis("EXEC");
    build();
    assert_string_equal(value_of("db.operation.batch.size"), "0");
    /* a watched key changed: nothing was run, and that is no error */
    redis("EXEC");
    record.flags = RECORD_FLAG_NULL_REPLY;
    build();
    assert_string_equal(value_of("db.operation.batch.size"), "-");
    assert_int_equal(span.status, SPAN_STATUS_UNSET);
    redis("MGET");
    record.redis.reply_elements = 3;
    build();
    assert_string_equal(value_of("db.operation.batch.size"), "-");
}

/* ---- WebSocket ---- */

static void websocket_client(void **state)
{
    (void)state;
    begin(RECORD_WEBSOCKET_CLIENT);
    field(FIELD_TARGET, "/ws?clientId=1");
    field(FIELD_HOST, "comfy:8188");
    field(FIELD_SUBPROTOCOL, "graphql-ws");
    record.flags = RECORD_FLAG_TLS;
    record.websocket = (struct websocket_numbers){
        .text_messages = {2, 10},
        .binary_messages = {0, 3},
        .pings = {1, 0},
        .payload_bytes = {100, 20000},
        .close_code = {1000, 1000},
        .compressed = 1,
        .ping_round_trip_ns = 1500000,
    };
    assert_string_equal(build(), "CLIENT 'websocket'\n"
                                 "url.full 'wss://comfy:8188/ws?clientId=1'\n"
                                 "server.address 'comfy'\n"
                                 "server.port 8188\n"
                                 "network.peer.address '127.0.0.1'\n"
                                 "network.peer.port 8080\n"
                                 "network.protocol.name 'websocket'\n"
                                 "websocket.subprotocol 'graphql-ws'\n"
                                 "websocket.compressed true\n"
                                 "websocket.sent.messages 2\n"
                                 "websocket.sent.bytes 100\n"
                                 "websocket.sent.pings 1\n"
                                 "websocket.received.messages 13\n"
                                 "websocket.received.bytes 20000\n"
                                 "websocket.received.binary_messages 3\n"
                                 "websocket.ping.round_trip_ms 1.5\n"
                                 "websocket.close.code 1000\n"
                                 "wirespan.parent.source 'none'\n");
}

static void websocket_server_and_its_ends(void **state)
{
    (void)state;
    begin(RECORD_WEBSOCKET_SERVER);
    field(FIELD_TARGET, "/live");
    field(FIELD_HOST, "h");
    field(FIELD_FORWARDED_PROTO, "https");
    field(FIELD_CLOSE_REASON, "bye");
    record.websocket.close_code[0] = 1001;
    build();
    assert_int_equal(span.kind, SPAN_SERVER);
    assert_string_equal(value_of("url.scheme"), "'wss'");
    assert_string_equal(value_of("server.port"), "443");
    assert_string_equal(value_of("url.path"), "'/live'");
    assert_string_equal(value_of("websocket.close.reason"), "'bye'");
    assert_int_equal(span.status, SPAN_STATUS_UNSET);

    static const struct {
        uint16_t code;
        bool fails;
    } cases[] = {{0, false},   {1000, false}, {1001, false}, {1002, true}, {1005, false},
                 {1011, true}, {2999, true},  {3000, false}, {4999, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(RECORD_WEBSOCKET_SERVER);
        record.websocket.close_code[1] = cases[i].code;
        build();
        assert_int_equal(span.status, cases[i].fails ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET);
    }
    assert_string_equal(value_of("websocket.close.code"), "4999");

    begin(RECORD_WEBSOCKET_CLIENT);
    record.error = RECORD_ERROR_EOF;
    build();
    assert_string_equal(value_of("error.type"), "'eof'");
}

/* ---- connections ---- */

static void failed_connects(void **state)
{
    (void)state;
    begin(RECORD_CONNECT);
    record.error = RECORD_ERROR_REFUSED;
    record.system_error = ECONNREFUSED;
    assert_string_equal(build(), "CLIENT 'connect 127.0.0.1:8080' ERROR (Connection refused)\n"
                                 "server.address '127.0.0.1'\n"
                                 "server.port 8080\n"
                                 "network.peer.address '127.0.0.1'\n"
                                 "network.peer.port 8080\n"
                                 "error.type 'connection_refused'\n"
                                 "wirespan.parent.source 'none'\n");
    begin(RECORD_CONNECT);
    record.peer = (struct endpoint){.family = ADDRESS_NONE};
    record.error = RECORD_ERROR_HOST_NOT_FOUND;
    field(FIELD_PEER_NAME, "no.such.host");
    assert_string_equal(build(), "CLIENT 'DNS lookup no.such.host' ERROR\n"
                                 "dns.question.name 'no.such.host'\n"
                                 "server.address 'no.such.host'\n"
                                 "error.type 'host_not_found'\n"
                                 "wirespan.parent.source 'none'\n");
}

static void opaque_connections(void **state)
{
    (void)state;
    begin(RECORD_OPAQUE);
    field(FIELD_PEER_NAME, "api.example");
    field(FIELD_PROTOCOL_TEXT, "h2");
    record.peer.port = 443;
    record.opaque = (struct opaque_numbers){.reason = OPAQUE_TLS, .bytes = {100, 200}};
    record.error = RECORD_ERROR_CANCELLED;
    assert_string_equal(build(), "CLIENT 'connection api.example:443'\n"
                                 "server.address 'api.example'\n"
                                 "server.port 443\n"
                                 "network.peer.address '127.0.0.1'\n"
                                 "network.peer.port 443\n"
                                 "network.protocol.name 'h2'\n"
                                 "wirespan.connection.opaque_reason 'tls'\n"
                                 "wirespan.connection.sent_bytes 100\n"
                                 "wirespan.connection.received_bytes 200\n"
                                 "wirespan.parent.source 'none'\n");
    static const char *const reasons[] = {"'unknown'",     "'tls'",       "'http2'",
                                          "'unknown'",     "'tunnel'",    "'upgraded'",
                                          "'replication'", "'malformed'", "'midstream'"};
    for (uint8_t reason = 0; reason <= OPAQUE_REASON_COUNT; reason++) {
        begin(RECORD_OPAQUE);
        record.opaque.reason = reason;
        record.opaque.is_server = 1;
        build();
        assert_int_equal(span.kind, SPAN_SERVER);
        assert_memory_equal(span.name.data, "connection", span.name.size);
        assert_string_equal(value_of("wirespan.connection.opaque_reason"),
                            reason < OPAQUE_REASON_COUNT ? reasons[reason] : "'unknown'");
    }
    record.error = RECORD_ERROR_RESET;
    build();
    assert_string_equal(value_of("error.type"), "'connection_reset'");
}

/* ---- object stores ---- */

static void check_store(const char *method, const char *host, const char *target,
                        enum store_provider sent, const char *expected)
{
    char found[256];
    size_t size = 0;
    static const char *const keys[] = {"storage.provider", "storage.operation", "storage.bucket",
                                       "storage.path"};
    http(RECORD_HTTP_CLIENT, method, target, host, 200);
    record.http.store = (uint8_t)sent;
    build();
    for (size_t i = 0; i < 4; i++) {
        size += (size_t)snprintf(found + size, sizeof(found) - size, "%s%s", i == 0 ? "" : " ",
                                 value_of(keys[i]));
    }
    assert_string_equal(found, expected);
}

static void test_stores(void **state)
{
    (void)state;
    const char *s3 = "s3.eu-west-1.amazonaws.com";
    const char *azure = "account.blob.core.windows.net";
    const char *google = "storage.googleapis.com";
    check_store("PUT", s3, "/b/k/l.png", STORE_S3, "'s3' 'upload' 'b' 'k/l.png'");
    check_store("GET", "b.s3.amazonaws.com", "/k", STORE_NONE, "'s3' 'download' 'b' 'k'");
    check_store("GET", "my.b.s3-us-west-2.amazonaws.com:443", "/k", STORE_NONE,
                "'s3' 'download' 'my.b' 'k'");
    check_store("HEAD", "minio:9000", "/b/k", STORE_S3, "'s3' 'head' 'b' 'k'");
    check_store("GET", "minio:9000", "/b?list-type=2", STORE_S3, "'s3' 'list' 'b' -");
    check_store("POST", "minio:9000", "/b/k?uploads", STORE_S3, "'s3' 'upload_begin' 'b' 'k'");
    check_store("PUT", "minio:9000", "/b/k?partNumber=1&uploadId=u", STORE_S3,
                "'s3' 'upload_part' 'b' 'k'");
    check_store("POST", "minio:9000", "/b/k?uploadId=u", STORE_S3,
                "'s3' 'upload_complete' 'b' 'k'");
    check_store("DELETE", "minio:9000", "/b/k?uploadId=u", STORE_S3, "'s3' 'upload_abort' 'b' 'k'");
    check_store("GET", "minio:9000", "/b/k?acl", STORE_S3, "'s3' - 'b' 'k'");
    check_store("GET", "cdn.example", "/b/k?X-Amz-Signature=REDACTED", STORE_NONE,
                "'s3' 'download' 'b' 'k'");
    check_store("GET", "cdn.example", "/b/k?AWSAccessKeyId=REDACTED&Signature=REDACTED&Expires=1",
                STORE_NONE, "'s3' 'download' 'b' 'k'");
    check_store("GET", "minio:9000", "http://minio:9000/b/k", STORE_S3, "'s3' 'download' 'b' 'k'");
    /* Others of the same houses. */
    check_store("POST", "sqs.us-east-1.amazonaws.com", "/", STORE_NONE, "- - - -");
    check_store("PUT", "account.queue.core.windows.net", "/q/messages", STORE_AZURE, "- - - -");
    check_store("PUT", "shop.example", "/b/k", STORE_NONE, "- - - -");
    check_store("GET", "shop.example", "/b/k?sig=REDACTED", STORE_NONE, "- - - -");

    check_store("PUT", azure, "/c/d/e.png", STORE_AZURE, "'azure_blob' 'upload' 'c' 'd/e.png'");
    check_store("PUT", azure, "/c/d?comp=block&blockid=x", STORE_AZURE,
                "'azure_blob' 'upload_part' 'c' 'd'");
    check_store("PUT", azure, "/c/d?comp=blocklist", STORE_AZURE,
                "'azure_blob' 'upload_complete' 'c' 'd'");
    check_store("PUT", azure, "/c?restype=container", STORE_AZURE, "'azure_blob' - 'c' -");
    check_store("GET", azure, "/c?restype=container&comp=list", STORE_AZURE,
                "'azure_blob' 'list' 'c' -");
    check_store("GET", azure, "/c/d?sv=1&sr=b&sig=REDACTED", STORE_NONE,
                "'azure_blob' 'download' 'c' 'd'");
    check_store("HEAD", "azurite:10000", "/account/c/d", STORE_AZURE,
                "'azure_blob' 'head' 'c' 'd'");
    check_store("PUT", "127.0.0.1:10000", "/c/d.png", STORE_AZURE,
                "'azure_blob' 'upload' 'c' 'd.png'");
    check_store("PUT", "pictures.example", "/c/d/e.png", STORE_AZURE,
                "'azure_blob' 'upload' 'c' 'd/e.png'");
    check_store("DELETE", azure, "/c/d", STORE_AZURE, "'azure_blob' 'delete' 'c' 'd'");

    check_store("POST", google, "/upload/storage/v1/b/B/o?uploadType=media&name=x%2Fy", STORE_NONE,
                "'gcs' 'upload' 'B' 'x%2Fy'");
    check_store("POST", google, "/upload/storage/v1/b/B/o?uploadType=resumable&name=x", STORE_NONE,
                "'gcs' 'upload_begin' 'B' 'x'");
    check_store("PUT", google, "/upload/storage/v1/b/B/o?uploadType=resumable&upload_id=REDACTED",
                STORE_NONE, "'gcs' 'upload_part' 'B' -");
    check_store("GET", "fake:1", "/download/storage/v1/b/B/o/x%2Fy?alt=media", STORE_NONE,
                "'gcs' 'download' 'B' 'x%2Fy'");
    check_store("GET", "fake:1", "/storage/v1/b/B/o/x", STORE_NONE, "'gcs' 'head' 'B' 'x'");
    check_store("GET", "fake:1", "/storage/v1/b/B/o", STORE_NONE, "'gcs' 'list' 'B' -");
    check_store("GET", "fake:1", "/storage/v1/b/B", STORE_NONE, "'gcs' - 'B' -");
    check_store("GET", google, "/B/x?X-Goog-Signature=REDACTED", STORE_NONE,
                "'gcs' 'download' 'B' 'x'");
    check_store("GET", "B.storage.googleapis.com", "/x", STORE_NONE, "'gcs' 'download' 'B' 'x'");
    /* What nobody sends. */
    check_store("PUT", s3, "/", STORE_S3, "'s3' - - -");
    check_store("PUT", azure, "*", STORE_AZURE, "- - - -");
    check_store("GET", google, "/storage/v1/b/", STORE_NONE, "'gcs' - - -");
    check_store("GET", s3, "/b/k", (enum store_provider)200, "'s3' 'download' 'b' 'k'");
}

static void test_sizes_of_objects(void **state)
{
    (void)state;
    http(RECORD_HTTP_CLIENT, "PUT", "/b/k", "s3.amazonaws.com", 200);
    record.http.request_body_bytes = 5;
    build();
    assert_string_equal(value_of("storage.size"), "5");
    http(RECORD_HTTP_CLIENT, "GET", "/b/k", "s3.amazonaws.com", 206);
    record.http.response_body_bytes = 7;
    build();
    assert_string_equal(value_of("storage.size"), "7");
    record.http.status = 404;
    build();
    assert_string_equal(value_of("storage.size"), "-");
    http(RECORD_HTTP_CLIENT, "GET", "/models/sd.SafeTensors?download=true", "hub.example", 206);
    record.http.response_body_bytes = 3000;
    build();
    assert_string_equal(value_of("model.file"), "'sd.SafeTensors'");
    assert_string_equal(value_of("model.size"), "3000");
    assert_string_equal(value_of("model.download.resumed"), "true");
    assert_string_equal(value_of("model.download.bytes_per_second"), "1e+09");
    record.flags |= RECORD_FLAG_FOR_JOB;
    build();
    assert_true(slice_equals(span.name, SLICE("process.download_model")));
    record.http.status = 302;
    build();
    assert_string_equal(value_of("model.file"), "-");
    assert_true(slice_equals(span.name, SLICE("process.http_request")));
    static const char *const names[][2] = {{"PUT", "process.image_upload"},
                                           {"GET", "storage.download"},
                                           {"HEAD", "process.http_request"}};
    for (size_t i = 0; i < 3; i++) {
        http(RECORD_HTTP_CLIENT, names[i][0], "/b/k", "s3.amazonaws.com", 200);
        record.flags |= RECORD_FLAG_FOR_JOB;
        build();
        assert_true(slice_equals(span.name, slice_of(names[i][1], strlen(names[i][1]))));
    }
}

/* ---- runs of services ---- */

static void begin_run(enum run_end end)
{
    uint8_t endpoint = service_find(SLICE("POST"), SLICE("/prompt"), false);
    uint8_t id[4] = {service_endpoint(endpoint)->run_field, 'p', '-', '1'};
    begin(RECORD_RUN);
    record_add_field(&record, FIELD_SERVICE, slice_of(&endpoint, 1), 1);
    record_add_field(&record, FIELD_SERVICE_VALUE, slice_of(id, sizeof(id)), sizeof(id));
    record.run.end = (uint8_t)end;
    record.run.messages = 4;
    record.run.started_ns = 7000;
}

static void test_runs(void **state)
{
    (void)state;
    static const char *const names[] = {"execution.completed", "execution.failed",
                                        "execution.cancelled"};
    for (enum run_end end = RUN_END_COMPLETED; end <= RUN_END_CANCELLED; end++) {
        begin_run(end);
        field(FIELD_RUN_ERROR, "ValueError");
        const char *built = build();
        assert_memory_equal(built, "INTERNAL 'process.execute_comfyui'", 34);
        assert_int_equal(span.event_count, 3);
        assert_true(slice_equals(span.events[0].name, SLICE("submitted")));
        assert_true(slice_equals(span.events[1].name, SLICE("execution.started")));
        assert_true(
            slice_equals(span.events[2].name, slice_of(names[end - 1], strlen(names[end - 1]))));
        assert_int_equal(span.events[1].time_ns, span.start_ns + 1000);
        assert_int_equal(span.events[2].time_ns, span.end_ns);
        assert_string_equal(value_of("error.type"), end == RUN_END_FAILED ? "'ValueError'" : "-");
        assert_string_equal(value_of("comfyui.prompt_id"), "'p-1'");
        assert_string_equal(value_of("execution.duration_ms"), "0.002");
        assert_string_equal(value_of("wirespan.run.messages"), "4");
    }
    begin_run(RUN_END_FAILED);
    build();
    assert_string_equal(value_of("error.type"), "'_OTHER'");
    begin_run(RUN_END_UNKNOWN);
    build();
    assert_string_equal(value_of("wirespan.run.end"), "'unknown'");
    /* Of no endpoint, with a time that cannot be and an end that is none. */
    begin(RECORD_RUN);
    record.run.started_ns = 1;
    record.run.end = 200;
    build();
    assert_int_equal(span.event_count, 1);
    begin(RECORD_MESSAGE);
    record.message.bytes = 77;
    build();
    assert_string_equal(value_of("websocket.message.size"), "77");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stores),
        cmocka_unit_test(test_sizes_of_objects),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(times_ids_and_flags),
        cmocka_unit_test(times_saturate),
        cmocka_unit_test(every_source_of_a_parent_is_named),
        cmocka_unit_test(cut_text_is_said),
        cmocka_unit_test(bad_text_becomes_replacement_characters),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(the_arrays_bound_what_is_added),
        cmocka_unit_test(scratch_is_bounded),
        cmocka_unit_test(http_transfer),
        cmocka_unit_test(http_client),
        cmocka_unit_test(http_server),
        cmocka_unit_test(methods_are_bounded),
        cmocka_unit_test(status_codes),
        cmocka_unit_test(errors_below_the_protocol),
        cmocka_unit_test(a_cut_answer_has_both_code_and_error),
        cmocka_unit_test(who_gives_up_matters),
        cmocka_unit_test(client_urls),
        cmocka_unit_test(a_looked_up_name_stands_for_the_address),
        cmocka_unit_test(servers_behind_proxies),
        cmocka_unit_test(server_targets),
        cmocka_unit_test(peers),
        cmocka_unit_test(a_client_on_a_unix_socket),
        cmocka_unit_test(steps_of_a_job),
        cmocka_unit_test(a_job_says_how_far_it_was),
        cmocka_unit_test(a_call_for_a_job_has_the_name_of_that_step),
        cmocka_unit_test(redis_command),
        cmocka_unit_test(redis_details),
        cmocka_unit_test(redis_errors),
        cmocka_unit_test(redis_circumstances),
        cmocka_unit_test(redis_transactions),
        cmocka_unit_test(websocket_client),
        cmocka_unit_test(websocket_server_and_its_ends),
        cmocka_unit_test(failed_connects),
        cmocka_unit_test(opaque_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
