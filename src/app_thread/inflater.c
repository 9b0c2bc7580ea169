#include "app_thread/inflater.h"

#include <stdatomic.h>

#include "app_thread/exchange.h"
#include "app_thread/slab.h"
#include "base/limits.h"

_Static_assert(sizeof(struct inflate) <= SLAB_BLOCK_BYTES, "a buffer");
_Static_assert(sizeof(struct inflate_literals) <= SLAB_BLOCK_BYTES, "a buffer");
_Static_assert(LIMIT_INFLATE_PAGE <= SLAB_BLOCK_BYTES, "a buffer");

/* Buffers of all inflaters. */
static _Atomic uint32_t inflater_blocks;

static uint32_t take_block(void)
{
    uint32_t block = 0;
    if (atomic_fetch_add_explicit(&inflater_blocks, 1, memory_order_relaxed) <
        LIMIT_INFLATE_SHARE / SLAB_BLOCK_BYTES) {
        block = slab_take(SLAB_BUFFER);
    }
    if (block == 0) {
        atomic_fetch_sub_explicit(&inflater_blocks, 1, memory_order_relaxed);
        exchange_count_loss(LOSS_SLAB_FULL);
    }
    return block;
}

static void give_block(uint32_t *block)
{
    if (*block != 0) {
        slab_give(SLAB_BUFFER, *block);
        atomic_fetch_sub_explicit(&inflater_blocks, 1, memory_order_relaxed);
        *block = 0;
    }
}

bool inflater_has_plenty(void)
{
    return atomic_load_explicit(&inflater_blocks, memory_order_relaxed) <
           LIMIT_INFLATE_SHARE / SLAB_BLOCK_BYTES / 2;
}

bool inflater_begin(struct inflater *inflater, enum inflate_framing framing)
{
    memset(inflater, 0, sizeof(*inflater));
    inflater->state_block = take_block();
    inflater->literals_block = inflater->state_block == 0 ? 0 : take_block();
    if (inflater->literals_block == 0) {
        inflater_end(inflater);
        return false;
    }
    inflate_init(slab_address(inflater->state_block), slab_address(inflater->literals_block),
                 framing);
    return true;
}

void inflater_end(struct inflater *inflater)
{
    give_block(&inflater->state_block);
    give_block(&inflater->literals_block);
    for (uint32_t i = 0; i < inflater->page_count; i++) {
        give_block(&inflater->pages[i]);
    }
    inflater->page_count = 0;
}

static bool lend_page(struct inflater *inflater)
{
    uint32_t block = take_block();
    if (block == 0) {
        return false;
    }
    inflater->pages[inflater->page_count++] = block;
    inflate_lend_page(slab_address(inflater->state_block), slab_address(block));
    return true;
}

enum inflater_event inflater_next(struct inflater *inflater, struct slice *in, struct slice *out)
{
    struct inflate *reader = slab_address(inflater->state_block);
    for (;;) {
        switch (inflate_next(reader, in, out)) {
        case INFLATE_NEED_MORE:
            return INFLATER_NEED_MORE;
        case INFLATE_NEED_PAGE:
            if (!lend_page(inflater)) {
                return INFLATER_NO_MEMORY;
            }
            break;
        case INFLATE_DATA:
            inflater->text_bytes += (uint32_t)out->size;
            return inflater->text_bytes <= LIMIT_INFLATE_TEXT ? INFLATER_DATA : INFLATER_TOO_LONG;
        case INFLATE_LOST:
        default:
            return INFLATER_LOST;
        }
    }
}

void inflater_next_text(struct inflater *inflater, bool forgets)
{
    inflater->text_bytes = 0;
    if (forgets) {
        inflate_forget(slab_address(inflater->state_block));
    }
}
