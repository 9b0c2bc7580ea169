#include "app_thread/tls_insertion.h"

#include <string.h>

#include "app_thread/readable.h"
#include "base/compiler.h"

/* A place's word: how often it was claimed, and its state in the last bits. Who claims it must name
   the whole word, so that it is still what was looked at. */
enum place_state { PLACE_FREE, PLACE_IN_USE, PLACE_KEPT, PLACE_STATES };

/* Apart from what they hold, so that looking for one touches little. */
struct place {
    _Atomic uintptr_t session;      /* whose, while kept */
    _Atomic uint32_t connection[2]; /* its block and generation */
    _Atomic uint32_t word;
};

static struct place tls_insertion_places[LIMIT_TLS_INSERTIONS];
static struct tls_insertion tls_insertions[LIMIT_TLS_INSERTIONS];
_Atomic uint32_t tls_insertions_kept;

static bool claim(struct place *place, uint32_t word)
{
    uint32_t claimed = (word / PLACE_STATES + 1) * PLACE_STATES + PLACE_IN_USE;
    return atomic_compare_exchange_strong_explicit(&place->word, &word, claimed,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* What its holder wrote is there for the next one: release pairs with the acquire in claim and in
   who looks at a kept one. */
static void leave(const struct tls_insertion *insertion, enum place_state state)
{
    struct place *place = &tls_insertion_places[insertion - tls_insertions];
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    atomic_store_explicit(&place->word, word - word % PLACE_STATES + state, memory_order_release);
}

static struct tls_insertion *take_free(void)
{
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        struct place *place = &tls_insertion_places[i];
        uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
        if (word % PLACE_STATES == PLACE_FREE && claim(place, word)) {
            return &tls_insertions[i];
        }
    }
    return NULL;
}

/* Whose it is. */
static void set_owner(struct tls_insertion *insertion, const struct touch *touch,
                      const uint8_t random[TLS_RANDOM_BYTES])
{
    struct place *place = &tls_insertion_places[insertion - tls_insertions];
    atomic_store_explicit(&place->connection[0], touch->connection->block, memory_order_relaxed);
    atomic_store_explicit(&place->connection[1], touch->generation, memory_order_relaxed);
    memcpy(insertion->random, random, TLS_RANDOM_BYTES);
}

static bool is_gone(const struct place *place)
{
    uint32_t block = atomic_load_explicit(&place->connection[0], memory_order_relaxed);
    const struct connection *connection = slab_address(block);
    return atomic_load_explicit(&connection->generation, memory_order_relaxed) !=
           atomic_load_explicit(&place->connection[1], memory_order_relaxed);
}

SLOW void tls_insertion_forget_gone(void)
{
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        struct place *place = &tls_insertion_places[i];
        uint32_t word = atomic_load_explicit(&place->word, memory_order_acquire);
        if (word % PLACE_STATES == PLACE_KEPT && is_gone(place) && claim(place, word)) {
            atomic_fetch_sub_explicit(&tls_insertions_kept, 1, memory_order_relaxed);
            leave(&tls_insertions[i], PLACE_FREE);
        }
    }
}

SLOW struct tls_insertion *tls_insertion_begin(const struct touch *touch,
                                               const uint8_t random[TLS_RANDOM_BYTES],
                                               struct injection *injection, struct slice bytes,
                                               bool takes_records)
{
    struct tls_insertion *insertion = take_free();
    if (insertion == NULL) {
        return NULL;
    }
    struct iovec whole = iovec_of(bytes.data, bytes.size);
    struct iovec longer[INJECT_PARTS];
    uint8_t field[INJECT_FIELD_BYTES];
    size_t parts = inject_build(injection, &whole, 1, field, longer);
    uint32_t fields = INJECT_FIELD_BYTES + (uint32_t)injection->state.size;
    /* As few records as without us; as many of the program's bytes where it is told of each. */
    uint32_t most = takes_records ? TLS_RECORD_BYTES : TLS_RECORD_BYTES - fields;
    most = most > injection->at ? most : injection->at;
    insertion->given = bytes.data;
    insertion->at = injection->at;
    insertion->own = bytes.size < most ? (uint32_t)bytes.size : most;
    longer[parts - 1].iov_len = insertion->own - insertion->at;
    insertion->size = 0;
    for (size_t i = 0; i < parts; i++) {
        memcpy(insertion->bytes + insertion->size, longer[i].iov_base, longer[i].iov_len);
        insertion->size += (uint32_t)longer[i].iov_len;
    }
    inject_copied(injection);
    insertion->sent = 0;
    insertion->was_kept = false;
    insertion->is_copy = false;
    insertion->names_span = true;
    insertion->identity = injection->preview.plan.identity;
    /* Of the thread that plans, which may be another one than sends. */
    insertion->identity.work = NULL;
    set_owner(insertion, touch, random);
    return insertion;
}

