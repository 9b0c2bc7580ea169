/*
 * An arena as its maker has it: a sealed memory file, its header mapped, each segment mapped while
 * somebody uses it. What is in it is another process's word.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "handoff/arena.h"

struct arena_host {
    int memory;
    ino_t inode;
    bool is_dead; /* no other process has it mapped, or ever will */
    struct arena *header;
    struct segment *segments[LIMIT_ARENA_PLACES]; /* NULL: not mapped */
};

/* Returns 0 or -errno. */
int arena_host_create(struct arena_host *host);
void arena_host_destroy(struct arena_host *host);

/* Maps a place's segment. Returns 0 or -errno. */
int arena_host_map(struct arena_host *host, uint32_t place);

void arena_host_unmap(struct arena_host *host, uint32_t place);

/* The place's process has ended: gives its memory back to the system and lets it be claimed again.
 */
void arena_host_free(struct arena_host *host, uint32_t place);

/* Lets go of the pages that were looked at: they stay with who wrote them, and come back when they
   are looked at again. */
void arena_host_forget_pages(const struct arena_host *host);

/* Whether any other process still has the arena mapped. The answer no is final. Everything that is
   mapped here is, at the same address, but for a moment in between. */
bool arena_host_is_shared(struct arena_host *host);
