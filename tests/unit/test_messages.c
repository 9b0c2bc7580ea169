/* Messages of a service and the runs that they tell of: however they are cut and compressed, within
   bounds, and whatever comes first. */
#include "../support/attached_segment.h"
#include "app_thread/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/runs.h"
#include "app_thread/service_values.h"
#include "handoff/segment.h"
#include "wire/service.h"

#define SLOTS 512u

static struct segment *segment;
static struct segment_reader reader;
static struct thread_state *self;
static struct connection *connection;

static struct slice slice(const char *text)
{
    return slice_of(text, strlen(text));
}

static uint8_t endpoint_of(const char *method, const char *target)
{
    return service_find(slice(method), slice(target), false);
}

static int set_up(void **state)
{
    (void)state;
    segment = attach_segment(SLOTS);
    connection = calloc(1, sizeof(*connection));
    self = &thread_state;
    connection->role = ROLE_CLIENT;
    connection->has_endpoints = true;
    attachment_reads_traceparent = true;
    attachment_context_spans = LIMIT_CONTEXT_SPANS;
    attachment_context_age_ns = LIMIT_CONTEXT_SECONDS * UINT64_C(1000000000);
    uint8_t number[8];
    trace_context_draw(self, number); /* makes a new thread forget whose work it did */
    return segment_reader_init(&reader, segment, segment_size(SLOTS));
}

static int tear_down(void **state)
{
    (void)state;
    runs_finish_all(self, 1u << 30, 0);
    assert_true(detach_segment(&reader, SLOTS));
    free(connection);
    return 0;
}

/* ---- a WebSocket ---- */

struct talk {
    z_stream z;
    bool is_coded;
    bool is_alone; /* each message by itself */
    bool is_masked;
};

static struct direction *incoming(void)
{
    return &connection->directions[DIRECTION_IN];
}

