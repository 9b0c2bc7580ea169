#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "process/config.h"
#include "process/endpoint.h"
#include "process/sampling_ratio.h"

struct complaints {
    unsigned count;
    char last[512];
    char all[4096];
};

static void note(void *context, const char *text)
{
    struct complaints *complaints = context;
    complaints->count++;
    snprintf(complaints->last, sizeof(complaints->last), "%s", text);
    size_t used = strlen(complaints->all);
    snprintf(complaints->all + used, sizeof(complaints->all) - used, "%s\n", text);
}

static struct complaints complaints;
static struct config config;

/* Parses an environment given as a list of "NAME=value". */
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})
static void parse(const char *const *environment)
{
    memset(&complaints, 0, sizeof(complaints));
    config_parse(&config, environment, note, &complaints);
}

static void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.data, text, slice.size);
}

static void lookup_finds_whole_names_only(void **state)
{
    (void)state;
    const char *const environment[] = {"AB=1", "A=2", "A_=3", "BROKEN", NULL};
    assert_string_equal(config_lookup(environment, "A"), "2");
    assert_string_equal(config_lookup(environment, "AB"), "1");
    assert_null(config_lookup(environment, "BROKEN"));
    assert_null(config_lookup(environment, "B"));
    assert_null(config_lookup(NULL, "A"));
}

static void an_empty_environment_gives_the_defaults(void **state)
{
    (void)state;
    PARSE("PATH=/bin");
    assert_int_equal(complaints.count, 0);
    assert_true(config.enabled);
    assert_int_equal(config.log_level, LOG_LEVEL_WARN);
    assert_int_equal(config.sampler, SAMPLER_PARENTBASED_ALWAYS_ON);
    assert_int_equal(config.sampler_threshold, 0);
    assert_int_equal(config.exporters, EXPORTER_OTLP);
    assert_slice(config.file_path, "wirespan.jsonl");
    assert_int_equal(config.protocol, OTLP_HTTP_PROTOBUF);
    assert_false(config.protocol_is_explicit);
    assert_string_equal(config.endpoint, "http://localhost:4318/v1/traces");
    assert_int_equal(config.timeout_ms, 10000);
    assert_int_equal(config.schedule_delay_ms, 5000);
    assert_int_equal(config.export_timeout_ms, 30000);
    assert_int_equal(config.max_queue_size, 10000);
    assert_int_equal(config.max_batch_size, 1000);
    assert_int_equal(config.attribute_count_limit, 128);
    assert_int_equal(config.attribute_length_limit, UINT32_MAX);
    assert_int_equal(config.event_count_limit, 128);
    assert_int_equal(config.link_count_limit, 128);
    assert_int_equal(config.propagators, PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE);
    assert_false(config.gzip);
    assert_int_equal(config.service_name.size, 0);
}

static void empty_means_unset(void **state)
{
    (void)state;
    PARSE("OTEL_BSP_SCHEDULE_DELAY=", "OTEL_SDK_DISABLED=", "WIRESPAN_ENABLED= ", "OTEL_ENABLED=",
          "OTEL_TRACES_SAMPLER=\t", "OTEL_TRACES_EXPORTER= , ", "OTEL_EXPORTER_OTLP_PROTOCOL=",
          "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1",
          "OTEL_PROPAGATORS=");
    assert_int_equal(complaints.count, 0);
    assert_true(config.enabled);
    assert_int_equal(config.schedule_delay_ms, 5000);
    assert_int_equal(config.exporters, EXPORTER_OTLP);
    assert_string_equal(config.endpoint, "http://c:1/v1/traces");
}

static void booleans_are_true_only_for_true(void **state)
{
    (void)state;
    PARSE("OTEL_SDK_DISABLED=1");
    assert_true(config.enabled);
    assert_int_equal(complaints.count, 1);
    assert_non_null(strstr(complaints.last, "OTEL_SDK_DISABLED=1"));
    PARSE("OTEL_SDK_DISABLED=TrUe");
    assert_false(config.enabled);
    assert_int_equal(complaints.count, 0);
    PARSE("OTEL_SDK_DISABLED=FALSE");
    assert_true(config.enabled);
    assert_int_equal(complaints.count, 0);
    PARSE("WIRESPAN_ENABLED=false");
    assert_false(config.enabled);
    PARSE("OTEL_ENABLED=false");
    assert_false(config.enabled);
    PARSE("OTEL_ENABLED=true", "WIRESPAN_ENABLED=true");
    assert_true(config.enabled);
    PARSE("OTEL_ENABLED=yes");
    assert_false(config.enabled);
    assert_int_equal(complaints.count, 1);
}

