#include "worker/transport/grpc.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/transport/outcome.h"
#include "worker/transport/percent.h"

/* Headers of an answer are small; a longer one is not decoded. libcurl reads no longer line. */
#define HEADER_VALUE_MAX (100u << 10)

enum {
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16
};

void grpc_frame_head(uint8_t head[static GRPC_FRAME_HEAD], bool compressed, uint32_t size)
{
    head[0] = compressed ? 1 : 0;
    head[1] = (uint8_t)(size >> 24);
    head[2] = (uint8_t)(size >> 16);
    head[3] = (uint8_t)(size >> 8);
    head[4] = (uint8_t)size;
}

bool grpc_frame_read(struct slice body, bool *compressed, struct slice *message)
{
    *compressed = false;
    *message = body;
    if (body.size == 0) {
        return true;
    }
    if (body.size < GRPC_FRAME_HEAD || body.data[0] > 1) {
        return false;
    }
    struct slice head = slice_take(&body, GRPC_FRAME_HEAD);
    uint32_t size = (uint32_t)head.data[1] << 24 | (uint32_t)head.data[2] << 16 |
                    (uint32_t)head.data[3] << 8 | head.data[4];
    *compressed = head.data[0] == 1;
    *message = body;
    return size == body.size;
}

int grpc_status_read(struct slice value)
{
    if (value.size == 0 || value.size > 4) {
        return GRPC_ABSENT;
    }
    int status = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return GRPC_ABSENT;
        }
        status = status * 10 + (value.data[i] - '0');
    }
    return status;
}

int grpc_status_of_http(long http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

const char *grpc_status_name(int status)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    bool is_known = status >= 0 && (size_t)status < sizeof(names) / sizeof(names[0]);
    return is_known ? names[status] : "an unknown status";
}

bool grpc_is_retryable(int status, bool has_retry_info)
{
    switch (status) {
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS:
        return true;
    case GRPC_RESOURCE_EXHAUSTED:
        return has_retry_info;
    default:
        return false;
    }
}

static int base64_digit(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Decodes into `bytes`, which has room for text.size; false at a character that does not belong. */
static bool base64_decode(struct slice text, uint8_t *bytes, size_t *size)
{
    while (text.size > 0 && text.data[text.size - 1] == '=') {
        text.size--;
    }
    uint32_t pending = 0;
    unsigned bits = 0;
    *size = 0;
    for (size_t i = 0; i < text.size; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) {
            return false;
        }
        pending = pending << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[(*size)++] = (uint8_t)(pending >> bits);
        }
    }
    return true;
}

bool grpc_details_read(struct slice value, struct rpc_status *details)
{
    if (value.size == 0 || value.size > HEADER_VALUE_MAX) {
        return false;
    }
    uint8_t *bytes = malloc(value.size);
    if (bytes == NULL) {
        return false;
    }
    size_t size;
    bool read =
        base64_decode(value, bytes, &size) && rpc_status_read(slice_of(bytes, size), details);
    free(bytes);
    return read;
}

void grpc_message_read(struct slice value, char *into, size_t capacity)
{
    into[0] = '\0';
    char *decoded = value.size > 0 && value.size <= HEADER_VALUE_MAX ? malloc(value.size) : NULL;
    if (decoded == NULL) {
        return;
    }
    bool clean;
    size_t size = percent_decode(value, decoded, &clean);
    outcome_quote(slice_of(decoded, size), into, capacity);
    free(decoded);
}

void grpc_timeout_header(uint32_t timeout_ms, char into[static GRPC_TIMEOUT_CAPACITY])
{
    bool in_seconds = timeout_ms > 99999999u;
    snprintf(into, GRPC_TIMEOUT_CAPACITY, "grpc-timeout: %u%c",
             in_seconds ? timeout_ms / 1000 : timeout_ms, in_seconds ? 'S' : 'm');
}
