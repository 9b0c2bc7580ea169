/*
 * Observed calls: the same conversation gives the same records however it is cut into calls, short
 * writes, EAGAINs and reads.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/attached_segment.h"
#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/observe.h"
#include "app_thread/prepared.h"
#include "app_thread/trace_context.h"
#include "handoff/segment.h"

#define RECORDS_MAX 64
#define SUMMARY     512

struct exchange {
    const char *request;
    const char *reply; /* NULL: none comes */
};

struct outcome {
    size_t count;
    char summaries[RECORDS_MAX][SUMMARY];
};

static struct segment *segment;
static struct segment_reader reader;
/* Ways in which each conversation is cut, unless the first argument says otherwise. */
static unsigned long seeds = 3000;

static int set_up(void **state)
{
    (void)state;
    free(segment);
    free(attachment);
    segment = attach_segment(256);
    return segment_reader_init(&reader, segment, segment_size(256));
}

/* ---- what came of it ---- */

static size_t append_field(char *text, size_t used, const struct record *record, enum field_tag tag)
{
    struct slice value = record_find_field(record, tag);
    int written = snprintf(text + used, SUMMARY - used, " %d=%.*s", (int)tag, (int)value.size,
                           (const char *)value.data);
    return used + (size_t)written;
}

static void summarize(char text[SUMMARY], const struct record *record)
{
    int written = snprintf(text, SUMMARY, "kind %d error %d flags %d", record->kind, record->error,
                           record->flags & ~RECORD_FLAG_EARLY_REPLY);
    size_t used = (size_t)written;
    if (record->kind == RECORD_REDIS_CLIENT) {
        written =
            snprintf(text + used, SUMMARY - used, " args %u sent %llu got %llu type %c",
                     record->redis.argument_count, (unsigned long long)record->redis.request_bytes,
                     (unsigned long long)record->redis.response_bytes,
                     record->redis.reply_type ? record->redis.reply_type : '0');
    } else {
        written = snprintf(text + used, SUMMARY - used, " status %d sent %llu got %llu",
                           record->http.status, (unsigned long long)record->http.request_body_bytes,
                           (unsigned long long)record->http.response_body_bytes);
    }
    used += (size_t)written;
    static const enum field_tag tags[] = {FIELD_METHOD,     FIELD_TARGET,      FIELD_HOST,
                                          FIELD_COMMAND,    FIELD_SCRIPT,      FIELD_QUERY_TEXT,
                                          FIELD_USER_AGENT, FIELD_ERROR_PREFIX};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        used = append_field(text, used, record, tags[i]);
    }
}

static int compare_summaries(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void collect(struct outcome *outcome)
{
    struct record record;
    outcome->count = 0;
    while (segment_reader_next(&reader, &record)) {
        assert_true(outcome->count < RECORDS_MAX);
        summarize(outcome->summaries[outcome->count++], &record);
    }
    qsort(outcome->summaries, outcome->count, SUMMARY, compare_summaries);
    for (uint32_t i = 0; i < 256; i++) {
        assert_int_equal(atomic_load(&segment->states[i]), SLOT_FREE);
    }
}

/* ---- a conversation ---- */

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

/* Offers up to `size` bytes as one call would, and answers as the kernel might. */
static size_t offer(int fd, const char *bytes, size_t size, bool whole)
{
    struct iovec iov[3];
    size_t window = whole ? size : 1 + draw((uint32_t)size);
    size_t first = draw((uint32_t)window + 1);
    size_t second = draw((uint32_t)(window - first) + 1);
    union {
        const char *borrowed;
        char *base;
    } data = {bytes};
    iov[0] = (struct iovec){data.base, first};
    iov[1] = (struct iovec){data.base + first, second};
    iov[2] = (struct iovec){data.base + first + second, window - first - second};
    uint32_t fate = whole ? 2 : draw(3);
    ssize_t result = fate == 0   ? -1
                     : fate == 1 ? 1 + (ssize_t)draw((uint32_t)window)
                                 : (ssize_t)window;
    struct observation seen;
    assert_true(observe_send_begin(&seen, fd, iov, 3));
    observe_send_end(&seen, iov, 3, result, EAGAIN);
    return result > 0 ? (size_t)result : 0;
}

static void receive(int fd, const char *bytes, size_t size, bool whole)
{
    while (size > 0) {
        size_t part = whole ? size : 1 + draw((uint32_t)size);
        union {
            const char *borrowed;
            char *base;
        } data = {bytes};
        struct iovec iov = {data.base, part};
        struct receipt seen;
        assert_true(observe_receive_begin(&seen, fd));
        observe_receive_end(&seen, &iov, 1, (ssize_t)part, 0);
        bytes += part;
        size -= part;
    }
}

/* Sends the requests in groups of `depth` before their replies are received. */
static void converse(const struct exchange *exchanges, size_t count, size_t depth, bool whole,
                     struct outcome *outcome)
{
    static char sent[65536];
    static char received[65536];
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    for (size_t i = 0; i < count; i += depth) {
        size_t to_send = 0;
        size_t to_receive = 0;
        for (size_t j = i; j < i + depth && j < count; j++) {
            memcpy(sent + to_send, exchanges[j].request, strlen(exchanges[j].request));
            to_send += strlen(exchanges[j].request);
            if (exchanges[j].reply != NULL) {
                memcpy(received + to_receive, exchanges[j].reply, strlen(exchanges[j].reply));
                to_receive += strlen(exchanges[j].reply);
            }
        }
        for (size_t at = 0; at < to_send;) {
            at += offer(pair[0], sent + at, to_send - at, whole);
        }
        receive(pair[0], received, to_receive, whole);
    }
    descriptor_closing(&thread_state, pair[0]);
    close(pair[0]);
    close(pair[1]);
    collect(outcome);
}

static void check_depths(const struct exchange *exchanges, size_t count, size_t expected,
                         size_t deepest)
{
    static struct outcome reference;
    static struct outcome outcome;
    for (size_t depth = 1; depth <= deepest; depth++) {
        converse(exchanges, count, depth, true, &reference);
        assert_int_equal(reference.count, expected);
        for (uint32_t seed = 0; seed < seeds; seed++) {
            random_state = seed * 2654435761u + (uint32_t)depth;
            converse(exchanges, count, depth, false, &outcome);
            if (outcome.count != reference.count) {
                fail_msg("seed %u depth %zu: %zu records instead of %zu", seed, depth,
                         outcome.count, reference.count);
            }
            for (size_t i = 0; i < outcome.count; i++) {
                if (strcmp(outcome.summaries[i], reference.summaries[i]) != 0) {
                    fail_msg("seed %u depth %zu:\n  %s\ninstead of\n  %s", seed, depth,
                             outcome.summaries[i], reference.summaries[i]);
                }
            }
        }
    }
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        assert_int_equal(atomic_load(&segment->losses[loss]), 0);
    }
}

