#include "wire/json_context.h"

#include <string.h>

/* Numbers of paths: two for the document, two for a member. */
enum { OF_DOCUMENT = 0, OF_MEMBER = 2, TRACE_ID = 0, SPAN_ID = 1 };

enum {
    NODE_DOCUMENT,
    NODE_CONTEXT,
    NODE_TRACE_ID,
    NODE_SPAN_ID,
    NODE_MEMBER,
    NODE_ITS_CONTEXT,
    NODE_ITS_TRACE_ID,
    NODE_ITS_SPAN_ID
};

#define KEY(text) .step = JSON_STEP_KEY, .size = sizeof(text) - 1, .key = text

static const struct json_node nodes[] = {
    [NODE_DOCUMENT] = {.path = JSON_NO_PATH, .child = NODE_CONTEXT},
    [NODE_CONTEXT] = {KEY("trace_context"), .path = JSON_NO_PATH, .child = NODE_TRACE_ID,
                      .sibling = NODE_MEMBER},
    [NODE_TRACE_ID] = {KEY("trace_id"), .path = OF_DOCUMENT + TRACE_ID, .sibling = NODE_SPAN_ID},
    [NODE_SPAN_ID] = {KEY("span_id"), .path = OF_DOCUMENT + SPAN_ID},
    [NODE_MEMBER] = {.step = JSON_STEP_ANY_KEY, .path = JSON_NO_PATH, .child = NODE_ITS_CONTEXT},
    [NODE_ITS_CONTEXT] = {KEY("trace_context"), .path = JSON_NO_PATH, .child = NODE_ITS_TRACE_ID},
    [NODE_ITS_TRACE_ID] = {KEY("trace_id"), .path = OF_MEMBER + TRACE_ID,
                           .sibling = NODE_ITS_SPAN_ID},
    [NODE_ITS_SPAN_ID] = {KEY("span_id"), .path = OF_MEMBER + SPAN_ID},
};

void json_context_begin(struct json_context *reader)
{
    memset(reader->seen, 0, sizeof(reader->seen));
    memset(reader->size, 0, sizeof(reader->size));
    json_init(&reader->json, nodes);
    reader->is_read = true;
}

static void take(struct json_context *reader, const struct json_item *item)
{
    uint8_t path = item->path;
    if (path >= JSON_CONTEXT_TEXTS) {
        return;
    }
    if (item->begins && reader->seen[path] < 2) {
        reader->seen[path]++;
    }
    size_t used = reader->size[path];
    if (item->type != JSON_VALUE_STRING || reader->seen[path] > 1 ||
        item->bytes.size > sizeof(reader->text[path]) - used) {
        reader->seen[path] = 2; /* no id, or too much of one */
        return;
    }
    memcpy(reader->text[path] + used, item->bytes.data, item->bytes.size);
    reader->size[path] = (uint8_t)(used + item->bytes.size);
}

bool json_context_read(struct json_context *reader, struct slice bytes)
{
    struct json_item item;
    enum json_event event = JSON_STOPPED;
    while (reader->is_read && (event = json_next(&reader->json, &bytes, &item)) == JSON_VALUE) {
        take(reader, &item);
    }
    reader->is_read = event != JSON_STOPPED;
    return reader->is_read;
}

static bool find_of(const struct json_context *reader, uint32_t whose, struct traceparent *context)
{
    static const uint8_t frame[TRACEPARENT_BYTES + 1] =
        "00-                                -                -00";
    const uint32_t trace = whose + TRACE_ID;
    const uint32_t span = whose + SPAN_ID;
    uint8_t text[TRACEPARENT_BYTES];
    if (reader->seen[trace] != 1 || reader->size[trace] != 32 || reader->seen[span] != 1 ||
        reader->size[span] != 16) {
        return false;
    }
    memcpy(text, frame, sizeof(text));
    memcpy(text + 3, reader->text[trace], 32);
    memcpy(text + 36, reader->text[span], 16);
    return traceparent_parse(slice_of(text, sizeof(text)), context);
}

bool json_context_find(const struct json_context *reader, struct traceparent *context)
{
    return reader->is_read && json_is_complete(&reader->json) &&
           (find_of(reader, OF_DOCUMENT, context) || find_of(reader, OF_MEMBER, context));
}
