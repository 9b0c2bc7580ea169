#include "app_thread/transaction.h"

#include "app_thread/exchange.h"
#include "app_thread/jobs.h"
#include "base/compiler.h"
#include "wire/redis_command.h"

struct queued {
    uint32_t capture; /* slab buffer */
    uint32_t position;
    uint16_t slot;
    bool has_failed;
    bool is_null;
};

#define QUEUED_PER_BLOCK ((SLAB_BLOCK_BYTES - 32u) / sizeof(struct queued))

/* One buffer of the chain; what is about all of it counts in the first one. */
struct transaction {
    uint32_t next;
    uint16_t used;
    uint16_t begun_slot; /* of MULTI */
    uint32_t last;
    uint32_t commands; /* that were queued, kept or not */
    uint32_t kept;
    uint32_t position; /* of the element at hand in EXEC's answer */
    uint32_t reading;  /* the buffer with the first one whose element is not over yet */
    uint32_t reading_at;
    struct queued queued[QUEUED_PER_BLOCK];
};

_Static_assert(sizeof(struct transaction) <= SLAB_BLOCK_BYTES, "one buffer");

static struct transaction *transaction_of(uint32_t block)
{
    return slab_address(block);
}

static void park(uint16_t slot, uint64_t now)
{
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        record->end_ns = now > record->start_ns ? now : record->start_ns;
        record->is_parked = true;
    }
}

static void hand_over(struct thread_state *self, uint16_t slot, bool stays)
{
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        record->is_parked = false;
    }
    if (stays) {
        exchange_complete(self, slot, 0, RECORD_OK, 0);
    } else {
        exchange_cancel(slot);
    }
}

bool transaction_begin(struct connection *connection, uint16_t slot, uint64_t now)
{
    uint32_t block = connection->redis.transaction_block != 0 ? 0 : slab_take(SLAB_BUFFER);
    if (block == 0) {
        return false;
    }
    struct transaction *first = transaction_of(block);
    first->last = block;
    first->reading = block;
    first->begun_slot = slot;
    connection->redis.transaction_block = block;
    park(slot, now);
    return true;
}

/* NULL: there is no room to be had. */
static struct transaction *block_with_room(struct transaction *first)
{
    struct transaction *last = transaction_of(first->last);
    if (last->used < QUEUED_PER_BLOCK) {
        return last;
    }
    uint32_t block = slab_take(SLAB_BUFFER);
    if (block == 0) {
        return NULL;
    }
    last->next = block;
    first->last = block;
    return transaction_of(block);
}

bool transaction_keep(struct connection *connection, struct pairing_entry entry, uint64_t now)
{
    if (connection->redis.transaction_block == 0) {
        return false;
    }
    struct transaction *first = transaction_of(connection->redis.transaction_block);
    uint32_t position = first->commands++;
    if (entry.effect != REDIS_JOB || first->kept >= LIMIT_QUEUED_JOBS) {
        return false;
    }
    struct transaction *block = block_with_room(first);
    if (block == NULL) {
        return false;
    }
    block->queued[block->used++] =
        (struct queued){.capture = entry.value, .position = position, .slot = entry.slot};
    first->kept++;
    park(entry.slot, now);
    return true;
}

/* The kept command whose element is at hand, or NULL. Elements come in the commands' order. */
static struct queued *at_hand(struct transaction *first)
{
    for (;;) {
        struct transaction *block = transaction_of(first->reading);
        if (first->reading_at == block->used) {
            if (block->next == 0) {
                return NULL;
            }
            first->reading = block->next;
            first->reading_at = 0;
            continue;
        }
        struct queued *queued = &block->queued[first->reading_at];
        if (queued->position >= first->position) {
            return queued->position == first->position ? queued : NULL;
        }
        first->reading_at++;
    }
}

static void note_failure(struct queued *queued, struct slice text)
{
    struct record *record = exchange_record(queued->slot);
    queued->has_failed = true;
    if (record != NULL) {
        record->error = RECORD_ERROR_REPLY;
        record_add_field(record, FIELD_ERROR_PREFIX, redis_error_prefix(text), LIMIT_RULE_VALUE);
    }
}

void transaction_item(struct connection *connection, const struct resp_item *item)
{
    if (item->depth == 0 || connection->redis.transaction_block == 0) {
        return;
    }
    struct transaction *first = transaction_of(connection->redis.transaction_block);
    struct resp_item own = *item;
    own.depth--;
    if (own.depth == 0) {
        first->position = item->index;
        own.index = 0;
    }
    struct queued *queued = at_hand(first);
    if (queued == NULL) {
        return;
    }
    if (own.depth == 0) {
        queued->is_null = item->null;
        if (item->first && (item->type == '-' || item->type == '!')) {
            note_failure(queued, item->bytes);
        }
    }
    jobs_answer_item(queued->capture, &own);
}

/* True if it stays a span. */
static bool end_queued(struct passage *passage, const struct queued *queued, bool has_happened)
{
    struct record *record = exchange_record(queued->slot);
    bool stays = true;
    if (has_happened) {
        if (record != NULL && queued->is_null) {
            record->flags |= RECORD_FLAG_NULL_REPLY;
        }
        stays = jobs_answered(passage, record, queued->capture, queued->has_failed);
    } else {
        slab_give(SLAB_BUFFER, queued->capture);
    }
    hand_over(passage->self, queued->slot, stays);
    return stays;
}

bool transaction_end(struct passage *passage, bool has_happened)
{
    uint32_t block = passage->connection->redis.transaction_block;
    if (block == 0) {
        return true;
    }
    uint16_t begun_slot = transaction_of(block)->begun_slot;
    uint32_t left = transaction_of(block)->commands;
    bool stays = left == 0;
    passage->connection->redis.transaction_block = 0;
    while (block != 0) {
        struct transaction *transaction = transaction_of(block);
        uint32_t next = transaction->next;
        for (uint32_t i = 0; i < transaction->used; i++) {
            left -= !end_queued(passage, &transaction->queued[i], has_happened);
        }
        slab_give(SLAB_BUFFER, block);
        block = next;
    }
    stays |= left > 0;
    hand_over(passage->self, begun_slot, stays);
    return stays;
}

void transaction_break(struct thread_state *self, struct connection *connection)
{
    uint32_t block = connection->redis.transaction_block;
    if (block != 0) {
        hand_over(self, transaction_of(block)->begun_slot, true);
    }
    while (block != 0) {
        const struct transaction *transaction = transaction_of(block);
        for (uint32_t i = 0; i < transaction->used; i++) {
            hand_over(self, transaction->queued[i].slot, true);
        }
        block = transaction->next;
    }
    transaction_forget(connection);
}

void transaction_forget(struct connection *connection)
{
    uint32_t block = connection->redis.transaction_block;
    connection->redis.transaction_block = 0;
    while (block != 0) {
        const struct transaction *transaction = transaction_of(block);
        uint32_t next = transaction->next;
        for (uint32_t i = 0; i < transaction->used; i++) {
            slab_give(SLAB_BUFFER, transaction->queued[i].capture);
        }
        slab_give(SLAB_BUFFER, block);
        block = next;
    }
}
