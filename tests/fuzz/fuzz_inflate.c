/* The first byte says how the rest is framed. zlib must judge it the same, and give the same text;
   it must be the same in pieces. */
#include "fuzz.h"

#include <stdlib.h>
#include <zlib.h>

#include "wire/inflate.h"

#define TEXT_BYTES (256u << 10)
/* More than what the lengths of all codes take. */
#define PADDING 512u

struct reading {
    struct inflate reader;
    struct inflate_literals literals;
    uint8_t *pages[INFLATE_PAGES];
    unsigned page_count;
    bool is_lost;
    bool is_full; /* more came out than is compared */
    size_t used;
    uint8_t out[TEXT_BYTES];
};

static void feed(struct reading *reading, struct slice in)
{
    enum inflate_event event;
    struct slice out;
    uint8_t *exact = fuzz_exact_copy(in);
    in.data = exact;
    while (!reading->is_full &&
           (event = inflate_next(&reading->reader, &in, &out)) != INFLATE_NEED_MORE) {
        if (event == INFLATE_LOST) {
            reading->is_lost = true;
            break;
        }
        if (event == INFLATE_NEED_PAGE) {
            if (reading->page_count == INFLATE_PAGES) {
                fuzz_fail("more pages than a window has");
            }
            uint8_t *page = malloc(LIMIT_INFLATE_PAGE);
            if (page == NULL) {
                abort();
            }
            reading->pages[reading->page_count++] = page;
            inflate_lend_page(&reading->reader, page);
            continue;
        }
        if (out.size == 0) {
            fuzz_fail("nothing was told");
        }
        size_t room = sizeof(reading->out) - reading->used;
        size_t size = out.size < room ? out.size : room;
        memcpy(reading->out + reading->used, out.data, size);
        reading->used += size;
        reading->is_full = reading->used == sizeof(reading->out);
    }
    if (!reading->is_lost && !reading->is_full && in.size > 0) {
        fuzz_fail("input is left");
    }
    free(exact);
}

static void read_pieces(struct reading *reading, enum inflate_framing framing, struct slice in,
                        size_t piece)
{
    memset(reading, 0, sizeof(*reading));
    inflate_init(&reading->reader, &reading->literals, framing);
    while (in.size > 0 && !reading->is_lost && !reading->is_full) {
        feed(reading, slice_take(&in, piece < in.size ? piece : in.size));
    }
    for (unsigned i = 0; i < reading->page_count; i++) {
        free(reading->pages[i]);
    }
}

/* What zlib says of the same bytes. It compares checksums, and ends with the first of gzip's
   members. With `padding` more zeros behind them: what one of the two calls an error is for the
   other one at times an error only of what comes next. */
struct verdict {
    bool is_refused;
    bool is_unchecked; /* but for a checksum it was good */
    bool is_complete;
    size_t used;
    uint8_t out[TEXT_BYTES];
};

static void ask_zlib(struct verdict *verdict, int bits, struct slice in, size_t padding)
{
    uint8_t *exact = calloc(1, in.size + padding + 1);
    if (exact == NULL) {
        abort();
    }
    memcpy(exact, in.data, in.size);
    z_stream z = {.next_in = exact,
                  .avail_in = (uInt)(in.size + padding),
                  .next_out = verdict->out,
                  .avail_out = sizeof(verdict->out)};
    if (inflateInit2(&z, bits) != Z_OK) {
        abort();
    }
    int result = inflate(&z, Z_SYNC_FLUSH);
    verdict->is_unchecked =
        result == Z_DATA_ERROR && z.msg != NULL &&
        (strcmp(z.msg, "incorrect data check") == 0 ||
         strcmp(z.msg, "incorrect length check") == 0 || strcmp(z.msg, "header crc mismatch") == 0);
    verdict->is_refused = result == Z_DATA_ERROR && !verdict->is_unchecked;
    verdict->is_complete = result == Z_STREAM_END;
    verdict->used = sizeof(verdict->out) - z.avail_out;
    inflateEnd(&z);
    free(exact);
}

static void compare_verdicts(const struct reading *reading, enum inflate_framing framing,
                             struct slice in, const struct verdict *zlib)
{
    static struct verdict later;
    static struct reading padded;
    if (zlib->is_refused && !reading->is_lost) {
        uint8_t zeros[PADDING] = {0};
        uint8_t *longer = malloc(in.size + sizeof(zeros));
        if (longer == NULL) {
            abort();
        }
        memcpy(longer, in.data, in.size);
        memcpy(longer + in.size, zeros, sizeof(zeros));
        read_pieces(&padded, framing, slice_of(longer, in.size + sizeof(zeros)), SIZE_MAX);
        free(longer);
        if (!padded.is_lost) {
            fuzz_fail("zlib refuses this");
        }
    }
    if (reading->is_lost && !zlib->is_refused) {
        ask_zlib(&later, framing == INFLATE_GZIP ? 31 : -15, in, PADDING);
        if (!later.is_refused) {
            fuzz_fail("zlib takes this");
        }
    }
}

static void compare(const struct reading *reading, enum inflate_framing framing, struct slice in)
{
    static struct verdict zlib;
    ask_zlib(&zlib, framing == INFLATE_GZIP ? 31 : -15, in, 0);
    if (reading->used < zlib.used || memcmp(reading->out, zlib.out, zlib.used) != 0) {
        fuzz_fail("another text than zlib's");
    }
    if (reading->is_full || zlib.is_unchecked || (framing == INFLATE_GZIP && zlib.is_complete)) {
        return;
    }
    compare_verdicts(reading, framing, in, &zlib);
    if (framing == INFLATE_BARE &&
        (reading->used != zlib.used || inflate_is_complete(&reading->reader) != zlib.is_complete)) {
        fuzz_fail("it ends elsewhere");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading whole;
    static struct reading pieces;
    static const size_t sizes[] = {1, 2, 7, 100};
    struct slice in = slice_of(data, size);
    if (size == 0) {
        return 0;
    }
    enum inflate_framing framing = (enum inflate_framing)(slice_take(&in, 1).data[0] % 4);
    read_pieces(&whole, framing, in, in.size + 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        read_pieces(&pieces, framing, in, sizes[i]);
        if (pieces.is_lost != whole.is_lost && !whole.is_full) {
            fuzz_fail("in pieces it is judged otherwise");
        }
        if (pieces.used != whole.used || memcmp(pieces.out, whole.out, whole.used) != 0) {
            fuzz_fail("in pieces it is another text");
        }
    }
    if (framing == INFLATE_BARE || framing == INFLATE_GZIP) {
        compare(&whole, framing, in);
    }
    return 0;
}
