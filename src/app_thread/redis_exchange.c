#include "app_thread/redis_exchange.h"

#include <string.h>

#include "app_thread/exchange.h"
#include "app_thread/jobs.h"
#include "app_thread/trace_context.h"
#include "app_thread/transaction.h"
#include "handoff/segment.h"
#include "wire/redis_command.h"

static struct direction *direction_of(struct passage *passage)
{
    return &passage->connection->directions[passage->direction];
}

static struct redis_command *command_of(struct connection *connection)
{
    return slab_address(connection->redis.command_block);
}

/* The stream position of the next byte of `in`, which is the rest of what passes. */
static uint64_t position(const struct direction *direction, const struct slice *whole,
                         const struct slice *in)
{
    return direction->bytes + (whole->size - in->size);
}

void redis_exchange_start(struct connection *connection)
{
    uint32_t block = connection->redis.command_block;
    uint32_t job_block = connection->redis.job_block;
    transaction_forget(connection);
    connection->redis = (struct redis_session){
        .reply_mode = REDIS_REPLY_ON,
        .version = 2,
        .database = connection->protocol == PROTOCOL_ADRIFT ? -1 : 0,
        .command_block = block != 0 ? block : slab_take(SLAB_BUFFER),
        .job_block = job_block,
    };
}

/* ---- commands ---- */

static void begin_command(struct passage *passage, uint64_t at)
{
    struct connection *connection = passage->connection;
    struct direction *requests = direction_of(passage);
    requests->current_slot = SEGMENT_NO_SLOT;
    connection->redis.command_start = at;
    requests->current_slot =
        exchange_begin(passage->self, connection, RECORD_REDIS_CLIENT, passage->now);
}

/* Once for each command, in the call that its first byte is in. */
static SLOW void ask_for_bytes(struct passage *passage)
{
    trace_context_ask_for_bytes(exchange_record(direction_of(passage)->current_slot),
                                passage->connection, passage->now);
}

/* Its name and first argument are known now. */
static SLOW void ask_for_command(struct passage *passage, struct slice first)
{
    const struct redis_command *command = command_of(passage->connection);
    trace_context_ask_for_command(exchange_record(direction_of(passage)->current_slot),
                                  passage->connection, slice_of(command->name, command->name_used),
                                  first, passage->now);
}

/* All of it is known, and no answer is needed where it is about a job that is in work here. */
static SLOW void ask_for_whole(struct passage *passage, const struct redis_command *command,
                               struct slice first)
{
    if (command->effect == REDIS_JOB && jobs_ends_known(passage->connection)) {
        trace_context_pass_over(passage->now);
        return;
    }
    ask_for_bytes(passage);
    ask_for_command(passage, first);
}

static void fill_command(struct record *record, const struct redis_command *command)
{
    record->redis.argument_count = command->arguments;
    if (command->blocking) {
        record->flags |= RECORD_FLAG_BLOCKING;
    }
    if (command->text_cut) {
        record->flags |= RECORD_FLAG_TEXT_CUT;
    }
    record_add_field(record, FIELD_COMMAND, slice_of(command->name, command->name_used),
                     sizeof(command->name));
    record_add_field(record, FIELD_QUERY_TEXT, slice_of(command->text, command->text_used),
                     sizeof(command->text));
    if (command->has_script) {
        record_add_field(record, FIELD_SCRIPT, slice_of(command->script, command->script_used),
                         sizeof(command->script));
        record->redis.script_keys = command->number > 0 ? (uint32_t)command->number : 0;
    }
}

static void finish_unanswered(struct passage *passage, uint16_t slot)
{
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        record->flags |= RECORD_FLAG_NO_REPLY;
        record->redis.database = passage->connection->redis.database;
        record->redis.protocol = passage->connection->redis.version;
    }
    exchange_complete(passage->self, slot, passage_end_ns(passage), RECORD_OK, 0);
}

