#include "app_thread/candidates.h"

#include <stdatomic.h>
#include <string.h>

#include "app_thread/trace_context.h"
#include "base/limits.h"

struct candidate {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

struct place {
    _Atomic uint32_t version; /* odd while it is written */
    uint32_t epoch;           /* 0: never used */
    uint32_t ring;            /* the thread's number */
    uint32_t answered;        /* `*answers` when the request was read: another value ends it */
    const _Atomic uint32_t *answers;
    struct candidate candidate;
};

static struct place candidates_places[LIMIT_CANDIDATE_PLACES];
static _Atomic uint32_t candidates_next;

static uint32_t count_open(void)
{
    return atomic_load_explicit(&attachment->sole.open, memory_order_relaxed);
}

void candidates_note(const struct thread_state *self, const struct thread_context *work)
{
    if (attachment == NULL || count_open() > LIMIT_CANDIDATES) {
        return;
    }
    uint32_t number = atomic_fetch_add_explicit(&candidates_next, 1, memory_order_relaxed);
    struct place *place = &candidates_places[number % LIMIT_CANDIDATE_PLACES];
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed);
    if ((version & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&place->version, &version, version + 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return; /* somebody else is at it, that many requests later */
    }
    atomic_thread_fence(memory_order_release); /* pairs with the fence in look */
    place->epoch = self->random_epoch;
    place->ring = self->ring;
    place->answers = work->answers;
    place->answered = work->answered;
    memcpy(place->candidate.trace_id, work->trace_id, sizeof(work->trace_id));
    memcpy(place->candidate.span_id, work->span_id, sizeof(work->span_id));
    /* release: pairs with the acquire in look */
    atomic_store_explicit(&place->version, version + 2, memory_order_release);
}

/* Copies a place of this process whose request is open. */
static bool look(const struct place *place, struct place *copy)
{
    uint32_t version = atomic_load_explicit(&place->version, memory_order_acquire);
    copy->epoch = place->epoch;
    copy->ring = place->ring;
    copy->answers = place->answers;
    copy->answered = place->answered;
    copy->candidate = place->candidate;
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in candidates_note */
    return (version & 1) == 0 &&
           atomic_load_explicit(&place->version, memory_order_relaxed) == version &&
           copy->epoch != 0 && attachment_is_of_process(copy->epoch) &&
           atomic_load_explicit(copy->answers, memory_order_relaxed) == copy->answered;
}

static bool has(const struct candidate *found, uint32_t count, const struct candidate *candidate)
{
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(found[i].span_id, candidate->span_id, sizeof(candidate->span_id)) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_open(const struct thread_state *self, struct record *record, uint32_t open)
{
    struct candidate found[LIMIT_CANDIDATES];
    uint32_t count = 0;
    uint32_t all = 0;
    uint32_t next = atomic_load_explicit(&candidates_next, memory_order_relaxed);
    if (!self->runs_a_loop && trace_context_is_current(&self->context)) {
        const struct thread_context *work = &self->context; /* which was not believed */
        memcpy(found[0].trace_id, work->trace_id, sizeof(found[0].trace_id));
        memcpy(found[0].span_id, work->span_id, sizeof(found[0].span_id));
        count = 1;
    }
    for (uint32_t i = 1; i <= LIMIT_CANDIDATE_PLACES && all < open; i++) {
        struct place place;
        if (!look(&candidates_places[(next - i) % LIMIT_CANDIDATE_PLACES], &place)) {
            continue;
        }
        all++;
        if (place.ring == self->ring && count < LIMIT_CANDIDATES &&
            !has(found, count, &place.candidate)) {
            found[count++] = place.candidate;
        }
    }
    if (self->runs_a_loop && all < open) {
        return; /* one that was not noted may be the cause: what is left would mislead */
    }
    for (uint32_t i = 0; i < count; i++) {
        record_add_candidate(record, found[i].trace_id, found[i].span_id);
    }
}

/* A child that goes on for long may work for anybody: its first exchanges have the candidate. */
static void tell_inherited(struct thread_state *self, struct record *record)
{
    struct child_cause *cause = &self->child;
    if (cause->is_ambient || cause->links == LIMIT_CANDIDATES ||
        atomic_load_explicit(&attachment->sole.begun, memory_order_relaxed) != 0) {
        cause->is_known = false;
        return;
    }
    cause->links++;
    record_add_candidate(record, cause->trace_id, cause->span_id);
}

SLOW void candidates_tell(struct thread_state *self, struct record *record)
{
    uint32_t open = count_open();
    if (record->parent_source != PARENT_NONE) {
        return;
    }
    if (self->child.is_known) {
        tell_inherited(self, record);
    } else if (open != 0 && open <= LIMIT_CANDIDATES) {
        tell_open(self, record, open);
    }
}
