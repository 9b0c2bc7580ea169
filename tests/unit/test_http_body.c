/* What is kept of a service's bodies: the same however they are cut and compressed, within bounds.
 */
#include "app_thread/http_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "app_thread/attachment.h"
#include "app_thread/slab.h"
#include "handoff/losses.h"
#include "handoff/segment.h"
#include "wire/service.h"

#define SPLITS_ALL SIZE_MAX

static struct segment *segment;
static uint8_t *long_text;
static uint8_t *coded;

#define LONG_BYTES (LIMIT_INFLATE_TEXT + 4096)

static struct segment *give_segment(struct attachment *page)
{
    (void)page;
    return segment;
}

static int set_up(void **state)
{
    (void)state;
    size_t size = segment_size(64);
    segment = aligned_alloc(64, (size + 63) / 64 * 64);
    attachment = calloc(1, 4096);
    long_text = malloc(LONG_BYTES);
    coded = malloc(LONG_BYTES);
    memset(segment, 0, size);
    segment_initialize(segment, 64, 1, (struct segment_clock){1, 1});
    attachment_renew = give_segment;
    atomic_store(&attachment_is_on, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(segment);
    free(attachment);
    free(long_text);
    free(coded);
    return 0;
}

/* ---- one reply ---- */

static struct slice slice(const char *text)
{
    return slice_of(text, strlen(text));
}

static uint8_t chat_endpoint(void)
{
    return service_find(slice("POST"), slice("/v1/chat/completions"), false);
}

struct reply {
    struct direction direction;
    struct record record;
};

static void begin(struct reply *reply, const char *type, const char *coding)
{
    memset(reply, 0, sizeof(*reply));
    struct http1_item item = {.field = HTTP1_FIELD_CONTENT_TYPE, .value = slice(type)};
    http_body_reply_field(&reply->direction, &reply->record, chat_endpoint(), &item);
    if (coding != NULL) {
        item = (struct http1_item){.field = HTTP1_FIELD_CONTENT_ENCODING, .value = slice(coding)};
        http_body_reply_field(&reply->direction, &reply->record, chat_endpoint(), &item);
    }
    http_body_begin_reply(&reply->direction, chat_endpoint());
}

static void pass(struct reply *reply, const uint8_t *bytes, size_t size)
{
    /* Exactly so many, so that a sanitizer sees every look beyond. */
    uint8_t *exact = malloc(size + (size == 0));
    memcpy(exact, bytes, size);
    http_body_pass(&reply->direction, &reply->record, slice_of(exact, size), 77);
    free(exact);
}

static void end(struct reply *reply)
{
    http_body_end(&reply->direction, &reply->record, true);
    assert_int_equal(reply->direction.body_block, 0);
}

/* The value of an attribute that is a text; the last one that was told. */
static struct slice value_of(const struct record *record, const char *attribute)
{
    const struct service_endpoint *endpoint = service_endpoint(chat_endpoint());
    struct slice found = {NULL, 0};
    struct slice value;
    uint32_t offset = 0;
    enum field_tag tag;
    while (record_next_field(record, &offset, &tag, &value)) {
        if (tag == FIELD_SERVICE_VALUE &&
            slice_equals(service_text(service_field(endpoint, value.data[0])->attribute),
                         slice(attribute))) {
            slice_take(&value, 1);
            found = value;
        }
    }
    return found;
}

static void check_value(const struct reply *reply, const char *attribute, const char *expected)
{
    struct slice value = value_of(&reply->record, attribute);
    if (expected == NULL) {
        assert_null(value.data);
        return;
    }
    assert_non_null(value.data);
    assert_true(slice_equals(value, slice(expected)));
}

static void check_unread(const struct reply *reply, const char *expected)
{
    struct slice reason = record_find_field(&reply->record, FIELD_BODY_UNREAD);
    assert_true(slice_equals(reason, slice(expected)));
}

/* zlib's bits: 31 gzip, 15 zlib, -15 bare. */
static size_t compress_to(const uint8_t *text, size_t size, int bits, size_t flush_every)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = coded;
    z.avail_out = LONG_BYTES;
    for (size_t at = 0; at < size; at += flush_every) {
        union {
            const uint8_t *borrowed;
            uint8_t *next;
        } in = {text + at};
        size_t piece = flush_every < size - at ? flush_every : size - at;
        z.next_in = in.next;
        z.avail_in = (uInt)piece;
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    }
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t written = LONG_BYTES - z.avail_out;
    deflateEnd(&z);
    return written;
}

