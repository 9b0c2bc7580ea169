/* Rule files: every kind of mistake has its line and reason, and what is right matches. */
#include "rules/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rules/match.h"
#include "rules/time.h"
#include "wire/redis_command.h"

#define QUEUE "queue q\n"
#define CLAIM "on LPOP jobs\n claim\n id from reply\n"

static struct rules rules;

struct mistake {
    const char *text;
    uint32_t line;
    const char *reason; /* a part of it */
};

static const struct mistake mistakes[] = {
    {"on LPOP jobs\n claim\n", 1, "put 'queue NAME' before it"},
    {"identity id\n", 1, "there is no queue yet"},
    {"queue\n", 1, "name is missing"},
    {QUEUE "queue q\n", 2, "a queue of that name already: 'q'"},
    {QUEUE "que z\n", 2, "a line begins with"},
    {QUEUE "identiy id\n", 2, "did you mean 'identity'?"},
    {QUEUE "identity queue\n", 2, "holds 'id' at least"},
    {QUEUE "identity idd\n", 2, "did you mean 'id'?"},
    {QUEUE "jobs forks\n", 2, "did you mean 'fork'?"},
    {QUEUE "jobs\n", 2, "'jobs' needs"},
    {QUEUE "on\n", 2, "command's name is missing"},
    {QUEUE "on LPOPP jobs\n", 2, "no command of Redis is called 'LPOPP'"},
    {QUEUE "on LPOP|EVAL jobs\n", 2, "'EVAL' needs a rule of its own"},
    {QUEUE "on GET|SET|LPOP|RPOP|LPUSH|RPUSH|ZADD jobs\n", 2, "6 commands at most"},
    {QUEUE "on LPOP job:{id\n", 2, "has no '}'"},
    {QUEUE "on LPOP job:id}\n", 2, "has no '{'"},
    {QUEUE "on LPOP job:{idd}\n", 2, "did you mean 'id'?"},
    {QUEUE "on LPOP {queue}{id}\n", 2, "two captures follow each other"},
    {QUEUE "on EVAL a:(b c\n", 2, "has no ')'"},
    {QUEUE "on EVAL a:()\n", 2, "nothing stands between the parentheses"},
    {QUEUE "on LPOP jobs\n id from reply\n", 2, "does not say what the command does"},
    {QUEUE "on LPOP jobs\n claim\n submit\n", 4, "this one says 'claim' already"},
    {QUEUE "on LPOP jobs\n clam\n", 3, "did you mean 'claim'?"},
    {QUEUE "on LPOP jobs\n claim\n", 2, "does not tell the job's 'id'"},
    {QUEUE "identity id queue\n" CLAIM, 3, "does not tell the job's 'queue'"},
    {QUEUE "on LPOP jobs\n claim\n id from\n", 4, "where the value stands is missing"},
    {QUEUE "on LPOP jobs\n claim\n id by reply\n", 4, "comes 'from' and a place, or 'is'"},
    {QUEUE "on LPOP jobs\n claim\n id from replay\n", 4, "did you mean 'reply'?"},
    {QUEUE "on LPOP jobs\n claim\n id from argument\n", 4, "a number from 1 to 63"},
    {QUEUE "on LPOP jobs\n claim\n id from argument 0\n", 4, "a number from 1 to 63, not '0'"},
    {QUEUE "on LPOP jobs\n claim\n id from argv 1\n", 4, "'argv' is for scripts"},
    {QUEUE "on LPOP jobs\n claim\n id from field\n", 4, "name of the field is missing"},
    {QUEUE "on LPOP jobs\n claim\n id from reply 1.2.3.4.5\n", 4, "4 levels deep at most"},
    {QUEUE "on LPOP jobs\n claim\n id from reply 0\n", 4, "counted from 1"},
    {QUEUE "on LPOP jobs\n claim\n id from reply msgpack x\n", 4, "'msgpack' needs the number"},
    {QUEUE CLAIM " enqueued from reply as days\n", 5, "ms, s or iso, not as 'days'"},
    {QUEUE CLAIM " enqueued from reply\n", 5, "a time needs its unit"},
    {QUEUE CLAIM " type is\n", 5, "the word behind 'is' is missing"},
    {QUEUE CLAIM " type is a b\n", 5, "nothing belongs behind the end: 'b'"},
    {QUEUE CLAIM " when reply equals 1\n", 5, "goes on with 'is' or 'missing', not with 'equals'"},
    {QUEUE CLAIM " type from reply until ab\n", 5, "'until' needs one character"},
    {QUEUE CLAIM " type from reply json\n", 5, "'json' needs the path"},
    {QUEUE CLAIM " type from reply json a..b\n", 5, "this is no path of at most 8 names"},
    {QUEUE CLAIM " type from reply json a.b.c.d.e.f.g.h.i\n", 5, "no path of at most 8 names"},
    {QUEUE CLAIM " type from reply json a json b\n", 5, "one place has one 'json'"},
    {QUEUE CLAIM " type from reply json a msgpack 1\n", 5, "'msgpack' stands before 'json'"},
    {QUEUE CLAIM " type from reply msgpack 1 json a\n", 5, "in 'argument N' and 'argv N' alone"},
    {QUEUE CLAIM " type from reply zlib\n", 5, "'zlib' is for a 'stack'"},
    {QUEUE CLAIM " type from reply json [-1].a\n", 5, "this is no path of at most 8 names"},
    {QUEUE CLAIM " type from argument -32\n", 5, "a number from 1 to 63, not '-32'"},
    {QUEUE CLAIM " when reply is {idd}\n", 5, "did you mean 'id'?"},
    {QUEUE CLAIM " when reply is \\x0g\n", 5, "comes 'x' and two hexadecimal digits"},
    {QUEUE "on LPOP jobs\\x01\n", 2, "cannot hold the byte"},
    {QUEUE "on HDEL jobs\n ack\n", 2, "needs the 'tag'"},
    {QUEUE CLAIM " keys more\n", 5, "keys stand before everything else"},
    {QUEUE CLAIM " then clam\n", 5, "did you mean 'claim'?"},
    {QUEUE CLAIM " then claim\n type is a\n", 5, "needs an 'id' of its own"},
    {QUEUE "on LPOP jobs\n cl\x01im\n", 3, "a control character"},
    {QUEUE CLAIM " type is \"a b\n", 5, "begins with a '\"' and does not end with one: 'a b'"},
    {QUEUE CLAIM " attempt is first\n", 5, "told as a number, not as 'first'"},
    {QUEUE "jobs unique\n", 1, "there is no rule for the queue 'q'"},
    {QUEUE "queue r\n" CLAIM, 1, "there is no rule for the queue 'q'"},
    {QUEUE CLAIM CLAIM, 5, "never reached: the one in line 2 fits all"},
    {QUEUE "on GET|SET {id}\n claim\n when reply\non GET {id}:x\n claim\n", 5, "never reached"},
    {QUEUE "on EVAL\n claim\n id from reply\non EVAL {id}:x\n claim\n", 5, "never reached"},
};

