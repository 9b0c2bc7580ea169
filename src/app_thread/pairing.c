#include "app_thread/pairing.h"

#include <stddef.h>
#include <string.h>

#include "app_thread/slab.h"
#include "base/limits.h"

/* A buffer of the chain; the slab's own link lies in its last bytes while it is free. */
#define CHUNK_ENTRIES 126u

struct chunk {
    _Atomic uint32_t next; /* pusher writes, before the first entry there can be seen */
    uint32_t previous;     /* pusher's */
    _Atomic uint64_t entries[CHUNK_ENTRIES];
};

_Static_assert(sizeof(struct chunk) <= SLAB_BLOCK_BYTES, "a chunk is one buffer");

static struct chunk *chunk_at(uint32_t block)
{
    return slab_address(block);
}

void pairing_init(struct pairing *pairing)
{
    memset(pairing, 0, sizeof(*pairing));
}

/* ---- the pusher ---- */

/* Makes room for one more entry in the chain. */
static bool extend_chain(struct pairing *pairing)
{
    if (pairing->push_block != 0 && pairing->push_index < CHUNK_ENTRIES) {
        return true;
    }
    uint32_t following = 0;
    if (pairing->push_block != 0) {
        /* A buffer that was linked and whose entries were all taken back. */
        following =
            atomic_load_explicit(&chunk_at(pairing->push_block)->next, memory_order_relaxed);
    }
    if (following == 0) {
        following = slab_take(SLAB_BUFFER);
        if (following == 0) {
            return false;
        }
        chunk_at(following)->previous = pairing->push_block;
        if (pairing->push_block == 0) {
            atomic_store_explicit(&pairing->first_block, following, memory_order_relaxed);
        } else {
            atomic_store_explicit(&chunk_at(pairing->push_block)->next, following,
                                  memory_order_relaxed);
        }
    }
    pairing->push_block = following;
    pairing->push_index = 0;
    return true;
}

bool pairing_push_slow(struct pairing *pairing, struct pairing_entry entry)
{
    uint32_t chain_pushed = atomic_load_explicit(&pairing->chain_pushed, memory_order_relaxed);
    uint32_t chained =
        chain_pushed - atomic_load_explicit(&pairing->chain_popped, memory_order_acquire);
    uint32_t pushed = atomic_load_explicit(&pairing->inline_pushed, memory_order_relaxed);
    uint32_t popped = atomic_load_explicit(&pairing->inline_popped, memory_order_acquire);
    if (chained == 0 && pushed - popped < PAIRING_INLINE) {
        atomic_store_explicit(&pairing->inline_entries[pushed % PAIRING_INLINE],
                              pairing_pack(entry), memory_order_relaxed);
        /* pairs with the acquire in pairing_oldest */
        atomic_store_explicit(&pairing->inline_pushed, pushed + 1, memory_order_release);
        return true;
    }
    if (chained >= LIMIT_PIPELINE || !extend_chain(pairing)) {
        return false;
    }
    atomic_store_explicit(&chunk_at(pairing->push_block)->entries[pairing->push_index],
                          pairing_pack(entry), memory_order_relaxed);
    pairing->push_index++;
    atomic_store_explicit(&pairing->chain_pushed, chain_pushed + 1, memory_order_release);
    return true;
}

static bool chain_holds_newest(struct pairing *pairing)
{
    return atomic_load_explicit(&pairing->chain_pushed, memory_order_relaxed) !=
           atomic_load_explicit(&pairing->chain_popped, memory_order_acquire);
}

static _Atomic uint64_t *newest_place(struct pairing *pairing)
{
    if (chain_holds_newest(pairing)) {
        if (pairing->push_index == 0) {
            /* Everything in this buffer was taken back; its forerunner is still there, because
               nobody has popped from this one. */
            pairing->push_block = chunk_at(pairing->push_block)->previous;
            pairing->push_index = CHUNK_ENTRIES;
        }
        return &chunk_at(pairing->push_block)->entries[pairing->push_index - 1];
    }
    uint32_t pushed = atomic_load_explicit(&pairing->inline_pushed, memory_order_relaxed);
    if (pushed == atomic_load_explicit(&pairing->inline_popped, memory_order_acquire)) {
        return NULL;
    }
    return &pairing->inline_entries[(pushed - 1) % PAIRING_INLINE];
}

