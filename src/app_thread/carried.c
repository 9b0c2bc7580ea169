#include "app_thread/carried.h"

#include <stdatomic.h>
#include <string.h>

#include "app_thread/exchange.h"
#include "app_thread/slab.h"
#include "wire/tracestate.h"

#define BAGGAGE_BLOCKS (LIMIT_BAGGAGE / SLAB_BLOCK_BYTES)
/* One more than requests can have: what the process was started with. */
#define PLACES   (LIMIT_CARRIED + 1u)
#define FOR_GOOD LIMIT_CARRIED
/* Places looked at for one that nobody reads or writes just now. */
#define TRIES 8u

struct place {
    /* Counts twice each time that it is taken; odd: it is being written. */
    _Atomic uint32_t version;
    _Atomic uint32_t pins; /* who reads it */
    uint32_t state_block;  /* slab buffers, which stay the place's */
    uint32_t baggage_blocks[BAGGAGE_BLOCKS];
    uint16_t baggage_size;
    uint8_t baggage_members;
    bool was_cut;
};

static struct place carried_places[PLACES];
static _Atomic uint32_t carried_next;

_Static_assert(sizeof(struct tracestate) <= SLAB_BLOCK_BYTES, "a buffer");
_Static_assert(BAGGAGE_BLOCKS *SLAB_BLOCK_BYTES == LIMIT_BAGGAGE, "whole buffers");

/* ---- places ---- */

static uint32_t name_of(uint32_t index, uint32_t version)
{
    return version / 2 % (UINT32_MAX / PLACES) * PLACES + index + 1;
}

static struct place *place_of(uint32_t carried)
{
    return &carried_places[(carried - 1) % PLACES];
}

static struct tracestate *state_of(const struct place *place)
{
    return slab_address(place->state_block);
}

static bool take(uint32_t index)
{
    struct place *place = &carried_places[index];
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed);
    if ((version & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&place->version, &version, version + 1,
                                                 memory_order_seq_cst, memory_order_relaxed)) {
        return false;
    }
    /* seq_cst, as in pin(): either we see the reader's pin, or it sees that the place is taken. */
    if (place->state_block == 0) {
        place->state_block = slab_take(SLAB_BUFFER);
    }
    if (atomic_load_explicit(&place->pins, memory_order_seq_cst) != 0 || place->state_block == 0) {
        atomic_store_explicit(&place->version, version, memory_order_release);
        return false;
    }
    tracestate_begin(state_of(place));
    place->baggage_size = 0;
    place->baggage_members = 0;
    place->was_cut = false;
    return true;
}

static bool pin(uint32_t carried)
{
    struct place *place = place_of(carried);
    atomic_fetch_add_explicit(&place->pins, 1, memory_order_seq_cst);
    uint32_t version = atomic_load_explicit(&place->version, memory_order_seq_cst);
    if ((version & 1) == 0 && name_of((carried - 1) % PLACES, version) == carried) {
        return true;
    }
    carried_unpin(carried);
    return false;
}

void carried_unpin(uint32_t carried)
{
    atomic_fetch_sub_explicit(&place_of(carried)->pins, 1, memory_order_release);
}

/* ---- writing ---- */

uint16_t carried_begin(void)
{
    for (uint32_t i = 0; i < TRIES; i++) {
        uint32_t index =
            atomic_fetch_add_explicit(&carried_next, 1, memory_order_relaxed) % LIMIT_CARRIED;
        if (take(index)) {
            return (uint16_t)(index + 1);
        }
    }
    exchange_count_loss(LOSS_CONTEXT_CUT);
    return 0;
}

void carried_add_tracestate(uint16_t number, struct slice value)
{
    tracestate_add(state_of(&carried_places[number - 1]), value);
}

void carried_add_cut_tracestate(uint16_t number, struct slice value)
{
    struct tracestate *state = state_of(&carried_places[number - 1]);
    while (value.size > 0 && value.data[value.size - 1] != ',') {
        value.size--;
    }
    tracestate_add(state, value);
    state->is_full = true;
    state->was_cut = true;
}

