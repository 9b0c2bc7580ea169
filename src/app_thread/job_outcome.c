#include "app_thread/job_outcome.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "app_thread/job_record.h"
#include "base/system_call.h"

_Static_assert(JOB_END_COUNT <= 8, "an end has three bits");

/* Places that are tried for one job. */
#define OUTCOME_TRIES 16u

struct outcome {
    _Atomic uint64_t key;   /* 0: free */
    _Atomic uint64_t value; /* nanoseconds << 3 | enum job_end; 0: none yet */
    _Atomic uint32_t attempt;
    _Atomic uint64_t started_ns; /* since 1970 UTC, by the queue's own record; 0: not known */
    /* What went wrong, written before the value: sizes and texts. */
    uint16_t sizes[3];
    uint8_t error_type[64];
    uint8_t error[LIMIT_RULE_VALUE];
    uint8_t stack[LIMIT_RULE_STACK];
    _Atomic uint32_t version; /* odd while the ids are written; 2 more with each attempt and end */
    uint64_t began_ns;
    uint8_t trace_id[16]; /* of the attempt's span */
    uint8_t span_id[8];
    uint8_t trace_flags;
};

struct outcomes {
    _Atomic uint32_t telling; /* queues of which an end was seen, a bit each */
    struct outcome places[LIMIT_JOBS];
};

static struct outcomes *jobs_outcomes;

void job_outcome_configure(void)
{
    if (jobs_outcomes == NULL) {
        long address = raw_system_call(SYS_mmap, 0, sizeof(struct outcomes), PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        jobs_outcomes = address < 0 && address > -4096 ? NULL : (struct outcomes *)address;
    }
}

static struct outcome *find_outcome(uint64_t key)
{
    for (uint32_t i = 0; jobs_outcomes != NULL && i < OUTCOME_TRIES; i++) {
        struct outcome *place = &jobs_outcomes->places[(key + i) % LIMIT_JOBS];
        if (atomic_load_explicit(&place->key, memory_order_acquire) == key) {
            return place;
        }
    }
    return NULL;
}

static void tell_claimed(struct outcome *place, const struct record *record)
{
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed);
    atomic_store_explicit(&place->version, version | 1, memory_order_relaxed);
    atomic_thread_fence(
        memory_order_release); /* pairs with the fence in job_outcome_read_claimed */
    place->began_ns = record->start_ns;
    memcpy(place->trace_id, record->trace_id, sizeof place->trace_id);
    memcpy(place->span_id, record->span_id, sizeof place->span_id);
    place->trace_flags = record->trace_flags;
    /* release: pairs with the acquire in job_outcome_read_claimed */
    atomic_store_explicit(&place->version, (version | 1) + 1, memory_order_release);
}

static void end_attempt(struct outcome *place)
{
    atomic_fetch_add_explicit(&place->version, 2, memory_order_relaxed);
}

void job_outcome_prepare(uint64_t key, const struct record *record)
{
    for (uint32_t i = 0; jobs_outcomes != NULL && i < OUTCOME_TRIES; i++) {
        struct outcome *place = &jobs_outcomes->places[(key + i) % LIMIT_JOBS];
        uint64_t none = 0;
        if (atomic_compare_exchange_strong_explicit(&place->key, &none, key, memory_order_acq_rel,
                                                    memory_order_acquire) ||
            none == key) {
            atomic_store_explicit(&place->attempt, record->job.attempt, memory_order_relaxed);
            atomic_store_explicit(&place->started_ns, 0, memory_order_relaxed);
            memset(place->sizes, 0, sizeof place->sizes);
            atomic_store_explicit(&place->value, 0, memory_order_relaxed);
            tell_claimed(place, record);
            return;
        }
    }
}

static void add_word(struct record *record, enum field_tag tag, const uint8_t *text, size_t size)
{
    if (record_find_field(record, tag).data == NULL) {
        job_record_fact(record, tag, slice_of(text, size));
    }
}

/* The sizes are of shared memory: no more than there is room for. */
static void read_words(struct record *record, const struct outcome *place)
{
    const size_t room[3] = {sizeof place->error_type, sizeof place->error, sizeof place->stack};
    size_t sizes[3];
    for (uint32_t i = 0; i < 3; i++) {
        size_t size = __atomic_load_n(&place->sizes[i], __ATOMIC_RELAXED);
        sizes[i] = size < room[i] ? size : room[i];
    }
    add_word(record, FIELD_JOB_ERROR_TYPE, place->error_type, sizes[0]);
    add_word(record, FIELD_JOB_ERROR, place->error, sizes[1]);
    add_word(record, FIELD_JOB_STACK, place->stack, sizes[2]);
}

