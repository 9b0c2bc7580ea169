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
    TLS_EARLY              /* the first request of a second connection as 0-RTT data */
};

/* Makes exchanges of HTTP over a connected pair, each with a body of that size in its request, and
   closes both sockets. False if anything went wrong. */
bool tls_talk(int client, int server, enum tls_style style, unsigned exchanges, size_t body);
