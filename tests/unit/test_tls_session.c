/*
 * TLS sessions and their connections: by descriptor, by ClientHello in any pieces, with both ends
 * in one process, over reused memory; and that ciphertext is never taken for plaintext.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/connection.h"
#include "app_thread/observe.h"
#include "app_thread/tls_session.h"
#include "handoff/segment.h"

#define SLOTS 256u

#define REQUEST "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define REPLY   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct segment *segment;
static struct segment_reader reader;
static int pair[2];

static struct segment *give_segment(struct attachment *page)
{
    page->random_seed = 42;
    page->doorbell = &segment->doorbell;
    atomic_store(&page->epoch, 7);
    return segment;
}

static int set_up(void **state)
{
    (void)state;
    size_t size = segment_size(SLOTS);
    free(segment);
    segment = aligned_alloc(64, (size + 63) / 64 * 64);
    memset(segment, 0, size);
    segment_initialize(segment, SLOTS, 1, (struct segment_clock){1, 1});
    if (attachment == NULL) {
        attachment = calloc(1, 4096);
        attachment_renew = give_segment;
        atomic_store(&attachment_is_on, true);
    }
    attachment->doorbell = &segment->doorbell;
    atomic_store(&attachment->epoch, 7);
    atomic_store(&attachment->segment, segment);
    assert_int_equal(segment_reader_init(&reader, segment, size), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM);
    descriptor_made(&thread_state, pair[1], DESCRIPTOR_ACCEPTED);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        descriptor_closing(&thread_state, pair[i]);
        close(pair[i]);
    }
    return 0;
}

/* ---- a library ---- */

struct session {
    struct tls_identity identity;
    bool is_established;
};

static bool identify(const void *library, void *session, struct tls_identity *identity)
{
    const struct session *of = session;
    (void)library;
    *identity = of->identity;
    return of->is_established;
}

static struct session new_session(int fd, enum connection_role role, uint8_t random)
{
    struct session session = {.is_established = true};
    session.identity.descriptors[0] = session.identity.descriptors[1] = fd;
    session.identity.is_certain = true;
    session.identity.role = (uint8_t)role;
    session.identity.has_random = random != 0;
    memset(session.identity.random, random, TLS_RANDOM_BYTES);
    return session;
}

static bool binds(struct session *session, struct touch *touch)
{
    return tls_session_touch(&thread_state, session, NULL, identify, touch);
}

/* ---- bytes ---- */

static struct iovec iov_of(const void *bytes, size_t size)
{
    union {
        const void *borrowed;
        void *base;
    } data = {bytes};
    return (struct iovec){data.base, size};
}

static void sends(int fd, const void *bytes, size_t size)
{
    struct iovec iov = iov_of(bytes, size);
    struct observation seen;
    if (observe_send_begin(&seen, fd, &iov, 1)) {
        observe_send_end(&seen, &iov, 1, (ssize_t)size, 0);
    }
}

static void receives(int fd, const void *bytes, size_t size)
{
    struct iovec iov = iov_of(bytes, size);
    struct receipt seen;
    if (observe_receive_begin(&seen, fd)) {
        observe_receive_end(&seen, &iov, 1, (ssize_t)size, 0);
    }
}

static void writes(struct session *session, const char *bytes, ssize_t result, int error)
{
    struct iovec iov = iov_of(bytes, strlen(bytes));
    struct observation seen;
    struct touch touch;
    assert_true(binds(session, &touch));
    assert_true(observe_plaintext_send_begin(&seen, &touch, session, &iov, 1));
    observe_send_end(&seen, &iov, 1, result, error);
}

static void reads(struct session *session, const char *bytes, ssize_t result, int error)
{
    struct iovec iov = iov_of(bytes, result > 0 ? (size_t)result : 1);
    struct touch touch;
    assert_true(binds(session, &touch));
    observe_plaintext_received(&touch, session, &iov, 1, result, error);
}

static void hello(uint8_t bytes[60], uint8_t random)
{
    static const uint8_t head[TLS_RANDOM_OFFSET] = {22, 3, 1, 0, 55, 1, 0, 0, 51, 3, 3};
    memset(bytes, 0, 60);
    memcpy(bytes, head, sizeof(head));
    memset(bytes + TLS_RANDOM_OFFSET, random, TLS_RANDOM_BYTES);
}

/* The next record that is done, or NULL. */
static const struct record *next_record(void)
{
    static struct record copy;
    return segment_reader_next(&reader, &copy) ? &copy : NULL;
}

static const struct record *the_record(void)
{
    static const struct record none;
    const struct record *record = next_record();
    assert_non_null(record);
    return record == NULL ? &none : record;
}

static unsigned count_records(enum record_kind kind, unsigned flags)
{
    unsigned count = 0;
    for (const struct record *record = next_record(); record != NULL; record = next_record()) {
        assert_int_equal(record->kind, kind);
        assert_int_equal(record->flags & RECORD_FLAG_TLS, flags);
        count++;
    }
    return count;
}