static void bad_numbers_take_their_default(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "OTEL_BSP_SCHEDULE_DELAY=-1",
        "OTEL_BSP_SCHEDULE_DELAY=abc",
        "OTEL_BSP_SCHEDULE_DELAY=1e3",
        "OTEL_BSP_SCHEDULE_DELAY=2147483648",
        "OTEL_BSP_SCHEDULE_DELAY=1 2",
        "OTEL_BSP_SCHEDULE_DELAY=+1",
        "OTEL_BSP_SCHEDULE_DELAY=18446744073709551617",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        PARSE(bad[i]);
        assert_int_equal(config.schedule_delay_ms, 5000);
        assert_int_equal(complaints.count, 1);
        assert_non_null(strstr(complaints.last, bad[i]));
    }
    PARSE("OTEL_BSP_SCHEDULE_DELAY= 2147483647 ");
    assert_int_equal(config.schedule_delay_ms, 2147483647);
    PARSE("OTEL_BSP_SCHEDULE_DELAY=0", "OTEL_BSP_EXPORT_TIMEOUT=0");
    assert_int_equal(config.schedule_delay_ms, 0);
    assert_int_equal(config.export_timeout_ms, 0);
    assert_int_equal(complaints.count, 0);
}

static void queue_and_batch_must_be_positive_and_fit(void **state)
{
    (void)state;
    PARSE("OTEL_BSP_MAX_QUEUE_SIZE=0", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=0");
    assert_int_equal(config.max_queue_size, 10000);
    assert_int_equal(config.max_batch_size, 1000);
    assert_int_equal(complaints.count, 2);
    PARSE("OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=11");
    assert_int_equal(config.max_batch_size, 10);
    assert_int_equal(complaints.count, 1);
    PARSE("OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=10");
    assert_int_equal(complaints.count, 0);
    PARSE("OTEL_BSP_MAX_QUEUE_SIZE=10");
    assert_int_equal(config.max_batch_size, 10);
    assert_int_equal(complaints.count, 0);
}

static void samplers(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        enum sampler_kind kind;
        uint64_t threshold;
    } cases[] = {
        {"OTEL_TRACES_SAMPLER=ALWAYS_ON", SAMPLER_ALWAYS_ON, 0},
        {"OTEL_TRACES_SAMPLER=ALWAYS_OFF", SAMPLER_ALWAYS_OFF, SAMPLING_KEEP_NONE},
        {"OTEL_TRACES_SAMPLER=traceidratio", SAMPLER_TRACEIDRATIO, 0xe6660000000000},
        {"OTEL_TRACES_SAMPLER=parentbased_always_on", SAMPLER_PARENTBASED_ALWAYS_ON, 0},
        {"OTEL_TRACES_SAMPLER=parentbased_always_off", SAMPLER_PARENTBASED_ALWAYS_OFF,
         SAMPLING_KEEP_NONE},
        {"OTEL_TRACES_SAMPLER=Parentbased_TraceIdRatio", SAMPLER_PARENTBASED_TRACEIDRATIO,
         0xe6660000000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PARSE(cases[i].variable, "OTEL_TRACES_SAMPLER_ARG=0.1");
        assert_int_equal(config.sampler, cases[i].kind);
        assert_int_equal(config.sampler_threshold, cases[i].threshold);
        assert_int_equal(complaints.count, 0);
    }
    PARSE("OTEL_TRACES_SAMPLER=xray");
    assert_int_equal(config.sampler, SAMPLER_PARENTBASED_ALWAYS_ON);
    assert_non_null(strstr(complaints.last, "OTEL_TRACES_SAMPLER=xray"));
    PARSE("OTEL_TRACES_SAMPLER_ARG=0.1");
    assert_int_equal(config.sampler_threshold, 0);
}

static void the_tail_policy_is_off_by_default(void **state)
{
    (void)state;
    PARSE("A=1");
    assert_int_equal(config.tail_policy, TAIL_NONE);
    assert_int_equal(config.tail_wait_ms, 0);
    PARSE("WIRESPAN_TAIL_POLICY=Seeds", "WIRESPAN_TAIL_WAIT=70000", "WIRESPAN_TAIL_CUSTOMERS=a,b");
    assert_int_equal(config.tail_policy, TAIL_SEEDS);
    assert_int_equal(config.tail_wait_ms, 70000);
    assert_true(slice_equals(config.tail_customers, SLICE("a,b")));
    assert_int_equal(complaints.count, 0);
    PARSE("WIRESPAN_TAIL_POLICY=seed");
    assert_int_equal(config.tail_policy, TAIL_NONE);
    assert_non_null(strstr(complaints.last, "WIRESPAN_TAIL_POLICY=seed: not a known value"));
}

static void producers_are_unknown_by_default(void **state)
{
    (void)state;
    PARSE("A=1");
    assert_false(config.producers_are_traced);
    PARSE("WIRESPAN_PRODUCER=traced");
    assert_true(config.producers_are_traced);
    PARSE("WIRESPAN_PRODUCER=unknown");
    assert_false(config.producers_are_traced);
    assert_int_equal(complaints.count, 0);
    PARSE("WIRESPAN_PRODUCER=yes");
    assert_false(config.producers_are_traced);
    assert_int_equal(complaints.count, 1);
}

static void bad_ratios_mean_one(void **state)
{
    (void)state;
    static const char *const bad[] = {"1.5", "-0.1", "NaN", "0,5", "1e", "0x1", "", "2e0", "."};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char argument[64];
        snprintf(argument, sizeof(argument), "OTEL_TRACES_SAMPLER_ARG=%s", bad[i]);
        PARSE("OTEL_TRACES_SAMPLER=traceidratio", argument);
        assert_int_equal(config.sampler, SAMPLER_TRACEIDRATIO);
        assert_int_equal(config.sampler_threshold, 0);
        assert_int_equal(complaints.count, bad[i][0] == '\0' ? 0 : 1);
    }
}

