#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/otlp/json.h"
#include "worker/otlp/json_read.h"

/* One span in OTLP JSON with `members` added to it. */
#define WITH_SPAN(members)                                                                         \
    "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{"                                           \
    "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"f102030405060708\"" members     \
    "}]}]}]}"
#define WITH_VALUE(value) WITH_SPAN(",\"attributes\":[{\"key\":\"k\",\"value\":" value "}]")

static Otlp__ExportTraceServiceRequest *read_text(const char *text, const char **what)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    Otlp__ExportTraceServiceRequest *request = otlp_from_json(json, what);
    json_decref(json);
    return request;
}

/* Reads, packs, writes again; the result is to be freed. */
static char *round_trip(const char *text)
{
    const char *what = "";
    Otlp__ExportTraceServiceRequest *request = read_text(text, &what);
    if (request == NULL) {
        fail_msg("refused at %s: %s", what, text);
    }
    size_t size = otlp__export_trace_service_request__get_packed_size(request);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    otlp__export_trace_service_request__pack(request, bytes);
    otlp__export_trace_service_request__free_unpacked(request, NULL);
    json_t *json = otlp_bytes_to_json(slice_of(bytes, size));
    free(bytes);
    assert_non_null(json);
    char *back = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return back;
}

static void becomes(const char *text, const char *expected)
{
    char *back = round_trip(text);
    assert_string_equal(back, expected);
    free(back);
}

static void stays(const char *text)
{
    becomes(text, text);
}

static void the_form_is_kept(void **state)
{
    (void)state;
    stays("{}");
    stays(WITH_SPAN(""));
    stays(WITH_SPAN(",\"traceState\":\"ot=th:c\",\"parentSpanId\":\"00000000000000ff\","
                    "\"flags\":769,\"name\":\"GET\",\"kind\":3,"
                    "\"startTimeUnixNano\":\"1700000000000000001\","
                    "\"endTimeUnixNano\":\"18446744073709551615\","
                    "\"droppedAttributesCount\":4294967295,"
                    "\"events\":[{\"timeUnixNano\":\"5\",\"name\":\"e\",\"attributes\":["
                    "{\"key\":\"a\",\"value\":{\"boolValue\":false}}],"
                    "\"droppedAttributesCount\":1}],\"droppedEventsCount\":2,"
                    "\"links\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\","
                    "\"spanId\":\"f102030405060708\",\"traceState\":\"a=b\","
                    "\"droppedAttributesCount\":1,\"flags\":1}],\"droppedLinksCount\":3,"
                    "\"status\":{\"message\":\"m\",\"code\":2}"));
    stays(WITH_SPAN(",\"status\":{}"));
    stays("{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
          "{\"stringValue\":\"w\"}}],\"droppedAttributesCount\":1},\"scopeSpans\":[{\"scope\":{"
          "\"name\":\"n\",\"version\":\"v\"},\"schemaUrl\":\"s\"}],\"schemaUrl\":\"t\"}]}");
}

static void every_value(void **state)
{
    (void)state;
    static const char *const values[] = {
        WITH_VALUE("{}"),
        WITH_VALUE("{\"stringValue\":\"\"}"),
        WITH_VALUE("{\"stringValue\":\"\\u0000\"}"), /* read below: refused by the JSON reader */
        WITH_VALUE("{\"stringValue\":\"line\\nfeed \\\"quoted\\\" \xC3\xBC\"}"),
        WITH_VALUE("{\"boolValue\":true}"),
        WITH_VALUE("{\"boolValue\":false}"),
        WITH_VALUE("{\"intValue\":\"0\"}"),
        WITH_VALUE("{\"intValue\":\"-9223372036854775808\"}"),
        WITH_VALUE("{\"intValue\":\"9223372036854775807\"}"),
        WITH_VALUE("{\"doubleValue\":0.0}"),
        WITH_VALUE("{\"doubleValue\":-2.5}"),
        WITH_VALUE("{\"doubleValue\":\"NaN\"}"),
        WITH_VALUE("{\"doubleValue\":\"Infinity\"}"),
        WITH_VALUE("{\"doubleValue\":\"-Infinity\"}"),
        WITH_VALUE("{\"arrayValue\":{\"values\":[]}}"),
        WITH_VALUE(
            "{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{},{\"stringValue\":\"\"}]}}"),
        WITH_VALUE(
            "{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{\"boolValue\":true}}]}}"),
        WITH_VALUE("{\"bytesValue\":\"\"}"),
        WITH_VALUE("{\"bytesValue\":\"AA==\"}"),
        WITH_VALUE("{\"bytesValue\":\"AP8=\"}"),
        WITH_VALUE("{\"bytesValue\":\"+/+/\"}"),
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strstr(values[i], "\\u0000") != NULL) {
            assert_null(json_loads(values[i], 0, NULL));
        } else {
            stays(values[i]);
        }
    }
}