static bool append(struct place *place, struct slice bytes)
{
    while (bytes.size > 0) {
        uint32_t *block = &place->baggage_blocks[place->baggage_size / SLAB_BLOCK_BYTES];
        size_t at = place->baggage_size % SLAB_BLOCK_BYTES;
        size_t room = SLAB_BLOCK_BYTES - at;
        if (*block == 0 && (*block = slab_take(SLAB_BUFFER)) == 0) {
            return false;
        }
        struct slice part = slice_take(&bytes, bytes.size < room ? bytes.size : room);
        memcpy((uint8_t *)slab_address(*block) + at, part.data, part.size);
        place->baggage_size = (uint16_t)(place->baggage_size + part.size);
    }
    return true;
}

void carried_add_baggage(uint16_t number, struct slice value)
{
    struct place *place = &carried_places[number - 1];
    struct slice member;
    while (!place->was_cut && baggage_next(&value, &member)) {
        uint16_t before = place->baggage_size;
        size_t comma = before > 0 ? 1 : 0;
        place->was_cut = place->baggage_members == LIMIT_BAGGAGE_MEMBERS ||
                         before + comma + member.size > LIMIT_BAGGAGE ||
                         !append(place, slice_of(",", comma)) || !append(place, member);
        if (place->was_cut) {
            place->baggage_size = before;
        } else {
            place->baggage_members++;
        }
    }
}

void carried_cut(uint16_t number)
{
    carried_places[number - 1].was_cut = true;
}

uint32_t carried_end(uint16_t number, bool has_parent)
{
    struct place *place = &carried_places[number - 1];
    struct tracestate *state = state_of(place);
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed) + 1;
    if (!has_parent) {
        tracestate_begin(state);
    }
    if (place->was_cut || state->was_cut) {
        exchange_count_loss(LOSS_CONTEXT_CUT);
    }
    bool is_any = tracestate_end(state).size > 0 || place->baggage_size > 0;
    /* release: pairs with the load in pin() */
    atomic_store_explicit(&place->version, version, memory_order_release);
    return is_any ? name_of(number - 1u, version) : 0;
}

uint32_t carried_for_good(struct slice tracestate, struct slice baggage)
{
    if ((tracestate.size == 0 && baggage.size == 0) || !take(FOR_GOOD)) {
        return 0;
    }
    carried_add_tracestate(FOR_GOOD + 1, tracestate);
    carried_add_baggage(FOR_GOOD + 1, baggage);
    return carried_end(FOR_GOOD + 1, true);
}

/* ---- reading ---- */

void carried_tell(struct record *record, uint32_t carried)
{
    if (!pin(carried)) {
        return;
    }
    struct slice text = tracestate_text(state_of(place_of(carried)));
    struct slice shown = tracestate_cut(text, LIMIT_TRACESTATE_TEXT);
    if (shown.size < text.size) {
        record->flags |= RECORD_FLAG_TEXT_CUT;
    }
    if (shown.size > 0 &&
        record->text_used + RECORD_FIELD_HEAD_BYTES + shown.size <= RECORD_TEXT_BYTES) {
        record_add_field(record, FIELD_TRACESTATE, shown, LIMIT_TRACESTATE_TEXT);
    }
    carried_unpin(carried);
}

struct slice carried_pin_line(uint32_t carried)
{
    if (carried == 0 || !pin(carried)) {
        return slice_of(NULL, 0);
    }
    const struct tracestate *state = state_of(place_of(carried));
    struct slice text = tracestate_text(state);
    if (text.size == 0) {
        carried_unpin(carried);
        return slice_of(NULL, 0);
    }
    return slice_of(state->line, TRACESTATE_NAME_BYTES + text.size + 2);
}

size_t carried_copy_tracestate(uint32_t carried, uint8_t *to, size_t room)
{
    if (carried == 0 || !pin(carried)) {
        return 0;
    }
    struct slice text = tracestate_text(state_of(place_of(carried)));
    size_t size = text.size <= room ? text.size : 0;
    memcpy(to, text.data, size);
    carried_unpin(carried);
    return size;
}

size_t carried_copy_baggage(uint32_t carried, uint8_t *to, size_t room)
{
    if (carried == 0 || !pin(carried)) {
        return 0;
    }
    const struct place *place = place_of(carried);
    size_t size = place->baggage_size <= room ? place->baggage_size : 0;
    for (size_t at = 0; at < size; at += SLAB_BLOCK_BYTES) {
        size_t part = size - at < SLAB_BLOCK_BYTES ? size - at : SLAB_BLOCK_BYTES;
        memcpy(to + at, slab_address(place->baggage_blocks[at / SLAB_BLOCK_BYTES]), part);
    }
    carried_unpin(carried);
    return size;
}
