/* Exchanges that wait for what libcurl tells: which one a word is for, and what becomes of the
   others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "../support/attached_segment.h"
#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/hooks/libcurl.h"
#include "app_thread/transfer.h"
#include "handoff/segment.h"

static struct segment *segment;
static struct segment_reader reader;
static struct thread_state self;

static int set_up(void **state)
{
    (void)state;
    free(segment);
    free(attachment);
    segment = attach_segment(256);
    memset(&self, 0, sizeof(self));
    return segment_reader_init(&reader, segment, segment_size(256));
}

/* An exchange of the connection between these ports has been completed. */
static void exchange(const char *method, uint16_t status, uint16_t local, uint16_t peer)
{
    uint16_t slot = exchange_begin(&self, NULL, RECORD_HTTP_CLIENT, 1000);
    struct record *record = segment_record(segment, slot);
    record_add_field(record, FIELD_METHOD, slice_of(method, strlen(method)), 32);
    record->http.status = status;
    record->local.port = local;
    record->peer.port = peer;
    exchange_complete(&self, slot, 2000, RECORD_OK, 0);
}

static struct transfer_facts facts(const char *method, uint16_t status, uint16_t local,
                                   uint16_t peer)
{
    return (struct transfer_facts){
        .numbers = {.total_us = 5, .version = TRANSFER_HTTP1},
        .status = status,
        .descriptor = -1,
        .ports = {local, peer},
        .method = slice_of(method, strlen(method)),
        .url = SLICE("https://user:secret@h/p?token=secret#part"),
        .start_ns = 3000,
        .end_ns = 4000,
    };
}

/* What was handed over since: "method status microseconds", in order. */
static const char *handed_over(void)
{
    static char text[8192];
    size_t used = 0;
    struct record record;
    text[0] = '\0';
    while (segment_reader_next(&reader, &record)) {
        struct slice method = record_find_field(&record, FIELD_METHOD);
        assert_false(record.is_parked);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s %u %u\n", (int)method.size,
                                 (const char *)method.data, record.http.status,
                                 record.http.transfer.total_us);
    }
    return text;
}

static struct thread_transfers enter(bool is_alone)
{
    return transfer_enter(&self, is_alone, (uintptr_t)__builtin_frame_address(0) + 4096);
}

static void nothing_waits_outside(void **state)
{
    (void)state;
    exchange("GET", 200, 1, 2);
    assert_string_equal(handed_over(), "GET 200 0\n");
}

static void the_last_one_is_told_of(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(true);
    exchange("GET", 302, 1, 2);
    assert_string_equal(handed_over(), "");
    exchange("GET", 200, 1, 2);
    assert_string_equal(handed_over(), "GET 302 0\n");
    struct transfer_facts told = facts("GET", 200, 1, 2);
    transfer_tell(&self, &told);
    assert_string_equal(handed_over(), "GET 200 5\n");
    transfer_leave_alone(&self, &outer);
    exchange("GET", 200, 1, 2);
    assert_string_equal(handed_over(), "GET 200 0\n");
}

/* What a callback did meanwhile is not the transfer's. */
static void another_connection_is_not_told_of(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        uint16_t status, local, peer;
    } others[] = {{"PUT", 200, 1, 2}, {"GET", 201, 1, 2}, {"GET", 200, 3, 2}, {"GET", 200, 1, 3}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct thread_transfers outer = enter(true);
        exchange(others[i].method, others[i].status, others[i].local, others[i].peer);
        struct transfer_facts told = facts("GET", 200, 1, 2);
        transfer_tell(&self, &told);
        assert_string_equal(handed_over(), "");
        transfer_leave_alone(&self, &outer);
        assert_non_null(strstr(handed_over(), " 0\n"));
    }
}

