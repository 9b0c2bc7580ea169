#include "app_thread/http_body.h"

#include "app_thread/exchange.h"
#include "app_thread/inflater.h"
#include "app_thread/slab.h"
#include "base/limits.h"
#include "wire/json.h"
#include "wire/service.h"
#include "wire/sse.h"

/* What a reply's head says of its body (`body_kind` of the direction), a bit each. */
#define KIND_EVENTS  1u
#define KIND_GZIP    2u
#define KIND_DEFLATE 4u
#define KIND_CODED   8u /* in a way that is not read */

#define COUNTS 8u

struct body {
    uint8_t endpoint;
    bool is_events;
    bool is_reply;
    bool is_coded;
    bool is_stopped; /* nothing of it is read any more */
    bool is_json;    /* it looks like some */
    bool is_started; /* its first byte has passed */
    uint8_t count_field[COUNTS];
    uint32_t counts[COUNTS];
    uint64_t taken; /* attributes that have their value, by their first field */
    uint64_t open;  /* the field whose value is being taken, and no other */
    struct json json;
    struct sse sse;
    enum inflate_framing framing;
    struct inflater inflater;
};

_Static_assert(sizeof(struct body) <= SLAB_BLOCK_BYTES - sizeof(uint32_t), "a buffer");

static struct body *body_of(const struct direction *direction)
{
    return slab_address(direction->body_block);
}

static bool begin(struct direction *direction, uint8_t endpoint, bool is_reply)
{
    const struct service_endpoint *service = service_endpoint(endpoint);
    if (service == NULL || !(is_reply ? service->reads_reply : service->reads_request)) {
        return false;
    }
    if (direction->body_block == 0) {
        direction->body_block = slab_take(SLAB_BUFFER);
    }
    if (direction->body_block == 0) {
        exchange_count_loss(LOSS_SLAB_FULL);
        return false;
    }
    struct body *body = body_of(direction);
    memset(body, 0, sizeof(*body));
    body->endpoint = endpoint;
    body->is_reply = is_reply;
    json_init(&body->json, service_nodes(is_reply ? service->reply_nodes : service->request_nodes));
    return true;
}

void http_body_begin_request(struct direction *requests, struct record *record, uint8_t endpoint)
{
    record_add_field(record, FIELD_SERVICE, slice_of(&endpoint, 1), 1);
    begin(requests, endpoint, false);
}

/* ---- values ---- */

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
    case SERVICE_COUNT:
        break;
    }
    return type != JSON_VALUE_NULL;
}

/* The number of a field, and the beginning of its text. */
static bool add_value(struct record *record, uint8_t number, struct slice text)
{
    return record_add_field(record, FIELD_SERVICE_VALUE, slice_of(&number, 1), 1) &&
           (text.size == 0 ||
            record_extend_field(record, FIELD_SERVICE_VALUE, text, 1 + LIMIT_HEADER_TEXT));
}

static void count_value(struct body *body, uint8_t first)
{
    for (uint32_t i = 0; i < COUNTS; i++) {
        if (body->counts[i] == 0) {
            body->count_field[i] = first;
        }
        if (body->count_field[i] == first) {
            body->counts[i]++;
            return;
        }
    }
}

static void take_value(struct body *body, struct record *record, const struct json_item *item)
{
    const struct service_endpoint *endpoint = service_endpoint(body->endpoint);
    const struct service_field *field = service_field(endpoint, item->path);
    if (field == NULL) {
        return;
    }
    uint64_t attribute = UINT64_C(1) << field->first;
    if (item->begins) {
        bool is_wanted = fits((enum service_type)field->type, (enum json_type)item->type) &&
                         (body->taken & attribute) == 0;
        body->open = 0;
        if (is_wanted && field->type == SERVICE_COUNT) {
            count_value(body, field->first);
        } else if (is_wanted) {
            body->taken |= attribute;
            body->open = 1;
            add_value(record, field->first, item->bytes);
            return;
        }
    }
    if (body->open != 0 && item->bytes.size > 0) {
        record_extend_field(record, FIELD_SERVICE_VALUE, item->bytes, 1 + LIMIT_HEADER_TEXT);
    }
}

static void read_json(struct body *body, struct record *record, struct slice bytes)
{
    struct json_item item;
    enum json_event event;
    while ((event = json_next(&body->json, &bytes, &item)) == JSON_VALUE) {
        take_value(body, record, &item);
    }
    /* Of events each is a document of its own. */
    body->is_stopped |= event == JSON_STOPPED && !body->is_events;
}

static void read_events(struct body *body, struct record *record, struct slice bytes, uint64_t now)
{
    struct sse_item item;
    enum sse_event event;
    while ((event = sse_next(&body->sse, &bytes, &item)) != SSE_NEED_MORE) {
        if (event == SSE_MESSAGE) {
            /* The next one is a document of its own. */
            json_init(&body->json, body->json.nodes);
        } else {
            if (record->http.first_data_ns == 0) {
                record->http.first_data_ns = now;
            }
            read_json(body, record, item.bytes);
        }
    }
}

static void read_plain(struct body *body, struct record *record, struct slice bytes, uint64_t now)
{
    if (!body->is_started) {
        body->is_started = true;
        body->is_json = bytes.data[0] == '{' || bytes.data[0] == '[';
    }
    if (body->is_events) {
        read_events(body, record, bytes, now);
    } else {
        read_json(body, record, bytes);
    }
}

