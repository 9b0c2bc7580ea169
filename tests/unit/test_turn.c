/* Turns of an event loop: what reaches a thread between two waits, and whose work that makes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/epoll_names.h"
#include "app_thread/trace_context.h"
#include "app_thread/turn.h"
#include "handoff/segment.h"

#define SECOND INT64_C(1000000000)

/* Descriptors that no connection of the process has: events are told apart by them alone. */
#define LISTENER  (LIMIT_DESCRIPTORS - 1)
#define SERVER_FD (LIMIT_DESCRIPTORS - 2)
#define CLIENT_FD (LIMIT_DESCRIPTORS - 3)
#define WAKE_FD   (LIMIT_DESCRIPTORS - 4)

static struct connection server = {.serial = 1, .role = ROLE_SERVER};
static struct connection other_server = {.serial = 2, .role = ROLE_SERVER};
static struct connection client = {.serial = 3, .role = ROLE_CLIENT};
static struct connection other_client = {.serial = 4, .role = ROLE_CLIENT};

static int set_up(void **state)
{
    (void)state;
    free(attachment);
    attachment = calloc(1, 4096);
    memset(&thread_state, 0, sizeof(thread_state));
    /* A thread's first number makes it forget whose work it did: it may be a fork's. */
    uint8_t number[8];
    trace_context_draw(&thread_state, number);
    thread_state.runs_a_loop = true;
    atomic_store(&server.protocol, PROTOCOL_HTTP1);
    atomic_store(&other_server.protocol, PROTOCOL_HTTP1);
    atomic_store(&other_client.protocol, PROTOCOL_HTTP1);
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * (uint64_t)SECOND;
    return 0;
}

/* Everything is tested in both ways. */
static enum turn_naming naming = EVENTS_BY_DESCRIPTOR;

static void wait_for(int64_t timeout_ns, int count, const uint32_t *descriptors)
{
    struct epoll_event events[16] = {{0}};
    for (int i = 0; i < count; i++) {
        if (naming == EVENTS_BY_NAME) {
            events[i].data.u64 = UINT64_C(0x7f0000001000) + descriptors[i] * UINT64_C(96);
            epoll_names_put(events[i].data.u64, (int)descriptors[i]);
        } else {
            events[i].data.u64 = descriptors[i] | UINT64_C(7) << 32;
        }
    }
    turn_ends(&thread_state, timeout_ns);
    turn_begins(&thread_state, events, count, timeout_ns, naming);
}

static void wait_for_one(int64_t timeout_ns, uint32_t descriptor)
{
    wait_for(timeout_ns, 1, &descriptor);
}

static void open_request(struct connection *connection)
{
    static struct record record;
    memset(&record, 0, sizeof(record));
    memset(record.span_id, (int)connection->serial, sizeof(record.span_id));
    memset(record.trace_id, (int)connection->serial, sizeof(record.trace_id));
    record.start_ns = clock_now_ns();
    atomic_fetch_add(&attachment->sole.open, 1);
    atomic_fetch_add(&attachment->sole.begun, 1);
    trace_context_enter(&thread_state, &record, connection, 0);
}

static void read_request(struct connection *connection)
{
    turn_reads(&thread_state, SERVER_FD, connection);
    open_request(connection);
}

static void answer(struct connection *connection)
{
    atomic_fetch_add(&connection->answers, 1);
    atomic_fetch_sub(&attachment->sole.open, 1);
    trace_context_leave(&thread_state, connection->serial);
}

/* The serial of the request that a call made now belongs to; 0: none. */
static int caller(void)
{
    struct record record = {0};
    trace_context_begin_client(&thread_state, &record, clock_now_ns());
    assert_int_equal(record.parent_source, record.parent_span_id[0] ? PARENT_CAUSAL : PARENT_NONE);
    return record.parent_span_id[0];
}

static void read_in_quiet(void)
{
    wait_for_one(-1, LISTENER);
    turn_accepts(&thread_state, LISTENER);
    wait_for_one(0, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 1);
}

static void test_one_request_owns_its_turns(void **state)
{
    (void)state;
    read_in_quiet();
    turn_sends(&thread_state, &client);
    wait_for_one(-1, CLIENT_FD);
    assert_int_equal(caller(), 0); /* nobody knows yet what has come */
    turn_reads(&thread_state, CLIENT_FD, &client);
    assert_int_equal(caller(), 1);
    wait_for(0, 0, NULL);
    assert_int_equal(caller(), 1);
    answer(&server);
    assert_int_equal(caller(), 0);
}