/* ---- cases ---- */

static void by_descriptor(void **state)
{
    (void)state;
    uint8_t bytes[60];
    struct session session = new_session(pair[0], ROLE_CLIENT, 0);
    struct touch touch;
    hello(bytes, 1);
    sends(pair[0], bytes, sizeof(bytes));
    session.is_established = false;
    assert_false(binds(&session, &touch));
    session.is_established = true;
    writes(&session, REQUEST, sizeof(REQUEST) - 1, 0);
    reads(&session, REPLY, sizeof(REPLY) - 1, 0);
    /* The opaque span that the ClientHello began is gone. */
    assert_int_equal(count_records(RECORD_HTTP_CLIENT, RECORD_FLAG_TLS), 1);
    descriptor_closing(&thread_state, pair[0]);
    assert_int_equal(count_records(RECORD_HTTP_CLIENT, RECORD_FLAG_TLS), 0);
}

static void by_hello_in_any_pieces(void **state)
{
    (void)state;
    uint8_t bytes[60];
    for (uint8_t piece = 1; piece <= 60; piece++) {
        hello(bytes, piece);
        for (size_t at = 0; at < sizeof(bytes); at += piece) {
            size_t size = sizeof(bytes) - at < piece ? sizeof(bytes) - at : piece;
            receives(pair[1], bytes + at, size);
        }
        struct session session = new_session(-1, ROLE_SERVER, piece);
        struct touch touch, by_fd;
        assert_true(binds(&session, &touch));
        assert_true(connection_find(pair[1], &by_fd));
        assert_ptr_equal(touch.connection, by_fd.connection);
        tls_session_forget(&session);
        descriptor_made(&thread_state, pair[1], DESCRIPTOR_ACCEPTED);
    }
}

static void both_ends_in_one_process(void **state)
{
    (void)state;
    uint8_t bytes[60];
    hello(bytes, 70);
    sends(pair[0], bytes, sizeof(bytes));
    receives(pair[1], bytes, sizeof(bytes));
    struct session client = new_session(-1, ROLE_CLIENT, 70);
    struct session server = new_session(-1, ROLE_SERVER, 70);
    struct session neither = new_session(-1, ROLE_UNKNOWN, 70);
    struct touch touch;
    assert_false(binds(&neither, &touch));
    writes(&client, REQUEST, sizeof(REQUEST) - 1, 0);
    reads(&server, REQUEST, sizeof(REQUEST) - 1, 0);
    writes(&server, REPLY, sizeof(REPLY) - 1, 0);
    reads(&client, REPLY, sizeof(REPLY) - 1, 0);
    assert_non_null(next_record());
    assert_non_null(next_record());
    assert_null(next_record());
}

/* What looks like a request below TLS is none. */
static void ciphertext_is_not_framed(void **state)
{
    (void)state;
    struct session session = new_session(pair[0], ROLE_CLIENT, 0);
    struct touch touch;
    assert_true(binds(&session, &touch));
    sends(pair[0], REQUEST, sizeof(REQUEST) - 1);
    receives(pair[0], REPLY, sizeof(REPLY) - 1);
    assert_null(next_record());
    assert_int_equal(touch.connection->encrypted_bytes[DIRECTION_OUT], sizeof(REQUEST) - 1);
    assert_int_equal(touch.connection->encrypted_bytes[DIRECTION_IN], sizeof(REPLY) - 1);
}

/* TLS inside TLS: the inner session's plaintext is what is framed. */
static void innermost_session(void **state)
{
    (void)state;
    uint8_t bytes[60];
    struct session outer = new_session(pair[0], ROLE_CLIENT, 0);
    struct session inner = new_session(-1, ROLE_CLIENT, 71);
    struct touch touch;
    hello(bytes, 71);
    assert_true(binds(&outer, &touch));
    struct iovec iov = iov_of(bytes, sizeof(bytes));
    observe_plaintext_sent(&touch, &outer, &iov, 1, sizeof(bytes));
    writes(&inner, REQUEST, sizeof(REQUEST) - 1, 0);
    iov = iov_of(REQUEST, sizeof(REQUEST) - 1);
    observe_plaintext_sent(&touch, &outer, &iov, 1, sizeof(REQUEST) - 1);
    reads(&inner, REPLY, sizeof(REPLY) - 1, 0);
    assert_int_equal(count_records(RECORD_HTTP_CLIENT, RECORD_FLAG_TLS), 1);
}

