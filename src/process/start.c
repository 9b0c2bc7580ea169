/*
 * Start, fork and end of the observed process.
 *
 * The constructor takes no arguments (musl passes none that could be trusted), starts no thread and
 * opens nothing. A program that never uses a stream socket pays for one page and one snapshot of
 * the environment.
 */
#include <dlfcn.h>
#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "app_thread/attachment.h"
#include "app_thread/callbacks.h"
#include "app_thread/child_environment.h"
#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/hooks/environment.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/hooks/tls.h"
#include "app_thread/inject.h"
#include "app_thread/job_context.h"
#include "app_thread/jobs.h"
#include "app_thread/polls.h"
#include "app_thread/runs.h"
#include "app_thread/trace_context.h"
#include "app_thread/witness.h"
#include "base/symbol_versions.h"
#include "base/system_call.h"
#include "process/agent.h"
#include "process/background.h"
#include "process/config.h"
#include "process/identity.h"
#include "process/rules_files.h"
#include "rules/shipped.h"
#include "runtime/node_witness.h"
#include "runtime/python_witness.h"

#define PAGE_BYTES   4096u
#define WIPE_ON_FORK 18
#define PATH_BYTES   4096u
/* How long the end of a process may be held up by the export of what it finished. */
#define END_FLUSH_MS      2000u
#define WORKER_OBJECT     "libwirespan-worker.so"
#define ENVIRONMENT_NAMES 256u

/* Both are parts of one mapping, written once. */
struct start_memory {
    char worker_path[PATH_BYTES];
    char program_path[PATH_BYTES];
    struct config config;
    struct registration_address agent;
    const char *environment[ENVIRONMENT_NAMES + 1];
    size_t text_size;
    char text[LIMIT_ENVIRONMENT_BYTES];
};

static char **first_environment;

static uint64_t realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *map(size_t size, int flags)
{
    long address = raw_system_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
                                   flags | MAP_ANONYMOUS, -1, 0);
    return address < 0 && address > -4096 ? NULL : (void *)address;
}

/* ---- attaching ---- */

static struct segment *renew(struct attachment *page)
{
    identity_draw(page);
    size_t size = segment_size(LIMIT_SEGMENT_SLOTS);
    struct segment *segment = map(size, MAP_SHARED);
    if (segment == NULL) {
        return NULL;
    }
    struct segment_clock clock = {.realtime_ns = realtime_ns(), .monotonic_ns = clock_now_ns()};
    segment_initialize(segment, LIMIT_SEGMENT_SLOTS, attachment_process_id(), clock);
    page->doorbell = &segment->doorbell;
    /* The child of a fork has its own segment and no use for this one. */
    raw_system_call(SYS_madvise, (long)segment, (long)size, MADV_DONTFORK, 0, 0, 0);
    return segment;
}

static struct attachment *make_page(void)
{
    struct attachment *page = map(PAGE_BYTES, MAP_PRIVATE);
    if (page == NULL ||
        raw_system_call(SYS_madvise, (long)page, PAGE_BYTES, WIPE_ON_FORK, 0, 0, 0) != 0) {
        return NULL;
    }
    return page;
}

/* ---- the environment ---- */