static void each_mistake_has_its_line_and_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct rules_error error = {0};
        const struct mistake *mistake = &mistakes[i];
        rules_init(&rules);
        bool is_right =
            rules_parse(&rules, 0, slice_of(mistake->text, strlen(mistake->text)), &error);
        if (is_right || error.line != mistake->line ||
            strstr(error.text, mistake->reason) == NULL) {
            fail_msg("%s\ngave line %u: %s", mistake->text, error.line,
                     is_right ? "nothing wrong" : error.text);
        }
    }
}

/* Rules that go before others and leave something to them. */
static void narrower_rules_go_first(void **state)
{
    static const char *const texts[] = {
        QUEUE "on GET {id}:x\n claim\non GET {id}\n claim\n",
        QUEUE "on GET {id}\n when argument 1 is a\n claim\non GET {id}\n claim\n",
        QUEUE "on GET {id}\n claim\non GET|SET {id}\n claim\n",
        QUEUE "on EVAL {id}:x {id}:y\n claim\non EVAL {id}:x\n claim\n",
        QUEUE "on LMOVE {id} b\n claim\non LMOVE {id}\n claim\n",
        QUEUE CLAIM " type is \"a b\" # \"\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct rules_error error = {0};
        rules_init(&rules);
        if (!rules_parse(&rules, 0, slice_of(texts[i], strlen(texts[i])), &error)) {
            fail_msg("%s\ngave line %u: %s", texts[i], error.line, error.text);
        }
    }
}

