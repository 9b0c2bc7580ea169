/* gRPC over HTTP/2, as far as a unary call needs it: frames, statuses, details. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "worker/transport/otlp_reply.h"

#define GRPC_FRAME_HEAD         5u
#define GRPC_OK                 0
#define GRPC_RESOURCE_EXHAUSTED 8
#define GRPC_ABSENT             (-1)

/* Writes the head of a message of `size` bytes. */
void grpc_frame_head(uint8_t head[static GRPC_FRAME_HEAD], bool compressed, uint32_t size);

/* The one message of a unary answer, in `body`. An answer without any frame is an empty message.
   False if `body` is not exactly one whole frame. */
bool grpc_frame_read(struct slice body, bool *compressed, struct slice *message);

/* The value of grpc-status, or GRPC_ABSENT. */
int grpc_status_read(struct slice value);

/* What stands for an HTTP status other than 200 that came without grpc-status, by gRPC's own
   mapping. */
int grpc_status_of_http(long http_status);

/* "UNAVAILABLE", ...; "an unknown status" for other numbers. */
const char *grpc_status_name(int status);

/* Whether OTLP lets this be tried again: RESOURCE_EXHAUSTED only if the receiver said when. */
bool grpc_is_retryable(int status, bool has_retry_info);

/* Decodes grpc-status-details-bin (base64, padded or not). False if it is no google.rpc.Status. */
bool grpc_details_read(struct slice value, struct rpc_status *details);

/* Decodes grpc-message (percent-encoded) into one printable line. */
void grpc_message_read(struct slice value, char *into, size_t capacity);

#define GRPC_TIMEOUT_CAPACITY 32u
/* The request header for a time limit; at most eight digits are allowed, so long ones are said in
   seconds. */
void grpc_timeout_header(uint32_t timeout_ms, char into[static GRPC_TIMEOUT_CAPACITY]);
