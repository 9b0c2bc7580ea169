#include "app_thread/slab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/compiler.h"
#include "base/system_call.h"

/* Tries of a compare-and-swap before the attempt is given up: losing this often in a row means
   that something is badly wrong, and no call may loop for ever. */
#define TRIES 64

/* A freed block's link lies in its last bytes, where neither a connection's generation nor its
   locks are. */
#define LINK_OFFSET (SLAB_BLOCK_BYTES - sizeof(uint32_t))

/* A stack of free blocks: tag << 32 | block. The tag changes with every push and pop, so that a
   compare-and-swap cannot mistake a block that left and came back. */
static _Atomic uint64_t free_blocks[SLAB_KINDS];
static _Atomic uint32_t next_block;
/* Of these, taken for each kind; what is given back stays that kind's. */
static _Atomic uint32_t taken_blocks[SLAB_KINDS];
_Atomic(uint8_t *) slab_steps[SLAB_STEPS];

static _Atomic uint32_t *link_of(uint32_t block)
{
    return (_Atomic uint32_t *)(void *)((uint8_t *)slab_address(block) + LINK_OFFSET);
}

/* Makes sure that the step's memory is there. */
static bool map_step(uint32_t step)
{
    if (atomic_load_explicit(&slab_steps[step], memory_order_acquire) != NULL) {
        return true;
    }
    long address = raw_system_call(SYS_mmap, 0, LIMIT_SLAB_STEP, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0 && address > -4096) {
        return false;
    }
    uint8_t *none = NULL;
    /* release pairs with the acquire in slab_address */
    if (!atomic_compare_exchange_strong_explicit(&slab_steps[step], &none, (uint8_t *)address,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        raw_system_call(SYS_munmap, address, LIMIT_SLAB_STEP, 0, 0, 0, 0);
    }
    return true;
}

/* Counts one more block of that kind; false if it is the other kind's share. */
static bool take_share(enum slab_kind kind)
{
    static const uint32_t blocks = SLAB_STEPS * SLAB_BLOCKS_PER_STEP;
    if (atomic_fetch_add_explicit(&taken_blocks[kind], 1, memory_order_relaxed) <
        blocks - LIMIT_SLAB_SHARE / SLAB_BLOCK_BYTES) {
        return true;
    }
    atomic_fetch_sub_explicit(&taken_blocks[kind], 1, memory_order_relaxed);
    return false;
}

static SLOW uint32_t take_fresh(enum slab_kind kind)
{
    if (!take_share(kind)) {
        return 0;
    }
    for (int i = 0; i < TRIES; i++) {
        uint32_t taken = atomic_load_explicit(&next_block, memory_order_relaxed);
        if (taken >= SLAB_STEPS * SLAB_BLOCKS_PER_STEP || !map_step(taken / SLAB_BLOCKS_PER_STEP)) {
            break;
        }
        if (atomic_compare_exchange_strong_explicit(&next_block, &taken, taken + 1,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            return taken + 1;
        }
    }
    atomic_fetch_sub_explicit(&taken_blocks[kind], 1, memory_order_relaxed);
    return 0;
}

static uint32_t pop(enum slab_kind kind)
{
    uint64_t head = atomic_load_explicit(&free_blocks[kind], memory_order_acquire);
    for (int i = 0; i < TRIES && (uint32_t)head != 0; i++) {
        uint32_t block = (uint32_t)head;
        uint32_t next = atomic_load_explicit(link_of(block), memory_order_relaxed);
        uint64_t changed = ((head >> 32) + 1) << 32 | next;
        if (atomic_compare_exchange_weak_explicit(&free_blocks[kind], &head, changed,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            return block;
        }
    }
    return 0;
}

uint32_t slab_take(enum slab_kind kind)
{
    uint32_t block = pop(kind);
    if (block == 0) {
        return take_fresh(kind);
    }
    if (kind == SLAB_BUFFER) {
        memset(slab_address(block), 0, SLAB_BLOCK_BYTES);
    }
    return block;
}

void slab_give(enum slab_kind kind, uint32_t block)
{
    uint64_t head = atomic_load_explicit(&free_blocks[kind], memory_order_relaxed);
    for (int i = 0; i < TRIES; i++) {
        atomic_store_explicit(link_of(block), (uint32_t)head, memory_order_relaxed);
        uint64_t changed = ((head >> 32) + 1) << 32 | block;
        /* release: what the block held is written before it can be taken again */
        if (atomic_compare_exchange_weak_explicit(&free_blocks[kind], &head, changed,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
            return;
        }
    }
    /* Lost that often in a row: the block is lost rather than the thread kept waiting. */
}
