#include "fuzz.h"

#include <stdlib.h>

#include "wire/resp.h"

static bool is_same(const struct resp_item *a, const struct resp_item *b)
{
    return a->type == b->type && a->depth == b->depth && a->first == b->first &&
           a->last == b->last && a->null == b->null && a->cut == b->cut && a->index == b->index &&
           a->number == b->number && a->bytes.data == b->bytes.data &&
           a->bytes.size == b->bytes.size;
}

/* Reads on to the end of the reply; false if it is not complete. */
static bool read_reply(struct resp *parser, struct slice *in)
{
    struct resp_item item;
    for (;;) {
        enum resp_event event = resp_next(parser, in, &item);
        if (event == RESP_END) {
            return true;
        }
        if (event == RESP_NEED_MORE || event == RESP_LOST) {
            return false;
        }
    }
}

/* The shortcut takes what resp_next would have told, and as much of the input. */
static void check_shortcut(struct slice in)
{
    struct resp parser;
    resp_init(&parser, RESP_REPLIES);
    do {
        struct slice rest = in;
        struct resp_item taken;
        struct resp_item told;
        if (resp_take_scalar(&parser, &rest, &taken)) {
            if (!resp_is_idle(&parser) || resp_next(&parser, &in, &told) != RESP_BEGIN ||
                resp_next(&parser, &in, &told) != RESP_ITEM || !is_same(&taken, &told) ||
                resp_next(&parser, &in, &told) != RESP_END || in.data != rest.data ||
                in.size != rest.size) {
                fuzz_fail("the shortcut takes something else than is told");
            }
        } else if (rest.size != in.size) {
            fuzz_fail("the shortcut consumes without taking");
        } else if (!read_reply(&parser, &in)) {
            return;
        }
    } while (in.size > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_framer(slice_of(data, size));
    if (size > 1) {
        struct slice bytes = slice_of(data + 1, size - 1);
        uint8_t *copy = fuzz_exact_copy(bytes);
        check_shortcut(slice_of(copy, bytes.size));
        free(copy);
    }
    return 0;
}
