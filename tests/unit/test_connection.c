/*
 * Connections in the hands of several threads, over forks, and back from adrift.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/connection.h"
#include "app_thread/observe.h"
#include "handoff/segment.h"

#define SLOTS 256u

static struct segment *segment;
static struct segment_reader reader;
static int pair[2];
static uint32_t last_epoch = 1;

static struct segment *give_segment(struct attachment *page)
{
    page->random_seed = 42;
    atomic_store(&page->epoch, last_epoch += ATTACHMENT_NEXT_PROCESS);
    page->doorbell = &segment->doorbell;
    return segment;
}

static void new_segment(void)
{
    size_t size = segment_size(SLOTS);
    free(segment);
    segment = aligned_alloc(64, (size + 63) / 64 * 64);
    memset(segment, 0, size);
    segment_initialize(segment, SLOTS, 1, (struct segment_clock){1, 1});
    assert_int_equal(segment_reader_init(&reader, segment, size), 0);
}

static int set_up(void **state)
{
    (void)state;
    new_segment();
    if (attachment == NULL) {
        attachment = calloc(1, 4096);
        attachment_renew = give_segment;
        atomic_store(&attachment_is_on, true);
    }
    atomic_store(&attachment->segment, segment);
    attachment->doorbell = &segment->doorbell;
    atomic_store(&attachment->epoch, last_epoch += ATTACHMENT_NEXT_PROCESS);
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int tear_down(void **state)
{
    (void)state;
    descriptor_closing(&thread_state, pair[0]);
    descriptor_closing(&thread_state, pair[1]);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static struct segment *give_new_segment(struct attachment *page)
{
    new_segment();
    page->doorbell = &segment->doorbell;
    return segment;
}

/* The drainer went, and another one has given a segment. */
static void replace_segment(void)
{
    attachment_renew = give_new_segment;
    attachment_replace_segment();
    attachment_renew = give_segment;
}

/* What the kernel does to the page in the child of a fork, and what the child makes of it. */
static void become_child(void)
{
    new_segment();
    atomic_store(&attachment->segment, NULL);
    atomic_store(&attachment->epoch, 0);
    atomic_store(&attachment->renewal, RENEWAL_NONE);
}

static struct iovec iov_of(const char *bytes, size_t size)
{
    union {
        const char *borrowed;
        char *base;
    } data = {bytes};
    return (struct iovec){data.base, size};
}

static void send_part(int fd, const char *bytes, ssize_t result, int error)
{
    struct iovec iov = iov_of(bytes, strlen(bytes));
    struct observation seen;
    if (observe_send_begin(&seen, fd, &iov, 1)) {
        observe_send_end(&seen, &iov, 1, result, error);
    }
}

static void sends(int fd, const char *bytes)
{
    send_part(fd, bytes, (ssize_t)strlen(bytes), 0);
}

static void receives(int fd, const char *bytes)
{
    struct iovec iov = iov_of(bytes, strlen(bytes));
    struct receipt seen;
    if (observe_receive_begin(&seen, fd)) {
        observe_receive_end(&seen, &iov, 1, (ssize_t)strlen(bytes), 0);
    }
}

static struct connection *connection_of(int fd)
{
    struct touch touch;
    assert_true(connection_find(fd, &touch));
    return touch.connection;
}

static bool next(struct record *record)
{
    return segment_reader_next(&reader, record);
}

static void assert_field(const struct record *record, enum field_tag tag, const char *expected)
{
    struct slice value = record_find_field(record, tag);
    assert_int_equal(value.size, strlen(expected));
    assert_memory_equal(value.data, expected, value.size);
}

static uint32_t slots_in_use(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        count += atomic_load(&segment->states[i]) != SLOT_FREE;
    }
    return count;
}

/* ---- several owners ---- */

/* What was framed before a call that sent nothing may have been of another protocol: each exchange
   is ended once, by the rules of its own. */