bool pairing_newest(struct pairing *pairing, struct pairing_entry *entry)
{
    _Atomic uint64_t *place = newest_place(pairing);
    if (place == NULL) {
        return false;
    }
    *entry = pairing_unpack(atomic_load_explicit(place, memory_order_relaxed));
    return true;
}

void pairing_update_newest(struct pairing *pairing, struct pairing_entry entry)
{
    _Atomic uint64_t *place = newest_place(pairing);
    if (place != NULL) {
        /* release: what the record holds by now is seen by the popper that sees this entry */
        atomic_store_explicit(place, pairing_pack(entry), memory_order_release);
    }
}

bool pairing_unpush(struct pairing *pairing, struct pairing_entry *entry)
{
    if (!pairing_newest(pairing, entry)) {
        return false;
    }
    if (chain_holds_newest(pairing)) {
        pairing->push_index--;
        atomic_fetch_sub_explicit(&pairing->chain_pushed, 1, memory_order_release);
    } else {
        atomic_fetch_sub_explicit(&pairing->inline_pushed, 1, memory_order_release);
    }
    return true;
}

/* ---- the popper ---- */

/* Sets `*chained` to where the oldest entry lies. The chain is looked at first: who sees an entry
   there also sees the inline entries that were pushed before it. */
static _Atomic uint64_t *oldest_place(struct pairing *pairing, bool *chained)
{
    uint32_t chain_pushed = atomic_load_explicit(&pairing->chain_pushed, memory_order_acquire);
    uint32_t inline_pushed = atomic_load_explicit(&pairing->inline_pushed, memory_order_acquire);
    uint32_t inline_popped = atomic_load_explicit(&pairing->inline_popped, memory_order_relaxed);
    *chained = false;
    if (inline_pushed != inline_popped) {
        return &pairing->inline_entries[inline_popped % PAIRING_INLINE];
    }
    if (chain_pushed == atomic_load_explicit(&pairing->chain_popped, memory_order_relaxed)) {
        return NULL;
    }
    *chained = true;
    if (pairing->pop_block == 0) {
        pairing->pop_block = atomic_load_explicit(&pairing->first_block, memory_order_relaxed);
    } else if (pairing->pop_index == CHUNK_ENTRIES) {
        uint32_t done = pairing->pop_block;
        pairing->pop_block = atomic_load_explicit(&chunk_at(done)->next, memory_order_relaxed);
        pairing->pop_index = 0;
        slab_give(SLAB_BUFFER, done);
    }
    return &chunk_at(pairing->pop_block)->entries[pairing->pop_index];
}

bool pairing_oldest_slow(struct pairing *pairing, struct pairing_entry *entry)
{
    bool chained;
    _Atomic uint64_t *place = oldest_place(pairing, &chained);
    if (place == NULL) {
        return false;
    }
    /* acquire pairs with the release in pairing_update_newest */
    *entry = pairing_unpack(atomic_load_explicit(place, memory_order_acquire));
    return true;
}

void pairing_update_oldest(struct pairing *pairing, struct pairing_entry entry)
{
    bool chained;
    _Atomic uint64_t *place = oldest_place(pairing, &chained);
    if (place != NULL) {
        atomic_store_explicit(place, pairing_pack(entry), memory_order_relaxed);
    }
}

void pairing_pop_slow(struct pairing *pairing)
{
    bool chained;
    if (oldest_place(pairing, &chained) == NULL) {
        return;
    }
    _Atomic uint32_t *count = chained ? &pairing->chain_popped : &pairing->inline_popped;
    pairing->pop_index += chained;
    /* Nobody else writes it. */
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_release);
}

void pairing_finish(struct pairing *pairing)
{
    uint32_t block = pairing->pop_block != 0
                         ? pairing->pop_block
                         : atomic_load_explicit(&pairing->first_block, memory_order_relaxed);
    while (block != 0) {
        uint32_t next = atomic_load_explicit(&chunk_at(block)->next, memory_order_relaxed);
        slab_give(SLAB_BUFFER, block);
        block = next;
    }
    /* Not what is owed: the program goes on, whatever becomes of its exchanges. */
    size_t behind = offsetof(struct pairing, owed) + sizeof(pairing->owed);
    memset(pairing, 0, offsetof(struct pairing, owed));
    memset((uint8_t *)pairing + behind, 0, sizeof(*pairing) - behind);
}
