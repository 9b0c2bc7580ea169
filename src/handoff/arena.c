#include "handoff/arena.h"

#define PAGE_BYTES 4096u

static size_t whole_pages(size_t size)
{
    return (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

size_t arena_header_size(void)
{
    return whole_pages(sizeof(struct arena));
}

size_t arena_segment_bytes(void)
{
    return whole_pages(segment_size(LIMIT_ARENA_SLOTS));
}

size_t arena_size(uint32_t place_count)
{
    return arena_header_size() + place_count * arena_segment_bytes();
}

void arena_initialize(struct arena *arena, uint32_t place_count)
{
    arena->magic = ARENA_MAGIC;
    arena->version = ARENA_VERSION;
    arena->place_count = place_count;
    arena->segment_bytes = arena_segment_bytes();
    arena->size = arena_size(place_count);
}

bool arena_is_valid(const struct arena *arena, size_t mapped_size)
{
    return mapped_size >= arena_header_size() && arena->magic == ARENA_MAGIC &&
           arena->version == ARENA_VERSION && arena->place_count >= 1 &&
           arena->place_count <= LIMIT_ARENA_PLACES &&
           arena->segment_bytes == arena_segment_bytes();
}

struct segment *arena_segment(struct arena *mapping, uint32_t place)
{
    return (struct segment *)(void *)((uint8_t *)mapping + arena_header_size() +
                                      place * arena_segment_bytes());
}

uint32_t arena_claim(struct arena *mapping, uint32_t place_count,
                     const struct arena_claimant *claimant, struct segment_clock clock)
{
    for (uint32_t number = 0; number < place_count && number < LIMIT_ARENA_PLACES; number++) {
        struct arena_place *place = &mapping->places[number];
        uint32_t free = PLACE_FREE;
        /* acquire pairs with the drainer's release: the segment's memory is zero again */
        if (atomic_load_explicit(&place->state, memory_order_relaxed) == PLACE_FREE &&
            atomic_compare_exchange_strong_explicit(&place->state, &free, PLACE_CLAIMED,
                                                    memory_order_acquire, memory_order_relaxed)) {
            place->process_id = claimant->process_id;
            place->namespace_id = claimant->namespace_id;
            place->claimed_ns = claimant->boottime_ns;
            atomic_store_explicit(&place->mark, 0, memory_order_relaxed);
            segment_initialize(arena_segment(mapping, number), LIMIT_ARENA_SLOTS,
                               claimant->process_id, clock);
            return number;
        }
    }
    return ARENA_NONE;
}

void arena_publish(struct arena *mapping, uint32_t place, struct doorbell *doorbell)
{
    atomic_store_explicit(&mapping->places[place].state, PLACE_TAKEN, memory_order_release);
    /* seq_cst: before the look at the doorbell, as for a completed record */
    atomic_fetch_add_explicit(&mapping->claims, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&doorbell->asleep, memory_order_seq_cst) != DRAINER_AWAKE) {
        doorbell_wake(doorbell);
    }
}

void arena_write_environment(struct arena *mapping, const char *text, size_t size)
{
    if (size > 0 && size <= LIMIT_ENVIRONMENT_BYTES &&
        atomic_load_explicit(&mapping->environment_size, memory_order_relaxed) == 0) {
        memcpy(mapping->environment, text, size);
        atomic_store_explicit(&mapping->environment_size, (uint32_t)size, memory_order_release);
    }
}
