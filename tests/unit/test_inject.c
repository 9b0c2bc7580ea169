/*
 * The context in a request's head: into which heads it is written, and what the peer and the
 * program see however the kernel cuts the call.
 */
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
#include "app_thread/carried.h"
#include "app_thread/connection.h"
#include "app_thread/inject.h"
#include "app_thread/observe.h"
#include "app_thread/witness.h"
#include "handoff/segment.h"

#define STREAM_MAX (64u << 10)
#define SLOTS      4096u

static struct segment *segment;
static struct segment_reader reader;

static int set_up(void **state)
{
    (void)state;
    free(segment);
    free(attachment);
    segment = attach_segment(SLOTS);
    inject_configure(true, SLICE(""), SLICE(""));
    return segment_reader_init(&reader, segment, segment_size(SLOTS));
}

static struct iovec part_of(const char *text, size_t size)
{
    union {
        const char *borrowed;
        char *base;
    } data = {text};
    return (struct iovec){data.base, size};
}

/* ---- which heads ---- */

static bool takes(const char *text, size_t size, uint32_t *at)
{
    struct iovec iov = part_of(text, size);
    struct injection injection = {.at = 0};
    bool takes = inject_plan(&thread_state, &iov, 1, 1, &injection) == INJECT_FIELD;
    *at = injection.at;
    assert_true(!takes || exchange_drop_plan(&injection.preview.plan));
    return takes;
}

/* The text in pieces, the first of `first` bytes, each in memory of its own; empty ones between. */
static bool takes_pieces(const char *text, size_t size, size_t first, size_t piece, uint32_t *at)
{
    struct iovec iov[LIMIT_INJECT_PARTS] = {{NULL, 0}};
    size_t count = 1;
    for (size_t done = 0; done < size; count += 2) {
        size_t most = done == 0 && first > 0 ? first : piece;
        most = most < size - done ? most : size - done;
        assert_true(count + 2 <= LIMIT_INJECT_PARTS);
        iov[count] = (struct iovec){malloc(most), most};
        assert_non_null(iov[count].iov_base);
        memcpy(iov[count].iov_base, text + done, most);
        done += most;
    }
    struct injection injection = {.at = 0};
    bool takes = inject_plan(&thread_state, iov, count, 1, &injection) == INJECT_FIELD;
    *at = injection.at;
    assert_true(!takes || exchange_drop_plan(&injection.preview.plan));
    for (size_t i = 0; i < count; i++) {
        free(iov[i].iov_base);
    }
    return takes;
}

static void whole_heads_take_it(void **state)
{
    (void)state;
    static const char head[] = "GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n";
    uint32_t at;
    assert_true(takes(head, sizeof(head) - 1, &at));
    assert_int_equal(at, 17);
    for (size_t size = 1; size < sizeof(head) - 1; size++) {
        assert_false(takes(head, size, &at));
    }
    static const char with_body[] = "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
    assert_true(takes(with_body, sizeof(with_body) - 1, &at));
}

static void other_heads_do_not(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: x\r\n\r\n",
        "GET / HTTP/1.1\r\nTrAcEpArEnT: 00-1-2-3\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\ntracestate: a=b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "*1\r\n$4\r\nPING\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint32_t at;
        assert_false(takes(heads[i], strlen(heads[i]), &at));
        for (size_t first = 0; first < strlen(heads[i]); first++) {
            assert_false(takes_pieces(heads[i], strlen(heads[i]), first, 60, &at));
            assert_false(takes_pieces(heads[i], strlen(heads[i]), first, 5, &at));
        }
    }
}

/* A head of that size. */
static void write_head(char *head, size_t size)
{
    static const char begin[] = "GET / HTTP/1.1\r\nX: ";
    memset(head, 'x', size);
    memcpy(head, begin, sizeof(begin) - 1);
    memcpy(head + size - 4, "\r\n\r\n", 4);
}