#define ANSWER                                                                                     \
    "{\"id\": \"chatcmpl-1\", \"model\": \"m\", \"choices\": [{\"message\": {\"content\": "        \
    "\"secret\"}, \"finish_reason\": \"stop\"}], \"usage\": {\"prompt_tokens\": 9}}"

#define EVENTS                                                                                     \
    ": hello\n\ndata: {\"id\":\"chatcmpl-2\",\"choices\":[{\"delta\":{\"content\":\"secret\"}}]}"  \
    "\n\ndata: not JSON\n\ndata: {\"model\":\"m2\",\"usage\":{\"prompt_tokens\":5}}\n\n"           \
    "data: [DONE]\n\n"

static const struct {
    const char *coding;
    int bits;
} codings[] = {{"gzip", 31}, {"x-gzip", 31}, {"GZIP", 31}, {"deflate", 15}, {"deflate", -15}};

static void check_answer(const struct reply *reply)
{
    check_value(reply, "gen_ai.response.id", "chatcmpl-1");
    check_value(reply, "gen_ai.response.model", "m");
    check_value(reply, "gen_ai.response.finish_reasons", "stop");
    check_value(reply, "gen_ai.usage.input_tokens", "9");
    check_unread(reply, "");
    assert_null(memmem(&reply->record, sizeof(reply->record), "secret", 6));
}

static void test_answers(void **state)
{
    (void)state;
    struct reply reply;
    begin(&reply, "application/json", NULL);
    pass(&reply, (const uint8_t *)ANSWER, sizeof(ANSWER) - 1);
    end(&reply);
    check_answer(&reply);
    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        size_t size =
            compress_to((const uint8_t *)ANSWER, sizeof(ANSWER) - 1, codings[i].bits, SIZE_MAX / 2);
        for (size_t first = 0; first <= size; first++) {
            begin(&reply, "application/json", codings[i].coding);
            pass(&reply, coded, first);
            pass(&reply, coded + first, size - first);
            end(&reply);
            check_answer(&reply);
        }
    }
}

static void test_events(void **state)
{
    (void)state;
    struct reply reply;
    size_t size = compress_to((const uint8_t *)EVENTS, sizeof(EVENTS) - 1, 31, 40);
    for (size_t first = 0; first <= size; first++) {
        begin(&reply, "text/event-stream; charset=utf-8", "gzip");
        pass(&reply, coded, first);
        pass(&reply, coded + first, size - first);
        end(&reply);
        check_value(&reply, "gen_ai.response.id", "chatcmpl-2");
        check_value(&reply, "gen_ai.response.model", "m2");
        check_value(&reply, "gen_ai.usage.input_tokens", "5");
        check_unread(&reply, "");
        assert_int_equal(reply.record.http.first_data_ns, 77);
        assert_null(memmem(&reply.record, sizeof(reply.record), "secret", 6));
    }
}

/* ---- what is not read ---- */

