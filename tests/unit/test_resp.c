#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/resp.h"

static struct slice slice_of_string(const char *text)
{
    return slice_of(text, strlen(text));
}

static void a_whole_command_is_taken_at_once(void **state)
{
    (void)state;
    struct resp parser;
    struct slice arguments[RESP_WHOLE_ARGUMENTS];
    struct slice in = slice_of_string("*2\r\n$3\r\nGET\r\n$12\r\nkey:00000001\r\n*1\r\n");
    resp_init(&parser, RESP_COMMANDS);
    assert_int_equal(resp_take_command(&parser, &in, arguments), 2);
    assert_true(slice_equals(arguments[0], SLICE("GET")));
    assert_true(slice_equals(arguments[1], SLICE("key:00000001")));
    assert_true(slice_equals(in, SLICE("*1\r\n")));
    assert_true(resp_is_idle(&parser));
}

static void what_is_not_whole_is_not_taken(void **state)
{
    (void)state;
    static const char *const inputs[] = {
        "",
        "*",
        "*2\r\n$3\r\nGET\r\n$1\r\na\r",
        "*2\r\n$3\r\nGET\r\n",
        "*0\r\n",
        "*-1\r\n",
        "PING\r\n",
        "*1\r\n$4\r\nPINGxx",
        "*1\r\n:1\r\n",
        /* One argument too many. */
        "*9\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$"
        "1\r\na\r\n"
        "$1\r\na\r\n",
    };
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        struct resp parser;
        struct slice arguments[RESP_WHOLE_ARGUMENTS];
        struct slice in = slice_of_string(inputs[i]);
        resp_init(&parser, RESP_COMMANDS);
        assert_int_equal(resp_take_command(&parser, &in, arguments), 0);
        assert_int_equal(in.size, strlen(inputs[i]));
        assert_true(resp_is_idle(&parser));
    }
}

static void shortcuts_need_an_idle_parser_of_their_kind(void **state)
{
    (void)state;
    struct resp parser;
    struct resp_item item;
    struct slice arguments[RESP_WHOLE_ARGUMENTS];
    struct slice in = slice_of_string("*2\r\n$3\r\nGET\r\n");
    struct slice command = slice_of_string("*1\r\n$4\r\nPING\r\n");
    struct slice reply = slice_of_string("+OK\r\n");
    resp_init(&parser, RESP_COMMANDS);
    assert_false(resp_take_scalar(&parser, &reply, &item));
    while (resp_next(&parser, &in, &item) != RESP_NEED_MORE) {
    }
    assert_int_equal(resp_take_command(&parser, &command, arguments), 0);
    resp_init(&parser, RESP_REPLIES);
    assert_int_equal(resp_take_command(&parser, &command, arguments), 0);
    in = slice_of_string("*1\r\n");
    while (resp_next(&parser, &in, &item) != RESP_NEED_MORE) {
    }
    assert_false(resp_take_scalar(&parser, &reply, &item));
    assert_int_equal(resp_next(&parser, &reply, &item), RESP_ITEM);
    assert_int_equal(item.depth, 1);
}

static void scalars_are_taken_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        uint8_t type;
        int64_t number;
        const char *bytes;
    } cases[] = {
        {"+OK\r\n", '+', 0, "OK"},         {"+\r\n", '+', 0, ""},
        {"-ERR no\r\n", '-', 0, "ERR no"}, {":12\r\n", ':', 12, "12"},
        {"$0\r\n\r\n", '$', 0, ""},        {"$11\r\nhello world\r\n", '$', 11, "hello world"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resp parser;
        struct resp_item item;
        struct slice in = slice_of_string(cases[i].input);
        resp_init(&parser, RESP_REPLIES);
        memset(&item, 0xA5, sizeof item);
        assert_true(resp_take_scalar(&parser, &in, &item));
        assert_int_equal(in.size, 0);
        assert_int_equal(item.type, cases[i].type);
        assert_int_equal(item.number, cases[i].number);
        assert_int_equal(item.depth, 0);
        assert_int_equal(item.index, 0);
        assert_true(item.first && item.last && !item.null && !item.cut);
        assert_true(slice_equals(item.bytes, slice_of_string(cases[i].bytes)));
        assert_true(resp_is_idle(&parser));
    }
}

/* The first byte of a command is the caller's last position but for an asterisk that came alone. */
static void a_held_byte_is_told(void **state)
{
    (void)state;
    struct resp parser;
    struct resp_item item;
    struct slice in = slice_of_string("*");
    resp_init(&parser, RESP_COMMANDS);
    assert_int_equal(resp_next(&parser, &in, &item), RESP_NEED_MORE);
    assert_false(resp_is_idle(&parser));
    in = slice_of_string("1\r\n$4\r\nPING\r\n*1\r\n");
    assert_int_equal(resp_next(&parser, &in, &item), RESP_BEGIN);
    assert_int_equal(resp_held_bytes(&parser), 1);
    while (resp_next(&parser, &in, &item) != RESP_END) {
    }
    assert_int_equal(in.size, 4);
    assert_int_equal(resp_next(&parser, &in, &item), RESP_BEGIN);
    assert_int_equal(resp_held_bytes(&parser), 0);
    assert_int_equal(in.size, 4);
}

static void a_copy_is_a_checkpoint(void **state)
{
    (void)state;
    struct resp parser;
    struct resp_item item;
    struct slice in = slice_of_string("*2\r\n$5\r\nhe");
    resp_init(&parser, RESP_REPLIES);
    while (resp_next(&parser, &in, &item) != RESP_NEED_MORE) {
    }
    struct resp checkpoint = parser;
    in = slice_of_string("xxxxxx");
    while (resp_next(&parser, &in, &item) != RESP_LOST) {
    }
    parser = checkpoint;
    in = slice_of_string("llo\r\n:1\r\n");
    assert_int_equal(resp_next(&parser, &in, &item), RESP_ITEM);
    assert_true(slice_equals(item.bytes, SLICE("llo")));
    assert_false(item.first);
    assert_true(item.last);
    assert_int_equal(resp_next(&parser, &in, &item), RESP_ITEM);
    assert_int_equal(item.index, 1);
    assert_int_equal(resp_next(&parser, &in, &item), RESP_END);
    assert_true(resp_is_idle(&parser));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_command_is_taken_at_once),
        cmocka_unit_test(what_is_not_whole_is_not_taken),
        cmocka_unit_test(shortcuts_need_an_idle_parser_of_their_kind),
        cmocka_unit_test(scalars_are_taken_at_once),
        cmocka_unit_test(a_held_byte_is_told),
        cmocka_unit_test(a_copy_is_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