static void test_each_request_anew(void **state)
{
    (void)state;
    read_in_quiet();
    answer(&server);
    /* What the first has left to be run may run in this turn. */
    wait_for_one(0, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 0);
    answer(&server);
    wait_for_one(-1, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 1);
}

static void test_second_request(void **state)
{
    (void)state;
    read_in_quiet();
    wait_for_one(-1, SERVER_FD);
    read_request(&other_server);
    assert_int_equal(caller(), 0);
    answer(&other_server);
    wait_for_one(-1, SERVER_FD);
    turn_reads(&thread_state, SERVER_FD, &server);
    assert_int_equal(caller(), 0);
}

static void test_second_request_of_another_thread(void **state)
{
    (void)state;
    read_in_quiet();
    atomic_fetch_add(&attachment->sole.begun, 1);
    assert_int_equal(caller(), 0);
}

static void test_answer_of_another_call(void **state)
{
    (void)state;
    read_in_quiet();
    turn_sends(&thread_state, &client);
    wait_for_one(-1, CLIENT_FD);
    turn_reads(&thread_state, CLIENT_FD, &other_client);
    assert_int_equal(caller(), 0);
    /* What has been let in stays. */
    wait_for_one(-1, CLIENT_FD);
    turn_reads(&thread_state, CLIENT_FD, &client);
    assert_int_equal(caller(), 0);
}

static void test_wake_up(void **state)
{
    (void)state;
    read_in_quiet();
    turn_sends(&thread_state, &client);
    wait_for(-1, 2, (const uint32_t[]){WAKE_FD, CLIENT_FD});
    turn_reads(&thread_state, CLIENT_FD, &client);
    assert_int_equal(caller(), 0);
    wait_for_one(-1, CLIENT_FD);
    turn_reads(&thread_state, CLIENT_FD, &client);
    assert_int_equal(caller(), 0);
}

/* What the wake-up has begun runs between two looks that do not block. */
static void test_wake_up_before_the_request(void **state)
{
    (void)state;
    wait_for_one(-1, WAKE_FD);
    wait_for_one(0, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 0);
}

/* Nobody knows yet whether the thread runs a loop: what it reads it serves, one after the other. */
static void test_turns_that_nothing_is_asked_of(void **state)
{
    (void)state;
    thread_state.runs_a_loop = false;
    thread_state.takes_turns = true;
    read_in_quiet();
    turn_reads(&thread_state, CLIENT_FD, &other_client);
    assert_int_equal(caller(), 1);
    answer(&server);
    read_request(&other_server);
    assert_int_equal(caller(), 2);
}

/* It turns out to run one: the request goes on if its turns were its own. */
static void test_turns_that_were_a_loops(void **state)
{
    (void)state;
    thread_state.runs_a_loop = false;
    thread_state.takes_turns = true;
    read_in_quiet();
    turn_sends(&thread_state, &client);
    thread_state.runs_a_loop = true;
    wait_for_one(-1, CLIENT_FD);
    turn_reads(&thread_state, CLIENT_FD, &client);
    assert_int_equal(caller(), 1);
    turn_reads(&thread_state, CLIENT_FD, &other_client);
    assert_int_equal(caller(), 0);
}

/* A thread that blocks, in a process whose requests were answered by who read them so many times.
 */
static void block(int32_t readers)
{
    thread_state.runs_a_loop = false;
    atomic_store(&attachment->readers, readers);
}

static void test_one_request_of_a_thread(void **state)
{
    (void)state;
    block(0);
    open_request(&server);
    assert_int_equal(caller(), 1);
    /* Another thread's: until it is shown who serves what, this one may work for that. */
    atomic_fetch_add(&attachment->sole.open, 1);
    assert_int_equal(caller(), 0);
    atomic_fetch_sub(&attachment->sole.open, 1);
    assert_int_equal(caller(), 1);
    trace_context_answers(&thread_state, &server);
    assert_int_equal(atomic_load(&attachment->readers), 1);
}

