#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/redis_command.h"
#include "wire/redis_table.h"

#define BLOCKING REDIS_TABLE_BLOCKING
#define SCRIPT   REDIS_TABLE_SCRIPT
#define PATTERN  REDIS_TABLE_PATTERN
#define SHARD    REDIS_TABLE_SHARD

static const struct {
    const char *name;
    uint8_t effect;
    uint8_t flags;
    const char *pattern;
} commands[] = {
#define COMMAND(the_name, the_effect, the_flags, the_pattern)                                      \
    {(the_name), REDIS_##the_effect, (the_flags), (the_pattern)},
#include "wire/redis_commands.def"
#undef COMMAND
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static struct slice slice_of_string(const char *text)
{
    return slice_of(text, strlen(text));
}

static void assert_text(const struct redis_command *command, const char *text)
{
    assert_int_equal(command->text_used, strlen(text));
    assert_memory_equal(command->text, text, command->text_used);
}

static void take_words(struct redis_command *command, const char *const *words)
{
    struct slice arguments[16];
    uint32_t count = 0;
    while (words[count] != NULL) {
        arguments[count] = slice_of_string(words[count]);
        count++;
    }
    redis_command_take(command, arguments, count);
}

/* A command in the table is told by its effect, its flags, or what its pattern shows. */
static void assert_found(struct slice name, size_t i)
{
    struct redis_command command;
    struct slice arguments[] = {name, SLICE("1"), SLICE("1")};
    redis_command_take(&command, arguments, 3);
    char first = commands[i].pattern[0];
    assert_int_equal(command.effect, commands[i].effect);
    assert_int_equal(command.blocking, (commands[i].flags & BLOCKING) != 0);
    assert_int_equal(command.has_script, (commands[i].flags & SCRIPT) != 0);
    assert_int_equal(command.pubsub_pattern, (commands[i].flags & PATTERN) != 0);
    assert_int_equal(command.pubsub_shard, (commands[i].flags & SHARD) != 0);
    if (first != '\0' && strchr("kfnN#H", first) != NULL) {
        assert_int_equal(command.text[name.size + 1], '1');
    } else if (first == '\0' || first == '?' || first == 'S') {
        assert_int_equal(command.text[name.size + 1], '?');
    }
}

static void every_command_is_found_in_any_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMANDS; i++) {
        size_t size = strlen(commands[i].name);
        char mixed[REDIS_TABLE_NAME_BYTES];
        assert_true(size <= sizeof mixed);
        for (size_t at = 0; at < size; at++) {
            uint8_t byte = (uint8_t)commands[i].name[at];
            mixed[at] = (char)(at % 2 == 0 ? ascii_lower(byte) : byte);
        }
        assert_found(slice_of_string(commands[i].name), i);
        assert_found(slice_of(mixed, size), i);
    }
}

/* One byte more, less, or another one: the name is unknown, but for names that are others' too. */
static void near_names_are_not_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COMMANDS; i++) {
        size_t size = strlen(commands[i].name);
        char near[REDIS_TABLE_NAME_BYTES + 1];
        for (size_t at = 0; at < size; at++) {
            struct redis_command command;
            memcpy(near, commands[i].name, size);
            near[at] = '#';
            struct slice arguments[] = {slice_of(near, size), SLICE("1")};
            redis_command_take(&command, arguments, 2);
            assert_int_equal(command.effect, REDIS_PLAIN);
            assert_int_equal(command.text[size + 1], '?');
        }
        memcpy(near, commands[i].name, size);
        near[size] = '#';
        struct redis_command command;
        struct slice arguments[] = {slice_of(near, size + 1), SLICE("1")};
        redis_command_take(&command, arguments, 2);
        assert_int_equal(command.effect, REDIS_PLAIN);
        assert_false(command.blocking);
        assert_int_equal(command.text[command.text_used - 1], '?');
    }
}

