/*
 * The arena: segments for a program and for all children that it forks, in memory made by a drainer
 * of another process.
 *
 *     header | environment || segment 0 | segment 1 | ...
 *
 * The program receives it when it is loaded (registration.h), keeps it mapped, and holds no
 * descriptor. A forked child inherits the mapping and claims a segment of its own by
 * compare-and-swap, without a system call. The drainer finds out who that is, drains, and frees the
 * segment when its process has ended.
 *
 * Who with whom
 *   places[i].state  FREE->CLAIMED->TAKEN: application threads; ->FREE: the drainer
 *   places[i]        the claimer until TAKEN (release), then the drainer reads
 *   places[i].mark   application threads, set before exec, cleared at the end of one that went on;
 * the drainer reads and clears claims           application threads add when a place is TAKEN; the
 * drainer reads environment      the first claimer, before TAKEN; the drainer reads flush_requested
 * application threads add; flush_done: the drainer; both futexes
 *
 * Processes that share an arena are forks of one program: they trust each other. The drainer trusts
 * none of them: it reads a value once and checks its copy.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"
#include "handoff/segment.h"

#define ARENA_MAGIC   0x616e657261736577ull /* "wesarena" */
#define ARENA_VERSION 2u
#define ARENA_NONE    UINT32_MAX

enum arena_place_state { PLACE_FREE = 0, PLACE_CLAIMED = 1, PLACE_TAKEN = 2 };

struct arena_place {
    _Atomic uint32_t state;
    _Atomic uint32_t mark; /* 1: the process is about to exec */
    int32_t process_id;    /* as the process knows itself: in its own namespace */
    uint32_t namespace_id; /* which that is, as the kernel numbers it; 0: not known */
    uint64_t claimed_ns;   /* CLOCK_BOOTTIME */
};

/* Who claims a place. */
struct arena_claimant {
    int32_t process_id;
    uint32_t namespace_id;
    uint64_t boottime_ns;
};

struct arena {
    uint64_t magic;
    uint32_t version;
    uint32_t place_count;
    uint64_t segment_bytes; /* from one segment to the next */
    uint64_t size;
    _Atomic uint32_t claims;
    _Atomic uint32_t flush_requested;
    _Atomic uint32_t flush_done;
    _Atomic uint32_t environment_size; /* 0: not written */
    struct arena_place places[LIMIT_ARENA_PLACES];
    char environment[LIMIT_ENVIRONMENT_BYTES]; /* NAME=value, each with its NUL; =PATH: the program
                                                */
};

/* Where the segments begin: a page's boundary. */
size_t arena_header_size(void);

/* From one segment to the next. */
size_t arena_segment_bytes(void);

/* The bytes of an arena with that many places. */
size_t arena_size(uint32_t place_count);

/* Lays out a zeroed mapping of the header. place_count is at most LIMIT_ARENA_PLACES. */
void arena_initialize(struct arena *arena, uint32_t place_count);

/* Whether the header of `mapped_size` bytes is that of an arena of this version. */
bool arena_is_valid(const struct arena *arena, size_t mapped_size);

/* ---- application threads: async-signal-safe, wait-free ---- */

/* Claims a place among the first `place_count` and lays its segment out. `mapping` is the whole
   arena. ARENA_NONE if all are taken. */
uint32_t arena_claim(struct arena *mapping, uint32_t place_count,
                     const struct arena_claimant *claimant, struct segment_clock clock);

/* Announces the claimed place to the drainer. */
void arena_publish(struct arena *mapping, uint32_t place, struct doorbell *doorbell);

struct segment *arena_segment(struct arena *mapping, uint32_t place);

/* Writes the environment if nobody has. `size` bytes, at most LIMIT_ENVIRONMENT_BYTES. */
void arena_write_environment(struct arena *mapping, const char *text, size_t size);
