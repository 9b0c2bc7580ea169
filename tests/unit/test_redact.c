#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/redact.h"

#define ROOM 512u

static void check(const char *target, bool target_cut, const char *expected, bool expected_cut)
{
    uint8_t out[ROOM];
    bool cut;
    size_t size = redact_target(slice_of(target, strlen(target)), target_cut, out, ROOM, &cut);
    if (size != strlen(expected) || memcmp(out, expected, size) != 0 || cut != expected_cut) {
        fail_msg("\"%s\" gave \"%.*s\"%s instead of \"%s\"", target, (int)size, (const char *)out,
                 cut ? " (cut)" : "", expected);
    }
}

static void becomes(const char *target, const char *expected)
{
    check(target, false, expected, false);
}

static void stays(const char *target)
{
    becomes(target, target);
}

static void harmless_targets_stay(void **state)
{
    (void)state;
    stays("");
    stays("/");
    stays("*");
    stays("/a/b.c?x=1&y=2;z=3#top");
    stays("/?");
    stays("/?=&&=;");
    stays("/?a=b=c");
    stays("example.org:443");
    stays("[::1]:443");
    stays("http://example.org");
    stays("http://example.org:80/p?q");
    stays("/@scope/package@1.2.3");
    stays("/a:b/c@d");
    stays("/?monkey=1&keyboard=2&keys=3&decode=4&passage=5&tokenizer=6");
    stays("/?token");
    stays("/?token&password");
    stays("/%zz?%=%2&%4=1");
}

static void keys_of_the_conventions(void **state)
{
    (void)state;
    becomes("/o?X-Amz-Algorithm=AWS4&X-Amz-Credential=a%2Fb&X-Amz-Signature=0123&X-Amz-Date=1",
            "/o?X-Amz-Algorithm=AWS4&X-Amz-Credential=REDACTED&X-Amz-Signature=REDACTED&"
            "X-Amz-Date=1");
    becomes("/?X-Amz-Security-Token=a", "/?X-Amz-Security-Token=REDACTED");
    becomes("/c?sv=2022&sig=abc%3D", "/c?sv=2022&sig=REDACTED");
    becomes("/o?uploadType=resumable&upload_id=a", "/o?uploadType=resumable&upload_id=REDACTED");
    becomes("/?X-Goog-Signature=a&x=1", "/?X-Goog-Signature=REDACTED&x=1");
    becomes("/?AWSAccessKeyId=a&Signature=b", "/?AWSAccessKeyId=REDACTED&Signature=REDACTED");
}

static void wider_list(void **state)
{
    static const char *const keys[] = {
        "token",       "access_token", "accessToken", "ACCESS-TOKEN",   "id_token",   "key",
        "api_key",     "apikey",       "X-Api-Key",   "api.key",        "password",   "passwd",
        "pwd",         "pass",         "secret",      "client_secret",  "session_id", "sid",
        "auth",        "code",         "jwt",         "user[password]", "a+token",    "auth_token",
        "private_key", "Authorization"};
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char target[128];
        char expected[128];
        snprintf(target, sizeof(target), "/?a=1&%s=hunter2&b=2", keys[i]);
        snprintf(expected, sizeof(expected), "/?a=1&%s=REDACTED&b=2", keys[i]);
        becomes(target, expected);
    }
}

static void encoded_keys(void **state)
{
    (void)state;
    becomes("/?%74oken=a", "/?%74oken=REDACTED");
    becomes("/?api%5Fkey=a&x=b", "/?api%5Fkey=REDACTED&x=b");
    becomes("/?%2574oken=a", "/?%2574oken=REDACTED");
    becomes("/?user%5bpassword%5D=a", "/?user%5bpassword%5D=REDACTED");
    becomes("/?tok%00en=a", "/?tok%00en=REDACTED");
    becomes("/?%20token%20=a", "/?%20token%20=REDACTED");
    becomes("/?token%=a", "/?token%=REDACTED");
    stays("/?%74oke%=a");
}

/* A value is taken to last as long as it could for any receiver. */
static void whole_values(void **state)
{
    (void)state;
    becomes("/?token=a=b;c?d/e#f//g:h@i&x=1", "/?token=REDACTED&x=1");
    becomes("/?x=1;token=a;b&y=2", "/?x=1;token=REDACTED&y=2");
    becomes("/?token=", "/?token=REDACTED");
    becomes("/?token=&x", "/?token=REDACTED&x");
    becomes("/?token=a&token=b", "/?token=REDACTED&token=REDACTED");
    becomes("/?next=/login?token=a&x=1", "/?next=/login?token=REDACTED&x=1");
    becomes("/cb#access_token=a&x=1", "/cb#access_token=REDACTED&x=1");
}

