#include "process/config.h"

#include <string.h>

#include "base/limits.h"
#include "process/endpoint.h"
#include "process/sampling_ratio.h"

#define COMPLAINT_BYTES 320u
/* A bad value is quoted up to here. */
#define QUOTED_BYTES 80u
/* "at least 0 to 2^31-1" */
#define LARGEST_NUMBER UINT32_C(2147483647)

#define DEFAULT_SCHEDULE_DELAY_MS 5000u
#define DEFAULT_EXPORT_TIMEOUT_MS 30000u
#define DEFAULT_OTLP_TIMEOUT_MS   10000u
#define DEFAULT_COUNT_LIMIT       128u
/* More than the specification's 2048 and 512: a worker's whole burst fits. */
#define DEFAULT_MAX_QUEUE_SIZE 10000u
#define DEFAULT_MAX_BATCH_SIZE 1000u

struct reader {
    const char *const *environment;
    config_complaint *complain;
    void *context;
};

struct word {
    const char *text;
    int value;
};

#define WORDS(table) (table), sizeof(table) / sizeof((table)[0])

/* ---- values ---- */

static struct slice slice_of_text(const char *text)
{
    return slice_of(text, text == NULL ? 0 : strlen(text));
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static struct slice trim(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        slice_take(&text, 1);
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

const char *config_lookup(const char *const *environment, const char *name)
{
    size_t size = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *entry = *environment;
        size_t i = 0;
        while (i < size && entry[i] == name[i]) {
            i++;
        }
        if (i == size && entry[i] == '=') {
            return entry + i + 1;
        }
    }
    return NULL;
}

/* Trimmed; empty if unset: the two are the same. */
static struct slice get(const struct reader *reader, const char *name)
{
    return trim(slice_of_text(config_lookup(reader->environment, name)));
}

/* ---- complaints ---- */

struct line {
    char text[COMPLAINT_BYTES];
    size_t used;
};

static void append(struct line *line, struct slice text)
{
    for (size_t i = 0; i < text.size && line->used + 1 < sizeof(line->text); i++) {
        uint8_t byte = text.data[i];
        line->text[line->used++] = byte >= ' ' && byte < 0x7f ? (char)byte : '?';
    }
    line->text[line->used] = '\0';
}

/* "NAME=value: problem"; values that may be secret are not passed in. */
static void complain(const struct reader *reader, const char *name, struct slice value,
                     const char *problem)
{
    if (reader->complain == NULL) {
        return;
    }
    struct line line = {.used = 0};
    append(&line, slice_of_text(name));
    if (value.size > 0) {
        append(&line, SLICE("="));
        append(&line, slice_of(value.data, value.size < QUOTED_BYTES ? value.size : QUOTED_BYTES));
        append(&line, value.size > QUOTED_BYTES ? SLICE("...") : SLICE(""));
    }
    append(&line, SLICE(": "));
    append(&line, slice_of_text(problem));
    reader->complain(reader->context, line.text);
}

/* ---- kinds of values ---- */

static bool get_boolean(const struct reader *reader, const char *name, bool unset)
{
    struct slice value = get(reader, name);
    if (value.size == 0) {
        return unset;
    }
    if (slice_equals_ignoring_case(value, SLICE("true"))) {
        return true;
    }
    if (!slice_equals_ignoring_case(value, SLICE("false"))) {
        complain(reader, name, value, "neither true nor false; it counts as false");
    }
    return false;
}

static bool parse_number(struct slice text, uint32_t *number)
{
    uint64_t value = 0;
    if (text.size == 0) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
        if (value > LARGEST_NUMBER) {
            return false;
        }
    }
    *number = (uint32_t)value;
    return true;
}

static uint32_t get_number(const struct reader *reader, const char *name, uint32_t unset)
{
    struct slice value = get(reader, name);
    uint32_t number = unset;
    if (value.size > 0 && !parse_number(value, &number)) {
        complain(reader, name, value, "not a whole number from 0 to 2147483647; it is ignored");
    }
    return number;
}

static uint32_t get_positive(const struct reader *reader, const char *name, uint32_t unset)
{
    uint32_t number = get_number(reader, name, unset);
    if (number == 0) {
        complain(reader, name, get(reader, name), "must be positive; it is ignored");
        return unset;
    }
    return number;
}

static bool find_word(struct slice value, const struct word *words, size_t count, int *found)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals_ignoring_case(value, slice_of_text(words[i].text))) {
            *found = words[i].value;
            return true;
        }
    }
    return false;
}