static void begin_at(struct talk *talk, uint8_t endpoint, bool is_coded, bool is_alone)
{
    struct record handshake = {0};
    bool is_server = connection->role == ROLE_SERVER;
    record_add_field(&handshake, FIELD_SERVICE, slice_of(&endpoint, 1), 1);
    *talk = (struct talk){.is_coded = is_coded, .is_alone = is_alone, .is_masked = is_server};
    assert_int_equal(deflateInit2(&talk->z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    websocket_init(&incoming()->websocket, is_server, is_coded);
    websocket_init(&connection->directions[DIRECTION_OUT].websocket, !is_server, is_coded);
    struct websocket_deflate deflate = {.agreed = is_coded,
                                        .server_no_context_takeover = is_alone && !is_server,
                                        .client_no_context_takeover = is_alone && is_server};
    messages_begin(connection, &handshake, &deflate);
    assert_int_not_equal(incoming()->body_block, 0);
}

static void begin(struct talk *talk, bool is_coded, bool is_alone)
{
    uint8_t endpoint = endpoint_of("GET", "/ws?clientId=1");
    assert_int_not_equal(endpoint, SERVICE_NONE);
    begin_at(talk, endpoint, is_coded, is_alone);
}

static void end(struct talk *talk)
{
    deflateEnd(&talk->z);
    messages_end(self, connection, 1u << 20);
}

static void pass(struct direction *direction, struct slice in, uint64_t now)
{
    struct websocket_item item;
    for (;;) {
        switch (websocket_next(&direction->websocket, &in, &item)) {
        case WEBSOCKET_NEED_MORE:
            return;
        case WEBSOCKET_FRAME_BEGIN:
            messages_frame(self, connection, direction, &item, now);
            break;
        case WEBSOCKET_PAYLOAD:
            messages_payload(direction, &item);
            break;
        case WEBSOCKET_FRAME_END:
            messages_frame_end(self, connection, direction, now);
            break;
        case WEBSOCKET_LOST:
        default:
            fail();
        }
    }
}

static size_t add_frame(uint8_t *wire, size_t used, unsigned first, bool is_masked,
                        struct slice payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned marks = is_masked ? 0x80 : 0;
    wire[used++] = (uint8_t)first;
    if (payload.size < 126) {
        wire[used++] = (uint8_t)(marks | payload.size);
    } else if (payload.size < 65536) {
        wire[used++] = (uint8_t)(marks | 126);
        wire[used++] = (uint8_t)(payload.size >> 8);
        wire[used++] = (uint8_t)payload.size;
    } else {
        const uint8_t size[9] = {(uint8_t)(marks | 127),
                                 0,
                                 0,
                                 0,
                                 0,
                                 (uint8_t)(payload.size >> 24),
                                 (uint8_t)(payload.size >> 16),
                                 (uint8_t)(payload.size >> 8),
                                 (uint8_t)payload.size};
        memcpy(wire + used, size, sizeof(size));
        used += sizeof(size);
    }
    if (is_masked) {
        memcpy(wire + used, mask, sizeof(mask));
        websocket_unmask(payload, mask, 0, wire + used + sizeof(mask));
        return used + sizeof(mask) + payload.size;
    }
    memcpy(wire + used, payload.data, payload.size);
    return used + payload.size;
}

/* A message in frames of `frame` bytes, a ping behind each; passed in pieces. */
static void say(struct talk *talk, const char *text, size_t frame, size_t piece, uint64_t now)
{
    static uint8_t payload[200000];
    static uint8_t wire[400000];
    size_t size = strlen(text);
    size_t used = 0;
    memcpy(payload, text, size);
    if (talk->is_coded) {
        union {
            const char *borrowed;
            Bytef *next;
        } in = {text};
        if (talk->is_alone) {
            deflateReset(&talk->z);
        }
        talk->z.next_in = in.next;
        talk->z.avail_in = (uInt)size;
        talk->z.next_out = payload;
        talk->z.avail_out = sizeof(payload);
        assert_int_equal(deflate(&talk->z, Z_SYNC_FLUSH), Z_OK);
        size = sizeof(payload) - talk->z.avail_out - 4;
    }
    for (size_t at = 0; at == 0 || at < size; at += frame) {
        size_t count = frame < size - at ? frame : size - at;
        unsigned first =
            (at == 0 ? 1u | (talk->is_coded ? 0x40u : 0) : 0) | (at + count == size ? 0x80u : 0);
        used = add_frame(wire, used, first, talk->is_masked, slice_of(payload + at, count));
        used = add_frame(wire, used, 0x89, talk->is_masked, SLICE("x"));
    }
    for (size_t at = 0; at < used; at += piece) {
        size_t count = piece < used - at ? piece : used - at;
        uint8_t *exact = malloc(count);
        memcpy(exact, wire + at, count);
        pass(incoming(), slice_of(exact, count), now);
        free(exact);
    }
}

/* This process says it, masked, in pieces. */
static void send_text(const char *text, size_t piece, uint64_t now)
{
    static const uint8_t mask[4] = {0x12, 0xFF, 0, 0x80};
    uint8_t wire[1024] = {0x81};
    size_t size = strlen(text);
    size_t used = 2;
    wire[1] = (uint8_t)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        wire[used++] = (uint8_t)(size >> 8);
        wire[used++] = (uint8_t)size;
    }
    memcpy(wire + used, mask, sizeof(mask));
    used += sizeof(mask);
    for (size_t i = 0; text[i] != '\0'; i++) {
        wire[used++] = (uint8_t)text[i] ^ mask[i % 4];
    }
    for (size_t at = 0; at < used; at += piece) {
        size_t count = piece < used - at ? piece : used - at;
        pass(&connection->directions[DIRECTION_OUT], slice_of(wire + at, count), now);
    }
}

static void say_of(struct talk *talk, const char *kind, const char *id, const char *more,
                   uint64_t now)
{
    char text[512];
    snprintf(text, sizeof(text), "{\"type\":\"%s\",\"data\":{\"prompt_id\":\"%s\"%s}}", kind, id,
             more);
    say(talk, text, 300, 1000, now);
}

/* ---- a prompt ---- */

/* The slot of a request for a run; answered right away. */
static uint16_t ask(const char *method, const char *target, const char *id, const char *status,
                    uint64_t start, uint64_t end)
{
    uint8_t endpoint = endpoint_of(method, target);
    const struct service_endpoint *service = service_endpoint(endpoint);
    uint16_t slot = exchange_begin(self, connection, RECORD_HTTP_CLIENT, start);
    struct record *record = exchange_record(slot);
    if (record == NULL) {
        fail();
        return slot;
    }
    record_add_field(record, FIELD_SERVICE, slice_of(&endpoint, 1), 1);
    service_values_add(record, service->run_field, slice(id));
    if (status != NULL) {
        service_values_add(record, service_event(service, 0)->field, slice(status));
    }
    runs_answered(self, connection, slot, endpoint, end);
    exchange_complete(self, slot, end, RECORD_OK, 0);
    return slot;
}

static void submit(const char *id, uint64_t start)
{
    ask("POST", "/prompt", id, NULL, start, start + 1);
}

static struct record next_record(enum record_kind kind)
{
    struct record record;
    assert_true(segment_reader_next(&reader, &record));
    assert_int_equal(record.kind, kind);
    assert_true(record_is_valid(&record));
    return record;
}

static void no_record(void)
{
    struct record record;
    assert_false(segment_reader_next(&reader, &record));
}

static void check_below(const struct record *record, const struct record *parent)
{
    assert_memory_equal(record->trace_id, parent->trace_id, 16);
    assert_memory_equal(record->parent_span_id, parent->span_id, 8);
    assert_int_equal(record->parent_source, PARENT_CONTENT);
}

/* ---- */

static void test_run(void **state)
{
    (void)state;
    static const size_t frames[] = {1, 5, 120, 5000};
    static const size_t pieces[] = {1, 3, 64, 100000};
    uint64_t now = 1000;
    for (unsigned round = 0; round < 48; round++) {
        struct talk talk;
        char id[32];
        char text[256];
        begin(&talk, round % 3 > 0, round % 3 == 2);
        snprintf(id, sizeof(id), "p-%u", round);
        submit(id, now);
        const struct record request = next_record(RECORD_HTTP_CLIENT);
        static const char *const said[] = {
            "{\"type\":\"status\",\"data\":{\"status\":{}}}",
            "{\"data\":{\"prompt_id\":\"%s\"},\"type\":\"execution_start\"}",
            "{\"type\":\"progress\",\"data\":{\"value\":3,\"max\":9,\"node\":\"7\",\"prompt_id\":"
            "\"%s\"}}",
            "{\"type\":\"progress\",\"data\":{\"prompt_id\":\"somebody-elses\"}}",
            "{\"type\":\"executing\",\"data\":{\"node\":null,\"prompt_id\":\"%s\"}}",
            "not JSON",
        };
        for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(text, sizeof(text), said[i], id);
#pragma GCC diagnostic pop
            say(&talk, text, frames[round / 3 % 4], pieces[round / 12], ++now);
        }
        const struct record start = next_record(RECORD_MESSAGE);
        const struct record progress = next_record(RECORD_MESSAGE);
        const struct record last = next_record(RECORD_MESSAGE);
        const struct record run = next_record(RECORD_RUN);
        no_record();
        check_below(&request, &run);
        check_below(&start, &run);
        check_below(&progress, &run);
        check_below(&last, &run);
        assert_int_equal(run.parent_source, PARENT_NONE);
        assert_int_equal(run.start_ns, request.start_ns);
        assert_int_equal(run.run.started_ns, start.end_ns);
        assert_int_equal(run.end_ns, last.end_ns);
        assert_int_equal(run.run.end, RUN_END_COMPLETED);
        assert_int_equal(run.run.messages, 3);
        assert_int_equal(run.run.progress_ns, progress.end_ns);
        assert_int_equal(run.run.percent, 33);
        assert_int_equal(run.run.retrieved_ns, 0);
        const struct service_endpoint *messages = service_endpoint(endpoint_of("GET", "/ws"));
        assert_true(slice_equals(service_values_find(&progress, messages->run_field), slice(id)));
        end(&talk);
        now += 100;
    }
}