static void test_unread(void **state)
{
    (void)state;
    struct reply reply;
    static const char *const others[] = {"br", "zstd", "gzip, gzip", "compress"};
    for (size_t i = 0; i < 4; i++) {
        begin(&reply, "application/json", others[i]);
        pass(&reply, (const uint8_t *)ANSWER, sizeof(ANSWER) - 1);
        end(&reply);
        check_unread(&reply, others[i]);
        check_value(&reply, "gen_ai.response.id", NULL);
    }
    begin(&reply, "application/json", "identity");
    pass(&reply, (const uint8_t *)ANSWER, sizeof(ANSWER) - 1);
    end(&reply);
    check_answer(&reply);
    /* Neither compressed as it says, nor to its end; nor JSON. */
    begin(&reply, "application/json", "gzip");
    pass(&reply, (const uint8_t *)ANSWER, sizeof(ANSWER) - 1);
    pass(&reply, (const uint8_t *)ANSWER, sizeof(ANSWER) - 1);
    end(&reply);
    check_unread(&reply, "malformed");
    size_t size = compress_to((const uint8_t *)ANSWER, sizeof(ANSWER) - 1, 31, 20);
    begin(&reply, "application/json", "gzip");
    pass(&reply, coded, size / 2);
    end(&reply);
    check_unread(&reply, "malformed");
    size = compress_to((const uint8_t *)"{not JSON at all}", 17, 31, 17);
    begin(&reply, "application/json", "gzip");
    pass(&reply, coded, size);
    pass(&reply, coded, size);
    end(&reply);
    check_unread(&reply, "malformed");
    /* An answer without a body takes nothing. */
    begin(&reply, "application/json", "gzip");
    end(&reply);
    check_unread(&reply, "");
}

