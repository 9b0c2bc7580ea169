/*
 * The programs that one drainer serves: an arena for each, whose segments are held by the program's
 * process and by children that it forked.
 *
 *     member (one arena)
 *         owner            who asked for it; may end, or exec, before the children do
 *         holders[place]   who uses a segment: found out by the drainer itself
 *
 * A member lives until no process has the arena mapped any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "command/service/bell.h"
#include "command/service/listener.h"

struct exporter;
struct member;

struct members {
    struct exporter *exporter;
    struct bell *bell;
    struct member *first;
    uint32_t count;
    uint32_t holder_count;
    uint32_t namespace_id; /* of the numbers that processes have here; 0: not known */
    int events;            /* readable when a process has ended: an epoll descriptor */
    uint64_t swept_ns;     /* the last look at what makes no event */
    pid_t command;         /* whose end waits for the export; 0: none's */
    int32_t command_end;   /* how it ended, as its parent was told; ABORT_UNKNOWN: not told */
    bool awaits_parents;   /* who has ended, and `events` is readable; to be followed in a moment */
};

/* Returns 0 or -errno. */
int members_init(struct members *members, struct exporter *exporter, struct bell *bell);

/* Gives the program that asks an arena. Consumes the request. */
void members_add(struct members *members, struct request *request, uint64_t now_ns);

/* Whether a segment was claimed that nobody has looked at. */
bool members_have_claims(const struct members *members);

/* Takes over what was claimed; takes leave of who has ended. */
void members_follow(struct members *members, uint64_t now_ns);

/* Whether a process waits for what it finished to be exported. */
bool members_want_flush(struct members *members);

/* Tells those who wait that it is done. */
void members_note_flushed(struct members *members);

/* Takes leave of all that are left, as if they had been killed. */
void members_end(struct members *members);
