/* What zlib compressed, in all its ways, comes out again however it is cut; what is none of it is
   refused as zlib does. */
#include "wire/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#define TEXT_BYTES   200000u
#define STREAM_BYTES (2 * TEXT_BYTES)

struct reading {
    struct inflate reader;
    struct inflate_literals literals;
    unsigned pages;
    bool is_lost;
    size_t used;
    uint8_t *pages_at[INFLATE_PAGES];
    uint8_t out[TEXT_BYTES];
};

static struct reading *reading;
static uint8_t *text;
static uint8_t *stream;

static int set_up(void **state)
{
    (void)state;
    reading = calloc(1, sizeof(*reading));
    text = malloc(TEXT_BYTES);
    stream = malloc(STREAM_BYTES);
    return reading == NULL || text == NULL || stream == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    free(reading);
    free(text);
    free(stream);
    return 0;
}

/* ---- reading ---- */

static void begin(enum inflate_framing framing)
{
    /* As memory comes that was used before. */
    memset(&reading->reader, 0xA5, sizeof(reading->reader));
    memset(&reading->literals, 0xA5, sizeof(reading->literals));
    inflate_init(&reading->reader, &reading->literals, framing);
    reading->pages = 0;
    reading->used = 0;
    reading->is_lost = false;
}

static void end(void)
{
    for (unsigned i = 0; i < reading->pages; i++) {
        free(reading->pages_at[i]);
    }
}

static void feed(const uint8_t *bytes, size_t size)
{
    enum inflate_event event;
    struct slice out;
    /* Exactly so many, so that a sanitizer sees every look beyond. */
    uint8_t *exact = malloc(size + (size == 0));
    memcpy(exact, bytes, size);
    struct slice in = slice_of(exact, size);
    while ((event = inflate_next(&reading->reader, &in, &out)) != INFLATE_NEED_MORE &&
           event != INFLATE_LOST) {
        if (event == INFLATE_NEED_PAGE) {
            assert_true(reading->pages < INFLATE_PAGES);
            reading->pages_at[reading->pages] = malloc(LIMIT_INFLATE_PAGE);
            inflate_lend_page(&reading->reader, reading->pages_at[reading->pages++]);
        } else {
            assert_true(out.size > 0 && reading->used + out.size <= TEXT_BYTES);
            memcpy(reading->out + reading->used, out.data, out.size);
            reading->used += out.size;
        }
    }
    reading->is_lost = event == INFLATE_LOST;
    assert_true(reading->is_lost || in.size == 0);
    free(exact);
}

static void read_pieces(enum inflate_framing framing, size_t size, size_t first, size_t step)
{
    begin(framing);
    feed(stream, first);
    for (size_t at = first; at < size && !reading->is_lost; at += step) {
        feed(stream + at, step < size - at ? step : size - at);
    }
    end();
}

static void check_text(size_t size)
{
    assert_false(reading->is_lost);
    assert_int_equal(reading->used, size);
    assert_memory_equal(reading->out, text, size);
    assert_true(inflate_is_complete(&reading->reader));
    /* Room is asked for before the next byte is looked at, which may be none. */
    assert_true(reading->pages <= size / LIMIT_INFLATE_PAGE + 1);
}

/* ---- writing ---- */

static uint32_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

enum kind { KIND_WORDS, KIND_NOISE, KIND_RUNS, KIND_FAR, KINDS };

static void fill_text(enum kind kind, size_t size)
{
    static const char *const words[] = {
        "{\"id\":\"chatcmpl-", "\",\"model\":", "\"gpt-4o\",", "0.25,", "null,",
        "caf\xc3\xa9 ",        "true}",         "\n"};
    size_t at = 0;
    while (at < size) {
        uint8_t byte = (uint8_t)draw(256);
        size_t count = 1;
        const void *bytes = &byte;
        uint8_t run[700];
        if (kind == KIND_WORDS) {
            bytes = words[byte % 8];
            count = strlen(bytes);
        } else if (kind == KIND_RUNS || (kind == KIND_FAR && byte < 8)) {
            memset(run, byte, sizeof(run));
            bytes = run;
            count = 1 + draw(sizeof(run));
        } else if (kind == KIND_FAR && at > LIMIT_INFLATE_WINDOW) {
            /* As far back as zlib reaches, and the length that its longest symbol has. */
            bytes = text + at - LIMIT_INFLATE_WINDOW + 262 + draw(3);
            count = 258;
        }
        count = count < size - at ? count : size - at;
        memmove(text + at, bytes, count);
        at += count;
    }
}