/* Called again with the same bytes: one exchange, from the first call on. */
static void a_write_that_is_made_again(void **state)
{
    (void)state;
    struct session session = new_session(pair[0], ROLE_CLIENT, 0);
    struct timespec now, pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 3; i++) {
        writes(&session, REQUEST, -1, EAGAIN);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    nanosleep(&pause, NULL);
    writes(&session, REQUEST, sizeof(REQUEST) - 1, 0);
    reads(&session, "", -1, EAGAIN);
    reads(&session, REPLY, sizeof(REPLY) - 1, 0);
    const struct record *record = the_record();
    assert_true(record->start_ns < (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    assert_null(next_record());
}

static void the_peers_end_below(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    struct session session = new_session(pair[0], ROLE_CLIENT, 0);
    struct iovec iov = iov_of(head, 10);
    struct receipt seen;
    writes(&session, REQUEST, sizeof(REQUEST) - 1, 0);
    reads(&session, head, sizeof(head) - 1, 0);
    assert_true(observe_receive_begin(&seen, pair[0]));
    observe_receive_end(&seen, &iov, 1, 0, 0);
    /* The library may still hold plaintext. */
    reads(&session, "more", 4, 0);
    assert_null(next_record());
    descriptor_closing(&thread_state, pair[0]);
    const struct record *record = the_record();
    assert_int_equal(record->error, RECORD_OK);
    assert_int_equal(record->http.response_body_bytes, strlen("until the endmore"));
}

/* The same address, another session: freed unseen, over another connection. */
static void reused_memory(void **state)
{
    (void)state;
    struct session session = new_session(pair[0], ROLE_CLIENT, 0);
    struct touch first, second;
    assert_true(binds(&session, &first));
    descriptor_made(&thread_state, pair[0], DESCRIPTOR_STREAM); /* closed unseen, opened again */
    assert_false(tls_session_find(&session, &second));
    assert_true(binds(&session, &second));
    /* And while the old connection is still there. */
    tls_session_forget(&session);
    session.identity.descriptors[0] = session.identity.descriptors[1] = pair[1];
    assert_true(binds(&session, &first));
    assert_ptr_not_equal(first.connection, second.connection);
    assert_true(tls_session_find(&session, &second));
    assert_ptr_equal(first.connection, second.connection);
}

static void looks_so_often_and_no_more(void **state)
{
    (void)state;
    struct session session = new_session(-1, ROLE_CLIENT, 72);
    struct touch touch;
    uint8_t bytes[60];
    for (unsigned i = 1; i < LIMIT_TLS_TRIES; i++) {
        assert_false(binds(&session, &touch));
    }
    /* The last try of one, the last but one of the other. */
    struct session late = session;
    for (unsigned i = 2; i < LIMIT_TLS_TRIES; i++) {
        assert_false(binds(&late, &touch));
    }
    assert_false(binds(&session, &touch));
    hello(bytes, 72);
    sends(pair[0], bytes, sizeof(bytes));
    assert_false(binds(&session, &touch));
    assert_true(binds(&late, &touch));
    tls_session_forget(&session);
}

/* The set of the table that a session's entry is in, of eight. */
static uint64_t set_of(const void *session)
{
    return ((uint64_t)(uintptr_t)session * UINT64_C(0x9E3779B97F4A7C15) >> 32) %
           (LIMIT_TLS_SESSIONS / 8);
}

/* The ninth session of a set of eight is not seen, until one of them has gone; sessions without a
   connection are in nobody's way. */
static void more_sessions_than_room(void **state)
{
    (void)state;
    struct session *many = calloc(LIMIT_TLS_SESSIONS * 2, sizeof(*many));
    struct session *chosen[9];
    struct touch touch, other;
    int ends[9][2];
    assert_non_null(many);
    for (size_t i = 0; i < LIMIT_TLS_SESSIONS * 2; i++) {
        many[i] = new_session(-1, ROLE_CLIENT, 73);
        assert_false(binds(&many[i], &touch));
    }
    assert_int_equal(atomic_load(&segment->losses[LOSS_SLAB_FULL]), 0);
    size_t at = 0;
    for (size_t i = 0; i < 9; i++) {
        while (at < LIMIT_TLS_SESSIONS * 2 && set_of(&many[at]) != 5) {
            at++;
        }
        assert_true(at < LIMIT_TLS_SESSIONS * 2);
        chosen[i] = &many[at++];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
        descriptor_made(&thread_state, ends[i][0], DESCRIPTOR_STREAM);
        tls_session_forget(chosen[i]);
        *chosen[i] = new_session(ends[i][0], ROLE_CLIENT, 0);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_true(binds(chosen[i], &touch));
    }
    assert_false(binds(chosen[8], &touch));
    assert_int_equal(atomic_load(&segment->losses[LOSS_SLAB_FULL]), 1);
    for (size_t i = 0; i < 8; i++) {
        assert_true(tls_session_find(chosen[i], &touch));
        assert_true(connection_find(ends[i][0], &other));
        assert_ptr_equal(touch.connection, other.connection);
    }
    descriptor_closing(&thread_state, ends[3][0]);
    assert_true(binds(chosen[8], &touch));
    for (size_t i = 0; i < 9; i++) {
        descriptor_closing(&thread_state, ends[i][0]);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(by_hello_in_any_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_ends_in_one_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ciphertext_is_not_framed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(innermost_session, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_that_is_made_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_peers_end_below, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reused_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_so_often_and_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_sessions_than_room, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