static void test_readers_who_answer(void **state)
{
    (void)state;
    block(LIMIT_READERS_SHOWN - 1);
    atomic_fetch_add(&attachment->sole.open, 1);
    open_request(&server);
    assert_int_equal(caller(), 0);
    trace_context_answers(&thread_state, &server);
    assert_int_equal(caller(), 1);
    trace_context_answers(&thread_state, &server);
    assert_int_equal(atomic_load(&attachment->readers), LIMIT_READERS_SHOWN);
}

static void test_answer_by_another_thread(void **state)
{
    (void)state;
    block(LIMIT_READERS_SHOWN);
    atomic_fetch_add(&attachment->sole.open, 1);
    open_request(&server);
    assert_int_equal(caller(), 1);
    trace_context_answers(&thread_state, &other_server);
    assert_int_equal(caller(), 0);
    assert_int_equal(atomic_load(&attachment->readers), -LIMIT_READERS_DOUBTED);
}

/* It has answered, and calls while another request is open: it was handed that. */
static void test_call_by_who_serves(void **state)
{
    (void)state;
    block(LIMIT_READERS_SHOWN);
    open_request(&server);
    answer(&server);
    assert_int_equal(caller(), 0);
    assert_int_equal(atomic_load(&attachment->readers), LIMIT_READERS_SHOWN);
    atomic_fetch_add(&attachment->sole.open, 1);
    assert_int_equal(caller(), 0);
    assert_int_equal(atomic_load(&attachment->readers), -LIMIT_READERS_DOUBTED);
}

static void test_second_request_of_a_thread(void **state)
{
    (void)state;
    block(LIMIT_READERS_SHOWN);
    open_request(&server);
    open_request(&other_server);
    assert_int_equal(caller(), 0);
    assert_int_equal(atomic_load(&attachment->readers), -LIMIT_READERS_DOUBTED);
    /* The next that is alone is certain again. */
    answer(&server);
    answer(&other_server);
    open_request(&server);
    assert_int_equal(caller(), 1);
}

static void test_signal(void **state)
{
    (void)state;
    read_in_quiet();
    wait_for(-1, -1, NULL);
    assert_int_equal(caller(), 0);
}

static void test_timer_set_by_the_request(void **state)
{
    (void)state;
    read_in_quiet();
    wait_for(SECOND, 0, NULL);
    assert_int_equal(caller(), 1);
}

static void test_timer_set_before(void **state)
{
    (void)state;
    wait_for(SECOND, 0, NULL);
    wait_for_one(SECOND, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 1);
    thread_state.turn.foreign_ns = clock_now_ns(); /* a second has passed */
    assert_int_equal(caller(), 0);
    wait_for(-1, 0, NULL);
    thread_state.turn.foreign_ns = UINT64_MAX;
    assert_int_equal(caller(), 0);
}

static void test_timer_due_at_once(void **state)
{
    (void)state;
    wait_for(SECOND, 0, NULL);
    wait_for_one((int64_t)LIMIT_TIMER_ROUNDING_NS, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 0);
}

static void test_too_many_events(void **state)
{
    (void)state;
    uint32_t many[TURN_EVENTS + 1];
    for (uint32_t i = 0; i <= TURN_EVENTS; i++) {
        many[i] = SERVER_FD - i;
    }
    wait_for(-1, TURN_EVENTS + 1, many);
    read_request(&server);
    assert_int_equal(caller(), 0);
}

static void test_too_many_connections(void **state)
{
    (void)state;
    read_in_quiet();
    struct connection many = client;
    for (uint32_t i = 0; i <= LIMIT_SOLE_CONNECTIONS; i++) {
        many.serial = 100 + i;
        turn_sends(&thread_state, &many);
    }
    wait_for_one(-1, CLIENT_FD);
    many.serial = 100 + LIMIT_SOLE_CONNECTIONS - 1;
    turn_reads(&thread_state, CLIENT_FD, &many);
    assert_int_equal(caller(), 1);
    wait_for_one(-1, CLIENT_FD);
    many.serial = 100 + LIMIT_SOLE_CONNECTIONS;
    turn_reads(&thread_state, CLIENT_FD, &many);
    assert_int_equal(caller(), 0);
}

