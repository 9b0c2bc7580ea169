#include "app_thread/runs.h"

#include <stdatomic.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/service_values.h"
#include "app_thread/table_lock.h"
#include "app_thread/trace_context.h"
#include "app_thread/witness.h"
#include "base/compiler.h"
#include "base/hash.h"
#include "base/limits.h"
#include "wire/service.h"

/* What is known of a run: asked for (it has a slot), only heard of, or over. */
struct run {
    uint64_t key; /* of its id; 0: free */
    uint64_t order;
    uint64_t started_ns; /* before it was known */
    uint64_t ended_ns;   /* 0: it goes on */
    uint32_t epoch;
    uint32_t messages;
    uint16_t slot;
    uint8_t end;     /* enum run_end */
    uint8_t percent; /* of the last message that said how far it is */
    uint64_t progress_ns;
    uint64_t retrieved_ns;
    bool is_unnamed; /* asked for by a message on that connection, which says no id */
    uint32_t connection;
};

struct run_table {
    _Atomic uint32_t lock; /* the epoch of the process that holds it; 0: nobody */
    uint64_t next_order;
    uint64_t next_unnamed; /* keys of runs without an id: small, as no hash is */
    struct run runs[LIMIT_RUNS];
};

static struct run_table runs_table;

/* ---- the table ---- */

static bool lock_table(void)
{
    if (table_lock_take(&runs_table.lock)) {
        return true;
    }
    exchange_count_loss(LOSS_ABANDONED);
    return false;
}

static void unlock_table(void)
{
    table_lock_give(&runs_table.lock);
}

/* The record of a run that goes on; NULL: it is over, not known yet, or another process's. */
static struct record *record_of(const struct run *run)
{
    return run->key != 0 && run->epoch == attachment_epoch() ? exchange_record(run->slot) : NULL;
}

static void end_run(struct thread_state *self, struct run *run, enum run_end end, uint64_t now)
{
    struct record *record = record_of(run);
    uint16_t slot = run->slot;
    run->slot = SEGMENT_NO_SLOT;
    run->end = (uint8_t)end;
    run->ended_ns = now;
    if (record != NULL) {
        record->run.end = (uint8_t)end;
        record->run.messages = run->messages;
        record->run.started_ns = run->started_ns;
        record->run.progress_ns = run->progress_ns;
        record->run.percent = run->percent;
        record->run.retrieved_ns = run->retrieved_ns;
        exchange_complete(self, slot, now, RECORD_OK, 0);
    }
}

static uint64_t key_of(const struct service_endpoint *endpoint, struct slice id)
{
    const struct slice parts[2] = {service_text(endpoint->run_name), id};
    uint64_t key = HASH_BEGIN;
    for (size_t part = 0; part < 2; part++) {
        key = hash_byte(hash_bytes(key, parts[part]), (uint8_t)part);
    }
    return key != 0 ? key : 1;
}

/* The run of that id, which may be new; the one that was quiet for longest makes room. */
static struct run *place_run(struct thread_state *self, uint64_t key, uint64_t now)
{
    struct run *place = &runs_table.runs[0];
    for (uint32_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &runs_table.runs[i];
        if (run->key == key && run->epoch == attachment_epoch()) {
            run->order = ++runs_table.next_order;
            return run;
        }
        place = run->order < place->order ? run : place;
    }
    if (record_of(place) != NULL) {
        end_run(self, place, RUN_END_UNKNOWN, now);
    }
    *place = (struct run){
        .key = key,
        .order = ++runs_table.next_order,
        .epoch = attachment_epoch(),
        .slot = SEGMENT_NO_SLOT,
    };
    return place;
}

/* ---- what is told ---- */

static bool holds(const struct service_event *event, const struct record *values)
{
    if (event->field != SERVICE_NO_FIELD &&
        !slice_equals(service_values_find(values, event->field), service_text(event->value))) {
        return false;
    }
    return event->without == SERVICE_NO_FIELD ||
           service_values_find(values, event->without).data == NULL;
}

static const struct service_event *find_event(const struct service_endpoint *endpoint,
                                              const struct record *values)
{
    for (uint8_t i = 0; i < endpoint->event_count; i++) {
        const struct service_event *event = service_event(endpoint, i);
        if (holds(event, values)) {
            return event;
        }
    }
    return NULL;
}

