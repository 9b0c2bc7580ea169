#include "handoff/segment.h"

#include <errno.h>

#include "base/compiler.h"

/* A head and the beginning of its text. */
#define PREFETCHED_BYTES 256u
/* The rings may run this far ahead of the drainer before it is woken early: a quarter of the slots,
   so that a burst finds room while the drainer gets up. All of them are looked at, but only with
   every so many records of one. */
#define BACKLOG_DIVISOR 4u
#define BACKLOG_STRIDE  32u
/* Places of the segment that are looked at where a thread's own one is taken. */
#define SLOT_PARTS 16u
/* A place claimed but not written for so long belongs to a thread that died in between (a stopped
   process is not dead): it is stepped over. Its record is found when the process ends. */
#define STUCK_NS UINT64_C(60000000000)

size_t segment_size(uint32_t slot_count)
{
    return sizeof(struct segment) + (size_t)slot_count * sizeof(struct record);
}

void segment_initialize(struct segment *segment, uint32_t slot_count, int32_t process_id,
                        struct segment_clock clock)
{
    segment->magic = SEGMENT_MAGIC;
    segment->version = SEGMENT_VERSION;
    segment->slot_count = slot_count;
    segment->size = segment_size(slot_count);
    segment->process_id = process_id;
    segment->process_start_ns = clock.monotonic_ns;
    segment->clock = clock;
}

/* ---- application threads ---- */

/* The compiler would make one string instruction of it, which takes longer to start than this. */
static inline void clear_head(struct record *record)
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    const pair zero = {0, 0};
    uint8_t *bytes = (uint8_t *)record;
#pragma GCC unroll 12
    for (size_t i = 0; i < RECORD_HEAD_BYTES / sizeof(zero); i++) {
        memcpy(bytes + i * sizeof(zero), &zero, sizeof(zero));
    }
    memcpy(bytes + RECORD_HEAD_BYTES - sizeof(zero), &zero, sizeof(zero));
}

/* The record that is taken next was last read by the drainer, on another processor: its lines are
   on their way here when they are needed. */
static inline void prefetch_record(const struct record *record)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < PREFETCHED_BYTES; i += 64) {
        __builtin_prefetch((const uint8_t *)record + i, 1);
    }
}

static inline uint16_t claim_within(struct segment *segment, uint32_t *cursor, uint32_t probes)
{
    uint32_t mask = segment->slot_count - 1;
    uint32_t at = *cursor;
    for (uint32_t probe = 0; probe < probes; probe++, at++) {
        uint32_t slot = at & mask;
        uint8_t state = atomic_load_explicit(&segment->states[slot], memory_order_relaxed);
        /* acquire pairs with the drainer's release of the slot: its reads of the record are over */
        if (state == SLOT_FREE &&
            atomic_compare_exchange_strong_explicit(&segment->states[slot], &state, SLOT_CLAIMED,
                                                    memory_order_acquire, memory_order_relaxed)) {
            *cursor = at + 1;
            clear_head(&segment->records[slot]);
            prefetch_record(&segment->records[(at + 1) & mask]);
            return (uint16_t)slot;
        }
    }
    *cursor = at;
    return SEGMENT_NO_SLOT;
}

/* What was written lately lies together: who stands in it looks a little everywhere. */
static SLOW uint16_t claim_elsewhere(struct segment *segment, uint32_t *cursor)
{
    uint32_t begin = *cursor;
    uint16_t slot = SEGMENT_NO_SLOT;
    for (uint32_t part = 0; part < SLOT_PARTS && slot == SEGMENT_NO_SLOT; part++) {
        *cursor = begin + segment->slot_count / SLOT_PARTS * part;
        slot = claim_within(segment, cursor, LIMIT_SLOT_PROBES / SLOT_PARTS);
    }
    return slot;
}

static inline uint16_t claim(struct segment *segment, uint32_t *cursor)
{
    uint16_t slot = claim_within(segment, cursor, LIMIT_SLOT_PROBES);
    return likely(slot != SEGMENT_NO_SLOT) ? slot : claim_elsewhere(segment, cursor);
}