/* CLIENT REPLY in a transaction is queued: when it takes effect, and for which answers, is not
   known here. */
static bool loses_count(struct redis_session *session, enum redis_effect effect)
{
    if (effect == REDIS_MULTI) {
        session->sends_transaction = true;
    } else if (effect == REDIS_EXEC || effect == REDIS_DISCARD || effect == REDIS_RESET) {
        session->sends_transaction = false;
    }
    return session->sends_transaction &&
           (effect == REDIS_REPLY_ON || effect == REDIS_REPLY_OFF || effect == REDIS_REPLY_SKIP);
}

/* Whether the command will be answered; follows CLIENT REPLY. */
static bool expects_answer(struct redis_session *session, enum redis_effect effect)
{
    if (effect == REDIS_REPLY_ON) {
        session->reply_mode = REDIS_REPLY_ON;
        session->skips_next = false;
        return true;
    }
    if (effect == REDIS_REPLY_OFF) {
        session->reply_mode = REDIS_REPLY_OFF;
        return false;
    }
    if (effect == REDIS_RESET) {
        session->reply_mode = REDIS_REPLY_ON;
        session->skips_next = false;
        return true;
    }
    if (session->reply_mode == REDIS_REPLY_OFF) {
        /* Confirmations of subscriptions are pushes and still come. */
        return effect == REDIS_SUBSCRIBE || effect == REDIS_UNSUBSCRIBE;
    }
    if (effect == REDIS_REPLY_SKIP) {
        session->skips_next = true;
        return false;
    }
    if (session->skips_next) {
        session->skips_next = false;
        return false;
    }
    return true;
}

static bool is_subscription(uint8_t effect)
{
    return effect == REDIS_SUBSCRIBE || effect == REDIS_UNSUBSCRIBE;
}

static uint32_t entry_value(const struct redis_command *command)
{
    if (is_subscription(command->effect)) {
        return command->channels > 0 ? command->channels : 1;
    }
    return (uint32_t)command->number;
}

static inline void await_answer(struct connection *connection, const struct redis_command *command,
                                uint16_t slot)
{
    struct pairing_entry entry = {.slot = slot,
                                  .effect = command->effect,
                                  .flags = PAIRING_COMPLETE,
                                  .value = entry_value(command)};
    if (unlikely(command->effect == REDIS_JOB)) {
        entry.value = jobs_detach(connection);
    }
    if (unlikely(!pairing_push(&connection->pairing, entry))) {
        jobs_drop(entry);
        exchange_abandon(slot, LOSS_PIPELINE_FULL);
        connection_set_adrift(connection);
    }
}

/* What most commands are: they change nothing in the session and will be answered. */
static inline void end_plain_command(struct connection *connection,
                                     const struct redis_command *command, uint16_t slot,
                                     uint64_t at)
{
    struct record *record = exchange_record(slot);
    if (likely(record != NULL)) {
        fill_command(record, command);
        record->redis.request_bytes = at - connection->redis.command_start;
    }
    await_answer(connection, command, slot);
}

static void end_command(struct passage *passage, uint64_t at)
{
    struct connection *connection = passage->connection;
    struct direction *requests = direction_of(passage);
    struct redis_command *command = command_of(connection);
    uint16_t slot = requests->current_slot;
    requests->current_slot = SEGMENT_NO_SLOT;
    if (likely(command->effect == REDIS_PLAIN && connection->redis.reply_mode == REDIS_REPLY_ON &&
               !connection->redis.skips_next)) {
        end_plain_command(connection, command, slot, at);
        return;
    }
    bool is_lost = loses_count(&connection->redis, command->effect);
    bool is_answered = expects_answer(&connection->redis, command->effect);
    if (is_lost) {
        exchange_abandon(slot, LOSS_ABANDONED);
        connection_set_adrift_for_good(connection);
        return;
    }
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        fill_command(record, command);
        record->redis.request_bytes = at - connection->redis.command_start;
    }
    if (command->effect == REDIS_QUIT || command->effect == REDIS_SHUTDOWN) {
        connection->redis.quits = true;
    }
    if (!is_answered) {
        finish_unanswered(passage, slot);
        return;
    }
    if (is_subscription(command->effect) &&
        pairing_count(&connection->pairing) >= LIMIT_UNCONFIRMED) {
        finish_unanswered(passage, slot);
        slot = SEGMENT_NO_SLOT;
    }
    await_answer(connection, command, slot);
}