static void a_head_has_a_limit(void **state)
{
    (void)state;
    static char head[LIMIT_INJECT_HEAD_BYTES + 2];
    for (uint32_t over = 0; over < 2; over++) {
        size_t size = LIMIT_INJECT_HEAD_BYTES + over;
        write_head(head, size);
        uint32_t at;
        assert_int_equal(takes(head, size, &at), over == 0);
    }
}

static void parts_have_a_limit(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    struct iovec iov[LIMIT_INJECT_PARTS + 1] = {part_of(head, sizeof(head) - 1)};
    struct injection injection;
    assert_int_equal(inject_plan(&thread_state, iov, LIMIT_INJECT_PARTS, 1, &injection),
                     INJECT_FIELD);
    assert_true(exchange_drop_plan(&injection.preview.plan));
    assert_int_equal(inject_plan(&thread_state, iov, LIMIT_INJECT_PARTS + 1, 1, &injection),
                     INJECT_NOTHING);
    iov[0].iov_len = 10;
    iov[1] = part_of(head + 10, sizeof(head) - 1 - 10);
    assert_int_equal(inject_plan(&thread_state, iov, LIMIT_INJECT_PARTS, 1, &injection),
                     INJECT_FIELD);
    assert_true(exchange_drop_plan(&injection.preview.plan));
    assert_int_equal(inject_plan(&thread_state, iov, LIMIT_INJECT_PARTS + 1, 1, &injection),
                     INJECT_UNKNOWN);
}

static void heads_may_lie_in_several_buffers(void **state)
{
    (void)state;
    static const char head[] =
        "POST /a?b HTTP/1.1\r\nAccept: */*\r\nHost: h\r\nContent-Length: 3\r\n"
        "\r\nabc";
    uint32_t at;
    for (size_t first = 0; first < sizeof(head); first++) {
        for (size_t piece = 4; piece < sizeof(head); piece++) {
            assert_true(takes_pieces(head, sizeof(head) - 1, first, piece, &at));
            assert_int_equal(at, 20);
        }
        assert_false(takes_pieces(head, sizeof(head) - 1 - 4, first, 40, &at));
    }
}

static void a_spread_head_has_a_limit(void **state)
{
    (void)state;
    static char head[LIMIT_INJECT_HEAD_BYTES + 2];
    for (uint32_t over = 0; over < 2; over++) {
        size_t size = LIMIT_INJECT_HEAD_BYTES + over;
        write_head(head, size);
        uint32_t at;
        assert_int_equal(takes_pieces(head, size, 5, 1000, &at), over == 0);
    }
    /* A target that does not fit the memory for a line in pieces is not known. */
    size_t fits = LIMIT_HTTP_LINE_CARRY - sizeof("GET  HTTP/1.1\r\n");
    for (size_t size = fits; size < 2 * fits; size += fits - 1) {
        memset(head, 'x', sizeof(head));
        memcpy(head, "GET /", 5);
        memcpy(head + size, " HTTP/1.1\r\n\r\n", 13);
        uint32_t at;
        assert_int_equal(takes_pieces(head, size + 13, 700, 2000, &at), size == fits);
    }
}

static void hosts_decide_over_spread_heads(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: in.example\r\n\r\n";
    static const char nowhere[] = "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n";
    for (size_t first = 1; first < sizeof(head) - 1; first++) {
        uint32_t at;
        inject_configure(true, SLICE(".example"), SLICE(""));
        assert_true(takes_pieces(head, sizeof(head) - 1, first, 100, &at));
        assert_false(takes_pieces(nowhere, sizeof(nowhere) - 1, first, 100, &at));
        inject_configure(true, SLICE(""), SLICE("in.example"));
        assert_false(takes_pieces(head, sizeof(head) - 1, first, 100, &at));
        assert_true(takes_pieces(nowhere, sizeof(nowhere) - 1, first, 100, &at));
    }
}