static void many_are_told_apart(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(false);
    exchange("CONNECT", 200, 1, 2);
    exchange("GET", 200, 1, 2);
    exchange("GET", 200, 3, 2);
    exchange("POST", 200, 1, 2);
    exchange("GET", 200, 1, 2);
    transfer_leave_many(&self, &outer);
    assert_string_equal(handed_over(), "");
    struct transfer_facts told = facts("GET", 200, 1, 2);
    for (uint32_t i = 1; i <= 3; i++) {
        told.numbers.total_us = i;
        transfer_tell(&self, &told);
    }
    /* In the order of one connection; there is no third one. */
    assert_string_equal(handed_over(), "GET 200 1\nGET 200 2\n");
    told = facts("POST", 200, 1, 2);
    transfer_tell(&self, &told);
    assert_string_equal(handed_over(), "POST 200 5\n");
    transfer_before_wait(&self);
    assert_string_equal(handed_over(), "CONNECT 200 0\nGET 200 0\n");
    assert_int_equal(self.transfers.parked, 0);
}

static void the_next_call_hands_over(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(false);
    exchange("GET", 200, 1, 2);
    transfer_leave_many(&self, &outer);
    outer = enter(false);
    assert_string_equal(handed_over(), "GET 200 0\n");
    transfer_leave_many(&self, &outer);
}

static void the_bound_holds(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(false);
    for (uint32_t i = 0; i < LIMIT_PARKED; i++) {
        exchange("GET", 200, (uint16_t)(i + 1), 2);
    }
    assert_string_equal(handed_over(), "");
    exchange("GET", 201, 1, 2);
    const char *found = handed_over();
    for (uint32_t i = 0; i < LIMIT_PARKED; i++) {
        assert_memory_equal(found, "GET 200 0\n", 10);
        found += 10;
    }
    assert_string_equal(found, "");
    transfer_leave_alone(&self, &outer);
    assert_string_equal(handed_over(), "GET 201 0\n");
}

static void a_call_within_a_call_is_apart(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(false);
    exchange("GET", 200, 1, 2);
    struct thread_transfers inner = enter(true);
    exchange("GET", 200, 3, 2);
    struct transfer_facts told = facts("GET", 200, 1, 2);
    transfer_tell(&self, &told); /* of the outer's: not here */
    assert_string_equal(handed_over(), "");
    transfer_leave_alone(&self, &inner);
    assert_string_equal(handed_over(), "GET 200 0\n");
    transfer_tell(&self, &told);
    assert_string_equal(handed_over(), "GET 200 5\n");
    transfer_leave_many(&self, &outer);
}

/* A callback's jump has left the call: nothing may wait for its end. */
static void a_call_that_was_left_by_a_jump(void **state)
{
    (void)state;
    transfer_enter(&self, false, 16);
    exchange("GET", 200, 1, 2);
    assert_string_equal(handed_over(), "GET 200 0\n");
    assert_false(self.transfers.is_under_way);

    enter(true);
    exchange("GET", 200, 1, 2);
    self.transfers.frame = 16;
    transfer_before_wait(&self);
    assert_string_equal(handed_over(), "GET 200 0\n");
    assert_false(self.transfers.is_alone);
}

static void a_child_leaves_them_to_its_parent(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(false);
    exchange("GET", 200, 1, 2);
    transfer_leave_many(&self, &outer);
    atomic_fetch_add(&attachment->epoch, 1);
    transfer_before_wait(&self);
    assert_string_equal(handed_over(), "");
    assert_int_equal(self.transfers.parked, 0);
}

static void what_is_parked_at_a_sudden_end_is_whole(void **state)
{
    (void)state;
    struct record record;
    uint32_t position = 0;
    enter(true);
    exchange("GET", 200, 1, 2);
    exchange_begin(&self, NULL, RECORD_HTTP_CLIENT, 1000);
    assert_true(segment_reader_next_remaining(&reader, &position, 9000, 0, &record));
    assert_int_equal(record.error, RECORD_OK);
    assert_int_equal(record.end_ns, 2000);
    assert_true(segment_reader_next_remaining(&reader, &position, 9000, 0, &record));
    assert_int_equal(record.error, RECORD_ERROR_ABORTED);
    assert_int_equal(record.end_ns, 9000);
}

static void the_end_of_the_process_hands_over(void **state)
{
    (void)state;
    enter(true);
    exchange("GET", 200, 1, 2);
    transfer_end_all(&self);
    exchange("GET", 201, 1, 2);
    assert_string_equal(handed_over(), "GET 200 0\nGET 201 0\n");
}

