/*
 * Configuration: everything that the environment says, read once from a snapshot of it.
 *
 * Parsing needs no allocation, no I/O and no state, so that both objects can do it: the
 * application's side takes the few values that it needs and no notice of complaints; the worker
 * side reports them. Strings borrow from the snapshot. Sources: shared semantics of OTEL_* are
 * those of the OpenTelemetry specification (empty means unset; booleans are true only for "true";
 * an invalid value is reported and its default taken).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum sampler_kind {
    SAMPLER_ALWAYS_ON,
    SAMPLER_ALWAYS_OFF,
    SAMPLER_TRACEIDRATIO,
    SAMPLER_PARENTBASED_ALWAYS_ON,
    SAMPLER_PARENTBASED_ALWAYS_OFF,
    SAMPLER_PARENTBASED_TRACEIDRATIO
};

enum exporter_kind { /* a bit set: OTEL_TRACES_EXPORTER is a list */
                     EXPORTER_OTLP = 1,
                     EXPORTER_CONSOLE = 2,
                     EXPORTER_FILE = 4
};

enum tail_policy { TAIL_NONE, TAIL_SEEDS };

/* How context travels between processes; a bit set. */
enum propagator {
    PROPAGATOR_TRACECONTEXT = 1,
    PROPAGATOR_BAGGAGE = 2,
    PROPAGATOR_B3 = 4,
    PROPAGATOR_B3MULTI = 8,
    PROPAGATOR_JAEGER = 16,
    PROPAGATOR_XRAY = 32,
    PROPAGATOR_OTTRACE = 64
};

enum otlp_protocol { OTLP_HTTP_PROTOBUF, OTLP_GRPC };

enum log_level {
    LOG_LEVEL_NONE,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN, /* the default */
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

struct config {
    bool enabled; /* false: WIRESPAN_ENABLED=false, OTEL_SDK_DISABLED=true or OTEL_ENABLED=false */
    enum log_level log_level; /* WIRESPAN_LOG_LEVEL, else OTEL_LOG_LEVEL */

    enum sampler_kind sampler;
    uint64_t
        sampler_threshold; /* T of consistent probability sampling: keep if R >= T; 2^56: none */

    enum tail_policy tail_policy; /* WIRESPAN_TAIL_POLICY */
    uint32_t tail_wait_ms;        /* WIRESPAN_TAIL_WAIT; 0: by who judges */
    struct slice tail_customers;  /* WIRESPAN_TAIL_CUSTOMERS: of whom all is kept */

    unsigned propagators; /* enum propagator; 0: OTEL_PROPAGATORS=none */

    struct slice traceparent; /* TRACEPARENT: of who started the program; empty: none */
    struct slice tracestate;  /* TRACESTATE, BAGGAGE: what stands beside it */
    struct slice baggage;
    struct slice started_for;      /* WIRESPAN_STARTED_FOR: "job" where it was for one */
    bool job_context;              /* WIRESPAN_JOB_CONTEXT: it is written into stored jobs, too */
    struct slice propagate_to;     /* WIRESPAN_PROPAGATE_TO: hosts; empty: all */
    struct slice propagate_not_to; /* WIRESPAN_PROPAGATE_NOT_TO */

    unsigned exporters;     /* enum exporter_kind; 0: OTEL_TRACES_EXPORTER=none */
    struct slice file_path; /* WIRESPAN_FILE; default "wirespan.jsonl" */

    enum otlp_protocol protocol;
    bool protocol_is_explicit;
    char endpoint[1024];  /* the whole URL of the traces endpoint, path included (grpc: no path) */
    struct slice headers; /* raw k=v list, values percent-encoded */
    bool gzip;
    uint32_t timeout_ms; /* of one batch's export, retries included; 0: none */
    struct slice certificate;
    struct slice client_key;
    struct slice client_certificate;

    uint32_t schedule_delay_ms; /* OTEL_BSP_SCHEDULE_DELAY, 5000 */
    uint32_t export_timeout_ms; /* OTEL_BSP_EXPORT_TIMEOUT, 30000 */
    uint32_t max_queue_size;    /* OTEL_BSP_MAX_QUEUE_SIZE, 10000 */
    uint32_t max_batch_size;    /* OTEL_BSP_MAX_EXPORT_BATCH_SIZE, 1000 */

    uint32_t attribute_count_limit;  /* 128 */
    uint32_t attribute_length_limit; /* characters; UINT32_MAX: none */
    uint32_t event_count_limit;
    uint32_t link_count_limit;

    struct slice service_name; /* OTEL_SERVICE_NAME, else empty */
    struct slice resource_attributes;
    struct slice machine_id;  /* MACHINE_ID */
    struct slice worker_id;   /* WORKER_ID */
    struct slice environment; /* NODE_ENV */
    struct slice region;      /* RAILWAY_REGION */

    struct slice agent;        /* WIRESPAN_AGENT: the socket of who exports for this program */
    struct slice only;         /* WIRESPAN_ONLY: program names, comma separated; empty: all */
    struct slice except;       /* WIRESPAN_EXCEPT */
    struct slice profile;      /* WIRESPAN_PROFILE: what spans are called */
    struct slice rules;        /* WIRESPAN_RULES: rule files, a colon between them */
    bool producers_are_traced; /* WIRESPAN_PRODUCER=traced: a job's submission has a span */
    uint32_t context_seconds;  /* WIRESPAN_CONTEXT_SECONDS: how long a request is a parent */
    uint32_t context_spans;    /* WIRESPAN_CONTEXT_SPANS: and of how many spans */
    bool patch_tls;            /* WIRESPAN_PATCH_TLS: a program's own OpenSSL may be patched */
    bool python_witness;       /* WIRESPAN_PYTHON_WITNESS: the same for CPython */
    bool node_witness;     /* WIRESPAN_NODE_WITNESS: Node is asked what its requests are made for */
    bool connection_spans; /* WIRESPAN_CONNECTION_SPANS: a span with byte counts per connection */
    bool gcp_trace;        /* OTEL_EXPORTER_GCP_TRACE=true */
};

/* Is told of each bad or unsupported value once: one line of text without a newline. */
typedef void config_complaint(void *context, const char *text);

/* Fills `*config` from `environment`, a NULL-terminated array of "NAME=value". `complain` may be
   NULL. Never fails: what is wrong takes its default. */
void config_parse(struct config *config, const char *const *environment, config_complaint *complain,
                  void *context);

/* Whether an entry of a comma-separated list is exactly that; blanks around entries do not count.
 */
bool config_list_has(struct slice list, struct slice wanted);

/* The value of `name` in the snapshot, or NULL. */
const char *config_lookup(const char *const *environment, const char *name);
