/*
 * Options: server (the default) or client: who sends; deflate: compression was agreed.
 * Directions: skip BYTES.
 *
 * Events: frame OPCODE (fin, compressed, masked) LENGTH, payload BYTES (unmasked), end, lost; at
 * the end "unfinished" tells that the parser is in the midst of a frame.
 */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/websocket.h"

static struct {
    struct websocket parser;
    bool lost;
    bool masked;
    uint64_t offset; /* that the next piece must have */
} subject;

static bool reset(const char *options)
{
    bool from_client = false;
    bool allows_compression = false;
    for (struct slice word = wire_next_word(&options); word.size > 0;
         word = wire_next_word(&options)) {
        if (slice_equals(word, SLICE("client"))) {
            from_client = true;
        } else if (slice_equals(word, SLICE("deflate"))) {
            allows_compression = true;
        } else if (!slice_equals(word, SLICE("server"))) {
            return false;
        }
    }
    websocket_init(&subject.parser, from_client, allows_compression);
    subject.lost = false;
    return true;
}

static void log_frame(const struct websocket_item *item, struct wire_log *log)
{
    static const char *const names[16] = {[WEBSOCKET_CONTINUATION] = "continuation",
                                          [WEBSOCKET_TEXT] = "text",
                                          [WEBSOCKET_BINARY] = "binary",
                                          [WEBSOCKET_CLOSE] = "close",
                                          [WEBSOCKET_PING] = "ping",
                                          [WEBSOCKET_PONG] = "pong"};
    wire_log_line(log, "frame %s%s%s%s %lu", names[item->opcode], item->fin ? " fin" : "",
                  item->compressed ? " compressed" : "", item->masked ? " masked" : "",
                  item->length);
    subject.masked = item->masked;
    subject.offset = 0;
}

static void log_payload(const struct websocket_item *item, struct wire_log *log)
{
    if (item->bytes.size == 0 || item->offset != subject.offset) {
        abort();
    }
    subject.offset += item->bytes.size;
    if (!subject.masked) {
        wire_log_piece(log, "payload", item->bytes);
        return;
    }
    uint8_t *plain = malloc(item->bytes.size);
    if (plain == NULL) {
        abort();
    }
    websocket_unmask(item->bytes, item->mask, item->offset, plain);
    wire_log_piece(log, "payload", slice_of(plain, item->bytes.size));
    free(plain);
}

static enum wire_progress next(struct slice *piece, struct wire_log *log)
{
    struct websocket_item item;
    memset(&item, 0xA5, sizeof item);
    switch (websocket_next(&subject.parser, piece, &item)) {
    case WEBSOCKET_NEED_MORE:
        return WIRE_NEEDS_MORE;
    case WEBSOCKET_FRAME_BEGIN:
        log_frame(&item, log);
        break;
    case WEBSOCKET_PAYLOAD:
        log_payload(&item, log);
        break;
    case WEBSOCKET_FRAME_END:
        wire_log_line(log, "end");
        break;
    case WEBSOCKET_LOST:
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
    subject.offset += count;
    return websocket_skip(&subject.parser, count);
}

static bool direct(const char *words, struct wire_log *log)
{
    return wire_skip(words, log, skip);
}

static void finish(struct wire_log *log)
{
    struct slice none = {NULL, 0};
    struct websocket_item item;
    enum websocket_event event = websocket_next(&subject.parser, &none, &item);
    if (event == WEBSOCKET_FRAME_END) {
        wire_log_line(log, "end");
    } else if (event != WEBSOCKET_LOST && !websocket_is_idle(&subject.parser)) {
        wire_log_line(log, "unfinished");
    }
}

static const char *const fuzz_options[] = {"server", "client", "server deflate", "client deflate",
                                           NULL};

const struct wire_subject wire_subject = {.name = "websocket",
                                          .reset = reset,
                                          .feed = feed,
                                          .direct = direct,
                                          .finish = finish,
                                          .fuzz_options = fuzz_options};