static void check_all_ways(const struct exchange *exchanges, size_t count, size_t expected)
{
    check_depths(exchanges, count, expected, count);
}

static void a_tunnel_is_read_on(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"CONNECT origin.test:80 HTTP/1.1\r\nHost: origin.test:80\r\n\r\n",
         "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"},
        {"CONNECT origin.test:80 HTTP/1.1\r\nHost: origin.test:80\r\n\r\n",
         "HTTP/1.1 200 Connection established\r\n\r\n"},
        {"GET /inside HTTP/1.1\r\nHost: origin.test\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"},
    };
    check_depths(exchanges, 3, 3, 1);
}

static void what_is_offered_need_not_be_taken(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"},
        {"PUT /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
         "5\r\n\r\nhello",
         "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"},
        {"GET http://origin.test/through-a-proxy HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"},
        {"GET /same HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"},
        {"GET /last HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
    };
    check_all_ways(exchanges, 5, 5);
}

static void http_however_cut(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"GET /a?b=c HTTP/1.1\r\nHost: example.test\r\nUser-Agent: one\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
        {"POST /upload HTTP/1.1\r\nHost: example.test\r\nContent-Length: 11\r\n\r\nhello world",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n"},
        {"HEAD /a HTTP/1.1\r\nHost: example.test\r\n\r\n",
         "HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\n"},
        {"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\n12345\r\n0\r\n\r\n",
         "HTTP/1.1 204 No Content\r\n\r\n"},
    };
    check_all_ways(exchanges, 4, 4);
}

static void redis_however_cut(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "$5\r\nvalue\r\n"},
        {"*4\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$6\r\nstatus\r\n$4\r\ndone\r\n", ":1\r\n"},
        {"*2\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n", "-ERR wrong number of arguments\r\n"},
        {"*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n1\r\n", "*2\r\n$1\r\nq\r\n$3\r\njob\r\n"},
    };
    check_all_ways(exchanges, 5, 5);
}

static void what_is_not_answered_ends_with_the_connection(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"GET /never HTTP/1.1\r\nHost: example.test\r\n\r\n", NULL},
        {"GET /cut HTTP/1.1\r\nHost: example", NULL},
    };
    check_all_ways(exchanges, 2, 2);
}

/* ---- who serves what another thread has read ---- */

static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";

static int accepted;

/* What a thread sends that has asked about the connection, as it is then. */
static struct record ask_and_send(bool runs_a_loop)
{
    struct record record = {0};
    thread_state.runs_a_loop = runs_a_loop;
    observe_health_asked(accepted);
    trace_context_begin_client(&thread_state, &record, clock_now_ns());
    return record;
}

static void *asks(void *argument)
{
    struct record *record = argument;
    *record = ask_and_send(false);
    return NULL;
}

