#include "app_thread/polls.h"

#include <stdatomic.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/table_lock.h"
#include "base/hash.h"
#include "base/limits.h"

struct poll {
    uint64_t key; /* of its trace and target; 0: free */
    uint64_t order;
    uint64_t start_ns;
    uint8_t trace_id[16];
    uint32_t epoch;
    uint32_t attempts;
    uint32_t failures;
    uint16_t slot; /* none: the record was handed over while it was the only one */
};

struct poll_table {
    _Atomic uint32_t lock;  /* the epoch of the process that holds it; 0: nobody */
    _Atomic uint32_t count; /* of polls, at most: 0 is none */
    uint64_t next_order;
    struct poll polls[LIMIT_POLLS];
};

static struct poll_table polls_table;

/* ---- the table ---- */

static uint64_t key_of(const uint8_t trace_id[16], struct slice target)
{
    uint64_t key = hash_bytes(hash_bytes(HASH_BEGIN, slice_of(trace_id, 16)), target);
    return key != 0 ? key : 1;
}

static struct poll *find_poll(uint64_t key)
{
    for (uint32_t i = 0; i < LIMIT_POLLS; i++) {
        struct poll *poll = &polls_table.polls[i];
        if (poll->key == key && poll->epoch == attachment_epoch()) {
            return poll;
        }
    }
    return NULL;
}

static struct record *record_of(const struct poll *poll)
{
    return poll->key != 0 && poll->epoch == attachment_epoch() ? exchange_record(poll->slot) : NULL;
}

/* Its record is handed over. */
static void settle(struct thread_state *self, struct poll *poll)
{
    struct record *record = record_of(poll);
    if (record != NULL) {
        record->is_parked = false;
        exchange_complete(self, poll->slot, record->end_ns, RECORD_OK, 0);
    }
    poll->slot = SEGMENT_NO_SLOT;
}

/* The one that was quiet for longest makes room. */
static struct poll *place_poll(struct thread_state *self, uint64_t key, uint64_t now)
{
    struct poll *place = &polls_table.polls[0];
    for (uint32_t i = 0; i < LIMIT_POLLS; i++) {
        struct poll *poll = &polls_table.polls[i];
        const struct record *record = record_of(poll);
        if (record != NULL && poll->attempts == 1 && now > record->end_ns + LIMIT_POLL_NS) {
            settle(self, poll);
        }
        bool is_free = poll->key == 0 || poll->epoch != attachment_epoch();
        bool is_older = place->key != 0 && poll->order < place->order;
        place = is_free || is_older ? poll : place;
        if (is_free) {
            break;
        }
    }
    settle(self, place);
    *place = (struct poll){
        .key = key,
        .order = ++polls_table.next_order,
        .epoch = attachment_epoch(),
        .slot = SEGMENT_NO_SLOT,
    };
    return place;
}

/* ---- requests ---- */

void polls_name(struct trace_identity *identity, struct slice method, struct slice target)
{
    if (atomic_load_explicit(&polls_table.count, memory_order_relaxed) == 0 ||
        !slice_equals(method, SLICE("GET")) || !table_lock_take(&polls_table.lock)) {
        return;
    }
    const struct poll *poll = find_poll(key_of(identity->trace_id, target));
    const struct record *record = poll != NULL ? record_of(poll) : NULL;
    if (record != NULL) {
        memcpy(identity->span_id, record->span_id, sizeof identity->span_id);
    }
    table_lock_give(&polls_table.lock);
}

/* What may be the question how far something is. */
static bool is_question(const struct record *record)
{
    return slice_equals(record_find_field(record, FIELD_METHOD), SLICE("GET")) &&
           record->error == RECORD_OK && record->http.status >= 200 && record->http.status < 500 &&
           record->http.store == STORE_NONE && (record->flags & RECORD_FLAG_UPGRADED) == 0 &&
           record->http.response_body_bytes <= LIMIT_POLL_BODY &&
           (record->parent_source == PARENT_CAUSAL || record->parent_source == PARENT_CONTENT);
}

