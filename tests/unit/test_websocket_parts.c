/* What is not framing: the framer's cases are in tests/wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/websocket.h"

static struct websocket_deflate parse(const char *value)
{
    return websocket_parse_extensions(slice_of(value, strlen(value)));
}

static void agrees(const char *value, int server_bits, int client_bits, bool server_resets,
                   bool client_resets)
{
    struct websocket_deflate deflate = parse(value);
    if (!deflate.agreed) {
        fail_msg("\"%s\" was not taken", value);
    }
    assert_int_equal(deflate.server_max_window_bits, server_bits);
    assert_int_equal(deflate.client_max_window_bits, client_bits);
    assert_int_equal(deflate.server_no_context_takeover, server_resets);
    assert_int_equal(deflate.client_no_context_takeover, client_resets);
}

static void refuses(const char *value)
{
    if (parse(value).agreed) {
        fail_msg("\"%s\" was taken", value);
    }
}

static void agreed_extensions(void **state)
{
    (void)state;
    agrees("permessage-deflate", 15, 15, false, false);
    agrees(" \tPermessage-Deflate ", 15, 15, false, false);
    agrees("permessage-deflate; server_max_window_bits=10", 10, 15, false, false);
    agrees("permessage-deflate;client_max_window_bits=\"9\"", 15, 9, false, false);
    agrees("permessage-deflate; client_max_window_bits = \" 12 \" ; server_no_context_takeover", 15,
           12, true, false);
    agrees("permessage-deflate; client_no_context_takeover; server_no_context_takeover; "
           "server_max_window_bits=8; client_max_window_bits=15",
           8, 15, true, true);
}

static void refused_extensions(void **state)
{
    (void)state;
    refuses("");
    refuses("x-webkit-deflate-frame");
    refuses("permessage-deflat");
    refuses("permessage-deflate2");
    refuses("permessage-deflate, permessage-deflate");
    refuses("permessage-deflate, x-other");
    refuses("x-other, permessage-deflate");
    refuses("x-other; a=\"b, permessage-deflate\"");
    refuses("permessage-deflate;");
    refuses("permessage-deflate; unknown");
    refuses("permessage-deflate; server_max_window_bits");
    refuses("permessage-deflate; client_max_window_bits");
    refuses("permessage-deflate; server_max_window_bits=");
    refuses("permessage-deflate; server_max_window_bits=7");
    refuses("permessage-deflate; server_max_window_bits=16");
    refuses("permessage-deflate; server_max_window_bits=010");
    refuses("permessage-deflate; server_max_window_bits=1");
    refuses("permessage-deflate; server_max_window_bits=10x");
    refuses("permessage-deflate; server_max_window_bits=\"10");
    refuses("permessage-deflate; server_max_window_bits=10\"");
    refuses("permessage-deflate; server_max_window_bits=10; server_max_window_bits=10");
    refuses("permessage-deflate; server_no_context_takeover=1");
    refuses("permessage-deflate; server_no_context_takeover; server_no_context_takeover");
    refuses("permessage-deflate server_no_context_takeover");
}

/* Any cut of any length at any offset gives the same plain bytes. */
static void unmasking(void **state)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t masked[40];
    uint8_t plain[40];
    (void)state;
    for (size_t i = 0; i < sizeof(masked); i++) {
        masked[i] = (uint8_t)(i * 7) ^ mask[i % 4];
    }
    for (size_t from = 0; from < sizeof(masked); from++) {
        for (size_t to = from; to <= sizeof(masked); to++) {
            memset(plain, 0xA5, sizeof(plain));
            websocket_unmask(slice_of(masked + from, to - from), mask, from, plain);
            for (size_t i = 0; i < to - from; i++) {
                assert_int_equal(plain[i], (uint8_t)((from + i) * 7));
            }
            if (to - from < sizeof(plain)) {
                assert_int_equal(plain[to - from], 0xA5);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreed_extensions),
        cmocka_unit_test(refused_extensions),
        cmocka_unit_test(unmasking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