uint16_t segment_claim(struct segment *segment, uint32_t *cursor)
{
    uint16_t slot = claim(segment, cursor);
    if (unlikely(slot == SEGMENT_NO_SLOT)) {
        segment_count_loss(segment, LOSS_SEGMENT_FULL, 1);
    }
    return slot;
}

uint16_t segment_try_claim(struct segment *segment, uint32_t *cursor)
{
    return claim(segment, cursor);
}

static uint32_t place_value(uint32_t position, uint16_t slot)
{
    uint32_t lap = position / LIMIT_SEGMENT_SLOTS % SEGMENT_LAPS;
    return (lap + 1) << 16 | slot;
}

uint32_t segment_backlog(struct segment *segment)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < LIMIT_SEGMENT_RINGS; i++) {
        waiting += atomic_load_explicit(&segment->rings[i].tail, memory_order_relaxed) -
                   atomic_load_explicit(&segment->rings[i].drained, memory_order_relaxed);
    }
    return waiting;
}

void segment_complete(struct segment *segment, struct doorbell *doorbell, uint16_t slot,
                      uint32_t ring_number)
{
    struct segment_ring *ring = &segment->rings[ring_number % LIMIT_SEGMENT_RINGS];
    /* pairs with the acquire in take_slot */
    atomic_store_explicit(&segment->states[slot], SLOT_DONE, memory_order_release);
    /* seq_cst: ordered before the load of `asleep`; pairs with the drainer, which announces its
       sleep before it looks at the tails. */
    uint32_t position = atomic_fetch_add_explicit(&ring->tail, 1, memory_order_seq_cst);
    /* pairs with the acquire in segment_reader_next */
    atomic_store_explicit(&ring->places[position % LIMIT_SEGMENT_SLOTS],
                          place_value(position, slot), memory_order_release);

    uint32_t asleep = atomic_load_explicit(&doorbell->asleep, memory_order_seq_cst);
    if (likely(asleep == DRAINER_AWAKE)) {
        return;
    }
    if (asleep == DRAINER_IDLE ||
        (position % BACKLOG_STRIDE == 0 &&
         segment_backlog(segment) > segment->slot_count / BACKLOG_DIVISOR)) {
        doorbell_wake(doorbell);
    }
}

/* ---- the drainer ---- */

int segment_reader_init(struct segment_reader *reader, struct segment *segment, size_t mapped_size)
{
    if (mapped_size < sizeof(struct segment)) {
        return -EINVAL;
    }
    uint32_t slot_count = segment->slot_count;
    if (segment->magic != SEGMENT_MAGIC || segment->version != SEGMENT_VERSION || slot_count == 0 ||
        slot_count > LIMIT_SEGMENT_SLOTS || (slot_count & (slot_count - 1)) != 0 ||
        segment_size(slot_count) > mapped_size) {
        return -EINVAL;
    }
    *reader = (struct segment_reader){.segment = segment, .slot_count = slot_count};
    for (uint32_t number = 0; number < LIMIT_SEGMENT_RINGS; number++) {
        struct segment_ring *ring = &segment->rings[number];
        uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        uint32_t drained = atomic_load_explicit(&ring->drained, memory_order_relaxed);
        /* Nobody can be further behind than a ring has places, or ahead. */
        bool is_sane = tail - drained <= LIMIT_SEGMENT_SLOTS;
        reader->head[number] = is_sane ? drained : tail;
    }
    return 0;
}

/* Copies a DONE slot's record out and frees the slot. */
static bool take_slot(struct segment_reader *reader, uint32_t slot, struct record *copy)
{
    struct segment *segment = reader->segment;
    if (slot >= reader->slot_count ||
        atomic_load_explicit(&segment->states[slot], memory_order_acquire) != SLOT_DONE) {
        segment_count_loss(segment, LOSS_RECORD_INVALID, 1);
        return false;
    }
    memcpy(copy, &segment->records[slot], sizeof(*copy));
    /* pairs with the acquire in segment_claim */
    atomic_store_explicit(&segment->states[slot], SLOT_FREE, memory_order_release);
    if (!record_is_valid(copy) || copy->end_ns == 0) {
        segment_count_loss(segment, LOSS_RECORD_INVALID, 1);
        return false;
    }
    return true;
}

