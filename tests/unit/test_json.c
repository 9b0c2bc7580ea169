/* Documents read whole, byte by byte and at every split: the values of the paths must be the same.
 */
#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES 64u

static struct json_node nodes[NODES];

static void add_paths(const char *const *paths)
{
    size_t count = 1;
    json_tree_init(nodes);
    for (uint8_t i = 0; paths[i] != NULL; i++) {
        assert_true(json_tree_add(nodes, NODES, &count, slice_of(paths[i], strlen(paths[i])), i));
    }
}

struct transcript {
    char text[4096];
    size_t used;
};

static void put(struct transcript *out, struct slice bytes)
{
    assert_true(out->used + bytes.size < sizeof(out->text));
    memcpy(out->text + out->used, bytes.data, bytes.size);
    out->used += bytes.size;
    out->text[out->used] = '\0';
}

static bool feed(struct json *reader, struct slice in, struct transcript *out)
{
    static const char marks[] = "_fts'[{";
    struct json_item item;
    enum json_event event;
    /* In memory of just that size, for the sanitizers. */
    uint8_t *exact = malloc(in.size + 1);
    memcpy(exact, in.data, in.size);
    in.data = exact;
    while ((event = json_next(reader, &in, &item)) == JSON_VALUE) {
        if (item.begins) {
            char head[16];
            int size = snprintf(head, sizeof(head), "%u%c", item.path,
                                item.type == JSON_VALUE_NUMBER ? '#' : marks[item.type]);
            put(out, slice_of(head, (size_t)size));
        }
        if (item.type == JSON_VALUE_STRING || item.type == JSON_VALUE_NUMBER) {
            put(out, item.bytes);
        }
        if (item.ends) {
            put(out, SLICE(";"));
        }
    }
    free(exact);
    return event != JSON_STOPPED;
}

/* "!" at the end says that the document was refused, "..." that it is not complete. */
static void read_pieces(struct slice document, size_t first, size_t step, struct transcript *out)
{
    struct json reader;
    json_init(&reader, nodes);
    out->used = 0;
    out->text[0] = '\0';
    bool good = feed(&reader, slice_take(&document, first), out);
    while (good && document.size > 0) {
        good =
            feed(&reader, slice_take(&document, step < document.size ? step : document.size), out);
    }
    if (!good) {
        put(out, SLICE("!"));
    } else if (!json_is_complete(&reader)) {
        put(out, SLICE("..."));
    }
}

static void check(struct slice document, const char *expected)
{
    struct transcript out;
    read_pieces(document, document.size, 1, &out);
    assert_string_equal(out.text, expected);
    read_pieces(document, 0, 1, &out);
    assert_string_equal(out.text, expected);
    for (size_t split = 0; split < document.size; split++) {
        read_pieces(document, split, document.size, &out);
        assert_string_equal(out.text, expected);
    }
}

#define CHECK(document, expected) check(SLICE(document), expected)

static const char *const paths[] = {"a", "b.c", "d[]", "e[].f", "g.*.h", "g.x.k", "m", NULL};

static void test_values(void **state)
{
    (void)state;
    add_paths(paths);
    CHECK("{\"a\":1}", "0#1;");
    CHECK(" { \"a\" : \"text\" , \"m\" : true } ", "0'text;6t;");
    CHECK("{\"b\":{\"x\":{\"c\":1},\"c\":null},\"a\":false}", "1_;0f;");
    CHECK("{\"d\":[1,\"two\",[3],{}],\"d2\":[9]}", "2#1;2'two;2[;2{;");
    CHECK("{\"e\":[{\"f\":1},{\"g\":2},[{\"f\":3}],{\"f\":\"4\"}]}", "3#1;3'4;");
    CHECK("{\"g\":{\"u\":{\"h\":1},\"x\":{\"h\":2,\"k\":3},\"\":{\"h\":4}}}", "4#1;5#3;4#4;");
    CHECK("{\"a\":{\"a\":1},\"z\":{\"a\":2}}", "0{;");
    CHECK("{\"a\":\"\",\"m\":[]}", "0';6[;");
    CHECK("[{\"a\":1}]", "");
    CHECK("{}", "");
    CHECK("[]", "");
    CHECK("17", "");
    CHECK("\"a\"", "");
    CHECK("{\"a\":-0.5e+10,\"m\":-12}", "0#-0.5e+10;6#-12;");
    CHECK("{\"a\":0,\"m\":1E9}", "0#0;6#1E9;");
    CHECK("{\"a\":1,\"a\":2}", "0#1;0#2;");
}

