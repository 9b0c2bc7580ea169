/* The context in a job that is stored: into which commands it goes, and what the peer and the
   program see however the kernel cuts the call. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/attached_segment.h"
#include "app_thread/attachment.h"
#include "app_thread/observe.h"
#include "handoff/segment.h"
#include "wire/resp_edit.h"

#define SLOTS 64u
#define FIELDS                                                                                     \
    "$12\r\njob_trace_id\r\n$32\r\n07070707070707070707070707070707\r\n"                           \
    "$11\r\njob_span_id\r\n$16\r\n0808080808080808\r\n"

/* ---- which commands ---- */

static bool finds(const char *text, struct resp_edit *edit)
{
    /* Memory of exactly its size, so that a sanitizer sees a step beyond it. */
    size_t size = strlen(text);
    uint8_t *exact = malloc(size > 0 ? size : 1);
    memcpy(exact, text, size);
    bool found = resp_edit_find(slice_of(exact, size), edit);
    free(exact);
    return found;
}

#define STORE(name, key)                                                                           \
    "*6\r\n$" name "\r\n" key "\r\n$10\r\ncreated_at\r\n$1\r\n5\r\n$1\r\na\r\n$2\r\nbc\r\n"
#define PING "*1\r\n$4\r\nPING\r\n"

static void stores_are_found(void **state)
{
    (void)state;
    struct resp_edit edit;
    assert_true(finds(STORE("4\r\nHSET", "$5\r\njob:1"), &edit));
    assert_int_equal(edit.at, 0);
    assert_int_equal(edit.header, 4);
    assert_int_equal(edit.key_ends, 25);
    assert_int_equal(edit.count, 6);
    assert_true(finds(STORE("5\r\nhmSET", "$6\r\njob:12"), &edit));
    assert_true(finds(PING PING STORE("4\r\nHSET", "$5\r\njob:1") PING, &edit));
    assert_int_equal(edit.at, 28);
    assert_int_equal(edit.key_ends, 53);
    /* The last value may go on in another call. */
    assert_true(finds("*4\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$10\r\ncreated_at\r\n$900\r\nxx", &edit));
}

static void others_are_not(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        PING,
        "PING\r\n",
        STORE("4\r\nHGET", "$5\r\njob:1"),
        STORE("4\r\nHSET", "$5\r\njab:1"),
        STORE("4\r\nHSET", "$4\r\njob:"),
        "*4\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$6\r\nstatus\r\n$4\r\ndone\r\n",
        "*5\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$10\r\ncreated_at\r\n$1\r\n5\r\n$1\r\na\r\n",
        "*6\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$10\r\ncreated_at\r\n$1\r\n5\r\n$12\r\njob_trace_"
        "id\r\n$"
        "0\r\n\r\n",
        "*6\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$11\r\ntraceparent\r\n$1\r\n5\r\n$10\r\ncreated_at\r\n$"
        "1\r\n1\r\n",
        "*6\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$10\r\ncreated_at\r\n$9\r\nxx",
        "*6\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n$10\r\ncreated_at\r\n$1\r\n5\r\n",
        "*-4\r\n$4\r\nHSET\r\n",
        "*99999999999\r\n$4\r\nHSET\r\n",
        "*4\n$4\r\nHSET\r\n",
        "*4\r\n:4\r\n",
        "*4\r\n$4\r\nHSETx\r\n",
        "*0\r\n" STORE("4\r\nHSET", "$5\r\njob:1"),
        "x" STORE("4\r\nHSET", "$5\r\njob:1"),
    };
    struct resp_edit edit;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (finds(others[i], &edit)) {
            fail_msg("%s", others[i]);
        }
    }
    /* The whole command but its last value must be there. */
    static const char store[] = STORE("4\r\nHSET", "$5\r\njob:1");
    for (size_t size = 0; size < sizeof(store) - 1; size++) {
        bool has_all_names = size >= sizeof(store) - 1 - strlen("$2\r\nbc\r\n");
        assert_int_equal(resp_edit_find(slice_of(store, size), &edit), has_all_names);
    }
}