static size_t compress_text(size_t size, int level, int strategy, int bits, int flush_every)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, bits, 8, strategy), Z_OK);
    z.next_in = text;
    z.next_out = stream;
    z.avail_out = STREAM_BYTES;
    for (size_t at = 0; flush_every > 0 && at + (size_t)flush_every < size;
         at += (size_t)flush_every) {
        z.avail_in = (uInt)flush_every;
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    }
    z.avail_in = (uInt)(size - (size_t)(z.next_in - text));
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t written = STREAM_BYTES - z.avail_out;
    deflateEnd(&z);
    return written;
}

/* ---- */

static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED};
static const struct {
    enum inflate_framing framing;
    int bits; /* as zlib says it */
} framings[] = {{INFLATE_BARE, -15}, {INFLATE_ZLIB, 15},  {INFLATE_GZIP, 31},
                {INFLATE_ZLIB, 9},   {INFLATE_ZLIB, -15}, {INFLATE_BARE, -9}};

#define EACH(index, array) (size_t index = 0; index < sizeof(array) / sizeof((array)[0]); index++)

static void test_long(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        fill_text(kind, TEXT_BYTES);
        for (int level = 0; level <= 9; level++) {
            for
                EACH(i, strategies)
                {
                    size_t size = compress_text(TEXT_BYTES, level, strategies[i], -15, 0);
                    read_pieces(INFLATE_BARE, size, size, 1);
                    check_text(TEXT_BYTES);
                    read_pieces(INFLATE_BARE, size, draw(100), 1 + draw(5000));
                    check_text(TEXT_BYTES);
                }
        }
        size_t size = compress_text(TEXT_BYTES, 6, Z_DEFAULT_STRATEGY, 31, 1000);
        read_pieces(INFLATE_GZIP, size, 0, 1);
        check_text(TEXT_BYTES);
    }
}

static void test_every_split(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        fill_text(kind, 700);
        for (int level = 0; level <= 9; level++) {
            for
                EACH(i, strategies)
                {
                for
                    EACH(j, framings)
                    {
                        size_t size = compress_text(700, level, strategies[i], framings[j].bits,
                                                    level % 2 == 0 ? 0 : 90);
                        read_pieces(framings[j].framing, size, 0, 1);
                        check_text(700);
                        /* Every split at two of the levels, for the time that it takes. */
                        for (size_t first = 0; first <= size && (level == 6 || level == 9);
                             first++) {
                            read_pieces(framings[j].framing, size, first, size);
                            check_text(700);
                        }
                    }
                }
        }
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 2048, 2049, 32767, 32768, 32769};
    for
        EACH(i, sizes)
        {
            fill_text(KIND_WORDS, sizes[i]);
            size_t size = compress_text(sizes[i], 6, Z_DEFAULT_STRATEGY, 31, 0);
            read_pieces(INFLATE_GZIP, size, size, 1);
            check_text(sizes[i]);
            size_t pages = (sizes[i] + LIMIT_INFLATE_PAGE - 1) / LIMIT_INFLATE_PAGE;
            assert_true(reading->pages >= (pages < INFLATE_PAGES ? pages : INFLATE_PAGES));
        }
}

/* A stream as RFC 1952 allows it, with all that a header may hold; then another, then garbage. */
static void test_gzip(void **state)
{
    (void)state;
    static const uint8_t header[] = {0x1F, 0x8B, 8,   0x1F, 1,   2,   3,   4, 0,   3, 3,    0,
                                     'x',  'y',  'z', 'n',  'a', 'm', 'e', 0, 'c', 0, 0xAA, 0xBB};
    fill_text(KIND_WORDS, 3000);
    size_t size = compress_text(3000, 6, Z_DEFAULT_STRATEGY, -15, 0);
    memmove(stream + sizeof(header), stream, size);
    memcpy(stream, header, sizeof(header));
    size += sizeof(header);
    memset(stream + size, 7, 8);
    size += 8;
    read_pieces(INFLATE_GZIP, size, 0, 1);
    check_text(3000);
    read_pieces(INFLATE_GZIP, size - 1, size - 1, 1);
    assert_false(inflate_is_complete(&reading->reader));
    memcpy(stream + size, stream, size);
    memcpy(text + 3000, text, 3000);
    for (size_t garbage = 0; garbage < 4; garbage++) {
        memset(stream + 2 * size, 0, garbage);
        read_pieces(INFLATE_GZIP, 2 * size + garbage, 2 * size + garbage, 1);
        check_text(6000);
        read_pieces(INFLATE_GZIP, 2 * size + garbage, 0, 1);
        check_text(6000);
    }
}