static void opaque_bytes_are_told_by_the_library(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(true);
    struct transfer_facts told = facts("GET", 200, 1, 2);
    transfer_tell(&self, &told); /* of HTTP/1 the bytes would have told */
    assert_string_equal(handed_over(), "");
    told.numbers.version = TRANSFER_HTTP2;
    told.sent = 3;
    told.received = 4;
    transfer_tell(&self, &told);
    transfer_leave_alone(&self, &outer);
    struct record record;
    assert_true(segment_reader_next(&reader, &record));
    struct slice target = record_find_field(&record, FIELD_TARGET);
    assert_true(slice_equals(target, SLICE("https://REDACTED:REDACTED@h/p?token=REDACTED")));
    assert_int_equal(record.start_ns, 3000);
    assert_int_equal(record.end_ns, 4000);
    assert_int_equal(record.http.request_body_bytes, 3);
    assert_int_equal(record.http.response_body_bytes, 4);
    assert_int_equal(record.http.transfer.version, TRANSFER_HTTP2);
}

/* Upgrade: h2c. The bytes have seen the 101, and the answer is the stream's. */
/* It was sent by a TLS library that is not seen, with ids that libcurl was given. */
static void what_no_hook_saw_is_told_by_the_library(void **state)
{
    (void)state;
    struct trace_identity announced = {
        .trace_id = {1}, .span_id = {2}, .parent_span_id = {3}, .parent_source = PARENT_CAUSAL};
    struct record record;
    struct transfer_facts told = facts("GET", 200, 1, 2);
    told.announced = &announced;
    told.is_unseen = true;
    struct thread_transfers outer = enter(true);
    transfer_tell(&self, &told);
    transfer_leave_alone(&self, &outer);
    assert_true(segment_reader_next(&reader, &record));
    assert_memory_equal(record.trace_id, announced.trace_id, sizeof(record.trace_id));
    assert_memory_equal(record.span_id, announced.span_id, sizeof(record.span_id));
    assert_memory_equal(record.parent_span_id, announced.parent_span_id, 8);
    assert_int_equal(record.parent_source, PARENT_CAUSAL);
    assert_int_equal(record.http.transfer.version, TRANSFER_HTTP1);
    /* Seen in the bytes, it is not told twice, whatever was announced. */
    outer = enter(true);
    exchange("GET", 200, 1, 2);
    transfer_tell(&self, &told);
    transfer_leave_alone(&self, &outer);
    assert_true(segment_reader_next(&reader, &record));
    assert_memory_not_equal(record.span_id, announced.span_id, sizeof(record.span_id));
    assert_false(segment_reader_next(&reader, &record));
}

static void an_upgrade_is_one_exchange(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(true);
    exchange("GET", 101, 1, 2);
    struct transfer_facts told = facts("GET", 200, 1, 2);
    told.numbers.version = TRANSFER_HTTP2;
    transfer_tell(&self, &told);
    transfer_leave_alone(&self, &outer);
    assert_string_equal(handed_over(), "GET 200 5\n");
}

static void a_time_out_is_told(void **state)
{
    (void)state;
    struct thread_transfers outer = enter(true);
    uint16_t slot = exchange_begin(&self, NULL, RECORD_HTTP_CLIENT, 1000);
    struct record *record = segment_record(segment, slot);
    record->local.port = 1;
    record->peer.port = 2;
    exchange_complete(&self, slot, 2000, RECORD_ERROR_CANCELLED, 0);
    struct transfer_facts told = facts("", 0, 1, 2);
    told.error = RECORD_ERROR_TIMEOUT;
    told.numbers.version = TRANSFER_UNKNOWN;
    transfer_tell(&self, &told);
    transfer_leave_alone(&self, &outer);
    struct record copy;
    assert_true(segment_reader_next(&reader, &copy));
    assert_int_equal(copy.error, RECORD_ERROR_TIMEOUT);
    assert_int_equal(copy.http.transfer.version, TRANSFER_HTTP1);
}

