/* tracestate and baggage: what is kept of them, by the rules of the W3C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/tracestate.h"

#define FIELDS_MAX 3u

/* The value lies in memory of exactly its size, so that a sanitizer sees a step beyond it. */
static void add(struct tracestate *state, const char *text)
{
    size_t size = strlen(text);
    uint8_t *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, text, size);
    tracestate_add(state, slice_of(exact, size));
    free(exact);
}

static void check(const char *const fields[FIELDS_MAX], const char *wanted)
{
    struct tracestate state;
    tracestate_begin(&state);
    for (size_t i = 0; i < FIELDS_MAX && fields[i] != NULL; i++) {
        add(&state, fields[i]);
    }
    struct slice text = tracestate_end(&state);
    if (text.size != strlen(wanted) || memcmp(text.data, wanted, text.size) != 0) {
        fail_msg("%s: %.*s", fields[0], (int)text.size, (const char *)text.data);
    }
    assert_memory_equal(state.line, "tracestate: ", TRACESTATE_NAME_BYTES);
    assert_memory_equal(text.data + text.size, "\r\n", 2);
}

static void lists_are_read(void **unused)
{
    (void)unused;
    static const struct {
        const char *fields[FIELDS_MAX];
        const char *wanted;
    } cases[] = {
        {{"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
        {{"a=1", "b=2"}, "a=1,b=2"},
        {{"a=1,", ",b=2", "c=3"}, "a=1,b=2,c=3"},
        {{" a=1\t,\t b=2 ,,  , c=3 "}, "a=1,b=2,c=3"},
        {{""}, ""},
        {{" , ,\t"}, ""},
        {{"0a_-*/@b=~ !x"}, "0a_-*/@b=~ !x"},
        {{"tenant@system=x"}, "tenant@system=x"},
        /* of one key the first */
        {{"a=1,b=2,a=3"}, "a=1,b=2"},
        {{"a=1", "a=2"}, "a=1"},
        {{"a=1,ab=2"}, "a=1,ab=2"},
        /* one bad member makes all of it void */
        {{"a"}, ""},
        {{"a="}, ""},
        {{"=1"}, ""},
        {{"a =1"}, ""},
        {{"a= 1"}, "a= 1"},
        {{"A=1"}, ""},
        {{"_a=1"}, ""},
        {{"aB=1"}, ""},
        {{"a=1=2"}, ""},
        {{"a=1,b=\x01"}, ""},
        {{"a=1,b=\x7f"}, ""},
        {{"a=1,b=\xc3\xa4"}, ""},
        {{"a=1", "b", "c=1"}, ""},
        {{"a=x\ty"}, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(cases[i].fields, cases[i].wanted);
    }
}

/* `count` members of `size` bytes each. */
static size_t put_members(char *text, size_t count, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        used += (size_t)sprintf(text + used, "%sk%02zu=", i > 0 ? "," : "", i);
        memset(text + used, 'v', size - 4);
        used += size - 4;
    }
    text[used] = '\0';
    return used;
}

static void members_have_a_limit(void **unused)
{
    (void)unused;
    char text[1024];
    put_members(text, 32, 6);
    check((const char *const[]){text, NULL, NULL}, text);
    put_members(text, 33, 6);
    check((const char *const[]){text, NULL, NULL}, "");
}

static void names_and_values_have_limits(void **unused)
{
    (void)unused;
    char text[1024];
    for (unsigned over = 0; over < 2; over++) {
        sprintf(text, "%.*s=v", 256 + (int)over, (memset(text + 512, 'k', 300), text + 512));
        check((const char *const[]){text, NULL, NULL}, over == 0 ? text : "");
        sprintf(text, "k=%.*s", 256 + (int)over, (memset(text + 512, 'v', 300), text + 512));
        check((const char *const[]){text, NULL, NULL}, over == 0 ? text : "");
    }
}

static void too_long_ones_lose_members(void **unused)
{
    (void)unused;
    struct tracestate state;
    char text[2048];
    /* 8 * 63 + 7: one short of the limit; one more member does not fit. */
    put_members(text, 8, 63);
    assert_int_equal(strlen(text), LIMIT_TRACESTATE - 1);
    tracestate_begin(&state);
    add(&state, text);
    assert_false(state.was_cut);
    add(&state, "z=1");
    assert_true(state.was_cut);
    assert_int_equal(tracestate_end(&state).size, LIMIT_TRACESTATE - 1);
    /* What is to the right of one that was dropped goes, too, although it had room. */
    size_t used = put_members(text, 7, 63);
    check((const char *const[]){text, text, NULL}, text);
    memcpy(text + used, ",z=", 3);
    memset(text + used + 3, 'v', 100);
    strcpy(text + used + 103, ",y=1");
    tracestate_begin(&state);
    add(&state, text);
    assert_int_equal(tracestate_end(&state).size, used);
    assert_true(state.was_cut);
    /* Long ones go first, wherever they are. */
    char longer[600] = "a=1,long=";
    memset(longer + 9, 'v', 200);
    strcpy(longer + 209, ",b=2,c=");
    memset(longer + 216, 'v', 120);
    char wanted[1024];
    used = put_members(text, 3, 63);
    memcpy(wanted, "a=1,", 4);
    memcpy(wanted + 4, longer + 210, 126);
    wanted[130] = ',';
    memcpy(wanted + 131, text, used + 1);
    check((const char *const[]){longer, text, NULL}, wanted);
    /* Not where all have room. */
    memcpy(wanted, longer, strlen(longer));
    memcpy(wanted + strlen(longer), ",d=4", 5);
    check((const char *const[]){longer, "d=4", NULL}, wanted);
}

static void whole_members_are_shown(void **unused)
{
    (void)unused;
    struct slice text = SLICE("a=1,b=2,c=3");
    assert_int_equal(tracestate_cut(text, 11).size, 11);
    assert_int_equal(tracestate_cut(text, 10).size, 7);
    assert_int_equal(tracestate_cut(text, 7).size, 7);
    assert_int_equal(tracestate_cut(text, 6).size, 3);
    assert_int_equal(tracestate_cut(text, 2).size, 0);
    assert_int_equal(tracestate_cut(text, 0).size, 0);
}

static void baggage_is_taken_apart(void **unused)
{
    (void)unused;
    static const struct {
        const char *value;
        const char *wanted; /* its members, each with a line's end */
    } cases[] = {
        {"k1=v1,k2=v2", "k1=v1\nk2=v2\n"},
        {" k1 = v1 ; p=1;flag , k2=v%202\t", "k1 = v1 ; p=1;flag\nk2=v%202\n"},
        {"k=", "k=\n"},
        {"k=a=b", "k=a=b\n"},
        {"", ""},
        {",, ,", ""},
        {"k=1,k=2", "k=1\nk=2\n"},
        /* what is malformed is left out alone */
        {"novalue,k=1", "k=1\n"},
        {"=1,k=1", "k=1\n"},
        {"a b=1,k=1", "k=1\n"},
        {"k=\"v\",x=1", "x=1\n"},
        {"k=v\\,x=1", "x=1\n"},
        {"k=\x01,x=1", "x=1\n"},
        {"k=\xc3\xa4,x=1", "x=1\n"},
        {"k\xff=1,!#$%&'*+-.^_`|~Az9=1", "!#$%&'*+-.^_`|~Az9=1\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char got[256] = "";
        struct slice value = slice_of(cases[i].value, strlen(cases[i].value));
        struct slice member;
        while (baggage_next(&value, &member)) {
            sprintf(got + strlen(got), "%.*s\n", (int)member.size, (const char *)member.data);
        }
        assert_string_equal(got, cases[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(members_have_a_limit),
        cmocka_unit_test(names_and_values_have_limits),
        cmocka_unit_test(too_long_ones_lose_members),
        cmocka_unit_test(whole_members_are_shown),
        cmocka_unit_test(baggage_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
