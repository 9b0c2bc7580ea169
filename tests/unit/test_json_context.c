/* The context in a message, wherever the message is cut. */
#include "wire/json_context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"
#define OTHER "\"trace_context\":{\"trace_id\":\"1" TRACE "\",\"span_id\":\"" SPAN "\"}"
#define OWN   "\"trace_context\":{\"trace_id\":\"" TRACE "\",\"span_id\":\"" SPAN "\"}"

static bool find(const char *text, struct traceparent *context, size_t piece)
{
    struct json_context reader;
    size_t size = strlen(text);
    json_context_begin(&reader);
    for (size_t at = 0; at < size; at += piece) {
        size_t count = piece < size - at ? piece : size - at;
        uint8_t *exact = malloc(count);
        memcpy(exact, text + at, count);
        bool goes_on = json_context_read(&reader, slice_of(exact, count));
        free(exact);
        if (!goes_on) {
            break;
        }
    }
    return json_context_find(&reader, context);
}

/* The last byte of the span's id; 0: none was found. */
static int found(const char *text)
{
    static const size_t pieces[] = {10000, 1, 2, 7};
    int last = -1;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct traceparent context;
        memset(&context, 0xEE, sizeof(context));
        int byte = find(text, &context, pieces[i]) ? context.parent_id[7] : 0;
        assert_true(last == -1 || byte == last);
        if (byte != 0) {
            assert_int_equal(context.trace_id[0], 0x0a);
            assert_int_equal(context.trace_id[15], 0x9c);
            assert_int_equal(context.parent_id[0], 0xb7);
            assert_int_equal(context.flags, 0);
        } else {
            assert_int_equal(context.parent_id[7], 0xEE);
        }
        last = byte;
    }
    return last;
}

static void test_found(void **state)
{
    (void)state;
    assert_int_equal(found("{" OWN "}"), 0x31);
    assert_int_equal(found("{\"type\":\"job\",\"list\":[{\"a\":1}]," OWN ",\"last\":null}\n"),
                     0x31);
    assert_int_equal(found("{\"type\":\"job\",\"job\":{\"id\":\"x\"," OWN "}}"), 0x31);
    assert_int_equal(found("{\"trace_context\":{\"span_id\":\"" SPAN
                           "\",\"trace_flags\":1,\"trace_id\":\"" TRACE "\"}}"),
                     0x31);
    assert_int_equal(found("{\"trace_context\":{\"span_id\":\"\\u0062"
                           "7ad6b7169203331\","
                           "\"trace_id\":\"" TRACE "\"}}"),
                     0x31);
    /* The document's own, wherever it stands. */
    assert_int_equal(found("{\"job\":{\"trace_context\":{\"trace_id\":\"" TRACE
                           "\",\"span_id\":\"b7ad6b7169203332\"}}," OWN "}"),
                     0x31);
}

static void test_not_found(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "not JSON",
        "{" OWN,                     /* cut */
        "{" OWN "}}",                /* more than a document */
        "[{" OWN "}]",               /* a list's element */
        "{\"a\":{\"b\":{" OWN "}}}", /* too deep */
        "{" OTHER "}",               /* too long an id */
        "{" OWN "," OWN "}",         /* twice */
        "{\"a\":{" OWN "},\"b\":{" OWN "}}",
        "{\"trace_context\":{\"trace_id\":\"" TRACE "\"}}",
        "{\"trace_context\":{\"trace_id\":\"" TRACE "\",\"span_id\":7}}",
        "{\"trace_context\":{\"trace_id\":\"\",\"span_id\":\"" SPAN "\"}}",
        "{\"trace_context\":{\"trace_id\":\"00000000000000000000000000000000\",\"span_id\":\"" SPAN
        "\"}}",
        "{\"trace_context\":{\"trace_id\":\"0AF7651916CD43DD8448EB211C80319C\",\"span_id\":\"" SPAN
        "\"}}",
        "{\"trace_context\":{\"trace_id\":\" " TRACE "\",\"span_id\":\"" SPAN "\"}}",
        "{\"trace_context\":{\"trace_id\":\"" SPAN "\",\"span_id\":\"" TRACE "\"}}",
        "{\"trace_context\":[{\"trace_id\":\"" TRACE "\",\"span_id\":\"" SPAN "\"}]}",
        "{\"trace_context\":{\"trace_id\":\"" TRACE "\",\"span_id\":\"b7ad6b716920333\"}}",
        "{\"trace_context\":{\"trace_id\":\"" TRACE "\",\"span_id\":\"0000000000000000\"}}",
        "{\"trace_context\":{\"trace_id\":\"" TRACE "\",\"span_id\":\"B7AD6B7169203331\"}}",
        "{\"trace_context\":{\"trace_id\":\"" TRACE "\",\"span_id\":\"b7ad6b716920333\\u0000\"}}",
        "{\"trace_context\":\"00-" TRACE "-" SPAN "-01\"}",
        "{\"trace_context\":null}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(found(texts[i]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_not_found),
    };
    return cmocka_run_group_tests_name("json_context", tests, NULL, NULL);
}