/* A rule that fits makes the command one of a job's. */
static SLOW void choose_rule(struct passage *passage, struct redis_command *command)
{
    if (command->effect == REDIS_PLAIN && jobs_choose(passage)) {
        command->effect = REDIS_JOB;
    }
    passage->connection->redis.captures = false;
}

/* A piece of a command's argument, where rules may want it. */
static inline void show_rules(struct passage *passage, const struct redis_command *command,
                              const struct resp_item *item)
{
    struct connection *connection = passage->connection;
    if (item->index == 0) {
        uint8_t list = item->last ? jobs_lists[command->entry] : 0;
        if (unlikely(list != 0)) {
            jobs_begin(connection, list, resp_elements(&direction_of(passage)->resp));
        }
    } else if (unlikely(connection->redis.captures)) {
        jobs_argument(connection, item->index, item->bytes, item->last);
    }
}

/* The short way for a command that lies whole in the input. */
static bool take_whole_command(struct passage *passage, const struct slice *whole, struct slice *in)
{
    struct direction *requests = direction_of(passage);
    struct slice arguments[RESP_WHOLE_ARGUMENTS];
    uint64_t at = position(requests, whole, in);
    uint32_t count = resp_take_command(&requests->resp, in, arguments);
    if (count == 0) {
        return false;
    }
    begin_command(passage, at);
    struct redis_command *command = command_of(passage->connection);
    redis_command_take(command, arguments, count);
    uint8_t list = jobs_lists[command->entry];
    if (unlikely(jobs_may_fit(list, arguments, count))) {
        jobs_take(passage->connection, list, arguments, count);
        choose_rule(passage, command);
    }
    if (unlikely(witness != NULL)) {
        ask_for_whole(passage, command, count > 1 ? arguments[1] : (struct slice){NULL, 0});
    }
    end_command(passage, position(requests, whole, in));
    return true;
}

/* Its first argument is a script's name, which the command keeps. */
static bool is_known_script(const struct redis_command *command)
{
    return slice_equals_ignoring_case(slice_of(command->name, command->name_used),
                                      SLICE("EVALSHA"));
}

static struct slice script_of(const struct redis_command *command)
{
    return is_known_script(command) ? slice_of(command->script, command->script_used)
                                    : slice_of(NULL, 0);
}

/* At a piece of the first argument. Returns whether the bytes are still to be asked for. */
static SLOW bool ask_at_first(struct passage *passage, const struct resp_item *item,
                              bool is_unasked)
{
    if (is_unasked) {
        ask_for_bytes(passage);
    }
    if (item->last && item->number >= 0 && item->bytes.size == (uint64_t)item->number) {
        ask_for_command(passage, item->bytes);
    }
    return false;
}

