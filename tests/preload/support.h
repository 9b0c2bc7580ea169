/*
 * What the programs of this suite share: saying what they observe, and pairs of connected sockets.
 *
 * A program prints results, errno and bytes, and nothing that may differ from run to run (no
 * descriptor numbers, ports, times, process ids). It runs plain and preloaded, and the two outputs
 * must be equal. A set-up step that fails ends it with EXIT_SETUP, which the driver never accepts.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#define EXIT_SETUP 99

/* An errno value that no call sets: a successful call must leave it alone. */
#define ERRNO_MARK 4242

/* Evaluates the call and prints its text, its result and its errno. */
#define OBSERVE(call) (errno = ERRNO_MARK, observed(#call, (long)(call)))
/* The same for a call that returns a descriptor: prints whether there is one, not which. */
#define OBSERVE_FD(call) (errno = ERRNO_MARK, observed_fd(#call, (call)))
/* The same with a label in the place of the call's text. */
#define OBSERVE_AS(label, call) (errno = ERRNO_MARK, observed((label), (long)(call)))

/* A function found by dlsym; ISO C has no such conversion, POSIX has. */
#define FUNCTION(type, address) (__extension__(type *)(address))

#define REQUIRE(condition) ((condition) ? (void)0 : setup_failed(__FILE__, __LINE__, #condition))

/* Prints one line with one write(2) to the descriptor of the report, standard output at first. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Reports through another descriptor, for programs that close the low ones. */
void say_through(int fd);
long observed(const char *text, long result);
int observed_fd(const char *text, int result);
const char *errno_name(int number);
void setup_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

/* A listening socket of that family on the loopback address; its address into `*address`. */
int listen_on_loopback(int family, struct sockaddr_storage *address, socklen_t *size);
/* A loopback address of that family where nobody listens. */
void refused_address(int family, struct sockaddr_storage *address, socklen_t *size);
/* A new connection to the address. */
int connect_to(const struct sockaddr_storage *address, socklen_t size);
/* pair[0] connected, pair[1] accepted. */
void tcp_pair(int pair[2]);
void unix_pair(int pair[2]);
void set_nonblocking(int fd);
/* Small writes go at once. */
void send_at_once(int pair[2]);
/* Small buffers, so that writes are partial. */
void shrink_buffers(int pair[2]);

/* Bytes that depend on their position, and a sum that depends on their order. */
void fill(void *bytes, size_t size, unsigned seed);
uint32_t checksum(uint32_t sum, const void *bytes, size_t size);

/* Loops over write or read until all is through; false at end of file or error. */
bool write_all(int fd, const void *bytes, size_t size);
bool read_all(int fd, void *bytes, size_t size);
/* One small exchange over a connected pair and back: proves that both still work. Prints it. */
void exchange(const char *label, int client, int server);

/* Prints how a child ended. */
void say_ending(const char *label, int status);
/* Waits for the child and prints how it ended. */
void say_child(const char *label, pid_t pid);

pthread_t start_thread(void *(*body)(void *), void *argument);
void join_thread(pthread_t thread);