/* Nothing more is read, for a reason that is told. */
static void stop(struct body *body, struct record *record, struct slice reason)
{
    body->is_stopped = true;
    inflater_end(&body->inflater);
    record_add_field(record, FIELD_BODY_UNREAD, reason, LIMIT_HEADER_TEXT);
}

static void read_coded(struct body *body, struct record *record, struct slice bytes, uint64_t now)
{
    struct slice text;
    enum inflater_event event = INFLATER_NO_MEMORY;
    if (body->inflater.state_block == 0 && !inflater_begin(&body->inflater, body->framing)) {
        stop(body, record, SLICE("no memory"));
        return;
    }
    while (!body->is_stopped &&
           (event = inflater_next(&body->inflater, &bytes, &text)) == INFLATER_DATA) {
        read_plain(body, record, text, now);
    }
    switch (event) {
    case INFLATER_NEED_MORE:
    case INFLATER_DATA:
        break;
    case INFLATER_LOST:
        stop(body, record, SLICE("malformed"));
        break;
    case INFLATER_TOO_LONG:
        stop(body, record, SLICE("too long"));
        break;
    case INFLATER_NO_MEMORY:
        stop(body, record, SLICE("no memory"));
        break;
    }
}

void http_body_pass_slow(struct direction *direction, struct record *record, struct slice bytes,
                         uint64_t now)
{
    struct body *body = body_of(direction);
    if (record == NULL || bytes.size == 0 || body->is_stopped) {
        return;
    }
    if (body->is_coded) {
        read_coded(body, record, bytes, now);
    } else {
        read_plain(body, record, bytes, now);
    }
}

static void add_counts(const struct body *body, struct record *record)
{
    for (uint32_t i = 0; i < COUNTS && body->counts[i] > 0; i++) {
        uint8_t text[10];
        uint32_t left = body->counts[i];
        size_t at = sizeof(text);
        do {
            text[--at] = (uint8_t)('0' + left % 10);
            left /= 10;
        } while (left > 0);
        add_value(record, body->count_field[i], slice_of(text + at, sizeof(text) - at));
    }
}

void http_body_end_slow(struct direction *direction, struct record *record, bool is_whole)
{
    struct body *body = body_of(direction);
    if (record != NULL) {
        add_counts(body, record);
        if (body->is_reply && body->is_json && !body->is_events && is_whole &&
            !json_is_complete(&body->json) &&
            record_find_field(record, FIELD_BODY_UNREAD).data == NULL) {
            record_add_field(record, FIELD_BODY_UNREAD, SLICE("malformed"), LIMIT_HEADER_TEXT);
        }
    }
    inflater_end(&body->inflater);
    slab_give(SLAB_BUFFER, direction->body_block);
    direction->body_block = 0;
}

/* ---- replies' heads ---- */

static void take_coding(struct direction *replies, struct record *record, struct slice coding)
{
    const unsigned known = KIND_GZIP | KIND_DEFLATE | KIND_CODED;
    unsigned kind = KIND_CODED;
    if (coding.size == 0 || slice_equals_ignoring_case(coding, SLICE("identity"))) {
        return;
    }
    if (slice_equals_ignoring_case(coding, SLICE("gzip")) ||
        slice_equals_ignoring_case(coding, SLICE("x-gzip"))) {
        kind = KIND_GZIP;
    } else if (slice_equals_ignoring_case(coding, SLICE("deflate"))) {
        kind = KIND_DEFLATE;
    }
    if (kind == KIND_CODED || (replies->body_kind & known) != 0) {
        /* Brotli and others bring dictionaries and windows of megabytes; nor one in another. */
        replies->body_kind |= KIND_CODED;
        record_add_field(record, FIELD_BODY_UNREAD, coding, 16);
    }
    replies->body_kind |= (uint8_t)kind;
}

static bool begins_with(struct slice value, struct slice known)
{
    return value.size >= known.size &&
           slice_equals_ignoring_case(slice_of(value.data, known.size), known);
}

void http_body_reply_field(struct direction *replies, struct record *record, uint8_t endpoint,
                           const struct http1_item *item)
{
    if (item->field == HTTP1_FIELD_CONTENT_TYPE) {
        if (begins_with(item->value, SLICE("text/event-stream"))) {
            replies->body_kind |= KIND_EVENTS;
        }
        return;
    }
    if (item->field == HTTP1_FIELD_CONTENT_ENCODING) {
        take_coding(replies, record, item->value);
        return;
    }
    const struct service_endpoint *service = service_endpoint(endpoint);
    uint8_t number = service == NULL || item->value_cut ? SERVICE_NO_FIELD
                                                        : service_header_field(service, item->name);
    /* The exchange's own request id is not a service's. */
    if (number != SERVICE_NO_FIELD && item->field == HTTP1_FIELD_OTHER) {
        add_value(record, service_field(service, number)->first, item->value);
    }
}

void http_body_begin_reply(struct direction *replies, uint8_t endpoint)
{
    unsigned kind = replies->body_kind;
    if ((kind & KIND_CODED) != 0 || !begin(replies, endpoint, true)) {
        return;
    }
    struct body *body = body_of(replies);
    body->is_events = (kind & KIND_EVENTS) != 0;
    body->is_coded = (kind & (KIND_GZIP | KIND_DEFLATE)) != 0;
    body->framing = (kind & KIND_GZIP) != 0 ? INFLATE_GZIP : INFLATE_ZLIB;
    sse_init(&body->sse);
}