static void *asks_in_loop(void *argument)
{
    struct record *record = argument;
    *record = ask_and_send(true);
    return NULL;
}

/* Answers, and what it sends after that. */
static void *asks_and_answers(void *argument)
{
    struct record *record = argument;
    *record = ask_and_send(false);
    assert_int_equal(record->parent_source, PARENT_CAUSAL);
    offer(accepted, answer, sizeof(answer) - 1, true);
    *record = (struct record){0};
    trace_context_begin_client(&thread_state, record, clock_now_ns());
    return NULL;
}

static struct record on_a_thread(void *(*function)(void *))
{
    static struct record record;
    pthread_t thread;
    record = (struct record){0};
    assert_int_equal(pthread_create(&thread, NULL, function, &record), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return record;
}

static void who_asks_before_the_answer_serves(void **state)
{
    (void)state;
    static const char head[] = "POST /work HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    int pair[2];
    struct outcome outcome;
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * UINT64_C(1000000000);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    accepted = pair[0];
    descriptor_made(&thread_state, accepted, DESCRIPTOR_ACCEPTED);
    assert_int_equal(on_a_thread(asks).parent_source, PARENT_NONE);
    for (int round = 0; round < 2; round++) {
        receive(accepted, head, sizeof(head) - 1, true);
        assert_int_equal(on_a_thread(asks).parent_source, PARENT_NONE); /* not all of it is there */
        receive(accepted, "ok", 2, true);
        assert_int_equal(on_a_thread(asks_in_loop).parent_source, PARENT_NONE);
        struct record sent = on_a_thread(asks);
        assert_int_equal(sent.parent_source, PARENT_CAUSAL);
        assert_memory_equal(sent.parent_span_id, thread_state.context.span_id, 8);
        assert_memory_equal(sent.trace_id, thread_state.context.trace_id, 16);
        assert_int_equal(on_a_thread(asks_and_answers).parent_source, PARENT_NONE);
        assert_int_equal(on_a_thread(asks).parent_source, PARENT_NONE);
    }
    descriptor_closing(&thread_state, accepted);
    close(pair[0]);
    close(pair[1]);
    collect(&outcome);
    assert_int_equal(outcome.count, 2);
}

/* ---- who prepares a connection, and who sends on it ---- */

static int used;

static const char call[] = "GET /called HTTP/1.1\r\nHost: a\r\n\r\n";

/* Asks whether the connection is still there; `size` is what is read at most. */
static void ask_whether_there(size_t size)
{
    char room[16];
    struct iovec iov = {room, size};
    struct receipt seen;
    assert_true(observe_receive_begin(&seen, used));
    observe_receive_end(&seen, &iov, 1, -1, EAGAIN);
}

static void *calls(void *argument)
{
    (void)argument;
    offer(used, call, sizeof(call) - 1, true);
    receive(used, answer, sizeof(answer) - 1, true);
    assert_false(thread_state.context.is_lent);
    return NULL;
}

static void *asks_for_nobody(void *argument)
{
    (void)argument;
    ask_whether_there(1);
    return NULL;
}

static void on_thread(void *(*function)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The source of the parent of the call that was made last. */
static int called(void)
{
    struct record record;
    assert_true(segment_reader_next(&reader, &record));
    assert_int_equal(record.kind, RECORD_HTTP_CLIENT);
    bool is_ours = memcmp(record.parent_span_id, thread_state.context.span_id, 8) == 0;
    assert_int_equal(is_ours, record.parent_source == PARENT_CAUSAL);
    return record.parent_source;
}

static void a_request_is_for_whom_its_connection_was_prepared(void **state)
{
    (void)state;
    static const char head[] = "GET /work HTTP/1.1\r\nHost: a\r\n\r\n";
    int serving[2];
    int calling[2];
    struct outcome outcome;
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * UINT64_C(1000000000);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, serving), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, calling), 0);
    descriptor_made(&thread_state, serving[0], DESCRIPTOR_ACCEPTED);
    descriptor_made(&thread_state, calling[0], DESCRIPTOR_STREAM);
    used = calling[0];
    thread_state.runs_a_loop = false;
    receive(serving[0], head, sizeof(head) - 1, true);
    struct touch touch;
    assert_true(connection_touch(&thread_state, used, &touch));
    touch.connection->role = ROLE_CLIENT;
    prepared_note(&thread_state, touch.connection); /* as connect() does */
    on_thread(calls);
    assert_int_equal(called(), PARENT_CAUSAL);
    /* Once. */
    on_thread(calls);
    assert_int_equal(called(), PARENT_NONE);
    ask_whether_there(1);
    on_thread(calls);
    assert_int_equal(called(), PARENT_CAUSAL);
    /* Whoever reads to the end is not about to use it. */
    ask_whether_there(16);
    on_thread(calls);
    assert_int_equal(called(), PARENT_NONE);
    /* The last word counts. */
    ask_whether_there(1);
    on_thread(asks_for_nobody);
    on_thread(calls);
    assert_int_equal(called(), PARENT_NONE);
    /* Who works for somebody calls for that. */
    ask_whether_there(1);
    calls(NULL);
    assert_int_equal(called(), PARENT_CAUSAL);
    on_thread(calls);
    assert_int_equal(called(), PARENT_NONE);
    /* Not beyond its answer. */
    ask_whether_there(1);
    offer(serving[0], answer, sizeof(answer) - 1, true);
    on_thread(calls);
    collect(&outcome);
    assert_int_equal(outcome.count, 2);
    descriptor_closing(&thread_state, serving[0]);
    descriptor_closing(&thread_state, used);
    for (int i = 0; i < 2; i++) {
        close(serving[i]);
        close(calling[i]);
    }
}