static uint64_t number_in(const struct record *values, const struct service_endpoint *endpoint,
                          struct slice attribute)
{
    uint8_t field = service_field_of(endpoint, attribute);
    struct slice text =
        field == SERVICE_NO_FIELD ? slice_of(NULL, 0) : service_values_find(values, field);
    return slice_number(text);
}

static void take_progress(struct run *run, const struct service_endpoint *endpoint,
                          const struct record *values, uint64_t now)
{
    uint64_t value = number_in(values, endpoint, SLICE("comfyui.progress.value"));
    uint64_t max = number_in(values, endpoint, SLICE("comfyui.progress.max"));
    run->progress_ns = now;
    run->percent = (uint8_t)(max == 0 ? RUN_NO_PERCENT : value < max ? value * 100 / max : 100);
}

/* Ends the run, if the event is an end. */
static void take_event(struct thread_state *self, struct run *run,
                       const struct service_event *event, const struct record *values, uint64_t now)
{
    static const uint8_t ends[SERVICE_OUTCOMES] = {
        [SERVICE_RUN_COMPLETED] = RUN_END_COMPLETED,
        [SERVICE_RUN_FAILED] = RUN_END_FAILED,
        [SERVICE_RUN_CANCELLED] = RUN_END_CANCELLED,
    };
    struct record *record = record_of(run);
    if (event->outcome == SERVICE_RUN_STARTED && run->started_ns == 0) {
        run->started_ns = now;
    }
    if (ends[event->outcome] == RUN_END_NONE || run->ended_ns != 0) {
        return;
    }
    if (record != NULL && event->error != SERVICE_NO_FIELD) {
        record_add_field(record, FIELD_RUN_ERROR, service_values_find(values, event->error),
                         LIMIT_HEADER_TEXT);
    }
    end_run(self, run, (enum run_end)ends[event->outcome], now);
}

/* What the service's rules name, from one record to another, but for the value of `except`. */
static void copy_values(struct record *to, const struct record *from, uint8_t except)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(from, &offset, &tag, &value)) {
        bool is_value = tag == FIELD_SERVICE_VALUE && value.size > 0 &&
                        (except == SERVICE_NO_FIELD || value.data[0] != except);
        if (tag == FIELD_SERVICE || is_value) {
            record_add_field(to, tag, value, RECORD_TEXT_BYTES);
        }
    }
}

/* The request's place in its trace becomes the run's, and the request is below. */
static void open_run(struct thread_state *self, struct connection *connection, struct run *run,
                     uint16_t request_slot, struct record *request)
{
    run->slot = exchange_begin_below(self, connection, RECORD_RUN, request->start_ns, request_slot);
    struct record *record = exchange_record(run->slot);
    if (record == NULL) {
        return;
    }
    memcpy(record->parent_span_id, request->parent_span_id, sizeof record->parent_span_id);
    record->parent_source = request->parent_source;
    record->flags |= request->flags & RECORD_FLAG_REMOTE_PARENT;
    copy_values(record, request, SERVICE_NO_FIELD);
    memcpy(request->parent_span_id, record->span_id, sizeof request->parent_span_id);
    request->parent_source = PARENT_CONTENT;
    request->flags &= (uint16_t)~RECORD_FLAG_REMOTE_PARENT;
}

/* Beside the run in its trace, as what else is asked of it: below it. Anything else stays where it
   is, because its ids may have been sent already. */
static void join_run(struct record *request, const struct record *run)
{
    if (memcmp(request->trace_id, run->trace_id, sizeof run->trace_id) == 0 &&
        memcmp(request->parent_span_id, run->parent_span_id, sizeof run->parent_span_id) == 0) {
        memcpy(request->parent_span_id, run->span_id, sizeof run->span_id);
        request->parent_source = PARENT_CONTENT;
        request->flags &= (uint16_t)~RECORD_FLAG_REMOTE_PARENT;
    }
}

static void answered_locked(struct thread_state *self, struct connection *connection, uint16_t slot,
                            struct record *record, const struct service_endpoint *endpoint,
                            struct slice id, uint64_t now)
{
    const struct service_event *event = find_event(endpoint, record);
    struct run *run = place_run(self, key_of(endpoint, id), now);
    if (event != NULL && event->outcome == SERVICE_RUN_BEGINS && run->slot == SEGMENT_NO_SLOT) {
        enum run_end end = (enum run_end)run->end;
        open_run(self, connection, run, slot, record);
        if (end != RUN_END_NONE) {
            end_run(self, run, end, run->ended_ns);
        }
        return;
    }
    if (record_of(run) != NULL) {
        join_run(record, record_of(run));
    }
    if (event != NULL && event->outcome != SERVICE_RUN_BEGINS) {
        bool brings = event->outcome == SERVICE_RUN_COMPLETED && run->ended_ns == 0;
        run->retrieved_ns = brings ? now : run->retrieved_ns;
        take_event(self, run, event, record, now);
    }
}