static bool is_same(const struct record *a, const struct record *b)
{
    return memcmp(a->parent_span_id, b->parent_span_id, sizeof a->parent_span_id) == 0 &&
           slice_equals(record_find_field(a, FIELD_HOST), record_find_field(b, FIELD_HOST));
}

static void tell(struct record *record, const struct poll *poll, uint64_t last_ns)
{
    const struct poll_numbers numbers = {
        .last_ns = last_ns, .attempts = poll->attempts, .failures = poll->failures};
    record_drop_field(record, FIELD_POLL);
    record_add_field(record, FIELD_POLL, slice_of(&numbers, sizeof numbers), sizeof numbers);
}

/* The first one's place and beginning, the last one's answer. */
static void take_answer(struct record *first, const struct record *last)
{
    first->http = last->http;
    first->reply_ns = last->reply_ns;
    first->end_ns = last->end_ns;
    first->peer = last->peer;
    first->local = last->local;
    first->text_used = last->text_used;
    memcpy(first->text, last->text, sizeof first->text);
}

static bool count(struct poll *poll, uint16_t slot, struct record *record)
{
    struct record *first = record_of(poll);
    uint64_t last_ns = record->start_ns;
    poll->order = ++polls_table.next_order;
    if (first != NULL && !is_same(first, record)) {
        return false;
    }
    poll->attempts++;
    if (first != NULL) {
        take_answer(first, record);
        exchange_cancel(slot);
    } else {
        first = record;
        first->is_parked = true;
        poll->slot = slot;
    }
    if (poll->attempts > 1) {
        tell(first, poll, last_ns);
    }
    return true;
}

static bool take_locked(struct thread_state *self, uint16_t slot, struct record *record)
{
    uint64_t key = key_of(record->trace_id, record_find_field(record, FIELD_TARGET));
    struct poll *poll = find_poll(key);
    bool is_taken = false;
    if (!is_question(record)) {
        if (poll != NULL) {
            poll->failures++;
        }
    } else {
        if (poll == NULL) {
            poll = place_poll(self, key, record->end_ns);
            memcpy(poll->trace_id, record->trace_id, sizeof poll->trace_id);
            atomic_fetch_add_explicit(&polls_table.count, 1, memory_order_relaxed);
        }
        is_taken = count(poll, slot, record);
    }
    const struct record *first = poll != NULL && !is_taken ? record_of(poll) : NULL;
    if (first != NULL && memcmp(first->span_id, record->span_id, sizeof first->span_id) == 0) {
        /* It was to be counted, and is a span by itself after all. */
        trace_context_draw(self, record->span_id);
    }
    return is_taken;
}

bool polls_take(struct thread_state *self, uint16_t slot, struct record *record)
{
    bool is_get = slice_equals(record_find_field(record, FIELD_METHOD), SLICE("GET"));
    if (!is_get || self->transfers.is_under_way || !table_lock_take(&polls_table.lock)) {
        return false;
    }
    bool is_taken = take_locked(self, slot, record);
    table_lock_give(&polls_table.lock);
    return is_taken;
}

void polls_end(struct thread_state *self, const uint8_t *trace_id)
{
    if (atomic_load_explicit(&polls_table.count, memory_order_relaxed) == 0 ||
        !table_lock_take(&polls_table.lock)) {
        return;
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < LIMIT_POLLS; i++) {
        struct poll *poll = &polls_table.polls[i];
        bool is_ours = poll->key != 0 && poll->epoch == attachment_epoch();
        if (is_ours && trace_id != NULL && memcmp(poll->trace_id, trace_id, 16) != 0) {
            left++;
            continue;
        }
        settle(self, poll);
        poll->key = 0;
    }
    atomic_store_explicit(&polls_table.count, left, memory_order_relaxed);
    table_lock_give(&polls_table.lock);
}
