#include "command/view/attribute_text.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"

/* Levels of a value that are written; deeper ones are told by "...". */
#define DEPTH_MAX 8

/* The bytes of `text` up to `limit`, without a cut-off character at the end. */
static size_t cut_size(const char *text, size_t size, size_t limit)
{
    if (size <= limit) {
        return size;
    }
    size_t cut = limit;
    while (cut > 0 && limit - cut < 4 && ((unsigned char)text[cut] & 0xC0) == 0x80) {
        cut--;
    }
    return cut;
}

void attribute_text_append_cut(struct buffer *into, const char *text)
{
    buffer_append(into, text, cut_size(text, strnlen(text, LIMIT_VIEW_TEXT + 1), LIMIT_VIEW_TEXT));
}

static void append_hex(struct buffer *text, ProtobufCBinaryData bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len && i < LIMIT_VIEW_TEXT / 2; i++) {
        const char pair[2] = {digits[bytes.data[i] >> 4], digits[bytes.data[i] & 15]};
        buffer_append(text, pair, sizeof(pair));
    }
}

static void append_value(struct buffer *text, const Otlp__AnyValue *value, int depth, size_t end);

static bool is_over(struct buffer *text, int depth, size_t end)
{
    if (depth > 0 && text->used < end) {
        return false;
    }
    buffer_append_text(text, "...");
    return true;
}

static void append_list(struct buffer *text, const Otlp__ArrayValue *list, int depth, size_t end)
{
    buffer_append_text(text, "[");
    for (size_t i = 0; i < list->n_values; i++) {
        buffer_append_text(text, i > 0 ? ", " : "");
        if (is_over(text, depth, end)) {
            break;
        }
        append_value(text, list->values[i], depth - 1, end);
    }
    buffer_append_text(text, "]");
}

static void append_map(struct buffer *text, const Otlp__KeyValueList *map, int depth, size_t end)
{
    buffer_append_text(text, "{");
    for (size_t i = 0; i < map->n_values; i++) {
        buffer_append_text(text, i > 0 ? ", " : "");
        if (is_over(text, depth, end)) {
            break;
        }
        attribute_text_append_cut(text, map->values[i]->key);
        buffer_append_text(text, "=");
        append_value(text, map->values[i]->value, depth - 1, end);
    }
    buffer_append_text(text, "}");
}

static void append_value(struct buffer *text, const Otlp__AnyValue *value, int depth, size_t end)
{
    if (value == NULL) {
        return;
    }
    switch (value->value_case) {
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE:
        attribute_text_append_cut(text, value->string_value);
        break;
    case OTLP__ANY_VALUE__VALUE_BOOL_VALUE:
        buffer_append_text(text, value->bool_value ? "true" : "false");
        break;
    case OTLP__ANY_VALUE__VALUE_INT_VALUE:
        buffer_print(text, "%" PRId64, value->int_value);
        break;
    case OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE:
        buffer_print(text, "%g", value->double_value);
        break;
    case OTLP__ANY_VALUE__VALUE_ARRAY_VALUE:
        append_list(text, value->array_value, depth, end);
        break;
    case OTLP__ANY_VALUE__VALUE_KVLIST_VALUE:
        append_map(text, value->kvlist_value, depth, end);
        break;
    case OTLP__ANY_VALUE__VALUE_BYTES_VALUE:
        append_hex(text, value->bytes_value);
        break;
    case OTLP__ANY_VALUE__VALUE__NOT_SET:
    case _OTLP__ANY_VALUE__VALUE__CASE_IS_INT_SIZE:
        break;
    }
}

/* Cuts what was appended since `begin`. */
static void cut_since(struct buffer *text, size_t begin)
{
    if (!text->failed && text->used > begin) {
        text->used = begin + cut_size(text->bytes + begin, text->used - begin, LIMIT_VIEW_TEXT);
    }
}

void attribute_text_append(struct buffer *text, const Otlp__AnyValue *value)
{
    size_t begin = text->used;
    append_value(text, value, DEPTH_MAX, begin + LIMIT_VIEW_TEXT);
    cut_since(text, begin);
}

void attribute_text_append_all(struct buffer *text, Otlp__KeyValue *const *attributes, size_t count)
{
    size_t begin = text->used;
    for (size_t i = 0; i < count && text->used - begin < LIMIT_VIEW_TEXT; i++) {
        buffer_append_text(text, i > 0 ? " " : "");
        attribute_text_append_cut(text, attributes[i]->key);
        buffer_append_text(text, "=");
        append_value(text, attributes[i]->value, DEPTH_MAX, begin + LIMIT_VIEW_TEXT);
    }
    cut_since(text, begin);
}
