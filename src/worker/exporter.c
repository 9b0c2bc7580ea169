#include "worker/exporter.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define MS UINT64_C(1000000)

/* With nothing to do: how long until a step looks at the losses at least. */
#define IDLE_WAIT_NS UINT64_C(60000000000)
/* While a transfer is in flight the thread polls sockets, which no doorbell interrupts: so it looks
   at the segments by itself, often while they are busy. A segment of 4096 records then holds what
   a process completes in between: at 200,000 a second, in which case 1000 are found after 5 ms,
   and still at 1,000,000 when it looks every millisecond. */
#define RUSH_POLL_NS  (1 * MS)
#define BUSY_POLL_NS  (5 * MS)
#define QUIET_POLL_NS (20 * MS)
/* So many records in one step are a rush. */
#define RUSH_RECORDS (LIMIT_SEGMENT_SLOTS / 8)

/* Batches that one outlet may finish in one step: a console or file delivers at once. */
#define BATCHES_PER_STEP 64

/* How long a trace has to be quiet before it is judged, unless WIRESPAN_TAIL_WAIT says. A job may
   wait in its queue for a worker, and nothing of it is open then. */
#define TAIL_WAIT_MS            2000u
#define TAIL_WAIT_FOR_OTHERS_MS 30000u
/* While traces wait, segments are emptied so often. */
#define TAIL_STEP_NS (1000 * MS)

static const char console_name[] = "console";

static bool is_immediate(const struct transport *transport)
{
    return strcmp(transport->ops->name, console_name) == 0;
}

static uint64_t batch_timeout_ns(const struct config *config)
{
    uint64_t export_ns = config->export_timeout_ms * MS;
    uint64_t request_ns = config->timeout_ms * MS;
    if (export_ns == 0 || request_ns == 0) {
        return export_ns | request_ns; /* 0 means no limit */
    }
    return export_ns < request_ns ? export_ns : request_ns;
}

/* A process's own exporter sees what is open, and nothing else will come for it: it need not wait
   for long. */
static bool create_tail(struct exporter *exporter)
{
    uint64_t wait_ms = exporter->seams.serves_others ? TAIL_WAIT_FOR_OTHERS_MS : TAIL_WAIT_MS;
    wait_ms = exporter->config.tail_wait_ms != 0 ? exporter->config.tail_wait_ms : wait_ms;
    exporter->tail = tail_create(wait_ms * MS, exporter->config.tail_customers, LIMIT_TAIL_BYTES);
    return exporter->tail != NULL;
}

static void open_profile(struct exporter *exporter)
{
    struct profile_error error;
    struct slice name = exporter->config.profile;
    exporter->profile = profile_open(name, &error);
    if (exporter->profile == NULL && error.text[0] != '\0') {
        report_line(&exporter->report, LOG_LEVEL_WARN,
                    "WIRESPAN_PROFILE=%.*s:%u: %s; spans have the names of library", (int)name.size,
                    (const char *)name.data, error.line, error.text);
    }
}

struct exporter *exporter_create(const struct config *config, const struct exporter_seams *seams,
                                 struct transport *const *transports, uint32_t count)
{
    struct exporter *exporter = calloc(1, sizeof(*exporter));
    if (exporter == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            transports[i]->ops->destroy(transports[i]);
        }
        return NULL;
    }
    exporter->config = *config;
    exporter->seams = *seams;
    exporter->limits = (struct span_limits){
        .attributes = config->attribute_count_limit,
        .attribute_characters = config->attribute_length_limit,
        .events = config->event_count_limit,
        .links = config->link_count_limit,
    };
    exporter->report.level = config->log_level;
    exporter->report.write = seams->write;
    exporter->report.context = seams->context;
    if (config->tail_policy == TAIL_SEEDS && !create_tail(exporter)) {
        report_line(&exporter->report, LOG_LEVEL_ERROR,
                    "no memory for the tail policy: every trace is kept");
    }
    open_profile(exporter);
    struct segment_clock now;
    seams->clock(seams->context, &now);
    exporter->losses_watched_ns = now.monotonic_ns;
    exporter->losses_told_ns = now.monotonic_ns;
    queue_init(&exporter->queue, count, config->max_queue_size, LIMIT_QUEUE_BYTES);
    exporter->outlet_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        delivery_init(&outlet->delivery, transports[i], batch_timeout_ns(config));
        outlet->schedule.delay_ns =
            is_immediate(transports[i]) ? 0 : config->schedule_delay_ms * MS;
    }
    return exporter;
}

/* ---- outlets ---- */

