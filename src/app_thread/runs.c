#include "app_thread/runs.h"

#include <stdatomic.h>
#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/exchange.h"
#include "app_thread/service_values.h"
#include "app_thread/table_lock.h"
#include "app_thread/trace_context.h"
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
    uint8_t end; /* enum run_end */
};

struct run_table {
    _Atomic uint32_t lock; /* the epoch of the process that holds it; 0: nobody */
    uint64_t next_order;
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

/* What the service's rules name, from one record to another. */
static void copy_values(struct record *to, const struct record *from)
{
    uint32_t offset = 0;
    enum field_tag tag;
    struct slice value;
    while (record_next_field(from, &offset, &tag, &value)) {
        if (tag == FIELD_SERVICE || tag == FIELD_SERVICE_VALUE) {
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
    copy_values(record, request);
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
        copy_values(record, values);
        exchange_complete(self, slot, now, RECORD_OK, 0);
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
    if (event == NULL || id.size == 0 || !lock_table()) {
        return;
    }
    struct run *run = place_run(self, key_of(endpoint, id), now);
    run->messages++;
    if (record_of(run) != NULL && run->messages <= LIMIT_RUN_MESSAGES) {
        add_message(self, connection, run, values, start_ns, now);
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
