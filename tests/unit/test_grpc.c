#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/limits.h"
#include "worker/transport/grpc.h"
#include "worker/transport/gzip.h"
#include "worker/transport/outcome.h"

static struct slice text_slice(const char *text)
{
    return slice_of(text, strlen(text));
}

static void frames(void **state)
{
    (void)state;
    uint8_t frame[GRPC_FRAME_HEAD + 3] = {0};
    struct slice message;
    bool compressed;
    grpc_frame_head(frame, true, 0x01020304);
    assert_memory_equal(frame, "\x01\x01\x02\x03\x04", GRPC_FRAME_HEAD);

    grpc_frame_head(frame, false, 3);
    memcpy(frame + GRPC_FRAME_HEAD, "abc", 3);
    assert_true(grpc_frame_read(slice_of(frame, sizeof(frame)), &compressed, &message));
    assert_true(slice_equals(message, SLICE("abc")));
    assert_false(compressed);
    for (size_t size = 1; size < sizeof(frame); size++) {
        assert_false(grpc_frame_read(slice_of(frame, size), &compressed, &message));
    }
    assert_true(grpc_frame_read(slice_of(frame, 0), &compressed, &message));
    assert_int_equal(message.size, 0);
    grpc_frame_head(frame, true, 3);
    assert_true(grpc_frame_read(slice_of(frame, sizeof(frame)), &compressed, &message));
    assert_true(compressed);
    grpc_frame_head(frame, false, 2);
    assert_false(grpc_frame_read(slice_of(frame, sizeof(frame)), &compressed, &message));
    grpc_frame_head(frame, false, UINT32_MAX);
    assert_false(grpc_frame_read(slice_of(frame, sizeof(frame)), &compressed, &message));
    grpc_frame_head(frame, false, 3);
    frame[0] = 2;
    assert_false(grpc_frame_read(slice_of(frame, sizeof(frame)), &compressed, &message));
}

static void statuses(void **state)
{
    (void)state;
    assert_int_equal(grpc_status_read(SLICE("0")), GRPC_OK);
    assert_int_equal(grpc_status_read(SLICE("14")), 14);
    assert_int_equal(grpc_status_read(SLICE("9999")), 9999);
    assert_int_equal(grpc_status_read(SLICE("")), GRPC_ABSENT);
    assert_int_equal(grpc_status_read(SLICE("-1")), GRPC_ABSENT);
    assert_int_equal(grpc_status_read(SLICE("1 ")), GRPC_ABSENT);
    assert_int_equal(grpc_status_read(SLICE("99999")), GRPC_ABSENT);
    assert_string_equal(grpc_status_name(0), "OK");
    assert_string_equal(grpc_status_name(16), "UNAUTHENTICATED");
    assert_string_equal(grpc_status_name(17), "an unknown status");
    assert_string_equal(grpc_status_name(-1), "an unknown status");
    for (int status = 0; status < 20; status++) {
        bool expected = status == 1 || status == 4 || status == 10 || status == 11 ||
                        status == 14 || status == 15;
        assert_int_equal(grpc_is_retryable(status, false), expected);
        assert_int_equal(grpc_is_retryable(status, true), expected || status == 8);
    }
}

static void messages(void **state)
{
    (void)state;
    char text[12];
    grpc_message_read(SLICE("a%20b%"), text, sizeof(text));
    assert_string_equal(text, "a b%");
    grpc_message_read(SLICE("one%0atwo"), text, sizeof(text));
    assert_string_equal(text, "one");
    grpc_message_read(SLICE("%1b[31mred"), text, sizeof(text));
    assert_string_equal(text, " [31mred");
    grpc_message_read(SLICE("0123456789abcdef"), text, sizeof(text));
    assert_string_equal(text, "0123456789a");
    grpc_message_read(SLICE(""), text, sizeof(text));
    assert_string_equal(text, "");
}

/* Status{code 8, message "busy", details RetryInfo{1 s + 500,000,000 ns}} */
static void details(void **state)
{
    (void)state;
    static const char encoded[] = "CAgSBGJ1c3kaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5"
                                  "SW5mbxIKCggIARCAyrXuAQ==";
    struct rpc_status status;
    assert_true(grpc_details_read(text_slice(encoded), &status));
    assert_string_equal(status.message, "busy");
    assert_true(status.has_retry_info);
    assert_int_equal(status.retry_delay_ms, 1500);
    assert_false(grpc_details_read(SLICE("CAgS*"), &status));
    assert_false(grpc_details_read(SLICE("CAgSBG"), &status)); /* cut off */
    assert_false(grpc_details_read(SLICE(""), &status));
    assert_true(grpc_details_read(SLICE("CAg"), &status));
    assert_false(status.has_retry_info);
}