uint64_t job_outcome_take(uint64_t key, struct record *record)
{
    struct outcome *place = find_outcome(key);
    if (place == NULL) {
        return 0;
    }
    /* acquire: pairs with the release in job_outcome_tell */
    uint64_t told = atomic_load_explicit(&place->value, memory_order_acquire);
    if (told != 0 && record != NULL) {
        read_words(record, place);
    }
    uint64_t started_ns = atomic_load_explicit(&place->started_ns, memory_order_relaxed);
    if (record != NULL && started_ns != 0) {
        record->job.started_ns = started_ns;
    }
    end_attempt(place);
    atomic_store_explicit(&place->key, 0, memory_order_release);
    return told;
}

bool job_outcome_is_told(uint64_t key)
{
    struct outcome *place = find_outcome(key);
    return place != NULL && atomic_load_explicit(&place->value, memory_order_relaxed) != 0;
}

bool job_outcome_is_awaited(uint64_t key)
{
    struct outcome *place = find_outcome(key);
    return place != NULL && atomic_load_explicit(&place->value, memory_order_relaxed) == 0;
}

static void write_words(struct outcome *place, const struct rule_facts *facts)
{
    const struct slice words[3] = {facts->values[RULE_ERROR_TYPE], facts->values[RULE_ERROR],
                                   facts->values[RULE_STACK]};
    const size_t room[3] = {sizeof place->error_type, sizeof place->error, sizeof place->stack};
    uint8_t *const texts[3] = {place->error_type, place->error, place->stack};
    for (uint32_t i = 0; i < 3; i++) {
        size_t size = words[i].size < room[i] ? words[i].size : room[i];
        if (size > 0) {
            memcpy(texts[i], words[i].data, size);
            place->sizes[i] = (uint16_t)size;
        }
    }
}

void job_outcome_tell(uint64_t key, enum job_end end, uint32_t attempt, uint64_t now,
                      const struct rule_facts *facts)
{
    struct outcome *place = find_outcome(key);
    if (place == NULL ||
        (attempt != 0 && atomic_load_explicit(&place->attempt, memory_order_relaxed) != attempt)) {
        return;
    }
    write_words(place, facts);
    /* release: pairs with the acquire in job_outcome_take */
    atomic_store_explicit(&place->value, now << 3 | (uint64_t)end, memory_order_release);
    end_attempt(place);
}

void job_outcome_tell_words(uint64_t key, const struct rule_facts *facts)
{
    struct outcome *place = find_outcome(key);
    if (place != NULL) {
        write_words(place, facts);
    }
}

void job_outcome_tell_start(uint64_t key, uint64_t started_ns)
{
    struct outcome *place = find_outcome(key);
    if (place != NULL) {
        atomic_store_explicit(&place->started_ns, started_ns, memory_order_relaxed);
    }
}

bool job_outcome_tells_ends(uint8_t queue)
{
    return jobs_outcomes != NULL &&
           (atomic_load_explicit(&jobs_outcomes->telling, memory_order_relaxed) >> queue & 1) != 0;
}

void job_outcome_note_end(uint8_t queue)
{
    if (jobs_outcomes != NULL && !job_outcome_tells_ends(queue)) {
        atomic_fetch_or_explicit(&jobs_outcomes->telling, 1u << queue, memory_order_relaxed);
    }
}

bool job_outcome_read_claimed(uint64_t key, struct thread_context *work)
{
    struct outcome *place = find_outcome(key);
    if (place == NULL) {
        return false;
    }
    uint32_t version = atomic_load_explicit(&place->version, memory_order_acquire);
    *work = (struct thread_context){.trace_flags = place->trace_flags,
                                    .is_known = true,
                                    .is_of_job = true,
                                    .answered = version,
                                    .began_ns = place->began_ns,
                                    .answers = &place->version};
    memcpy(work->trace_id, place->trace_id, sizeof work->trace_id);
    memcpy(work->span_id, place->span_id, sizeof work->span_id);
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in tell_claimed */
    return (version & 1) == 0 && atomic_load_explicit(&place->value, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&place->version, memory_order_relaxed) == version;
}