static void test_length(void **state)
{
    (void)state;
    static const char tail[] = "\", \"id\": \"chatcmpl-1\"}";
    struct reply reply;
    for (size_t more = 0; more < 2; more++) {
        size_t size = LIMIT_INFLATE_TEXT + more;
        memset(long_text, 'x', size);
        memcpy(long_text, "{\"object\": \"", 12);
        memcpy(long_text + size - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
        size_t coded_size = compress_to(long_text, size, 31, size);
        begin(&reply, "application/json", "gzip");
        pass(&reply, coded, coded_size);
        end(&reply);
        check_unread(&reply, more == 0 ? "" : "too long");
        if (more == 0) {
            check_value(&reply, "gen_ai.response.id", "chatcmpl-1");
        }
    }
}

/* As many long texts at once as there is memory for; then none, then all again. */
static void test_memory(void **state)
{
    (void)state;
    enum { BODIES = 400 };
    static struct reply replies[BODIES];
    size_t first_round = 0;
    memset(long_text, 'x', 2 * LIMIT_INFLATE_WINDOW);
    long_text[0] = '"';
    size_t size = compress_to(long_text, 2 * LIMIT_INFLATE_WINDOW, 31, LONG_BYTES);
    for (int round = 0; round < 3; round++) {
        size_t read = 0;
        for (size_t i = 0; i < BODIES; i++) {
            begin(&replies[i], "application/json", "gzip");
            pass(&replies[i], coded, size);
            bool has_memory = record_find_field(&replies[i].record, FIELD_BODY_UNREAD).size == 0;
            read += has_memory;
            if (!has_memory) {
                check_unread(&replies[i], "no memory");
            }
        }
        assert_true(read >= LIMIT_INFLATE_SHARE / (LIMIT_INFLATE_WINDOW + 2 * SLAB_BLOCK_BYTES));
        assert_true(read < BODIES);
        first_round = round == 0 ? read : first_round;
        assert_int_equal(read, first_round);
        for (size_t i = 0; i < BODIES; i++) {
            end(&replies[i]);
        }
    }
    assert_true(atomic_load(&segment->losses[LOSS_SLAB_FULL]) > 0);
}

/* A body whose end nobody saw gives its memory to the next one. */
static void test_unended(void **state)
{
    (void)state;
    struct reply reply;
    size_t size = compress_to((const uint8_t *)ANSWER, sizeof(ANSWER) - 1, 31, SIZE_MAX / 2);
    begin(&reply, "application/json", "gzip");
    for (size_t i = 0; i < LIMIT_INFLATE_SHARE / SLAB_BLOCK_BYTES; i++) {
        pass(&reply, coded, size / 2);
        memset(&reply.record, 0, sizeof(reply.record));
        http_body_begin_reply(&reply.direction, chat_endpoint());
    }
    pass(&reply, coded, size);
    end(&reply);
    check_answer(&reply);
}

/* ---- requests ---- */

static void check_request(const char *body, size_t piece)
{
    struct reply request;
    memset(&request, 0, sizeof(request));
    http_body_begin_request(&request.direction, &request.record, chat_endpoint());
    for (size_t at = 0; at < strlen(body); at += piece) {
        size_t left = strlen(body) - at;
        pass(&request, (const uint8_t *)body + at, piece < left ? piece : left);
    }
    end(&request);
    check_value(&request, "gen_ai.request.model", "gpt-4o");
    check_value(&request, "gen_ai.request.stream", "true");
    check_value(&request, "gen_ai.request.max_tokens", "64");
    check_value(&request, "gen_ai.request.temperature", NULL);
    check_value(&request, "gen_ai.output.type", "json_object");
    check_unread(&request, "");
    assert_null(memmem(&request.record, sizeof(request.record), "secret", 6));
}

static void test_requests(void **state)
{
    (void)state;
    /* What is null or of another type is none; of two names for one attribute the first counts. */
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"secret\",\"model\":\"secret\"}],"
        "\"model\":\"gpt-4o\",\"stream\":true,\"temperature\":\"secret\",\"max_tokens\":null,"
        "\"max_completion_tokens\":64,\"model\":\"secret\",\"user\":\"secret\","
        "\"response_format\":{\"type\":\"json_object\",\"json_schema\":\"secret\"}}";
    for (size_t piece = 1; piece <= sizeof(body); piece++) {
        check_request(body, piece);
    }
}

static void test_fields_of_heads(void **state)
{
    (void)state;
    struct reply reply;
    static const struct http1_item items[] = {
        {.name = {(const uint8_t *)"OpenAI-Processing-MS", 20},
         .value = {(const uint8_t *)"41", 2}},
        {.name = {(const uint8_t *)"openai-organization", 19},
         .value = {(const uint8_t *)"secret", 6}},
        {.name = {(const uint8_t *)"x-ratelimit-limit-requests", 26},
         .value = {(const uint8_t *)"1", 1},
         .value_cut = true},
    };
    begin(&reply, "application/json", NULL);
    for (size_t i = 0; i < 3; i++) {
        http_body_reply_field(&reply.direction, &reply.record, chat_endpoint(), &items[i]);
    }
    end(&reply);
    check_value(&reply, "openai.processing_ms", "41");
    check_value(&reply, "openai.ratelimit.limit_requests", NULL);
    assert_null(memmem(&reply.record, sizeof(reply.record), "secret", 6));
}

/* How many there are is counted, for as many attributes as there is room for. */
static void test_counts(void **state)
{
    (void)state;
    uint8_t images = service_find(slice("POST"), slice("/v1/images/generations"), false);
    struct reply reply;
    static const char body[] = "{\"data\":[{\"b64_json\":\"x\"},{\"url\":\"y\"},3,null,[]]}";
    memset(&reply, 0, sizeof(reply));
    http_body_begin_reply(&reply.direction, images);
    pass(&reply, (const uint8_t *)body, sizeof(body) - 1);
    end(&reply);
    const struct service_endpoint *endpoint = service_endpoint(images);
    struct slice value = record_find_field(&reply.record, FIELD_SERVICE_VALUE);
    assert_true(slice_equals(service_text(service_field(endpoint, value.data[0])->attribute),
                             slice("image.count")));
    slice_take(&value, 1);
    assert_true(slice_equals(value, slice("4")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_events),
        cmocka_unit_test(test_unread),   cmocka_unit_test(test_length),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_unended),
        cmocka_unit_test(test_requests), cmocka_unit_test(test_fields_of_heads),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests_name("http_body", tests, set_up, tear_down);
}
