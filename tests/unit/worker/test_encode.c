/* The direct encoder against protobuf-c: the same span must give the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <otlp.pb-c.h>

#include "worker/otlp/encode.h"
#include "worker/otlp/envelope.h"

/* ---- a span by way of protobuf-c ---- */

/* Everything that the expected messages need, until release_all. */
struct block {
    struct block *next;
    max_align_t memory[];
};

static struct block *blocks;

static void *make(size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + size + 1);
    assert_non_null(block);
    block->next = blocks;
    blocks = block;
    return block->memory;
}

static void release_all(void)
{
    while (blocks != NULL) {
        struct block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

static char *text_of(struct slice slice)
{
    char *text = make(slice.size);
    if (slice.size > 0) {
        memcpy(text, slice.data, slice.size);
    }
    return text;
}

static ProtobufCBinaryData bytes_of(const uint8_t *bytes, size_t size)
{
    ProtobufCBinaryData data = {size, make(size)};
    memcpy(data.data, bytes, size);
    return data;
}

static Otlp__AnyValue *any_string(struct slice string)
{
    Otlp__AnyValue *any = make(sizeof(*any));
    otlp__any_value__init(any);
    any->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
    any->string_value = text_of(string);
    return any;
}

static Otlp__AnyValue *any_of(const struct attribute *attribute)
{
    Otlp__AnyValue *any = make(sizeof(*any));
    otlp__any_value__init(any);
    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        return any_string(attribute->string);
    case ATTRIBUTE_INT:
        any->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
        any->int_value = attribute->integer;
        break;
    case ATTRIBUTE_DOUBLE:
        any->value_case = OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE;
        any->double_value = attribute->real;
        break;
    case ATTRIBUTE_BOOL:
        any->value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
        any->bool_value = attribute->boolean;
        break;
    case ATTRIBUTE_STRINGS:
        any->value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
        any->array_value = make(sizeof(*any->array_value));
        otlp__array_value__init(any->array_value);
        any->array_value->n_values = 1;
        any->array_value->values = make(sizeof(Otlp__AnyValue *));
        any->array_value->values[0] = any_string(attribute->string);
        break;
    }
    return any;
}

static Otlp__KeyValue **pairs_of(const struct attribute *attributes, size_t count)
{
    Otlp__KeyValue **pairs = make(count * sizeof(*pairs));
    for (size_t i = 0; i < count; i++) {
        pairs[i] = make(sizeof(**pairs));
        otlp__key_value__init(pairs[i]);
        pairs[i]->key = text_of(attributes[i].key);
        pairs[i]->value = any_of(&attributes[i]);
    }
    return pairs;
}

static Otlp__Span__Event *event_of(const struct span_event *from)
{
    Otlp__Span__Event *event = make(sizeof(*event));
    otlp__span__event__init(event);
    event->time_unix_nano = from->time_ns;
    event->name = text_of(from->name);
    event->n_attributes = from->attribute_count;
    event->attributes = pairs_of(from->attributes, from->attribute_count);
    event->dropped_attributes_count = from->dropped_attributes;
    return event;
}

static Otlp__Span__Link *link_of(const struct span_link *from)
{
    Otlp__Span__Link *link = make(sizeof(*link));
    otlp__span__link__init(link);
    link->trace_id = bytes_of(from->trace_id, 16);
    link->span_id = bytes_of(from->span_id, 8);
    return link;
}

static Otlp__Span *expected_span(const struct span *from)
{
    static const uint8_t none[8];
    Otlp__Span *span = make(sizeof(*span));
    otlp__span__init(span);
    span->trace_id = bytes_of(from->trace_id, 16);
    span->span_id = bytes_of(from->span_id, 8);
    span->trace_state = text_of(from->trace_state);
    if (memcmp(from->parent_span_id, none, 8) != 0) {
        span->parent_span_id = bytes_of(from->parent_span_id, 8);
    }
    span->name = text_of(from->name);
    span->kind = (Otlp__Span__SpanKind)from->kind;
    span->start_time_unix_nano = from->start_ns;
    span->end_time_unix_nano = from->end_ns;
    span->n_attributes = from->attribute_count;
    span->attributes = pairs_of(from->attributes, from->attribute_count);
    span->dropped_attributes_count = from->dropped_attributes;
    span->n_events = from->event_count;
    span->events = make(from->event_count * sizeof(*span->events));
    for (uint32_t i = 0; i < from->event_count; i++) {
        span->events[i] = event_of(&from->events[i]);
    }
    span->dropped_events_count = from->dropped_events;
    span->n_links = from->link_count;
    span->links = make(from->link_count * sizeof(*span->links));
    for (uint32_t i = 0; i < from->link_count; i++) {
        span->links[i] = link_of(&from->links[i]);
    }
    span->dropped_links_count = from->dropped_links;
    if (from->status != SPAN_STATUS_UNSET) {
        span->status = make(sizeof(*span->status));
        otlp__status__init(span->status);
        span->status->code = (Otlp__Status__StatusCode)from->status;
        span->status->message = text_of(from->status_message);
    }
    span->flags = from->flags;
    return span;
}

/* ---- random spans ---- */

static uint64_t seed;

static uint64_t draw(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t value = seed;
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Lengths around the edges of one- and two-byte lengths are what goes wrong. */
static struct slice draw_text(void)
{
    static const size_t sizes[] = {0,   1,   2,   7,   20,  119, 120, 123,
                                   124, 125, 126, 127, 128, 129, 300};
    static char filler[512];
    memset(filler, 'x', sizeof(filler));
    return slice_of(filler, sizes[draw() % (sizeof(sizes) / sizeof(sizes[0]))]);
}

static struct attribute draw_attribute(void)
{
    struct attribute attribute = {.key = SLICE("some.key")};
    attribute.type = (enum attribute_type)(draw() % 5);
    switch (attribute.type) {
    case ATTRIBUTE_STRING:
    case ATTRIBUTE_STRINGS:
        attribute.string = draw_text();
        break;
    case ATTRIBUTE_INT:
        attribute.integer = (int64_t)(draw() >> (draw() % 64));
        attribute.integer = draw() % 4 == 0 ? -attribute.integer : attribute.integer;
        break;
    case ATTRIBUTE_DOUBLE:
        attribute.real = (double)(int64_t)draw() / 3.0;
        break;
    case ATTRIBUTE_BOOL:
        attribute.boolean = draw() % 2 != 0;
        break;
    }
    return attribute;
}

static void draw_id(uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        id[i] = (uint8_t)(draw() | 1);
    }
}

static uint32_t seldom(uint32_t below)
{
    return draw() % 3 == 0 ? (uint32_t)(draw() % below) : 0;
}

static const struct span_limits no_limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

static void draw_span(struct span *span)
{
    span_begin(span, &no_limits);
    draw_id(span->trace_id, 16);
    draw_id(span->span_id, 8);
    if (draw() % 2 != 0) {
        draw_id(span->parent_span_id, 8);
    }
    span->flags = draw() % 4 == 0 ? 0 : 0x301;
    span->trace_state = draw_text();
    span->name = draw_text();
    span->kind = (enum span_kind)(draw() % 6);
    span->start_ns = draw() % 8 == 0 ? 0 : draw();
    span->end_ns = draw();
    span->status = (enum span_status)(draw() % 3);
    span->status_message = span->status == SPAN_STATUS_ERROR ? draw_text() : SLICE("");
    span->attribute_count = (uint32_t)(draw() % (SPAN_ATTRIBUTES_MAX + 1));
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        span->attributes[i] = draw_attribute();
    }
    span->dropped_attributes = seldom(300);
    for (uint32_t i = seldom(SPAN_EVENTS_MAX + 1); i > 0; i--) {
        struct span_event *event = span_add_event(span, draw(), draw_text());
        event->attribute_count = (uint32_t)(draw() % (SPAN_EVENT_ATTRIBUTES_MAX + 1));
        for (uint32_t a = 0; a < event->attribute_count; a++) {
            event->attributes[a] = draw_attribute();
        }
        event->dropped_attributes = seldom(300);
    }
    span->dropped_events = seldom(300);
    for (uint32_t i = seldom(SPAN_LINKS_MAX + 1); i > 0; i--) {
        struct span_link *link = span_add_link(span);
        draw_id(link->trace_id, 16);
        draw_id(link->span_id, 8);
    }
    span->dropped_links = seldom(300);
}

