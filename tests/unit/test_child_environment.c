/* The environment of a program that is started on somebody's behalf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/carried.h"
#include "app_thread/child_environment.h"
#include "app_thread/trace_context.h"
#include "handoff/segment.h"

#define IDS   "07070707070707070707070707070707-0808080808080808"
#define OURS  "TRACEPARENT=00-" IDS "-01"
#define OTHER "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define MANY  (LIMIT_CHILD_VARIABLES + 2)

static const _Atomic uint32_t answers;
static struct segment *segment;

static struct segment *give_segment(struct attachment *page)
{
    page->random_seed = 1;
    atomic_store(&page->epoch, 0x301);
    return segment;
}

static void work(const char *tracestate, const char *baggage)
{
    struct thread_context *context = &thread_state.context;
    uint16_t number = carried_begin();
    carried_add_tracestate(number, slice_of(tracestate, strlen(tracestate)));
    carried_add_baggage(number, slice_of(baggage, strlen(baggage)));
    *context = (struct thread_context){.is_known = true, .trace_flags = 1, .answers = &answers};
    memset(context->trace_id, 7, sizeof(context->trace_id));
    memset(context->span_id, 8, sizeof(context->span_id));
    context->carried = carried_end(number, true);
    thread_state.random_epoch = attachment_epoch();
}

static int set_up(void **state)
{
    (void)state;
    size_t size = segment_size(8);
    segment = aligned_alloc(64, (size + 63) / 64 * 64);
    free(attachment);
    attachment = calloc(1, 4096);
    memset(segment, 0, size);
    segment_initialize(segment, 8, 1, (struct segment_clock){1, 1});
    attachment_renew = give_segment;
    atomic_store(&attachment_is_on, true);
    attachment_context_age_ns = UINT64_MAX / 2;
    assert_non_null(attachment_segment());
    child_environment_configure(true, SLICE(""), SLICE(""), SLICE(""), SLICE(""));
    work("", "");
    return 0;
}

/* `wanted` NULL: it is left as it is. */
static void check(char *const *environment, const char *const *wanted)
{
    char *const *made = child_environment_make(&thread_state, environment);
    if (wanted == NULL) {
        assert_null(made);
        return;
    }
    assert_non_null(made);
    for (size_t i = 0; wanted[i] != NULL || made[i] != NULL; i++) {
        assert_non_null(wanted[i]);
        assert_non_null(made[i]);
        assert_string_equal(made[i], wanted[i]);
    }
    child_environment_give_back(&thread_state);
}

/* Copies, since an environment's strings are not constant. */
static void check_texts(const char *const *given, const char *const *wanted)
{
    static char texts[16][256];
    char *environment[16] = {NULL};
    for (size_t i = 0; given[i] != NULL; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%s", given[i]);
        environment[i] = texts[i];
    }
    check(environment, wanted);
}

static void it_is_added(void **state)
{
    (void)state;
    check_texts((const char *const[]){NULL}, (const char *const[]){OURS, NULL});
    check_texts((const char *const[]){"A=1", "B=2", NULL},
                (const char *const[]){"A=1", "B=2", OURS, NULL});
    check_texts(
        (const char *const[]){"TRACE=1", "TRACEPARENTS=2", "traceparent=3", "A", NULL},
        (const char *const[]){"TRACE=1", "TRACEPARENTS=2", "traceparent=3", "A", OURS, NULL});
    check(NULL, (const char *const[]){OURS, NULL});
    work("a=1, b=2", "k=v");
    check_texts((const char *const[]){"A=1", NULL},
                (const char *const[]){"A=1", OURS, "TRACESTATE=a=1,b=2", "BAGGAGE=k=v", NULL});
}

static void the_programs_own_stays(void **state)
{
    (void)state;
    work("a=1", "k=v");
    check_texts((const char *const[]){"TRACEPARENT=" OTHER, NULL}, NULL);
    check_texts((const char *const[]){"TRACEPARENT=", "A=1", NULL},
                (const char *const[]){OURS, "A=1", "TRACESTATE=a=1", "BAGGAGE=k=v", NULL});
    check_texts((const char *const[]){"BAGGAGE=own", "TRACESTATE=own", NULL},
                (const char *const[]){"BAGGAGE=own", "TRACESTATE=own", OURS, NULL});
}

static void what_was_inherited_gives_way(void **state)
{
    (void)state;
    child_environment_configure(true, SLICE(OTHER), SLICE("old=1"), SLICE("o=1"), SLICE("job"));
    const char *const given[] = {
        "A=1", "TRACEPARENT=" OTHER, "TRACESTATE=old=1", "BAGGAGE=o=1", "B=2", NULL};
    check_texts(given, (const char *const[]){"A=1", OURS, "B=2", NULL});
    work("a=1", "k=v");
    check_texts(given,
                (const char *const[]){"A=1", OURS, "TRACESTATE=a=1", "BAGGAGE=k=v", "B=2", NULL});
    check_texts((const char *const[]){"TRACEPARENT=" OTHER "x", NULL}, NULL);
}

static void a_jobs_program_is_told_so(void **state)
{
    (void)state;
    thread_state.context.is_of_job = true;
    check_texts((const char *const[]){"A=1", NULL},
                (const char *const[]){"A=1", OURS, "WIRESPAN_STARTED_FOR=job", NULL});
    /* This program was started for a job, and starts one for a request. */
    work("", "");
    child_environment_configure(true, SLICE(OTHER), SLICE(""), SLICE(""), SLICE("job"));
    check_texts((const char *const[]){"TRACEPARENT=" OTHER, "WIRESPAN_STARTED_FOR=job", NULL},
                (const char *const[]){OURS, NULL});
}

