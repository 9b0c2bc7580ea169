/* The queue, and the batches made from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <otlp.pb-c.h>

#include "worker/batch.h"
#include "worker/otlp/encode.h"
#include "worker/queue.h"

static struct queue queue;
static struct resource *resources[3];

static struct resource *make_resource(const char *name)
{
    uint8_t bytes[256];
    struct attribute attribute = {.key = SLICE("service.name"),
                                  .type = ATTRIBUTE_STRING,
                                  .string = slice_of(name, strlen(name))};
    size_t size = otlp_encode_resource(&attribute, 1, bytes, sizeof(bytes));
    struct resource *resource = malloc(sizeof(*resource) + size);
    *resource = (struct resource){.references = 1, .size = size};
    memcpy(resource->bytes, bytes, size);
    return resource;
}

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        resources[i] = make_resource(name);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    queue_finish(&queue);
    for (int i = 0; i < 3; i++) {
        /* Nobody holds on to a resource. */
        assert_int_equal(resources[i]->references, 1);
        resource_release(resources[i]);
    }
    return 0;
}

static const struct span_limits no_limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

/* A span whose name is a number, padded to a size. */
static uint32_t put_sized(int resource, unsigned number, size_t padding)
{
    static struct span span;
    static char filler[LIMIT_QUEUE_CHUNK];
    span_begin(&span, &no_limits);
    memset(span.trace_id, 1, 16);
    memset(span.span_id, 2, 8);
    span.name = span_decimal(&span, number);
    span.trace_state = slice_of(memset(filler, 'p', sizeof(filler)), padding);
    size_t capacity;
    uint8_t *into = queue_reserve(&queue, padding + 400, &capacity);
    assert_non_null(into);
    assert_true(capacity >= padding + 400);
    size_t size = otlp_encode_span(&span, into, capacity);
    assert_true(size > 0);
    return queue_commit(&queue, resources[resource], size);
}

static uint32_t put(int resource, unsigned number)
{
    return put_sized(resource, number, 0);
}

struct taken {
    Otlp__ExportTraceServiceRequest *request;
    struct export_batch batch;
};

static struct batch_buffer buffer;

static bool take(uint32_t reader, uint32_t max, struct taken *taken)
{
    if (!batch_gather(&queue, reader, max, &buffer, &taken->batch)) {
        return false;
    }
    taken->request =
        otlp__export_trace_service_request__unpack(NULL, taken->batch.size, taken->batch.bytes);
    assert_non_null(taken->request);
    return true;
}

static void assert_group(const struct taken *taken, size_t index, const char *resource,
                         const char *numbers)
{
    assert_true(index < taken->request->n_resource_spans);
    const Otlp__ResourceSpans *group = taken->request->resource_spans[index];
    assert_string_equal(group->resource->attributes[0]->value->string_value, resource);
    char all[256] = "";
    for (size_t i = 0; i < group->scope_spans[0]->n_spans; i++) {
        strcat(all, group->scope_spans[0]->spans[i]->name);
        strcat(all, " ");
    }
    assert_string_equal(all, numbers);
}

static void release(struct taken *taken)
{
    otlp__export_trace_service_request__free_unpacked(taken->request, NULL);
    batch_buffer_finish(&buffer);
}

static void an_empty_queue_gives_nothing(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 1, 10, 100000);
    assert_true(queue_has_room(&queue));
    assert_false(take(0, 10, &taken));
}

static void spans_are_grouped_by_resource(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 1, 10, 100000);
    put(0, 1);
    put(1, 2);
    put(0, 3);
    put(2, 4);
    put(1, 5);
    assert_true(take(0, 4, &taken));
    assert_int_equal(taken.batch.span_count, 4);
    assert_int_equal(taken.request->n_resource_spans, 3);
    assert_group(&taken, 0, "a", "1 3 ");
    assert_group(&taken, 1, "b", "2 ");
    assert_group(&taken, 2, "c", "4 ");
    release(&taken);
    assert_true(take(0, 4, &taken));
    assert_int_equal(taken.batch.span_count, 1);
    assert_group(&taken, 0, "b", "5 ");
    release(&taken);
    assert_false(take(0, 4, &taken));
}

static void a_part_has_its_spans_and_their_resources(void **state)
{
    (void)state;
    struct taken whole;
    struct batch_buffer room = {0};
    queue_init(&queue, 1, 10, 100000);
    for (unsigned i = 1; i <= 5; i++) {
        put(i % 2 == 0, i);
    }
    assert_true(take(0, 10, &whole)); /* a: 1 3 5, b: 2 4 */
    struct taken part;
    assert_true(batch_part(&whole.batch, 1, 3, &room, &part.batch));
    assert_int_equal(part.batch.span_count, 3);
    part.request =
        otlp__export_trace_service_request__unpack(NULL, part.batch.size, part.batch.bytes);
    assert_non_null(part.request);
    assert_int_equal(part.request->n_resource_spans, 2);
    assert_group(&part, 0, "a", "3 5 ");
    assert_group(&part, 1, "b", "2 ");
    otlp__export_trace_service_request__free_unpacked(part.request, NULL);

    /* The whole of it is the same bytes; beyond it there is nothing. */
    assert_true(batch_part(&whole.batch, 0, 5, &room, &part.batch));
    assert_int_equal(part.batch.size, whole.batch.size);
    assert_memory_equal(part.batch.bytes, whole.batch.bytes, whole.batch.size);
    assert_true(batch_part(&whole.batch, 4, 1, &room, &part.batch));
    assert_false(batch_part(&whole.batch, 4, 2, &room, &part.batch));
    /* Nor is anything read behind its end. */
    for (size_t size = 0; size < whole.batch.size; size++) {
        struct export_batch cut = whole.batch;
        cut.size = size;
        assert_false(batch_part(&cut, 0, 5, &room, &part.batch));
    }
    batch_buffer_finish(&room);
    release(&whole);
}