static int get_word(const struct reader *reader, const char *name, const struct word *words,
                    size_t count, int unset)
{
    struct slice value = get(reader, name);
    int found = unset;
    if (value.size > 0 && !find_word(value, words, count, &found)) {
        complain(reader, name, value, "not a known value; it is ignored");
    }
    return found;
}

/* The next entry of a comma-separated list that is not empty, trimmed. */
static bool next_of_list(struct slice *list, struct slice *entry)
{
    while (list->size > 0) {
        size_t size = 0;
        while (size < list->size && list->data[size] != ',') {
            size++;
        }
        *entry = trim(slice_take(list, size));
        slice_take(list, list->size > 0 ? 1 : 0);
        if (entry->size > 0) {
            return true;
        }
    }
    return false;
}

bool config_list_has(struct slice list, struct slice wanted)
{
    struct slice entry;
    while (next_of_list(&list, &entry)) {
        if (slice_equals(entry, wanted)) {
            return true;
        }
    }
    return false;
}

/* A list as a bit set. `none` (bit 0 of no member) counts only alone. Nothing known: `unset`. */
static unsigned get_bits(const struct reader *reader, const char *name, const struct word *words,
                         size_t count, unsigned unset)
{
    struct slice list = get(reader, name);
    struct slice entry;
    unsigned bits = 0;
    bool has_none = false;
    while (next_of_list(&list, &entry)) {
        int bit;
        if (slice_equals_ignoring_case(entry, SLICE("none"))) {
            has_none = true;
        } else if (find_word(entry, words, count, &bit)) {
            bits |= (unsigned)bit;
        } else {
            complain(reader, name, entry, "not available; it is left out");
        }
    }
    if (has_none && bits != 0) {
        complain(reader, name, SLICE("none"), "stands beside others; it is left out");
    }
    return bits != 0 || has_none ? bits : unset;
}

/* ---- groups of variables ---- */

static void parse_switches(const struct reader *reader, struct config *config)
{
    bool is_on = get_boolean(reader, "WIRESPAN_ENABLED", true);
    bool is_on_by_seed = get_boolean(reader, "OTEL_ENABLED", true);
    bool is_disabled = get_boolean(reader, "OTEL_SDK_DISABLED", false);
    config->enabled = is_on && is_on_by_seed && !is_disabled;
    config->agent = get(reader, "WIRESPAN_AGENT");
    config->rules = get(reader, "WIRESPAN_RULES");
    config->traceparent = get(reader, "TRACEPARENT");
    config->tracestate = get(reader, "TRACESTATE");
    config->baggage = get(reader, "BAGGAGE");
    config->started_for = get(reader, "WIRESPAN_STARTED_FOR");
    config->job_context = get_boolean(reader, "WIRESPAN_JOB_CONTEXT", false);
    config->propagate_to = get(reader, "WIRESPAN_PROPAGATE_TO");
    config->propagate_not_to = get(reader, "WIRESPAN_PROPAGATE_NOT_TO");
    config->profile = get(reader, "WIRESPAN_PROFILE");
    config->only = get(reader, "WIRESPAN_ONLY");
    config->except = get(reader, "WIRESPAN_EXCEPT");
}

static void parse_log_level(const struct reader *reader, struct config *config)
{
    static const struct word levels[] = {
        {"none", LOG_LEVEL_NONE},   {"off", LOG_LEVEL_NONE},      {"fatal", LOG_LEVEL_ERROR},
        {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN},     {"warning", LOG_LEVEL_WARN},
        {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},   {"trace", LOG_LEVEL_DEBUG},
        {"all", LOG_LEVEL_DEBUG},   {"verbose", LOG_LEVEL_DEBUG},
    };
    config->log_level = LOG_LEVEL_WARN;
    int level = get_word(reader, "OTEL_LOG_LEVEL", WORDS(levels), LOG_LEVEL_WARN);
    level = get_word(reader, "WIRESPAN_LOG_LEVEL", WORDS(levels), level);
    config->log_level = (enum log_level)level;
}

static double parse_sampler_ratio(const struct reader *reader)
{
    static const char name[] = "OTEL_TRACES_SAMPLER_ARG";
    struct slice value = get(reader, name);
    double ratio = 1;
    if (value.size > 0 && !sampling_ratio_parse(value, &ratio)) {
        complain(reader, name, value, "not a number between 0 and 1; 1 is used");
    }
    return ratio;
}

