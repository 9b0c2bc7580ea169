#include "app_thread/job_table.h"

#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/table_lock.h"

#define WORD_BITS 64u
#define WORDS     (LIMIT_JOBS / WORD_BITS)

_Static_assert(LIMIT_JOBS % WORD_BITS == 0, "a bit for each place");
_Static_assert(LIMIT_JOBS < UINT16_MAX,
               "a place's number has 16 bits, and one stands for the ends");

/* The places stand in a ring, the one that was touched last before `ENDS`, the next to be forgotten
   behind it. */
#define ENDS LIMIT_JOBS

struct neighbours {
    uint16_t before;
    uint16_t after;
};

struct job_table {
    _Atomic uint32_t lock; /* the epoch of the process that holds it; 0: nobody */
    _Atomic uint32_t awaited;
    uint32_t ordered_in; /* the epoch of the process that made the ring */
    uint64_t open[WORDS];
    uint64_t keys[LIMIT_JOBS]; /* of each job's identity without the time; 0: free */
    struct neighbours ring[LIMIT_JOBS + 1];
    struct job jobs[LIMIT_JOBS];
    _Atomic uint32_t ends[LIMIT_JOBS];
};

static struct job_table jobs_table;

bool job_table_lock(void)
{
    if (table_lock_take(&jobs_table.lock)) {
        return true;
    }
    exchange_count_loss(LOSS_ABANDONED);
    return false;
}

void job_table_unlock(void)
{
    table_lock_give(&jobs_table.lock);
}

static uint32_t number_of(const struct job *job)
{
    return (uint32_t)(job - jobs_table.jobs);
}

struct job *job_table_find(uint64_t key)
{
    for (uint32_t i = 0; i < LIMIT_JOBS; i++) {
        if (jobs_table.keys[i] == key) {
            return &jobs_table.jobs[i];
        }
    }
    return NULL;
}

uint64_t job_table_key(const struct job *job)
{
    return jobs_table.keys[number_of(job)];
}

_Atomic uint32_t *job_table_ends(const struct job *job)
{
    return &jobs_table.ends[number_of(job)];
}

/* ---- order ---- */

/* The first place is the first to be taken. A forked child begins anew: a thread of its parent's
   may have been about it. */
static void order_places(void)
{
    for (uint32_t i = 0; i <= LIMIT_JOBS; i++) {
        jobs_table.ring[i].before = (uint16_t)(i == 0 ? ENDS : i - 1);
        jobs_table.ring[i].after = (uint16_t)(i == ENDS ? 0 : i + 1);
    }
    jobs_table.ordered_in = attachment_epoch();
}

void job_table_touch(struct job *job)
{
    struct neighbours *ring = jobs_table.ring;
    uint16_t number = (uint16_t)number_of(job);
    ring[ring[number].before].after = ring[number].after;
    ring[ring[number].after].before = ring[number].before;
    ring[number] = (struct neighbours){ring[ENDS].before, ENDS};
    ring[ring[ENDS].before].after = number;
    ring[ENDS].before = number;
}

/* A free place, or that of the job of which nothing was told for longest. */
static struct job *oldest_place(void)
{
    for (uint32_t i = jobs_table.ring[ENDS].after; i != ENDS; i = jobs_table.ring[i].after) {
        struct job *job = &jobs_table.jobs[i];
        if (jobs_table.keys[i] == 0 || (!job_table_is_in_work(job) && !job->is_awaited)) {
            return job;
        }
    }
    return NULL;
}

struct job *job_table_place(uint64_t key)
{
    if (unlikely(jobs_table.ordered_in != attachment_epoch())) {
        order_places();
    }
    struct job *place = job_table_find(key);
    place = place != NULL ? place : oldest_place();
    if (place == NULL) {
        return NULL;
    }
    if (job_table_key(place) != key) {
        place->is_derived = false;
        place->is_carried = false;
        place->is_submitted = false;
        place->was_submitted = false;
        place->was_claimed = false;
        place->attempt = 0;
        place->left = 0;
        memset(place->save_id, 0, sizeof place->save_id);
        jobs_table.keys[number_of(place)] = key;
    }
    job_table_touch(place);
    job_table_close(place);
    place->epoch = attachment_epoch();
    return place;
}

/* ---- records ---- */

void job_table_open(struct job *job, uint16_t slot)
{
    uint32_t number = number_of(job);
    job->slot = slot;
    if (slot != SEGMENT_NO_SLOT) {
        jobs_table.open[number / WORD_BITS] |= (uint64_t)1 << number % WORD_BITS;
    }
}

void job_table_close(struct job *job)
{
    uint32_t number = number_of(job);
    job->slot = SEGMENT_NO_SLOT;
    job->is_awaited = false;
    jobs_table.open[number / WORD_BITS] &= ~((uint64_t)1 << number % WORD_BITS);
}

struct job *job_table_next_open(const struct job *after)
{
    uint32_t from = after != NULL ? number_of(after) + 1 : 0;
    while (from < LIMIT_JOBS) {
        uint64_t left = jobs_table.open[from / WORD_BITS] >> from % WORD_BITS;
        if (left != 0) {
            return &jobs_table.jobs[from + (uint32_t)__builtin_ctzll(left)];
        }
        from = (from / WORD_BITS + 1) * WORD_BITS;
    }
    return NULL;
}

bool job_table_is_in_work(const struct job *job)
{
    return job->slot != SEGMENT_NO_SLOT && job->epoch == attachment_epoch() && !job->is_awaited;
}

uint32_t job_table_awaited(void)
{
    return atomic_load_explicit(&jobs_table.awaited, memory_order_relaxed);
}

void job_table_set_awaited(uint32_t count)
{
    atomic_store_explicit(&jobs_table.awaited, count, memory_order_relaxed);
}
