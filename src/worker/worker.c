#include "worker/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/system_call.h"
#include "worker/error_text.h"
#include "worker/exporter.h"
#include "worker/fork_guard.h"
#include "worker/process_stream.h"
#include "worker/transport/create.h"

/* ---- the world outside ---- */

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Readings this close together are of one moment; else the thread was put aside in between, on a
   busy machine for as long as other threads have their turns, and all spans would be off by that.
 */
#define CLOCK_WINDOW_NS 20000u
#define CLOCK_TRIES     8

/* The realtime is read between two readings of the other clock, whose middle it belongs to. */
static void read_both_clocks(void *context, struct segment_clock *now)
{
    uint64_t closest = UINT64_MAX;
    (void)context;
    for (int i = 0; i < CLOCK_TRIES && closest > CLOCK_WINDOW_NS; i++) {
        uint64_t before = read_clock(CLOCK_MONOTONIC);
        uint64_t realtime_ns = read_clock(CLOCK_REALTIME);
        uint64_t window = read_clock(CLOCK_MONOTONIC) - before;
        if (window < closest) {
            closest = window;
            *now = (struct segment_clock){realtime_ns, before + window / 2};
        }
    }
}

static uint64_t draw_random(void *context)
{
    (void)context;
    uint64_t value = 0;
    if (raw_system_call(SYS_getrandom, (long)&value, sizeof(value), 0, 0, 0, 0) !=
        (long)sizeof(value)) {
        /* A kernel without it: unlike others' values, if not secret. */
        value = read_clock(CLOCK_MONOTONIC) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid();
    }
    return value;
}

static void write_stderr(void *context, const char *text, size_t size)
{
    (void)context;
    process_stream_write_stderr(text, size);
}

/* ---- start ---- */

struct start {
    struct config config;
    struct report report;
};

static void complain(void *context, const char *text)
{
    struct start *start = context;
    /* The log level is the first thing that is parsed. */
    start->report.level = start->config.log_level;
    report_line(&start->report, LOG_LEVEL_WARN, "%s", text);
}

static struct transport *create_otlp(const struct config *config)
{
    /* Says by itself why it cannot. */
    return config->protocol == OTLP_GRPC ? otlp_grpc_create(config) : otlp_http_create(config);
}

static struct transport *create_console(struct start *start)
{
    int fd = process_stream_borrow(CONSOLE_DESCRIPTOR);
    struct transport *transport = fd >= 0 ? console_create(fd) : NULL;
    if (transport == NULL) {
        report_line(&start->report, LOG_LEVEL_ERROR, "console exporter: %s", error_text(errno));
    }
    return transport;
}

static struct transport *create_file(struct start *start)
{
    struct slice name = start->config.file_path;
    char path[4096];
    if (name.size >= sizeof(path)) {
        report_line(&start->report, LOG_LEVEL_ERROR, "WIRESPAN_FILE: the path is too long");
        return NULL;
    }
    memcpy(path, name.data, name.size);
    path[name.size] = '\0';
    struct transport *transport = file_create(path);
    if (transport == NULL) {
        report_line(&start->report, LOG_LEVEL_ERROR, "file exporter: %s: %s", path,
                    error_text(errno));
    }
    return transport;
}

static uint32_t create_transports(struct start *start, struct transport **transports)
{
    unsigned wanted = start->config.exporters;
    uint32_t count = 0;
    if ((wanted & EXPORTER_OTLP) != 0) {
        transports[count] = create_otlp(&start->config);
        count += transports[count] != NULL;
    }
    if ((wanted & EXPORTER_CONSOLE) != 0) {
        transports[count] = create_console(start);
        count += transports[count] != NULL;
    }
    if ((wanted & EXPORTER_FILE) != 0) {
        transports[count] = create_file(start);
        count += transports[count] != NULL;
    }
    return count;
}

static struct exporter *create(const char *const *environment, const struct worker_host *host)
{
    if (host != NULL) {
        process_stream_set_private(host->has_private_descriptors);
        fork_guard_set(host->enter_fork_guard, host->leave_fork_guard);
    }
    struct start start = {.report = {.level = LOG_LEVEL_WARN, .write = write_stderr}};
    config_parse(&start.config, environment, complain, &start);
    start.report.level = start.config.log_level;
    if (host != NULL && start.config.agent.size > 0) {
        report_line(&start.report, LOG_LEVEL_WARN,
                    "WIRESPAN_AGENT is neither a path nor @NAME: this process exports by itself");
    }
    if (!start.config.enabled || start.config.exporters == 0) {
        report_line(&start.report, LOG_LEVEL_INFO, "nothing is exported: switched off");
        return NULL;
    }
    const struct exporter_seams seams = {
        .clock = read_both_clocks,
        .random = draw_random,
        .write = write_stderr,
        .root = "",
        .serves_others = host == NULL,
        .boot_time_ns = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME),
    };
    struct transport *transports[LIMIT_TRANSPORTS];
    uint32_t count = create_transports(&start, transports);
    if (count == 0) {
        report_line(&start.report, LOG_LEVEL_ERROR, "nothing is exported: no exporter works");
        return NULL;
    }
    return exporter_create(&start.config, &seams, transports, count);
}

__attribute__((visibility("default"))) const struct worker_api wirespan_worker = {
    .version = WORKER_API_VERSION,
    .create = create,
    .add_segment = drain_add_segment,
    .remove_segment = drain_remove_segment,
    .step = exporter_step,
    .conclude = exporter_conclude,
    .has_backlog = drain_has_backlog,
    .is_drained = exporter_is_drained,
    .destroy = exporter_destroy,
};