static void ratios_become_the_known_thresholds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t threshold;
    } cases[] = {
        {"1", 0},
        {"1.0", 0},
        {"1e0", 0},
        {"10e-1", 0},
        {"0.5", 0x80000000000000},
        {".5", 0x80000000000000},
        {"0.33333333333333333333", 0xaaab0000000000},
        {"0.25", 0xc0000000000000},
        {"0.2", 0xcccd0000000000},
        {"0.125", 0xe0000000000000},
        {"0.1", 0xe6660000000000},
        {"0.0625", 0xf0000000000000},
        {"0.01", 0xfd70a000000000},
        {"0.001", 0xffbe7700000000},
        {"0.0001", 0xfff97240000000},
        {"1e-5", 0xffff583a000000},
        {"1E-6", 0xffffef39000000},
        {"0.000001", 0xffffef39000000},
        {"0", SAMPLING_KEEP_NONE},
        {"0.0e5", SAMPLING_KEEP_NONE},
        {"1e-400", SAMPLING_KEEP_NONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double ratio = -1;
        assert_true(sampling_ratio_parse(slice_of(cases[i].text, strlen(cases[i].text)), &ratio));
        uint64_t threshold = sampling_ratio_threshold(ratio);
        assert_int_equal(threshold, cases[i].threshold);
    }
    /* 2^-56: at the edge, something is still kept. */
    assert_true(sampling_ratio_threshold(0x1p-56) < SAMPLING_KEEP_NONE);
    assert_int_equal(sampling_ratio_threshold(0x1p-57), SAMPLING_KEEP_NONE);
}