static void each_reader_has_its_own_place(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 2, 10, 100000);
    put(0, 1);
    put(0, 2);
    assert_true(take(1, 10, &taken));
    assert_group(&taken, 0, "a", "1 2 ");
    release(&taken);
    put(0, 3);
    assert_true(take(0, 10, &taken));
    assert_group(&taken, 0, "a", "1 2 3 ");
    release(&taken);
    assert_true(take(1, 10, &taken));
    assert_group(&taken, 0, "a", "3 ");
    release(&taken);
    assert_null(queue.first);
}

static void the_newest_is_dropped_at_the_bound_of_spans(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 1, 3, 100000);
    assert_int_equal(put(0, 1), 0);
    assert_int_equal(put(0, 2), 0);
    assert_true(queue_has_room(&queue));
    assert_int_equal(put(0, 3), 0);
    assert_false(queue_has_room(&queue));
    assert_int_equal(put(0, 4), 1);
    assert_true(take(0, 10, &taken));
    assert_group(&taken, 0, "a", "1 2 3 ");
    release(&taken);
    assert_int_equal(put(0, 5), 0);
}

static void the_bound_of_bytes_holds(void **state)
{
    (void)state;
    queue_init(&queue, 1, 1000, 1000);
    unsigned count = 0;
    while (put_sized(0, count, 100) == 0) {
        count++;
    }
    assert_true(queue.readers[0].bytes <= 1000);
    assert_int_equal(queue.readers[0].spans, count);
    assert_true(count >= 5 && count < 10);
}

static void a_reader_that_stands_still_holds_up_nobody(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 2, 5, 1000000);
    unsigned lost = 0;
    for (unsigned i = 0; i < 2000; i++) {
        lost += put_sized(0, i, 300);
        assert_true(take(1, 10, &taken));
        assert_int_equal(taken.batch.span_count, 1);
        release(&taken);
    }
    assert_int_equal(lost, 1995);
    /* only the first chunk is kept, for the one who stands */
    assert_non_null(queue.first);
    assert_true(queue.first->next == NULL || queue.first->next->next == NULL);
    assert_true(take(0, 10, &taken));
    assert_group(&taken, 0, "a", "0 1 2 3 4 ");
    release(&taken);
    put(0, 7);
    assert_true(take(0, 10, &taken));
    assert_group(&taken, 0, "a", "7 ");
    release(&taken);
    assert_true(take(1, 10, &taken));
    assert_group(&taken, 0, "a", "7 ");
    release(&taken);
}

static void many_chunks_keep_the_order(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 2, 10000, LIMIT_QUEUE_BYTES);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(put_sized(0, i, 1000), 0);
    }
    for (uint32_t reader = 0; reader < 2; reader++) {
        unsigned next = 0;
        while (take(reader, 33, &taken)) {
            const Otlp__ScopeSpans *scope = taken.request->resource_spans[0]->scope_spans[0];
            for (size_t i = 0; i < scope->n_spans; i++) {
                assert_int_equal(strtoul(scope->spans[i]->name, NULL, 10), next++);
            }
            release(&taken);
        }
        assert_int_equal(next, 1000);
    }
    assert_null(queue.first);
    assert_int_equal(resources[0]->references, 1);
}

static void a_batch_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct taken taken;
    queue_init(&queue, 1, 10000, LIMIT_QUEUE_BYTES);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(put_sized((int)(i % 3), i, 30000), 0);
    }
    unsigned count = 0;
    unsigned batches = 0;
    while (take(0, 1000, &taken)) {
        assert_true(taken.batch.size <= LIMIT_BATCH_BYTES);
        count += taken.batch.span_count;
        batches++;
        release(&taken);
    }
    assert_int_equal(count, 200);
    assert_int_equal(batches, 2);
}

static void what_is_larger_than_a_chunk_has_no_room(void **state)
{
    (void)state;
    size_t capacity;
    queue_init(&queue, 1, 10, LIMIT_QUEUE_BYTES);
    assert_null(queue_reserve(&queue, LIMIT_QUEUE_CHUNK, &capacity));
    assert_non_null(queue_reserve(&queue, LIMIT_QUEUE_CHUNK - 64, &capacity));
    assert_true(capacity >= LIMIT_QUEUE_CHUNK - 64);
}

static void finishing_lets_go_of_what_waits(void **state)
{
    (void)state;
    queue_init(&queue, 2, 10, 100000);
    put(0, 1);
    put(1, 2);
    queue_take(&queue, 0, 1);
    queue_finish(&queue);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_queue_gives_nothing),
        TEST(spans_are_grouped_by_resource),
        TEST(a_part_has_its_spans_and_their_resources),
        TEST(each_reader_has_its_own_place),
        TEST(the_newest_is_dropped_at_the_bound_of_spans),
        TEST(the_bound_of_bytes_holds),
        TEST(a_reader_that_stands_still_holds_up_nobody),
        TEST(many_chunks_keep_the_order),
        TEST(a_batch_is_bounded_in_bytes),
        TEST(what_is_larger_than_a_chunk_has_no_room),
        TEST(finishing_lets_go_of_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
