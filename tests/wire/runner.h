/*
 * Runs a framer over cases that are written as text (README.md in this folder shows the format).
 *
 * Each case is fed in many ways: whole, byte by byte, split in two at every place, and both whole
 * and split with the last byte of each piece next to an unreadable page. Every piece is overwritten
 * once it was fed, so that a framer which keeps pointers into its input shows it. All ways must
 * give the same events.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct wire_log;

/* One event: a line of its own. */
void wire_log_line(struct wire_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The label, a space and the bytes in escaped form: a line of its own. */
void wire_log_bytes(struct wire_log *log, const char *label, struct slice bytes);
/* A piece of bytes that may come in several: joined with the piece before if that one had the same
   label, no other line came since, and wire_log_close was not called. */
void wire_log_piece(struct wire_log *log, const char *label, struct slice piece);
void wire_log_close(struct wire_log *log);

/* A log of one's own, for drivers other than wire_main. */
struct wire_log *wire_log_create(void);
const char *wire_log_text(struct wire_log *log);
void wire_log_clear(struct wire_log *log);
struct wire_log *wire_log_destroy(struct wire_log *log);

struct wire_subject {
    const char *name;
    /* Starts anew. `options` is what the case says after "options:", blank-separated words. False:
       it holds a word that the subject does not know. */
    bool (*reset)(const char *options);
    void (*feed)(struct slice piece, struct wire_log *log);
    /* What the case says as \{words} between its bytes, for example "skip 100". False: unknown.
       May be NULL. */
    bool (*direct)(const char *words, struct wire_log *log);
    /* The bytes are over. May be NULL. */
    void (*finish)(struct wire_log *log);
    /* The options of fuzz inputs, ended by NULL: an input's first byte chooses one, modulo their
       count. NULL: inputs have no such byte. */
    const char *const *fuzz_options;
};

/* What a framer's test defines; the runner's main and the fuzz driver use it. */
extern const struct wire_subject wire_subject;

/* The next word of a blank-separated list, or an empty slice. Advances `*words`. */
struct slice wire_next_word(const char **words);
/* If the word is "NAME=number", sets the number. */
bool wire_word_number(struct slice word, const char *name, uint64_t *number);

/* For subjects whose parser is asked again and again: what one asking came to. */
enum wire_progress { WIRE_WENT_ON, WIRE_NEEDS_MORE, WIRE_LOST };

/* Asks until it needs more bytes, which is only fair once the piece is used up, or is lost, which
   is an event and the end of all. */
void wire_feed(struct slice piece, bool *lost, struct wire_log *log,
               enum wire_progress (*next)(struct slice *piece, struct wire_log *log));

/* The direction "skip BYTES", and an event that tells what became of it. False: another one. */
bool wire_skip(const char *words, struct wire_log *log, bool (*skip)(uint64_t count));

/* Command line: [--corpus FOLDER] CASES..., where a folder means all its *.case files. With
   --corpus the cases' bytes are written as fuzz inputs instead. Returns the exit status. */
int wire_main(const struct wire_subject *subject, int argc, char **argv);
