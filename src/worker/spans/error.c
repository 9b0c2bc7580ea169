#include <errno.h>
#include <string.h>

#include "worker/error_text.h"
#include "worker/spans/kinds.h"

struct slice spans_error_type(const struct record *record)
{
    switch ((enum record_error)record->error) {
    case RECORD_OK:
    case RECORD_ERROR_REPLY:
    case RECORD_ERROR_COUNT:
        break;
    case RECORD_ERROR_REFUSED:
        return SLICE("connection_refused");
    case RECORD_ERROR_RESET:
        return SLICE("connection_reset");
    case RECORD_ERROR_TIMEOUT:
        return SLICE("timeout");
    case RECORD_ERROR_HOST_NOT_FOUND:
        return SLICE("host_not_found");
    case RECORD_ERROR_UNREACHABLE:
        return record->system_error == ENETUNREACH || record->system_error == ENETDOWN
                   ? SLICE("network_unreachable")
                   : SLICE("host_unreachable");
    case RECORD_ERROR_EOF:
        return SLICE("eof");
    case RECORD_ERROR_CANCELLED:
        return SLICE("cancelled");
    case RECORD_ERROR_PROTOCOL:
        return SLICE("protocol_error");
    case RECORD_ERROR_OTHER:
        return SLICE("_OTHER");
    case RECORD_ERROR_ABORTED:
        return SLICE("aborted");
    }
    return (struct slice){NULL, 0};
}

/* A server that closes without an answer has failed its client, and a peer that cannot be reached
   in the time that the program gave it is a failure; whoever asked may stop asking. */
static bool is_cancelled_by_asker(const struct record *record)
{
    return record->error == RECORD_ERROR_CANCELLED && record->kind != RECORD_HTTP_SERVER &&
           record->kind != RECORD_CONNECT;
}

void spans_add_abort(struct span *span, int32_t cause)
{
    int code = cause & 0xFFFF;
    switch ((enum abort_reason)(cause >> 16)) {
    case ABORT_EXIT:
        span_add_string(span, SLICE("wirespan.aborted.by"), SLICE("exit"));
        span_add_int(span, SLICE("process.exit.code"), code);
        return;
    case ABORT_SIGNAL:
        span_add_string(span, SLICE("wirespan.aborted.by"), SLICE("signal"));
        span_add_int(span, SLICE("wirespan.aborted.signal"), code);
        return;
    case ABORT_EXEC:
        span_add_string(span, SLICE("wirespan.aborted.by"), SLICE("exec"));
        return;
    case ABORT_UNKNOWN:
        return;
    }
}

void spans_add_error(struct span *span, const struct record *record)
{
    if (is_cancelled_by_asker(record)) {
        span_add_bool(span, SLICE("wirespan.cancelled"), true);
        return;
    }
    struct slice type = spans_error_type(record);
    if (type.data == NULL) {
        return;
    }
    span_set_error(span, type);
    if (record->error == RECORD_ERROR_ABORTED) {
        spans_add_abort(span, record->system_error);
        return;
    }
    if (record->system_error > 0) {
        const char *message = error_text(record->system_error);
        const struct slice part = slice_of(message, strlen(message));
        span->status_message = span_text(span, span_join(span, &part, 1));
    }
}