static void timeouts(void **state)
{
    (void)state;
    char header[GRPC_TIMEOUT_CAPACITY];
    grpc_timeout_header(10000, header);
    assert_string_equal(header, "grpc-timeout: 10000m");
    grpc_timeout_header(99999999, header);
    assert_string_equal(header, "grpc-timeout: 99999999m");
    grpc_timeout_header(100000000, header);
    assert_string_equal(header, "grpc-timeout: 100000S");
    grpc_timeout_header(UINT32_MAX, header);
    assert_string_equal(header, "grpc-timeout: 4294967S");
}

static void replies(void **state)
{
    (void)state;
    struct transport_outcome outcome = {0};
    assert_true(otlp_reply_read(SLICE(""), 5, &outcome));
    assert_true(otlp_reply_read(SLICE("\x0a\x00"), 5, &outcome)); /* set and empty: full success */
    assert_int_equal(outcome.rejected, 0);
    assert_string_equal(outcome.message, "");
    /* A receiver that counts more than there were, or below zero. */
    assert_true(otlp_reply_read(SLICE("\x0a\x02\x08\x63"), 5, &outcome));
    assert_int_equal(outcome.rejected, 5);
    outcome = (struct transport_outcome){0};
    assert_true(otlp_reply_read(SLICE("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 5,
                                &outcome));
    assert_int_equal(outcome.rejected, 0);
    assert_false(otlp_reply_read(SLICE("<html>"), 5, &outcome));
}

static void quotes_stay_on_their_line(void **state)
{
    (void)state;
    char text[8];
    outcome_quote(text_slice("a\tb\r\nc"), text, sizeof(text));
    assert_string_equal(text, "a b");
    outcome_quote(text_slice("12345678"), text, sizeof(text));
    assert_string_equal(text, "1234567");
    outcome_quote((struct slice){0}, text, sizeof(text));
    assert_string_equal(text, "");
}

static void expands_to(struct slice packed, struct slice plain)
{
    size_t size;
    uint8_t *expanded = gzip_expand(packed, plain.size, &size);
    assert_non_null(expanded);
    assert_true(slice_equals(slice_of(expanded, size), plain));
    free(expanded);
    if (plain.size > 0) {
        assert_null(gzip_expand(packed, plain.size - 1, &size));
    }
    for (size_t cut = 0; cut < packed.size; cut++) {
        assert_null(gzip_expand(slice_of(packed.data, cut), plain.size, &size));
    }
}

static void gzip_leaves_room_for_a_head(void **state)
{
    (void)state;
    char plain[5000];
    for (size_t i = 0; i < sizeof(plain); i++) {
        plain[i] = (char)(i * i >> 3);
    }
    static const size_t sizes[] = {0, 1, sizeof(plain)};
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        uint8_t *packed = gzip_compress(slice_of(plain, sizes[i]), GRPC_FRAME_HEAD, &size);
        assert_non_null(packed);
        char back[sizeof(plain)];
        z_stream stream = {.next_in = packed + GRPC_FRAME_HEAD,
                           .avail_in = (uInt)(size - GRPC_FRAME_HEAD),
                           .next_out = (Bytef *)back,
                           .avail_out = sizeof(back)};
        assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        assert_int_equal(stream.total_out, sizes[i]);
        assert_int_equal(stream.avail_in, 0);
        assert_memory_equal(back, plain, sizes[i]);
        inflateEnd(&stream);
        expands_to(slice_of(packed + GRPC_FRAME_HEAD, size - GRPC_FRAME_HEAD),
                   slice_of(plain, sizes[i]));
        free(packed);
    }
    size_t unused;
    assert_null(gzip_compress(slice_of(plain, LIMIT_EXPORT_REQUEST_BYTES + 1), 0, &unused));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames),
        cmocka_unit_test(statuses),
        cmocka_unit_test(messages),
        cmocka_unit_test(details),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(replies),
        cmocka_unit_test(quotes_stay_on_their_line),
        cmocka_unit_test(gzip_leaves_room_for_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
