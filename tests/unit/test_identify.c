#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "wire/identify.h"

typedef enum wire_protocol (*identifier)(struct slice bytes);

/* A decision must stand: every beginning of the bytes says the same, or that it needs more. The
   bytes lie in memory of their exact size, so that a sanitizer sees a read behind them. */
static void check(identifier identify, struct slice bytes, enum wire_protocol expected)
{
    enum wire_protocol got = WIRE_UNDECIDED;
    for (size_t size = 0; size <= bytes.size; size++) {
        uint8_t *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy + 1, bytes.data, size);
        enum wire_protocol now = identify(slice_of(copy + 1, size));
        free(copy);
        if (now == got) {
            continue;
        }
        if (got != WIRE_UNDECIDED) {
            fail_msg("after %zu bytes: %d, then %d", size, got, now);
        }
        got = now;
    }
    if (got != expected) {
        fail_msg("\"%.*s\": %d instead of %d", (int)bytes.size, (const char *)bytes.data, got,
                 expected);
    }
}

#define CLIENT(bytes, expected) check(identify_client_bytes, SLICE(bytes), expected)
#define SERVER(bytes, expected) check(identify_server_bytes, SLICE(bytes), expected)

static void http_requests(void **state)
{
    (void)state;
    CLIENT("GET / HTTP/1.1\r\n", WIRE_HTTP1);
    CLIENT("POST /jobs", WIRE_HTTP1);
    CLIENT("HEAD http://example.org/", WIRE_HTTP1);
    CLIENT("GET HTTPS://example.org/", WIRE_HTTP1);
    CLIENT("OPTIONS * HTTP/1.1", WIRE_HTTP1);
    CLIENT("OPTIONS /a", WIRE_HTTP1);
    CLIENT("CONNECT example.org:443", WIRE_HTTP1);
    CLIENT("CONNECT 127.0.0.1:443", WIRE_HTTP1);
    CLIENT("CONNECT [::1]:443", WIRE_HTTP1);
    CLIENT("M-SEARCH * HTTP/1.1", WIRE_UNKNOWN);
    CLIENT("VERSION-CONTROL /a", WIRE_HTTP1);
    CLIENT("PROPFIND /", WIRE_HTTP1);
    CLIENT("SUBSCRIBE /event", WIRE_HTTP1);
    CLIENT("get / HTTP/1.1", WIRE_UNKNOWN);
    CLIENT("POST relative", WIRE_UNKNOWN);
    CLIENT("POST hello", WIRE_UNKNOWN);
    CLIENT("GET", WIRE_UNDECIDED);
    CLIENT("GET ", WIRE_UNDECIDED);
    CLIENT("GET http", WIRE_UNDECIDED);
}

static void http2_preface(void **state)
{
    (void)state;
    CLIENT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", WIRE_HTTP2);
    CLIENT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04", WIRE_HTTP2);
    CLIENT("PRI * HTTP/2.0\r\n\r\nSM", WIRE_UNDECIDED);
    CLIENT("PRI * HTTP/1.1\r\n", WIRE_UNKNOWN);
    CLIENT("PRINT /", WIRE_HTTP1);
}

static void redis_commands(void **state)
{
    (void)state;
    CLIENT("*1\r\n$4\r\nPING\r\n", WIRE_RESP);
    CLIENT("*3", WIRE_RESP);
    CLIENT("*", WIRE_UNDECIDED);
    CLIENT("* OK IMAP", WIRE_UNKNOWN);
    CLIENT("*x", WIRE_UNKNOWN);
    CLIENT("*1\r#4\r\n", WIRE_RESP);
    CLIENT("PING\r\n", WIRE_RESP);
    CLIENT("ping\n", WIRE_RESP);
    CLIENT("Info replication\r\n", WIRE_RESP);
    CLIENT("GET foo\r\n", WIRE_RESP);
    CLIENT("GET hello\r\n", WIRE_RESP);
    CLIENT("SET /a b\r\n", WIRE_RESP);
    CLIENT("KEYS *\r\n", WIRE_RESP);
    CLIENT("SUBSCRIBE news\r\n", WIRE_RESP);
    CLIENT("PING", WIRE_UNDECIDED);
    CLIENT("PINGO\r\n", WIRE_UNKNOWN);
}

static void other_text_protocols(void **state)
{
    (void)state;
    CLIENT("get key\r\n", WIRE_UNKNOWN);
    CLIENT("set key 0 0 5\r\n", WIRE_UNKNOWN);
    CLIENT("AUTH TLS\r\n", WIRE_UNKNOWN);
    CLIENT("QUIT\r\n", WIRE_UNKNOWN);
    CLIENT("EHLO a\r\n", WIRE_UNKNOWN);
    CLIENT("CONNECT {\"verbose\":false}\r\n", WIRE_UNKNOWN);
    CLIENT("SSH-2.0-OpenSSH_9.2p1\r\n", WIRE_UNKNOWN);
    CLIENT("\r\n", WIRE_UNKNOWN);
    CLIENT("\0\0\0\x08\x04\xd2\x16\x2f", WIRE_UNKNOWN);
}