/* The bytes of a `spans` field as protobuf-c writes them. */
static size_t pack_expected(const struct span *span, uint8_t **bytes)
{
    Otlp__ScopeSpans scope_spans;
    Otlp__Span *expected = expected_span(span);
    otlp__scope_spans__init(&scope_spans);
    scope_spans.n_spans = 1;
    scope_spans.spans = &expected;
    size_t size = otlp__scope_spans__get_packed_size(&scope_spans);
    *bytes = make(size);
    assert_int_equal(otlp__scope_spans__pack(&scope_spans, *bytes), size);
    return size;
}

static void spans_are_equal_byte_for_byte(void **state)
{
    (void)state;
    static struct span span;
    static uint8_t bytes[65536];
    for (int i = 0; i < 2000; i++) {
        uint8_t *expected;
        draw_span(&span);
        size_t size = pack_expected(&span, &expected);
        assert_int_equal(otlp_encode_span(&span, bytes, sizeof(bytes)), size);
        assert_memory_equal(bytes, expected, size);
        release_all();
    }
}

static void a_span_of_every_length_is_equal(void **state)
{
    (void)state;
    static struct span span;
    static uint8_t bytes[65536];
    static char filler[20000];
    memset(filler, 'y', sizeof(filler));
    /* From one byte of length through two to three. */
    static const size_t edges[] = {0, 16200, 16383 - 100};
    for (size_t edge = 0; edge < 3; edge++) {
        for (size_t more = 0; more < 200; more++) {
            uint8_t *expected;
            span_begin(&span, &no_limits);
            draw_id(span.trace_id, 16);
            draw_id(span.span_id, 8);
            span.name = slice_of(filler, edges[edge] + more);
            size_t size = pack_expected(&span, &expected);
            assert_int_equal(otlp_encode_span(&span, bytes, sizeof(bytes)), size);
            assert_memory_equal(bytes, expected, size);
            release_all();
        }
    }
}