static void test_strings(void **state)
{
    (void)state;
    add_paths(paths);
    CHECK("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "0'\"\\/\b\f\n\r\t;");
    CHECK("{\"a\":\"\\u0041\\u00e9\\u20AC\"}", "0'A\xC3\xA9\xE2\x82\xAC;");
    CHECK("{\"a\":\"\\ud83d\\ude00\"}", "0'\xF0\x9F\x98\x80;");
    CHECK("{\"a\":\"\\ud83d\"}", "0'\xEF\xBF\xBD;");
    CHECK("{\"a\":\"\\ud83dx\"}", "0'\xEF\xBF\xBDx;");
    CHECK("{\"a\":\"\\ud83d\\n\"}", "0'\xEF\xBF\xBD\n;");
    CHECK("{\"a\":\"\\ude00y\"}", "0'\xEF\xBF\xBDy;");
    CHECK("{\"a\":\"\\ud83d\\u0041\"}", "0'\xEF\xBF\xBD"
                                        "A;");
    CHECK("{\"a\":\"\\ud83d\\ud83d\\ude00\"}", "0'\xEF\xBF\xBD\xF0\x9F\x98\x80;");
    CHECK("{\"a\":\"\xF0\x9F\x98\x80 \xE2\x82\xAC \xC3\xA9 and sixteen bytes and more\"}",
          "0'\xF0\x9F\x98\x80 \xE2\x82\xAC \xC3\xA9 and sixteen bytes and more;");
    CHECK("{\"\\u0061\":1,\"\\ud83d\":2}", "0#1;");
    CHECK("{\"g\":{\"a name that is much longer than what is kept of names\":{\"h\":1}}}", "4#1;");
    CHECK("{\"a name that is much longer than what is kept of names\":2,\"a\":1}", "0#1;");
}

static void test_what_is_refused(void **state)
{
    (void)state;
    add_paths(paths);
    CHECK("{a:1}", "!");
    CHECK("{\"a\" 1}", "!");
    CHECK("{\"a\":1,}", "0#1;!");
    CHECK("{\"a\":1 \"m\":2}", "0#1;!");
    CHECK("{\"a\":[1,]}", "0[;!");
    CHECK("{\"a\":[,1]}", "0[;!");
    CHECK("{\"a\":[1}", "0[;!");
    CHECK("{\"a\":{]", "0{;!");
    CHECK("{,}", "!");
    CHECK("]", "!");
    CHECK("{\"a\":1}}", "0#1;!");
    CHECK("{\"a\":1} x", "0#1;!");
    CHECK("'a'", "!");
    CHECK("\xEF\xBB\xBF{}", "!");
    CHECK("{\"z\":01}", "!");
    CHECK("{\"z\":+1}", "!");
    CHECK("{\"z\":.5}", "!");
    CHECK("{\"z\":1.}", "!");
    CHECK("{\"z\":1.e1}", "!");
    CHECK("{\"z\":1e}", "!");
    CHECK("{\"z\":1e+}", "!");
    CHECK("{\"z\":--1}", "!");
    CHECK("{\"z\":-}", "!");
    CHECK("{\"z\":0x10}", "!");
    CHECK("{\"z\":NaN}", "!");
    CHECK("{\"z\":-Infinity}", "!");
    CHECK("{\"z\":True}", "!");
    CHECK("{\"z\":truE}", "!");
    CHECK("{\"z\":nul}", "!");
    CHECK("[\"\\x41\"]", "!");
    CHECK("[\"\\u12g4\"]", "!");
    CHECK("[\"a\nb\"]", "!");
    CHECK("[\"a\0b\"]", "!");
    CHECK("[\"\x80\"]", "!");
    CHECK("[\"\xC0\xAF\"]", "!");
    CHECK("[\"\xE0\x80\xAF\"]", "!");
    CHECK("[\"\xED\xA0\x80\"]", "!");
    CHECK("[\"\xF4\x90\x80\x80\"]", "!");
    CHECK("[\"\xF5\x80\x80\x80\"]", "!");
    CHECK("[\"\xE2\x82\"]", "!");
    CHECK("/* */ {}", "!");
    CHECK("{\"z\":1\v}", "!");
}

static void test_what_is_cut(void **state)
{
    (void)state;
    add_paths(paths);
    CHECK("", "...");
    CHECK("  ", "...");
    CHECK("{", "...");
    CHECK("{\"z\":1", "...");
    CHECK("{\"z\":\"abc", "...");
    CHECK("{\"z\":\"abc\\", "...");
    CHECK("{\"z\":\"abc\\ud83d", "...");
    CHECK("{\"z\":tru", "...");
    CHECK("-", "...");
    CHECK("1.", "...");
    CHECK("1.5", "");
}

static void test_depth(void **state)
{
    (void)state;
    add_paths(paths);
    char text[2 * LIMIT_JSON_DEPTH + 3];
    struct transcript out;
    memset(text, '[', LIMIT_JSON_DEPTH);
    memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
    read_pieces(slice_of(text, 2 * (size_t)LIMIT_JSON_DEPTH), 7, 7, &out);
    assert_string_equal(out.text, "");
    memset(text, '[', LIMIT_JSON_DEPTH + 1);
    memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    read_pieces(slice_of(text, 2 * (size_t)LIMIT_JSON_DEPTH + 2), 7, 7, &out);
    assert_string_equal(out.text, "!");
    /* A change of kind at every level, the innermost told apart from the outermost. */
    for (size_t i = 0; i < LIMIT_JSON_DEPTH; i++) {
        text[i] = '[';
        text[2 * LIMIT_JSON_DEPTH - 1 - i] = i == LIMIT_JSON_DEPTH - 1 ? '}' : ']';
    }
    read_pieces(slice_of(text, 2 * (size_t)LIMIT_JSON_DEPTH), 7, 7, &out);
    assert_string_equal(out.text, "!");
}

static bool can_add(const char *path)
{
    size_t count = 1;
    json_tree_init(nodes);
    return json_tree_add(nodes, NODES, &count, slice_of(path, strlen(path)), 0);
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(can_add("a"));
    assert_true(can_add("[]"));
    assert_true(can_add("[][].a"));
    assert_true(can_add("a.b[].c.*"));
    assert_true(can_add("a.b.c.d.e.f.g.h"));
    assert_false(can_add("a.b.c.d.e.f.g.h.i"));
    assert_true(can_add("a_name_of_twenty_seven_byte"));
    assert_false(can_add("a_name_of_twenty_eight_bytes"));
    assert_false(can_add(""));
    assert_false(can_add("."));
    assert_false(can_add(".a"));
    assert_false(can_add("a."));
    assert_false(can_add("a..b"));
    assert_false(can_add("a["));
    assert_false(can_add("a[0]"));
    assert_false(can_add("a]b"));
    assert_false(can_add("[]a"));
    size_t count = 1;
    json_tree_init(nodes);
    assert_true(json_tree_add(nodes, 3, &count, SLICE("a.b"), 0));
    assert_false(json_tree_add(nodes, 3, &count, SLICE("a.b"), 1));
    assert_true(json_tree_add(nodes, 3, &count, SLICE("a"), 1));
    assert_false(json_tree_add(nodes, 3, &count, SLICE("c"), 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_strings),
        cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_what_is_cut),
        cmocka_unit_test(test_depth),           cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
