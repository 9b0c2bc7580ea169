/*
 * Drives one transport by hand, for the tests around it.
 *
 *     send_batch [option ...] http|grpc|console|file TARGET
 *
 * Each line of stdin is a batch in OTLP JSON; it is sent, and one line of JSON on stdout says what
 * became of it. A line "cancel MS {...}" gives the batch up after so long. Ends with stdin.
 * Signals stay as a program has them, but for the two that the transports' header names.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "worker/otlp/json_read.h"
#include "worker/transport/create.h"

#define POLL_MAX 8

static double monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static struct slice text_slice(const char *text)
{
    return slice_of(text, strlen(text));
}

static const char *result_name(enum transport_result result)
{
    switch (result) {
    case TRANSPORT_PENDING:
        return "pending";
    case TRANSPORT_DELIVERED:
        return "delivered";
    case TRANSPORT_RETRY:
        return "retry";
    case TRANSPORT_TOO_LARGE:
        return "too large";
    case TRANSPORT_REFUSED:
        return "refused";
    }
    return "impossible";
}

struct account {
    double elapsed_ms;
    double longest_step_ms;
    unsigned steps;
};

static enum transport_result timed_step(struct transport *transport,
                                        struct transport_outcome *outcome, struct account *account)
{
    double before = monotonic_ms();
    enum transport_result result = transport->ops->step(transport, outcome);
    double took = monotonic_ms() - before;
    account->longest_step_ms = took > account->longest_step_ms ? took : account->longest_step_ms;
    account->steps++;
    return result;
}

/* Steps until the batch is over, or until `cancel_ms` have passed. */
static enum transport_result run(struct transport *transport, int cancel_ms,
                                 struct transport_outcome *outcome, struct account *account)
{
    double start = monotonic_ms();
    enum transport_result result;
    while ((result = timed_step(transport, outcome, account)) == TRANSPORT_PENDING) {
        struct pollfd descriptors[POLL_MAX];
        int timeout_ms = -1;
        size_t count = transport->ops->descriptors(transport, descriptors, POLL_MAX, &timeout_ms);
        if (cancel_ms >= 0) {
            double left = cancel_ms - (monotonic_ms() - start);
            if (left <= 0) {
                transport->ops->cancel(transport);
                break;
            }
            if (timeout_ms < 0 || left < timeout_ms) {
                timeout_ms = (int)left + 1;
            }
        }
        poll(descriptors, count, timeout_ms);
    }
    account->elapsed_ms = monotonic_ms() - start;
    return result;
}

static void report(const char *result, const struct transport_outcome *outcome,
                   const struct account *account)
{
    json_t *line =
        json_pack("{s:s, s:i, s:i, s:s, s:f, s:f, s:i}", "result", result, "rejected",
                  (int)outcome->rejected, "retry_after_ms", (int)outcome->retry_after_ms, "message",
                  outcome->message, "elapsed_ms", account->elapsed_ms, "longest_step_ms",
                  account->longest_step_ms, "steps", (int)account->steps);
    if (line == NULL || json_dumpf(line, stdout, JSON_COMPACT) != 0) {
        fputs("send_batch: cannot report\n", stderr);
        exit(1);
    }
    json_decref(line);
    putchar('\n');
    fflush(stdout);
}

static void send_line(struct transport *transport, const char *line)
{
    int cancel_ms = -1;
    int at = 0;
    if (sscanf(line, "cancel %d %n", &cancel_ms, &at) == 1) {
        line += at;
    }
    json_t *json = json_loads(line, 0, NULL);
    const char *what = "not JSON";
    Otlp__ExportTraceServiceRequest *request = json != NULL ? otlp_from_json(json, &what) : NULL;
    if (request == NULL) {
        fprintf(stderr, "send_batch: bad batch: %s\n", what);
        exit(2);
    }
    size_t size = otlp__export_trace_service_request__get_packed_size(request);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL) {
        exit(1);
    }
    otlp__export_trace_service_request__pack(request, bytes);
    struct export_batch batch = {.bytes = bytes, .size = size};
    for (size_t i = 0; i < request->n_resource_spans; i++) {
        for (size_t j = 0; j < request->resource_spans[i]->n_scope_spans; j++) {
            batch.span_count += (uint32_t)request->resource_spans[i]->scope_spans[j]->n_spans;
        }
    }
    struct transport_outcome outcome = {0};
    struct account account = {0};
    int began = transport->ops->begin(transport, &batch);
    if (began != 0) {
        snprintf(outcome.message, sizeof(outcome.message), "%s", strerror(-began));
        report("not begun", &outcome, &account);
    } else {
        enum transport_result result = run(transport, cancel_ms, &outcome, &account);
        report(result_name(result), &outcome, &account);
    }
    free(bytes);
    otlp__export_trace_service_request__free_unpacked(request, NULL);
    json_decref(json);
}

static struct transport *create(const char *kind, const char *target, struct config *config)
{
    struct transport *transport = NULL;
    snprintf(config->endpoint, sizeof(config->endpoint), "%s", target);
    if (strcmp(kind, "http") == 0) {
        return otlp_http_create(config);
    }
    if (strcmp(kind, "grpc") == 0) {
        return otlp_grpc_create(config);
    }
    if (strcmp(kind, "console") == 0) {
        transport = console_create(atoi(target));
    } else if (strcmp(kind, "file") == 0) {
        transport = file_create(target);
    }
    if (transport == NULL) {
        fprintf(stderr, "send_batch: %s %s: %s\n", kind, target, strerror(errno));
    }
    return transport;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"gzip", no_argument, NULL, 'z'},
        {"timeout", required_argument, NULL, 't'},
        {"headers", required_argument, NULL, 'h'},
        {"certificate", required_argument, NULL, 'c'},
        {"client-key", required_argument, NULL, 'k'},
        {"client-certificate", required_argument, NULL, 'l'},
        {0},
    };
    struct config config = {.log_level = LOG_LEVEL_WARN, .timeout_ms = 10000};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'z':
            config.gzip = true;
            break;
        case 't':
            config.timeout_ms = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'h':
            config.headers = text_slice(optarg);
            break;
        case 'c':
            config.certificate = text_slice(optarg);
            break;
        case 'k':
            config.client_key = text_slice(optarg);
            break;
        case 'l':
            config.client_certificate = text_slice(optarg);
            break;
        default:
            return 2;
        }
    }
    if (argc - optind != 2) {
        fputs("usage: send_batch [option ...] http|grpc|console|file TARGET\n", stderr);
        return 2;
    }
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGPIPE);
    sigaddset(&blocked, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &blocked, NULL);

    struct transport *transport = create(argv[optind], argv[optind + 1], &config);
    if (transport == NULL) {
        return 1;
    }
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        send_line(transport, line);
    }
    free(line);
    transport->ops->destroy(transport);
    return 0;
}