static void compile(const char *text)
{
    struct rules_error error = {0};
    rules_init(&rules);
    if (!rules_parse(&rules, 0, slice_of(text, strlen(text)), &error) ||
        !rules_finish(&rules, &error)) {
        fail_msg("line %u: %s", error.line, error.text);
    }
}

/* Shows the words of a command to the rules; true if one fits. `capture` is then ready for an
   answer. */
static bool match(struct rule_capture *capture, const char *const *words, bool byte_by_byte)
{
    uint32_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    uint8_t list = rules_list_of(&rules, redis_command_entry(slice_of(words[0], strlen(words[0]))));
    if (list == 0) {
        return false;
    }
    rules_begin(&rules, capture, list, count);
    for (uint32_t i = 1; i < count; i++) {
        size_t size = strlen(words[i]);
        for (size_t at = 0; byte_by_byte && at + 1 < size; at++) {
            if (!rules_argument(&rules, capture, i, slice_of(words[i] + at, 1), false)) {
                return false;
            }
        }
        struct slice rest =
            byte_by_byte && size > 0 ? slice_of(words[i] + size - 1, 1) : slice_of(words[i], size);
        if (!rules_argument(&rules, capture, i, rest, true)) {
            return false;
        }
    }
    return rules_choose(&rules, capture);
}

static void assert_fact(const struct rule_facts *facts, enum rule_variable variable,
                        const char *wanted)
{
    struct slice value = facts->values[variable];
    assert_int_equal(value.size, strlen(wanted));
    assert_memory_equal(value.data, wanted, value.size);
}

static void takes_keys_fields_and_arguments(void **state)
{
    (void)state;
    static const char text[] = "queue q\n"
                               "identity prefix queue id\n"
                               "on HSET {prefix}:{queue}:job:{id}  # comment\n"
                               "  when field status is done|finished\n"
                               "  complete\n"
                               "  type from field kind\n"
                               "  worker is \"the one\"\n";
    compile(text);
    for (int pieces = 0; pieces < 2; pieces++) {
        struct rule_capture capture;
        struct rule_facts facts;
        const char *const words[] = {"hset", "a:b:mail:job:7", "kind",     "resize", "status",
                                     "done", "other",          "status\n", NULL};
        assert_true(match(&capture, words, pieces != 0));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_fact(&facts, RULE_PREFIX, "a:b");
        assert_fact(&facts, RULE_QUEUE, "mail");
        assert_fact(&facts, RULE_ID, "7");
        assert_fact(&facts, RULE_TYPE, "resize");
        assert_fact(&facts, RULE_WORKER, "the one");

        const char *const other_status[] = {"HSET", "a:mail:job:7", "status", "new", NULL};
        assert_false(match(&capture, other_status, pieces != 0));
        const char *const other_key[] = {"HSET", "a:mail:jobs:7", "status", "done", NULL};
        assert_false(match(&capture, other_key, pieces != 0));
        const char *const other_command[] = {"HGET", "a:mail:job:7", "status", NULL};
        assert_false(match(&capture, other_command, pieces != 0));
    }
}

static void show_answer(struct rule_capture *capture, const char *answer)
{
    struct resp parser;
    struct resp_item item;
    struct slice in = slice_of(answer, strlen(answer));
    resp_init(&parser, RESP_REPLIES);
    for (;;) {
        enum resp_event event = resp_next(&parser, &in, &item);
        if (event == RESP_ITEM) {
            rules_reply_item(&rules, capture, &item);
        } else if (event != RESP_BEGIN) {
            assert_int_equal(event, RESP_END);
            return;
        }
    }
}