static void a_long_key_has_no_room(void **state)
{
    (void)state;
    static const uint8_t id[16];
    static char text[2048];
    uint8_t written[1024];
    struct resp_edit edit;
    bool had_room = false;
    bool has_room = true;
    for (int size = 500; size < 1100; size++) {
        int used = sprintf(text, "*4\r\n$4\r\nHSET\r\n$%d\r\njob:", size);
        memset(text + used, 'k', (size_t)size - 4);
        strcpy(text + used + size - 4, "\r\n$10\r\ncreated_at\r\n$1\r\n5\r\n");
        struct slice bytes = slice_of(text, strlen(text));
        assert_true(resp_edit_find(bytes, &edit));
        size_t wrote = resp_edit_write(bytes, &edit, id, id, written, sizeof(written));
        assert_true(wrote <= sizeof(written));
        assert_true(wrote == 0 || has_room);
        has_room = wrote > 0;
        had_room |= has_room;
    }
    assert_true(had_room);
    assert_false(has_room);
}

/* ---- a stream, however it is cut ---- */

static struct segment *segment;
static struct segment_reader reader;
static const _Atomic uint32_t answers;

static int set_up(void **state)
{
    (void)state;
    segment = attach_segment(SLOTS);
    attachment_context_age_ns = UINT64_MAX / 2;
    job_context_is_on = true;
    inject_configure(true, SLICE(""), SLICE(""));
    assert_non_null(attachment_segment());
    return segment_reader_init(&reader, segment, segment_size(SLOTS));
}

static void work(void)
{
    struct thread_context *context = &thread_state.context;
    *context = (struct thread_context){.is_known = true, .answers = &answers};
    memset(context->trace_id, 7, sizeof(context->trace_id));
    memset(context->span_id, 8, sizeof(context->span_id));
    thread_state.random_epoch = attachment_epoch();
}

struct wire {
    char bytes[4096];
    size_t size;
};

/* The kernel's part: takes `room` bytes at most, -1 for none. */
static ssize_t give(struct wire *wire, const struct iovec *iov, size_t count, size_t room)
{
    size_t before = wire->size;
    for (size_t i = 0; i < count && room > 0; i++) {
        size_t size = iov[i].iov_len < room ? iov[i].iov_len : room;
        assert_true(wire->size + size <= sizeof(wire->bytes));
        if (size > 0) {
            memcpy(wire->bytes + wire->size, iov[i].iov_base, size);
        }
        wire->size += size;
        room -= size;
    }
    return wire->size == before ? -1 : (ssize_t)(wire->size - before);
}

/* One call as the hooks make it. */
static ssize_t call(int fd, struct wire *wire, const char *text, size_t size, size_t room,
                    size_t owed_room)
{
    union {
        const char *borrowed;
        char *base;
    } data = {text};
    struct iovec iov = {data.base, size};
    struct observation seen = {.step = SEND_AS_IS};
    assert_true(observe_send_begin_inserting(&seen, fd, &iov, 1));
    struct connection *connection = seen.touch.connection;
    ssize_t result;
    if (seen.step == SEND_CARRYING) {
        struct iovec longer[LIMIT_CARRYING_PARTS + 2];
        size_t parts = job_context_build(&seen.job, &iov, 1, longer);
        result = job_context_settle(connection, &seen.job, give(wire, longer, parts, room));
    } else if (seen.step == SEND_OWED) {
        uint32_t owed;
        struct slice rest = inject_take_owed(connection, &owed);
        data.borrowed = (const char *)rest.data;
        struct iovec part = {data.base, rest.size};
        bool is_paid = inject_paid(connection, owed, give(wire, &part, 1, owed_room));
        result = is_paid ? give(wire, &iov, 1, room) : -1;
    } else {
        assert_int_equal(seen.step, SEND_AS_IS);
        result = give(wire, &iov, 1, room);
    }
    observe_send_end(&seen, &iov, 1, result, EAGAIN);
    return result;
}