static bool is_due(const struct exporter *exporter, uint32_t number, uint64_t now_ns, bool flush)
{
    const struct outlet *outlet = &exporter->outlets[number];
    const struct queue_reader *reader = &exporter->queue.readers[number];
    if (reader->spans == 0 || !delivery_is_ready(&outlet->delivery, now_ns)) {
        return false;
    }
    return flush || reader->spans >= exporter->config.max_batch_size ||
           reader->bytes >= LIMIT_BATCH_BYTES || schedule_due(&outlet->schedule) <= now_ns;
}

static bool start_batch(struct exporter *exporter, uint32_t number, uint64_t now_ns)
{
    struct outlet *outlet = &exporter->outlets[number];
    struct export_batch batch;
    if (!batch_gather(&exporter->queue, number, exporter->config.max_batch_size, &outlet->buffer,
                      &batch)) {
        return false;
    }
    schedule_note_batch(&outlet->schedule, now_ns, exporter->queue.readers[number].spans > 0);
    delivery_start(&outlet->delivery, &batch, now_ns);
    return true;
}

/* Returns whether a batch, or a part of one, came to its end. */
static bool move_delivery(struct exporter *exporter, uint32_t number, uint64_t now_ns)
{
    struct outlet *outlet = &exporter->outlets[number];
    const char *name = outlet->delivery.transport->ops->name;
    struct delivery_report report;
    uint64_t random = exporter->seams.random(exporter->seams.context);
    switch (delivery_step(&outlet->delivery, now_ns, random, &report)) {
    case DELIVERY_NOTHING:
        return false;
    case DELIVERY_RETRIES:
        report_retry(&exporter->report, now_ns, number, name, report.message);
        return false;
    case DELIVERY_PART:
    case DELIVERY_DONE:
        break;
    }
    outlet->exported += report.exported;
    schedule_note_export(&outlet->schedule, now_ns);
    if (report.lost > 0) {
        loss_count(exporter, now_ns, report.loss, report.lost, report.message);
    } else if (report.message[0] != '\0') {
        report_line(&exporter->report, LOG_LEVEL_INFO, "%s: %s", name, report.message);
    }
    return true;
}

static void move_outlet(struct exporter *exporter, uint32_t number, uint64_t now_ns, bool flush)
{
    struct outlet *outlet = &exporter->outlets[number];
    for (int i = 0; i < BATCHES_PER_STEP; i++) {
        if (outlet->delivery.state == DELIVERY_IDLE &&
            !(is_due(exporter, number, now_ns, flush) && start_batch(exporter, number, now_ns))) {
            return;
        }
        if (!move_delivery(exporter, number, now_ns)) {
            return;
        }
    }
}

/* ---- waiting ---- */

static uint64_t until(uint64_t moment_ns, uint64_t now_ns)
{
    return moment_ns > now_ns ? moment_ns - now_ns : 0;
}

static void lower(uint64_t *value, uint64_t to)
{
    *value = to < *value ? to : *value;
}

/* When the outlet wants the next step, by its schedule and its delivery. */
static uint64_t next_moment(const struct exporter *exporter, uint32_t number)
{
    const struct outlet *outlet = &exporter->outlets[number];
    if (outlet->delivery.state != DELIVERY_IDLE) {
        return delivery_next_ns(&outlet->delivery);
    }
    if (exporter->queue.readers[number].spans == 0) {
        return UINT64_MAX;
    }
    uint64_t due = schedule_due(&outlet->schedule);
    return due > outlet->delivery.not_before_ns ? due : outlet->delivery.not_before_ns;
}

