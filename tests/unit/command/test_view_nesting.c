#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "command/view/decode.h"
#include "command/view/nesting.h"
#include "otlp.pb-c.h"

#define DESCRIPTOR (&otlp__export_trace_service_request__descriptor)

/* resource_spans, resource, attributes, value; then ArrayValue and AnyValue in turn. Every level
   is one field with a length. */
static size_t encode_nested(size_t levels, uint8_t **encoded)
{
    static const uint8_t head[] = {0x0A, 0x0A, 0x0A, 0x12};
    uint8_t *bytes = malloc(levels * 12 + 1);
    size_t at = levels * 12 + 1;
    size_t size = 0;
    for (size_t level = levels; level > 0; level--) {
        size_t index = level - 1;
        uint8_t tag = index < 4 ? head[index] : index % 2 == 0 ? 0x2A : 0x0A;
        uint8_t length[10];
        size_t used = 0;
        for (size_t rest = size; used == 0 || rest > 0; rest >>= 7) {
            length[used++] = (uint8_t)((rest & 0x7F) | (rest > 0x7F ? 0x80 : 0));
        }
        at -= used;
        memcpy(bytes + at, length, used);
        bytes[--at] = tag;
        size += used + 1;
    }
    *encoded = malloc(size);
    memcpy(*encoded, bytes + at, size);
    free(bytes);
    return size;
}

static bool is_bounded(size_t levels)
{
    uint8_t *encoded;
    size_t size = encode_nested(levels, &encoded);
    bool bounded = nesting_is_bounded(slice_of(encoded, size), DESCRIPTOR);
    free(encoded);
    return bounded;
}

static void the_limit_has_an_edge(void **state)
{
    (void)state;
    /* The request itself is a level; the innermost message is empty and takes none. */
    assert_true(is_bounded(LIMIT_VIEW_NESTING));
    assert_false(is_bounded(LIMIT_VIEW_NESTING + 1));
    assert_false(is_bounded(LIMIT_VIEW_NESTING + 2));
}

static void a_deep_message_does_not_take_the_stack(void **state)
{
    (void)state;
    uint8_t *encoded;
    char why[DECODE_WHY_BYTES];
    size_t size = encode_nested(300000, &encoded);
    assert_null(decode_protobuf(slice_of(encoded, size), why));
    free(encoded);
}

static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    uint8_t *encoded;
    size_t size = encode_nested(6, &encoded);
    for (size_t cut = 1; cut < size; cut++) {
        assert_false(nesting_is_bounded(slice_of(encoded, cut), DESCRIPTOR));
    }
    assert_true(nesting_is_bounded(slice_of(encoded, 0), DESCRIPTOR));
    free(encoded);
}

static void json_says_what_is_wrong(void **state)
{
    (void)state;
    char why[DECODE_WHY_BYTES] = "";
    assert_null(decode_json(SLICE("{\"resourceSpans\": ["), why));
    assert_non_null(strstr(why, "not JSON"));
    assert_null(decode_json(SLICE("[]"), why));
    assert_non_null(strstr(why, "object"));
    assert_null(decode_json(SLICE("{\"resourceLogs\":[]}"), why));
    assert_non_null(strstr(why, "resourceSpans"));
    assert_null(decode_json(SLICE("{\"resourceSpans\":7}"), why));
    assert_non_null(strstr(why, "resourceSpans"));
    Otlp__ExportTraceServiceRequest *message = decode_json(SLICE("{}"), why);
    assert_non_null(message);
    otlp__export_trace_service_request__free_unpacked(message, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_has_an_edge),
        cmocka_unit_test(a_deep_message_does_not_take_the_stack),
        cmocka_unit_test(what_is_cut_off_is_refused),
        cmocka_unit_test(json_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
