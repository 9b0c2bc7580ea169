/*
 * The table of Redis commands and the text that it makes. An input is a command, one argument per
 * line; its first byte chooses how the arguments are cut into pieces.
 *
 * Invariants: pieces make no difference; each word of the text is '?' or the escaped form of the
 * argument in its place, so that nothing of a hidden argument is shown; credentials are hidden.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/redis_command.h"

#define ARGUMENTS 256u

struct input {
    struct slice arguments[ARGUMENTS];
    uint32_t count;
};

static void split(struct input *input, struct slice bytes)
{
    while (input->count < ARGUMENTS) {
        const uint8_t *end = bytes.size > 0 ? memchr(bytes.data, '\n', bytes.size) : NULL;
        size_t size = end != NULL ? (size_t)(end - bytes.data) : bytes.size;
        input->arguments[input->count++] = slice_take(&bytes, size);
        if (end == NULL) {
            return;
        }
        slice_take(&bytes, 1);
    }
}

static void feed_pieces(struct redis_command *command, const struct input *input, size_t step)
{
    redis_command_init(command);
    for (uint32_t i = 0; i < input->count; i++) {
        struct slice left = input->arguments[i];
        uint64_t whole = left.size;
        do {
            struct slice piece = slice_take(&left, left.size < step ? left.size : step);
            uint8_t *copy = fuzz_exact_copy(piece);
            redis_command_argument(command, i, slice_of(copy, piece.size), whole, left.size == 0);
            free(copy);
        } while (left.size > 0);
    }
    redis_command_finish(command);
}

static bool is_same(const struct redis_command *a, const struct redis_command *b)
{
    return a->effect == b->effect && a->blocking == b->blocking && a->has_script == b->has_script &&
           a->text_cut == b->text_cut && a->arguments == b->arguments &&
           a->channels == b->channels && a->number == b->number &&
           slice_equals(slice_of(a->name, a->name_used), slice_of(b->name, b->name_used)) &&
           slice_equals(slice_of(a->text, a->text_used), slice_of(b->text, b->text_used)) &&
           slice_equals(slice_of(a->script, a->script_used), slice_of(b->script, b->script_used));
}

/* The length of the valid character at the beginning, by the table of RFC 3629; 0 if there is
   none. */
static size_t character_size(struct slice bytes)
{
    static const struct {
        uint8_t lead[2];
        uint8_t second[2];
        size_t size;
    } forms[] = {{{0xc2, 0xdf}, {0x80, 0xbf}, 2}, {{0xe0, 0xe0}, {0xa0, 0xbf}, 3},
                 {{0xe1, 0xec}, {0x80, 0xbf}, 3}, {{0xed, 0xed}, {0x80, 0x9f}, 3},
                 {{0xee, 0xef}, {0x80, 0xbf}, 3}, {{0xf0, 0xf0}, {0x90, 0xbf}, 4},
                 {{0xf1, 0xf3}, {0x80, 0xbf}, 4}, {{0xf4, 0xf4}, {0x80, 0x8f}, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (bytes.size < forms[i].size || bytes.data[0] < forms[i].lead[0] ||
            bytes.data[0] > forms[i].lead[1] || bytes.data[1] < forms[i].second[0] ||
            bytes.data[1] > forms[i].second[1]) {
            continue;
        }
        size_t good = 2;
        while (good < forms[i].size && bytes.data[good] >= 0x80 && bytes.data[good] <= 0xbf) {
            good++;
        }
        return good == forms[i].size ? good : 0;
    }
    return 0;
}

static struct slice escape(struct slice bytes, char *out)
{
    size_t used = 0;
    if (bytes.size == 0) {
        return SLICE("\"\"");
    }
    while (bytes.size > 0) {
        uint8_t byte = bytes.data[0];
        size_t size = character_size(bytes);
        if (byte > 0x20 && byte < 0x7f && byte != '\\') {
            size = 1;
        }
        if (size > 0) {
            memcpy(out + used, bytes.data, size);
        } else if (byte == '\\') {
            memcpy(out + used, "\\\\", 2);
            used += 2;
        } else {
            snprintf(out + used, 5, "\\x%02x", byte);
            used += 4;
        }
        used += size;
        slice_take(&bytes, size > 0 ? size : 1);
    }
    return slice_of(out, used);
}

/* Each word of the text against the argument in its place. */
static void check_words(const struct redis_command *command, const struct input *input)
{
    struct slice text = slice_of(command->text, command->text_used);
    if (!slice_equals(slice_take(&text, command->name_used),
                      slice_of(command->name, command->name_used))) {
        fuzz_fail("the text does not begin with the name");
    }
    for (uint32_t i = 1; text.size > 0; i++) {
        if (i >= input->count || slice_take(&text, 1).data[0] != ' ') {
            fuzz_fail("the text has more than the arguments");
        }
        const uint8_t *end = text.size > 0 ? memchr(text.data, ' ', text.size) : NULL;
        struct slice word = slice_take(&text, end != NULL ? (size_t)(end - text.data) : text.size);
        char *room = malloc(input->arguments[i].size * 4 + 8);
        if (room == NULL) {
            abort();
        }
        struct slice shown = escape(input->arguments[i], room);
        bool is_last = text.size == 0 && command->text_cut;
        if (!slice_equals(word, SLICE("?")) && !slice_equals(word, shown) &&
            !(is_last && slice_starts_with(shown, word))) {
            fuzz_fail("a word is neither hidden nor its argument");
        }
        free(room);
    }
}

static bool is_name(const struct input *input, const char *name)
{
    return slice_equals_ignoring_case(input->arguments[0], slice_of(name, strlen(name)));
}

/* From argument `first` on nothing may be shown but '?'. */
static void check_hidden(const struct redis_command *command, uint32_t first)
{
    uint32_t index = 0;
    for (uint32_t i = command->name_used; i < command->text_used; i++) {
        bool is_blank = command->text[i] == ' ';
        index += is_blank;
        if (!is_blank && index >= first && command->text[i] != '?') {
            fuzz_fail("a credential is shown");
        }
    }
}

static void check_credentials(const struct redis_command *command, const struct input *input)
{
    if (is_name(input, "AUTH")) {
        check_hidden(command, 1);
    } else if (is_name(input, "HELLO") || is_name(input, "ACL") || is_name(input, "EVAL")) {
        check_hidden(command, is_name(input, "EVAL") ? command->arguments : 2);
    } else if (is_name(input, "CONFIG") && input->count > 1 &&
               slice_equals_ignoring_case(input->arguments[1], SLICE("SET"))) {
        check_hidden(command, 2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.count = 0};
    struct redis_command whole;
    struct redis_command pieces;
    if (size < 2) {
        return 0;
    }
    split(&input, slice_of(data + 1, size - 1));
    memset(&whole, 0x5A, sizeof whole);
    memset(&pieces, 0xA5, sizeof pieces);
    redis_command_take(&whole, input.arguments, input.count);
    feed_pieces(&pieces, &input, 1 + data[0] % 70);
    if (!is_same(&whole, &pieces)) {
        fprintf(stderr, "whole:  %.*s\npieces: %.*s\n", whole.text_used, whole.text,
                pieces.text_used, pieces.text);
        fuzz_fail("the text depends on how the bytes came");
    }
    check_words(&whole, &input);
    check_credentials(&whole, &input);
    return 0;
}