static void test_message_of_a_session(void **state)
{
    (void)state;
    wait_for_one(-1, SERVER_FD);
    atomic_store(&other_server.protocol, PROTOCOL_WEBSOCKET);
    turn_reads(&thread_state, SERVER_FD, &other_server);
    wait_for_one(0, SERVER_FD);
    read_request(&server);
    assert_int_equal(caller(), 0);
}

static const struct traceparent of_message = {.trace_id = {7}, .parent_id = {7}};

static void read_message(struct connection *connection)
{
    atomic_store(&connection->protocol, PROTOCOL_WEBSOCKET);
    turn_reads(&thread_state, SERVER_FD, connection);
    trace_context_enter_message(&thread_state, &of_message, connection, clock_now_ns());
}

/* The same as `caller`, of what a message has begun. */
static int messenger(void)
{
    struct record record = {0};
    trace_context_begin_client(&thread_state, &record, clock_now_ns());
    bool is_remote = (record.flags & RECORD_FLAG_REMOTE_PARENT) != 0;
    assert_int_equal(record.parent_source == PARENT_CONTENT, is_remote);
    assert_int_equal(record.trace_id[0] == 7 && record.trace_id[1] == 0, is_remote);
    return is_remote ? record.parent_span_id[0] : 0;
}

static void test_message_owns_its_turns(void **state)
{
    (void)state;
    for (int is_client = 0; is_client < 2; is_client++) {
        struct connection *connection = is_client ? &other_client : &other_server;
        wait_for_one(-1, SERVER_FD);
        read_message(connection);
        assert_int_equal(messenger(), 7);
        turn_sends(&thread_state, &client);
        wait_for_one(-1, CLIENT_FD);
        turn_reads(&thread_state, CLIENT_FD, &client);
        assert_int_equal(messenger(), 7);
        /* A piece of the next message comes. */
        wait_for_one(-1, SERVER_FD);
        turn_reads(&thread_state, SERVER_FD, connection);
        assert_int_equal(messenger(), 7);
        atomic_fetch_add(&connection->answers, 1);
        assert_int_equal(messenger(), 0);
    }
}

static void test_message_beside_others(void **state)
{
    (void)state;
    /* A request is open. */
    read_in_quiet();
    wait_for_one(-1, SERVER_FD);
    read_message(&other_server);
    assert_int_equal(messenger(), 0);
    assert_int_equal(caller(), 0);
    answer(&server);
    /* Another one's message came with it. */
    atomic_store(&other_client.protocol, PROTOCOL_WEBSOCKET);
    wait_for(-1, 2, (const uint32_t[]){SERVER_FD, CLIENT_FD});
    turn_reads(&thread_state, CLIENT_FD, &other_client);
    read_message(&other_server);
    assert_int_equal(messenger(), 0);
    /* And comes later. */
    wait_for_one(-1, SERVER_FD);
    read_message(&other_server);
    assert_int_equal(messenger(), 7);
    wait_for_one(-1, CLIENT_FD);
    turn_reads(&thread_state, CLIENT_FD, &other_client);
    assert_int_equal(messenger(), 0);
    /* A request is read after it. */
    wait_for_one(-1, SERVER_FD);
    read_message(&other_server);
    assert_int_equal(messenger(), 7);
    wait_for_one(0, SERVER_FD);
    read_request(&server);
    assert_int_equal(messenger(), 0);
    answer(&server);
    /* Woken for something else. */
    wait_for(-1, 2, (const uint32_t[]){SERVER_FD, WAKE_FD});
    read_message(&other_server);
    assert_int_equal(messenger(), 0);
}

/* The work of the message before it ends with it, also where its turns were that one's own. */
static void test_message_after_message(void **state)
{
    (void)state;
    for (int has_timer = 0; has_timer < 2; has_timer++) {
        for (int is_alone = 0; is_alone < 2; is_alone++) {
            wait_for_one(-1, SERVER_FD);
            read_message(&other_server);
            assert_int_equal(messenger(), 7);
            if (is_alone) {
                wait_for_one(has_timer ? SECOND : -1, SERVER_FD);
            } else {
                turn_sends(&thread_state, &client);
                wait_for(has_timer ? SECOND : -1, 2, (const uint32_t[]){SERVER_FD, CLIENT_FD});
                turn_reads(&thread_state, CLIENT_FD, &client);
            }
            turn_reads(&thread_state, SERVER_FD, &other_server);
            atomic_fetch_add(&other_server.answers, 1);
            trace_context_enter_message(&thread_state, &of_message, &other_server, clock_now_ns());
            /* A timer may be the other one's, and so may an answer. */
            assert_int_equal(messenger(), is_alone && !has_timer ? 7 : 0);
            atomic_fetch_add(&other_server.answers, 1);
        }
    }
}

