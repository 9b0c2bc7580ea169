/*
 * The segment: the only memory that the application's side and the worker side share.
 *
 * Records live in slots. A slot's state goes
 *
 *     FREE -> CLAIMED -> OPEN -> DONE -> FREE
 *
 * CLAIMED by compare-and-swap (any application thread), OPEN once the record can be read, DONE once
 * it is complete; the drainer alone makes it FREE again. A completed slot's number goes into one of
 * a few rings, in order of completion. A ring has as many places as the segment has slots, so it
 * cannot overflow. A slot killed half-written stays CLAIMED and is counted by the drainer.
 *
 * Who with whom
 *   states[i]        FREE->CLAIMED, ->OPEN, ->DONE: application threads (the claimer owns it)
 *                    DONE->FREE: drainer. release/acquire on every step.
 *   records[i]       owner of the slot until DONE, then the drainer until FREE.
 *   rings[r].tail    application threads (fetch_add).
 *   rings[r].places  application threads, release; pairs with the drainer's acquire.
 *   rings[r].drained drainer; application threads read it, relaxed, only to judge the backlog, and
 *                    the next drainer, to begin where the one before it ended.
 *   losses[]         application threads, relaxed; the drainer reads.
 *   clock            drainer writes (seqlock), drainer reads.
 *   doorbell         both; see doorbell.h. Segments with one drainer share one.
 *
 * No function here takes a lock, allocates or makes a system call, but for the futex wake of a
 * doorbell that somebody sleeps on, and segment_initialize.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "handoff/doorbell.h"
#include "handoff/losses.h"
#include "handoff/record.h"

#define SEGMENT_MAGIC   0x6e61707365726977ull /* "wirespan" */
#define SEGMENT_VERSION 1u
#define SEGMENT_NO_SLOT UINT16_MAX
/* A place that was written so many laps ago would be taken for one of this lap. */
#define SEGMENT_LAPS 32768u

enum slot_state { SLOT_FREE = 0, SLOT_CLAIMED = 1, SLOT_OPEN = 2, SLOT_DONE = 3 };

struct segment_clock {
    uint64_t realtime_ns;
    uint64_t monotonic_ns;
};

struct segment_ring {
    _Atomic uint32_t tail;
    _Atomic uint32_t drained;
    uint8_t padding[56];
    /* (lap + 1) << 16 | slot, lap = position / LIMIT_SEGMENT_SLOTS modulo SEGMENT_LAPS. */
    _Atomic uint32_t places[LIMIT_SEGMENT_SLOTS];
};

struct segment {
    uint64_t magic;
    uint32_t version;
    uint32_t slot_count; /* a power of two, at most LIMIT_SEGMENT_SLOTS */
    uint64_t size;
    int32_t process_id;
    uint32_t reserved;
    uint64_t process_start_ns; /* monotonic, when the segment was taken into use */
    struct segment_clock clock;
    struct doorbell doorbell; /* used where the segment is the only one of its drainer */
    _Atomic uint32_t open_exchanges_hint;
    _Atomic uint32_t witness; /* diagnosis only: enum witness_state */
    _Atomic uint64_t losses[LOSS_COUNT];
    _Atomic uint64_t completed; /* diagnosis only: records ever completed, by ring 0's drainer */
    _Alignas(64) struct segment_ring rings[LIMIT_SEGMENT_RINGS];
    _Alignas(64) _Atomic uint8_t states[LIMIT_SEGMENT_SLOTS];
    _Alignas(64) struct record records[]; /* slot_count of them */
};

/* The bytes of a segment with that many slots. */
size_t segment_size(uint32_t slot_count);

/* Lays out a zeroed mapping of segment_size(slot_count) bytes. */
void segment_initialize(struct segment *segment, uint32_t slot_count, int32_t process_id,
                        struct segment_clock clock);

/* ---- application threads: async-signal-safe, wait-free ---- */

/* Claims a free slot, searching from `*cursor`, which it moves on. Returns SEGMENT_NO_SLOT and
   counts LOSS_SEGMENT_FULL if LIMIT_SLOT_PROBES slots in a row are taken. The record's head is
   zeroed; the slot stays CLAIMED until segment_open. */
uint16_t segment_claim(struct segment *segment, uint32_t *cursor);
/* The same for an exchange that will be claimed for again if there is none now: counts nothing. */
uint16_t segment_try_claim(struct segment *segment, uint32_t *cursor);

static inline struct record *segment_record(struct segment *segment, uint16_t slot)
{
    return &segment->records[slot];
}

/* The record can now be read by others: were the process to die, it would be ended as aborted. */
static inline void segment_open(struct segment *segment, uint16_t slot)
{
    /* pairs with the drainer's acquire in drain_remains */
    atomic_store_explicit(&segment->states[slot], SLOT_OPEN, memory_order_release);
}

/* Gives a slot back unused: the exchange turned out not to have begun. */
static inline void segment_cancel(struct segment *segment, uint16_t slot)
{
    atomic_store_explicit(&segment->states[slot], SLOT_FREE, memory_order_release);
}

/* Completes the slot and puts it into ring `ring` (modulo their number). Wakes the drainer by
   `doorbell` if it says that it sleeps and this completion is what it waits for. */
void segment_complete(struct segment *segment, struct doorbell *doorbell, uint16_t slot,
                      uint32_t ring);

/* How many records wait in all rings, more or less: others write meanwhile. */
uint32_t segment_backlog(struct segment *segment);

static inline void segment_count_loss(struct segment *segment, enum loss loss, uint64_t count)
{
    atomic_fetch_add_explicit(&segment->losses[loss], count, memory_order_relaxed);
}

/* ---- the drainer ---- */

/* The drainer's own memory of where it is; nothing in the segment is trusted for it. */
struct segment_reader {
    struct segment *segment;
    uint32_t slot_count; /* validated copy */
    uint32_t head[LIMIT_SEGMENT_RINGS];
    uint32_t next_ring;
    uint64_t now_ns; /* the drainer keeps it current; 0: places are waited for without end */
    uint64_t stuck_since_ns[LIMIT_SEGMENT_RINGS]; /* a claimed, unwritten place was first seen */
};

/* Checks magic, version, size and slot count against `mapped_size`. Begins where a drainer before
   this one ended. Returns 0 or -EINVAL. */
int segment_reader_init(struct segment_reader *reader, struct segment *segment, size_t mapped_size);

/* Copies the next completed record and frees its slot. Returns false if there is none now. Records
   that do not hold together are counted (LOSS_RECORD_INVALID) and skipped. */
bool segment_reader_next(struct segment_reader *reader, struct record *copy);

/* After the process ended: first every DONE record that was in no ring, then every OPEN one, ended
   as RECORD_ERROR_ABORTED at `end_ns` with `cause` (record_abort_cause). `*position` starts at 0.
   Half-written ones are counted. */
bool segment_reader_next_remaining(struct segment_reader *reader, uint32_t *position,
                                   uint64_t end_ns, int32_t cause, struct record *copy);

/* The trace of the next exchange that is open, or complete and not taken yet; `*position` starts at
   0. The process writes on meanwhile: an id may be of no use, but is never waited for. */
bool segment_reader_next_open(const struct segment_reader *reader, uint32_t *position,
                              uint8_t trace_id[16]);

/* Whether a ring holds more than was taken. To be asked after the announcement that the drainer
   sleeps, so that no completion is slept over. */
bool segment_reader_has_backlog(const struct segment_reader *reader);