static void takes_scripts_and_their_answers(void **state)
{
    (void)state;
    static const char text[] = "queue q\n"
                               "identity queue id\n"
                               "on EVALSHA|EVAL {queue}:(wait active {id})\n"
                               "  complete\n"
                               "  error from argv 2 msgpack 3\n"
                               "  then claim\n"
                               "  when reply 2 is not 0\n"
                               "  id from reply 2\n"
                               "  type from reply 1 field name\n"
                               "  attempt from reply 1 field ats\n";
    compile(text);
    struct rule_capture capture;
    struct rule_facts facts;
    const char *const words[] = {"evalsha",
                                 "abc",
                                 "3",
                                 "mail:wait",
                                 "mail:active",
                                 "mail:7",
                                 "x",
                                 "\x93\xc0\x01\xa4"
                                 "boom",
                                 NULL};
    assert_true(match(&capture, words, false));
    show_answer(&capture, "*2\r\n*4\r\n$4\r\nname\r\n$6\r\nresize\r\n$3\r\nats\r\n$1\r\n2\r\n"
                          "$1\r\n8\r\n");
    assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
    assert_fact(&facts, RULE_ID, "7");
    assert_fact(&facts, RULE_ERROR, "boom");
    assert_true(rules_facts(&rules, &capture, (uint16_t)(capture.rule + 1), &facts));
    assert_fact(&facts, RULE_ID, "8");
    assert_fact(&facts, RULE_QUEUE, "mail");
    assert_fact(&facts, RULE_TYPE, "resize");
    assert_fact(&facts, RULE_ATTEMPT, "2");

    assert_true(match(&capture, words, true));
    show_answer(&capture, "*2\r\n:0\r\n:0\r\n");
    assert_false(rules_facts(&rules, &capture, (uint16_t)(capture.rule + 1), &facts));

    const char *const two_keys[] = {"evalsha", "abc", "2", "mail:wait", "mail:active", "7", NULL};
    assert_false(match(&capture, two_keys, false));
    const char *const two_queues[] = {"evalsha",     "abc",    "3", "mail:wait",
                                      "post:active", "mail:7", NULL};
    assert_false(match(&capture, two_queues, false));
}

static void json_of_a_pair(void **state)
{
    (void)state;
    compile("queue q\n"
            "on EVALSHA q:a\n"
            "  claim\n"
            "  id from reply 2\n"
            "  enqueued from reply 1 field at as ms\n"
            "  delay from reply 1 field opts json delay\n");
    struct rule_capture capture;
    struct rule_facts facts;
    const char *const words[] = {"EVALSHA", "abc", "1", "q:a", NULL};
    assert_true(match(&capture, words, false));
    show_answer(
        &capture,
        "*2\r\n*4\r\n$2\r\nat\r\n$1\r\n5\r\n$4\r\nopts\r\n$12\r\n{\"delay\":80}\r\n$1\r\n7\r\n");
    assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
    assert_fact(&facts, RULE_ID, "7");
    assert_fact(&facts, RULE_DELAY, "80");
}

static void show_answer_in_pieces(struct rule_capture *capture, const char *answer, size_t piece)
{
    struct resp parser;
    struct resp_item item;
    size_t size = strlen(answer);
    resp_init(&parser, RESP_REPLIES);
    for (size_t at = 0; at < size; at += piece) {
        struct slice in = slice_of(answer + at, size - at < piece ? size - at : piece);
        enum resp_event event;
        while ((event = resp_next(&parser, &in, &item)) != RESP_NEED_MORE && event != RESP_END) {
            assert_int_not_equal(event, RESP_LOST);
            if (event == RESP_ITEM) {
                rules_reply_item(&rules, capture, &item);
            }
        }
    }
}

#define JSON_TEXT                                                                                  \
    "{\"payload\":{\"id\":\"no\",\"x\":[1,{\"id\":2}]},\"job\":{\"type\":\"a\\u00e9b\","           \
    "\"n\":-1.5e3,\"yes\":true,\"none\":null,\"id\":\"7\"},\"id\":\"88\"}"