void runs_answered(struct thread_state *self, struct connection *connection, uint16_t slot,
                   uint8_t number, uint64_t now)
{
    const struct service_endpoint *endpoint = service_endpoint(number);
    struct record *record = exchange_record(slot);
    if (record == NULL || endpoint == NULL || endpoint->run_field == SERVICE_NO_FIELD ||
        endpoint->event_count == 0) {
        return;
    }
    struct slice id = service_values_find(record, endpoint->run_field);
    if (id.size > 0 && lock_table()) {
        answered_locked(self, connection, slot, record, endpoint, id, now);
        unlock_table();
    }
}

static void add_message(struct thread_state *self, struct connection *connection,
                        const struct run *run, const struct record *values, uint64_t start_ns,
                        uint64_t now)
{
    uint16_t slot = exchange_begin_below(self, connection, RECORD_MESSAGE, start_ns, run->slot);
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        record->parent_source = PARENT_CONTENT;
        record->message.bytes = values->message.bytes;
        copy_values(record, values, SERVICE_NO_FIELD);
        exchange_complete(self, slot, now, RECORD_OK, 0);
    }
}

/* ---- work that a message asks for ---- */

/* The request that opened the socket, where that was for something else. */
static void link_to_handshake(struct record *record, const struct connection *connection)
{
    const struct record *session = exchange_record(connection->session_slot);
    if (session == NULL ||
        memcmp(session->trace_id, record->trace_id, sizeof record->trace_id) == 0) {
        return;
    }
    record_add_link(record, session->trace_id, session->parent_span_id);
}

static void add_sent(struct thread_state *self, struct connection *connection, uint16_t run_slot,
                     const struct record *values, uint64_t start_ns, uint64_t now)
{
    uint16_t slot = exchange_begin_below(self, connection, RECORD_MESSAGE, start_ns, run_slot);
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        record->parent_source = PARENT_CONTENT;
        record->message.bytes = values->message.bytes;
        record->message.kind = MESSAGE_SENT;
        link_to_handshake(record, connection);
        copy_values(record, values, SERVICE_NO_FIELD);
        exchange_complete(self, slot, now, RECORD_OK, 0);
    }
}

/* The run is the work of whoever sends the message. */
static uint16_t open_sent(struct thread_state *self, struct connection *connection,
                          const struct service_event *event, const struct record *values,
                          uint64_t start_ns, uint64_t now)
{
    uint16_t slot = exchange_begin(self, connection, RECORD_RUN, start_ns);
    struct record *record = exchange_record(slot);
    if (record == NULL) {
        return SEGMENT_NO_SLOT;
    }
    if (unlikely(witness != NULL)) {
        trace_context_ask_for_bytes(record, connection, now);
    }
    copy_values(record, values, event->field);
    return slot;
}

void runs_sent(struct thread_state *self, struct connection *connection, uint8_t number,
               const struct record *values, uint64_t start_ns, uint64_t now)
{
    const struct service_endpoint *endpoint = service_endpoint(number);
    const struct service_event *event = find_event(endpoint, values);
    if (event == NULL || event->outcome != SERVICE_RUN_BEGINS || !lock_table()) {
        return;
    }
    struct slice id = service_values_find(values, endpoint->run_field);
    uint64_t key = id.size > 0 ? key_of(endpoint, id) : ++runs_table.next_unnamed;
    struct run *run = place_run(self, key, now);
    if (record_of(run) == NULL) {
        enum run_end end = (enum run_end)run->end;
        run->slot = open_sent(self, connection, event, values, start_ns, now);
        run->is_unnamed = id.size == 0;
        run->connection = connection->serial;
        add_sent(self, connection, run->slot, values, start_ns, now);
        if (end != RUN_END_NONE) {
            end_run(self, run, end, run->ended_ns);
        }
    }
    unlock_table();
}

