/* What a receiver says in protobuf: the answer to an export, and google.rpc.Status. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "worker/transport/transport.h"

/* Reads an ExportTraceServiceResponse of a batch of `span_count` spans into outcome->rejected and
   outcome->message. False if it is none; the batch counts as delivered all the same. */
bool otlp_reply_read(struct slice body, uint32_t span_count, struct transport_outcome *outcome);

struct rpc_status {
    char message[160];
    bool has_retry_info;
    uint32_t retry_delay_ms; /* at most LIMIT_RETRY_AFTER_MS */
};

/* Reads a google.rpc.Status. False if it is none. */
bool rpc_status_read(struct slice body, struct rpc_status *status);
