/* The runner itself, on a framer that is obviously right: lines that end in LF. */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
    bool upper;
    bool open;
} lines;

static bool reset(const char *options)
{
    lines.upper = false;
    lines.open = false;
    for (struct slice word = wire_next_word(&options); word.size > 0;
         word = wire_next_word(&options)) {
        if (!slice_equals(word, SLICE("upper"))) {
            return false;
        }
        lines.upper = true;
    }
    return true;
}

static void feed(struct slice piece, struct wire_log *log)
{
    for (size_t i = 0; i < piece.size; i++) {
        uint8_t byte = lines.upper ? ascii_upper(piece.data[i]) : piece.data[i];
        if (byte == '\n') {
            wire_log_close(log);
            wire_log_line(log, "end");
        } else {
            wire_log_piece(log, "line", slice_of(&byte, 1));
        }
        lines.open = byte != '\n';
    }
}

static bool direct(const char *words, struct wire_log *log)
{
    struct slice verb = wire_next_word(&words);
    if (!slice_equals(verb, SLICE("skip"))) {
        return false;
    }
    wire_log_line(log, "skip %lu", strtoul(words, NULL, 10));
    return true;
}

static void finish(struct wire_log *log)
{
    if (lines.open) {
        wire_log_line(log, "cut");
    }
}

const struct wire_subject wire_subject = {
    .name = "selftest", .reset = reset, .feed = feed, .direct = direct, .finish = finish};