static void the_stream_is_right_however_cut(void **state)
{
    (void)state;
    static const char sent[] = PING STORE("4\r\nHSET", "$5\r\njob:1") PING;
    static const char wanted[] =
        PING "*10\r\n$4\r\nHSET\r\n$5\r\njob:1\r\n" FIELDS
             "$10\r\ncreated_at\r\n$1\r\n5\r\n$1\r\na\r\n$2\r\nbc\r\n" PING;
    static const char replies[] = "+PONG\r\n:2\r\n+PONG\r\n";
    static const size_t owed_rooms[] = {1, 7, SIZE_MAX};
    static struct wire wire;
    for (size_t room = 0; room <= sizeof(wanted); room++) {
        for (size_t i = 0; i < 3; i++) {
            const int fd = 30;
            wire.size = 0;
            work();
            descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
            size_t done = 0;
            for (unsigned calls = 0; done < sizeof(sent) - 1; calls++) {
                assert_true(calls < 300);
                ssize_t result = call(fd, &wire, sent + done, sizeof(sent) - 1 - done,
                                      calls == 0 ? room : SIZE_MAX, owed_rooms[i]);
                assert_true(result == -1 ||
                            (result > 0 && (size_t)result <= sizeof(sent) - 1 - done));
                done += result > 0 ? (size_t)result : 0;
            }
            /* Cut in front of the command, that is whole in the next call, or cut inside, that is
               not: what it is then goes as it is. */
            bool is_cut_before = room > 0 && room <= strlen(PING) && room % strlen(PING) != 0;
            if (is_cut_before) {
                assert_int_equal(wire.size, sizeof(sent) - 1);
                assert_memory_equal(wire.bytes, sent, wire.size);
            } else {
                assert_int_equal(wire.size, sizeof(wanted) - 1);
                assert_memory_equal(wire.bytes, wanted, wire.size);
            }
            /* What is recorded of it is what was sent: three exchanges, in order. */
            union {
                const char *borrowed;
                char *base;
            } data = {replies};
            struct iovec iov = {data.base, sizeof(replies) - 1};
            struct receipt seen;
            assert_true(observe_receive_begin(&seen, fd));
            observe_receive_end(&seen, &iov, 1, (ssize_t)sizeof(replies) - 1, 0);
            for (int n = 0; n < 3; n++) {
                struct record record;
                assert_true(segment_reader_next(&reader, &record));
                assert_int_equal(record.redis.argument_count, n != 1 ? 1 : is_cut_before ? 6 : 10);
            }
            thread_state.context.is_known = false;
            descriptor_closing(&thread_state, fd);
        }
    }
}

/* Without a context, and without being asked, nothing is changed. */
static void else_nothing_is_written(void **state)
{
    (void)state;
    static const char sent[] = STORE("4\r\nHSET", "$5\r\njob:1");
    static struct wire wire;
    for (int is_known = 0; is_known < 2; is_known++) {
        wire.size = 0;
        work();
        thread_state.context.is_known = is_known;
        job_context_is_on = !is_known;
        descriptor_made(&thread_state, 31, DESCRIPTOR_STREAM);
        assert_int_equal(call(31, &wire, sent, sizeof(sent) - 1, SIZE_MAX, 0), sizeof(sent) - 1);
        assert_int_equal(wire.size, sizeof(sent) - 1);
        descriptor_closing(&thread_state, 31);
    }
    job_context_is_on = true;
    thread_state.context.is_known = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_are_found),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(a_long_key_has_no_room),
        cmocka_unit_test(the_stream_is_right_however_cut),
        cmocka_unit_test(else_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