static void unreadable_memory_is_the_kernels_to_judge(void **state)
{
    (void)state;
    struct iovec iov = {(void *)(uintptr_t)8192, 100}; /* nothing is mapped there */
    struct injection injection;
    assert_int_equal(inject_plan(&thread_state, &iov, 1, 1, &injection), INJECT_UNKNOWN);
    static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (size_t first = 0; first < sizeof(head); first++) {
        struct iovec parts[4] = {part_of(head, first), iov,
                                 part_of(head + first, sizeof(head) - 1 - first), iov};
        bool is_behind = first == sizeof(head) - 1;
        assert_int_equal(inject_plan(&thread_state, parts, 4, 1, &injection),
                         is_behind ? INJECT_FIELD : INJECT_UNKNOWN);
        assert_true(!is_behind || exchange_drop_plan(&injection.preview.plan));
        /* What lies behind the head is not looked at. */
        parts[1] = part_of(head, 0);
        assert_int_equal(inject_plan(&thread_state, parts, 4, 1, &injection), INJECT_FIELD);
        assert_true(exchange_drop_plan(&injection.preview.plan));
    }
    struct iovec *nowhere = (struct iovec *)(uintptr_t)8192;
    assert_int_equal(inject_plan(&thread_state, nowhere, 2, 1, &injection), INJECT_UNKNOWN);
}

/* ---- hosts ---- */

#define HAS(list, host) inject_list_has(SLICE(list), SLICE(host))

static void lists_name_hosts(void **state)
{
    (void)state;
    assert_true(HAS("api.example", "api.example"));
    assert_true(HAS("api.example", "API.example:8080"));
    assert_true(HAS("other, api.example", "api.example"));
    assert_false(HAS("api.example", "xapi.example"));
    assert_false(HAS("api.example", "api.example.org"));
    assert_true(HAS("api.example:8080", "api.example:8080"));
    assert_false(HAS("api.example:8080", "api.example"));
    assert_false(HAS("api.example:8080", "api.example:80"));
    assert_true(HAS(".example", "a.b.example"));
    assert_true(HAS("*.example", "a.example:1"));
    assert_false(HAS(".example", "example"));
    assert_false(HAS(".example", "an-example"));
    assert_true(HAS("*", "any"));
    assert_true(HAS("[::1]", "[::1]:80"));
    assert_true(HAS("[::1]", "[::1]"));
    assert_true(HAS("127.0.0.1", "127.0.0.1:5"));
    assert_false(HAS("", "any"));
    assert_false(HAS(",,", "any"));
    assert_false(HAS("a", ""));
}

static void lists_decide(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: in.example\r\n\r\n";
    uint32_t at;
    inject_configure(true, SLICE(".example"), SLICE(""));
    assert_true(takes(head, sizeof(head) - 1, &at));
    inject_configure(true, SLICE("other"), SLICE(""));
    assert_false(takes(head, sizeof(head) - 1, &at));
    inject_configure(true, SLICE(""), SLICE("in.example"));
    assert_false(takes(head, sizeof(head) - 1, &at));
    inject_configure(true, SLICE(".example"), SLICE("other"));
    assert_true(takes(head, sizeof(head) - 1, &at));
}

/* ---- a stream, however it is cut ---- */

struct wire {
    char bytes[STREAM_MAX];
    size_t size;
};

/* The kernel's part: takes `room` bytes at most, -1 for none. */
static ssize_t give(struct wire *wire, const struct iovec *iov, size_t count, size_t room)
{
    size_t before = wire->size;
    for (size_t i = 0; i < count && room > 0; i++) {
        size_t size = iov[i].iov_len < room ? iov[i].iov_len : room;
        assert_true(wire->size + size <= STREAM_MAX);
        if (size > 0) {
            memcpy(wire->bytes + wire->size, iov[i].iov_base, size);
        }
        wire->size += size;
        room -= size;
    }
    return wire->size == before ? -1 : (ssize_t)(wire->size - before);
}

