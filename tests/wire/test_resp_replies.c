/*
 * Options: indexes: the index of each item is told too.
 * Directions: skip BYTES.
 *
 * Events: begin; each item as its type, number and bytes, indented by its depth; end; lost. At the
 * end "unfinished" tells that the parser is in the midst of a reply.
 */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/resp.h"

static struct {
    struct resp parser;
    bool lost;
    bool tells_indexes;
    bool in_scalar;
    char label[128];
} subject;

static bool reset(const char *options)
{
    memset(&subject, 0x5A, sizeof subject);
    subject.tells_indexes = false;
    for (struct slice word = wire_next_word(&options); word.size > 0;
         word = wire_next_word(&options)) {
        if (!slice_equals(word, SLICE("indexes"))) {
            return false;
        }
        subject.tells_indexes = true;
    }
    resp_init(&subject.parser, RESP_REPLIES);
    subject.lost = false;
    subject.in_scalar = false;
    return true;
}

static bool has_number(uint8_t type)
{
    return type != '+' && type != '-' && type != ',' && type != '(' && type != '#' && type != '_';
}

static void take_item(const struct resp_item *item, struct wire_log *log)
{
    int used = 0;
    if (item->first) {
        if (subject.in_scalar) {
            abort();
        }
        used = snprintf(subject.label, sizeof subject.label, "%*s", 2 * item->depth, "");
        if (subject.tells_indexes) {
            used += snprintf(subject.label + used, sizeof subject.label - (size_t)used, "[%u] ",
                             item->index);
        }
        used +=
            snprintf(subject.label + used, sizeof subject.label - (size_t)used, "%c", item->type);
        if (has_number(item->type)) {
            used += snprintf(subject.label + used, sizeof subject.label - (size_t)used, " %ld",
                             item->number);
        }
        snprintf(subject.label + used, sizeof subject.label - (size_t)used, "%s%s",
                 item->null ? " null" : "", item->cut ? " cut" : "");
    } else if (!subject.in_scalar) {
        abort();
    }
    subject.in_scalar = !item->last;
    if (item->first && item->last && item->bytes.size == 0) {
        wire_log_line(log, "%s", subject.label);
        return;
    }
    wire_log_piece(log, subject.label, item->bytes);
    if (item->last) {
        wire_log_close(log);
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
        wire_log_line(log, "begin");
        break;
    case RESP_ITEM:
        take_item(&item, log);
        break;
    case RESP_END:
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

static const char *const fuzz_options[] = {"", "indexes", NULL};

const struct wire_subject wire_subject = {.name = "resp_replies",
                                          .reset = reset,
                                          .feed = feed,
                                          .direct = direct,
                                          .finish = finish,
                                          .fuzz_options = fuzz_options};