static void check_prompt(const struct record *run, const char *id)
{
    const struct service_endpoint *messages = service_endpoint(endpoint_of("GET", "/ws"));
    assert_true(slice_equals(service_values_find(run, messages->run_field), slice(id)));
    assert_true(
        slice_equals(service_values_find(run, service_field_of(messages, slice("workflow.steps"))),
                     slice("20")));
}

#define GRAPH "\"prompt\":{\"3\":{\"inputs\":{\"steps\":20,\"text\":\"nobody sees this\"}}}"
#define ASKED "{\"type\":\"prompt\",\"data\":{" GRAPH "}}"

/* What is sent asks for a run, which the answer names. */
static void test_sent(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 7, 300, 1000};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct talk talk;
        char id[32];
        snprintf(id, sizeof(id), "s-%zu", i);
        begin(&talk, i % 2 == 1, false);
        send_text("{\"type\":\"feature_flags\",\"data\":{}}", pieces[i], 5);
        send_text("not JSON", pieces[i], 6);
        send_text(ASKED, pieces[i], 10);
        const struct record sent = next_record(RECORD_MESSAGE);
        say_of(&talk, "prompt_queued", id, "", 20);
        say_of(&talk, "prompt_queued", id, "", 21); /* once more */
        say_of(&talk, "prompt", "somebody-elses", "", 22);
        no_record();
        say_of(&talk, "execution_start", id, "", 30);
        say_of(&talk, "execution_success", id, "", 40);
        const struct record start = next_record(RECORD_MESSAGE);
        const struct record last = next_record(RECORD_MESSAGE);
        const struct record run = next_record(RECORD_RUN);
        no_record();
        check_below(&sent, &run);
        check_below(&start, &run);
        check_below(&last, &run);
        check_prompt(&run, id);
        assert_int_equal(sent.message.kind, MESSAGE_SENT);
        assert_int_equal(sent.message.bytes, strlen(ASKED));
        assert_int_equal(start.message.kind, MESSAGE_RECEIVED);
        assert_int_equal(run.start_ns, 10);
        assert_int_equal(run.end_ns, 40);
        assert_int_equal(run.run.end, RUN_END_COMPLETED);
        assert_int_equal(run.run.messages, 2);
        end(&talk);
    }
}