static void path_parameters(void **state)
{
    (void)state;
    becomes("/shop;jsessionid=ABC/cart;v=1?x=2", "/shop;jsessionid=REDACTED/cart;v=1?x=2");
    becomes("/a;b&token=c", "/a;b&token=REDACTED");
    becomes("/a;token=b;c=d?x=1", "/a;token=REDACTED?x=1");
}

static void user_information(void **state)
{
    (void)state;
    becomes("http://user:pass@example.org/a", "http://REDACTED:REDACTED@example.org/a");
    becomes("http://token@example.org", "http://REDACTED:REDACTED@example.org");
    becomes("http://a@b:c@example.org:80?x", "http://REDACTED:REDACTED@example.org:80?x");
    becomes("http://@example.org/", "http://REDACTED:REDACTED@example.org/");
    becomes("user:pass@example.org:443", "REDACTED:REDACTED@example.org:443");
    becomes("//user:pass@example.org/a", "//REDACTED:REDACTED@example.org/a");
    becomes("/fetch/http://user:pass@example.org/a",
            "/fetch/http://REDACTED:REDACTED@example.org/a");
    becomes("/fetch/https:/user:pass@example.org/a",
            "/fetch/https:/REDACTED:REDACTED@example.org/a");
    becomes("/?url=http://user:pass@example.org/a&x=@",
            "/?url=http://REDACTED:REDACTED@example.org/a&x=@");
    becomes("http://user:pass@example.org/?token=a&user:b@c",
            "http://REDACTED:REDACTED@example.org/?token=REDACTED&user:b@c");
}

/* Where the target's end is missing, what may be half of a secret is left out. */
static void cut_targets(void **state)
{
    (void)state;
    check("/a?x=1&tok", true, "/a?x=1&tok", true);
    check("/a?token=abc", true, "/a?token=REDACTED", true);
    check("/a?x=ab", true, "/a?x=ab", true);
    check("http://user:pa", true, "http://", true);
    check("http://a:b@user:pa", true, "http://REDACTED:REDACTED@", true);
    check("http://example.org/us", true, "http://example.org/us", true);
    check("user:pa", true, "", true);
    check("/fetch/http://us", true, "/fetch/http://", true);
    check("/fetch/https:/user:pa", true, "/fetch/https:/", true);
    check("/?url=http://user:pa", true, "/?url=http://", true);
    check("", true, "", true);
}

/* At every capacity the copy is the beginning of the whole copy, holds no part of a secret, and
   never half of the word REDACTED. */
static void every_capacity(void **state)
{
    const char *target =
        "http://u:SECRET@h/p;sid=SECRET/q?a=1&token=SECRET&b=//x:SECRET@y#key=SECRET";
    const char *expected = "http://REDACTED:REDACTED@h/p;sid=REDACTED/q?a=1&token=REDACTED&"
                           "b=//REDACTED:REDACTED@y#key=REDACTED";
    (void)state;
    becomes(target, expected);
    for (size_t capacity = 0; capacity <= strlen(expected) + 1; capacity++) {
        uint8_t *out = malloc(capacity + 1);
        bool cut;
        assert_non_null(out);
        memset(out, '!', capacity + 1);
        size_t size = redact_target(slice_of(target, strlen(target)), false, out, capacity, &cut);
        assert_true(size <= capacity);
        assert_memory_equal(out, expected, size);
        assert_int_equal(out[size], '!');
        assert_int_equal(cut, size < strlen(expected));
        if (size > 0 && size < strlen(expected) && expected[size] != ':') {
            bool in_word = expected[size - 1] >= 'A' && expected[size - 1] <= 'Z' &&
                           expected[size] >= 'A' && expected[size] <= 'Z';
            assert_false(in_word);
        }
        free(out);
    }
}

/* A key that is too long to be compared is taken for a secret one. */
static void long_keys(void **state)
{
    char target[ROOM];
    char expected[ROOM];
    (void)state;
    for (int size = 62; size <= 66; size++) {
        snprintf(target, sizeof(target), "/?%0*d=v&x=1", size, 0);
        snprintf(expected, sizeof(expected), "/?%0*d=%s&x=1", size, 0,
                 size > 64 ? "REDACTED" : "v");
        becomes(target, expected);
    }
    for (int size = 191; size <= 194; size++) {
        snprintf(target, sizeof(target), "/?a%*s=v", size - 1, "");
        snprintf(expected, sizeof(expected), "/?a%*s=%s", size - 1, "",
                 size > 192 ? "REDACTED" : "v");
        becomes(target, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless_targets_stay),
        cmocka_unit_test(keys_of_the_conventions),
        cmocka_unit_test(wider_list),
        cmocka_unit_test(encoded_keys),
        cmocka_unit_test(whole_values),
        cmocka_unit_test(path_parameters),
        cmocka_unit_test(user_information),
        cmocka_unit_test(cut_targets),
        cmocka_unit_test(every_capacity),
        cmocka_unit_test(long_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