/* JSON in arguments and answers, in whatever pieces; what is wanted whole beside it, too. */
static void reads_json(void **state)
{
    (void)state;
    compile("queue q\n"
            "on LPUSH jobs\n"
            "  when argument 2 json job.yes is true\n"
            "  submit\n"
            "  id from argument 2 json job.id\n"
            "  type from argument 2 json job.type\n"
            "  priority from argument 2 json job.n\n"
            "  error from argument -1\n"
            "  worker from argument 2 json job.none\n"
            "on LPUSH other\n"
            "  submit\n"
            "  id from argument 2\n"
            "on BLPOP {queue}\n"
            "  when reply 2 json id is {*}8\n"
            "  claim\n"
            "  id from reply 2 json job.id\n"
            "  type from reply 2 json job.type\n"
            "  error from reply 2\n"
            "on HSET job:{id}\n"
            "  progress\n"
            "  type from field a json job.type\n"
            "  worker from field a\n"
            "  error from argument 3\n");
    struct rule_capture capture;
    struct rule_facts facts;
    for (int pieces = 0; pieces < 2; pieces++) {
        const char *const push[] = {"LPUSH", "jobs", JSON_TEXT, NULL};
        assert_true(match(&capture, push, pieces != 0));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_fact(&facts, RULE_ID, "7");
        assert_fact(&facts, RULE_TYPE, "a\303\251b");
        assert_fact(&facts, RULE_PRIORITY, "-1.5e3");
        assert_fact(&facts, RULE_ERROR, JSON_TEXT);
        assert_null(facts.values[RULE_WORKER].data);
        const char *const other[] = {"LPUSH", "other", "{not", NULL};
        assert_true(match(&capture, other, pieces != 0));
        const char *const none[] = {"LPUSH", "jobs", "{\"job\":{\"id\":1}}", NULL};
        assert_false(match(&capture, none, pieces != 0));

        const char *const set[] = {"HSET", "job:1", "a", JSON_TEXT, NULL};
        assert_true(match(&capture, set, pieces != 0));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_fact(&facts, RULE_TYPE, "a\303\251b");
        assert_fact(&facts, RULE_WORKER, JSON_TEXT);
        assert_fact(&facts, RULE_ERROR, JSON_TEXT);
    }
    static const char answer[] = "*2\r\n$4\r\nlist\r\n$119\r\n" JSON_TEXT "\r\n";
    for (size_t piece = 1; piece <= sizeof answer; piece++) {
        const char *const pop[] = {"BLPOP", "list", "0", NULL};
        assert_true(match(&capture, pop, false));
        show_answer_in_pieces(&capture, answer, piece);
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_fact(&facts, RULE_ID, "7");
        assert_fact(&facts, RULE_TYPE, "a\303\251b");
        assert_fact(&facts, RULE_ERROR, JSON_TEXT);
        assert_fact(&facts, RULE_QUEUE, "list");
    }
    const char *const pop[] = {"BLPOP", "list", "0", NULL};
    assert_true(match(&capture, pop, false));
    show_answer(&capture, "*2\r\n$4\r\nlist\r\n$14\r\n{\"id\":\"88\",\"jo\r\n");
    assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
    assert_null(facts.values[RULE_ID].data);
    assert_true(match(&capture, pop, false));
    show_answer(&capture, "*2\r\n$4\r\nlist\r\n$9\r\n{\"id\":\"88\r\n");
    assert_false(rules_facts(&rules, &capture, capture.rule, &facts));
    assert_true(match(&capture, pop, false));
    show_answer(&capture, "*-1\r\n");
    assert_false(rules_facts(&rules, &capture, capture.rule, &facts));
}

/* What a script's argument holds: an array of msgpack, of which an element is JSON. The last
   element of an array, the end of what is too long, the first line's beginning. */