/* The one that was asked for first on the connection. */
static struct run *find_unnamed(const struct connection *connection)
{
    struct run *found = NULL;
    for (uint32_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &runs_table.runs[i];
        bool is_it =
            run->is_unnamed && run->connection == connection->serial && record_of(run) != NULL;
        if (is_it && (found == NULL || run->order < found->order)) {
            found = run;
        }
    }
    return found;
}

static void name_run(struct thread_state *self, const struct connection *connection,
                     const struct service_endpoint *endpoint, struct slice id, uint64_t now)
{
    struct run *run = place_run(self, key_of(endpoint, id), now);
    struct run *unnamed = find_unnamed(connection);
    if (record_of(run) != NULL || unnamed == NULL) {
        return; /* the message itself had the id, or another process has sent it */
    }
    uint16_t slot = unnamed->slot;
    enum run_end end = (enum run_end)run->end;
    *unnamed = (struct run){.slot = SEGMENT_NO_SLOT};
    run->slot = slot;
    service_values_add(exchange_record(slot), endpoint->run_field, id);
    if (end != RUN_END_NONE) {
        end_run(self, run, end, run->ended_ns);
    }
}

void runs_closed(struct thread_state *self, const struct connection *connection, uint64_t now)
{
    if (!lock_table()) {
        return;
    }
    for (struct run *run = find_unnamed(connection); run != NULL; run = find_unnamed(connection)) {
        end_run(self, run, RUN_END_UNKNOWN, now);
    }
    unlock_table();
}

/* What the service says of itself, of each run to which that is not told yet. */
static void note(const struct service_endpoint *endpoint, const struct record *values,
                 uint8_t except)
{
    for (uint32_t i = 0; i < LIMIT_RUNS; i++) {
        struct record *record = record_of(&runs_table.runs[i]);
        struct slice number =
            record == NULL ? slice_of(NULL, 0) : record_find_field(record, FIELD_SERVICE);
        const struct service_endpoint *asked =
            number.size == 1 ? service_endpoint(number.data[0]) : NULL;
        if (asked == NULL ||
            !slice_equals(service_text(asked->run_name), service_text(endpoint->run_name))) {
            continue;
        }
        for (uint8_t f = 0; f < endpoint->field_count; f++) {
            struct slice value = f == except ? slice_of(NULL, 0) : service_values_find(values, f);
            uint8_t to =
                value.data == NULL
                    ? SERVICE_NO_FIELD
                    : service_field_of(asked, service_text(service_field(endpoint, f)->attribute));
            if (to != SERVICE_NO_FIELD && service_values_find(record, to).data == NULL) {
                service_values_add(record, to, value);
            }
        }
    }
}

void runs_message(struct thread_state *self, struct connection *connection, uint8_t number,
                  const struct record *values, uint64_t start_ns, uint64_t now)
{
    const struct service_endpoint *endpoint = service_endpoint(number);
    const struct service_event *event = find_event(endpoint, values);
    struct slice id = endpoint->run_field == SERVICE_NO_FIELD
                          ? slice_of(NULL, 0)
                          : service_values_find(values, endpoint->run_field);
    bool is_noted = event != NULL && event->outcome == SERVICE_RUN_NOTED;
    if (event == NULL || event->outcome == SERVICE_RUN_BEGINS || (id.size == 0 && !is_noted) ||
        !lock_table()) {
        return;
    }
    if (is_noted) {
        note(endpoint, values, event->field);
        unlock_table();
        return;
    }
    if (event->outcome == SERVICE_RUN_NAMED) {
        name_run(self, connection, endpoint, id, now);
        unlock_table();
        return;
    }
    struct run *run = place_run(self, key_of(endpoint, id), now);
    run->messages++;
    if (record_of(run) != NULL && run->messages <= LIMIT_RUN_MESSAGES) {
        add_message(self, connection, run, values, start_ns, now);
    }
    if (event->outcome == SERVICE_RUN_PROGRESSED && run->ended_ns == 0) {
        take_progress(run, endpoint, values, now);
    }
    take_event(self, run, event, values, now);
    unlock_table();
}

void runs_finish_all(struct thread_state *self, uint64_t now, int32_t cause)
{
    if (!lock_table()) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &runs_table.runs[i];
        if (record_of(run) == NULL) {
            continue;
        }
        if (cause == 0) {
            end_run(self, run, RUN_END_UNKNOWN, now);
        } else {
            uint16_t slot = run->slot;
            run->slot = SEGMENT_NO_SLOT;
            exchange_complete(self, slot, now, RECORD_ERROR_ABORTED, cause);
        }
    }
    unlock_table();
}
