/*
 * What a request's head says of its trace, however bad it is and however it comes: whole, byte by
 * byte, in pieces of any size. By W3C Trace Context (levels 1 and 2) and W3C Baggage.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/attached_segment.h"
#include "app_thread/attachment.h"
#include "app_thread/carried.h"
#include "app_thread/connection.h"
#include "app_thread/observe.h"
#include "app_thread/trace_context.h"
#include "handoff/segment.h"

#define SLOTS 64u

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define VALID  "00-" TRACE "-" PARENT "-01"
#define OTHER  "00-" TRACE "-b7ad6b7169203332-01"
#define FIELD  "traceparent: " VALID "\r\n"

#define TEN(x)     x x x x x x x x x x
#define HUNDRED(x) TEN(TEN(x))
/* More than is kept of a line that comes in pieces. */
#define LONG HUNDRED("xxxxxxxxxxxx")

static struct segment *segment;
static struct segment_reader reader;

static int set_up(void **state)
{
    (void)state;
    free(segment);
    free(attachment);
    segment = attach_segment(SLOTS);
    attachment_reads_traceparent = true;
    attachment_reads_baggage = true;
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = UINT64_MAX / 2;
    return segment_reader_init(&reader, segment, segment_size(SLOTS));
}

static void receive(int fd, const char *bytes, size_t size)
{
    char *exact = malloc(size);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    struct iovec iov = {exact, size};
    struct receipt seen;
    assert_true(observe_receive_begin(&seen, fd));
    observe_receive_end(&seen, &iov, 1, (ssize_t)size, 0);
    free(exact);
}

static void answer(int fd)
{
    char reply[] = "HTTP/1.1 204 No Content\r\n\r\n";
    struct iovec iov = {reply, sizeof(reply) - 1};
    struct observation seen;
    assert_true(observe_send_begin(&seen, fd, &iov, 1));
    observe_send_end(&seen, &iov, 1, (ssize_t)sizeof(reply) - 1, 0);
}

struct outcome {
    bool goes_on; /* in the trace of whoever sent it */
    uint8_t flags;
    char state[LIMIT_TRACESTATE + 1];
    char baggage[LIMIT_BAGGAGE + 1];
};

/* Serves a request with these fields that comes in pieces. False: it was not understood. */
static bool serve(const char *fields, size_t piece, struct outcome *outcome)
{
    static char head[32u << 10];
    const int fd = 30;
    int size = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    assert_true(size > 0 && (size_t)size < sizeof(head));
    memset(outcome, 0, sizeof(*outcome));
    descriptor_made(&thread_state, fd, DESCRIPTOR_ACCEPTED);
    for (size_t at = 0; at < (size_t)size; at += piece) {
        size_t left = (size_t)size - at;
        receive(fd, head + at, piece < left ? piece : left);
    }
    const struct thread_context *context = &thread_state.context;
    if (trace_context_is_current(context) && context->carried != 0) {
        carried_copy_tracestate(context->carried, (uint8_t *)outcome->state, LIMIT_TRACESTATE);
        carried_copy_baggage(context->carried, (uint8_t *)outcome->baggage, LIMIT_BAGGAGE);
    }
    answer(fd);
    descriptor_closing(&thread_state, fd);
    struct record record;
    bool is_there = segment_reader_next(&reader, &record) && record.error == RECORD_OK;
    if (is_there) {
        static const uint8_t trace[16] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                          0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
        outcome->goes_on = record.parent_source == PARENT_REMOTE;
        outcome->flags = record.trace_flags;
        bool is_same = memcmp(record.trace_id, trace, sizeof(trace)) == 0;
        assert_int_equal(is_same, outcome->goes_on);
        static const uint8_t none[8];
        assert_int_equal(memcmp(record.parent_span_id, none, 8) != 0, outcome->goes_on);
    }
    struct record more;
    while (segment_reader_next(&reader, &more)) {
    }
    return is_there;
}

static const size_t pieces[] = {SIZE_MAX / 2, 1, 2, 7, 64, 900, 1500};
#define WAYS (sizeof(pieces) / sizeof(pieces[0]))

static void check(const char *fields, bool goes_on, const char *state, const char *baggage)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct outcome outcome;
        if (!serve(fields, pieces[i], &outcome) || outcome.goes_on != goes_on ||
            strcmp(outcome.state, state) != 0 ||
            (baggage != NULL && strcmp(outcome.baggage, baggage) != 0)) {
            fail_msg("%.300s in pieces of %zu: %s, state %s, baggage %s", fields, pieces[i],
                     outcome.goes_on ? "goes on" : "new", outcome.state, outcome.baggage);
        }
    }
}