static void set_head(struct segment_reader *reader, uint32_t number, uint32_t head)
{
    reader->head[number] = head;
    reader->stuck_since_ns[number] = 0;
    atomic_store_explicit(&reader->segment->rings[number].drained, head, memory_order_relaxed);
}

/* The slot at the ring's head, if it is written. */
static bool peek_place(struct segment_reader *reader, uint32_t number, uint32_t *slot)
{
    struct segment_ring *ring = &reader->segment->rings[number];
    uint32_t position = reader->head[number];
    uint32_t value =
        atomic_load_explicit(&ring->places[position % LIMIT_SEGMENT_SLOTS], memory_order_acquire);
    if (value >> 16 == place_value(position, 0) >> 16) {
        *slot = value & UINT16_MAX;
        return true;
    }
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == position) {
        return false;
    }
    if (reader->stuck_since_ns[number] == 0) {
        reader->stuck_since_ns[number] = reader->now_ns;
    } else if (reader->now_ns - reader->stuck_since_ns[number] > STUCK_NS) {
        set_head(reader, number, position + 1);
    }
    return false;
}

static bool next_of_ring(struct segment_reader *reader, uint32_t number, struct record *copy)
{
    uint32_t slot;
    while (peek_place(reader, number, &slot)) {
        set_head(reader, number, reader->head[number] + 1);
        if (take_slot(reader, slot, copy)) {
            return true;
        }
    }
    return false;
}

bool segment_reader_next(struct segment_reader *reader, struct record *copy)
{
    for (uint32_t tried = 0; tried < LIMIT_SEGMENT_RINGS; tried++) {
        if (next_of_ring(reader, reader->next_ring, copy)) {
            return true;
        }
        reader->next_ring = (reader->next_ring + 1) % LIMIT_SEGMENT_RINGS;
    }
    return false;
}

bool segment_reader_next_remaining(struct segment_reader *reader, uint32_t *position,
                                   uint64_t end_ns, int32_t cause, struct record *copy)
{
    struct segment *segment = reader->segment;
    for (; *position < reader->slot_count; (*position)++) {
        uint32_t slot = *position;
        uint8_t state = atomic_load_explicit(&segment->states[slot], memory_order_acquire);
        if (state == SLOT_FREE) {
            continue;
        }
        memcpy(copy, &segment->records[slot], sizeof(*copy));
        atomic_store_explicit(&segment->states[slot], SLOT_FREE, memory_order_release);
        if (state == SLOT_OPEN && !(copy->is_parked && copy->end_ns != 0)) {
            copy->end_ns = end_ns > copy->start_ns ? end_ns : copy->start_ns;
            copy->error = RECORD_ERROR_ABORTED;
            copy->system_error = cause;
        }
        if (state == SLOT_CLAIMED || state > SLOT_DONE || !record_is_valid(copy) ||
            copy->end_ns == 0) {
            segment_count_loss(segment, LOSS_RECORD_INVALID, 1);
            continue;
        }
        (*position)++;
        return true;
    }
    return false;
}

bool segment_reader_next_open(const struct segment_reader *reader, uint32_t *position,
                              uint8_t trace_id[16])
{
    struct segment *segment = reader->segment;
    while (*position < reader->slot_count) {
        uint32_t slot = (*position)++;
        uint8_t state = atomic_load_explicit(&segment->states[slot], memory_order_acquire);
        if (state == SLOT_OPEN || state == SLOT_DONE) {
            memcpy(trace_id, segment->records[slot].trace_id, 16);
            return true;
        }
    }
    return false;
}

bool segment_reader_has_backlog(const struct segment_reader *reader)
{
    for (uint32_t number = 0; number < LIMIT_SEGMENT_RINGS; number++) {
        if (atomic_load_explicit(&reader->segment->rings[number].tail, memory_order_seq_cst) !=
            reader->head[number]) {
            return true;
        }
    }
    return false;
}
