/* Streams of events whole, byte by byte and at every split: the messages must be the same. */
#include "wire/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct transcript {
    char text[1024];
    size_t used;
};

static void put(struct transcript *out, struct slice bytes)
{
    assert_true(out->used + bytes.size < sizeof(out->text));
    if (bytes.size > 0) {
        memcpy(out->text + out->used, bytes.data, bytes.size);
    }
    out->used += bytes.size;
    out->text[out->used] = '\0';
}

static void feed(struct sse *reader, struct slice in, struct transcript *out)
{
    struct sse_item item;
    enum sse_event event;
    uint8_t *exact = malloc(in.size + 1);
    memcpy(exact, in.data, in.size);
    in.data = exact;
    while ((event = sse_next(reader, &in, &item)) != SSE_NEED_MORE) {
        if (event == SSE_DATA) {
            put(out, item.bytes);
        } else {
            put(out, SLICE("<"));
            put(out, item.name);
            put(out, item.name_cut ? SLICE("...>") : SLICE(">"));
        }
    }
    assert_int_equal(in.size, 0);
    free(exact);
}

static void read_pieces(struct slice stream, size_t first, size_t step, struct transcript *out)
{
    struct sse reader;
    sse_init(&reader);
    out->used = 0;
    out->text[0] = '\0';
    feed(&reader, slice_take(&stream, first), out);
    while (stream.size > 0) {
        feed(&reader, slice_take(&stream, step < stream.size ? step : stream.size), out);
    }
}

static void check(struct slice stream, const char *expected)
{
    struct transcript out;
    read_pieces(stream, stream.size, 1, &out);
    assert_string_equal(out.text, expected);
    read_pieces(stream, 0, 1, &out);
    assert_string_equal(out.text, expected);
    for (size_t split = 0; split < stream.size; split++) {
        read_pieces(stream, split, stream.size, &out);
        assert_string_equal(out.text, expected);
    }
}

#define CHECK(stream, expected) check(SLICE(stream), expected)

static void test_messages(void **state)
{
    (void)state;
    CHECK("data: one\n\n", "one<>");
    CHECK("data:one\n\ndata:  two\n\n", "one<> two<>");
    CHECK("data: a\ndata: b\ndata\ndata:\n\n", "a\nb\n\n<>");
    CHECK("event: add\ndata: 7\n\ndata: 8\n\n", "7<add>8<>");
    CHECK("data: 7\nevent: add\nevent: del\n\n", "7<del>");
    CHECK("data:\n\n", "<>");
    CHECK("data\n\n", "<>");
    CHECK("data: {\"a\": \"b: c\"}\n\n", "{\"a\": \"b: c\"}<>");
}

static void test_line_ends(void **state)
{
    (void)state;
    CHECK("data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "a\nb<>c<>");
    CHECK("data: a\rdata: b\r\rdata: c\r\r", "a\nb<>c<>");
    CHECK("data: a\r\n\rdata: b\n\r\n", "a<>b<>");
    CHECK("\n\n\r\r\n\ndata: a\n\n\n\n", "a<>");
}

static void test_what_is_skipped(void **state)
{
    (void)state;
    CHECK(": comment\n\ndata: a\n: data: b\n\n", "a<>");
    CHECK("id: 1\nretry: 5\n\nid: 2\ndata: a\n\n", "a<>");
    CHECK("event: lost\n\ndata: a\n\n", "a<>");
    CHECK("dat: x\ndatab: y\nDATA: z\n data: w\ndata: a\n\n", "a<>");
    CHECK("a field that is long: x\ndata: a\n\n", "a<>");
    CHECK("\xEF\xBB\xBF"
          "data: a\n\n",
          "a<>");
    CHECK("\xEF\xBB"
          "data: a\n\ndata: b\n\n",
          "b<>");
    CHECK("data: never ended\n", "never ended");
}

static void test_long_names(void **state)
{
    (void)state;
    CHECK("event: 123456789 123456789 123456789 123456789 12345678\ndata: a\n\n",
          "a<123456789 123456789 123456789 123456789 12345678>");
    CHECK("event: 123456789 123456789 123456789 123456789 123456789\ndata: a\n\n",
          "a<123456789 123456789 123456789 123456789 12345678...>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_what_is_skipped),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
