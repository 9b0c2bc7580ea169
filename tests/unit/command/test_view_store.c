#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "command/view/attribute_text.h"
#include "command/view/store.h"

/* One span in its message, on the stack of the test. */
struct message {
    Otlp__ExportTraceServiceRequest request;
    Otlp__ResourceSpans resource_spans;
    Otlp__ResourceSpans *resource_list[1];
    Otlp__Resource resource;
    Otlp__KeyValue service;
    Otlp__KeyValue *service_list[1];
    Otlp__AnyValue service_name;
    Otlp__ScopeSpans scope_spans;
    Otlp__ScopeSpans *scope_list[1];
    Otlp__Span span;
    Otlp__Span *span_list[1];
    uint8_t trace_id[16];
    uint8_t span_id[8];
    char name[64];
    char service_text[64];
};

static void prepare(struct message *message, uint32_t trace, uint32_t span, const char *name)
{
    memset(message, 0, sizeof(*message));
    otlp__export_trace_service_request__init(&message->request);
    otlp__resource_spans__init(&message->resource_spans);
    otlp__resource__init(&message->resource);
    otlp__key_value__init(&message->service);
    otlp__any_value__init(&message->service_name);
    otlp__scope_spans__init(&message->scope_spans);
    otlp__span__init(&message->span);
    memcpy(message->trace_id, &trace, sizeof(trace));
    memcpy(message->span_id, &span, sizeof(span));
    strncpy(message->name, name, sizeof(message->name) - 1);
    strcpy(message->service_text, "tester");
    message->service_name.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
    message->service_name.string_value = message->service_text;
    message->service.key = (char *)(uintptr_t) "service.name";
    message->service.value = &message->service_name;
    message->service_list[0] = &message->service;
    message->resource.attributes = message->service_list;
    message->resource.n_attributes = 1;
    message->span.trace_id = (ProtobufCBinaryData){16, message->trace_id};
    message->span.span_id = (ProtobufCBinaryData){8, message->span_id};
    message->span.name = message->name;
    message->span.start_time_unix_nano = 1000;
    message->span.end_time_unix_nano = 3000;
    message->span_list[0] = &message->span;
    message->scope_spans.spans = message->span_list;
    message->scope_spans.n_spans = 1;
    message->scope_list[0] = &message->scope_spans;
    message->resource_spans.resource = &message->resource;
    message->resource_spans.scope_spans = message->scope_list;
    message->resource_spans.n_scope_spans = 1;
    message->resource_list[0] = &message->resource_spans;
    message->request.resource_spans = message->resource_list;
    message->request.n_resource_spans = 1;
}

static uint64_t add(struct store *store, uint32_t trace, uint32_t span)
{
    struct message message;
    prepare(&message, trace, span, "name");
    return store_add(store, &message.request, trace);
}

static struct store *create(size_t spans)
{
    return store_create((struct store_limits){spans, LIMIT_VIEW_BYTES}, 42);
}

static void a_span_is_kept_as_it_was(void **state)
{
    (void)state;
    struct store *store = create(10);
    assert_int_equal(add(store, 1, 2), 0);
    const struct store_trace *trace = store_quietest(store);
    assert_non_null(trace);
    assert_int_equal(trace->span_count, 1);
    assert_string_equal(trace->first->name, "name");
    assert_string_equal(trace->first->service, "tester");
    assert_int_equal(trace->first->end_ns - trace->first->start_ns, 2000);
    assert_ptr_equal(store_find_trace(store, trace->trace_id), trace);
    assert_ptr_equal(store_find_span(store, trace->trace_id, trace->first->span_id), trace->first);
    store_destroy(store);
}

static void a_span_sent_twice_is_one(void **state)
{
    (void)state;
    struct store *store = create(10);
    add(store, 1, 2);
    add(store, 1, 2);
    assert_int_equal(store_totals(store).received, 1);
    assert_int_equal(store_totals(store).duplicates, 1);
    assert_int_equal(store_quietest(store)->span_count, 1);
    store_destroy(store);
}

static void ids_must_be_whole_and_not_zero(void **state)
{
    (void)state;
    struct store *store = create(10);
    struct message message;
    assert_int_equal(add(store, 0, 1), 1);
    assert_int_equal(add(store, 1, 0), 1);
    prepare(&message, 1, 1, "x");
    message.span.trace_id.len = 15;
    assert_int_equal(store_add(store, &message.request, 0), 1);
    prepare(&message, 1, 1, "x");
    message.span.span_id.len = 0;
    assert_int_equal(store_add(store, &message.request, 0), 1);
    assert_int_equal(store_totals(store).invalid, 4);
    assert_null(store_quietest(store));
    store_destroy(store);
}

static void the_quietest_trace_makes_room(void **state)
{
    (void)state;
    struct store *store = create(4);
    add(store, 1, 1);
    add(store, 2, 1);
    add(store, 2, 2);
    add(store, 1, 2); /* trace 2 is the quiet one now */
    assert_int_equal(store_totals(store).dropped_spans, 0);
    add(store, 3, 1);
    assert_int_equal(store_totals(store).dropped_traces, 1);
    assert_int_equal(store_totals(store).dropped_spans, 2);
    const uint8_t second[16] = {2};
    const uint8_t first[16] = {1};
    assert_null(store_find_trace(store, second));
    assert_non_null(store_find_trace(store, first));
    store_destroy(store);
}

