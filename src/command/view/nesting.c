#include "command/view/nesting.h"

#include "base/limits.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64_BIT = 1, WIRE_LENGTH = 2, WIRE_32_BIT = 5 };

/* A message that is being walked: what is left of it. */
struct level {
    struct slice rest;
    const ProtobufCMessageDescriptor *descriptor;
};

static bool take_varint(struct slice *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 70 && rest->size > 0; shift += 7) {
        uint8_t byte = *slice_take(rest, 1).data;
        *value |= shift < 64 ? (uint64_t)(byte & 0x7F) << shift : 0;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* Takes one field. `*content` is that of a field with a length, else empty. */
static bool take_field(struct slice *rest, uint32_t *number, struct slice *content)
{
    uint64_t key;
    uint64_t size = 0;
    if (!take_varint(rest, &key)) {
        return false;
    }
    *number = (uint32_t)(key >> 3);
    *content = (struct slice){0};
    switch (key & 7) {
    case WIRE_VARINT:
        return take_varint(rest, &size);
    case WIRE_64_BIT:
        size = 8;
        break;
    case WIRE_32_BIT:
        size = 4;
        break;
    case WIRE_LENGTH:
        if (!take_varint(rest, &size)) {
            return false;
        }
        break;
    default:
        return false;
    }
    if (size > rest->size) {
        return false;
    }
    struct slice taken = slice_take(rest, (size_t)size);
    if ((key & 7) == WIRE_LENGTH) {
        *content = taken;
    }
    return true;
}

bool nesting_is_bounded(struct slice encoded, const ProtobufCMessageDescriptor *descriptor)
{
    struct level levels[LIMIT_VIEW_NESTING] = {{encoded, descriptor}};
    size_t depth = 1;
    while (depth > 0) {
        struct level *level = &levels[depth - 1];
        uint32_t number;
        struct slice content;
        if (level->rest.size == 0) {
            depth--;
            continue;
        }
        if (!take_field(&level->rest, &number, &content)) {
            return false;
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(level->descriptor, number);
        if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE || content.size == 0) {
            continue;
        }
        if (depth == LIMIT_VIEW_NESTING) {
            return false;
        }
        levels[depth++] = (struct level){content, field->descriptor};
    }
    return true;
}
