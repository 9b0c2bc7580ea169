#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/report.h"

#define SECOND UINT64_C(1000000000)

static char said[8192];
static size_t said_size;

static void keep(void *context, const char *text, size_t size)
{
    (void)context;
    assert_true(said_size + size < sizeof(said));
    memcpy(said + said_size, text, size);
    said_size += size;
    said[said_size] = '\0';
}

static struct report make(enum log_level level)
{
    said_size = 0;
    said[0] = '\0';
    return (struct report){.level = level, .write = keep};
}

static void levels(void **state)
{
    (void)state;
    struct report report = make(LOG_LEVEL_WARN);
    report_line(&report, LOG_LEVEL_INFO, "no");
    report_line(&report, LOG_LEVEL_WARN, "one %d", 1);
    report_line(&report, LOG_LEVEL_ERROR, "two");
    assert_string_equal(said, "wirespan: one 1\nwirespan: two\n");
    report = make(LOG_LEVEL_NONE);
    report_line(&report, LOG_LEVEL_ERROR, "no");
    report_loss(&report, 0, LOSS_QUEUE_FULL, 1, "");
    assert_string_equal(said, "");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    struct report report = make(LOG_LEVEL_WARN);
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    report_line(&report, LOG_LEVEL_WARN, "%s", text);
    assert_true(said_size <= 512);
    assert_int_equal(said[said_size - 1], '\n');
    assert_memory_equal(said, "wirespan: xxx", 13);
}

static void a_loss_is_said_once_a_minute(void **state)
{
    (void)state;
    struct report report = make(LOG_LEVEL_WARN);
    report_loss(&report, 5 * SECOND, LOSS_QUEUE_FULL, 0, "");
    assert_string_equal(said, "");
    report_loss(&report, 5 * SECOND, LOSS_QUEUE_FULL, 2, "");
    assert_string_equal(said, "wirespan: lost: queue_full 2\n");
    report_loss(&report, 64 * SECOND, LOSS_QUEUE_FULL, 3, "");
    report_loss(&report, 64 * SECOND, LOSS_EXPORT_REFUSED, 7, "HTTP 401");
    assert_string_equal(said, "wirespan: lost: queue_full 2\n"
                              "wirespan: lost: export_refused 7: HTTP 401\n");
    said_size = 0;
    report_loss(&report, 65 * SECOND, LOSS_QUEUE_FULL, 4, "");
    assert_string_equal(said, "wirespan: lost: queue_full 7\n");
}

static void what_the_application_side_gave_up_is_said_on_request(void **state)
{
    (void)state;
    struct report report = make(LOG_LEVEL_WARN);
    report_loss(&report, 0, LOSS_RECORD_INVALID, 1, "");
    assert_string_equal(said, "");
    report = make(LOG_LEVEL_INFO);
    report_loss(&report, 0, LOSS_SEGMENT_FULL, 1, "");
    assert_string_equal(said, "wirespan: lost: segment_full 1\n");
}

static void retries_are_said_once_a_minute(void **state)
{
    (void)state;
    struct report report = make(LOG_LEVEL_WARN);
    report_retry(&report, 0, 0, "otlp/http", "connection refused");
    report_retry(&report, 59 * SECOND, 0, "otlp/http", "connection refused");
    report_retry(&report, 59 * SECOND, 1, "otlp/grpc", "");
    assert_string_equal(said, "wirespan: otlp/http: connection refused; trying again\n"
                              "wirespan: otlp/grpc: not delivered; trying again\n");
}

static void the_summary_is_one_block(void **state)
{
    (void)state;
    struct report report = make(LOG_LEVEL_INFO);
    const struct report_exports exports[] = {{"otlp/http", 12}, {"file", 10}};
    uint64_t losses[LOSS_COUNT] = {0};
    report_summary(&report, exports, 2, losses);
    assert_string_equal(said, "wirespan: 12 spans exported by otlp/http\n"
                              "wirespan: 10 spans exported by file\n"
                              "wirespan: lost: nothing\n");
    said_size = 0;
    losses[LOSS_SEGMENT_FULL] = 3;
    losses[LOSS_EXPORT_PARTIAL] = UINT64_MAX;
    report_summary(&report, exports, 1, losses);
    assert_string_equal(said, "wirespan: 12 spans exported by otlp/http\n"
                              "wirespan: lost: segment_full 3, export_partial "
                              "18446744073709551615\n");
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        losses[loss] = UINT64_MAX;
    }
    said_size = 0;
    report_summary(&report, exports, 2, losses);
    assert_int_equal(said[said_size - 1], '\n');
    report = make(LOG_LEVEL_WARN);
    report_summary(&report, exports, 2, losses);
    assert_string_equal(said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(a_loss_is_said_once_a_minute),
        cmocka_unit_test(what_the_application_side_gave_up_is_said_on_request),
        cmocka_unit_test(retries_are_said_once_a_minute),
        cmocka_unit_test(the_summary_is_one_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
