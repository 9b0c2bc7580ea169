/* Spans renamed by profiles: the shipped ones, texts of the test's own, and texts that are wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "worker/profile.h"

static const struct span_limits no_limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
static struct span span;
static struct profile_error error;

static struct slice text_of(const char *text)
{
    return slice_of(text, strlen(text));
}

static void begin(const char *name)
{
    span_begin(&span, &no_limits);
    span.name = text_of(name);
    span.usual_name = SLICE("GET");
}

static void assert_name(const char *name)
{
    char is[200];
    snprintf(is, sizeof(is), "%.*s", (int)span.name.size, (const char *)span.name.data);
    assert_string_equal(is, name);
}

static const struct attribute *find(const char *key)
{
    for (uint32_t i = 0; i < span.attribute_count; i++) {
        if (slice_equals(span.attributes[i].key, text_of(key))) {
            return &span.attributes[i];
        }
    }
    return NULL;
}

/* ---- the shipped ones ---- */

static void library_is_what_spans_are_built_with(void **state)
{
    (void)state;
    assert_null(profile_open(SLICE(""), &error));
    assert_string_equal(error.text, "");
    assert_null(profile_open(SLICE("library"), &error));
    assert_string_equal(error.text, "");
    /* It is a profile like the others all the same. */
    struct profile *profile = profile_create(profile_shipped(), SLICE("library"), &error);
    assert_non_null(profile);
    begin("job.submit");
    profile_apply(profile, &span);
    assert_name("job.submit");
    profile_destroy(profile);
}

struct renamed {
    const char *name;
    const char *attribute;
    const char *value;
    const char *becomes;
};

static void check(const char *profile_name, const struct renamed *cases, size_t count)
{
    struct profile *profile = profile_open(text_of(profile_name), &error);
    assert_non_null(profile);
    for (size_t i = 0; i < count; i++) {
        begin(cases[i].name);
        if (cases[i].attribute != NULL) {
            span_add_string(&span, text_of(cases[i].attribute), text_of(cases[i].value));
        }
        profile_apply(profile, &span);
        assert_name(cases[i].becomes);
    }
    begin("POST");
    span.is_http_server = true;
    profile_apply(profile, &span);
    assert_name(strcmp(profile_name, "guide") == 0 ? "http.server.request"
                                                   : "http.request.received");
    profile_destroy(profile);
}

static void names_of_the_architecture(void **state)
{
    (void)state;
    static const struct renamed cases[] = {
        {"job.submit", NULL, NULL, "redis.job.submit"},
        {"job.claim", NULL, NULL, "redis.job.claim"},
        {"job.process", NULL, NULL, "job.processing"},
        {"job.fail", "error.type", "ValueError", "job.error.ValueError"},
        {"job.fail", NULL, NULL, "job.error"},
        {"job.timeout", NULL, NULL, "job.error.timeout"},
        {"job.archive", NULL, NULL, "job.archive"},
        {"process.http_request", NULL, NULL, "external_service.call"},
        {"process.http_request", "gen_ai.provider.name", "openai", "openai.api.call"},
        {"process.execute_comfyui", NULL, NULL, "comfyui.workflow.execute"},
        {"process.image_upload", NULL, NULL, "job.result_upload"},
        {"HGETALL 127.0.0.1:6379", NULL, NULL, "HGETALL 127.0.0.1:6379"},
    };
    check("architecture", cases, sizeof(cases) / sizeof(cases[0]));
}

static void names_of_the_guide(void **state)
{
    (void)state;
    static const struct renamed cases[] = {
        {"job.process", "job.type", "upscale", "process_job.upscale"},
        {"job.process", NULL, NULL, "process_job"},
        {"process.http_request", NULL, NULL, "GET"},
        {"process.image_upload", NULL, NULL, "storage.upload"},
        {"triton.infer", NULL, NULL, "triton.infer"},
        {"job.submit", NULL, NULL, "job.submit"},
    };
    check("guide", cases, sizeof(cases) / sizeof(cases[0]));
}

static void the_architecture_adds_attributes(void **state)
{
    (void)state;
    struct profile *profile = profile_open(SLICE("architecture"), &error);
    begin("process.http_request");
    span_add_string(&span, SLICE("gen_ai.provider.name"), SLICE("openai"));
    span_add_string(&span, SLICE("gen_ai.request.model"), SLICE("gpt-4o"));
    span_add_int(&span, SLICE("gen_ai.usage.input_tokens"), 12);
    profile_apply(profile, &span);
    assert_true(slice_equals(find("openai.model")->string, SLICE("gpt-4o")));
    assert_int_equal(find("openai.prompt_tokens")->integer, 12);
    assert_null(find("openai.completion_tokens"));
    assert_non_null(find("gen_ai.request.model"));
    profile_destroy(profile);
}

/* ---- texts ---- */

