/* A few lines of sockets, for C programs that must be exact about their calls. */
#pragma once

#include <stddef.h>

/* Connects to an IPv4 address. Exits with 3 if it cannot. */
int wire_connect(const char *host, const char *port);

/* Listens on a free port of 127.0.0.1 and says "port N" on stdout. */
int wire_listen(void);

/* Sends it all. Exits with 3 if it cannot. */
void wire_send(int fd, const void *bytes, size_t size);

/* Reads until the bytes read end with `tail`; exits with 3 if they never do. */
void wire_read_until(int fd, const char *tail);

/* One PING and its answer. */
void wire_ping(int fd);
