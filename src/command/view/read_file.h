/* Files of OTLP JSON: one object a line. */
#pragma once

#include <otlp.pb-c.h>
#include <stdbool.h>

struct file_reader;

struct file_reader_sink {
    void *context;
    /* The message is the reader's again after the call. */
    void (*take)(void *context, const Otlp__ExportTraceServiceRequest *message);
    /* One line of text: "FILE:LINE: what is wrong". */
    void (*complain)(void *context, const char *text);
};

/* Opens `path`; "-" is standard input. With `follow` the end of the file is only the end for now,
   and a file that becomes shorter is read from its beginning. NULL: errno says why. */
struct file_reader *file_reader_create(const char *path, bool follow,
                                       const struct file_reader_sink *sink);

enum file_reader_result {
    FILE_READER_MORE,  /* step again now */
    FILE_READER_END,   /* nothing now; without `follow` nothing ever */
    FILE_READER_FAILED /* said through `complain` */
};

/* A pipe or a terminal: the descriptor to wait for before a step, which would block otherwise. -1:
   a file, which never does. */
int file_reader_descriptor(const struct file_reader *reader);

/* Reads a part of the file and hands out its whole lines. */
enum file_reader_result file_reader_step(struct file_reader *reader);

/* Takes NULL and returns it. */
struct file_reader *file_reader_destroy(struct file_reader *reader);
