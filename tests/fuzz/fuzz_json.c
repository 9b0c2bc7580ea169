/* The first line is paths, the rest a document. A reader of whole documents must tell the same. */
#include "fuzz.h"

#include <jansson.h>
#include <stdlib.h>

#include "wire/json.h"

#define NODES 64u

/* What was told: of each value the number of its path, its type, its text, and a 0. */
struct transcript {
    uint8_t *bytes;
    size_t used;
    size_t capacity;
};

static void put(struct transcript *out, const void *bytes, size_t size)
{
    if (out->used + size > out->capacity) {
        out->capacity = 2 * (out->capacity + size);
        out->bytes = realloc(out->bytes, out->capacity);
        if (out->bytes == NULL) {
            abort();
        }
    }
    if (size > 0) {
        memcpy(out->bytes + out->used, bytes, size);
    }
    out->used += size;
}

static void put_byte(struct transcript *out, unsigned byte)
{
    uint8_t small = (uint8_t)byte;
    put(out, &small, 1);
}

static void put_integer(struct transcript *out, long long value)
{
    char text[32];
    put(out, text, (size_t)snprintf(text, sizeof(text), "%lld", value));
}

static void put_real(struct transcript *out, double value)
{
    char text[64];
    put(out, text, (size_t)snprintf(text, sizeof(text), "%.17g", value));
}

/* ---- as it passes ---- */

/* The number written last, from `start`, as its value. */
static void value_number(struct transcript *out, size_t start)
{
    bool is_real = false;
    for (size_t i = start; i < out->used; i++) {
        is_real |= out->bytes[i] == '.' || out->bytes[i] == 'e' || out->bytes[i] == 'E';
    }
    put_byte(out, 0);
    const char *text = (const char *)out->bytes + start;
    double real = is_real ? strtod(text, NULL) : 0;
    long long integer = is_real ? 0 : strtoll(text, NULL, 10);
    out->used = start;
    if (is_real) {
        put_real(out, real);
    } else {
        put_integer(out, integer);
    }
}

static bool feed(struct json *reader, struct slice in, struct transcript *out, size_t *start)
{
    struct json_item item;
    enum json_event event;
    uint8_t *exact = fuzz_exact_copy(in);
    in.data = exact;
    while ((event = json_next(reader, &in, &item)) == JSON_VALUE) {
        if (item.begins) {
            put_byte(out, item.path);
            put_byte(out, item.type);
            *start = out->used;
        }
        if (item.type == JSON_VALUE_STRING || item.type == JSON_VALUE_NUMBER) {
            put(out, item.bytes.data, item.bytes.size);
        }
        if (item.ends && item.type == JSON_VALUE_NUMBER) {
            value_number(out, *start);
        }
        if (item.ends) {
            put_byte(out, 0);
        }
    }
    free(exact);
    if (event == JSON_NEED_MORE && in.size > 0) {
        fuzz_fail("input is left");
    }
    return event != JSON_STOPPED;
}

/* Whether it is a document; what was told until then in any case. */
static bool read_pieces(const struct json_node *nodes, struct slice document, size_t piece,
                        struct transcript *out)
{
    struct json reader;
    json_init(&reader, nodes);
    bool good = true;
    size_t start = 0;
    out->used = 0;
    while (good && document.size > 0) {
        size_t size = piece < document.size ? piece : document.size;
        good = feed(&reader, slice_take(&document, size), out, &start);
    }
    return good && json_is_complete(&reader);
}

/* ---- as a whole ---- */

static uint8_t type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return JSON_VALUE_OBJECT;
    case JSON_ARRAY:
        return JSON_VALUE_ARRAY;
    case JSON_STRING:
        return JSON_VALUE_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_VALUE_NUMBER;
    case JSON_TRUE:
        return JSON_VALUE_TRUE;
    case JSON_FALSE:
        return JSON_VALUE_FALSE;
    case JSON_NULL:
        break;
    }
    return JSON_VALUE_NULL;
}