/* Several that wait for their names get them in order; what has an id needs none. */
static void test_sent_at_once(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, false, false);
    send_text(ASKED, 1000, 10);
    send_text("{\"type\":\"queue_prompt\"," GRAPH ",\"prompt_id\":\"o-own\"}", 1000, 11);
    send_text(ASKED, 1000, 12);
    say_of(&talk, "prompt_queued", "o-1", "", 20);
    say_of(&talk, "prompt_queued", "o-own", "", 21);
    say_of(&talk, "prompt_queued", "o-2", "", 22);
    say_of(&talk, "prompt_queued", "o-other-process", "", 23);
    say_of(&talk, "execution_success", "o-2", "", 30);
    say_of(&talk, "execution_success", "o-own", "", 31);
    say_of(&talk, "execution_success", "o-1", "", 32);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(next_record(RECORD_MESSAGE).message.kind, MESSAGE_SENT);
    }
    static const char *const ids[] = {"o-2", "o-own", "o-1"};
    static const uint64_t starts[] = {12, 11, 10};
    for (size_t i = 0; i < 3; i++) {
        next_record(RECORD_MESSAGE);
        const struct record run = next_record(RECORD_RUN);
        check_prompt(&run, ids[i]);
        assert_int_equal(run.start_ns, starts[i]);
    }
    no_record();
    end(&talk);
}

/* The socket is closed before the answer. */
static void test_sent_in_vain(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, false, false);
    send_text(ASKED, 1000, 10);
    next_record(RECORD_MESSAGE);
    end(&talk);
    const struct record run = next_record(RECORD_RUN);
    assert_int_equal(run.run.end, RUN_END_UNKNOWN);
    no_record();
    assert_int_equal(connection->directions[DIRECTION_OUT].body_block, 0);
    assert_int_equal(incoming()->body_block, 0);
}