static void without_a_context_nothing_is_done(void **state)
{
    (void)state;
    char entry[] = "A=1";
    char *environment[] = {entry, NULL};
    assert_true(child_environment_is_wanted(&thread_state));
    thread_state.context.is_known = false;
    assert_false(child_environment_is_wanted(&thread_state));
    check(environment, NULL);
    work("", "");
    thread_state.context.answered++; /* its request has been answered */
    check(environment, NULL);
    work("", "");
    attachment_context_age_ns = 1;
    check(environment, NULL);
    attachment_context_age_ns = UINT64_MAX / 2;
    thread_state.random_epoch = 0x501; /* it is another process's */
    check(environment, NULL);
    work("", "");
    child_environment_configure(false, SLICE(""), SLICE(""), SLICE(""), SLICE(""));
    assert_false(child_environment_is_wanted(&thread_state));
    check(environment, NULL);
}

/* As in a request's field, but that nothing trims what stands in the environment. */
static void garbage_is_not_what_it_was_started_for(void **state)
{
    (void)state;
    static const char *const garbage[] = {
        "",
        "nonsense",
        " " OTHER,
        OTHER " ",
        OTHER "\n",
        OTHER "-more",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        OTHER "," OTHER,
    };
    thread_state.context.is_known = false;
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        trace_context_set_ambient(slice_of(garbage[i], strlen(garbage[i])), SLICE("a=1"),
                                  SLICE("k=v"), false, 1);
        check_texts((const char *const[]){NULL}, NULL);
    }
}

static void what_it_was_started_for_is_passed_on(void **state)
{
    (void)state;
    thread_state.context.is_known = false;
    child_environment_configure(true, SLICE(OTHER), SLICE(""), SLICE(""), SLICE(""));
    trace_context_set_ambient(SLICE(OTHER), SLICE("old=1"), SLICE(""), false, 1);
    check_texts((const char *const[]){"TRACEPARENT=" OTHER, NULL}, NULL);
    check_texts((const char *const[]){NULL},
                (const char *const[]){"TRACEPARENT=" OTHER, "TRACESTATE=old=1", NULL});
    /* Garbage beside it is left out alone. */
    trace_context_set_ambient(SLICE(OTHER), SLICE("old=1,Bad"), SLICE("=,k=v,\""), false, 1);
    check_texts((const char *const[]){NULL},
                (const char *const[]){"TRACEPARENT=" OTHER, "BAGGAGE=k=v", NULL});
    trace_context_set_ambient(SLICE(OTHER), SLICE(""), SLICE(""), true, 1);
    check_texts((const char *const[]){NULL},
                (const char *const[]){"TRACEPARENT=" OTHER, "WIRESPAN_STARTED_FOR=job", NULL});
}

/* A page of pointers and then none: the kernel is to judge. */
static void what_cannot_be_read_is_left(void **state)
{
    (void)state;
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    munmap(pages + 4096, 4096);
    static char entry[] = "A=1";
    char **environment = (char **)(void *)(pages + 4096 - 2 * sizeof(char *));
    environment[0] = entry;
    environment[1] = entry;
    check(environment, NULL);
    environment[1] = NULL;
    check(environment, (const char *const[]){"A=1", OURS, NULL});
    check((char *const *)(uintptr_t)16, NULL);
    /* A short text at a page's end. */
    memcpy(pages + 4096 - 3, "TR", 3);
    environment = (char **)(void *)(pages + 4096 - 8 - 2 * sizeof(char *));
    environment[0] = pages + 4096 - 3;
    environment[1] = NULL;
    check(environment, (const char *const[]){"TR", OURS, NULL});
    munmap(pages, 4096);
}

static void variables_have_a_limit(void **state)
{
    (void)state;
    static char entry[] = "A=1";
    static char *environment[MANY];
    static const char *wanted[MANY];
    for (size_t i = 0; i < LIMIT_CHILD_VARIABLES; i++) {
        environment[i] = entry;
        wanted[i] = entry;
    }
    wanted[LIMIT_CHILD_VARIABLES] = OURS;
    check(environment, wanted);
    environment[LIMIT_CHILD_VARIABLES] = entry;
    check(environment, NULL);
    assert_int_equal(atomic_load(&segment->losses[LOSS_CONTEXT_CUT]), 1);
}

/* An area is its thread's until it says so; the same thread in another process has none. */
static void areas_have_a_limit(void **state)
{
    (void)state;
    static struct thread_state others[LIMIT_CHILD_AREAS + 1];
    for (uint32_t i = 0; i <= LIMIT_CHILD_AREAS; i++) {
        others[i] = thread_state;
        bool is_made = child_environment_make(&others[i], NULL) != NULL;
        assert_int_equal(is_made, i < LIMIT_CHILD_AREAS);
    }
    assert_null(child_environment_make(&others[0], NULL));
    child_environment_give_back(&others[0]);
    assert_non_null(child_environment_make(&others[LIMIT_CHILD_AREAS], NULL));
    for (uint32_t i = 0; i <= LIMIT_CHILD_AREAS; i++) {
        child_environment_give_back(&others[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_is_added, set_up),
        cmocka_unit_test_setup(the_programs_own_stays, set_up),
        cmocka_unit_test_setup(what_was_inherited_gives_way, set_up),
        cmocka_unit_test_setup(a_jobs_program_is_told_so, set_up),
        cmocka_unit_test_setup(without_a_context_nothing_is_done, set_up),
        cmocka_unit_test_setup(what_cannot_be_read_is_left, set_up),
        cmocka_unit_test_setup(variables_have_a_limit, set_up),
        cmocka_unit_test_setup(areas_have_a_limit, set_up),
        cmocka_unit_test_setup(garbage_is_not_what_it_was_started_for, set_up),
        cmocka_unit_test_setup(what_it_was_started_for_is_passed_on, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