static void add_descriptors(struct outlet *outlet, struct worker_wait *wait)
{
    struct transport *transport = outlet->delivery.transport;
    if (outlet->delivery.state != DELIVERY_IN_FLIGHT || transport->ops->descriptors == NULL) {
        return;
    }
    int timeout_ms = 1000;
    wait->descriptor_count +=
        transport->ops->descriptors(transport, wait->descriptors + wait->descriptor_count,
                                    WORKER_POLL_MAX - wait->descriptor_count, &timeout_ms);
    lower(&wait->timeout_ns, (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * MS);
}

/* Whether what is left for the outlet waits for a receiver in trouble. */
static bool is_stalled(const struct exporter *exporter, uint32_t number, uint64_t now_ns)
{
    const struct delivery *delivery = &exporter->outlets[number].delivery;
    return delivery->state == DELIVERY_WAITING ||
           (exporter->queue.readers[number].spans > 0 && delivery->state == DELIVERY_IDLE &&
            !delivery_is_ready(delivery, now_ns));
}

static uint64_t poll_interval_ns(const struct exporter *exporter)
{
    if (exporter->drained >= RUSH_RECORDS) {
        return RUSH_POLL_NS;
    }
    return exporter->drained > 0 ? BUSY_POLL_NS : QUIET_POLL_NS;
}

static bool has_tail(const struct exporter *exporter)
{
    return exporter->tail != NULL &&
           (tail_is_waiting(exporter->tail) || tail_has_kept(exporter->tail));
}

static void fill_wait(struct exporter *exporter, uint64_t now_ns, struct worker_wait *wait)
{
    wait->descriptor_count = 0;
    wait->timeout_ns = exporter->is_held ? RUSH_POLL_NS : exporter->has_more ? 0 : IDLE_WAIT_NS;
    wait->idle = true;
    bool in_flight = false;
    wait->stalled = false;
    for (uint32_t i = 0; i < exporter->outlet_count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        uint64_t moment = next_moment(exporter, i);
        if (moment != UINT64_MAX) {
            lower(&wait->timeout_ns, until(moment, now_ns));
        }
        add_descriptors(outlet, wait);
        in_flight |= outlet->delivery.state == DELIVERY_IN_FLIGHT;
        wait->stalled |= is_stalled(exporter, i, now_ns);
        wait->idle &=
            outlet->delivery.state == DELIVERY_IDLE && exporter->queue.readers[i].spans == 0;
    }
    wait->stalled &= !in_flight;
    if (unlikely(has_tail(exporter))) {
        lower(&wait->timeout_ns, tail_has_kept(exporter->tail)
                                     ? BUSY_POLL_NS
                                     : until(drain_next_judgement_ns(exporter), now_ns));
        lower(&wait->timeout_ns, TAIL_STEP_NS);
        wait->idle = false;
    }
    if (in_flight) {
        lower(&wait->timeout_ns, poll_interval_ns(exporter));
    }
}

/* ---- the interface ---- */

static void move_outlets(struct exporter *exporter, uint64_t now_ns, bool flush)
{
    for (uint32_t i = 0; i < exporter->outlet_count; i++) {
        move_outlet(exporter, i, now_ns, flush);
    }
}

void exporter_step(struct exporter *exporter, uint64_t now_ns, bool flush, struct worker_wait *wait)
{
    exporter->drained = 0;
    drain_all(exporter, now_ns);
    for (uint32_t pass = 1; exporter->has_more && pass < LIMIT_DRAIN_PASSES; pass++) {
        uint32_t drained = exporter->drained;
        move_outlets(exporter, now_ns, false);
        drain_all(exporter, now_ns);
        if (exporter->is_held && exporter->drained == drained) {
            break;
        }
    }
    if (unlikely(exporter->tail != NULL)) {
        bool concludes = exporter->concludes || (flush && !exporter->seams.serves_others);
        drain_judge(exporter, now_ns, concludes);
    }
    bool flush_begins = flush && !exporter->flushes;
    exporter->flushes = flush;
    loss_tell(exporter, now_ns, flush_begins);
    for (uint32_t i = 0; i < exporter->outlet_count && flush_begins; i++) {
        delivery_hurry(&exporter->outlets[i].delivery, now_ns);
    }
    move_outlets(exporter, now_ns, flush);
    fill_wait(exporter, now_ns, wait);
}

void exporter_conclude(struct exporter *exporter)
{
    exporter->concludes = true;
}

bool exporter_is_drained(const struct exporter *exporter)
{
    bool drained =
        !exporter->has_more && (exporter->tail == NULL || !tail_has_kept(exporter->tail));
    for (uint32_t i = 0; i < exporter->outlet_count; i++) {
        drained &= exporter->outlets[i].delivery.state == DELIVERY_IDLE &&
                   exporter->queue.readers[i].spans == 0;
    }
    return drained;
}

static void finish_outlet(struct exporter *exporter, uint32_t number, uint64_t now_ns)
{
    struct outlet *outlet = &exporter->outlets[number];
    uint32_t left = exporter->queue.readers[number].spans + delivery_finish(&outlet->delivery);
    batch_buffer_finish(&outlet->buffer);
    loss_count(exporter, now_ns, LOSS_EXPORT_EXPIRED, left, "not delivered at the end");
}

void exporter_destroy(struct exporter *exporter)
{
    if (exporter == NULL) {
        return;
    }
    struct segment_clock now;
    exporter->seams.clock(exporter->seams.context, &now);
    for (uint32_t i = 0; i < exporter->source_count; i++) {
        loss_watch(exporter, exporter->sources[i], now.monotonic_ns);
    }
    struct report_exports exports[LIMIT_TRANSPORTS];
    for (uint32_t i = 0; i < exporter->outlet_count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        exports[i] = (struct report_exports){
            .name = outlet->delivery.transport->ops->name,
            .exported = outlet->exported,
        };
        finish_outlet(exporter, i, now.monotonic_ns);
    }
    if (exporter->tail != NULL) {
        report_tail(&exporter->report, tail_count(exporter->tail));
    }
    report_summary(&exporter->report, exports, exporter->outlet_count, exporter->losses);
    tail_destroy(exporter->tail);
    profile_destroy(exporter->profile);
    queue_finish(&exporter->queue);
    drain_finish(exporter);
    free(exporter);
}
