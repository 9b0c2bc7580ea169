#include "worker/images.h"

#include <string.h>

#include "base/hash.h"
#include "wire/service.h"

/* What is told of the images, under whatever name the endpoint's rules have it. */
static bool is_of_images(struct slice attribute)
{
    return slice_equals(attribute, SLICE("image.count")) ||
           slice_equals(attribute, SLICE("image.format")) ||
           slice_equals(attribute, SLICE("image.size")) ||
           slice_equals(attribute, SLICE("comfyui.image_count")) ||
           slice_equals(attribute, SLICE("comfyui.prompt_id"));
}

static bool is_count(struct slice attribute)
{
    return slice_equals(attribute, SLICE("image.count")) ||
           slice_equals(attribute, SLICE("comfyui.image_count"));
}

/* Whoever drains the record comes to the same id. */
static void derive_id(const struct record *record, uint8_t id[8])
{
    uint64_t hash = hash_bytes(HASH_BEGIN, slice_of(record->span_id, sizeof(record->span_id)));
    hash = hash_bytes(hash, SLICE("images"));
    memcpy(id, &hash, sizeof(hash));
    id[7] |= hash == 0;
}

bool images_follow(const struct record *record, struct record *follow)
{
    struct slice number = record_find_field(record, FIELD_SERVICE);
    const struct service_endpoint *endpoint =
        number.size == 1 ? service_endpoint(number.data[0]) : NULL;
    bool has_images = false;
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    if (endpoint == NULL) {
        return false;
    }
    memset(follow, 0, sizeof(*follow));
    record_add_field(follow, FIELD_SERVICE, number, 1);
    while (record_next_field(record, &offset, &tag, &value)) {
        const struct service_field *field = tag == FIELD_SERVICE_VALUE && value.size > 1
                                                ? service_field(endpoint, value.data[0])
                                                : NULL;
        struct slice attribute = field == NULL ? SLICE("") : service_text(field->attribute);
        if (is_of_images(attribute)) {
            record_add_field(follow, FIELD_SERVICE_VALUE, value, RECORD_TEXT_BYTES);
            has_images |= is_count(attribute) && value.data[1] != '0';
        }
    }
    follow->kind = RECORD_MESSAGE;
    follow->message.kind = MESSAGE_IMAGES;
    follow->message.bytes = record->http.response_body_bytes;
    follow->trace_flags = record->trace_flags;
    follow->parent_source = PARENT_CONTENT;
    memcpy(follow->trace_id, record->trace_id, sizeof(follow->trace_id));
    memcpy(follow->parent_span_id, record->span_id, sizeof(follow->parent_span_id));
    derive_id(record, follow->span_id);
    follow->start_ns = record->start_ns;
    follow->end_ns = record->end_ns;
    follow->peer = record->peer;
    follow->connection = record->connection;
    return has_images;
}