static void a_script_up_to_the_limit_has_a_name(void **state)
{
    (void)state;
    uint8_t *body = malloc(LIMIT_SCRIPT_BYTES + 1);
    assert_non_null(body);
    memset(body, 'a', LIMIT_SCRIPT_BYTES + 1);
    for (size_t extra = 0; extra <= 1; extra++) {
        struct redis_command command;
        struct slice script = slice_of(body, LIMIT_SCRIPT_BYTES + extra);
        struct slice arguments[] = {SLICE("EVAL"), script, SLICE("0")};
        redis_command_take(&command, arguments, 3);
        assert_int_equal(command.script_used, extra == 0 ? 40 : 0);
        assert_text(&command, "EVAL ? 0");
        /* In pieces as well. */
        redis_command_init(&command);
        redis_command_argument(&command, 0, arguments[0], 4, true);
        for (uint64_t size = script.size; script.size > 0;) {
            struct slice piece = slice_take(&script, script.size < 1000 ? script.size : 1000);
            redis_command_argument(&command, 1, piece, size, script.size == 0);
        }
        redis_command_argument(&command, 2, arguments[2], 1, true);
        redis_command_finish(&command);
        assert_int_equal(command.script_used, extra == 0 ? 40 : 0);
    }
    free(body);
}

/* All that is known of a command in the middle of its arguments can be copied and copied back. */
static void a_copy_is_a_checkpoint(void **state)
{
    (void)state;
    struct redis_command command;
    redis_command_init(&command);
    redis_command_argument(&command, 0, SLICE("GET"), 3, true);
    redis_command_argument(&command, 1, SLICE("a\xe2\x82"), 10, false);
    struct redis_command checkpoint = command;
    redis_command_argument(&command, 1, SLICE("zzzzzzz"), 10, true);
    redis_command_finish(&command);
    command = checkpoint;
    redis_command_argument(&command, 1, SLICE("\xac:12345"), 10, true);
    redis_command_finish(&command);
    assert_text(&command, "GET a\xe2\x82\xac:12345");
}

static void patterns_end_where_they_should(void **state)
{
    (void)state;
    static const char *const cases[][12] = {
        {"ZINTERSTORE d 1 a WEIGHTS ? AGGREGATE ?", "ZINTERSTORE", "d", "1", "a", "WEIGHTS", "2",
         "AGGREGATE", "x"},
        {"CLUSTER SETSLOT 5 STABLE ?", "CLUSTER", "SETSLOT", "5", "STABLE", "x"},
        {"XGROUP CREATE s g $ ENTRIESREAD ? MKSTREAM ?", "XGROUP", "CREATE", "s", "g", "$",
         "ENTRIESREAD", "5", "MKSTREAM", "x"},
        {"XREADGROUP ? ? ?", "XREADGROUP", "COUNT", "5", "GROUP"},
        {"CLIENT ? ?", "CLIENT", "SETNAME|REPLY", "x"},
        {"CLIENT ? ?", "CLIENT", "", "x"},
        {"CLIENT ?", "CLIENT", "SETNAME f"},
        {"SET k ? ?", "SET", "k", "v", "EX ?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_command command;
        take_words(&command, &cases[i][1]);
        assert_text(&command, cases[i][0]);
    }
}

static void the_prefix_of_an_error(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"ERR unknown command", "ERR"},
        {"WRONGTYPE Operation", "WRONGTYPE"},
        {"EXECABORT", "EXECABORT"},
        {"A_1 x", "A_1"},
        {"MOVED 3999 127.0.0.1:6381", "MOVED"},
        {"", "ERR"},
        {" ERR", "ERR"},
        {"1ERR x", "ERR"},
        {"_A x", "ERR"},
        {"Wrong type", "ERR"},
        {"NOSCRIPTs x", "ERR"},
        {"user_script:1: secret", "ERR"},
        {"ERR: x", "ERR"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice prefix = redis_error_prefix(slice_of_string(cases[i][0]));
        assert_true(slice_equals(prefix, slice_of_string(cases[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_found_in_any_case),
        cmocka_unit_test(near_names_are_not_found),
        cmocka_unit_test(a_script_up_to_the_limit_has_a_name),
        cmocka_unit_test(a_copy_is_a_checkpoint),
        cmocka_unit_test(patterns_end_where_they_should),
        cmocka_unit_test(the_prefix_of_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
