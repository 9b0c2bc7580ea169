/*
 * Options: arguments: the arguments too are told, each as its index, its length and its bytes.
 * Directions: skip BYTES.
 *
 * Events: begin; argument...; text TEXT, how the command acts and what else is known of it; end;
 * lost. At the end "unfinished" tells that the parser is in the midst of a command.
 */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/redis_command.h"
#include "wire/resp.h"

static struct {
    struct resp parser;
    struct redis_command command;
    bool lost;
    bool tells_arguments;
    uint32_t next_index;
    bool in_argument;
} subject;

static bool reset(const char *options)
{
    memset(&subject, 0x5A, sizeof subject);
    subject.tells_arguments = false;
    for (struct slice word = wire_next_word(&options); word.size > 0;
         word = wire_next_word(&options)) {
        if (!slice_equals(word, SLICE("arguments"))) {
            return false;
        }
        subject.tells_arguments = true;
    }
    resp_init(&subject.parser, RESP_COMMANDS);
    subject.lost = false;
    return true;
}

static void log_effect(const struct redis_command *command, struct wire_log *log)
{
    static const char *const names[] = {
        [REDIS_PLAIN] = "",
        [REDIS_MULTI] = "multi",
        [REDIS_EXEC] = "exec",
        [REDIS_DISCARD] = "discard",
        [REDIS_SUBSCRIBE] = "subscribe",
        [REDIS_UNSUBSCRIBE] = "unsubscribe",
        [REDIS_SELECT] = "select",
        [REDIS_HELLO] = "hello",
        [REDIS_RESET] = "reset",
        [REDIS_REPLY_ON] = "reply-on",
        [REDIS_REPLY_OFF] = "reply-off",
        [REDIS_REPLY_SKIP] = "reply-skip",
        [REDIS_MONITOR] = "monitor",
        [REDIS_SYNC] = "sync",
        [REDIS_QUIT] = "quit",
        [REDIS_SHUTDOWN] = "shutdown",
        [REDIS_PING] = "ping",
        [REDIS_SCRIPT_LOAD] = "script-load",
    };
    if (command->effect == REDIS_SUBSCRIBE || command->effect == REDIS_UNSUBSCRIBE) {
        wire_log_line(log, "effect %s%s%s, channels %u", names[command->effect],
                      command->pubsub_pattern ? " pattern" : "",
                      command->pubsub_shard ? " shard" : "", command->channels);
    } else if (command->effect == REDIS_SELECT || command->effect == REDIS_HELLO) {
        wire_log_line(log, "effect %s %ld", names[command->effect], command->number);
    } else if (command->effect != REDIS_PLAIN) {
        wire_log_line(log, "effect %s", names[command->effect]);
    }
}

static void log_command(const struct redis_command *command, struct wire_log *log)
{
    if (command->text_used > sizeof command->text || command->name_used > sizeof command->name ||
        command->script_used > sizeof command->script) {
        abort();
    }
    wire_log_bytes(log, command->text_cut ? "text (cut)" : "text",
                   slice_of(command->text, command->text_used));
    if (memcmp(command->name, command->text, command->name_used) != 0) {
        abort();
    }
    log_effect(command, log);
    if (command->blocking) {
        wire_log_line(log, "blocking");
    }
    if (command->has_script) {
        wire_log_line(log, "keys %ld", command->number);
    }
    if (command->script_used > 0) {
        wire_log_bytes(log, "script", slice_of(command->script, command->script_used));
    }
}

static void take_argument(const struct resp_item *item, struct wire_log *log)
{
    char label[64];
    if (item->depth != 1 || item->type != '$' || item->null || item->cut ||
        item->first == subject.in_argument || item->index != subject.next_index) {
        abort();
    }
    snprintf(label, sizeof label, "argument %u %ld", item->index, item->number);
    if (subject.tells_arguments && item->first && item->last && item->bytes.size == 0) {
        wire_log_line(log, "%s", label);
    } else if (subject.tells_arguments) {
        wire_log_piece(log, label, item->bytes);
    }
    subject.in_argument = !item->last;
    subject.next_index += item->last;
    redis_command_argument(&subject.command, item->index, item->bytes,
                           item->number > 0 ? (uint64_t)item->number : 0, item->last);
}

static void begin(struct wire_log *log)
{
    wire_log_line(log, "begin");
    subject.next_index = 0;
    subject.in_argument = false;
    memset(&subject.command, 0x5A, sizeof subject.command);
    redis_command_init(&subject.command);
}

static void take_item(const struct resp_item *item, struct wire_log *log)
{
    if (item->depth > 0) {
        take_argument(item, log);
    } else if (item->type != '*' || !item->first || !item->last) {
        abort();
    } else if (subject.tells_arguments) {
        wire_log_line(log, "arguments %ld", item->number);
    }
}

static enum wire_progress next(struct slice *piece, struct wire_log *log)
{
    struct resp_item item;
    memset(&item, 0xA5, sizeof item);
    switch (resp_next(&subject.parser, piece, &item)) {
    case RESP_NEED_MORE:
        return WIRE_NEEDS_MORE;
    case RESP_BEGIN:
        begin(log);
        break;
    case RESP_ITEM:
        take_item(&item, log);
        break;
    case RESP_END:
        redis_command_finish(&subject.command);
        log_command(&subject.command, log);
        wire_log_line(log, "end");
        break;
    case RESP_LOST:
        return WIRE_LOST;
    }
    return WIRE_WENT_ON;
}

static void feed(struct slice piece, struct wire_log *log)
{
    wire_feed(piece, &subject.lost, log, next);
}

static bool skip(uint64_t count)
{
    return resp_skip(&subject.parser, count);
}

static bool direct(const char *words, struct wire_log *log)
{
    return wire_skip(words, log, skip);
}

static void finish(struct wire_log *log)
{
    feed(slice_of(NULL, 0), log);
    if (!subject.lost && !resp_is_idle(&subject.parser)) {
        wire_log_line(log, "unfinished");
    }
}

static const char *const fuzz_options[] = {"", "arguments", NULL};

const struct wire_subject wire_subject = {.name = "resp_commands",
                                          .reset = reset,
                                          .feed = feed,
                                          .direct = direct,
                                          .finish = finish,
                                          .fuzz_options = fuzz_options};
