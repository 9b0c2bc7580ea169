/*
 * Memory of the application's side: blocks of 1 KiB from 64 KiB steps, up to LIMIT_SLAB_BYTES.
 *
 * Safe in signal handlers and on any thread; never waits; one mmap per step and nothing else.
 * Blocks are named by a number, 0 being none, and are never unmapped, so that a stale look at a
 * freed block is a look at a block, not a fault.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
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

/* Blocks are numbered from 1; block b lies in step (b - 1) / SLAB_BLOCKS_PER_STEP. */
#define SLAB_STEPS           (LIMIT_SLAB_BYTES / LIMIT_SLAB_STEP)
#define SLAB_BLOCKS_PER_STEP (LIMIT_SLAB_STEP / SLAB_BLOCK_BYTES)
extern _Atomic(uint8_t *) slab_steps[SLAB_STEPS];

/* The block's memory; `block` must come from slab_take. */
static inline void *slab_address(uint32_t block)
{
    uint32_t index = block - 1;
    uint8_t *step =
        atomic_load_explicit(&slab_steps[index / SLAB_BLOCKS_PER_STEP], memory_order_acquire);
    return step + (size_t)(index % SLAB_BLOCKS_PER_STEP) * SLAB_BLOCK_BYTES;
}