static struct tls_insertion *take_copy(struct slice first, struct slice second)
{
    struct tls_insertion *copy = take_free();
    if (copy != NULL) {
        memcpy(copy->bytes, first.data, first.size);
        memcpy(copy->bytes + first.size, second.data, second.size);
        copy->own = (uint32_t)(first.size + second.size);
        copy->is_copy = true;
        copy->names_span = false;
    }
    return copy;
}

SLOW struct tls_insertion *tls_insertion_copy(const struct touch *touch,
                                              const uint8_t random[TLS_RANDOM_BYTES],
                                              struct slice bytes)
{
    if (atomic_load_explicit(&tls_insertions_kept, memory_order_relaxed) >=
        LIMIT_TLS_INSERTIONS / 2) {
        return NULL;
    }
    bytes.size = bytes.size < TLS_RECORD_BYTES ? bytes.size : TLS_RECORD_BYTES;
    struct tls_insertion *copy = take_copy(bytes, slice_of(bytes.data, 0));
    if (copy != NULL) {
        set_owner(copy, touch, random);
    }
    return copy;
}

SLOW struct tls_insertion *tls_insertion_copy_own(const struct tls_insertion *insertion)
{
    uint32_t rest = insertion->own - insertion->at;
    return take_copy(slice_of(insertion->bytes, insertion->at),
                     slice_of(insertion->bytes + insertion->size - rest, rest));
}

bool tls_insertion_is_kept(const void *session)
{
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        struct place *place = &tls_insertion_places[i];
        if (atomic_load_explicit(&place->session, memory_order_relaxed) == (uintptr_t)session &&
            atomic_load_explicit(&place->word, memory_order_relaxed) % PLACE_STATES == PLACE_KEPT) {
            return true;
        }
    }
    return false;
}

struct tls_insertion *tls_insertion_take(const void *session,
                                         const uint8_t random[TLS_RANDOM_BYTES])
{
    struct tls_insertion *found = NULL;
    for (uint32_t i = 0; i < LIMIT_TLS_INSERTIONS; i++) {
        struct place *place = &tls_insertion_places[i];
        uint32_t word = atomic_load_explicit(&place->word, memory_order_acquire);
        if (word % PLACE_STATES != PLACE_KEPT ||
            atomic_load_explicit(&place->session, memory_order_relaxed) != (uintptr_t)session ||
            !claim(place, word)) {
            continue;
        }
        atomic_fetch_sub_explicit(&tls_insertions_kept, 1, memory_order_relaxed);
        if (memcmp(tls_insertions[i].random, random, TLS_RANDOM_BYTES) == 0) {
            found = &tls_insertions[i];
        } else {
            leave(&tls_insertions[i], PLACE_FREE);
        }
    }
    return found;
}

void tls_insertion_keep(struct tls_insertion *insertion, const void *session)
{
    struct place *place = &tls_insertion_places[insertion - tls_insertions];
    insertion->was_kept = true;
    atomic_store_explicit(&place->session, (uintptr_t)session, memory_order_relaxed);
    atomic_fetch_add_explicit(&tls_insertions_kept, 1, memory_order_relaxed);
    leave(insertion, PLACE_KEPT);
}

void tls_insertion_end(struct tls_insertion *insertion)
{
    leave(insertion, PLACE_FREE);
}

void tls_insertion_cut(struct tls_insertion *insertion, size_t size)
{
    if (size >= insertion->at && size < insertion->own) {
        insertion->size -= insertion->own - (uint32_t)size;
        insertion->own = (uint32_t)size;
    }
}
