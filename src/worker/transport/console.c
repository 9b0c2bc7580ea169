#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <otlp.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"
#include "worker/error_text.h"
#include "worker/transport/create.h"
#include "worker/transport/outcome.h"
#include "worker/transport/system.h"

struct console {
    struct transport base;
    int fd;
    dev_t device; /* of the file that `fd` was at creation */
    ino_t inode;
    char *text; /* of the batch in flight; NULL: none */
    size_t size;
    size_t written;
};

static struct console *self_of(struct transport *transport)
{
    return (struct console *)transport;
}

/* ---- the text ---- */

/* Control characters of any name or value would move the reader's cursor. */
static void print_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        fputc(byte < 0x20 || byte == 0x7F ? ' ' : byte, out);
    }
}

static void print_hex(FILE *out, ProtobufCBinaryData bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        fprintf(out, "%02x", bytes.data[i]);
    }
}

static void print_attributes(FILE *out, Otlp__KeyValue *const *attributes, size_t count,
                             const char *before, const char *between);

static void print_value(FILE *out, const Otlp__AnyValue *value)
{
    switch (value->value_case) {
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE:
        print_text(out, value->string_value);
        break;
    case OTLP__ANY_VALUE__VALUE_BOOL_VALUE:
        fputs(value->bool_value ? "true" : "false", out);
        break;
    case OTLP__ANY_VALUE__VALUE_INT_VALUE:
        fprintf(out, "%" PRId64, value->int_value);
        break;
    case OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE:
        fprintf(out, "%g", value->double_value);
        break;
    case OTLP__ANY_VALUE__VALUE_ARRAY_VALUE:
        fputc('[', out);
        for (size_t i = 0; i < value->array_value->n_values; i++) {
            fputs(i > 0 ? ", " : "", out);
            print_value(out, value->array_value->values[i]);
        }
        fputc(']', out);
        break;
    case OTLP__ANY_VALUE__VALUE_KVLIST_VALUE:
        fputc('{', out);
        print_attributes(out, value->kvlist_value->values, value->kvlist_value->n_values, "", ", ");
        fputc('}', out);
        break;
    case OTLP__ANY_VALUE__VALUE_BYTES_VALUE:
        print_hex(out, value->bytes_value);
        break;
    case OTLP__ANY_VALUE__VALUE__NOT_SET:
    case _OTLP__ANY_VALUE__VALUE__CASE_IS_INT_SIZE:
        break;
    }
}

static void print_attributes(FILE *out, Otlp__KeyValue *const *attributes, size_t count,
                             const char *before, const char *between)
{
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? before : between, out);
        print_text(out, attributes[i]->key);
        fputc('=', out);
        if (attributes[i]->value != NULL) {
            print_value(out, attributes[i]->value);
        }
    }
}

static const char *kind_name(Otlp__Span__SpanKind kind)
{
    static const char *const names[] = {"internal", "internal", "server",
                                        "client",   "producer", "consumer"};
    return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "internal";
}

/* Milliseconds of `ns`, to the microsecond; signed, for events before their span. */
static void print_ms(FILE *out, int64_t ns)
{
    uint64_t magnitude = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    fprintf(out, "%s%" PRIu64 ".%03" PRIu64 " ms", ns < 0 ? "-" : "", magnitude / 1000000,
            magnitude / 1000 % 1000);
}

static void print_status(FILE *out, const Otlp__Status *status)
{
    if (status == NULL || status->code != OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR) {
        return;
    }
    fputs("  ERROR", out);
    if (status->message[0] != '\0') {
        fputs(": ", out);
        print_text(out, status->message);
    }
}

/* [client] GET /x  1.500 ms  ERROR: why
       trace ... span ... parent ...
       service.name ... attributes
       event name +0.100 ms ... */
static void print_span(FILE *out, const Otlp__Span *span)
{
    fprintf(out, "[%s] ", kind_name(span->kind));
    print_text(out, span->name);
    fputs("  ", out);
    print_ms(out, (int64_t)(span->end_time_unix_nano - span->start_time_unix_nano));
    print_status(out, span->status);
    fputs("\n    trace ", out);
    print_hex(out, span->trace_id);
    fputs(" span ", out);
    print_hex(out, span->span_id);
    if (span->parent_span_id.len > 0) {
        fputs(" parent ", out);
        print_hex(out, span->parent_span_id);
    }
    fprintf(out, " start %" PRIu64 ".%09" PRIu64 "\n", span->start_time_unix_nano / 1000000000,
            span->start_time_unix_nano % 1000000000);
    print_attributes(out, span->attributes, span->n_attributes, "    ", "\n    ");
    fputs(span->n_attributes > 0 ? "\n" : "", out);
    for (size_t i = 0; i < span->n_events; i++) {
        const Otlp__Span__Event *event = span->events[i];
        fputs("    event ", out);
        print_text(out, event->name);
        fputs(" +", out);
        print_ms(out, (int64_t)(event->time_unix_nano - span->start_time_unix_nano));
        print_attributes(out, event->attributes, event->n_attributes, " ", " ");
        fputc('\n', out);
    }
    for (size_t i = 0; i < span->n_links; i++) {
        fputs("    link trace ", out);
        print_hex(out, span->links[i]->trace_id);
        fputs(" span ", out);
        print_hex(out, span->links[i]->span_id);
        fputc('\n', out);
    }
}