/* One call as the hooks make it. What goes once something is owed finds room for `owed_room`. */
static ssize_t call(int fd, struct wire *wire, const struct iovec *iov, size_t count, size_t room,
                    size_t owed_room)
{
    struct observation seen = {.step = SEND_AS_IS};
    assert_true(observe_send_begin_inserting(&seen, fd, iov, count));
    struct connection *connection = seen.touch.connection;
    ssize_t result;
    if (seen.step == SEND_INSERTING) {
        uint8_t field[INJECT_FIELD_BYTES];
        struct iovec longer[INJECT_PARTS];
        size_t parts = inject_build(&seen.injection, iov, count, field, longer);
        result = inject_settle(connection, &seen.injection, field, give(wire, longer, parts, room));
    } else if (seen.step == SEND_OWED) {
        uint32_t owed;
        struct slice rest;
        bool goes_on = true;
        while (goes_on && (rest = inject_take_owed(connection, &owed)).size > 0) {
            struct iovec part = part_of((const char *)rest.data, rest.size);
            ssize_t sent = give(wire, &part, 1, owed_room);
            goes_on = inject_paid(connection, owed, sent) || sent == (ssize_t)rest.size;
        }
        result = goes_on ? give(wire, iov, count, room) : -1;
    } else {
        result = give(wire, iov, count, room);
    }
    observe_send_end(&seen, iov, count, result, EAGAIN);
    return result;
}

/* Takes the field out of what the peer got. Returns how often it was there. */
static unsigned strip(struct wire *wire, char context[56])
{
    unsigned found = 0;
    for (char *at; (at = memmem(wire->bytes, wire->size, "traceparent: ", 13)) != NULL; found++) {
        size_t before = (size_t)(at - wire->bytes);
        assert_true(wire->size - before >= INJECT_FIELD_BYTES);
        memcpy(context, at + 13, 55);
        context[55] = '\0';
        memmove(at, at + INJECT_FIELD_BYTES, wire->size - before - INJECT_FIELD_BYTES);
        wire->size -= INJECT_FIELD_BYTES;
    }
    return found;
}

static void check_record(const char *context)
{
    struct record record;
    assert_true(segment_reader_next(&reader, &record));
    char wanted[56];
    int used = snprintf(wanted, sizeof(wanted), "00-");
    for (size_t i = 0; i < 24; i++) {
        uint8_t byte = i < 16 ? record.trace_id[i] : record.span_id[i - 16];
        used += snprintf(wanted + used, sizeof(wanted) - (size_t)used, "%s%02x", i == 16 ? "-" : "",
                         byte);
    }
    snprintf(wanted + used, sizeof(wanted) - (size_t)used, "-%02x", record.trace_flags);
    assert_string_equal(context, wanted);
    assert_false(segment_reader_next(&reader, &record));
}

static const char request[] =
    "POST /path HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello there";
static const char reply[] = "HTTP/1.1 204 No Content\r\n\r\n";
#define REQUEST_LINE 21u

static void receive_reply(int fd)
{
    struct iovec iov = part_of(reply, sizeof(reply) - 1);
    struct receipt seen;
    assert_true(observe_receive_begin(&seen, fd));
    observe_receive_end(&seen, &iov, 1, (ssize_t)sizeof(reply) - 1, 0);
}

/* The first call finds room for `room` bytes, then what is owed for `owed_room` at a time; the
   program goes on with what it was told that is left. `split`: the first call's first buffer has so
   much, the others `piece`. */
