/*
 * wirespan view: receives or reads traces and draws them.
 *
 * Traces are drawn once they have been quiet for a while; in scripts (--count, --idle) and from
 * files at the end, in the order of their start.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "command/subcommands.h"
#include "command/view/draw.h"
#include "command/view/options.h"
#include "command/view/read_file.h"
#include "command/view/receive.h"
#include "command/view/store.h"
#include "command/view/tree.h"
#include "worker/otlp/json.h"

#define SECOND_NS     1000000000ull
#define MS_NS         1000000ull
#define QUIET_NS      SECOND_NS /* an exporter's batches of one trace follow closer than this */
#define FOLLOW_MS     200       /* between two looks at the end of a followed file */
#define DEFAULT_WIDTH 120u
#define FIXED_FDS     2u /* signals, receiver */

struct viewer {
    const struct options *options;
    struct draw_style style;
    struct store *store;
    struct receiver *receiver;
    struct file_reader **readers;
    struct pollfd *ready; /* FIXED_FDS, then one for each file */
    int signals;
    bool failed;
    uint64_t span_count; /* that arrived */
    uint64_t arrived_ns; /* when the last ones did */
    uint64_t drawn_ns;   /* the arrival up to which traces were drawn */
    unsigned complaints;
    const struct store_trace **alone; /* traces of one span, drawn together as a list */
    size_t alone_count;
    size_t alone_capacity;
};

/* ---- what arrives ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void complain(void *context, const char *text)
{
    struct viewer *viewer = context;
    viewer->complaints++;
    if (viewer->complaints <= LIMIT_VIEW_COMPLAINTS) {
        fprintf(stderr, "wirespan view: %s\n", text);
    } else if (viewer->complaints == LIMIT_VIEW_COMPLAINTS + 1) {
        fputs("wirespan view: further complaints are left out\n", stderr);
    }
}

static void complain_about_file(void *context, const char *text)
{
    struct viewer *viewer = context;
    viewer->failed = true;
    fprintf(stderr, "wirespan view: %s\n", text);
}

static uint64_t count_spans(const Otlp__ExportTraceServiceRequest *message)
{
    uint64_t count = 0;
    for (size_t i = 0; i < message->n_resource_spans; i++) {
        for (size_t j = 0; j < message->resource_spans[i]->n_scope_spans; j++) {
            count += message->resource_spans[i]->scope_spans[j]->n_spans;
        }
    }
    return count;
}

static void write_json(struct viewer *viewer, const Otlp__ExportTraceServiceRequest *message)
{
    json_t *json = otlp_to_json(message);
    if (json == NULL || json_dumpf(json, viewer->style.out, JSON_COMPACT) != 0) {
        viewer->failed = true;
    } else {
        fputc('\n', viewer->style.out);
        fflush(viewer->style.out);
    }
    json_decref(json);
}

static uint64_t take(void *context, const Otlp__ExportTraceServiceRequest *message)
{
    struct viewer *viewer = context;
    viewer->arrived_ns = now_ns();
    viewer->span_count += count_spans(message);
    if (viewer->options->json) {
        write_json(viewer, message);
    }
    return store_add(viewer->store, message, viewer->arrived_ns);
}

static void take_from_file(void *context, const Otlp__ExportTraceServiceRequest *message)
{
    take(context, message);
}

/* ---- drawing ---- */

