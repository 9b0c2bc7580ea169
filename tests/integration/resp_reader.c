/*
 * Reads one recorded Redis connection with the framers.
 *
 *     resp_reader COMMANDS REPLIES BYTES
 *
 * The files hold what either side sent; they are fed in pieces of BYTES. Prints the text of each
 * command, then a line of totals. Exit status: 1 if a direction was lost or ended within a message.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/redis_command.h"
#include "wire/resp.h"

static struct {
    struct redis_command command;
    uint64_t commands;
    uint64_t expected; /* replies */
    uint64_t replies;
    uint64_t pushes;
    bool is_off; /* CLIENT REPLY */
    bool skips_next;
    char word[16]; /* the reply's first element */
    size_t word_used;
    bool is_aggregate;
    bool is_push;
} reader;

static void count_expected(void)
{
    const struct redis_command *command = &reader.command;
    bool is_pubsub = command->effect == REDIS_SUBSCRIBE || command->effect == REDIS_UNSUBSCRIBE;
    if (command->effect == REDIS_REPLY_ON) {
        reader.is_off = false;
    } else if (command->effect == REDIS_REPLY_OFF) {
        reader.is_off = true;
        return;
    } else if (command->effect == REDIS_REPLY_SKIP) {
        reader.skips_next = true;
        return;
    } else if (reader.skips_next || reader.is_off) {
        reader.skips_next = false;
        return;
    }
    reader.expected += is_pubsub && command->channels > 1 ? command->channels : 1;
}

static bool take_commands(struct resp *parser, struct slice in)
{
    struct resp_item item;
    for (;;) {
        switch (resp_next(parser, &in, &item)) {
        case RESP_NEED_MORE:
            return true;
        case RESP_BEGIN:
            redis_command_init(&reader.command);
            break;
        case RESP_ITEM:
            if (item.depth == 1) {
                redis_command_argument(&reader.command, item.index, item.bytes,
                                       item.number > 0 ? (uint64_t)item.number : 0, item.last);
            }
            break;
        case RESP_END:
            redis_command_finish(&reader.command);
            reader.commands++;
            count_expected();
            printf("%.*s\n", reader.command.text_used, reader.command.text);
            break;
        case RESP_LOST:
            return false;
        }
    }
}

static void end_reply(void)
{
    static const char *const confirmations[] = {"subscribe",   "psubscribe",   "ssubscribe",
                                                "unsubscribe", "punsubscribe", "sunsubscribe"};
    static const char *const messages[] = {"message", "pmessage", "smessage"};
    bool is_unasked = reader.is_push;
    reader.word[reader.word_used] = '\0';
    for (size_t i = 0; i < 6; i++) {
        is_unasked = is_unasked && strcmp(reader.word, confirmations[i]) != 0;
    }
    for (size_t i = 0; i < 3; i++) {
        is_unasked = is_unasked || (reader.is_aggregate && strcmp(reader.word, messages[i]) == 0);
    }
    if (is_unasked) {
        reader.pushes++;
    } else {
        reader.replies++;
    }
}

static bool take_replies(struct resp *parser, struct slice in)
{
    struct resp_item item;
    for (;;) {
        switch (resp_next(parser, &in, &item)) {
        case RESP_NEED_MORE:
            return true;
        case RESP_BEGIN:
            reader.word_used = 0;
            reader.is_aggregate = false;
            reader.is_push = false;
            break;
        case RESP_ITEM:
            if (item.depth == 0) {
                reader.is_push = item.type == '>';
                reader.is_aggregate = item.type == '>' || item.type == '*';
            } else if (item.depth == 1 && item.index == 0) {
                size_t room = sizeof reader.word - 1 - reader.word_used;
                size_t size = item.bytes.size < room ? item.bytes.size : room;
                memcpy(reader.word + reader.word_used, item.bytes.data, size);
                reader.word_used += size;
            }
            break;
        case RESP_END:
            end_reply();
            break;
        case RESP_LOST:
            return false;
        }
    }
}

/* Returns whether all of the file was read, up to the end of a message. */
static bool read_file(const char *path, enum resp_kind kind, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    uint8_t *piece = malloc(bytes);
    struct resp parser;
    bool is_good = true;
    size_t size;
    if (file == NULL || piece == NULL) {
        perror(path);
        exit(2);
    }
    resp_init(&parser, kind);
    while (is_good && (size = fread(piece, 1, bytes, file)) > 0) {
        struct slice in = slice_of(piece, size);
        is_good = kind == RESP_COMMANDS ? take_commands(&parser, in) : take_replies(&parser, in);
    }
    free(piece);
    fclose(file);
    return is_good && resp_is_idle(&parser);
}

int main(int argc, char **argv)
{
    if (argc != 4 || atol(argv[3]) < 1) {
        fprintf(stderr, "usage: resp_reader COMMANDS REPLIES BYTES\n");
        return 2;
    }
    size_t bytes = (size_t)atol(argv[3]);
    bool is_good = read_file(argv[1], RESP_COMMANDS, bytes);
    is_good = read_file(argv[2], RESP_REPLIES, bytes) && is_good;
    printf("commands %lu expected %lu replies %lu pushes %lu %s\n", reader.commands,
           reader.expected, reader.replies, reader.pushes, is_good ? "good" : "lost");
    return is_good ? 0 : 1;
}