static void send_pieces(size_t room, size_t owed_room, size_t split, size_t piece, bool is_second)
{
    static struct wire wire;
    const int fd = 20;
    wire.size = 0;
    descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
    char context[56] = "";
    for (int round = 0; round <= is_second; round++) {
        size_t sent = 0;
        for (unsigned calls = 0; sent < sizeof(request) - 1; calls++) {
            assert_true(calls < 300);
            size_t left = sizeof(request) - 1 - sent;
            struct iovec iov[LIMIT_INJECT_PARTS];
            size_t count = 0;
            for (size_t at = sent; at < sizeof(request) - 1; count++) {
                size_t size = at == 0 ? split : piece;
                size = size < sizeof(request) - 1 - at ? size : sizeof(request) - 1 - at;
                assert_true(count < LIMIT_INJECT_PARTS);
                iov[count] = part_of(request + at, size);
                at += size;
                if (at == 0) { /* an empty one, once */
                    iov[++count] = part_of(request, 1);
                    at++;
                }
            }
            bool is_cut = calls == 0 && round == is_second;
            ssize_t result = call(fd, &wire, iov, count, is_cut ? room : SIZE_MAX, owed_room);
            assert_true(result == -1 || (result > 0 && (size_t)result <= left));
            sent += result > 0 ? (size_t)result : 0;
        }
        receive_reply(fd);
        unsigned found = strip(&wire, context);
        bool is_abandoned = round == is_second && room > 0 && room <= REQUEST_LINE;
        assert_int_equal(found, !is_abandoned);
        assert_int_equal(wire.size, sizeof(request) - 1);
        assert_memory_equal(wire.bytes, request, sizeof(request) - 1);
        wire.size = 0;
        if (found == 1) {
            check_record(context);
        } else {
            struct record record;
            assert_true(segment_reader_next(&reader, &record));
        }
    }
    descriptor_closing(&thread_state, fd);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(atomic_load(&segment->states[i]), SLOT_FREE);
    }
}

static void send_request(size_t room, size_t owed_room, size_t split, bool is_second)
{
    send_pieces(room, owed_room, split, SIZE_MAX, is_second);
}

/* ---- whose work it is ---- */

static struct thread_context witnessed;
static unsigned asked_before, asked_after;

static struct thread_context *cause_of_http(struct slice method, struct slice target,
                                            uint64_t call_ns)
{
    bool is_sent = call_ns != 0;
    assert_true(slice_equals(method, SLICE("POST")));
    assert_true(slice_equals(target, SLICE("/path")));
    asked_before += !is_sent;
    asked_after += is_sent;
    return asked_after > is_sent ? NULL : &witnessed;
}

static void take_back(uint64_t call_ns)
{
    assert_int_not_equal(call_ns, 0);
    assert_int_equal(asked_after, 1);
    asked_after = 0;
}

static const struct witness a_witness = {.cause_of_http = cause_of_http, .take_back = take_back};

static struct thread_context a_context(void)
{
    static const _Atomic uint32_t answers;
    struct thread_context context = {.is_known = true, .answers = &answers, .began_ns = 1};
    memset(context.trace_id, 7, sizeof(context.trace_id));
    memset(context.span_id, 8, sizeof(context.span_id));
    return context;
}

/* What the thread does, or what the witness says, is in the head, and is counted once. */
static void a_parent_is_counted_once(void **state)
{
    (void)state;
    static const char wanted[] = "00-07070707070707070707070707070707-";
    static struct wire wire;
    const int fd = 24;
    attachment_context_age_ns = UINT64_MAX - 1;
    attachment_context_spans = 10;
    for (int is_witnessed = 0; is_witnessed < 2; is_witnessed++) {
        for (size_t room = 0; room <= sizeof(request) - 1 + INJECT_FIELD_BYTES; room += 10) {
            struct thread_context *context = is_witnessed ? &witnessed : &thread_state.context;
            *context = a_context();
            witness = is_witnessed ? &a_witness : NULL;
            asked_before = asked_after = 0;
            wire.size = 0;
            descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
            struct iovec iov = part_of(request, sizeof(request) - 1);
            ssize_t sent = call(fd, &wire, &iov, 1, room, SIZE_MAX);
            assert_int_equal(context->spans, sent > 0);
            sent = sent < 0 ? 0 : sent;
            iov = part_of(request + sent, sizeof(request) - 1 - (size_t)sent);
            if (iov.iov_len > 0) {
                call(fd, &wire, &iov, 1, SIZE_MAX, SIZE_MAX);
            }
            thread_state.context.is_known = false;
            assert_int_equal(context->spans, 1);
            assert_int_equal(asked_after, is_witnessed);
            receive_reply(fd);
            char text[56];
            struct record record;
            if (strip(&wire, text) == 1) {
                assert_memory_equal(text, wanted, sizeof(wanted) - 1);
            }
            assert_true(segment_reader_next(&reader, &record));
            assert_memory_equal(record.trace_id, context->trace_id, sizeof(record.trace_id));
            assert_memory_equal(record.parent_span_id, context->span_id, sizeof(context->span_id));
            assert_int_equal(record.parent_source, PARENT_CAUSAL);
            descriptor_closing(&thread_state, fd);
        }
    }
    witness = NULL;
}