static bool has_id(const struct tree *tree, const char *wanted)
{
    for (size_t i = 0; i < tree->trace_count; i++) {
        char id[33];
        for (size_t j = 0; j < 16; j++) {
            snprintf(id + 2 * j, 3, "%02x", tree->traces[i]->trace_id[j]);
        }
        if (strncasecmp(id, wanted, strlen(wanted)) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_service(const struct tree *tree, const char *wanted)
{
    for (size_t i = 0; i < tree->row_count; i++) {
        if (strcmp(tree->rows[i].span->service, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct options *options, const struct tree *tree)
{
    return (options->trace == NULL || has_id(tree, options->trace)) &&
           (options->service == NULL || has_service(tree, options->service)) &&
           (!options->errors || tree->error_count > 0) &&
           tree->end_ns - tree->start_ns >= options->min_duration_ns;
}

static bool keep_alone(struct viewer *viewer, const struct store_trace *trace)
{
    if (viewer->alone_count == viewer->alone_capacity) {
        size_t capacity = viewer->alone_capacity > 0 ? viewer->alone_capacity * 2 : 64;
        const struct store_trace **grown =
            reallocarray(viewer->alone, capacity, sizeof(struct store_trace *));
        if (grown == NULL) {
            return false;
        }
        viewer->alone = grown;
        viewer->alone_capacity = capacity;
    }
    viewer->alone[viewer->alone_count++] = trace;
    return true;
}

static void draw_one(struct viewer *viewer, struct tree *tree)
{
    if (tree == NULL) {
        complain(viewer, "no memory to draw");
        viewer->failed = true;
        return;
    }
    draw_tree(&viewer->style, tree);
    fputc('\n', viewer->style.out);
    tree_destroy(tree);
}

/* What has one span only, and is joined to nothing, says more in a list than each by itself. */
static void draw_alone(struct viewer *viewer)
{
    if (viewer->alone_count == 1) {
        draw_one(viewer, tree_create(viewer->store, viewer->alone[0]));
    } else if (viewer->alone_count > 1) {
        draw_one(viewer, tree_create_list(viewer->alone, viewer->alone_count));
    }
    viewer->alone_count = 0;
}

static void draw_trace(struct viewer *viewer, struct store_trace *trace)
{
    trace->shown_count = trace->span_count;
    struct tree *tree = tree_create(viewer->store, trace);
    for (size_t i = 0; tree != NULL && i < tree->trace_count; i++) {
        struct store_trace *member = store_find_trace(viewer->store, tree->traces[i]->trace_id);
        member->shown_count = member->span_count;
    }
    if (tree != NULL && (!is_wanted(viewer->options, tree) ||
                         (tree->row_count == 1 && keep_alone(viewer, trace)))) {
        tree_destroy(tree);
        return;
    }
    draw_one(viewer, tree);
}

/* Draws what has been quiet; `now` UINT64_MAX takes all. */
static void draw_quiet(struct viewer *viewer, uint64_t now)
{
    struct store_trace *trace = store_quietest(viewer->store);
    while (trace != NULL && (now == UINT64_MAX || now - trace->arrived_ns >= QUIET_NS)) {
        if (trace->shown_count < trace->span_count) {
            draw_trace(viewer, trace);
        }
        trace = trace->livelier;
    }
    draw_alone(viewer);
    fflush(viewer->style.out);
}

struct started_trace {
    struct store_trace *trace;
    uint64_t start_ns;
};

static int compare_starts(const void *left, const void *right)
{
    const struct started_trace *a = left;
    const struct started_trace *b = right;
    if (a->start_ns != b->start_ns) {
        return a->start_ns < b->start_ns ? -1 : 1;
    }
    return memcmp(a->trace->trace_id, b->trace->trace_id, sizeof(a->trace->trace_id));
}

static uint64_t start_of(const struct store_trace *trace)
{
    uint64_t start = UINT64_MAX;
    for (const struct store_span *span = trace->first; span != NULL; span = span->next) {
        start = span->start_ns < start ? span->start_ns : start;
    }
    return start;
}

/* What was not drawn yet, in the order of its start. */
static void draw_rest(struct viewer *viewer)
{
    size_t count = 0;
    for (struct store_trace *trace = store_quietest(viewer->store); trace != NULL;
         trace = trace->livelier) {
        count++;
    }
    struct started_trace *traces = calloc(count > 0 ? count : 1, sizeof(*traces));
    if (traces == NULL) {
        draw_quiet(viewer, UINT64_MAX);
        return;
    }
    size_t i = 0;
    for (struct store_trace *trace = store_quietest(viewer->store); trace != NULL;
         trace = trace->livelier) {
        traces[i++] = (struct started_trace){trace, start_of(trace)};
    }
    qsort(traces, count, sizeof(*traces), compare_starts);
    for (i = 0; i < count; i++) {
        if (traces[i].trace->shown_count < traces[i].trace->span_count) {
            draw_trace(viewer, traces[i].trace);
        }
    }
    draw_alone(viewer);
    free(traces);
}

static bool draws_at_end(const struct options *options)
{
    bool is_endless = options->listen != NULL || options->follow;
    return !is_endless || options->count > 0 || options->idle_ns > 0;
}

static void draw_end(struct viewer *viewer)
{
    const struct options *options = viewer->options;
    if (!options->json) {
        draw_rest(viewer);
        if (options->summary) {
            draw_services(&viewer->style, viewer->store);
        }
        draw_losses(&viewer->style, viewer->store);
    }
    if (viewer->span_count == 0) {
        fputs("wirespan view: no spans arrived\n", stderr);
    }
}

/* ---- the loop ---- */

/* Reads a part of every file that has something. Returns whether one has more at once. */
static bool read_files(struct viewer *viewer)
{
    bool has_more = false;
    for (size_t i = 0; i < viewer->options->file_count; i++) {
        struct file_reader *reader = viewer->readers[i];
        bool is_stream = reader != NULL && file_reader_descriptor(reader) >= 0;
        if (reader == NULL || (is_stream && viewer->ready[FIXED_FDS + i].revents == 0)) {
            continue;
        }
        enum file_reader_result result = file_reader_step(reader);
        bool is_final = is_stream || !viewer->options->follow;
        if (result == FILE_READER_FAILED || (result == FILE_READER_END && is_final)) {
            viewer->readers[i] = file_reader_destroy(reader);
        }
        has_more = has_more || (result == FILE_READER_MORE && !is_stream);
    }
    return has_more;
}

/* Waits for a signal, a request or a stream; returns false once a signal came. */
static bool wait_for_input(struct viewer *viewer, int timeout_ms)
{
    viewer->ready[0] = (struct pollfd){.fd = viewer->signals, .events = POLLIN};
    viewer->ready[1] = (struct pollfd){
        .fd = viewer->receiver != NULL ? receiver_descriptor(viewer->receiver) : -1,
        .events = POLLIN,
    };
    for (size_t i = 0; i < viewer->options->file_count; i++) {
        const struct file_reader *reader = viewer->readers[i];
        viewer->ready[FIXED_FDS + i] = (struct pollfd){
            .fd = reader != NULL ? file_reader_descriptor(reader) : -1, .events = POLLIN};
    }
    poll(viewer->ready, FIXED_FDS + viewer->options->file_count, timeout_ms);
    return viewer->ready[0].revents == 0;
}

static bool has_input(const struct viewer *viewer)
{
    bool reads = false;
    for (size_t i = 0; i < viewer->options->file_count; i++) {
        reads = reads || viewer->readers[i] != NULL;
    }
    return viewer->receiver != NULL || reads;
}

static bool is_over(const struct viewer *viewer, uint64_t now)
{
    const struct options *options = viewer->options;
    return (options->count > 0 && viewer->span_count >= options->count) ||
           (options->idle_ns > 0 && now - viewer->arrived_ns >= options->idle_ns);
}

static void shorten(int *timeout_ms, uint64_t from_ns, uint64_t until_ns)
{
    uint64_t ms = until_ns > from_ns ? (until_ns - from_ns + MS_NS - 1) / MS_NS : 0;
    if (*timeout_ms < 0 || ms < (uint64_t)*timeout_ms) {
        *timeout_ms = (int)(ms < 60000 ? ms : 60000);
    }
}

static int next_timeout(const struct viewer *viewer, uint64_t now)
{
    const struct options *options = viewer->options;
    int timeout_ms = viewer->receiver != NULL ? receiver_timeout_ms(viewer->receiver) : -1;
    if (options->follow) {
        shorten(&timeout_ms, now, now + FOLLOW_MS * MS_NS);
    }
    if (options->idle_ns > 0) {
        shorten(&timeout_ms, now, viewer->arrived_ns + options->idle_ns);
    }
    if (!draws_at_end(options) && viewer->drawn_ns < viewer->arrived_ns) {
        shorten(&timeout_ms, now, viewer->arrived_ns + QUIET_NS);
    }
    return timeout_ms;
}

/* Draws while it runs. */
static void draw_meanwhile(struct viewer *viewer, uint64_t now)
{
    if (draws_at_end(viewer->options) || viewer->options->json ||
        viewer->drawn_ns >= viewer->arrived_ns) {
        return;
    }
    draw_quiet(viewer, now);
    if (now - viewer->arrived_ns >= QUIET_NS) {
        viewer->drawn_ns = viewer->arrived_ns;
    }
}

static void run(struct viewer *viewer)
{
    viewer->arrived_ns = now_ns();
    viewer->drawn_ns = viewer->arrived_ns;
    for (;;) {
        bool has_more = read_files(viewer);
        uint64_t now = now_ns();
        draw_meanwhile(viewer, now);
        if (!has_input(viewer) || is_over(viewer, now) ||
            !wait_for_input(viewer, has_more ? 0 : next_timeout(viewer, now))) {
            return;
        }
        if (viewer->receiver != NULL) {
            receiver_step(viewer->receiver);
        }
    }
}

/* ---- beginning and end ---- */

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    const char *columns = getenv("COLUMNS");
    uint64_t width = 0;
    return columns != NULL && options_parse_count(columns, 10000, &width) ? (size_t)width
                                                                          : DEFAULT_WIDTH;
}

static bool wants_colour(enum colour_choice choice)
{
    const char *no_colour = getenv("NO_COLOR");
    if (choice != COLOUR_AUTO) {
        return choice == COLOUR_ALWAYS;
    }
    return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0');
}

static struct draw_style choose_style(const struct options *options)
{
    return (struct draw_style){
        .out = stdout,
        .width = options->width > 0 ? options->width : terminal_width(),
        .colour = wants_colour(options->colour),
        .utf8 = !options->ascii && strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .all = options->all,
    };
}

/* From here on SIGINT and SIGTERM end the loop, not the process: what arrived is still drawn. */
static bool open_signals(struct viewer *viewer)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) == 0) {
        viewer->signals = signalfd(-1, &signals, SFD_CLOEXEC);
    }
    if (viewer->signals < 0) {
        fprintf(stderr, "wirespan view: signals: %s\n", strerror(errno));
    }
    return viewer->signals >= 0;
}

static bool open_files(struct viewer *viewer, const struct file_reader_sink *sink)
{
    const struct options *options = viewer->options;
    viewer->readers = calloc(options->file_count + 1, sizeof(struct file_reader *));
    viewer->ready = calloc(options->file_count + FIXED_FDS, sizeof(*viewer->ready));
    if (viewer->readers == NULL || viewer->ready == NULL) {
        fputs("wirespan view: no memory\n", stderr);
        return false;
    }
    for (size_t i = 0; i < options->file_count; i++) {
        viewer->readers[i] = file_reader_create(options->files[i], options->follow, sink);
        if (viewer->readers[i] == NULL) {
            fprintf(stderr, "wirespan view: %s: %s\n", options->files[i], strerror(errno));
            return false;
        }
    }
    return true;
}

static bool open_receiver(struct viewer *viewer, const struct receiver_sink *sink)
{
    char why[256];
    if (viewer->options->listen == NULL) {
        return true;
    }
    viewer->receiver = receiver_create(viewer->options->listen, sink, why, sizeof(why));
    if (viewer->receiver == NULL) {
        fprintf(stderr, "wirespan view: %s\n", why);
        return false;
    }
    return true;
}

/* A script reads the port here, and may send a signal from now on. */
static void announce(const struct viewer *viewer)
{
    if (viewer->receiver != NULL) {
        fprintf(stderr, "wirespan view: receiving on http://%s/v1/traces\n",
                receiver_address(viewer->receiver));
    }
}

static void finish(struct viewer *viewer)
{
    for (size_t i = 0; viewer->readers != NULL && i < viewer->options->file_count; i++) {
        file_reader_destroy(viewer->readers[i]);
    }
    free(viewer->readers);
    free(viewer->ready);
    free(viewer->alone);
    receiver_destroy(viewer->receiver);
    store_destroy(viewer->store);
    if (viewer->signals >= 0) {
        close(viewer->signals);
    }
}

int view_main(int argc, char **argv)
{
    struct options options;
    if (options_parse(&options, argc, argv) != 0) {
        return EXIT_FAILED;
    }
    setlocale(LC_CTYPE, "");
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed)) {
        seed = now_ns();
    }
    struct viewer viewer = {
        .options = &options,
        .style = choose_style(&options),
        .store = store_create((struct store_limits){LIMIT_VIEW_SPANS, LIMIT_VIEW_BYTES}, seed),
        .signals = -1,
    };
    const struct receiver_sink receiver_sink = {&viewer, take, complain};
    const struct file_reader_sink file_sink = {&viewer, take_from_file, complain_about_file};
    bool is_open = viewer.store != NULL && open_files(&viewer, &file_sink) &&
                   open_receiver(&viewer, &receiver_sink) && open_signals(&viewer);
    if (is_open) {
        announce(&viewer);
        run(&viewer);
        draw_end(&viewer);
    }
    finish(&viewer);
    bool is_written = fflush(stdout) == 0 && !ferror(stdout);
    if (!is_written) {
        fprintf(stderr, "wirespan view: cannot write: %s\n", strerror(errno));
    }
    return is_open && is_written && !viewer.failed ? EXIT_DONE : EXIT_FAILED;
}