/* Whatever others have open, nothing of it was left to be run. */
static void test_message_has_its_first_turn(void **state)
{
    (void)state;
    /* Of a loop that serves others, too, nothing is known. */
    wait_for_one(-1, LISTENER);
    turn_accepts(&thread_state, LISTENER);
    atomic_store(&attachment->sole.open, 1);
    wait_for_one(-1, SERVER_FD);
    read_message(&other_server);
    assert_int_equal(messenger(), 0);
    for (int is_owned = 0; is_owned < 2; is_owned++) {
        thread_state.turn.session = 0;
        /* Another thread's request, or another thread that has a message. */
        atomic_store(&attachment->sole.open, (uint32_t)!is_owned);
        wait_for_one(-1, SERVER_FD);
        read_message(&other_server);
        atomic_store(&attachment->sole.owner, (uintptr_t)&thread_state + 1);
        assert_int_equal(messenger(), 7);
        turn_sends(&thread_state, &client);
        assert_int_equal(messenger(), 7);
        /* An answer to it is not told from others. */
        wait_for_one(-1, CLIENT_FD);
        turn_reads(&thread_state, CLIENT_FD, &client);
        assert_int_equal(messenger(), 0);
        /* From then on the loop is not the session's alone. */
        wait_for_one(-1, SERVER_FD);
        read_message(&other_server);
        atomic_store(&attachment->sole.owner, (uintptr_t)&thread_state + 1);
        assert_int_equal(messenger(), 0);
        thread_state.turn.session = 0;
        /* Nor is what is done without waiting for it. */
        wait_for_one(-1, SERVER_FD);
        read_message(&other_server);
        atomic_store(&attachment->sole.owner, (uintptr_t)&thread_state + 1);
        turn_reads(&thread_state, CLIENT_FD, &client);
        assert_int_equal(messenger(), 0);
        thread_state.turn.session = 0;
        /* The turn ends with any wait. */
        wait_for_one(-1, SERVER_FD);
        read_message(&other_server);
        atomic_store(&attachment->sole.owner, (uintptr_t)&thread_state + 1);
        assert_int_equal(messenger(), 7);
        wait_for(0, 0, NULL);
        assert_int_equal(messenger(), 0);
        /* With another event, or when somebody's timer may be due, nothing is known. */
        wait_for(-1, 2, (const uint32_t[]){SERVER_FD, WAKE_FD});
        read_message(&other_server);
        assert_int_equal(messenger(), 0);
        wait_for_one(SECOND / 1000000, SERVER_FD);
        read_message(&other_server);
        for (uint64_t until = clock_now_ns() + SECOND / 100000; clock_now_ns() < until;) {
        }
        assert_int_equal(messenger(), 0);
        atomic_fetch_add(&other_server.answers, 1);
    }
    atomic_store(&attachment->sole.open, 0);
}

static void test_message_to_a_thread(void **state)
{
    (void)state;
    thread_state.runs_a_loop = false;
    read_message(&other_server);
    assert_int_equal(messenger(), 7);
    /* Who works for a request goes on with it. */
    atomic_fetch_add(&other_server.answers, 1);
    open_request(&server);
    read_message(&other_server);
    assert_int_equal(caller(), 1);
    answer(&server);
    assert_int_equal(caller(), 0);
}

/* ---- bounds, of blocking threads as well ---- */

static void test_spans_of_one_request(void **state)
{
    (void)state;
    thread_state.runs_a_loop = false;
    attachment_context_spans = 3;
    open_request(&server);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(caller(), 1);
    }
    assert_int_equal(caller(), 0);
    answer(&server);
    open_request(&server);
    assert_int_equal(caller(), 1);
}