/* The request that it is for came with a tracestate: that goes out behind it, however it is cut. */
static void a_state_goes_with_it(void **state)
{
    (void)state;
    static const char line[] = "tracestate: a=1,b=2\r\n";
    static const size_t owed_rooms[] = {0, 1, 7, SIZE_MAX};
    static struct wire wire;
    const int fd = 26;
    attachment_context_age_ns = UINT64_MAX - 1;
    attachment_context_spans = 10;
    uint16_t number = carried_begin();
    carried_add_tracestate(number, SLICE("a=1 , b=2"));
    uint32_t carried = carried_end(number, true);
    assert_int_not_equal(carried, 0);
    size_t most = sizeof(request) + INJECT_FIELD_BYTES + sizeof(line);
    for (size_t run = 0; run < 4 * most; run++) {
        size_t room = run / 4;
        size_t owed_room = owed_rooms[run % 4];
        thread_state.context = a_context();
        thread_state.context.carried = carried;
        wire.size = 0;
        descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
        size_t sent = 0;
        for (unsigned calls = 0; sent < sizeof(request) - 1; calls++) {
            assert_true(calls < 300);
            struct iovec iov = part_of(request + sent, sizeof(request) - 1 - sent);
            /* A peer that takes nothing begins to. */
            size_t owed = calls > 2 && owed_room == 0 ? 5 : owed_room;
            ssize_t result = call(fd, &wire, &iov, 1, calls == 0 ? room : SIZE_MAX, owed);
            assert_true(result == -1 || (result > 0 && (size_t)result <= iov.iov_len));
            sent += result > 0 ? (size_t)result : 0;
        }
        thread_state.context.is_known = false;
        receive_reply(fd);
        char context[56];
        if (strip(&wire, context) == 1) {
            assert_memory_equal(wire.bytes + REQUEST_LINE, line, sizeof(line) - 1);
            wire.size -= sizeof(line) - 1;
            memmove(wire.bytes + REQUEST_LINE, wire.bytes + REQUEST_LINE + sizeof(line) - 1,
                    wire.size - REQUEST_LINE);
        }
        assert_int_equal(wire.size, sizeof(request) - 1);
        assert_memory_equal(wire.bytes, request, sizeof(request) - 1);
        struct record record;
        assert_true(segment_reader_next(&reader, &record));
        assert_true(slice_equals(record_find_field(&record, FIELD_TRACESTATE), SLICE("a=1,b=2")));
        descriptor_closing(&thread_state, fd);
    }
    /* Nobody holds it any more: as many others as there are places, and it is gone. */
    for (uint32_t i = 0; i < LIMIT_CARRIED; i++) {
        carried_end(carried_begin(), true);
    }
    assert_int_equal(carried_pin_line(carried).size, 0);
}