static void exporters(void **state)
{
    (void)state;
    PARSE("OTEL_TRACES_EXPORTER=none");
    assert_int_equal(config.exporters, 0);
    assert_int_equal(complaints.count, 0);
    PARSE("OTEL_TRACES_EXPORTER=OTLP, console");
    assert_int_equal(config.exporters, EXPORTER_OTLP | EXPORTER_CONSOLE);
    PARSE("OTEL_TRACES_EXPORTER=otlp/file", "WIRESPAN_FILE=/tmp/x y.jsonl");
    assert_int_equal(config.exporters, EXPORTER_FILE);
    assert_slice(config.file_path, "/tmp/x y.jsonl");
    assert_int_equal(complaints.count, 0);
    PARSE("OTEL_TRACES_EXPORTER=file,otlp,file");
    assert_int_equal(config.exporters, EXPORTER_FILE | EXPORTER_OTLP);
    PARSE("OTEL_TRACES_EXPORTER=zipkin");
    assert_int_equal(config.exporters, EXPORTER_OTLP);
    assert_int_equal(complaints.count, 1);
    PARSE("OTEL_TRACES_EXPORTER=zipkin,console,none");
    assert_int_equal(config.exporters, EXPORTER_CONSOLE);
    assert_int_equal(complaints.count, 2);
    PARSE("OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_CONSOLE=true");
    assert_int_equal(config.exporters, EXPORTER_CONSOLE);
    PARSE("WIRESPAN_FILE=x");
    assert_int_equal(complaints.count, 1);
}

static void endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *url;
    } cases[] = {
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://h:1", "http://h:1/"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=http://h:1/x", "http://h:1/x/v1/traces"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/my/", "http://c:4318/my/v1/traces"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "http://c/v1/traces"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://h/v1/metrics/", "https://h/v1/metrics/"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=HTTPS://user:pass@h/x?key=1#part",
         "https://h/x/v1/traces?key=1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=http://[::1]:4318", "http://[::1]:4318/v1/traces"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=http://h:65535", "http://h:65535/v1/traces"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PARSE(cases[i].variable);
        assert_string_equal(config.endpoint, cases[i].url);
        assert_int_equal(complaints.count, 0);
    }
}

static void bad_endpoints_take_the_default(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "h",          "h:4318",         "ftp://h",    "http://",  "http:///x",    "http://h:0",
        "http://h:x", "http://h:65536", "http://a b", "http://[", "http://[]:80", "://h",
        "http://h:",  "http://[::1]x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char variable[128];
        snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_ENDPOINT=%s", bad[i]);
        PARSE(variable);
        assert_string_equal(config.endpoint, "http://localhost:4318/v1/traces");
        assert_int_equal(complaints.count, 1);
    }
    PARSE("OTEL_EXPORTER_OTLP_ENDPOINT=ftp://user:secret@h");
    assert_null(strstr(complaints.all, "secret"));
}

static void an_endpoint_fits_exactly_or_not_at_all(void **state)
{
    (void)state;
    char into[16] = "untouched";
    assert_false(endpoint_for_http(SLICE("http://h:1/12345"), false, into, sizeof(into)));
    assert_string_equal(into, "untouched");
    assert_true(endpoint_for_http(SLICE("http://h:1/1234"), false, into, sizeof(into)));
    assert_string_equal(into, "http://h:1/1234");
}

static void protocols(void **state)
{
    (void)state;
    PARSE("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317");
    assert_int_equal(config.protocol, OTLP_GRPC);
    assert_false(config.protocol_is_explicit);
    assert_string_equal(config.endpoint, "http://c:4317");
    PARSE("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf");
    assert_int_equal(config.protocol, OTLP_HTTP_PROTOBUF);
    assert_true(config.protocol_is_explicit);
    assert_string_equal(config.endpoint, "http://c:4317/v1/traces");
    PARSE("OTEL_EXPORTER_OTLP_PROTOCOL=GRPC");
    assert_int_equal(config.protocol, OTLP_GRPC);
    assert_string_equal(config.endpoint, "http://localhost:4317");
    PARSE("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf");
    assert_int_equal(config.protocol, OTLP_HTTP_PROTOBUF);
    PARSE("OTEL_EXPORTER_OTLP_PROTOCOL=http/json");
    assert_int_equal(config.protocol, OTLP_HTTP_PROTOBUF);
    assert_int_equal(complaints.count, 1);
}