static void test_age_of_a_request(void **state)
{
    (void)state;
    thread_state.runs_a_loop = false;
    attachment_context_age_ns = 5;
    open_request(&server);
    struct record record = {0};
    uint64_t began = thread_state.context.began_ns;
    trace_context_begin_client(&thread_state, &record, began + 5);
    assert_int_equal(record.parent_source, PARENT_CAUSAL);
    record = (struct record){0};
    trace_context_begin_client(&thread_state, &record, began + 6);
    assert_int_equal(record.parent_source, PARENT_NONE);
}

static void test_names(void **state)
{
    (void)state;
    const uint64_t base = 1000u * naming;
    assert_int_equal(epoll_names_find(base + 1), -1);
    epoll_names_put(base + 1, 5);
    assert_int_equal(epoll_names_find(base + 1), 5);
    epoll_names_put(base + 2, 5); /* its data is another now */
    assert_int_equal(epoll_names_find(base + 1), -1);
    assert_int_equal(epoll_names_find(base + 2), 5);
    epoll_names_put(base + 1, 6);
    assert_int_equal(epoll_names_find(base + 1), 6);
    epoll_names_put(base + 1, 5); /* two have the same */
    assert_int_equal(epoll_names_find(base + 1), -1);
    assert_int_equal(epoll_names_find(base + 2), -1);
    epoll_names_put(base + 1, 6);
    assert_int_equal(epoll_names_find(base + 1), -1);
    epoll_names_put(base + 3, LIMIT_EPOLL_NAMES - 1);
    assert_int_equal(epoll_names_find(base + 3), LIMIT_EPOLL_NAMES - 1);
    epoll_names_put(base + 4, LIMIT_EPOLL_NAMES);
    assert_int_equal(epoll_names_find(base + 4), -1);
}

/* Of which descriptor an event is that cannot be named is only counted. */
static void test_a_nameless_event(void **state)
{
    (void)state;
    struct epoll_event events[2] = {{.data.u64 = 12345}, {.data.u64 = 54321}};
    epoll_names_put(12345, SERVER_FD);
    turn_ends(&thread_state, -1);
    turn_begins(&thread_state, events, 2, -1, EVENTS_BY_NAME);
    assert_false(thread_state.turn.has_descriptors);
    assert_int_equal(thread_state.turn.pending, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_request_owns_its_turns, set_up),
        cmocka_unit_test_setup(test_each_request_anew, set_up),
        cmocka_unit_test_setup(test_second_request, set_up),
        cmocka_unit_test_setup(test_second_request_of_another_thread, set_up),
        cmocka_unit_test_setup(test_answer_of_another_call, set_up),
        cmocka_unit_test_setup(test_wake_up, set_up),
        cmocka_unit_test_setup(test_wake_up_before_the_request, set_up),
        cmocka_unit_test_setup(test_turns_that_nothing_is_asked_of, set_up),
        cmocka_unit_test_setup(test_turns_that_were_a_loops, set_up),
        cmocka_unit_test_setup(test_one_request_of_a_thread, set_up),
        cmocka_unit_test_setup(test_readers_who_answer, set_up),
        cmocka_unit_test_setup(test_answer_by_another_thread, set_up),
        cmocka_unit_test_setup(test_call_by_who_serves, set_up),
        cmocka_unit_test_setup(test_second_request_of_a_thread, set_up),
        cmocka_unit_test_setup(test_signal, set_up),
        cmocka_unit_test_setup(test_timer_set_by_the_request, set_up),
        cmocka_unit_test_setup(test_timer_set_before, set_up),
        cmocka_unit_test_setup(test_timer_due_at_once, set_up),
        cmocka_unit_test_setup(test_too_many_events, set_up),
        cmocka_unit_test_setup(test_too_many_connections, set_up),
        cmocka_unit_test_setup(test_message_of_a_session, set_up),
        cmocka_unit_test_setup(test_message_owns_its_turns, set_up),
        cmocka_unit_test_setup(test_message_after_message, set_up),
        cmocka_unit_test_setup(test_message_has_its_first_turn, set_up),
        cmocka_unit_test_setup(test_message_beside_others, set_up),
        cmocka_unit_test_setup(test_message_to_a_thread, set_up),
        cmocka_unit_test_setup(test_spans_of_one_request, set_up),
        cmocka_unit_test_setup(test_age_of_a_request, set_up),
        cmocka_unit_test_setup(test_names, set_up),
        cmocka_unit_test_setup(test_a_nameless_event, set_up),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    naming = EVENTS_BY_NAME;
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
