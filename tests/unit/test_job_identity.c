/* The context that a job's fields carry, however bad they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app_thread/job_identity.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define OTHER  "b7ad6b7169203332"

struct fields {
    const char *trace;
    const char *parent;
    const char *traceparent;
    const char *workflow_trace;
    const char *workflow_parent;
};

/* The values lie in memory of exactly their size. The last byte of the parent's id; 0: none. */
static int found(const struct fields *fields)
{
    const char *const texts[] = {fields->trace, fields->parent, fields->traceparent,
                                 fields->workflow_trace, fields->workflow_parent};
    static const enum rule_variable variables[] = {RULE_TRACE, RULE_PARENT, RULE_TRACEPARENT,
                                                   RULE_WORKFLOW_TRACE, RULE_WORKFLOW_PARENT};
    struct rule_facts facts;
    uint8_t *exact[5] = {NULL};
    memset(&facts, 0, sizeof(facts));
    for (size_t i = 0; i < 5; i++) {
        if (texts[i] != NULL) {
            size_t size = strlen(texts[i]);
            exact[i] = malloc(size + (size == 0));
            assert_non_null(exact[i]);
            memcpy(exact[i], texts[i], size);
            facts.values[variables[i]] = slice_of(exact[i], size);
        }
    }
    struct traceparent context;
    int last = job_identity_context(&facts, &context) ? context.parent_id[7] : 0;
    if (last != 0) {
        assert_int_equal(context.trace_id[0], 0x0a);
        assert_int_equal(context.trace_id[15], 0x9c);
    }
    for (size_t i = 0; i < 5; i++) {
        free(exact[i]);
    }
    return last;
}

static void the_jobs_own_comes_first(void **state)
{
    (void)state;
    assert_int_equal(found(&(struct fields){.trace = TRACE, .parent = PARENT}), 0x31);
    assert_int_equal(found(&(struct fields){.traceparent = "00-" TRACE "-" PARENT "-01"}), 0x31);
    assert_int_equal(found(&(struct fields){.workflow_trace = TRACE, .workflow_parent = PARENT}),
                     0x31);
    assert_int_equal(
        found(&(struct fields){TRACE, PARENT, "00-" TRACE "-" OTHER "-01", TRACE, OTHER}), 0x31);
    assert_int_equal(found(&(struct fields){.traceparent = "cc-" TRACE "-" PARENT "-01-more"}),
                     0x31);
    /* What is no context hides none. */
    assert_int_equal(found(&(struct fields){TRACE, "", "00-" TRACE "-" OTHER "-01", NULL, NULL}),
                     0x32);
    assert_int_equal(found(&(struct fields){NULL, PARENT, "nonsense", TRACE, OTHER}), 0x32);
}

static void garbage_is_none(void **state)
{
    (void)state;
    static const char *const traces[] = {
        "",          "0",
        TRACE "0",   "0af7651916cd43dd8448eb211c80319",
        TRACE TRACE, "00000000000000000000000000000000",
        " " TRACE,   "0af7651916cd43dd8448eb211c80319g",
        "undefined", "0af76519-16cd-43dd-8448-eb211c80319c",
    };
    static const char *const parents[] = {
        "",     "b7ad6b716920333",  PARENT "0", "0000000000000000",
        "null", "b7ad6b716920333x", " " PARENT, PARENT "\n"};
    static const char *const whole[] = {
        "",
        "00",
        TRACE,
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-01 ",
        " 00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01-more",
        "ff-" TRACE "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "\"00-" TRACE "-" PARENT "-01\"",
    };
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        assert_int_equal(found(&(struct fields){.trace = traces[i], .parent = PARENT}), 0);
        assert_int_equal(
            found(&(struct fields){.workflow_trace = traces[i], .workflow_parent = PARENT}), 0);
    }
    for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        assert_int_equal(found(&(struct fields){.trace = TRACE, .parent = parents[i]}), 0);
        assert_int_equal(
            found(&(struct fields){.workflow_trace = TRACE, .workflow_parent = parents[i]}), 0);
    }
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        assert_int_equal(found(&(struct fields){.traceparent = whole[i]}), 0);
    }
    /* Halves of two contexts are none. */
    assert_int_equal(found(&(struct fields){.trace = TRACE, .workflow_parent = PARENT}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_jobs_own_comes_first),
        cmocka_unit_test(garbage_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
