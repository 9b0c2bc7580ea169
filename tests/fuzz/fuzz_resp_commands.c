#include "fuzz.h"

#include <stdlib.h>

#include "wire/redis_command.h"
#include "wire/resp.h"

/* What resp_next tells of the next command. Returns false if it is not complete. */
static bool read_command(struct resp *parser, struct slice *in, struct redis_command *command)
{
    struct resp_item item;
    for (;;) {
        switch (resp_next(parser, in, &item)) {
        case RESP_BEGIN:
            redis_command_init(command);
            break;
        case RESP_ITEM:
            if (item.depth == 1) {
                redis_command_argument(command, item.index, item.bytes,
                                       item.number > 0 ? (uint64_t)item.number : 0, item.last);
            }
            break;
        case RESP_END:
            redis_command_finish(command);
            return true;
        case RESP_NEED_MORE:
        case RESP_LOST:
            return false;
        }
    }
}

static bool is_same(const struct redis_command *a, const struct redis_command *b)
{
    return a->effect == b->effect && a->blocking == b->blocking && a->has_script == b->has_script &&
           a->pubsub_pattern == b->pubsub_pattern && a->pubsub_shard == b->pubsub_shard &&
           a->text_cut == b->text_cut && a->arguments == b->arguments &&
           a->channels == b->channels && a->number == b->number &&
           slice_equals(slice_of(a->name, a->name_used), slice_of(b->name, b->name_used)) &&
           slice_equals(slice_of(a->text, a->text_used), slice_of(b->text, b->text_used)) &&
           slice_equals(slice_of(a->script, a->script_used), slice_of(b->script, b->script_used));
}

/* The shortcut takes what resp_next would have told, and as much of the input. */
static void check_shortcut(struct slice in)
{
    struct resp parser;
    struct redis_command told;
    resp_init(&parser, RESP_COMMANDS);
    do {
        struct slice arguments[RESP_WHOLE_ARGUMENTS];
        struct slice rest = in;
        struct redis_command taken;
        uint32_t count = resp_is_idle(&parser) ? resp_take_command(&parser, &rest, arguments) : 0;
        if (count > 0) {
            redis_command_take(&taken, arguments, count);
            if (!resp_is_idle(&parser) || !read_command(&parser, &in, &told) ||
                !is_same(&told, &taken) || in.data != rest.data || in.size != rest.size) {
                fuzz_fail("the shortcut takes something else than is told");
            }
        } else if (rest.size != in.size) {
            fuzz_fail("the shortcut consumes without taking");
        } else if (!read_command(&parser, &in, &told)) {
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