static void reads_json_in_msgpack(void **state)
{
    (void)state;
    compile("queue q\n"
            "on EVALSHA q:{id}\n"
            "  fail\n"
            "  error_type from argv 1 msgpack 4 json [-1] until \":\"\n"
            "  stack from argv 1 msgpack 4 json [-1]\n"
            "on SET q:{id}\n"
            "  fail\n"
            "  error_type from argument 2 json [] until \":\"\n"
            "  stack from argument 2 json [] tail\n");
    struct rule_capture capture;
    struct rule_facts facts;
    const char *const words[] = {"EVALSHA",
                                 "abc",
                                 "1",
                                 "q:7",
                                 "\x94\xa6reason\xd9\x04oops\xcd\x01\x02\xd9\x1d"
                                 "[\"One: x\\n at a\",\"Two\\n at b\"]",
                                 NULL};
    for (int pieces = 0; pieces < 2; pieces++) {
        assert_true(match(&capture, words, pieces != 0));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_fact(&facts, RULE_ERROR_TYPE, "Two");
        assert_fact(&facts, RULE_STACK, "Two\n at b");
    }
    static const char *const others[] = {"\x94\x01\x02\x03\x04", "\x93\x01\x02\x03", "x",
                                         "\x94\x01\x02\x03\xa9[\"a", "\x94\xc1\x02\x03\xa5[\"a\"]"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const char *const other[] = {"EVALSHA", "abc", "1", "q:7", others[i], NULL};
        assert_true(match(&capture, other, false));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_null(facts.values[RULE_STACK].data);
    }
    static char long_value[3 * LIMIT_RULE_STACK];
    memset(long_value, 'v', sizeof long_value - 1);
    memcpy(long_value, "[\"", 2);
    memcpy(long_value + sizeof long_value - 7, "\\nend\"", 7);
    long_value[sizeof long_value - 1] = ']';
    char text[sizeof long_value + 1] = {0};
    memcpy(text, long_value, sizeof long_value);
    for (int pieces = 0; pieces < 2; pieces++) {
        const char *const set[] = {"SET", "q:7", text, NULL};
        assert_true(match(&capture, set, pieces != 0));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_int_equal(facts.values[RULE_STACK].size, LIMIT_RULE_STACK);
        assert_memory_equal(facts.values[RULE_STACK].data + LIMIT_RULE_STACK - 5, "v\nend", 5);
    }
}

/* A script has its queue's name in each of its keys, however long that is. */
static void long_names_of_queues(void **state)
{
    (void)state;
    compile("queue q\n"
            "identity queue id\n"
            "on EVALSHA {queue}:(a b c d e f g {id} h i j k l m)\n"
            "  complete\n"
            "  error from argv 1\n"
            "on EVALSHA {queue}:(a b c d e f g h {id} i j k l m)\n"
            "  fail\n");
    static const char *const ends[] = {"a", "b", "c", "d", "e", "f", "g",
                                       "7", "h", "i", "j", "k", "l", "m"};
    static char keys[14][LIMIT_RULE_VALUE + 1];
    struct rule_capture capture;
    struct rule_facts facts;
    for (uint32_t size = 1; size + 2 <= LIMIT_RULE_VALUE; size++) {
        const char *words[19] = {"EVALSHA", "abc", "14"};
        for (uint32_t i = 0; i < 14; i++) {
            memset(keys[i], 'n', size);
            strcpy(keys[i] + size, ":");
            strcpy(keys[i] + size + 1, ends[i]);
            words[3 + i] = keys[i];
        }
        words[17] = "oops";
        assert_true(match(&capture, words, false));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_int_equal(facts.values[RULE_QUEUE].size, size);
        assert_fact(&facts, RULE_ID, "7");
        assert_fact(&facts, RULE_ERROR, "oops");
        for (uint32_t wrong = 1; wrong < 14; wrong++) {
            keys[wrong][0] = 'x';
            assert_false(match(&capture, words, false));
            keys[wrong][0] = 'n';
        }
        strcpy(keys[7] + size + 1, "h");
        strcpy(keys[8] + size + 1, "8");
        assert_true(match(&capture, words, false));
        assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
        assert_fact(&facts, RULE_ID, "8");
    }
}