static void what_does_not_fit_is_not_written_beyond(void **state)
{
    (void)state;
    static struct span span;
    static uint8_t whole[65536];
    for (int i = 0; i < 30; i++) {
        draw_span(&span);
        size_t size = otlp_encode_span(&span, whole, sizeof(whole));
        for (size_t capacity = 0; capacity < size + 1000; capacity += 7) {
            /* Its own allocation, so that a sanitizer sees a byte too many. */
            uint8_t *bytes = malloc(capacity + 1);
            bytes[capacity] = 0xa5;
            size_t written = otlp_encode_span(&span, bytes, capacity);
            assert_int_equal(bytes[capacity], 0xa5);
            assert_true(written == 0 || written == size);
            assert_true(written <= capacity);
            if (written > 0) {
                assert_memory_equal(bytes, whole, size);
            }
            free(bytes);
        }
    }
}

static void envelopes_hold_the_spans_as_they_are(void **state)
{
    (void)state;
    static struct span spans[3];
    static uint8_t encoded[3 * 65536];
    static uint8_t resource_bytes[4096];
    static uint8_t request_bytes[4 * 65536];
    struct attribute resource[3] = {
        {.key = SLICE("service.name"), .type = ATTRIBUTE_STRING, .string = SLICE("shop")},
        {.key = SLICE("process.pid"), .type = ATTRIBUTE_INT, .integer = 42},
        {.key = SLICE("host.name"), .type = ATTRIBUTE_STRING, .string = SLICE("h")},
    };
    for (int round = 0; round < 50; round++) {
        Otlp__Span *expected[3];
        size_t used = 0;
        for (int i = 0; i < 3; i++) {
            draw_span(&spans[i]);
            used += otlp_encode_span(&spans[i], encoded + used, sizeof(encoded) - used);
            expected[i] = expected_span(&spans[i]);
        }
        size_t resource_size = otlp_encode_resource(resource, 3, resource_bytes, 4096);

        uint8_t *at =
            otlp_envelope_open(request_bytes, slice_of(resource_bytes, resource_size), used);
        memcpy(at, encoded, used);
        at = otlp_envelope_close(at + used);
        size_t size = (size_t)(at - request_bytes);
        assert_int_equal(size, otlp_envelope_size(resource_size, used));

        Otlp__ExportTraceServiceRequest request;
        Otlp__ResourceSpans resource_spans;
        Otlp__ResourceSpans *resource_spans_list[] = {&resource_spans};
        Otlp__Resource expected_resource;
        Otlp__ScopeSpans scope_spans;
        Otlp__ScopeSpans *scope_spans_list[] = {&scope_spans};
        Otlp__InstrumentationScope scope;
        char name[] = "wirespan";
        char version[] = WIRESPAN_VERSION;
        char schema_url[] = OTLP_SCHEMA_URL;
        otlp__export_trace_service_request__init(&request);
        otlp__resource_spans__init(&resource_spans);
        otlp__resource__init(&expected_resource);
        otlp__scope_spans__init(&scope_spans);
        otlp__instrumentation_scope__init(&scope);
        scope.name = name;
        scope.version = version;
        scope_spans.scope = &scope;
        scope_spans.n_spans = 3;
        scope_spans.spans = expected;
        scope_spans.schema_url = schema_url;
        expected_resource.n_attributes = 3;
        expected_resource.attributes = pairs_of(resource, 3);
        resource_spans.resource = &expected_resource;
        resource_spans.n_scope_spans = 1;
        resource_spans.scope_spans = scope_spans_list;
        resource_spans.schema_url = schema_url;
        request.n_resource_spans = 1;
        request.resource_spans = resource_spans_list;
        assert_int_equal(otlp__export_trace_service_request__get_packed_size(&request), size);
        uint8_t *packed = make(size);
        otlp__export_trace_service_request__pack(&request, packed);
        assert_memory_equal(request_bytes, packed, size);

        Otlp__ExportTraceServiceRequest *unpacked =
            otlp__export_trace_service_request__unpack(NULL, size, request_bytes);
        assert_non_null(unpacked);
        assert_int_equal(unpacked->resource_spans[0]->scope_spans[0]->n_spans, 3);
        otlp__export_trace_service_request__free_unpacked(unpacked, NULL);
        release_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_equal_byte_for_byte),
        cmocka_unit_test(a_span_of_every_length_is_equal),
        cmocka_unit_test(what_does_not_fit_is_not_written_beyond),
        cmocka_unit_test(envelopes_hold_the_spans_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
