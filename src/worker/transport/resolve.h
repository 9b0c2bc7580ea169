/*
 * A host name's addresses without a thread.
 *
 * libcurl looks names up in threads of its own, which may hold the C library's locks when the
 * application forks. This asks the same sources, the hosts file and then the name servers of
 * resolv.conf over UDP, step by step on the caller's thread. What it cannot find (other sources of
 * nsswitch.conf, names beyond ASCII, answers that need TCP) it says, and libcurl may try.
 */
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/limits.h"

enum resolve_result { RESOLVE_PENDING, RESOLVE_FOUND, RESOLVE_FAILED };

/* Where the sources are: tests have their own. */
struct resolve_sources {
    const char *hosts;
    const char *servers;
    uint16_t port; /* of the name servers */
};

extern const struct resolve_sources resolve_system_sources;

struct resolve {
    char addresses[LIMIT_NAME_ADDRESSES][INET6_ADDRSTRLEN];
    size_t address_count;

    /* From resolv.conf. */
    struct sockaddr_storage servers[LIMIT_NAME_SERVERS];
    size_t server_count;
    char search[LIMIT_NAME_SEARCH][LIMIT_NAME_BYTES];
    size_t search_count;
    unsigned ndots;
    unsigned timeout_ms;
    unsigned attempts;

    /* The question under way. */
    const char *host;
    size_t candidate; /* which of the absolute name and its forms by search list */
    size_t round;     /* servers and attempts that this candidate has used up */
    bool server_failed;
    int fd;
    uint16_t ids[2]; /* of the questions for A and AAAA */
    bool answered[2];
    int64_t due_ms;
};

/* Starts to look `host` up, which stays the caller's and must live until the end. Reads the
   sources. To be followed by resolve_step, then resolve_finish. */
void resolve_begin(struct resolve *resolve, const char *host, const struct resolve_sources *sources,
                   int64_t now_ms);

/* Moves on without waiting. After FOUND the addresses stand in `*resolve`. */
enum resolve_result resolve_step(struct resolve *resolve, int64_t now_ms);

/* The descriptor to poll for input and the time of the next step at the latest. */
int resolve_descriptor(const struct resolve *resolve, int64_t *due_ms);

/* Closes what is open; the addresses stay. */
void resolve_finish(struct resolve *resolve);