static void parse_sampler(const struct reader *reader, struct config *config)
{
    static const struct word samplers[] = {
        {"always_on", SAMPLER_ALWAYS_ON},
        {"always_off", SAMPLER_ALWAYS_OFF},
        {"traceidratio", SAMPLER_TRACEIDRATIO},
        {"parentbased_always_on", SAMPLER_PARENTBASED_ALWAYS_ON},
        {"parentbased_always_off", SAMPLER_PARENTBASED_ALWAYS_OFF},
        {"parentbased_traceidratio", SAMPLER_PARENTBASED_TRACEIDRATIO},
    };
    config->sampler = (enum sampler_kind)get_word(reader, "OTEL_TRACES_SAMPLER", WORDS(samplers),
                                                  SAMPLER_PARENTBASED_ALWAYS_ON);
    switch (config->sampler) {
    case SAMPLER_ALWAYS_ON:
    case SAMPLER_PARENTBASED_ALWAYS_ON:
        config->sampler_threshold = 0;
        break;
    case SAMPLER_ALWAYS_OFF:
    case SAMPLER_PARENTBASED_ALWAYS_OFF:
        config->sampler_threshold = SAMPLING_KEEP_NONE;
        break;
    case SAMPLER_TRACEIDRATIO:
    case SAMPLER_PARENTBASED_TRACEIDRATIO:
        config->sampler_threshold = sampling_ratio_threshold(parse_sampler_ratio(reader));
        break;
    }
}

static void parse_tail(const struct reader *reader, struct config *config)
{
    static const struct word policies[] = {{"none", TAIL_NONE}, {"seeds", TAIL_SEEDS}};
    config->tail_policy =
        (enum tail_policy)get_word(reader, "WIRESPAN_TAIL_POLICY", WORDS(policies), TAIL_NONE);
    config->tail_wait_ms = get_number(reader, "WIRESPAN_TAIL_WAIT", 0);
    config->tail_customers = get(reader, "WIRESPAN_TAIL_CUSTOMERS");
}

static void parse_propagators(const struct reader *reader, struct config *config)
{
    static const struct word propagators[] = {
        {"tracecontext", PROPAGATOR_TRACECONTEXT},
        {"baggage", PROPAGATOR_BAGGAGE},
        {"b3", PROPAGATOR_B3},
        {"b3multi", PROPAGATOR_B3MULTI},
        {"jaeger", PROPAGATOR_JAEGER},
        {"xray", PROPAGATOR_XRAY},
        {"ottrace", PROPAGATOR_OTTRACE},
    };
    config->propagators = get_bits(reader, "OTEL_PROPAGATORS", WORDS(propagators),
                                   PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE);
    if ((config->propagators & ~(unsigned)(PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE)) != 0) {
        complain(reader, "OTEL_PROPAGATORS", get(reader, "OTEL_PROPAGATORS"),
                 "of these only tracecontext is read and written by this version");
    }
}

static void parse_exporters(const struct reader *reader, struct config *config)
{
    static const struct word exporters[] = {
        {"otlp", EXPORTER_OTLP},
        {"console", EXPORTER_CONSOLE},
        {"file", EXPORTER_FILE},
        {"otlp/file", EXPORTER_FILE},
    };
    config->exporters = get_bits(reader, "OTEL_TRACES_EXPORTER", WORDS(exporters), EXPORTER_OTLP);
    if (get_boolean(reader, "OTEL_EXPORTER_CONSOLE", false)) {
        config->exporters |= EXPORTER_CONSOLE;
    }
    struct slice path = get(reader, "WIRESPAN_FILE");
    config->file_path = path.size > 0 ? path : SLICE("wirespan.jsonl");
    if (path.size > 0 && (config->exporters & EXPORTER_FILE) == 0) {
        complain(reader, "WIRESPAN_FILE", path, "OTEL_TRACES_EXPORTER does not name file");
    }
}

/* OTEL_EXPORTER_OTLP_TRACES_x where it is set, else OTEL_EXPORTER_OTLP_x. `*name` becomes the one
   that was taken. */
static struct slice get_otlp(const struct reader *reader, const char *traces, const char *general,
                             const char **name)
{
    *name = traces;
    struct slice value = get(reader, traces);
    if (value.size == 0) {
        *name = general;
        value = get(reader, general);
    }
    return value;
}

#define OTLP(suffix) "OTEL_EXPORTER_OTLP_TRACES_" suffix, "OTEL_EXPORTER_OTLP_" suffix

