/*
 * HTTP and Redis conversations between two ends in one process, over any kind of call.
 *
 * Both ends parse what arrives, as real ones do: headers that are on the way may be more than were
 * written (trace headers), and the pieces may be cut anywhere.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "support.h"

enum io_style {
    IO_READ_WRITE,
    IO_SEND_RECV,
    IO_SENDTO_RECVFROM,
    IO_VECTORS,
    IO_MESSAGES,
    IO_MANY_MESSAGES,
    IO_VECTORS_WITH_FLAGS,
    IO_RAW, /* syscall() */
    IO_STYLES
};

/* The style of that name; ends the program if there is none. */
enum io_style io_style_named(const char *name);

/* One end of a connection, with what it has read and not used yet. */
struct end {
    int fd;
    enum io_style style;
    size_t piece; /* writes at most that many bytes at once; 0: all */
    size_t have;
    char buffer[8192];
};

void end_init(struct end *end, int fd, enum io_style style, size_t piece);
/* Waits with poll where the descriptor does not block. False at the end or on an error. */
bool end_write(struct end *end, const void *bytes, size_t size);
bool end_read(struct end *end, void *bytes, size_t size);
/* A line without its end; NULL at the end of file. Valid until the next call. */
char *end_read_line(struct end *end, char *line, size_t size);

/* What one side understood of a message. */
struct http_message {
    char start[256];  /* the request line or the status line */
    unsigned headers; /* trace headers are not counted */
    bool has_traceparent;
    bool is_chunked;
    bool wants_continue;
    bool wants_upgrade;
    size_t length;
    uint32_t sum; /* of the body */
};

/* Reads a whole message; `has_body` is false for answers to HEAD and the like. */
bool http_read(struct end *end, struct http_message *message, bool has_body);

/* Answers requests until the end of the connection. The path says how:
     /sized/N    N bytes with Content-Length      /chunked/N  N bytes in chunks
     /status/N   an empty answer with that status /slow       an answer in many small writes
     /early      a 103 before the answer          /close      the connection ends with the answer
   The body of a request is summed into the header X-Sum. Returns the number of requests. */
unsigned http_serve(struct end *end);

/* One request and its answer, both told by say() under the label. */
bool http_ask(struct end *end, const char *method, const char *path, size_t body_size);

/* Reads one RESP value of any kind; false at the end. Folds its bytes into `*sum`. */
bool resp_read(struct end *end, uint32_t *sum);
/* Answers RESP commands with values that depend on the command, until QUIT or the end. */
unsigned resp_serve(struct end *end);