static bool is_ours(const char *entry)
{
    static const char *const prefixes[] = {
        "OTEL_",       "WIRESPAN_",   "MACHINE_ID=",  "WORKER_ID=",   "NODE_ENV=",
        "RAILWAY_",    "SENTRY_",     "FLUENT",       "SERVICE_",     "TRACEPARENT=",
        "TRACESTATE=", "BAGGAGE=",    "HOSTNAME=",    "DASH0_",       "NO_PROXY=",
        "no_proxy=",   "http_proxy=", "https_proxy=", "HTTPS_PROXY=", "ALL_PROXY=",
        "all_proxy=",  "SSL_CERT_",   "OPENSSL_",     "CURL_",        "TZ=",
    };
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (entry[0] == prefixes[i][0] && strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Programs overwrite their environment (to set their title, say) before the exporter and its
   libraries read it. */
static void snapshot(struct start_memory *memory, char *const *environment)
{
    size_t names = 0;
    size_t used = 0;
    for (; environment != NULL && *environment != NULL && names < ENVIRONMENT_NAMES;
         environment++) {
        if (!is_ours(*environment)) {
            continue;
        }
        size_t size = strlen(*environment) + 1;
        if (size > LIMIT_ENVIRONMENT_BYTES - used) {
            continue;
        }
        memcpy(memory->text + used, *environment, size);
        memory->environment[names++] = memory->text + used;
        used += size;
    }
    memory->environment[names] = NULL;
    memory->text_size = used;
}

/* The worker's object lies beside this one. */
static bool find_worker(char path[PATH_BYTES])
{
    Dl_info info;
    if (dladdr(&attachment, &info) == 0 || info.dli_fname == NULL) {
        return false;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - info.dli_fname) + 1;
    if (folder + sizeof(WORKER_OBJECT) > PATH_BYTES) {
        return false;
    }
    memcpy(path, info.dli_fname, folder);
    memcpy(path + folder, WORKER_OBJECT, sizeof(WORKER_OBJECT));
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_chosen(const struct config *config, char path[PATH_BYTES])
{
    long size =
        raw_system_call(SYS_readlink, (long)"/proc/self/exe", (long)path, PATH_BYTES - 1, 0, 0, 0);
    if (size <= 0) {
        return true;
    }
    path[size] = '\0';
    const char *base = base_name(path);
    struct slice name = slice_of(base, strlen(base));
    return !config_list_has(config->except, name) &&
           (config->only.size == 0 || config_list_has(config->only, name));
}

/* ---- the process's moments, where it exports by itself ---- */

static bool has_segment(void)
{
    return attachment != NULL &&
           atomic_load_explicit(&attachment->segment, memory_order_acquire) != NULL;
}

static void before_end(int32_t cause)
{
    if (has_segment()) {
        connection_finish_all(&thread_state, cause);
        jobs_finish_all(&thread_state, clock_now_ns(), cause);
        polls_end(&thread_state, NULL);
        runs_finish_all(&thread_state, clock_now_ns(), cause);
        background_flush(END_FLUSH_MS);
    }
}

static void before_first_thread_ends(void)
{
    background_retire(END_FLUSH_MS);
}

/* A program that replaced its environment may have freed it by now, and the C library's resolver
   looks into it on our thread. What it was at the start is there for ever. */
static void finish_in_first_environment(void)
{
    char **now = environ;
    environ = first_environment;
    background_finish(END_FLUSH_MS);
    environment_note_libraries(background_library());
    if (environ == first_environment) {
        environ = now;
    }
}

static void finish(void)
{
    struct thread_state *self = &thread_state;
    if (hook_is_on() && !self->is_ours && has_segment()) {
        connection_finish_all(self, 0);
        jobs_finish_all(self, clock_now_ns(), 0);
        polls_end(self, NULL);
        runs_finish_all(self, clock_now_ns(), 0);
        finish_in_first_environment();
    }
}

/* The one is the C library of the GNU project's, the other musl's. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                             void *object) __attribute__((weak));
#pragma weak pthread_atfork
extern void *__dso_handle;

static void export_here(struct start_memory *memory)
{
    attachment_renew = renew;
    callbacks = (struct callbacks){
        .after_connection = background_start,
        .before_end = before_end,
        .before_first_thread_ends = before_first_thread_ends,
        .capabilities_set = background_set_capabilities,
        .before_fork = background_before_fork,
        .after_fork_in_parent = background_after_fork_in_parent,
        .after_fork_in_child = background_after_fork_in_child,
        .at_exit = finish,
        .environment = memory->environment,
    };
    background_configure(memory->worker_path, memory->environment, finish);
    if (__register_atfork != NULL) {
        __register_atfork(background_before_fork, background_after_fork_in_parent,
                          background_after_fork_in_child, &__dso_handle);
    } else if (pthread_atfork != NULL) {
        pthread_atfork(background_before_fork, background_after_fork_in_parent,
                       background_after_fork_in_child);
    }
}

/* ---- the same where another process exports ---- */

/* What is open is ended by the drainer, which knows how the process ended. */
static void before_agents_end(int32_t cause)
{
    bool is_exec = cause == record_abort_cause(ABORT_EXEC, 0);
    if (has_segment()) {
        if (!is_exec) {
            agent_before_end();
        }
        connection_finish_orderly(&thread_state);
        if (cause == 0) {
            jobs_finish_all(&thread_state, clock_now_ns(), 0);
            polls_end(&thread_state, NULL);
            runs_finish_all(&thread_state, clock_now_ns(), 0);
        }
        if (is_exec) {
            agent_before_exec();
        }
    }
    if (!is_exec) {
        agent_finish(END_FLUSH_MS);
    }
}

static void finish_for_agent(void)
{
    if (hook_is_on()) {
        before_agents_end(0);
    }
}

/* The program's name, as a variable without a name: the drainer may come to look at /proc when the
   process has ended, or is another program. */
static void note_program(struct start_memory *memory)
{
    size_t size = strlen(memory->program_path) + 1;
    if (size > 1 && size < LIMIT_ENVIRONMENT_BYTES - memory->text_size) {
        memory->text[memory->text_size] = '=';
        memcpy(memory->text + memory->text_size + 1, memory->program_path, size);
        memory->text_size += size + 1;
    }
}

static void export_there(struct start_memory *memory)
{
    note_program(memory);
    attachment_renew = agent_renew;
    attachment_frames_ahead = true;
    callbacks = (struct callbacks){
        .after_connection = agent_after_connection,
        .before_end = before_agents_end,
        .child_ended = agent_child_ended,
        .at_exit = finish_for_agent,
    };
    agent_configure(&memory->agent, memory->text, memory->text_size);
    agent_attach();
}

/* ---- start ---- */

static void at_exit(void)
{
    if (callbacks.at_exit != NULL) {
        callbacks.at_exit();
    }
}

/* Plain words on stderr: the C library's streams are not to be touched before the program begins.
 */
static void tell(const char *text)
{
    raw_system_call(SYS_write, STDERR_FILENO, (long)text, (long)strlen(text), 0, 0, 0);
}

static void patch_tls(const struct config *config)
{
    const char *why = config->patch_tls ? tls_openssl_patch_program() : NULL;
    if (why != NULL && config->log_level >= LOG_LEVEL_INFO) {
        tell("wirespan: the program's own TLS library stays unread: ");
        tell(why);
        tell("\n");
    }
}

static void complain_of_rules(const char *text)
{
    tell("wirespan: ");
    tell(text);
    tell("\n");
}

static void no_complaint(const char *text)
{
    (void)text;
}

static void load_rules(const struct config *config)
{
    bool is_told = config->log_level >= LOG_LEVEL_WARN;
    const struct rules *rules =
        config->rules.size > 0
            ? rules_files_load(config->rules, is_told ? complain_of_rules : no_complaint)
            : NULL;
    jobs_configure(rules != NULL ? rules : rules_shipped());
}

static void tell_of_witness(const char *runtime, const char *why)
{
    tell("wirespan: ");
    tell(runtime);
    tell(" cannot say what its requests are made for: ");
    tell(why);
    tell("\n");
}

static void prepare_witness(const struct config *config)
{
    bool tells = config->log_level >= LOG_LEVEL_INFO;
    const char *why = config->node_witness ? node_witness_prepare(tells) : NULL;
    if (why != NULL && tells) {
        tell_of_witness("Node", why);
    }
    if (witness != NULL) {
        return;
    }
    why = config->python_witness ? python_witness_prepare(tells) : NULL;
    if (why != NULL && tells) {
        tell_of_witness("Python", why);
    }
}

static void before_fork(void)
{
    if (hook_is_on()) {
        trace_context_before_fork(&thread_state);
    }
}

static void after_fork_in_parent(void)
{
    trace_context_after_fork(&thread_state);
}

/* Handlers run in the order opposite to that of their registration: this one, which may ask a
   runtime, before the one that holds the exporter up. */
static void watch_forks(void)
{
    if (__register_atfork != NULL) {
        __register_atfork(before_fork, after_fork_in_parent, NULL, &__dso_handle);
    } else if (pthread_atfork != NULL) {
        pthread_atfork(before_fork, after_fork_in_parent, NULL);
    }
}

static void switch_on(const struct config *config, struct start_memory *memory)
{
    attachment = make_page();
    if (attachment == NULL) {
        return;
    }
    attachment_sampling_threshold = config->sampler_threshold;
    attachment_producers_are_traced = config->producers_are_traced;
    attachment_sampling_follows_parent = config->sampler >= SAMPLER_PARENTBASED_ALWAYS_ON;
    attachment_reads_traceparent = (config->propagators & PROPAGATOR_TRACECONTEXT) != 0;
    attachment_reads_baggage = (config->propagators & PROPAGATOR_BAGGAGE) != 0;
    attachment_context_age_ns = config->context_seconds * UINT64_C(1000000000);
    attachment_context_spans = config->context_spans;
    inject_configure(attachment_reads_traceparent, config->propagate_to, config->propagate_not_to);
    if (attachment_reads_traceparent) {
        trace_context_set_ambient(config->traceparent, config->tracestate,
                                  attachment_reads_baggage ? config->baggage : SLICE(""),
                                  slice_equals(config->started_for, SLICE("job")), clock_now_ns());
    }
    job_context_is_on = config->job_context && attachment_reads_traceparent;
    child_environment_configure(attachment_reads_traceparent, config->traceparent,
                                config->tracestate, config->baggage, config->started_for);
    attachment_reports_connections = config->connection_spans;
    load_rules(config);
    if (registration_parse_address(config->agent, &memory->agent)) {
        export_there(memory);
    } else {
        export_here(memory);
    }
    atexit(at_exit);
    patch_tls(config);
    prepare_witness(config);
    if (attachment_reads_traceparent) {
        watch_forks();
    }
    atomic_store_explicit(&attachment_is_on, true, memory_order_release);
}

__attribute__((constructor)) static void start(void)
{
    originals_resolve();
    if (environ == NULL) {
        return;
    }
    struct start_memory *memory = map(sizeof(*memory), MAP_PRIVATE);
    if (memory == NULL) {
        return;
    }
    first_environment = environ;
    snapshot(memory, environ);
    struct config *config = &memory->config;
    config_parse(config, memory->environment, NULL, NULL);
    if (config->enabled && is_chosen(config, memory->program_path) &&
        find_worker(memory->worker_path)) {
        switch_on(config, memory);
    }
}

/* For programs whose exit handlers are skipped but whose destructors run. */
__attribute__((destructor)) static void end(void)
{
    at_exit();
}