static void parse_protocol(const struct reader *reader, struct config *config,
                           struct slice endpoint)
{
    static const struct word protocols[] = {{"http/protobuf", OTLP_HTTP_PROTOBUF},
                                            {"grpc", OTLP_GRPC}};
    const char *name;
    struct slice value = get_otlp(reader, OTLP("PROTOCOL"), &name);
    int found = OTLP_HTTP_PROTOBUF;
    if (value.size > 0) {
        config->protocol_is_explicit = find_word(value, WORDS(protocols), &found);
        if (!config->protocol_is_explicit) {
            complain(reader, name, value, "not available; http/protobuf is used");
            config->protocol_is_explicit = true;
        }
    } else {
        /* Port 4317 is gRPC's own, and many configurations name it without the protocol. */
        struct endpoint_url url;
        if (endpoint_split(endpoint, &url) && url.port == 4317) {
            found = OTLP_GRPC;
        }
    }
    config->protocol = (enum otlp_protocol)found;
}

static bool write_endpoint(const struct reader *reader, struct config *config,
                           struct slice endpoint, bool is_base)
{
    if (config->protocol == OTLP_HTTP_PROTOBUF) {
        return endpoint_for_http(endpoint, is_base, config->endpoint, sizeof(config->endpoint));
    }
    const char *name;
    bool insecure = false;
    if (get_otlp(reader, OTLP("INSECURE"), &name).size > 0) {
        insecure = get_boolean(reader, name, false);
    } else {
        insecure = get_boolean(reader, "OTEL_EXPORTER_OTLP_SPAN_INSECURE", false);
    }
    return endpoint_for_grpc(endpoint, insecure, config->endpoint, sizeof(config->endpoint));
}

static void parse_endpoint(const struct reader *reader, struct config *config)
{
    static const char traces[] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const char *name;
    struct slice endpoint = get_otlp(reader, OTLP("ENDPOINT"), &name);
    bool is_base = strcmp(name, traces) != 0;
    parse_protocol(reader, config, endpoint);
    if (endpoint.size > 0) {
        if (write_endpoint(reader, config, endpoint, is_base)) {
            return;
        }
        /* The value is not shown: it may hold a password. */
        complain(reader, name, SLICE(""),
                 config->protocol == OTLP_GRPC
                     ? "no usable host and port; the default is used"
                     : "no usable http or https URL; the default is used");
    }
    write_endpoint(reader, config,
                   config->protocol == OTLP_GRPC ? SLICE("http://localhost:4317")
                                                 : SLICE("http://localhost:4318"),
                   true);
}

static void parse_otlp(const struct reader *reader, struct config *config)
{
    static const struct word compressions[] = {{"none", 0}, {"gzip", 1}};
    const char *name;
    parse_endpoint(reader, config);
    config->headers = get_otlp(reader, OTLP("HEADERS"), &name);
    config->certificate = get_otlp(reader, OTLP("CERTIFICATE"), &name);
    config->client_key = get_otlp(reader, OTLP("CLIENT_KEY"), &name);
    config->client_certificate = get_otlp(reader, OTLP("CLIENT_CERTIFICATE"), &name);
    get_otlp(reader, OTLP("COMPRESSION"), &name);
    config->gzip = get_word(reader, name, WORDS(compressions), 0) != 0;
    get_otlp(reader, OTLP("TIMEOUT"), &name);
    config->timeout_ms = get_number(reader, name, DEFAULT_OTLP_TIMEOUT_MS);
}

static void parse_batches(const struct reader *reader, struct config *config)
{
    config->schedule_delay_ms =
        get_number(reader, "OTEL_BSP_SCHEDULE_DELAY", DEFAULT_SCHEDULE_DELAY_MS);
    config->export_timeout_ms =
        get_number(reader, "OTEL_BSP_EXPORT_TIMEOUT", DEFAULT_EXPORT_TIMEOUT_MS);
    config->max_queue_size =
        get_positive(reader, "OTEL_BSP_MAX_QUEUE_SIZE", DEFAULT_MAX_QUEUE_SIZE);
    static const char batch[] = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    config->max_batch_size = get_positive(reader, batch, DEFAULT_MAX_BATCH_SIZE);
    if (config->max_batch_size > config->max_queue_size) {
        if (get(reader, batch).size > 0) {
            complain(reader, batch, get(reader, batch),
                     "larger than the queue; the queue's size is used");
        }
        config->max_batch_size = config->max_queue_size;
    }
}