/* ---- the first bytes behind an answer that changes the protocol ---- */

static void receive_bytes(int fd, const char *bytes, size_t size)
{
    union {
        const char *borrowed;
        char *base;
    } data = {bytes};
    struct iovec iov = {data.base, size};
    struct receipt seen;
    assert_true(observe_receive_begin(&seen, fd));
    observe_receive_end(&seen, &iov, 1, (ssize_t)size, 0);
}

/* Another thread reads the first frame before the one that has sent the answer is back from its
   call, or while it frames it. */
static void frames_may_come_before_the_upgrade(void **state)
{
    (void)state;
    static const char upgrade[] = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
                                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static char switching[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    static const char frame[] = "\x81\x85\1\2\3\4iegiu";
    struct iovec iov = {switching, sizeof(switching) - 1};
    const int fd = 31;
    for (int way = 0; way < 3; way++) {
        struct observation seen;
        struct touch touch;
        descriptor_made(&thread_state, fd, DESCRIPTOR_ACCEPTED);
        receive_bytes(fd, upgrade, sizeof(upgrade) - 1);
        assert_true(connection_find(fd, &touch));
        assert_true(observe_send_begin(&seen, fd, &iov, 1));
        if (way == 1) {
            receive_bytes(fd, frame, sizeof(frame) - 1);
        } else if (way == 2) {
            assert_true(connection_enter(&thread_state, &touch, DIRECTION_IN, true));
        }
        observe_send_end(&seen, &iov, 1, (ssize_t)sizeof(switching) - 1, 0);
        if (way == 2) {
            struct passage passage = {.self = &thread_state,
                                      .connection = touch.connection,
                                      .direction = DIRECTION_IN,
                                      .now = clock_now_ns()};
            protocol_pass(&passage, slice_of(frame, sizeof(frame) - 1));
            connection_leave(&thread_state, touch.connection, DIRECTION_IN);
        } else if (way == 0) {
            receive_bytes(fd, frame, sizeof(frame) - 1);
        }
        receive_bytes(fd, frame, sizeof(frame) - 1);
        assert_int_equal(atomic_load(&touch.connection->protocol), PROTOCOL_WEBSOCKET);
        assert_int_equal(touch.connection->directions[DIRECTION_IN].bytes,
                         sizeof(upgrade) - 1 + 2 * (sizeof(frame) - 1));
        descriptor_closing(&thread_state, fd);
        struct record record;
        uint64_t messages = 0;
        unsigned handshakes = 0;
        while (segment_reader_next(&reader, &record)) {
            handshakes += record.kind == RECORD_HTTP_SERVER;
            if (record.kind == RECORD_WEBSOCKET_SERVER) {
                messages += record.websocket.text_messages[DIRECTION_IN];
            }
        }
        assert_int_equal(handshakes, 1);
        assert_int_equal(messages, 2);
    }
    for (uint32_t i = 0; i < LOSS_COUNT; i++) {
        assert_int_equal(atomic_load(&segment->losses[i]), 0);
    }
}

int main(int count, char **arguments)
{
    seeds = count > 1 ? strtoul(arguments[1], NULL, 10) : seeds;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_is_read_on),
        cmocka_unit_test(what_is_offered_need_not_be_taken),
        cmocka_unit_test(http_however_cut),
        cmocka_unit_test(redis_however_cut),
        cmocka_unit_test(what_is_not_answered_ends_with_the_connection),
        cmocka_unit_test(who_asks_before_the_answer_serves),
        cmocka_unit_test(a_request_is_for_whom_its_connection_was_prepared),
        cmocka_unit_test(frames_may_come_before_the_upgrade),
    };
    int failed = cmocka_run_group_tests(tests, set_up, NULL);
    /* The same where requests are framed before the call that sends them. */
    attachment_frames_ahead = true;
    return failed + cmocka_run_group_tests(tests, set_up, NULL);
}