/* What is told of no run is told of all that go on, once. */
static void test_noted(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, false, false);
    submit("n-1", 10);
    next_record(RECORD_HTTP_CLIENT);
    say(&talk,
        "{\"type\":\"status\",\"data\":{\"status\":{\"exec_info\":{\"queue_remaining\":3}}}}", 300,
        1000, 20);
    say(&talk,
        "{\"type\":\"status\",\"data\":{\"status\":{\"exec_info\":{\"queue_remaining\":2}}}}", 300,
        1000, 21);
    say_of(&talk, "execution_success", "n-1", "", 30);
    next_record(RECORD_MESSAGE);
    const struct record run = next_record(RECORD_RUN);
    const struct service_endpoint *prompt = service_endpoint(endpoint_of("POST", "/prompt"));
    assert_true(slice_equals(
        service_values_find(&run, service_field_of(prompt, slice("comfyui.queue_remaining"))),
        slice("3")));
    no_record();
    end(&talk);
}

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        const char *more;
        enum run_end end;
    } ends[] = {
        {"execution_success", "", RUN_END_COMPLETED},
        {"execution_error", ",\"exception_type\":\"ValueError\"", RUN_END_FAILED},
        {"execution_interrupted", "", RUN_END_CANCELLED},
    };
    struct talk talk;
    begin(&talk, false, false);
    for (size_t i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof(id), "e-%zu", i);
        submit(id, 10);
        next_record(RECORD_HTTP_CLIENT);
        say_of(&talk, ends[i].kind, id, ends[i].more, 20);
        /* What is told once more ends nothing. */
        say_of(&talk, "execution_success", id, "", 30);
        next_record(RECORD_MESSAGE);
        const struct record run = next_record(RECORD_RUN);
        assert_int_equal(run.run.end, ends[i].end);
        assert_int_equal(run.end_ns, 20);
        assert_true(slice_equals(record_find_field(&run, FIELD_RUN_ERROR),
                                 i == 1 ? slice("ValueError") : slice("")));
        no_record();
    }
    end(&talk);
    /* Without a WebSocket the history tells. */
    submit("h-1", 10);
    ask("GET", "/history/h-1", "h-1", "running", 20, 21);
    ask("GET", "/history/h-1", "h-1", "success", 30, 31);
    next_record(RECORD_HTTP_CLIENT);
    next_record(RECORD_HTTP_CLIENT);
    const struct record run = next_record(RECORD_RUN);
    assert_int_equal(run.run.end, RUN_END_COMPLETED);
    assert_int_equal(run.end_ns, 31);
    assert_int_equal(run.run.retrieved_ns, 31);
    assert_int_equal(run.run.progress_ns, 0);
    next_record(RECORD_HTTP_CLIENT);
    no_record();
}

/* The messages are faster than the answer. */
static void test_early(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, false, false);
    say_of(&talk, "execution_start", "f-1", "", 50);
    say_of(&talk, "execution_success", "f-1", "", 60);
    no_record();
    submit("f-1", 40);
    const struct record run = next_record(RECORD_RUN);
    assert_int_equal(run.start_ns, 40);
    assert_int_equal(run.run.started_ns, 50);
    assert_int_equal(run.end_ns, 60);
    assert_int_equal(run.run.messages, 2);
    const struct record request = next_record(RECORD_HTTP_CLIENT);
    check_below(&request, &run);
    no_record();
    end(&talk);
}

