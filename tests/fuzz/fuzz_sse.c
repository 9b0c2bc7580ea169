/* A stream of events in pieces gives the same messages as whole, and no more data than it has. */
#include "fuzz.h"

#include <stdlib.h>

#include "wire/sse.h"

/* Data, and of each message its name and a mark. */
struct transcript {
    uint8_t *bytes;
    size_t used;
    size_t capacity;
};

static void put(struct transcript *out, struct slice bytes)
{
    if (out->used + bytes.size > out->capacity) {
        fuzz_fail("more is told than there was");
    }
    if (bytes.size > 0) {
        memcpy(out->bytes + out->used, bytes.data, bytes.size);
    }
    out->used += bytes.size;
}

static void feed(struct sse *reader, struct slice in, struct transcript *out)
{
    struct sse_item item;
    enum sse_event event;
    uint8_t *exact = fuzz_exact_copy(in);
    in.data = exact;
    while ((event = sse_next(reader, &in, &item)) != SSE_NEED_MORE) {
        if (event == SSE_DATA) {
            if (item.bytes.size == 0) {
                fuzz_fail("data without bytes");
            }
            put(out, item.bytes);
        } else {
            if (item.name.size > LIMIT_SSE_NAME) {
                fuzz_fail("a name that is too long");
            }
            put(out, item.name);
            put(out, item.name_cut ? SLICE("\1") : SLICE("\2"));
        }
    }
    if (in.size > 0) {
        fuzz_fail("input is left");
    }
    free(exact);
}

static void read_pieces(struct slice stream, size_t piece, struct transcript *out)
{
    struct sse reader;
    sse_init(&reader);
    out->used = 0;
    while (stream.size > 0) {
        feed(&reader, slice_take(&stream, piece < stream.size ? piece : stream.size), out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t sizes[] = {1, 2, 3, 5};
    /* A name and its mark take the place of "event:", a line's LF that of "data". */
    struct transcript whole = {malloc(size + 1), 0, size + 1};
    struct transcript pieces = {malloc(size + 1), 0, size + 1};
    if (whole.bytes == NULL || pieces.bytes == NULL) {
        abort();
    }
    read_pieces(slice_of(data, size), size + 1, &whole);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        read_pieces(slice_of(data, size), sizes[i], &pieces);
        if (pieces.used != whole.used || memcmp(pieces.bytes, whole.bytes, whole.used) != 0) {
            fuzz_fail("in pieces it holds other messages");
        }
    }
    free(whole.bytes);
    free(pieces.bytes);
    return 0;
}