/* No id goes out for which there is no record; the request does. */
static void without_a_record_nothing_is_written(void **state)
{
    (void)state;
    static struct wire wire;
    const int fd = 25;
    uint32_t cursor = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_not_equal(segment_claim(segment, &cursor), SEGMENT_NO_SLOT);
    }
    wire.size = 0;
    descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
    struct iovec iov = part_of(request, sizeof(request) - 1);
    assert_int_equal(call(fd, &wire, &iov, 1, SIZE_MAX, 0), iov.iov_len);
    assert_int_equal(wire.size, sizeof(request) - 1);
    assert_int_equal(atomic_load(&segment->losses[LOSS_SEGMENT_FULL]), 1);
    receive_reply(fd);
    segment_cancel(segment, 5);
    wire.size = 0;
    thread_state.slot_cursor = 0;
    assert_int_equal(call(fd, &wire, &iov, 1, SIZE_MAX, 0), iov.iov_len);
    assert_int_equal(wire.size, sizeof(request) - 1 + INJECT_FIELD_BYTES);
    receive_reply(fd);
    assert_int_equal(atomic_load(&segment->losses[LOSS_SEGMENT_FULL]), 1);
    descriptor_closing(&thread_state, fd);
}

/* At 0 the kernel has no room: the program repeats the whole call. */
static void the_stream_is_the_same_however_cut(void **state)
{
    (void)state;
    for (size_t room = 0; room <= sizeof(request) - 1 + INJECT_FIELD_BYTES; room++) {
        send_request(room, SIZE_MAX, SIZE_MAX, false);
        send_request(room, SIZE_MAX, SIZE_MAX, true);
        send_request(room, 1, SIZE_MAX, false);
        send_request(room, 7, SIZE_MAX, true);
    }
}

static void buffers_may_end_anywhere(void **state)
{
    (void)state;
    for (size_t split = 0; split < sizeof(request); split++) {
        send_request(SIZE_MAX, SIZE_MAX, split, false);
        for (size_t room = 0; room <= sizeof(request) - 1 + INJECT_FIELD_BYTES; room++) {
            send_request(room, 3, split, room % 2);
        }
    }
}

/* As Subversion and Apache send: each word, or each line, for itself. */
static void there_may_be_many_buffers(void **state)
{
    (void)state;
    for (size_t room = 0; room <= sizeof(request) - 1 + INJECT_FIELD_BYTES; room++) {
        for (size_t piece = 2; piece < 30; piece += 3) {
            send_pieces(room, SIZE_MAX, piece, piece, false);
            send_pieces(room, 1, REQUEST_LINE, piece, true);
            send_pieces(room, 7, 0, piece, false);
        }
    }
}

/* Whatever becomes of the observation: what was begun on the wire is ended. */
static void a_connection_given_up_still_owes(void **state)
{
    (void)state;
    static struct wire wire;
    static const char garbage[] = "HTTP/1.1 2\001\r\n\r\n";
    const int fd = 23;
    wire.size = 0;
    descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
    struct iovec iov = part_of(request, sizeof(request) - 1);
    assert_int_equal(call(fd, &wire, &iov, 1, REQUEST_LINE + 9, 0), REQUEST_LINE);
    struct iovec in = part_of(garbage, sizeof(garbage) - 1);
    struct receipt seen;
    assert_true(observe_receive_begin(&seen, fd));
    observe_receive_end(&seen, &in, 1, (ssize_t)sizeof(garbage) - 1, 0);
    iov = part_of(request + REQUEST_LINE, sizeof(request) - 1 - REQUEST_LINE);
    assert_int_equal(call(fd, &wire, &iov, 1, SIZE_MAX, SIZE_MAX), iov.iov_len);
    char context[56];
    assert_int_equal(strip(&wire, context), 1);
    assert_int_equal(wire.size, sizeof(request) - 1);
    assert_memory_equal(wire.bytes, request, sizeof(request) - 1);
    descriptor_closing(&thread_state, fd);
}

/* What is owed on connections that go away is forgotten. */
static void owing_ends_with_the_connection(void **state)
{
    (void)state;
    static struct wire wire;
    for (unsigned i = 0; i < 2 * LIMIT_INJECT_OWED; i++) {
        const int fd = 21;
        struct iovec iov = part_of(request, sizeof(request) - 1);
        wire.size = 0;
        descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
        assert_int_equal(call(fd, &wire, &iov, 1, REQUEST_LINE + 1, 0), REQUEST_LINE);
        assert_int_equal(wire.size, REQUEST_LINE + 1);
        descriptor_closing(&thread_state, fd);
        struct record record;
        while (segment_reader_next(&reader, &record)) {
        }
    }
}