static void test_bounds(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, true, false);
    submit("b-1", 10);
    next_record(RECORD_HTTP_CLIENT);
    for (uint32_t i = 0; i < LIMIT_RUN_MESSAGES + 5; i++) {
        say_of(&talk, "progress", "b-1", "", 20 + i);
    }
    for (uint32_t i = 0; i < LIMIT_RUN_MESSAGES; i++) {
        next_record(RECORD_MESSAGE);
    }
    no_record();
    /* One more than there is room for: the one that was quiet for longest ends. */
    for (uint32_t i = 0; i < LIMIT_RUNS; i++) {
        char id[32];
        snprintf(id, sizeof(id), "m-%u", i);
        submit(id, 100 + i);
        if (i == LIMIT_RUNS - 1) {
            const struct record run = next_record(RECORD_RUN);
            assert_int_equal(run.run.end, RUN_END_UNKNOWN);
            assert_int_equal(run.run.messages, LIMIT_RUN_MESSAGES + 5);
        }
        next_record(RECORD_HTTP_CLIENT);
        no_record();
    }
    runs_finish_all(self, 1000, record_abort_cause(ABORT_SIGNAL, 9));
    for (uint32_t i = 0; i < LIMIT_RUNS; i++) {
        const struct record run = next_record(RECORD_RUN);
        assert_int_equal(run.error, RECORD_ERROR_ABORTED);
    }
    no_record();
    end(&talk);
}

/* Where bytes are missed: by themselves messages go on with the next one, else nothing is read. */
static void test_missed(void **state)
{
    (void)state;
    struct talk talk;
    for (int variant = 0; variant < 3; variant++) {
        char id[32];
        snprintf(id, sizeof(id), "l-%d", variant);
        begin(&talk, variant > 0, variant == 2);
        submit(id, 10);
        next_record(RECORD_HTTP_CLIENT);
        say_of(&talk, "execution_start", id, "", 20);
        next_record(RECORD_MESSAGE);
        pass(incoming(), variant > 0 ? SLICE("\301\005ab") : SLICE("\201\005{\""), 21);
        assert_true(websocket_skip(&incoming()->websocket, 1));
        messages_missed(incoming());
        pass(incoming(), SLICE("de"), 22);
        say_of(&talk, "execution_success", id, "", 30);
        if (variant == 1) {
            assert_int_equal(incoming()->body_block, 0);
            runs_finish_all(self, 40, 0);
        } else {
            next_record(RECORD_MESSAGE);
        }
        const struct record run = next_record(RECORD_RUN);
        assert_int_equal(run.run.end, variant == 1 ? RUN_END_UNKNOWN : RUN_END_COMPLETED);
        no_record();
        end(&talk);
    }
}

/* ---- contexts ---- */

static void carry(struct talk *talk, char id, size_t frame, size_t piece, uint64_t now)
{
    char text[256];
    snprintf(
        text, sizeof(text),
        "{\"type\":\"job\",\"trace_context\":{\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e473%c\","
        "\"span_id\":\"00f067aa0ba902b%c\"}}",
        id, id);
    say(talk, text, frame, piece, now);
}

/* The last digit of the parent of what is sent now; -1: it has none. */
static int sender(void)
{
    struct record record = {0};
    trace_context_begin_client(self, &record, 1000);
    if (record.parent_source == PARENT_NONE) {
        return -1;
    }
    assert_int_equal(record.parent_source, PARENT_CONTENT);
    assert_true((record.flags & RECORD_FLAG_REMOTE_PARENT) != 0);
    assert_int_equal(record.trace_id[0], 0x4b);
    assert_int_equal(record.trace_id[15] & 15, record.parent_span_id[7] & 15);
    return record.parent_span_id[7] & 15;
}

static void begin_plainly(struct talk *talk, bool is_server, bool is_coded, bool is_alone)
{
    connection->role = is_server ? ROLE_SERVER : ROLE_CLIENT;
    begin_at(talk, SERVICE_NONE, is_coded, is_alone);
    assert_int_equal(incoming()->carry_block, 0);
}

static void end_plainly(struct talk *talk)
{
    atomic_fetch_add(&connection->answers, 1);
    assert_int_equal(sender(), -1);
    connection->role = ROLE_CLIENT;
    end(talk);
}

