/*
 * Memory of the application's side: blocks of 1 KiB from 64 KiB steps, up to LIMIT_SLAB_BYTES.
 *
 * Safe in signal handlers and on any thread; never waits; one mmap per step and nothing else.
 * Blocks are named by a number, 0 being none, and are never unmapped, so that a stale look at a
 * freed block is a look at a block, not a fault.
 */
#pragma once

#include <stdint.h>

#include "base/limits.h"

#define SLAB_BLOCK_BYTES 1024u

/* The two kinds are kept apart: a connection's block is only ever a connection again, so that its
   generation and its locks stay meaningful to a thread that comes late. */
enum slab_kind { SLAB_CONNECTION, SLAB_BUFFER, SLAB_KINDS };

/* A zeroed buffer, or for SLAB_CONNECTION a block as it was when freed (zeroed the first time).
   0 if the cap is reached or the kernel has no memory. */
uint32_t slab_take(enum slab_kind kind);

void slab_give(enum slab_kind kind, uint32_t block);

/* The block's memory; `block` must come from slab_take. */
void *slab_address(uint32_t block);