static void print_request(FILE *out, const Otlp__ExportTraceServiceRequest *request)
{
    for (size_t i = 0; i < request->n_resource_spans; i++) {
        const Otlp__ResourceSpans *resource_spans = request->resource_spans[i];
        for (size_t j = 0; j < resource_spans->n_scope_spans; j++) {
            const Otlp__ScopeSpans *scope_spans = resource_spans->scope_spans[j];
            for (size_t k = 0; k < scope_spans->n_spans; k++) {
                print_span(out, scope_spans->spans[k]);
            }
        }
    }
}

/* The batch as text in `*text`, to free. 0 or a negative errno. */
static int render(const struct export_batch *batch, char **text, size_t *size)
{
    Otlp__ExportTraceServiceRequest *request =
        otlp__export_trace_service_request__unpack(NULL, batch->size, batch->bytes);
    if (request == NULL) {
        return -EBADMSG;
    }
    char *rendered = NULL;
    size_t rendered_size = 0;
    FILE *out = open_memstream(&rendered, &rendered_size);
    int result = -ENOMEM;
    if (out != NULL) {
        print_request(out, request);
        if (fclose(out) == 0) {
            *text = rendered;
            *size = rendered_size;
            result = 0;
        } else {
            free(rendered);
        }
    }
    otlp__export_trace_service_request__free_unpacked(request, NULL);
    return result;
}

/* ---- the transport ---- */

static int begin(struct transport *transport, const struct export_batch *batch)
{
    struct console *self = self_of(transport);
    self->written = 0;
    return render(batch, &self->text, &self->size);
}

static void release(struct console *self)
{
    free(self->text);
    self->text = NULL;
}

static bool is_still_ours(const struct console *self)
{
    struct stat now;
    return fstat(self->fd, &now) == 0 && now.st_dev == self->device && now.st_ino == self->inode;
}

/* Whole lines up to PIPE_BUF bytes: a pipe that polls writable takes as much without waiting, and
   no other writer's text gets into it. A longer line goes in pieces. */
static size_t next_portion(const struct console *self)
{
    size_t left = self->size - self->written;
    if (left <= PIPE_BUF) {
        return left;
    }
    const char *start = self->text + self->written;
    const char *newline = memrchr(start, '\n', PIPE_BUF);
    return newline != NULL ? (size_t)(newline + 1 - start) : PIPE_BUF;
}

static enum transport_result refuse(struct console *self, struct transport_outcome *outcome,
                                    const char *why)
{
    release(self);
    outcome_say(outcome, "console: %s", why);
    return TRANSPORT_REFUSED;
}

static enum transport_result step(struct transport *transport, struct transport_outcome *outcome)
{
    struct console *self = self_of(transport);
    if (self->text == NULL) {
        return TRANSPORT_PENDING;
    }
    *outcome = (struct transport_outcome){0};
    while (self->written < self->size) {
        struct pollfd ready = {.fd = self->fd, .events = POLLOUT};
        if (!is_still_ours(self)) {
            return refuse(self, outcome, "the descriptor was closed by the program");
        }
        if (system_poll_now(&ready, 1) == 0) {
            return TRANSPORT_PENDING;
        }
        long count = system_write(self->fd, self->text + self->written, next_portion(self));
        if (count == -EAGAIN || count == -EINTR) {
            return TRANSPORT_PENDING;
        }
        if (count < 0) {
            return refuse(self, outcome, error_text((int)-count));
        }
        self->written += (size_t)count;
    }
    release(self);
    return TRANSPORT_DELIVERED;
}

static size_t descriptors(struct transport *transport, struct pollfd *into, size_t capacity,
                          int *timeout_ms)
{
    const struct console *self = self_of(transport);
    (void)timeout_ms;
    if (self->text == NULL || capacity == 0) {
        return 0;
    }
    into[0] = (struct pollfd){.fd = self->fd, .events = POLLOUT};
    return 1;
}

static void cancel(struct transport *transport)
{
    release(self_of(transport));
}

static void destroy(struct transport *transport)
{
    release(self_of(transport));
    free(transport);
}

static const struct transport_ops console_ops = {
    .name = "console",
    .begin = begin,
    .step = step,
    .descriptors = descriptors,
    .cancel = cancel,
    .destroy = destroy,
};

struct transport *console_create(int fd)
{
    struct stat file;
    if (fstat(fd, &file) != 0) {
        return NULL;
    }
    struct console *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->base.ops = &console_ops;
    self->fd = fd;
    self->device = file.st_dev;
    self->inode = file.st_ino;
    return &self->base;
}