void redis_exchange_commands(struct passage *passage, struct slice *in)
{
    struct direction *requests = direction_of(passage);
    struct redis_command *command = command_of(passage->connection);
    struct slice whole = *in;
    struct resp_item item;
    bool is_unasked = false; /* whose work the command at hand is */
    for (;;) {
        if (take_whole_command(passage, &whole, in)) {
            continue;
        }
        switch (resp_next(&requests->resp, in, &item)) {
        case RESP_NEED_MORE:
            if (unlikely(is_unasked)) {
                ask_for_bytes(passage);
            }
            return;
        case RESP_BEGIN:
            begin_command(passage,
                          position(requests, &whole, in) - resp_held_bytes(&requests->resp));
            redis_command_init(command);
            passage->connection->redis.captures = false;
            is_unasked = witness != NULL;
            break;
        case RESP_ITEM:
            if (item.depth == 1) {
                redis_command_argument(command, item.index, item.bytes,
                                       item.number > 0 ? (uint64_t)item.number : 0, item.last);
                show_rules(passage, command, &item);
                if (unlikely(witness != NULL) && item.index == 1 &&
                    !(passage->connection->redis.captures && is_known_script(command))) {
                    is_unasked = ask_at_first(passage, &item, is_unasked);
                }
            }
            break;
        case RESP_END:
            redis_command_finish(command);
            if (unlikely(passage->connection->redis.captures)) {
                choose_rule(passage, command);
            }
            if (unlikely(is_unasked)) {
                is_unasked = false;
                ask_for_whole(passage, command, script_of(command));
            }
            end_command(passage, position(requests, &whole, in));
            break;
        case RESP_LOST:
        default:
            protocol_malformed(passage);
            in->size = 0;
            return;
        }
    }
}

/* ---- replies ---- */

static bool is_aggregate(uint8_t type)
{
    return type == '*' || type == '%' || type == '~' || type == '>';
}

/* Whether the reply's first element must be seen to know what it is. */
static bool needs_first_element(struct connection *connection, const struct resp_item *item)
{
    struct redis_session *session = &connection->redis;
    if (item->type == '>') {
        return true;
    }
    if (item->type != '*' || session->version != 2) {
        return false;
    }
    struct pairing_entry entry;
    bool pubsub = pairing_oldest(&connection->pairing, &entry) &&
                  (entry.effect == REDIS_SUBSCRIBE || entry.effect == REDIS_UNSUBSCRIBE);
    return pubsub || session->subscriptions > 0;
}

static bool word_is(const struct redis_session *session, const char *word)
{
    return session->word_used == strlen(word) &&
           memcmp(session->word, word, session->word_used) == 0;
}

static enum redis_verdict judge_first_element(const struct redis_session *session)
{
    if (word_is(session, "subscribe") || word_is(session, "psubscribe") ||
        word_is(session, "ssubscribe") || word_is(session, "unsubscribe") ||
        word_is(session, "punsubscribe") || word_is(session, "sunsubscribe")) {
        return REDIS_REPLY_CONFIRMATION;
    }
    if (session->reply_type == '>' || word_is(session, "message") || word_is(session, "pmessage") ||
        word_is(session, "smessage")) {
        return REDIS_REPLY_PUSH;
    }
    return REDIS_REPLY_ANSWER;
}

/* Shard subscriptions are counted apart; they do not make a RESP2 connection a subscriber. */
static bool is_shard_confirmation(const struct redis_session *session)
{
    return word_is(session, "ssubscribe") || word_is(session, "sunsubscribe");
}

static void collect_word(struct redis_session *session, struct slice bytes)
{
    size_t room = sizeof(session->word) - session->word_used;
    size_t size = bytes.size < room ? bytes.size : room;
    if (size > 0) {
        memcpy(session->word + session->word_used, bytes.data, size);
        session->word_used = (uint8_t)(session->word_used + size);
    }
}

static void begin_reply(struct passage *passage, uint64_t at)
{
    struct redis_session *session = &passage->connection->redis;
    direction_of(passage)->first_ns = passage->now;
    session->reply_start = at;
    session->verdict = REDIS_REPLY_UNJUDGED;
    session->reply_type = 0;
    session->word_used = 0;
    session->is_null = false;
    session->error_elements = 0;
    session->elements = 0;
    session->answers_job = false;
}

/* Items of an answer that a rule looks at. In a transaction a word says QUEUED: the answer comes
   with that to EXEC. */
