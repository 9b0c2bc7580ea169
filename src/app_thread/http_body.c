#include "app_thread/http_body.h"

#include "app_thread/exchange.h"
#include "app_thread/inflater.h"
#include "app_thread/service_values.h"
#include "app_thread/slab.h"
#include "base/limits.h"
#include "wire/service.h"
#include "wire/sse.h"

/* What a reply's head says of its body (`body_kind` of the direction), a bit each. */
#define KIND_EVENTS  1u
#define KIND_GZIP    2u
#define KIND_DEFLATE 4u
#define KIND_CODED   8u /* in a way that is not read */

struct body {
    struct inflater inflater; /* first: connection.h */
    bool is_events;
    bool is_reply;
    bool is_coded;
    bool is_stopped; /* nothing of it is read any more */
    bool is_json;    /* it looks like some */
    bool is_started; /* its first byte has passed */
    enum inflate_framing framing;
    struct service_values values;
    struct sse sse;
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
    /* One whose end was missed. */
    http_body_end(direction, NULL, false);
    direction->body_block = slab_take(SLAB_BUFFER);
    if (direction->body_block == 0) {
        exchange_count_loss(LOSS_SLAB_FULL);
        return false;
    }
    struct body *body = body_of(direction);
    body->is_reply = is_reply;
    service_values_begin(&body->values, endpoint,
                         is_reply ? service->reply_nodes : service->request_nodes);
    return true;
}

void http_body_begin_request(struct direction *requests, struct record *record, uint8_t endpoint)
{
    record_add_field(record, FIELD_SERVICE, slice_of(&endpoint, 1), 1);
    begin(requests, endpoint, false);
}

/* The value of that name in a query; NULL data: there is none. */
static struct slice find_in_query(struct slice query, struct slice name)
{
    while (query.size > 0) {
        const uint8_t *end = memchr(query.data, '&', query.size);
        size_t size = end == NULL ? query.size : (size_t)(end - query.data);
        struct slice pair = slice_take(&query, size);
        slice_take(&query, query.size > 0);
        bool is_it = pair.size > name.size && pair.data[name.size] == '=' &&
                     memcmp(pair.data, name.data, name.size) == 0;
        if (is_it) {
            slice_take(&pair, name.size + 1);
            return pair;
        }
    }
    return slice_of(NULL, 0);
}

void http_body_take_query(struct record *record, uint8_t endpoint, struct slice target)
{
    const struct service_endpoint *service = service_endpoint(endpoint);
    const uint8_t *mark = target.size > 0 ? memchr(target.data, '?', target.size) : NULL;
    if (service == NULL || !service->reads_query || mark == NULL) {
        return;
    }
    struct slice query = target;
    slice_take(&query, (size_t)(mark - target.data) + 1);
    for (uint8_t i = 0; i < service->field_count; i++) {
        const struct service_field *field = service_field(service, i);
        struct slice value = field->source == SERVICE_QUERY
                                 ? find_in_query(query, service_text(field->header))
                                 : slice_of(NULL, 0);
        if (value.size > 0 && value.size <= LIMIT_HEADER_TEXT) {
            service_values_add(record, field->first, value);
        }
    }
}

static void read_events(struct body *body, struct record *record, struct slice bytes, uint64_t now)
{
    struct sse_item item;
    enum sse_event event;
    while ((event = sse_next(&body->sse, &bytes, &item)) != SSE_NEED_MORE) {
        if (event == SSE_MESSAGE) {
            service_values_next_document(&body->values);
        } else {
            if (record->http.first_data_ns == 0) {
                record->http.first_data_ns = now;
            }
            /* One that is no JSON says nothing of the others. */
            service_values_read(&body->values, record, item.bytes);
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
        body->is_stopped = !service_values_read(&body->values, record, bytes);
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

void http_body_end_slow(struct direction *direction, struct record *record, bool is_whole)
{
    struct body *body = body_of(direction);
    if (record != NULL) {
        service_values_finish(&body->values, record);
        if (body->is_reply && body->is_json && !body->is_events && is_whole &&
            !service_values_is_complete(&body->values) &&
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
        service_values_add(record, service_field(service, number)->first, item->value);
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