/* With half of the places taken nothing more is written; then, with one free, again. */
static void who_owes_is_counted(void **state)
{
    (void)state;
    static struct wire wire;
    struct iovec iov = part_of(request, sizeof(request) - 1);
    const int first = 100, count = (int)LIMIT_INJECT_OWED / 2 + 1;
    for (int i = 0; i <= count; i++) {
        wire.size = 0;
        descriptor_made(&thread_state, first + i, DESCRIPTOR_STREAM);
        call(first + i, &wire, &iov, 1, REQUEST_LINE + 1, 0);
        assert_int_equal(wire.bytes[REQUEST_LINE], i < count ? 't' : 'H');
    }
    for (int i = 0; i <= count; i++) {
        descriptor_closing(&thread_state, first + i);
    }
    uint32_t at;
    assert_true(takes(request, sizeof(request) - 1, &at));
}

/* After CONNECT what passes is the other end's, whatever it looks like. */
static void tunnels_stay_as_they_are(void **state)
{
    (void)state;
    static const char connect[] = "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
    static struct wire wire;
    const int fd = 22;
    descriptor_made(&thread_state, fd, DESCRIPTOR_STREAM);
    struct iovec iov = part_of(connect, sizeof(connect) - 1);
    wire.size = 0;
    call(fd, &wire, &iov, 1, SIZE_MAX, 0);
    assert_int_equal(wire.size, sizeof(connect) - 1);
    for (int i = 0; i < 2; i++) { /* before the answer, and after */
        iov = part_of(request, sizeof(request) - 1);
        wire.size = 0;
        if (i == 1) {
            struct receipt seen;
            struct iovec in = part_of(answer, sizeof(answer) - 1);
            assert_true(observe_receive_begin(&seen, fd));
            observe_receive_end(&seen, &in, 1, (ssize_t)sizeof(answer) - 1, 0);
        }
        call(fd, &wire, &iov, 1, SIZE_MAX, 0);
        assert_int_equal(wire.size, sizeof(request) - 1);
    }
    descriptor_closing(&thread_state, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole_heads_take_it, set_up),
        cmocka_unit_test_setup(other_heads_do_not, set_up),
        cmocka_unit_test_setup(a_head_has_a_limit, set_up),
        cmocka_unit_test_setup(heads_may_lie_in_several_buffers, set_up),
        cmocka_unit_test_setup(a_spread_head_has_a_limit, set_up),
        cmocka_unit_test_setup(hosts_decide_over_spread_heads, set_up),
        cmocka_unit_test_setup(parts_have_a_limit, set_up),
        cmocka_unit_test_setup(unreadable_memory_is_the_kernels_to_judge, set_up),
        cmocka_unit_test_setup(lists_name_hosts, set_up),
        cmocka_unit_test_setup(lists_decide, set_up),
        cmocka_unit_test_setup(the_stream_is_the_same_however_cut, set_up),
        cmocka_unit_test_setup(buffers_may_end_anywhere, set_up),
        cmocka_unit_test_setup(there_may_be_many_buffers, set_up),
        cmocka_unit_test_setup(a_parent_is_counted_once, set_up),
        cmocka_unit_test_setup(a_state_goes_with_it, set_up),
        cmocka_unit_test_setup(without_a_record_nothing_is_written, set_up),
        cmocka_unit_test_setup(a_connection_given_up_still_owes, set_up),
        cmocka_unit_test_setup(owing_ends_with_the_connection, set_up),
        cmocka_unit_test_setup(who_owes_is_counted, set_up),
        cmocka_unit_test_setup(tunnels_stay_as_they_are, set_up),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    /* The same where requests are framed before the call that sends them. */
    attachment_frames_ahead = true;
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