static SLOW void show_rules_answer(struct passage *passage, const struct resp_item *item)
{
    struct connection *connection = passage->connection;
    struct pairing_entry entry;
    if (connection->redis.verdict != REDIS_REPLY_ANSWER ||
        !pairing_oldest(&connection->pairing, &entry)) {
        return;
    }
    if (entry.effect == REDIS_EXEC) {
        transaction_item(connection, item);
    } else if (entry.effect == REDIS_JOB &&
               !(connection->redis.in_transaction && item->type == '+')) {
        jobs_answer_item(entry.value, item);
    }
}

static bool oldest_is_of_job(struct connection *connection)
{
    struct pairing_entry entry;
    return pairing_oldest(&connection->pairing, &entry) &&
           (entry.effect == REDIS_JOB || entry.effect == REDIS_EXEC);
}

static void take_top_item(struct passage *passage, const struct resp_item *item)
{
    struct redis_session *session = &passage->connection->redis;
    if (session->reply_type == 0) {
        session->reply_type = item->type;
        session->is_null = item->null;
        if (is_aggregate(item->type)) {
            session->elements = item->number > 0 ? (uint32_t)item->number : 0;
        }
        if (!needs_first_element(passage->connection, item) || item->number <= 0) {
            session->verdict = REDIS_REPLY_ANSWER;
        }
    }
    if (item->type == '-' || item->type == '!' || item->type == '+') {
        collect_word(session, item->bytes);
    }
}

static void take_element(struct redis_session *session, const struct resp_item *item)
{
    if (item->first && (item->type == '-' || item->type == '!')) {
        session->error_elements++;
    }
    if (session->verdict == REDIS_REPLY_UNJUDGED && item->index == 0) {
        collect_word(session, item->bytes);
        if (item->last) {
            session->verdict = (uint8_t)judge_first_element(session);
        }
    } else if (session->verdict == REDIS_REPLY_CONFIRMATION && item->index == 2 &&
               item->type == ':' && !is_shard_confirmation(session)) {
        session->subscriptions = item->number > 0 ? (uint32_t)item->number : 0;
    }
}

/* What a successful answer changes in the session. */
static void apply_effect(struct passage *passage, struct pairing_entry entry)
{
    struct redis_session *session = &passage->connection->redis;
    switch ((enum redis_effect)entry.effect) {
    case REDIS_SELECT:
        session->database = (int32_t)entry.value;
        break;
    case REDIS_HELLO:
        if (entry.value == 2 || entry.value == 3) {
            session->version = (uint8_t)entry.value;
        }
        break;
    case REDIS_MULTI:
        session->in_transaction = true;
        break;
    case REDIS_EXEC:
    case REDIS_DISCARD:
        session->in_transaction = false;
        break;
    case REDIS_RESET:
        session->version = 2;
        session->database = 0;
        session->subscriptions = 0;
        session->in_transaction = false;
        break;
    case REDIS_MONITOR:
        protocol_park(passage, OPAQUE_REPLICATION);
        break;
    case REDIS_PLAIN:
    case REDIS_SUBSCRIBE:
    case REDIS_UNSUBSCRIBE:
    case REDIS_REPLY_ON:
    case REDIS_REPLY_OFF:
    case REDIS_REPLY_SKIP:
    case REDIS_SYNC:
    case REDIS_QUIT:
    case REDIS_SHUTDOWN:
    case REDIS_PING:
    case REDIS_SCRIPT_LOAD:
    case REDIS_JOB:
    default:
        break;
    }
}

static bool bounds_transaction(uint8_t effect)
{
    return effect == REDIS_MULTI || effect == REDIS_EXEC || effect == REDIS_DISCARD ||
           effect == REDIS_RESET;
}

/* What the answer means to a transaction. False if the exchange is not to be a span, or not yet. */
static SLOW bool go_through_transaction(struct passage *passage, struct pairing_entry entry,
                                        bool is_queued, bool is_error)
{
    struct connection *connection = passage->connection;
    if (is_queued) {
        return !transaction_keep(connection, entry, passage->now);
    }
    if (entry.effect == REDIS_MULTI && !is_error) {
        return !transaction_begin(connection, entry.slot, passage->now);
    }
    bool ends = entry.effect == REDIS_EXEC || (entry.effect != REDIS_MULTI && !is_error);
    bool has_happened = entry.effect == REDIS_EXEC && !is_error && !connection->redis.is_null;
    if (ends && !transaction_end(passage, has_happened)) {
        exchange_cancel(entry.slot);
        return false;
    }
    return true;
}