static void put_value(uint8_t path, const json_t *value, struct transcript *out)
{
    put_byte(out, path);
    put_byte(out, type_of(value));
    if (json_is_string(value)) {
        put(out, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        put_integer(out, json_integer_value(value));
    } else if (json_is_real(value)) {
        put_real(out, json_real_value(value));
    }
    put_byte(out, 0);
}

/* Members come in the order in which they were read. */
static void walk(const struct json_node *nodes, uint8_t node, json_t *value, struct transcript *out)
{
    if (nodes[node].path != JSON_NO_PATH) {
        put_value(nodes[node].path, value, out);
    }
    const char *key;
    json_t *member;
    size_t at;
    json_object_foreach(value, key, member)
    {
        uint8_t child = json_tree_member(nodes, node, slice_of(key, strlen(key)));
        if (child != 0) {
            walk(nodes, child, member, out);
        }
    }
    json_array_foreach(value, at, member)
    {
        uint8_t child = json_tree_element(nodes, node);
        if (child != 0) {
            walk(nodes, child, member, out);
        }
    }
}

/* ---- */

static void check_same(const struct transcript *a, const struct transcript *b, const char *message)
{
    if (a->used != b->used || (a->used > 0 && memcmp(a->bytes, b->bytes, a->used) != 0)) {
        fuzz_fail(message);
    }
}

/* Where the two may differ: what the other one cannot hold, and half surrogates. */
static bool may_differ(struct slice document, const json_error_t *error)
{
    for (size_t i = 0; i + 3 < document.size; i++) {
        uint8_t letter = ascii_lower(document.data[i + 2]);
        if (document.data[i] == '\\' && document.data[i + 1] == 'u' && letter == 'd') {
            return true;
        }
    }
    enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_null_character || code == json_error_duplicate_key;
}

static bool is_too_deep(const json_t *value, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t at;
    if (depth > LIMIT_JSON_DEPTH) {
        return true;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (is_too_deep(member, depth + (json_is_object(member) || json_is_array(member)))) {
            return true;
        }
    }
    json_array_foreach(value, at, member)
    {
        if (is_too_deep(member, depth + (json_is_object(member) || json_is_array(member)))) {
            return true;
        }
    }
    return false;
}

static void compare(const struct json_node *nodes, struct slice document, bool is_good,
                    const struct transcript *told)
{
    json_error_t error;
    json_t *value = json_loadb((const char *)document.data, document.size,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        if (is_good && !may_differ(document, &error)) {
            fuzz_fail(error.text);
        }
        return;
    }
    if (!is_good && !is_too_deep(value, 1)) {
        fuzz_fail("a good document was refused");
    }
    if (is_good) {
        struct transcript expected = {NULL, 0, 0};
        walk(nodes, 0, value, &expected);
        check_same(told, &expected, "other values than those of the document");
        free(expected.bytes);
    }
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_node nodes[NODES];
    struct slice document = slice_of(data, size);
    size_t count = 1;
    json_tree_init(nodes);
    const uint8_t *line_end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (line_end == NULL) {
        return 0;
    }
    struct slice line = slice_take(&document, (size_t)(line_end - data));
    slice_take(&document, 1);
    for (uint8_t number = 0; number < 100 && line.size > 0; number++) {
        const uint8_t *blank = memchr(line.data, ' ', line.size);
        struct slice path =
            slice_take(&line, blank == NULL ? line.size : (size_t)(blank - line.data));
        if (blank != NULL) {
            slice_take(&line, 1);
        }
        size_t before = count;
        if (!json_tree_add(nodes, NODES, &count, path, number) && count > NODES) {
            fuzz_fail("more nodes than there is room for");
        }
        if (count < before) {
            fuzz_fail("nodes are gone");
        }
    }
    struct transcript whole = {NULL, 0, 0};
    struct transcript pieces = {NULL, 0, 0};
    bool is_good = read_pieces(nodes, document, document.size + 1, &whole);
    const size_t sizes[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (read_pieces(nodes, document, sizes[i], &pieces) != is_good) {
            fuzz_fail("in pieces it is judged otherwise");
        }
        if (is_good) {
            check_same(&whole, &pieces, "in pieces it holds other values");
        }
    }
    compare(nodes, document, is_good, &whole);
    free(whole.bytes);
    free(pieces.bytes);
    return 0;
}