static void tls_client(void **state)
{
    (void)state;
    CLIENT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", WIRE_TLS);
    CLIENT("\x16\x03\x01\x02\x00", WIRE_UNDECIDED);
    CLIENT("\x16\x03\x01\x02\x00\x02", WIRE_UNKNOWN);
    CLIENT("\x16\x03\x05\x02\x00\x01", WIRE_UNKNOWN);
    CLIENT("\x16\x02\x01\x02\x00\x01", WIRE_UNKNOWN);
    CLIENT("\x16\x03\x01\x48\x01\x01", WIRE_UNKNOWN);
    CLIENT("\x16\x03\x01\x00\x00\x01", WIRE_UNKNOWN);
    CLIENT("\x17\x03\x03\x00\x20\x01", WIRE_UNKNOWN);
}

static void server_bytes(void **state)
{
    (void)state;
    SERVER("HTTP/1.1 200 OK\r\n", WIRE_HTTP1);
    SERVER("HTTP/1.", WIRE_HTTP1);
    SERVER("HTTP/1", WIRE_UNDECIDED);
    SERVER("HTTP/2 200", WIRE_UNKNOWN);
    SERVER("\x16\x03\x03\x00\x7a\x02", WIRE_TLS);
    SERVER("\x17\x03\x03\x48\x00\x01", WIRE_TLS);
    SERVER("\x15\x03\x03\x00\x02\x02", WIRE_TLS);
    SERVER("\x18\x03\x03\x00\x02\x02", WIRE_UNKNOWN);
    SERVER("\x16\x03\x03", WIRE_UNDECIDED);
}

static void redis_replies(void **state)
{
    (void)state;
    SERVER("+OK\r\n", WIRE_RESP);
    SERVER("+PONG\r\n", WIRE_RESP);
    SERVER("+Background saving started\r\n", WIRE_RESP);
    SERVER("+FULLRESYNC 0123456789012345678901234567890123456789 1\r\n", WIRE_RESP);
    SERVER("+OK POP3 ready\r\n", WIRE_UNKNOWN);
    SERVER("+", WIRE_UNDECIDED);
    SERVER("-ERR unknown command\r\n", WIRE_RESP);
    SERVER("-NOAUTH Authentication required.\r\n", WIRE_RESP);
    SERVER("-err no\r\n", WIRE_UNKNOWN);
    SERVER("- ERR no\r\n", WIRE_UNKNOWN);
    SERVER(":1000\r\n", WIRE_RESP);
    SERVER(":-1\r\n", WIRE_RESP);
    SERVER(":irc.example.org 001", WIRE_UNKNOWN);
    SERVER("$-1\r\n", WIRE_RESP);
    SERVER("$5\r\nhello\r\n", WIRE_RESP);
    SERVER("$5\r", WIRE_UNDECIDED);
    SERVER("$5x", WIRE_UNKNOWN);
    SERVER("*2\r\n", WIRE_RESP);
    SERVER("* OK [CAPABILITY IMAP4rev1]", WIRE_UNKNOWN);
    SERVER("%7\r\n", WIRE_RESP);
    SERVER("~1\r\n", WIRE_RESP);
    SERVER(">3\r\n", WIRE_RESP);
    SERVER("(123\r\n", WIRE_RESP);
    SERVER("_\r\n", WIRE_RESP);
    SERVER("#t\r\n", WIRE_RESP);
    SERVER("#x\r\n", WIRE_UNKNOWN);
    SERVER("220 smtp.example.org ESMTP\r\n", WIRE_UNKNOWN);
    SERVER("INFO {\"server_id\":\"x\"}\r\n", WIRE_UNKNOWN);
    SERVER("SSH-2.0-OpenSSH_9.2p1\r\n", WIRE_UNKNOWN);
}

/* 31 bytes may need more, 32 may not, and what follows them changes nothing. */
static void decides_in_the_end(void **state)
{
    uint8_t bytes[LIMIT_IDENTIFY_BYTES];
    (void)state;
    SERVER("+abcdefghijklmnopqrstuvwxyzabc\r\n", WIRE_RESP);
    SERVER("+abcdefghijklmnopqrstuvwxyzabcd\r\n", WIRE_UNKNOWN);
    memset(bytes, 'A', sizeof(bytes));
    assert_int_equal(identify_client_bytes(slice_of(bytes, sizeof(bytes) - 1)), WIRE_UNDECIDED);
    assert_int_equal(identify_client_bytes(slice_of(bytes, sizeof(bytes))), WIRE_UNKNOWN);
    bytes[0] = '+';
    assert_int_equal(identify_server_bytes(slice_of(bytes, sizeof(bytes) - 1)), WIRE_UNDECIDED);
    assert_int_equal(identify_server_bytes(slice_of(bytes, sizeof(bytes))), WIRE_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_requests),  cmocka_unit_test(http2_preface),
        cmocka_unit_test(redis_commands), cmocka_unit_test(other_text_protocols),
        cmocka_unit_test(tls_client),     cmocka_unit_test(server_bytes),
        cmocka_unit_test(redis_replies),  cmocka_unit_test(decides_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