static void check_refused(enum inflate_framing framing, const char *bytes, size_t size)
{
    memcpy(stream, bytes, size);
    read_pieces(framing, size, size, 1);
    assert_true(reading->is_lost);
    read_pieces(framing, size, 0, 1);
    assert_true(reading->is_lost);
    assert_false(inflate_is_complete(&reading->reader));
}

#define REFUSED(framing, literal) check_refused(framing, literal, sizeof(literal) - 1)

static void test_refused(void **state)
{
    (void)state;
    REFUSED(INFLATE_GZIP, "{\"id\":1}");
    REFUSED(INFLATE_GZIP, "\x1f\x8b\x07\x00");                 /* not this method */
    REFUSED(INFLATE_GZIP, "\x1f\x8b\x08\x20");                 /* a flag that nobody knows */
    REFUSED(INFLATE_ZLIB, "\x78\xbb\x00\x00\x00\x00");         /* a dictionary */
    REFUSED(INFLATE_BARE, "\x07");                             /* a fourth kind of block */
    REFUSED(INFLATE_BARE, "\x01\x01\x00\x00\x00");             /* its size is not said twice */
    REFUSED(INFLATE_BARE, "\x03\x02\x00\x00");                 /* back before the beginning */
    REFUSED(INFLATE_BARE, "\xfc\x00\x00");                     /* 287 literals */
    REFUSED(INFLATE_BARE, "\x04\x00\xfe\xff");                 /* lengths' codes that overflow */
    REFUSED(INFLATE_BARE, "\x04\x00\x24\xe9\xff\xff\x00\x00"); /* repeats what is not there */
}

/* A stream that is damaged in one place or cut is judged as zlib does, and no page more is asked
   for. */
static void test_damaged(void **state)
{
    (void)state;
    static uint8_t expected[TEXT_BYTES];
    for (unsigned round = 0; round < 6000; round++) {
        fill_text((enum kind)(round % KINDS), 1500);
        size_t size = compress_text(1500, 1 + (int)(round % 9), strategies[round % 5], -15, 0);
        stream[draw((uint32_t)size)] ^= (uint8_t)(1u << draw(8));
        size -= draw(20) == 0 ? draw((uint32_t)size) : 0;
        z_stream z = {.next_in = stream,
                      .avail_in = (uInt)size,
                      .next_out = expected,
                      .avail_out = sizeof(expected)};
        assert_int_equal(inflateInit2(&z, -15), Z_OK);
        int result = inflate(&z, Z_SYNC_FLUSH);
        inflateEnd(&z);
        read_pieces(INFLATE_BARE, size, size, 1);
        assert_int_equal(reading->is_lost, result == Z_DATA_ERROR);
        assert_int_equal(inflate_is_complete(&reading->reader), result == Z_STREAM_END);
        assert_int_equal(reading->used, sizeof(expected) - z.avail_out);
        assert_memory_equal(reading->out, expected, reading->used);
    }
}

/* Messages of a WebSocket, with and without what was said before. */
static void test_messages(void **state)
{
    (void)state;
    static const uint8_t flush[] = {0, 0, 0xFF, 0xFF};
    static const uint8_t last[] = {0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00};
    for (int shares = 0; shares < 2; shares++) {
        z_stream z = {0};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        begin(INFLATE_MESSAGES);
        for (unsigned i = 0; i < 300; i++) {
            fill_text(KIND_WORDS, i);
            z.next_in = text;
            z.avail_in = i;
            z.next_out = stream;
            z.avail_out = STREAM_BYTES;
            assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
            reading->used = 0;
            feed(stream, STREAM_BYTES - z.avail_out - sizeof(flush));
            feed(flush, sizeof(flush));
            assert_false(reading->is_lost);
            assert_int_equal(reading->used, i);
            assert_memory_equal(reading->out, text, i);
            if (shares == 0) {
                deflateReset(&z);
                inflate_forget(&reading->reader);
            }
        }
        deflateEnd(&z);
        /* RFC 7692, 7.2.3.4: one that ends with a last block. */
        for (int i = 0; i < 2; i++) {
            reading->used = 0;
            feed(last, sizeof(last));
            feed(flush, sizeof(flush));
            assert_int_equal(reading->used, 5);
            assert_memory_equal(reading->out, "Hello", 5);
        }
        feed((const uint8_t *)"\x07", 1);
        assert_true(reading->is_lost);
        inflate_forget(&reading->reader);
        reading->used = 0;
        feed(last, sizeof(last));
        assert_int_equal(reading->used, 5);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long),     cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests_name("inflate", tests, set_up, tear_down);
}