static void grpc_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        const char *insecure;
        const char *url;
    } cases[] = {
        {"c:4317", "OTEL_EXPORTER_OTLP_INSECURE=true", "http://c:4317"},
        {"c:4317", "OTEL_EXPORTER_OTLP_INSECURE=false", "https://c:4317"},
        {"c:4317", "OTEL_EXPORTER_OTLP_SPAN_INSECURE=true", "http://c:4317"},
        {"https://c:4317", "OTEL_EXPORTER_OTLP_INSECURE=true", "https://c:4317"},
        {"http://c:4317/some/path", "OTEL_EXPORTER_OTLP_TRACES_INSECURE=false", "http://c:4317"},
        {"[::1]:4317", "OTEL_EXPORTER_OTLP_TRACES_INSECURE=true", "http://[::1]:4317"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[128];
        snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=%s",
                 cases[i].endpoint);
        PARSE(variable, cases[i].insecure);
        assert_int_equal(config.protocol, OTLP_GRPC);
        assert_string_equal(config.endpoint, cases[i].url);
        assert_int_equal(complaints.count, 0);
    }
    PARSE("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=unix:/x");
    assert_string_equal(config.endpoint, "http://localhost:4317");
    assert_int_equal(complaints.count, 1);
}

static void the_traces_form_wins(void **state)
{
    (void)state;
    PARSE("OTEL_EXPORTER_OTLP_HEADERS=a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=b=2",
          "OTEL_EXPORTER_OTLP_TIMEOUT=1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=2",
          "OTEL_EXPORTER_OTLP_COMPRESSION=none", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=GZIP",
          "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=/key",
          "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/chain");
    assert_slice(config.headers, "b=2");
    assert_int_equal(config.timeout_ms, 2);
    assert_true(config.gzip);
    assert_slice(config.certificate, "/ca");
    assert_slice(config.client_key, "/key");
    assert_slice(config.client_certificate, "/chain");
    PARSE("OTEL_EXPORTER_OTLP_TIMEOUT=0");
    assert_int_equal(config.timeout_ms, 0);
}