/* Values beyond their bounds are cut, and more of them than there is room for are left out. */
static void is_bounded(void **state)
{
    (void)state;
    static char long_value[LIMIT_RULE_VALUE + 2];
    memset(long_value, 'v', sizeof long_value - 1);
    compile("queue q\non HSET job:{id}\n complete\n type from field a\n");
    struct rule_capture capture;
    struct rule_facts facts;
    const char *const words[] = {"HSET", "job:1", "a", long_value, NULL};
    assert_true(match(&capture, words, false));
    assert_true(rules_facts(&rules, &capture, capture.rule, &facts));
    assert_int_equal(facts.values[RULE_TYPE].size, LIMIT_RULE_VALUE);
    assert_true(capture.is_cut);
    const char *const long_key[] = {"HSET", long_value, "a", "b", NULL};
    assert_false(match(&capture, long_key, true));
}

static void too_many_are_refused(void **state)
{
    (void)state;
    static char text[LIMIT_RULE_FILE_BYTES];
    struct rules_error error = {0};
    size_t used = (size_t)snprintf(text, sizeof text, "queue q\n");
    for (unsigned i = 0; i < LIMIT_RULES_OF_COMMAND + 1; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "on GET job:{id}:%u\n read\n", i);
        rules_init(&rules);
        assert_true(rules_parse(&rules, 0, slice_of(text, used), &error));
        assert_int_equal(rules_finish(&rules, &error), i < LIMIT_RULES_OF_COMMAND);
    }
    assert_non_null(strstr(error.text, "too many rules for this command"));
    for (unsigned i = LIMIT_RULES_OF_COMMAND + 1; i < LIMIT_RULES + 1; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "on GET job:{id}:%u\n read\n", i);
    }
    rules_init(&rules);
    assert_false(rules_parse(&rules, 0, slice_of(text, used), &error));
    assert_non_null(strstr(error.text, "too many rules"));
}

static void reads_times(void **state)
{
    (void)state;
    assert_int_equal(rules_time(SLICE("1795255394693"), RULE_UNIT_MS), 1795255394693000000);
    assert_int_equal(rules_time(SLICE("1795255394.25"), RULE_UNIT_S), 1795255394250000000);
    assert_int_equal(rules_time(SLICE("2026-11-21T10:03:14.5Z"), RULE_UNIT_ISO),
                     1795255394500000000);
    assert_int_equal(rules_time(SLICE("2026-11-21T12:03:14+02:00"), RULE_UNIT_ISO),
                     1795255394000000000);
    assert_int_equal(rules_time(SLICE("2024-02-29 00:00:00"), RULE_UNIT_ISO), 1709164800000000000);
    assert_int_equal(rules_time(SLICE("yesterday"), RULE_UNIT_ISO), 0);
    assert_int_equal(rules_time(SLICE("2026-13-01T00:00:00Z"), RULE_UNIT_ISO), 0);
    assert_int_equal(rules_time(SLICE(""), RULE_UNIT_MS), 0);
}

static bool may_fit(const char *command, const char *key)
{
    uint8_t list = rules_list_of(&rules, redis_command_entry(slice_of(command, strlen(command))));
    return rules_may_fit(&rules, list, slice_of(key, strlen(key)));
}

static void keys_of_no_queue_are_told_at_once(void **state)
{
    (void)state;
    compile(QUEUE "on SET result-{id}\n complete\n"
                  "on SET done:{id}\n complete\n"
                  "on ZADD {queue}:waiting\n submit\n id from argument 3\n"
                  "on ZADD jobs\n submit\n id from argument 3\n");
    assert_true(may_fit("SET", "result-1"));
    assert_true(may_fit("SET", "done:1"));
    assert_false(may_fit("SET", "key"));
    assert_false(may_fit("SET", ""));
    assert_true(may_fit("ZADD", "key"));
    assert_true(may_fit("ZADD", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_has_its_line_and_reason),
        cmocka_unit_test(narrower_rules_go_first),
        cmocka_unit_test(keys_of_no_queue_are_told_at_once),
        cmocka_unit_test(takes_keys_fields_and_arguments),
        cmocka_unit_test(takes_scripts_and_their_answers),
        cmocka_unit_test(reads_json),
        cmocka_unit_test(json_of_a_pair),
        cmocka_unit_test(reads_json_in_msgpack),
        cmocka_unit_test(long_names_of_queues),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(reads_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