/* An error does not end a transaction, but for one that EXEC and RESET report. */
static void apply_error(struct redis_session *session, struct pairing_entry entry)
{
    if (entry.effect == REDIS_EXEC) {
        session->in_transaction = false;
    }
}

static void complete_answer(struct passage *passage, struct pairing_entry entry, uint64_t at)
{
    struct connection *connection = passage->connection;
    struct redis_session *session = &connection->redis;
    bool is_error = session->reply_type == '-' || session->reply_type == '!';
    bool is_queued =
        session->in_transaction && session->reply_type == '+' && word_is(session, "QUEUED");
    struct record *record = exchange_record(entry.slot);
    pairing_pop(&connection->pairing);
    if (record != NULL) {
        record->reply_ns = direction_of(passage)->first_ns;
        record->redis.database = session->database;
        record->redis.protocol = session->version;
        record->redis.reply_type = session->reply_type;
        record->redis.response_bytes = at - session->reply_start;
        record->redis.reply_elements = session->elements;
        record->redis.error_elements = session->error_elements;
        if (session->is_null) {
            record->flags |= RECORD_FLAG_NULL_REPLY;
        }
        if (is_queued) {
            record->flags |= RECORD_FLAG_QUEUED;
        }
        if (is_error) {
            record_add_field(record, FIELD_ERROR_PREFIX,
                             redis_error_prefix(slice_of(session->word, session->word_used)),
                             sizeof(session->word));
        }
    }
    if (unlikely(is_queued || bounds_transaction(entry.effect)) &&
        !go_through_transaction(passage, entry, is_queued, is_error)) {
        /* It waits for EXEC's answer, or has been given back. */
    } else if (unlikely(entry.effect == REDIS_JOB) &&
               !jobs_answered(passage, record, entry.value, is_error)) {
        exchange_cancel(entry.slot);
    } else {
        exchange_complete(passage->self, entry.slot, passage->now,
                          is_error ? RECORD_ERROR_REPLY : RECORD_OK, 0);
    }
    if (is_error) {
        apply_error(session, entry);
    } else {
        apply_effect(passage, entry);
    }
}

static bool is_unsubscription(const struct redis_session *session)
{
    return word_is(session, "unsubscribe") || word_is(session, "punsubscribe") ||
           word_is(session, "sunsubscribe");
}

static void confirm_subscription(struct passage *passage, uint64_t at)
{
    struct connection *connection = passage->connection;
    struct pairing_entry entry;
    /* Of the other kind: one more of an UNSUBSCRIBE without arguments that has had its answer. */
    uint8_t effect = is_unsubscription(&connection->redis) ? REDIS_UNSUBSCRIBE : REDIS_SUBSCRIBE;
    if (!pairing_oldest(&connection->pairing, &entry) || entry.effect != effect) {
        return;
    }
    /* Without arguments UNSUBSCRIBE is confirmed once for each channel, the last one with the count
       of zero. */
    if (entry.value > 1) {
        entry.value--;
        pairing_update_oldest(&connection->pairing, entry);
        return;
    }
    complete_answer(passage, entry, at);
}