static void test_contexts(void **state)
{
    (void)state;
    static const size_t frames[] = {1, 5, 120, 5000};
    static const size_t pieces[] = {1, 3, 64, 100000};
    uint64_t now = 1000;
    for (unsigned round = 0; round < 96; round++) {
        struct talk talk;
        size_t frame = frames[round / 3 % 4];
        size_t piece = pieces[round / 12 % 4];
        begin_plainly(&talk, round >= 48, round % 3 > 0, round % 3 == 2);
        assert_int_equal(sender(), -1);
        carry(&talk, '5', frame, piece, ++now);
        assert_int_equal(sender(), 5);
        assert_int_equal(sender(), 5);
        carry(&talk, '6', frame, piece, ++now);
        assert_int_equal(sender(), 6);
        /* A message that carries none ends it, too. */
        say(&talk, "{\"type\":\"status\"}", frame, piece, ++now);
        assert_int_equal(sender(), -1);
        carry(&talk, '7', frame, piece, ++now);
        assert_int_equal(sender(), 7);
        say(&talk, "not JSON", frame, piece, ++now);
        assert_int_equal(sender(), -1);
        /* Of two that come at once it is not known which one is worked for. */
        ++now;
        carry(&talk, '8', frame, piece, now);
        assert_int_equal(sender(), 8);
        carry(&talk, '9', frame, piece, now);
        assert_int_equal(sender(), -1);
        carry(&talk, '4', frame, piece, ++now);
        assert_int_equal(sender(), 4);
        end_plainly(&talk);
    }
}

static void test_context_beside_a_service(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, true, false);
    submit("c-1", 10);
    next_record(RECORD_HTTP_CLIENT);
    carry(&talk, '5', 5000, 5000, 19);
    assert_int_equal(sender(), 5);
    say_of(&talk, "execution_success", "c-1", "", 20);
    assert_int_equal(sender(), -1);
    next_record(RECORD_MESSAGE);
    next_record(RECORD_RUN);
    end(&talk);
}

static void test_long_messages(void **state)
{
    (void)state;
    static char text[LIMIT_MESSAGE_CONTEXT + 2];
    static const char before[] = "{\"a\":\"";
    static const char after[] =
        "\",\"trace_context\":{\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4735\","
        "\"span_id\":\"00f067aa0ba902b5\"}}";
    for (size_t over = 0; over < 2; over++) {
        struct talk talk;
        size_t size = LIMIT_MESSAGE_CONTEXT + over;
        memset(text, 'x', size);
        memcpy(text, before, sizeof(before) - 1);
        memcpy(text + size - (sizeof(after) - 1), after, sizeof(after));
        begin_plainly(&talk, true, false, false);
        say(&talk, text, sizeof(text), 1000, 50);
        assert_int_equal(sender(), over == 0 ? 5 : -1);
        end_plainly(&talk);
    }
}

static void test_untraced_messages(void **state)
{
    (void)state;
    for (unsigned is_coded = 0; is_coded < 2; is_coded++) {
        struct talk talk;
        uint64_t now = 100;
        begin_plainly(&talk, true, is_coded, false);
        for (unsigned round = 0; round < 2; round++) {
            for (unsigned i = 0; i < LIMIT_MESSAGES_UNTRACED - 1; i++) {
                say(&talk, "{\"type\":\"status\"}", 5000, 5000, ++now);
            }
            carry(&talk, '5', 5000, 5000, ++now);
            assert_int_equal(sender(), 5);
        }
        for (unsigned i = 0; i < LIMIT_MESSAGES_UNTRACED; i++) {
            say(&talk, "{\"type\":\"status\"}", 5000, 5000, ++now);
        }
        assert_int_equal(incoming()->body_block == 0, is_coded);
        carry(&talk, '5', 5000, 5000, ++now);
        assert_int_equal(sender(), is_coded ? -1 : 5);
        end_plainly(&talk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_missed),
        cmocka_unit_test(test_sent),
        cmocka_unit_test(test_sent_at_once),
        cmocka_unit_test(test_sent_in_vain),
        cmocka_unit_test(test_noted),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_context_beside_a_service),
        cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_untraced_messages),
    };
    return cmocka_run_group_tests_name("messages", tests, set_up, tear_down);
}