/* The numbers of libcurl's interface are written down here once more. */
static void numbers_are_libcurls(void **state)
{
    (void)state;
    static const int pairs[][2] = {
        {CURL_URL, CURLINFO_EFFECTIVE_URL},
        {CURL_METHOD, CURLINFO_EFFECTIVE_METHOD},
        {CURL_STATUS, CURLINFO_RESPONSE_CODE},
        {CURL_REDIRECTS, CURLINFO_REDIRECT_COUNT},
        {CURL_CONNECTS, CURLINFO_NUM_CONNECTS},
        {CURL_PEER_PORT, CURLINFO_PRIMARY_PORT},
        {CURL_LOCAL_PORT, CURLINFO_LOCAL_PORT},
        {CURL_VERSION, CURLINFO_HTTP_VERSION},
        {CURL_SOCKET, CURLINFO_ACTIVESOCKET},
        {CURL_SENT, CURLINFO_SIZE_UPLOAD_T},
        {CURL_RECEIVED, CURLINFO_SIZE_DOWNLOAD_T},
        {CURL_TOTAL_US, CURLINFO_TOTAL_TIME_T},
        {CURL_NAME_US, CURLINFO_NAMELOOKUP_TIME_T},
        {CURL_CONNECT_US, CURLINFO_CONNECT_TIME_T},
        {CURL_READY_US, CURLINFO_PRETRANSFER_TIME_T},
        {CURL_FIRST_BYTE_US, CURLINFO_STARTTRANSFER_TIME_T},
        {CURL_REDIRECT_US, CURLINFO_REDIRECT_TIME_T},
        {CURL_TLS_US, CURLINFO_APPCONNECT_TIME_T},
        {CURL_HTTP10, CURL_HTTP_VERSION_1_0},
        {CURL_HTTP11, CURL_HTTP_VERSION_1_1},
        {CURL_HTTP2, CURL_HTTP_VERSION_2_0},
        {CURL_HTTP3, CURL_HTTP_VERSION_3},
        {CURL_FAILED_INIT, CURLE_FAILED_INIT},
        {CURL_NO_RESOLVE, CURLE_COULDNT_RESOLVE_HOST},
        {CURL_NO_CONNECT, CURLE_COULDNT_CONNECT},
        {CURL_HTTP2_ERROR, CURLE_HTTP2},
        {CURL_PARTIAL, CURLE_PARTIAL_FILE},
        {CURL_WRITE_ERROR, CURLE_WRITE_ERROR},
        {CURL_TIMED_OUT, CURLE_OPERATION_TIMEDOUT},
        {CURL_ABORTED, CURLE_ABORTED_BY_CALLBACK},
        {CURL_BAD_ARGUMENT, CURLE_BAD_FUNCTION_ARGUMENT},
        {CURL_NOTHING, CURLE_GOT_NOTHING},
        {CURL_SEND_ERROR, CURLE_SEND_ERROR},
        {CURL_RECV_ERROR, CURLE_RECV_ERROR},
        {CURL_STREAM_ERROR, CURLE_HTTP2_STREAM},
        {CURL_MULTI_INTERNAL, CURLM_INTERNAL_ERROR},
        {CURL_DONE, CURLMSG_DONE},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(pairs[i][0], pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_waits_outside, set_up),
        cmocka_unit_test_setup(the_last_one_is_told_of, set_up),
        cmocka_unit_test_setup(another_connection_is_not_told_of, set_up),
        cmocka_unit_test_setup(many_are_told_apart, set_up),
        cmocka_unit_test_setup(the_next_call_hands_over, set_up),
        cmocka_unit_test_setup(the_bound_holds, set_up),
        cmocka_unit_test_setup(a_call_within_a_call_is_apart, set_up),
        cmocka_unit_test_setup(a_call_that_was_left_by_a_jump, set_up),
        cmocka_unit_test_setup(a_child_leaves_them_to_its_parent, set_up),
        cmocka_unit_test_setup(what_is_parked_at_a_sudden_end_is_whole, set_up),
        cmocka_unit_test_setup(the_end_of_the_process_hands_over, set_up),
        cmocka_unit_test_setup(opaque_bytes_are_told_by_the_library, set_up),
        cmocka_unit_test_setup(what_no_hook_saw_is_told_by_the_library, set_up),
        cmocka_unit_test_setup(an_upgrade_is_one_exchange, set_up),
        cmocka_unit_test_setup(a_time_out_is_told, set_up),
        cmocka_unit_test(numbers_are_libcurls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