/* Returns false if the protocol has changed. */
static bool end_reply(struct passage *passage, uint64_t at)
{
    struct connection *connection = passage->connection;
    struct redis_session *session = &connection->redis;
    struct pairing_entry entry;
    if (session->verdict == REDIS_REPLY_PUSH) {
        return true;
    }
    if (session->verdict == REDIS_REPLY_CONFIRMATION) {
        confirm_subscription(passage, at);
        return true;
    }
    if (pairing_oldest(&connection->pairing, &entry)) {
        complete_answer(passage, entry, at);
        return atomic_load_explicit(&connection->protocol, memory_order_relaxed) == PROTOCOL_REDIS;
    }
    exchange_count_loss(LOSS_UNMATCHED_REPLY);
    if (session->reply_type != '-') {
        connection_set_adrift(connection);
        return false;
    }
    /* "-DENIED", "-ERR max number of clients reached": said unasked, then the server closes. */
    return true;
}

/* A replication stream follows, which is no RESP. */
static bool begins_replication(struct passage *passage)
{
    struct pairing_entry entry;
    struct connection *connection = passage->connection;
    if (!pairing_oldest(&connection->pairing, &entry) || entry.effect != REDIS_SYNC) {
        return false;
    }
    pairing_pop(&connection->pairing);
    exchange_complete(passage->self, entry.slot, passage->now, RECORD_OK, 0);
    protocol_park(passage, OPAQUE_REPLICATION);
    return true;
}

/* What most answers are: one value, to a command that changes nothing in the session. */
static inline void complete_plain_answer(struct passage *passage, struct pairing_entry entry,
                                         const struct resp_item *item, uint64_t bytes)
{
    struct connection *connection = passage->connection;
    struct record *record = exchange_record(entry.slot);
    pairing_pop(&connection->pairing);
    if (unlikely(record == NULL)) {
        return;
    }
    record->reply_ns = passage->now;
    record->redis.database = connection->redis.database;
    record->redis.protocol = connection->redis.version;
    record->redis.reply_type = item->type;
    record->redis.response_bytes = bytes;
    if (unlikely(item->null)) {
        record->flags |= RECORD_FLAG_NULL_REPLY;
    }
    record->end_ns = passage->now > record->start_ns ? passage->now : record->start_ns;
    segment_complete(attachment_segment(), attachment_doorbell(), entry.slot, passage->self->ring);
}

/* The short way for a scalar that lies whole in the input. `*goes_on` tells whether the protocol is
   still this one. */
static bool take_whole_reply(struct passage *passage, const struct slice *whole, struct slice *in,
                             bool *goes_on)
{
    struct connection *connection = passage->connection;
    struct direction *replies = direction_of(passage);
    struct resp_item item;
    struct pairing_entry entry;
    bool is_there = pairing_oldest(&connection->pairing, &entry);
    if (unlikely(is_there && entry.effect == REDIS_SYNC)) {
        return false;
    }
    uint64_t at = position(replies, whole, in);
    if (!resp_take_scalar(&replies->resp, in, &item)) {
        return false;
    }
    if (likely(is_there && entry.effect == REDIS_PLAIN && item.type != '-' &&
               !connection->redis.in_transaction)) {
        complete_plain_answer(passage, entry, &item, position(replies, whole, in) - at);
        *goes_on = true;
        return true;
    }
    begin_reply(passage, at);
    take_top_item(passage, &item);
    if (is_there && entry.effect == REDIS_JOB) {
        show_rules_answer(passage, &item);
    }
    *goes_on = end_reply(passage, position(replies, whole, in));
    return true;
}

/* What comes next may answer a command that is not framed yet. */
static SLOW bool may_answer_unframed(struct passage *passage)
{
    struct pairing_entry entry;
    return resp_is_idle(&direction_of(passage)->resp) &&
           !pairing_oldest(&passage->connection->pairing, &entry);
}

