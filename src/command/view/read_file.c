#include "command/view/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "command/view/buffer.h"
#include "command/view/decode.h"

#define READ_BYTES 65536u

struct file_reader {
    const struct file_reader_sink *sink;
    const char *path;
    int fd;
    bool follow;
    bool is_stream;  /* no regular file: a read may block, its end is final */
    bool skips_line; /* the rest of a line that was too long */
    unsigned complaints;
    unsigned long line;
    struct buffer pending; /* the beginning of a line */
};

struct file_reader *file_reader_create(const char *path, bool follow,
                                       const struct file_reader_sink *sink)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
    int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, flags);
    struct stat file = {0};
    if (fd >= 0 && fstat(fd, &file) == 0 && S_ISDIR(file.st_mode)) {
        close(fd);
        errno = EISDIR;
        return NULL;
    }
    struct file_reader *reader = fd >= 0 ? calloc(1, sizeof(*reader)) : NULL;
    if (reader == NULL) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        errno = error;
        return NULL;
    }
    reader->sink = sink;
    reader->path = is_stdin ? "(standard input)" : path;
    reader->fd = fd;
    reader->follow = follow;
    reader->is_stream = !S_ISREG(file.st_mode);
    reader->line = 1;
    return reader;
}

struct file_reader *file_reader_destroy(struct file_reader *reader)
{
    if (reader != NULL) {
        close(reader->fd);
        buffer_finish(&reader->pending);
        free(reader);
    }
    return NULL;
}

int file_reader_descriptor(const struct file_reader *reader)
{
    return reader->is_stream ? reader->fd : -1;
}

static void complain(struct file_reader *reader, const char *what)
{
    char text[DECODE_WHY_BYTES + 512];
    if (reader->complaints++ < LIMIT_VIEW_COMPLAINTS) {
        snprintf(text, sizeof(text), "%.400s:%lu: %s", reader->path, reader->line, what);
        reader->sink->complain(reader->sink->context, text);
    } else if (reader->complaints == LIMIT_VIEW_COMPLAINTS + 1) {
        snprintf(text, sizeof(text), "%.400s: more bad lines follow", reader->path);
        reader->sink->complain(reader->sink->context, text);
    }
}

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.size; i++) {
        if (strchr(" \t\r", line.data[i]) == NULL || line.data[i] == '\0') {
            return false;
        }
    }
    return true;
}

static void take_line(struct file_reader *reader, struct slice line)
{
    char why[DECODE_WHY_BYTES];
    if (reader->skips_line) {
        reader->skips_line = false;
    } else if (!is_blank(line)) {
        Otlp__ExportTraceServiceRequest *message = decode_json(line, why);
        if (message != NULL) {
            reader->sink->take(reader->sink->context, message);
            otlp__export_trace_service_request__free_unpacked(message, NULL);
        } else {
            complain(reader, why);
        }
    }
    reader->line++;
}

static void take_pending(struct file_reader *reader)
{
    take_line(reader, slice_of(reader->pending.bytes, reader->pending.used));
    reader->pending.used = 0;
}

/* Keeps the beginning of a line, or gives the line up. */
static void keep(struct file_reader *reader, struct slice part)
{
    if (reader->skips_line) {
        return;
    }
    if (part.size > LIMIT_EXPORT_REQUEST_BYTES - reader->pending.used) {
        complain(reader, "the line is longer than 64 MiB");
        reader->skips_line = true;
        reader->pending.used = 0;
        return;
    }
    buffer_append(&reader->pending, part.data, part.size);
    if (reader->pending.failed) {
        complain(reader, "no memory for the line");
        reader->skips_line = true;
        buffer_finish(&reader->pending);
    }
}

static void take_bytes(struct file_reader *reader, struct slice bytes)
{
    while (bytes.size > 0) {
        const uint8_t *newline = memchr(bytes.data, '\n', bytes.size);
        if (newline == NULL) {
            keep(reader, bytes);
            return;
        }
        struct slice line = slice_take(&bytes, (size_t)(newline - bytes.data));
        slice_take(&bytes, 1);
        if (reader->pending.used > 0 || reader->skips_line) {
            keep(reader, line);
            take_pending(reader);
        } else {
            take_line(reader, line);
        }
    }
}

/* A followed file that was truncated, by log rotation say, begins anew. */
static void start_over_if_truncated(struct file_reader *reader)
{
    struct stat file;
    off_t at = lseek(reader->fd, 0, SEEK_CUR);
    if (at > 0 && fstat(reader->fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size < at &&
        lseek(reader->fd, 0, SEEK_SET) == 0) {
        reader->pending.used = 0;
        reader->skips_line = false;
        reader->line = 1;
    }
}

enum file_reader_result file_reader_step(struct file_reader *reader)
{
    uint8_t bytes[READ_BYTES];
    if (reader->follow) {
        start_over_if_truncated(reader);
    }
    ssize_t size = read(reader->fd, bytes, sizeof(bytes));
    if (size > 0) {
        take_bytes(reader, slice_of(bytes, (size_t)size));
        return FILE_READER_MORE;
    }
    if (size < 0 && errno == EINTR) {
        return FILE_READER_MORE;
    }
    if (size < 0 && errno != EAGAIN) {
        complain(reader, strerror(errno));
        return FILE_READER_FAILED;
    }
    if ((!reader->follow || reader->is_stream) && size == 0 && reader->pending.used > 0) {
        take_pending(reader); /* the last line may lack its newline */
    }
    return FILE_READER_END;
}
