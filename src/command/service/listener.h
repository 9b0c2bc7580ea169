/*
 * The socket on which programs ask for an arena (handoff/registration.h).
 *
 * Nothing here waits: who connects and says nothing is dropped when others want the room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "handoff/registration.h"

/* Programs that have connected and not yet spoken: it takes them microseconds. */
#define LISTENER_PENDING 64

struct listener {
    int socket;
    int events; /* readable when there is something to do: an epoll descriptor */
    int pending[LISTENER_PENDING];
    uint32_t next_pending;
    bool asks_token; /* else the peer's user must be ours, or root */
    uint8_t token[REGISTRATION_TOKEN];
    uint64_t refused; /* requests by strangers or of another version */
};

struct request {
    int connection;
    int pidfd;
    pid_t process_id; /* by the kernel's word, in our namespace */
    struct registration_hello hello;
};

/* An abstract name and a token, both random. `address` receives what programs are to be told:
   the value of WIRESPAN_AGENT. Returns 0 or -errno. */
int listener_open_abstract(struct listener *listener, char *address, size_t capacity);

/* A socket in the file system, mode 0600. One that nobody listens on any more is replaced.
   -EADDRINUSE: somebody does. */
int listener_open_path(struct listener *listener, const char *path);

/* Takes the next program that asks. False if there is none, or it was refused. */
bool listener_accept(struct listener *listener, struct request *request);

/* Hands the two descriptors over and closes the connection. False if the program has gone. */
bool listener_answer(struct request *request, uint32_t flags, uint64_t arena_size, int arena,
                     int bell);

/* Closes the connection without an answer. */
void listener_refuse(struct request *request);