void redis_exchange_replies(struct passage *passage, struct slice *in)
{
    struct direction *replies = direction_of(passage);
    struct redis_session *session = &passage->connection->redis;
    struct slice whole = *in;
    struct resp_item item;
    bool goes_on;
    for (;;) {
        if (unlikely(passage->in_flight) && may_answer_unframed(passage)) {
            passage->waits = true;
            return;
        }
        if (take_whole_reply(passage, &whole, in, &goes_on)) {
            if (!goes_on) {
                return;
            }
            continue;
        }
        switch (resp_next(&replies->resp, in, &item)) {
        case RESP_NEED_MORE:
            return;
        case RESP_BEGIN:
            if (begins_replication(passage)) {
                return;
            }
            begin_reply(passage, position(replies, &whole, in) - resp_held_bytes(&replies->resp));
            session->answers_job = oldest_is_of_job(passage->connection);
            break;
        case RESP_ITEM:
            if (item.depth == 0) {
                take_top_item(passage, &item);
            } else if (item.depth == 1) {
                take_element(session, &item);
            }
            if (unlikely(session->answers_job)) {
                show_rules_answer(passage, &item);
            }
            break;
        case RESP_END:
            if (!end_reply(passage, position(replies, &whole, in))) {
                return;
            }
            break;
        case RESP_LOST:
        default:
            protocol_malformed(passage);
            in->size = 0;
            return;
        }
    }
}

/* ---- what is not seen, and ends ---- */

void redis_exchange_unseen(struct passage *passage, uint64_t count)
{
    if (!resp_skip(&direction_of(passage)->resp, count)) {
        exchange_count_loss(LOSS_MISSED_BYTES);
        connection_set_adrift(passage->connection);
    }
}

static void fail_all(struct thread_state *self, struct connection *connection,
                     enum record_error error, int system_error, uint64_t now)
{
    struct pairing_entry entry;
    for (uint32_t i = 0; i < LIMIT_PIPELINE + PAIRING_INLINE; i++) {
        if (!pairing_oldest(&connection->pairing, &entry)) {
            return;
        }
        pairing_pop(&connection->pairing);
        struct record *record = exchange_record(entry.slot);
        if (record != NULL) {
            record->redis.database = connection->redis.database;
            record->redis.protocol = connection->redis.version;
        }
        if (unlikely(jobs_was_waiting(entry, record))) {
            exchange_cancel(entry.slot);
            entry.slot = SEGMENT_NO_SLOT;
        }
        jobs_drop(entry);
        bool is_goodbye = entry.effect == REDIS_QUIT || entry.effect == REDIS_SHUTDOWN;
        exchange_complete(self, entry.slot, now, is_goodbye ? RECORD_OK : error,
                          is_goodbye ? 0 : system_error);
    }
}

void redis_exchange_end(struct passage *passage)
{
    struct connection *connection = passage->connection;
    if (direction_of(passage) == connection_replies(connection)) {
        int system_error;
        enum record_error error = connection_failure(connection, &system_error);
        transaction_break(passage->self, connection);
        fail_all(passage->self, connection, error != RECORD_OK ? error : RECORD_ERROR_EOF,
                 system_error, passage->now);
    }
}

void redis_exchange_finish(struct thread_state *self, struct connection *connection,
                           enum record_error error, int system_error, uint64_t now)
{
    struct direction *requests = connection_requests(connection);
    transaction_break(self, connection);
    fail_all(self, connection, error, system_error, now);
    if (requests->current_slot != SEGMENT_NO_SLOT) {
        /* Never sent whole. */
        struct record *record = exchange_record(requests->current_slot);
        if (record != NULL) {
            struct redis_command *command = command_of(connection);
            redis_command_finish(command);
            fill_command(record, command);
            record->redis.database = connection->redis.database;
            record->redis.protocol = connection->redis.version;
        }
        exchange_complete(self, requests->current_slot, now, error, system_error);
        requests->current_slot = SEGMENT_NO_SLOT;
    }
    redis_exchange_forget(connection);
}

void redis_exchange_forget(struct connection *connection)
{
    transaction_forget(connection);
    if (connection->redis.command_block != 0) {
        slab_give(SLAB_BUFFER, connection->redis.command_block);
        connection->redis.command_block = 0;
    }
    if (connection->redis.job_block != 0) {
        slab_give(SLAB_BUFFER, jobs_detach(connection));
    }
}