static void what_was_not_sent_leaves_no_protocol_behind(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    send_part(pair[0], "*1\r\n$4\r\nPING\r\n", -1, EAGAIN);
    sends(pair[0], "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123");
    descriptor_closing(&thread_state, pair[0]);
    assert_true(next(&record));
    assert_int_equal(record.kind, RECORD_HTTP_CLIENT);
    assert_field(&record, FIELD_TARGET, "/cut");
    assert_int_equal(record.http.request_body_bytes, 3);
    assert_false(next(&record));
    assert_int_equal(slots_in_use(), 0);
    assert_int_equal(atomic_load(&segment->losses[LOSS_RECORD_INVALID]), 0);
}

/* A thread that uses a number just while another announces it leaves it announced and linked. */
static void a_number_that_is_announced_late_is_the_connection_it_was(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    struct connection *connection = connection_of(pair[0]);
    atomic_store(&descriptor_kinds[pair[0]], DESCRIPTOR_STREAM);
    descriptor_duplicated(&thread_state, pair[0], pair[1]);
    assert_ptr_equal(connection_of(pair[1]), connection);
    assert_ptr_equal(connection_of(pair[0]), connection);
    assert_int_equal(atomic_load(&connection->references), 2);
    assert_int_equal(atomic_load(&descriptor_kinds[pair[0]]), DESCRIPTOR_CONNECTION);
}

/* ---- answers that come before the call is back ---- */

static bool send_begins(struct observation *seen, int fd, struct iovec *iov, const char *bytes)
{
    *iov = iov_of(bytes, strlen(bytes));
    return observe_send_begin(seen, fd, iov, 1);
}

static void assert_nothing_lost(void)
{
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        assert_int_equal(atomic_load(&segment->losses[loss]), 0);
    }
    assert_int_equal(slots_in_use(), 0);
}

static void an_answer_waits_for_its_request(void **state)
{
    (void)state;
    struct observation seen;
    struct iovec iov;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    for (int i = 0; i < 3; i++) {
        assert_true(send_begins(&seen, pair[0], &iov, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"));
        receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Le");
        receives(pair[0], "ngth: 2\r\nX-Request-Id: 7\r\n\r\nok");
        assert_false(next(&record));
        observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
        assert_true(next(&record));
        assert_int_equal(record.http.status, 200);
        assert_int_equal(record.http.response_body_bytes, 2);
        assert_field(&record, FIELD_TARGET, "/a");
        assert_field(&record, FIELD_REQUEST_ID, "7");
        assert_int_equal(record.flags & RECORD_FLAG_EARLY_REPLY, 0);
        assert_true(record.start_ns <= record.reply_ns && record.reply_ns <= record.end_ns);
    }
    descriptor_closing(&thread_state, pair[0]);
    assert_false(next(&record));
    assert_nothing_lost();
}

/* Only what may answer the call that is not back waits. */
static void an_earlier_answer_does_not_wait(void **state)
{
    (void)state;
    struct observation seen;
    struct iovec iov;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    assert_true(send_begins(&seen, pair[0], &iov, "*1\r\n$4\r\nPING\r\n"));
    receives(pair[0], "$1\r\n1\r\n+PO");
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "GET");
    receives(pair[0], "NG\r\n");
    assert_false(next(&record));
    observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "PING");
    assert_int_equal(record.redis.response_bytes, 7);
    descriptor_closing(&thread_state, pair[0]);
    assert_nothing_lost();
}