static void parents_go_on(void **state)
{
    (void)state;
    static const char *const fields[] = {
        FIELD,
        "TRACEPARENT:" VALID "\r\n",
        "tRaCePaReNt: \t " VALID " \t\r\n",
        "traceparent: " VALID "\r\nx: 1\r\n",
        "traceparent: cc-" TRACE "-" PARENT "-01\r\n",
        "traceparent: cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like\r\n",
        "traceparent: cc-" TRACE "-" PARENT "-01-\r\n",
        "x-traceparent: nonsense\r\n" FIELD,
        "traceparent-x: nonsense\r\n" FIELD,
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        check(fields[i], true, "", "");
    }
}

static void others_begin_anew(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "",
        "traceparent:\r\n",
        "traceparent: \t\r\n",
        "traceparent: 00\r\n",
        "traceparent: 00-" TRACE "-" PARENT "\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-1\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01-\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01-more\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01.\r\n",
        "traceparent: cc-" TRACE "-" PARENT "-01.what\r\n",
        "traceparent: ff-" TRACE "-" PARENT "-01\r\n",
        "traceparent: FF-" TRACE "-" PARENT "-01\r\n",
        "traceparent: CC-" TRACE "-" PARENT "-01\r\n",
        "traceparent: 0-" TRACE "-" PARENT "-01\r\n",
        "traceparent: .0-" TRACE "-" PARENT "-01\r\n",
        "traceparent: 00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01\r\n",
        "traceparent: 00-" TRACE "-B7AD6B7169203331-01\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-0A\r\n",
        "traceparent: 00-00000000000000000000000000000000-" PARENT "-01\r\n",
        "traceparent: 00-" TRACE "-0000000000000000-01\r\n",
        "traceparent: 00-.af7651916cd43dd8448eb211c80319c-" PARENT "-01\r\n",
        "traceparent: 00-" TRACE "0-" PARENT "-01\r\n",
        "traceparent: 00 " TRACE " " PARENT " 01\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01, " VALID "\r\n",
        "traceparent: \"" VALID "\"\r\n",
        "traceparent: " LONG "\r\n",
        "trace-parent: " VALID "\r\n",
        "traceparent: \x80\xff\r\n",
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        check(fields[i], false, "", "");
        /* A state beside it is not looked at. */
        char with_state[4096];
        snprintf(with_state, sizeof(with_state), "tracestate: a=1\r\n%s", fields[i]);
        check(with_state, false, "", "");
    }
}

/* One is there once, whatever the other one says. */
static void two_of_them_are_none(void **state)
{
    (void)state;
    static const char *const others[] = {
        FIELD,
        "traceparent: " OTHER "\r\n",
        "traceparent:\r\n",
        "traceparent: nonsense\r\n",
        "traceparent: ff-" TRACE "-" PARENT "-01\r\n",
        "TraceParent: " LONG "\r\n",
        "traceparent: nonsense\r\ntraceparent: " OTHER "\r\n",
        FIELD FIELD,
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char both[8192];
        snprintf(both, sizeof(both), FIELD "x: 1\r\n%stracestate: a=1\r\n", others[i]);
        check(both, false, "", "");
        snprintf(both, sizeof(both), "%stracestate: a=1\r\n" FIELD, others[i]);
        check(both, false, "", "");
    }
}

static void flags_are_those_that_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t flags;
    } cases[] = {{"00", 0}, {"01", 1}, {"02", 2}, {"03", 3}, {"fe", 2}, {"ff", 3}, {"0c", 0}};
    attachment_sampling_follows_parent = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char field[128];
        struct outcome outcome;
        snprintf(field, sizeof(field), "traceparent: 00-" TRACE "-" PARENT "-%s\r\n",
                 cases[i].text);
        assert_true(serve(field, 10, &outcome));
        assert_true(outcome.goes_on);
        assert_int_equal(outcome.flags, cases[i].flags);
    }
    attachment_sampling_follows_parent = false;
}

