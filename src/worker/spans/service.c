#include "wire/service.h"

#include "worker/spans/kinds.h"

#define NS_PER_S 1e9

/* The values of an endpoint's fields; a field has the number of its attribute's first one. */
struct values {
    struct slice of[UINT8_MAX + 1]; /* none has the last number */
};

static void find_values(struct values *values, const struct record *record)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    memset(values, 0, sizeof(*values));
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag == FIELD_SERVICE_VALUE && value.size > 0 && value.data[0] != SERVICE_NO_FIELD) {
            uint8_t number = slice_take(&value, 1).data[0];
            values->of[number] = value;
        }
    }
}

/* A number as JSON writes it. False: it is none, or too large. */
static bool read_integer(struct slice text, int64_t *value)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    int64_t result = 0;
    if (is_negative) {
        slice_take(&text, 1);
    }
    if (text.size == 0) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(result, 10, &result) ||
            __builtin_add_overflow(result, (int64_t)digit, &result)) {
            return false;
        }
    }
    *value = is_negative ? -result : result;
    return true;
}

/* strtod would go by the program's locale. Exact for the short decimals that requests hold. */
static bool read_real(struct slice text, double *value)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    double result = 0;
    int exponent = 0;
    bool has_digits = false;
    bool in_fraction = false;
    slice_take(&text, is_negative);
    while (text.size > 0 && text.data[0] != 'e' && text.data[0] != 'E') {
        uint8_t byte = slice_take(&text, 1).data[0];
        if (byte == '.' && !in_fraction) {
            in_fraction = true;
        } else if ((uint8_t)(byte - '0') < 10) {
            result = result * 10 + (byte - '0');
            exponent -= in_fraction;
            has_digits = true;
        } else {
            return false;
        }
    }
    if (text.size > 0) {
        int64_t power;
        slice_take(&text, 1);
        slice_take(&text, text.size > 0 && text.data[0] == '+');
        if (!read_integer(text, &power) || power > 400 || power < -400) {
            return false;
        }
        exponent += (int)power;
    }
    double scale = 1;
    for (int i = 0; i < (exponent < 0 ? -exponent : exponent); i++) {
        scale *= 10;
    }
    result = exponent < 0 ? result / scale : result * scale;
    *value = is_negative ? -result : result;
    return has_digits;
}

static void add_value(struct span *span, const struct service_field *field, struct slice value)
{
    struct slice key = service_text(field->attribute);
    int64_t integer;
    double real;
    switch ((enum service_type)field->type) {
    case SERVICE_INT:
    case SERVICE_COUNT:
        if (read_integer(value, &integer)) {
            span_add_int(span, key, integer);
        }
        break;
    case SERVICE_DOUBLE:
        if (read_real(value, &real)) {
            span_add_double(span, key, real);
        }
        break;
    case SERVICE_BOOL:
        span_add_bool(span, key, value.size == 4);
        break;
    case SERVICE_STRINGS:
        span_add_strings(span, key, value);
        break;
    case SERVICE_STRING:
    case SERVICE_TEXT:
        span_add_string(span, key, value);
        break;
    }
}

static void set_name(struct span *span, const struct service_endpoint *endpoint,
                     const struct values *values)
{
    struct slice name = service_text(endpoint->name);
    struct slice value = span_text(span, values->of[endpoint->name_field]);
    if (name.size == 0) {
        return;
    }
    if (endpoint->name_field != SERVICE_NO_FIELD && value.size > 0) {
        const struct slice parts[] = {name, SLICE(" "), value};
        struct slice joined = span_join(span, parts, 3);
        name = joined.data != NULL ? joined : name;
    }
    span->name = name;
}

static struct slice decimal_of(struct span *span, struct slice key)
{
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        const struct attribute *attribute = &span->attributes[i];
        if (slice_equals(attribute->key, key) && attribute->type == ATTRIBUTE_INT &&
            attribute->integer >= 0) {
            return span_decimal(span, (uint64_t)attribute->integer);
        }
    }
    return slice_of(NULL, 0);
}

/* Of a picture that is to be made, as people say it: 512x768. */
static void add_resolution(struct span *span)
{
    const struct slice parts[] = {decimal_of(span, SLICE("workflow.width")), SLICE("x"),
                                  decimal_of(span, SLICE("workflow.height"))};
    if (parts[0].data != NULL && parts[2].data != NULL) {
        span_add_string(span, SLICE("workflow.resolution"), span_join(span, parts, 3));
    }
}

void spans_add_service(struct span *span, const struct record *record,
                       const struct record_text *text)
{
    struct slice number = text->fields[FIELD_SERVICE];
    const struct service_endpoint *endpoint =
        number.size == 1 ? service_endpoint(number.data[0]) : NULL;
    struct values values;
    if (endpoint == NULL) {
        return;
    }
    find_values(&values, record);
    /* What follows from an exchange would not be there. */
    bool follows = record->kind == RECORD_RUN ||
                   (record->kind == RECORD_MESSAGE && record->message.kind == MESSAGE_IMAGES);
    bool is_its =
        endpoint->needs == SERVICE_NO_FIELD || follows || values.of[endpoint->needs].data != NULL;
    for (uint8_t i = 0; i < endpoint->field_count; i++) {
        const struct service_field *field = service_field(endpoint, i);
        if (values.of[i].data != NULL && (is_its || field->source == SERVICE_QUERY)) {
            add_value(span, field, values.of[i]);
        }
    }
    if (!is_its) {
        return;
    }
    set_name(span, endpoint, &values);
    for (uint8_t i = 0; i < endpoint->constant_count && record->kind != RECORD_MESSAGE; i++) {
        const struct service_constant *constant = service_constant(endpoint, i);
        span_add_literal(span, service_text(constant->attribute), service_text(constant->value));
    }
    add_resolution(span);
    if (record->kind == RECORD_HTTP_CLIENT && record->http.first_data_ns > record->start_ns) {
        span_add_double(span, SLICE("gen_ai.response.time_to_first_chunk"),
                        (double)(record->http.first_data_ns - record->start_ns) / NS_PER_S);
    }
    span_add_string(span, SLICE("wirespan.body.unread"), text->fields[FIELD_BODY_UNREAD]);
}
