/* The layout of the cases in tests/golden/view, as data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "command/view/tree.h"
#include "view_case.h"

static const char *folder;

struct fixture {
    struct store *store;
    struct tree *tree;
};

static struct fixture lay_out(const char *name)
{
    struct fixture fixture = {
        .store = store_create((struct store_limits){LIMIT_VIEW_SPANS, LIMIT_VIEW_BYTES}, 3)};
    view_case_add(fixture.store, folder, name);
    fixture.tree = tree_create(fixture.store, store_quietest(fixture.store));
    assert_non_null(fixture.tree);
    return fixture;
}

static void finish(struct fixture *fixture)
{
    tree_destroy(fixture->tree);
    store_destroy(fixture->store);
}

static void assert_row(const struct tree *tree, size_t row, const char *name, uint32_t depth,
                       enum tree_place place, bool is_last)
{
    assert_in_range(row, 0, tree->row_count - 1);
    assert_string_equal(tree->rows[row].span->name, name);
    assert_int_equal(tree->rows[row].depth, depth);
    assert_int_equal(tree->rows[row].place, place);
    assert_int_equal(tree->rows[row].is_last, is_last);
}

static void children_stand_below_in_order_of_start(void **state)
{
    (void)state;
    struct fixture fixture = lay_out("services");
    assert_int_equal(fixture.tree->row_count, 6);
    assert_row(fixture.tree, 0, "POST /api/jobs", 0, TREE_ROOT, true);
    assert_row(fixture.tree, 1, "publish jobs", 1, TREE_CHILD, true);
    assert_row(fixture.tree, 2, "process jobs", 2, TREE_CHILD, true);
    assert_row(fixture.tree, 3, "GET /ws", 3, TREE_CHILD, false);
    assert_row(fixture.tree, 4, "validate", 4, TREE_CHILD, true);
    assert_row(fixture.tree, 5, "POST", 3, TREE_CHILD, true);
    assert_int_equal(fixture.tree->end_ns - fixture.tree->start_ns, 1530000000);
    finish(&fixture);
}

static void what_has_no_parent_here_is_a_root(void **state)
{
    (void)state;
    struct fixture fixture = lay_out("orphans");
    assert_int_equal(fixture.tree->row_count, 6);
    assert_row(fixture.tree, 0, "HGETALL 127.0.0.1:6390", 0, TREE_ORPHAN, false);
    assert_row(fixture.tree, 1, "child", 1, TREE_CHILD, true);
    assert_row(fixture.tree, 2, "ring one", 0, TREE_CYCLE, false);
    assert_row(fixture.tree, 3, "ring two", 1, TREE_CHILD, true);
    assert_row(fixture.tree, 4, "plain root", 0, TREE_ROOT, false);
    assert_row(fixture.tree, 5, "its own parent", 0, TREE_CYCLE, true);
    finish(&fixture);
}

static void traces_linked_both_ways_are_one(void **state)
{
    (void)state;
    struct fixture fixture = lay_out("joined");
    assert_int_equal(fixture.tree->trace_count, 2);
    assert_int_equal(fixture.tree->error_count, 1);
    assert_row(fixture.tree, 0, "POST /api/jobs", 0, TREE_ROOT, true);
    assert_row(fixture.tree, 1, "HSET 127.0.0.1:6390", 1, TREE_CHILD, false);
    assert_row(fixture.tree, 2, "job.submit", 1, TREE_JOINED, true);
    assert_row(fixture.tree, 3, "job.process", 2, TREE_CHILD, true);
    /* From the other end it is the same tree. */
    struct tree *other = tree_create(fixture.store, store_quietest(fixture.store)->livelier);
    assert_int_equal(other->row_count, fixture.tree->row_count);
    assert_memory_equal(other->rows, fixture.tree->rows, other->row_count * sizeof(*other->rows));
    tree_destroy(other);
    finish(&fixture);
}

static void a_link_one_way_joins_nothing(void **state)
{
    (void)state;
    struct fixture fixture = {
        .store = store_create((struct store_limits){LIMIT_VIEW_SPANS, LIMIT_VIEW_BYTES}, 3)};
    Otlp__ExportTraceServiceRequest *message = view_case_load(folder, "joined");
    Otlp__Span *process = message->resource_spans[1]->scope_spans[0]->spans[0];
    protobuf_c_message_free_unpacked(&process->links[0]->base, NULL);
    process->n_links = 0;
    store_add(fixture.store, message, 0);
    otlp__export_trace_service_request__free_unpacked(message, NULL);
    fixture.tree = tree_create(fixture.store, store_quietest(fixture.store));
    assert_int_equal(fixture.tree->trace_count, 1);
    assert_int_equal(fixture.tree->row_count, 2);
    finish(&fixture);
}

static void depth_is_not_bounded_by_the_stack(void **state)
{
    (void)state;
    enum { SPANS = 50000 };
    struct store *store =
        store_create((struct store_limits){LIMIT_VIEW_SPANS, LIMIT_VIEW_BYTES}, 3);
    Otlp__ExportTraceServiceRequest *message = view_case_load(folder, "deep");
    Otlp__ScopeSpans *scope = message->resource_spans[0]->scope_spans[0];
    Otlp__Span *span = scope->spans[1];
    size_t kept = scope->n_spans;
    scope->spans[1] = scope->spans[0];
    scope->spans[0] = span;
    scope->n_spans = 1;
    for (uint32_t i = 1; i <= SPANS; i++) {
        uint32_t parent = i - 1;
        memcpy(span->span_id.data, &i, sizeof(i));
        memset(span->parent_span_id.data, 0, 8);
        memcpy(span->parent_span_id.data, &parent, sizeof(parent));
        memset(span->span_id.data + 4, 0, 4);
        store_add(store, message, 0);
    }
    struct tree *tree = tree_create(store, store_quietest(store));
    assert_int_equal(tree->row_count, SPANS);
    assert_int_equal(tree->rows[SPANS - 1].depth, SPANS - 1);
    tree_destroy(tree);
    store_destroy(store);
    scope->n_spans = kept;
    otlp__export_trace_service_request__free_unpacked(message, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_stand_below_in_order_of_start),
        cmocka_unit_test(what_has_no_parent_here_is_a_root),
        cmocka_unit_test(traces_linked_both_ways_are_one),
        cmocka_unit_test(a_link_one_way_joins_nothing),
        cmocka_unit_test(depth_is_not_bounded_by_the_stack),
    };
    if (argc < 2) {
        return 2;
    }
    folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