static void what_readers_must_accept(void **state)
{
    (void)state;
    becomes(WITH_VALUE("{\"intValue\":42}"), WITH_VALUE("{\"intValue\":\"42\"}"));
    becomes(WITH_VALUE("{\"doubleValue\":3}"), WITH_VALUE("{\"doubleValue\":3.0}"));
    becomes(WITH_VALUE("{\"bytesValue\":\"AA\"}"), WITH_VALUE("{\"bytesValue\":\"AA==\"}"));
    becomes(WITH_SPAN(",\"startTimeUnixNano\":7,\"unknownKey\":[1],\"parentSpanId\":\"\","
                      "\"events\":[],\"name\":null"),
            WITH_SPAN(",\"startTimeUnixNano\":\"7\""));
    becomes("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":"
            "\"ABCDEF0405060708090A0B0C0D0E0F10\"}]}]}]}",
            "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":"
            "\"abcdef0405060708090a0b0c0d0e0f10\"}]}]}]}");
}

static void what_readers_refuse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *what;
    } cases[] = {
        {"[]", "the object itself"},
        {"{\"resourceSpans\":{}}", "resourceSpans"},
        {"{\"resourceSpans\":[1]}", "resourceSpans"},
        {WITH_SPAN(",\"parentSpanId\":\"ff\""), "parentSpanId"},
        {WITH_SPAN(",\"parentSpanId\":\"000000000000000g\""), "parentSpanId"},
        {WITH_SPAN(",\"name\":5"), "name"},
        {WITH_SPAN(",\"startTimeUnixNano\":-1"), "startTimeUnixNano"},
        {WITH_SPAN(",\"startTimeUnixNano\":\"-1\""), "startTimeUnixNano"},
        {WITH_SPAN(",\"startTimeUnixNano\":\"1x\""), "startTimeUnixNano"},
        {WITH_SPAN(",\"startTimeUnixNano\":\"18446744073709551616\""), "startTimeUnixNano"},
        {WITH_SPAN(",\"flags\":4294967296"), "flags"},
        {WITH_SPAN(",\"status\":2"), "status"},
        {WITH_SPAN(",\"events\":[{\"name\":1}]"), "name"},
        {WITH_VALUE("5"), "value"},
        {WITH_VALUE("{\"boolValue\":\"true\"}"), "boolValue"},
        {WITH_VALUE("{\"intValue\":\"9223372036854775808\"}"), "intValue"},
        {WITH_VALUE("{\"intValue\":\"\"}"), "intValue"},
        {WITH_VALUE("{\"intValue\":1.5}"), "intValue"},
        {WITH_VALUE("{\"doubleValue\":\"1e5x\"}"), "doubleValue"},
        {WITH_VALUE("{\"bytesValue\":\"*\"}"), "bytesValue"},
        {WITH_VALUE("{\"arrayValue\":[]}"), "arrayValue"},
        {WITH_VALUE("{\"kvlistValue\":{\"values\":[{\"key\":1}]}}"), "key"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *what = "nothing";
        assert_null(read_text(cases[i].text, &what));
        assert_string_equal(what, cases[i].what);
        assert_null(read_text(cases[i].text, NULL));
    }
}

static void text_that_is_not_utf8(void **state)
{
    (void)state;
    Otlp__Span span;
    otlp__span__init(&span);
    char name[] = "a\xFF"
                  "b\xC3";
    span.name = name;
    Otlp__Span *spans[] = {&span};
    Otlp__ScopeSpans scope_spans;
    otlp__scope_spans__init(&scope_spans);
    scope_spans.spans = spans;
    scope_spans.n_spans = 1;
    Otlp__ScopeSpans *scopes[] = {&scope_spans};
    Otlp__ResourceSpans resource_spans;
    otlp__resource_spans__init(&resource_spans);
    resource_spans.scope_spans = scopes;
    resource_spans.n_scope_spans = 1;
    Otlp__ResourceSpans *resources[] = {&resource_spans};
    Otlp__ExportTraceServiceRequest request;
    otlp__export_trace_service_request__init(&request);
    request.resource_spans = resources;
    request.n_resource_spans = 1;
    json_t *json = otlp_to_json(&request);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(
        text, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"a?b?\"}]}]}]}");
    free(text);
    json_decref(json);
}

static void bytes_that_are_no_message(void **state)
{
    (void)state;
    assert_null(otlp_bytes_to_json(SLICE("\x0a\x05\x01")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_is_kept),         cmocka_unit_test(every_value),
        cmocka_unit_test(what_readers_must_accept), cmocka_unit_test(what_readers_refuse),
        cmocka_unit_test(text_that_is_not_utf8),    cmocka_unit_test(bytes_that_are_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