static void states_go_along(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        const char *state;
    } cases[] = {
        {FIELD "tracestate: congo=t61rcWkgMzE,rojo=00f067aa0ba902b7\r\n",
         "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
        {"TraceState:a=1\r\n" FIELD "TRACESTATE: \tb=2 ,, c=3,\t\r\n", "a=1,b=2,c=3"},
        {FIELD "tracestate: a=1\r\ntracestate:\r\ntracestate: b=2\r\n", "a=1,b=2"},
        {FIELD "tracestate: a=1,b=2\r\ntracestate: a=3\r\n", "a=1,b=2"},
        {FIELD "tracestate: tenant@sys=1,0a-b_c*d/e=2\r\n", "tenant@sys=1,0a-b_c*d/e=2"},
        {FIELD "tracestate:\r\n", ""},
        {FIELD "tracestate: ,\r\n", ""},
        /* One bad member, and there is none. */
        {FIELD "tracestate: a=1\r\ntracestate: Nonsense!\r\n", ""},
        {FIELD "tracestate: a\r\ntracestate: b=1\r\n", ""},
        {FIELD "tracestate: a=1,A=1\r\n", ""},
        {FIELD "tracestate: a =1\r\n", ""},
        {FIELD "tracestate: a=\r\n", ""},
        {FIELD "tracestate: a=1=2\r\n", ""},
        {FIELD "tracestate: a=\xc3\xa4\r\n", ""},
        {FIELD "tracestate: " TEN("a=1,") TEN("b=1,") TEN("c=1,") "d=1,e=1\r\n",
         "a=1,b=1,c=1,d=1,e=1"},
        {FIELD "tracestate: " TEN("a=1,") TEN("b=1,") TEN("c=1,") "d=1,e=1,f=1\r\n", ""},
        {FIELD "tracestate: " TEN("a=1,")
             TEN("b=1,") "c=1\r\ntracestate: " TEN("d=1,") "e=1,f=1\r\n",
         ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(cases[i].fields, true, cases[i].state, "");
    }
}

/* Whole members, from the left, as many as have room; also where not all of the line is kept. */
static void long_states_lose_members(void **state)
{
    (void)state;
    static char fields[8192];
    static char wanted[LIMIT_TRACESTATE + 1];
    for (unsigned count = 5; count <= 24; count++) {
        int used = snprintf(fields, sizeof(fields), FIELD "tracestate: first=1");
        int kept = snprintf(wanted, sizeof(wanted), "first=1");
        for (unsigned i = 0; i < count; i++) {
            char member[101];
            snprintf(member, sizeof(member), ",k%02u=%.95s", i, LONG);
            used += snprintf(fields + used, sizeof(fields) - (size_t)used, "%s", member);
            if ((size_t)kept + 100 <= LIMIT_TRACESTATE) {
                kept += snprintf(wanted + kept, sizeof(wanted) - (size_t)kept, "%s", member);
            }
        }
        snprintf(fields + used, sizeof(fields) - (size_t)used, "\r\ntracestate: last=1\r\n");
        check(fields, true, wanted, "");
    }
}

static void baggage_goes_along(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool goes_on;
        const char *baggage;
    } cases[] = {
        {FIELD "baggage: k1=v1,k2=v2;p=1;flag\r\n", true, "k1=v1,k2=v2;p=1;flag"},
        /* It needs no trace. */
        {"BAGGAGE: \tk=v \t\r\n", false, "k=v"},
        {"baggage: a=1\r\nBaggage: b=2 , ,c=%20\r\n", false, "a=1,b=2,c=%20"},
        {FIELD "baggage:\r\n", true, ""},
        {FIELD "baggage: ,,;=\r\n", true, ""},
        /* A bad member goes alone. */
        {FIELD "baggage: =1,\"a\"=1,a b=1,c=\\,d=1,e\r\n", true, "d=1"},
        {FIELD "baggage: a=\xc3\xa4,b=1\r\n", true, "b=1"},
        {FIELD FIELD "baggage: b=1\r\n", false, "b=1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(cases[i].fields, cases[i].goes_on, "", cases[i].baggage);
    }
}

/* What would mean two things to two servers is nothing to us; the bytes are not touched anyway. */
static void ambiguous_heads_are_not_read(void **state)
{
    (void)state;
    static const char *const fields[] = {
        FIELD " more\r\n",
        "traceparent:\r\n " VALID "\r\n",
        "x: 1\r\n\ttraceparent: " VALID "\r\n",
        FIELD "tracestate: a=1\r\n ,b=2\r\n",
        "traceparent : " VALID "\r\n",
        " traceparent: " VALID "\r\n",
        "trace\x01parent: " VALID "\r\n",
        "traceparent\r\n",
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (size_t way = 0; way < WAYS; way++) {
            struct outcome outcome;
            if (serve(fields[i], pieces[way], &outcome) && outcome.goes_on) {
                fail_msg("%s in pieces of %zu goes on", fields[i], pieces[way]);
            }
        }
    }
}

static void nothing_is_read_where_it_is_not_wanted(void **state)
{
    (void)state;
    attachment_reads_traceparent = false;
    attachment_reads_baggage = false;
    check(FIELD "tracestate: a=1\r\nbaggage: k=v\r\n", false, "", "");
    attachment_reads_baggage = true;
    check(FIELD "tracestate: a=1\r\nbaggage: k=v\r\n", false, "", "k=v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(parents_go_on, set_up),
        cmocka_unit_test_setup(others_begin_anew, set_up),
        cmocka_unit_test_setup(two_of_them_are_none, set_up),
        cmocka_unit_test_setup(flags_are_those_that_are_known, set_up),
        cmocka_unit_test_setup(states_go_along, set_up),
        cmocka_unit_test_setup(long_states_lose_members, set_up),
        cmocka_unit_test_setup(baggage_goes_along, set_up),
        cmocka_unit_test_setup(ambiguous_heads_are_not_read, set_up),
        cmocka_unit_test_setup(nothing_is_read_where_it_is_not_wanted, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
