/*
 * Two ends of TLS in one process: a certificate made on the spot, a server in a thread, a client
 * that tells what it sees by say().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum tls_style {
    TLS_DESCRIPTOR,        /* SSL_set_fd, SSL_read, SSL_write */
    TLS_DESCRIPTOR_EX,     /* SSL_read_ex, SSL_write_ex */
    TLS_NONBLOCKING,       /* the same as the first, on sockets that do not block */
    TLS_NONBLOCKING_PARTS, /* with SSL_MODE_ENABLE_PARTIAL_WRITE */
    TLS_MEMORY,            /* memory buffers between sockets and library */
    TLS_EARLY,             /* the first request of a second connection as 0-RTT data */
    TLS_NARROW,            /* through a buffer of 100 bytes, called again and again */
    TLS_NARROW_MOVING,     /* the same, each time from another place, and with more bytes */
    TLS_NARROW_PARTS       /* the same with SSL_MODE_ENABLE_PARTIAL_WRITE */
};

struct tls_plan {
    enum tls_style style;
    unsigned exchanges;
    size_t body; /* of the first request; each one is `more` bytes longer than the one before */
    size_t more;
};

/* Makes exchanges of HTTP over a connected pair and closes both sockets. The server answers with a
   sum of all that it got but `traceparent`, which must have been there in each request if this
   process is observed. False if anything went wrong. */
bool tls_talk(int client, int server, const struct tls_plan *plan);

/* Calls SSL_write again as OpenSSL allows, and otherwise, and says what comes of it. */
#define TLS_RULES 6
void tls_break_rules(int client, int server, unsigned which);
