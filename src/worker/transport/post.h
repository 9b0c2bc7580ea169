/*
 * One POST at a time through libcurl's multi interface, on a connection that is kept.
 *
 * Everything of libcurl happens inside post_begin, post_step and post_cancel; between them only
 * the descriptors are polled, by the caller. What came back is judged by the transports.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>

#include "base/slice.h"
#include "process/config.h"

enum post_http {
    POST_HTTP_1_1,
    POST_HTTP_2 /* over TLS by ALPN, else with prior knowledge */
};

enum post_failure {
    POST_ANSWERED,  /* there is a whole answer */
    POST_BROKEN,    /* the connection or the TLS session failed, or the time is over */
    POST_TOO_LARGE, /* more than LIMIT_EXPORT_RESPONSE_BYTES came back */
    POST_NOT_HTTP,  /* the answer to an HTTP/1.1 request has no status line */
    POST_UNUSABLE   /* this URL, or this libcurl, can never do it */
};

struct post_answer {
    enum post_failure failure;
    long status;       /* HTTP's; 0 if there was none */
    bool is_http2;     /* the connection speaks HTTP/2 */
    bool is_reset;     /* broken: the peer gave up this request, not the connection (HTTP/2) */
    bool is_mute;      /* broken: the peer took the connection and said nothing in this protocol */
    char error[192];   /* what broke, in words; empty if answered */
    struct slice body; /* valid until the next post_begin */
};

/* Is told of every header and trailer of the answer, in order. The status line comes as a header
   with an empty name: what came before it belonged to an interim answer. */
typedef void post_header(void *context, struct slice name, struct slice value);

struct post_options {
    const char *url;
    enum post_http http;
    const char *const *headers; /* lines of our own, NULL-terminated */
    post_header *on_header;
    void *context;
};

struct post;

/* Loads libcurl and prepares the request: URL, our headers and the configured ones, certificates,
   time limit. Copies what it needs. On failure says why on stderr unless the log level forbids it,
   and returns NULL. */
struct post *post_create(const struct config *config, const struct post_options *options);

/* Starts the request; `body` is borrowed until post_step returned true or post_cancel. Returns 0
   or a negative errno. */
int post_begin(struct post *post, struct slice body);

/* Moves the request on without waiting. True once it is over; then `*answer` is filled. */
bool post_step(struct post *post, struct post_answer *answer);

/* As in struct transport_ops. */
size_t post_descriptors(const struct post *post, struct pollfd *into, size_t capacity,
                        int *timeout_ms);

/* Gives up the request in flight, if there is one, and its connection. */
void post_cancel(struct post *post);

/* Cancels and frees; takes NULL. Returns NULL. */
struct post *post_destroy(struct post *post);

/* Writes scheme, host and path of `url`, without user, password and query: what may be said. */
void post_describe_place(const char *url, char *into, size_t capacity);