static void parse_limits(const struct reader *reader, struct config *config)
{
    uint32_t count = get_number(reader, "OTEL_ATTRIBUTE_COUNT_LIMIT", DEFAULT_COUNT_LIMIT);
    uint32_t length = get_number(reader, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", UINT32_MAX);
    config->attribute_count_limit = get_number(reader, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", count);
    config->attribute_length_limit =
        get_number(reader, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length);
    config->event_count_limit =
        get_number(reader, "OTEL_SPAN_EVENT_COUNT_LIMIT", DEFAULT_COUNT_LIMIT);
    config->link_count_limit =
        get_number(reader, "OTEL_SPAN_LINK_COUNT_LIMIT", DEFAULT_COUNT_LIMIT);
}

static void parse_identity(const struct reader *reader, struct config *config)
{
    config->service_name = get(reader, "OTEL_SERVICE_NAME");
    config->resource_attributes = get(reader, "OTEL_RESOURCE_ATTRIBUTES");
    config->machine_id = get(reader, "MACHINE_ID");
    config->worker_id = get(reader, "WORKER_ID");
    config->environment = get(reader, "NODE_ENV");
    config->region = get(reader, "RAILWAY_REGION");
}

/* Variables that ask for what this version does not do: known, so that nobody waits for it. One
   line for each subject, at its first variable that is set. */
static void complain_of_unavailable(const struct reader *reader, struct config *config)
{
    static const struct {
        const char *subject;
        const char *names[5];
    } subjects[] = {
        {"metrics are not exported by this version",
         {"OTEL_METRICS_EXPORTER", "METRICS_COLLECTION_INTERVAL"}},
        {"logs are not exported by this version",
         {"OTEL_LOGS_EXPORTER", "CONNECTOR_LOGGING_ENABLED"}},
        {"nothing is sent to Fluent Bit or Fluentd by this version",
         {"FLUENT_BIT_HOST", "FLUENT_BIT_PORT", "FLUENTD_HOST", "FLUENTD_PORT"}},
        {"nothing is sent to Sentry by this version",
         {"SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_SAMPLE_RATE"}},
        {"declarative configuration is not read by this version",
         {"OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"}},
    };
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        for (size_t n = 0; n < 5 && subjects[i].names[n] != NULL; n++) {
            struct slice value = get(reader, subjects[i].names[n]);
            if (value.size > 0 && !slice_equals_ignoring_case(value, SLICE("none")) &&
                !slice_equals_ignoring_case(value, SLICE("false"))) {
                complain(reader, subjects[i].names[n], SLICE(""), subjects[i].subject);
                break;
            }
        }
    }
    config->context_seconds = get_number(reader, "WIRESPAN_CONTEXT_SECONDS", LIMIT_CONTEXT_SECONDS);
    config->context_spans = get_number(reader, "WIRESPAN_CONTEXT_SPANS", LIMIT_CONTEXT_SPANS);
    config->patch_tls = get_boolean(reader, "WIRESPAN_PATCH_TLS", true);
    static const struct word producers[] = {{"unknown", 0}, {"traced", 1}};
    config->producers_are_traced = get_word(reader, "WIRESPAN_PRODUCER", WORDS(producers), 0) != 0;
    config->python_witness = get_boolean(reader, "WIRESPAN_PYTHON_WITNESS", true);
    config->node_witness = get_boolean(reader, "WIRESPAN_NODE_WITNESS", true);
    config->connection_spans = get_boolean(reader, "WIRESPAN_CONNECTION_SPANS", false);
    config->gcp_trace = get_boolean(reader, "OTEL_EXPORTER_GCP_TRACE", false);
    if (config->gcp_trace) {
        complain(reader, "OTEL_EXPORTER_GCP_TRACE", SLICE(""),
                 "not sent to Google Cloud by this version; spans go to the OTLP endpoint");
    }
}

void config_parse(struct config *config, const char *const *environment,
                  config_complaint *complaint, void *context)
{
    const struct reader reader = {environment, complaint, context};
    memset(config, 0, sizeof(*config));
    parse_log_level(&reader, config);
    parse_switches(&reader, config);
    parse_sampler(&reader, config);
    parse_tail(&reader, config);
    parse_propagators(&reader, config);
    parse_exporters(&reader, config);
    parse_otlp(&reader, config);
    parse_batches(&reader, config);
    parse_limits(&reader, config);
    parse_identity(&reader, config);
    complain_of_unavailable(&reader, config);
}