static void of_several_rules_the_first_that_holds_counts(void **state)
{
    (void)state;
    static const char text[] = "profile other\non a\n name no\n"
                               "profile mine # the one\n"
                               "on a\n when x\n name with-x\n set b to 7\n y from x\n"
                               "on a\n name {x}\n"
                               "on c\n z from x\n"
                               "profile last\non c\n name no\n";
    struct profile *profile = profile_create(text_of(text), SLICE("mine"), &error);
    assert_non_null(profile);
    begin("a");
    span_add_int(&span, SLICE("x"), 3);
    profile_apply(profile, &span);
    assert_name("with-x");
    assert_true(slice_equals(find("b")->string, SLICE("7")));
    assert_int_equal(find("y")->integer, 3);
    begin("a");
    profile_apply(profile, &span);
    assert_name("");
    begin("c");
    span_add_int(&span, SLICE("x"), 3);
    profile_apply(profile, &span);
    assert_name("c");
    assert_int_equal(find("z")->integer, 3);
    profile_destroy(profile);
    profile = profile_create(text_of(text), SLICE(""), &error);
    begin("a");
    profile_apply(profile, &span);
    assert_name("no");
    profile_destroy(profile);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line;
        const char *why;
    } cases[] = {
        {"", 0, "there is no profile of this name: p"},
        {"profile q\n", 0, "there is no profile of this name: p"},
        {"on a\n", 1, "no profile yet: a line `profile NAME` comes first"},
        {"profile p\nname b\n", 2, "no rule yet: a line `on SPAN` comes first: name"},
        {"profile p\non a\n name b\n name c\n", 4, "a second name: c"},
        {"profile p\non a\n name usual\n name c\n", 4, "a second name: c"},
        {"profile p\non a\n name {b\n", 3, "braces hold the name of one attribute: {b"},
        {"profile p\non a\n name b}\n", 3, "braces hold the name of one attribute: b}"},
        {"profile p\non a\n name {}\n", 3, "braces hold the name of one attribute: {}"},
        {"profile p\non a\n name {b}{c}\n", 3, "a name has room for one attribute: {b}{c}"},
        {"profile p\non a\n when b\n when c\n", 4, "a second condition: c"},
        {"profile p\non a\n b of c\n", 3, "not understood: b"},
        {"profile p\non a\n set b to c d\n", 3, "too many words: set"},
        {"profile p\nprofile p\n", 2, "this profile was there before: p"},
        {"profile q\non a\n name b c\nprofile p\n", 3, "not understood: name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(profile_create(text_of(cases[i].text), SLICE("p"), &error));
        assert_string_equal(error.text, cases[i].why);
        assert_int_equal(error.line, cases[i].line);
    }
}

static void a_text_is_bounded(void **state)
{
    (void)state;
    static char text[64 * LIMIT_PROFILE_ADDITIONS];
    size_t used = (size_t)sprintf(text, "profile p\n");
    for (unsigned i = 0; i < LIMIT_PROFILE_RULES; i++) {
        used += (size_t)sprintf(text + used, "on a%u\n", i);
    }
    profile_destroy(profile_create(slice_of(text, used), SLICE("p"), &error));
    size_t with_all = used;
    used += (size_t)sprintf(text + used, "on b\n");
    assert_null(profile_create(slice_of(text, used), SLICE("p"), &error));
    assert_string_equal(error.text, "too many rules");
    used = with_all;
    for (unsigned i = 0; i < LIMIT_PROFILE_ADDITIONS; i++) {
        used += (size_t)sprintf(text + used, "a%u from b\n", i);
    }
    struct profile *profile = profile_create(slice_of(text, used), SLICE("p"), &error);
    assert_non_null(profile);
    profile_destroy(profile);
    used += (size_t)sprintf(text + used, "b from c\n");
    assert_null(profile_create(slice_of(text, used), SLICE("p"), &error));
    assert_string_equal(error.text, "too many attributes");
}

/* ---- files ---- */

static void a_file_of_ones_own(void **state)
{
    (void)state;
    char path[] = "/tmp/profile-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "profile mine\non job.process\n name work.{job.type}\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    struct profile *profile = profile_open(text_of(path), &error);
    assert_non_null(profile);
    begin("job.process");
    span_add_string(&span, SLICE("job.type"), SLICE("resize"));
    profile_apply(profile, &span);
    assert_name("work.resize");
    profile_destroy(profile);
    static char much[LIMIT_RULE_FILE_BYTES];
    memset(much, '\n', sizeof(much));
    assert_int_equal(write(fd, much, sizeof(much)), sizeof(much));
    assert_null(profile_open(text_of(path), &error));
    assert_string_equal(error.text, "it is too large");
    close(fd);
    unlink(path);
    assert_null(profile_open(text_of(path), &error));
    assert_string_equal(error.text, "it cannot be read");
    assert_null(profile_open(SLICE("nowhere"), &error));
    assert_string_equal(error.text, "there is no profile of this name: nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(library_is_what_spans_are_built_with),
        cmocka_unit_test(names_of_the_architecture),
        cmocka_unit_test(names_of_the_guide),
        cmocka_unit_test(the_architecture_adds_attributes),
        cmocka_unit_test(of_several_rules_the_first_that_holds_counts),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(a_text_is_bounded),
        cmocka_unit_test(a_file_of_ones_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