static void the_end_waits_too(void **state)
{
    (void)state;
    struct observation seen;
    struct iovec iov;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    assert_true(send_begins(&seen, pair[0], &iov, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"));
    char byte;
    struct iovec room = {&byte, 1};
    struct receipt receipt;
    assert_true(observe_receive_begin(&receipt, pair[0]));
    observe_receive_end(&receipt, &room, 1, 0, 0);
    observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
    assert_true(next(&record));
    assert_int_equal(record.error, RECORD_ERROR_EOF);
    descriptor_closing(&thread_state, pair[0]);
    assert_nothing_lost();
}

static void an_upgrade_waits_too(void **state)
{
    (void)state;
    struct observation seen;
    struct iovec iov;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    assert_true(send_begins(&seen, pair[0], &iov,
                            "GET /w HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\n\r\n"));
    receives(pair[0], "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\n\r\n\x81\x02hi");
    observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
    assert_true(next(&record));
    assert_int_equal(record.http.status, 101);
    descriptor_closing(&thread_state, pair[0]);
    assert_true(next(&record));
    assert_int_equal(record.kind, RECORD_WEBSOCKET_CLIENT);
    assert_int_equal(record.websocket.text_messages[DIRECTION_IN], 1);
    assert_nothing_lost();
}

/* A request that nobody sent has no answer: what waited is what was said before. */
static void what_waits_for_nothing_is_read(void **state)
{
    (void)state;
    struct observation seen;
    struct iovec iov;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n");
    receives(pair[0], "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_true(next(&record));
    assert_true(send_begins(&seen, pair[0], &iov, "*1\r\n$4\r\nPING\r\n"));
    receives(pair[0], "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n1\r\n");
    observe_send_end(&seen, &iov, 1, -1, EAGAIN);
    descriptor_closing(&thread_state, pair[0]);
    assert_false(next(&record));
    assert_nothing_lost();
}

/* The request's first bytes say what the connection speaks, for both directions; the other one may
   be in use just then. */
static void a_request_waits_for_the_other_direction(void **state)
{
    (void)state;
    struct record record;
    struct touch touch;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    assert_true(connection_touch(&thread_state, pair[0], &touch));
    assert_true(connection_enter(&thread_state, &touch, DIRECTION_IN, false));
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    assert_int_equal(slots_in_use(), 0);
    connection_leave(&thread_state, touch.connection, DIRECTION_IN);
    assert_int_equal(slots_in_use(), 2);
    receives(pair[0], "+PONG\r\n$1\r\n1\r\n");
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "PING");
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "GET");
    descriptor_closing(&thread_state, pair[0]);
    assert_nothing_lost();
}

static void answer_of(size_t size, bool *fits)
{
    struct observation seen;
    struct iovec iov;
    struct record record;
    char *bytes = calloc(1, size + 1);
    assert_non_null(bytes);
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    int head = snprintf(bytes, size, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size - 100);
    size_t total = (size_t)head + size - 100;
    /* Pad the head so that the whole is of that size. */
    head = snprintf(bytes, size, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nX: %0*d\r\n\r\n",
                    size - 100, (int)(size - total) - 5, 0);
    assert_int_equal((size_t)head + size - 100, size);
    memset(bytes + head, 'b', size - (size_t)head);
    assert_true(send_begins(&seen, pair[0], &iov, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"));
    receives(pair[0], bytes);
    observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
    *fits = next(&record) && record.http.response_body_bytes == size - 100;
    descriptor_closing(&thread_state, pair[0]);
    assert_int_equal(slots_in_use(), 0);
    free(bytes);
}

static void so_much_waits_and_no_more(void **state)
{
    (void)state;
    bool fits;
    answer_of(LIMIT_HELD_BYTES, &fits);
    assert_true(fits);
    assert_int_equal(atomic_load(&segment->losses[LOSS_CONTENDED]), 0);
    answer_of(LIMIT_HELD_BYTES + 1, &fits);
    assert_false(fits);
    assert_int_equal(atomic_load(&segment->losses[LOSS_CONTENDED]), 1);
}

/* ---- another segment ---- */

static void expect_command(const char *text)
{
    struct record record;
    assert_true(next(&record));
    assert_int_equal(record.kind, RECORD_REDIS_CLIENT);
    assert_true(
        slice_equals(record_find_field(&record, FIELD_QUERY_TEXT), slice_of(text, strlen(text))));
}

/* The open exchange is lost, and counted; those after it are not, however busy the connection is.
 */
static void a_connection_goes_on_in_another_segment(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    uint32_t before = attachment_epoch();
    replace_segment();
    assert_true(attachment_is_of_process(before));
    assert_int_not_equal(attachment_epoch(), before);
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    receives(pair[0], "+A\r\n");
    receives(pair[0], "+B\r\n");
    expect_command("GET b");
    assert_int_equal(atomic_load(&segment->losses[LOSS_ABANDONED]), 1);
    replace_segment();
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n");
    receives(pair[0], "+C\r\n");
    expect_command("GET c");
    assert_int_equal(atomic_load(&segment->losses[LOSS_ABANDONED]), 0);
    assert_int_equal(slots_in_use(), 0);
}

/* More than lie in the connection itself. */
static void a_long_pipeline_goes_on_in_another_segment(void **state)
{
    (void)state;
    const int count = 40;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    for (int i = 0; i < count; i++) {
        sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    }
    receives(pair[0], "+A\r\n");
    replace_segment();
    for (int i = 1; i < count; i++) {
        receives(pair[0], "+A\r\n");
    }
    struct record record;
    assert_false(next(&record));
    assert_int_equal(atomic_load(&segment->losses[LOSS_ABANDONED]), count - 1);
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    receives(pair[0], "+B\r\n");
    expect_command("GET b");
}

/* A request whose answer has begun: the parsers go on where they were. */
static void an_answer_goes_on_in_another_segment(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    replace_segment();
    sends(pair[0], "cd");
    receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    replace_segment();
    receives(pair[0], "cd");
    sends(pair[0], "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    struct record record;
    assert_true(next(&record));
    assert_int_equal(record.kind, RECORD_HTTP_CLIENT);
    assert_true(slice_equals(record_find_field(&record, FIELD_TARGET), SLICE("/b")));
    assert_false(next(&record));
    assert_int_equal(slots_in_use(), 0);
}

/* Another thread is in the middle of a call that sends while the segment is replaced. */
static void a_segment_is_replaced_while_a_thread_sends(void **state)
{
    (void)state;
    for (int is_framed_ahead = 0; is_framed_ahead < 2; is_framed_ahead++) {
        attachment_frames_ahead = is_framed_ahead != 0;
        descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
        struct record record;
        sends(pair[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_true(next(&record));
        const char *request = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        struct iovec iov = iov_of(request, strlen(request));
        struct observation seen;
        assert_true(observe_send_begin(&seen, pair[0], &iov, 1));
        replace_segment();
        observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
        receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        sends(pair[0], "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_true(next(&record));
        assert_true(slice_equals(record_find_field(&record, FIELD_TARGET), SLICE("/b")));
        assert_false(next(&record));
        assert_int_equal(slots_in_use(), 0);
        uint64_t lost = segment->losses[LOSS_ABANDONED] + segment->losses[LOSS_CONTENDED];
        assert_int_equal(lost, 1);
    }
    attachment_frames_ahead = false;
}

/* ---- fork ---- */

/* A handler may fork in the middle of a call; the child then comes back from that call, too. */
static void a_call_that_began_before_the_fork_ends_unseen(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    const char *request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct iovec iov = iov_of(request, strlen(request));
    struct observation seen;
    assert_true(observe_send_begin(&seen, pair[0], &iov, 1));
    become_child();
    atomic_store(&segment->states[0], SLOT_OPEN); /* an exchange of the child's own */
    for (uint32_t i = 1; i < SLOTS; i++) {
        atomic_store(&segment->states[i], SLOT_OPEN);
    }
    observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len, 0);
    receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    descriptor_closing(&thread_state, pair[0]);
    struct record record;
    assert_false(next(&record));
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(atomic_load(&segment->states[i]), SLOT_OPEN);
    }
}

/* A thread that was in a call is not there in the child. What it had half done is not gone on
   with. */
static void a_thread_lost_in_a_call_takes_its_connection_along(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    receives(pair[0], "+PONG\r\n");
    atomic_store(&connection_of(pair[0])->busy[DIRECTION_IN], 1); /* a reader, half-way */
    become_child();
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    receives(pair[0], "+PONG\r\n");
    assert_int_not_equal(connection_of(pair[0])->protocol, PROTOCOL_REDIS);
    assert_int_equal(slots_in_use(), 0);
}

static void a_child_counts_its_own_bytes(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    receives(pair[0], "+PONG\r\n");
    become_child();
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    receives(pair[0], "+PONG\r\n");
    assert_int_equal(connection_of(pair[0])->directions[DIRECTION_OUT].bytes, 14);
    assert_int_equal(connection_of(pair[0])->directions[DIRECTION_IN].bytes, 7);
    struct record record;
    assert_true(next(&record));
    assert_int_equal(record.kind, RECORD_REDIS_CLIENT);
    assert_int_equal(record.redis.request_bytes, 14);
    assert_int_equal(record.redis.response_bytes, 7);
    assert_false(next(&record));
}

/* ---- adrift ---- */

/* Two commands are outstanding when bytes are missed; the answer to one is seen, and a third
   command follows. Whatever answer comes next is not the third one's. */
static void who_pipelines_comes_back_only_after_quiet(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    observe_unseen(pair[0], DIRECTION_OUT, 10);
    receives(pair[0], "+PONG\r\n");
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    receives(pair[0], "$1\r\n1\r\n");
    assert_int_equal(slots_in_use(), 0);
    assert_false(next(&record));
    receives(pair[0], "$1\r\n2\r\n");
    /* A long time later. */
    atomic_store(&connection_of(pair[0])->replied_ns, 1);
    sends(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n");
    receives(pair[0], "$1\r\n3\r\n");
    assert_true(next(&record));
    assert_field(&record, FIELD_QUERY_TEXT, "GET c");
    assert_false(next(&record));
}

/* A server that sends files by means that show no bytes, to a peer that waits for each answer. */
static void who_does_not_pipeline_comes_back_at_once(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    observe_unseen(pair[0], DIRECTION_IN, 10);
    receives(pair[0], "body\r\n");
    sends(pair[0], "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    receives(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_true(next(&record));
    assert_field(&record, FIELD_TARGET, "/b");
    assert_false(next(&record));
}

/* ---- the unusual ---- */

/* The peer answers while most of the request is still to be sent, and only a part of what was
   framed goes out. There was one exchange. */
static void answered_during_a_short_write(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    const char *request = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123456789";
    struct iovec iov = iov_of(request, strlen(request));
    struct observation seen;
    assert_true(observe_send_begin(&seen, pair[0], &iov, 1));
    receives(pair[0], "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    observe_send_end(&seen, &iov, 1, (ssize_t)iov.iov_len - 5, 0);
    descriptor_closing(&thread_state, pair[0]);
    assert_true(next(&record));
    assert_int_equal(record.http.status, 413);
    assert_field(&record, FIELD_METHOD, "POST");
    assert_false(next(&record));
    assert_int_equal(slots_in_use(), 0);
}

static void a_refused_write_keeps_what_was_framed(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    send_part(pair[0], "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", -1, EPIPE);
    descriptor_closing(&thread_state, pair[0]);
    assert_true(next(&record));
    assert_int_equal(record.error, RECORD_ERROR_RESET);
    assert_field(&record, FIELD_METHOD, "GET");
    assert_field(&record, FIELD_TARGET, "/a");
    assert_false(next(&record));
}

static void a_refused_piece_keeps_what_was_framed(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    send_part(pair[0], "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", 14, 0);
    send_part(pair[0], "1\r\na", -1, EPIPE);
    descriptor_closing(&thread_state, pair[0]);
    assert_true(next(&record));
    assert_int_equal(record.error, RECORD_ERROR_RESET);
    assert_field(&record, FIELD_COMMAND, "GET");
    assert_false(next(&record));
}

/* write(fd, buffer, read(...)) with a read that failed: refused by the kernel, not read by us. */
static void a_size_below_zero(void **state)
{
    (void)state;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*1\r\n$4\r\nPING\r\n");
    receives(pair[0], "+PONG\r\n");
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
    static const char begun[] = "*1\r\n$400000\r\n";
    memcpy(pages + 4096 - strlen(begun), begun, strlen(begun));
    struct iovec iov = {pages + 4096 - strlen(begun), SIZE_MAX};
    struct observation seen;
    if (observe_send_begin(&seen, pair[0], &iov, 1)) {
        observe_send_end(&seen, &iov, 1, -1, EINVAL);
    }
    munmap(pages, 8192);
    sends(pair[0], "*1\r\n$4\r\nECHO\r\n");
    receives(pair[0], "+PONG\r\n");
    struct record record;
    assert_true(next(&record));
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "ECHO");
}

/* Confirmations of one kind do not answer a command of the other. */
static void a_late_unsubscription_is_no_subscription(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n");
    receives(
        pair[0],
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    assert_true(next(&record));
    sends(pair[0], "*1\r\n$11\r\nUNSUBSCRIBE\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n");
    receives(pair[0], "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "UNSUBSCRIBE");
    receives(pair[0], "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n");
    assert_false(next(&record));
    receives(pair[0], "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_true(next(&record));
    assert_field(&record, FIELD_COMMAND, "SUBSCRIBE");
}

/* In a transaction CLIENT REPLY is queued like everything else, and takes effect who knows when. */
static void client_reply_in_a_transaction(void **state)
{
    (void)state;
    struct record record;
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    sends(pair[0], "*1\r\n$5\r\nMULTI\r\n");
    receives(pair[0], "+OK\r\n");
    assert_false(next(&record));
    sends(pair[0],
          "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
          "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    receives(pair[0], "+QUEUED\r\n");
    while (next(&record)) {
        /* The one answer that there was beside that to MULTI is not the one to GET b. */
        bool is_multi = slice_equals(record_find_field(&record, FIELD_COMMAND), SLICE("MULTI"));
        assert_int_equal(record.redis.reply_type, is_multi ? '+' : 0);
    }
    assert_int_equal(slots_in_use(), 0);
}

/* ---- whose work ---- */

static void *answer(void *unused)
{
    (void)unused;
    sends(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    return NULL;
}

/* One thread reads the request, another one answers it: what the first one does after that is not
   for the request. */
static void an_answer_by_another_thread_ends_the_work(void **state)
{
    (void)state;
    struct record server;
    struct record client;
    int other[2];
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_ACCEPTED);
    descriptor_made(&thread_state, other[0], DESCRIPTOR_STREAM);
    receives(pair[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    sends(other[0], "*1\r\n$4\r\nPING\r\n");
    receives(other[0], "+PONG\r\n");
    assert_int_equal(pthread_create(&thread, NULL, answer, NULL), 0);
    pthread_join(thread, NULL);
    sends(other[0], "*1\r\n$4\r\nECHO\r\n");
    receives(other[0], "+PONG\r\n");
    descriptor_closing(&thread_state, other[0]);
    close(other[0]);
    close(other[1]);
    bool child = false;
    bool root = false;
    server.kind = 0;
    while (next(&client)) {
        if (client.kind == RECORD_HTTP_SERVER) {
            server = client;
        } else if (slice_equals(record_find_field(&client, FIELD_COMMAND), SLICE("PING"))) {
            child = client.parent_source == PARENT_CAUSAL;
        } else {
            root = client.parent_source == PARENT_NONE;
        }
    }
    assert_int_equal(server.kind, RECORD_HTTP_SERVER);
    assert_true(child);
    assert_true(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_was_not_sent_leaves_no_protocol_behind),
        TEST(a_number_that_is_announced_late_is_the_connection_it_was),
        TEST(an_answer_waits_for_its_request),
        TEST(an_earlier_answer_does_not_wait),
        TEST(the_end_waits_too),
        TEST(an_upgrade_waits_too),
        TEST(what_waits_for_nothing_is_read),
        TEST(a_request_waits_for_the_other_direction),
        TEST(so_much_waits_and_no_more),
        TEST(a_connection_goes_on_in_another_segment),
        TEST(a_long_pipeline_goes_on_in_another_segment),
        TEST(an_answer_goes_on_in_another_segment),
        TEST(a_segment_is_replaced_while_a_thread_sends),
        TEST(a_call_that_began_before_the_fork_ends_unseen),
        TEST(a_thread_lost_in_a_call_takes_its_connection_along),
        TEST(a_child_counts_its_own_bytes),
        TEST(who_pipelines_comes_back_only_after_quiet),
        TEST(who_does_not_pipeline_comes_back_at_once),
        TEST(answered_during_a_short_write),
        TEST(a_refused_write_keeps_what_was_framed),
        TEST(a_refused_piece_keeps_what_was_framed),
        TEST(a_size_below_zero),
        TEST(a_late_unsubscription_is_no_subscription),
        TEST(client_reply_in_a_transaction),
        TEST(an_answer_by_another_thread_ends_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