static void specific_limits_win_over_general_ones(void **state)
{
    (void)state;
    PARSE("OTEL_ATTRIBUTE_COUNT_LIMIT=7", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=9");
    assert_int_equal(config.attribute_count_limit, 7);
    assert_int_equal(config.attribute_length_limit, 9);
    PARSE("OTEL_ATTRIBUTE_COUNT_LIMIT=7", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=8",
          "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=9", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT=0",
          "OTEL_SPAN_EVENT_COUNT_LIMIT=1", "OTEL_SPAN_LINK_COUNT_LIMIT=2");
    assert_int_equal(config.attribute_count_limit, 8);
    assert_int_equal(config.attribute_length_limit, 0);
    assert_int_equal(config.event_count_limit, 1);
    assert_int_equal(config.link_count_limit, 2);
}

static void propagators(void **state)
{
    (void)state;
    PARSE("OTEL_PROPAGATORS=b3, tracecontext,b3");
    assert_int_equal(config.propagators, PROPAGATOR_B3 | PROPAGATOR_TRACECONTEXT);
    PARSE("OTEL_PROPAGATORS=none");
    assert_int_equal(config.propagators, 0);
    PARSE("OTEL_PROPAGATORS=tracecontext,other");
    assert_int_equal(config.propagators, PROPAGATOR_TRACECONTEXT);
    assert_int_equal(complaints.count, 1);
}

static void log_levels(void **state)
{
    (void)state;
    PARSE("OTEL_LOG_LEVEL=error");
    assert_int_equal(config.log_level, LOG_LEVEL_ERROR);
    PARSE("OTEL_LOG_LEVEL=error", "WIRESPAN_LOG_LEVEL=INFO");
    assert_int_equal(config.log_level, LOG_LEVEL_INFO);
    PARSE("WIRESPAN_LOG_LEVEL=off");
    assert_int_equal(config.log_level, LOG_LEVEL_NONE);
    PARSE("WIRESPAN_LOG_LEVEL=loud");
    assert_int_equal(config.log_level, LOG_LEVEL_WARN);
    assert_int_equal(complaints.count, 1);
}

static void identity_is_taken_as_it_stands(void **state)
{
    (void)state;
    PARSE("OTEL_SERVICE_NAME= shop ", "MACHINE_ID=m-1", "WORKER_ID=w-2", "NODE_ENV=production",
          "RAILWAY_REGION=us-west2", "OTEL_RESOURCE_ATTRIBUTES=a=b%2Cc,d=e%3Df",
          "WIRESPAN_ONLY=python,node", "WIRESPAN_EXCEPT=sh");
    assert_slice(config.service_name, "shop");
    assert_slice(config.machine_id, "m-1");
    assert_slice(config.worker_id, "w-2");
    assert_slice(config.environment, "production");
    assert_slice(config.region, "us-west2");
    assert_slice(config.resource_attributes, "a=b%2Cc,d=e%3Df");
    assert_slice(config.only, "python,node");
    assert_slice(config.except, "sh");
}

static void what_is_not_available_is_said_once(void **state)
{
    (void)state;
    PARSE("SENTRY_DSN=https://key@host/1", "SENTRY_SAMPLE_RATE=0.1", "FLUENT_BIT_HOST=h",
          "FLUENT_BIT_PORT=9880", "OTEL_METRICS_EXPORTER=otlp", "METRICS_COLLECTION_INTERVAL=30s",
          "CONNECTOR_LOGGING_ENABLED=true", "OTEL_CONFIG_FILE=/x", "OTEL_EXPORTER_GCP_TRACE=true");
    assert_int_equal(complaints.count, 6);
    assert_null(strstr(complaints.all, "key@"));
    assert_true(config.gcp_trace);
    PARSE("OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none",
          "CONNECTOR_LOGGING_ENABLED=false", "OTEL_EXPORTER_GCP_TRACE=false");
    assert_int_equal(complaints.count, 0);
}

static void complaints_are_one_short_line(void **state)
{
    (void)state;
    char variable[4096];
    memset(variable, 'x', sizeof(variable) - 1);
    variable[sizeof(variable) - 1] = '\0';
    memcpy(variable, "OTEL_TRACES_SAMPLER=a\nb\033", 24);
    PARSE(variable);
    assert_int_equal(complaints.count, 1);
    assert_null(strchr(complaints.last, '\n'));
    assert_null(strchr(complaints.last, '\033'));
    assert_true(strlen(complaints.last) < 320);
    config_parse(&config, (const char *const[]){variable, NULL}, NULL, NULL);
    assert_int_equal(config.sampler, SAMPLER_PARENTBASED_ALWAYS_ON);
}

static bool has(const char *list, const char *wanted)
{
    return config_list_has(slice_of(list, strlen(list)), slice_of(wanted, strlen(wanted)));
}

static void a_list_has_whole_entries_only(void **state)
{
    (void)state;
    assert_true(has("python,node", "node"));
    assert_true(has(" python , node ", "python"));
    assert_false(has("python,node", "nod"));
    assert_false(has("python,node", "python,node"));
    assert_false(has("python,node", "Node"));
    assert_false(has("", ""));
    assert_false(has(",", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_finds_whole_names_only),
        cmocka_unit_test(a_list_has_whole_entries_only),
        cmocka_unit_test(an_empty_environment_gives_the_defaults),
        cmocka_unit_test(empty_means_unset),
        cmocka_unit_test(booleans_are_true_only_for_true),
        cmocka_unit_test(bad_numbers_take_their_default),
        cmocka_unit_test(queue_and_batch_must_be_positive_and_fit),
        cmocka_unit_test(samplers),
        cmocka_unit_test(the_tail_policy_is_off_by_default),
        cmocka_unit_test(producers_are_unknown_by_default),
        cmocka_unit_test(bad_ratios_mean_one),
        cmocka_unit_test(ratios_become_the_known_thresholds),
        cmocka_unit_test(exporters),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(bad_endpoints_take_the_default),
        cmocka_unit_test(an_endpoint_fits_exactly_or_not_at_all),
        cmocka_unit_test(protocols),
        cmocka_unit_test(grpc_endpoints),
        cmocka_unit_test(the_traces_form_wins),
        cmocka_unit_test(specific_limits_win_over_general_ones),
        cmocka_unit_test(propagators),
        cmocka_unit_test(log_levels),
        cmocka_unit_test(identity_is_taken_as_it_stands),
        cmocka_unit_test(what_is_not_available_is_said_once),
        cmocka_unit_test(complaints_are_one_short_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