static void a_trace_does_not_push_itself_out(void **state)
{
    (void)state;
    struct store *store = create(3);
    for (uint32_t span = 1; span <= 5; span++) {
        add(store, 1, span);
    }
    assert_int_equal(store_quietest(store)->span_count, 3);
    assert_int_equal(store_totals(store).dropped_spans, 2);
    assert_int_equal(store_totals(store).dropped_traces, 0);
    store_destroy(store);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct store *store = store_create((struct store_limits){LIMIT_VIEW_SPANS, 4096}, 1);
    for (uint32_t trace = 1; trace <= 1000; trace++) {
        add(store, trace, 1);
    }
    size_t kept = 0;
    for (struct store_trace *trace = store_quietest(store); trace != NULL;
         trace = trace->livelier) {
        kept++;
    }
    assert_in_range(kept, 1, 4096 / sizeof(struct store_span));
    assert_int_equal(store_totals(store).dropped_spans + kept, 1000);
    store_destroy(store);
}

static void services_beyond_the_limit_are_others(void **state)
{
    (void)state;
    struct store *store = create(LIMIT_VIEW_SPANS);
    for (uint32_t i = 1; i <= LIMIT_VIEW_SERVICES + 50; i++) {
        struct message message;
        prepare(&message, i, 1, "name");
        snprintf(message.service_text, sizeof(message.service_text), "service %u", i);
        store_add(store, &message.request, 0);
    }
    size_t count = 0;
    const struct store_service *services = store_services(store, &count);
    assert_int_equal(count, LIMIT_VIEW_SERVICES);
    assert_string_equal(services[0].name, "service 1");
    assert_string_equal(services[count - 1].name, "(others)");
    assert_int_equal(services[count - 1].span_count, 51);
    store_destroy(store);
}

static void add_losses(struct store *store, const char *reason, int64_t count)
{
    struct message message;
    Otlp__KeyValue attribute;
    Otlp__KeyValue *list[] = {&attribute};
    Otlp__AnyValue value;
    char key[64];
    otlp__key_value__init(&attribute);
    otlp__any_value__init(&value);
    prepare(&message, 9, 9, "wirespan.losses");
    snprintf(key, sizeof(key), "wirespan.losses.%s", reason);
    value.value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
    value.int_value = count;
    attribute.key = key;
    attribute.value = &value;
    message.span.attributes = list;
    message.span.n_attributes = 1;
    store_add(store, &message.request, 0);
}

static void losses_are_added_up_by_reason(void **state)
{
    (void)state;
    struct store *store = create(10);
    add_losses(store, "segment_full", 3);
    add_losses(store, "malformed", 1);
    add_losses(store, "segment_full", 4);
    add_losses(store, "contended", 0);
    add_losses(store, "contended", -5);
    size_t count = 0;
    const struct store_loss *losses = store_losses(store, &count);
    assert_int_equal(count, 2);
    assert_string_equal(losses[0].reason, "segment_full");
    assert_int_equal(losses[0].count, 7);
    assert_string_equal(losses[0].service, "tester");
    assert_null(store_quietest(store)); /* the report itself is no trace */
    for (unsigned i = 0; i < LIMIT_VIEW_LOSSES + 10; i++) {
        char reason[32];
        snprintf(reason, sizeof(reason), "reason_%u", i);
        add_losses(store, reason, 1);
    }
    losses = store_losses(store, &count);
    assert_int_equal(count, LIMIT_VIEW_LOSSES);
    assert_string_equal(losses[count - 1].reason, "(others)");
    store_destroy(store);
}

static void text_is_cut_between_characters(void **state)
{
    (void)state;
    char text[LIMIT_VIEW_TEXT + 16];
    for (size_t lead = 0; lead < 4; lead++) {
        struct buffer buffer = {0};
        memset(text, 'x', lead);
        for (size_t i = lead; i + 3 < sizeof(text); i += 3) {
            memcpy(text + i, "\xE2\x82\xAC", 4);
        }
        attribute_text_append_cut(&buffer, text);
        assert_in_range(buffer.used, LIMIT_VIEW_TEXT - 2, LIMIT_VIEW_TEXT);
        assert_int_equal((buffer.used - lead) % 3, 0);
        buffer_finish(&buffer);
    }
}

static void values_become_text(void **state)
{
    (void)state;
    Otlp__AnyValue one;
    Otlp__AnyValue two;
    Otlp__AnyValue list;
    Otlp__AnyValue *members[] = {&one, &two};
    Otlp__ArrayValue array;
    otlp__any_value__init(&one);
    otlp__any_value__init(&two);
    otlp__any_value__init(&list);
    otlp__array_value__init(&array);
    one.value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
    one.int_value = -7;
    two.value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
    two.bool_value = true;
    array.values = members;
    array.n_values = 2;
    list.value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
    list.array_value = &array;
    struct buffer text = {0};
    attribute_text_append(&text, &list);
    buffer_append(&text, "", 1);
    assert_string_equal(text.bytes, "[-7, true]");
    buffer_finish(&text);
    /* A value that holds itself, as far as text goes, ends. */
    members[1] = &list;
    attribute_text_append(&text, &list);
    assert_in_range(text.used, 1, LIMIT_VIEW_TEXT);
    buffer_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_is_kept_as_it_was),
        cmocka_unit_test(a_span_sent_twice_is_one),
        cmocka_unit_test(ids_must_be_whole_and_not_zero),
        cmocka_unit_test(the_quietest_trace_makes_room),
        cmocka_unit_test(a_trace_does_not_push_itself_out),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(services_beyond_the_limit_are_others),
        cmocka_unit_test(losses_are_added_up_by_reason),
        cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(values_become_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
