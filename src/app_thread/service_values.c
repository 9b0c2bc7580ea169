#include "app_thread/service_values.h"

#include <string.h>

#include "base/limits.h"

void service_values_begin(struct service_values *values, uint8_t endpoint, uint16_t nodes)
{
    memset(values, 0, sizeof(*values));
    values->endpoint = endpoint;
    json_init(&values->json, service_nodes(nodes));
}

void service_values_next_document(struct service_values *values)
{
    json_init(&values->json, values->json.nodes);
}

bool service_values_is_complete(const struct service_values *values)
{
    return json_is_complete(&values->json);
}

static bool fits(enum service_type wanted, enum json_type type)
{
    switch (wanted) {
    case SERVICE_STRING:
    case SERVICE_STRINGS:
        return type == JSON_VALUE_STRING;
    case SERVICE_INT:
    case SERVICE_DOUBLE:
        return type == JSON_VALUE_NUMBER;
    case SERVICE_BOOL:
        return type == JSON_VALUE_TRUE || type == JSON_VALUE_FALSE;
    case SERVICE_TEXT:
        return type == JSON_VALUE_STRING || type == JSON_VALUE_NUMBER;
    case SERVICE_COUNT:
        break;
    }
    return type != JSON_VALUE_NULL;
}

void service_values_add(struct record *record, uint8_t number, struct slice text)
{
    if (record_add_field(record, FIELD_SERVICE_VALUE, slice_of(&number, 1), 1) && text.size > 0) {
        record_extend_field(record, FIELD_SERVICE_VALUE, text, 1 + LIMIT_HEADER_TEXT);
    }
}

static void count_value(struct service_values *values, uint8_t first)
{
    for (uint32_t i = 0; i < SERVICE_VALUES_COUNTED; i++) {
        if (values->counts[i] == 0) {
            values->count_field[i] = first;
        }
        if (values->count_field[i] == first) {
            values->counts[i]++;
            return;
        }
    }
}

static void take_value(struct service_values *values, struct record *record,
                       const struct json_item *item)
{
    const struct service_endpoint *endpoint = service_endpoint(values->endpoint);
    const struct service_field *field = service_field(endpoint, item->path);
    if (field == NULL) {
        return;
    }
    uint64_t attribute = UINT64_C(1) << field->first;
    if (item->begins) {
        bool is_wanted = fits((enum service_type)field->type, (enum json_type)item->type) &&
                         (values->taken & attribute) == 0;
        values->is_open = false;
        if (is_wanted && field->type == SERVICE_COUNT) {
            count_value(values, field->first);
        } else if (is_wanted) {
            values->taken |= attribute;
            values->is_open = true;
            service_values_add(record, field->first, item->bytes);
            return;
        }
    }
    if (values->is_open && item->bytes.size > 0) {
        record_extend_field(record, FIELD_SERVICE_VALUE, item->bytes, 1 + LIMIT_HEADER_TEXT);
    }
}

bool service_values_read(struct service_values *values, struct record *record, struct slice bytes)
{
    struct json_item item;
    enum json_event event;
    while ((event = json_next(&values->json, &bytes, &item)) == JSON_VALUE) {
        take_value(values, record, &item);
    }
    return event != JSON_STOPPED;
}

void service_values_finish(const struct service_values *values, struct record *record)
{
    for (uint32_t i = 0; i < SERVICE_VALUES_COUNTED && values->counts[i] > 0; i++) {
        uint8_t text[10];
        uint32_t left = values->counts[i];
        size_t at = sizeof(text);
        do {
            text[--at] = (uint8_t)('0' + left % 10);
            left /= 10;
        } while (left > 0);
        service_values_add(record, values->count_field[i], slice_of(text + at, sizeof(text) - at));
    }
}

struct slice service_values_find(const struct record *record, uint8_t number)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag == FIELD_SERVICE_VALUE && value.size > 0 && value.data[0] == number) {
            slice_take(&value, 1);
            return value;
        }
    }
    return (struct slice){NULL, 0};
}
