#include "command/view/details.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum form {
    FORM_VALUE,    /* the value alone */
    FORM_LABELLED, /* label=value */
    FORM_BYTES,    /* label and a number of bytes */
    FORM_MS,       /* label and a time that is given in milliseconds */
    FORM_PATH,     /* the value, then the query that the label names */
    FORM_URL,      /* from its path on; the address is told behind all else */
    FORM_COMMAND   /* without its first word, if the name begins with that */
};

struct telling_attribute {
    const char *key;
    const char *label;
    enum form form;
};

/* In the order of telling. */
static const struct telling_attribute telling[] = {
    {"processing.status", NULL, FORM_VALUE},
    {"job.type", NULL, FORM_VALUE},
    {"job.attempt", "attempt", FORM_LABELLED},
    {"queue.wait_time_ms", "waited", FORM_MS},
    {"http.response.status_code", NULL, FORM_VALUE},
    {"poll.attempts", "polls", FORM_LABELLED},
    {"poll.interval_ms", "every", FORM_MS},
    {"comfyui.message.type", NULL, FORM_VALUE},
    {"comfyui.node", "node", FORM_LABELLED},
    {"comfyui.progress.value", "at", FORM_LABELLED},
    {"comfyui.progress.max", "of", FORM_LABELLED},
    {"http.request.method", NULL, FORM_VALUE},
    {"websocket.event_type", NULL, FORM_VALUE},
    {"websocket.sent.messages", "sent", FORM_LABELLED},
    {"websocket.received.messages", "received", FORM_LABELLED},
    {"websocket.close.code", "closed", FORM_LABELLED},
    {"websocket.close.reason", NULL, FORM_VALUE},
    {"url.full", NULL, FORM_URL},
    {"image.count", "images", FORM_LABELLED},
    {"comfyui.image_count", "images", FORM_LABELLED},
    {"image.size", NULL, FORM_VALUE},
    {"image.format", NULL, FORM_VALUE},
    {"url.path", "url.query", FORM_PATH},
    {"db.query.text", NULL, FORM_COMMAND},
    {"db.operation.batch.size", "batch", FORM_LABELLED},
    {"db.response.returned_rows", "rows", FORM_LABELLED},
    {"workflow.step_number", "step", FORM_LABELLED},
    {"workflow.total_steps", "of", FORM_LABELLED},
    {"workflow.step_type", NULL, FORM_VALUE},
    {"workflow.type", NULL, FORM_VALUE},
    {"workflow.id", "workflow", FORM_LABELLED},
    {"job.id", "job", FORM_LABELLED},
    {"job.priority", "priority", FORM_LABELLED},
    {"worker.id", "worker", FORM_LABELLED},
    {"gen_ai.request.model", NULL, FORM_VALUE},
    {"gen_ai.usage.input_tokens", "tokens_in", FORM_LABELLED},
    {"gen_ai.usage.output_tokens", "tokens_out", FORM_LABELLED},
    {"model.name", "model", FORM_LABELLED},
    {"comfyui.prompt_id", "prompt", FORM_LABELLED},
    {"storage.provider", NULL, FORM_VALUE},
    {"storage.path", NULL, FORM_VALUE},
    {"wirespan.job.folded_commands", "folded", FORM_LABELLED},
    {"wirespan.job.empty_polls", "empty_polls", FORM_LABELLED},
    {"messaging.destination.name", NULL, FORM_VALUE},
    {"messaging.batch.message_count", "messages", FORM_LABELLED},
    {"wirespan.connection.opaque_reason", "opaque", FORM_LABELLED},
    {"wirespan.connection.sent_bytes", "out", FORM_BYTES},
    {"wirespan.connection.received_bytes", "in", FORM_BYTES},
    {"dns.question.name", NULL, FORM_VALUE},
    {"http.request.body.size", "out", FORM_BYTES},
    {"http.response.body.size", "in", FORM_BYTES},
};

/* ---- numbers as text ---- */

struct unit {
    uint64_t size;
    const char *name;
};

/* Three significant digits, as long as the next unit is not reached. */
static void append_scaled(struct buffer *text, uint64_t value, const struct unit *unit)
{
    uint64_t hundredths = unit->size >= 100 ? value / (unit->size / 100) : value * 100 / unit->size;
    if (unit->size == 1) {
        buffer_print(text, "%" PRIu64 " %s", value, unit->name);
    } else if (hundredths < 1000) {
        buffer_print(text, "%" PRIu64 ".%02" PRIu64 " %s", hundredths / 100, hundredths % 100,
                     unit->name);
    } else if (hundredths < 10000) {
        buffer_print(text, "%" PRIu64 ".%" PRIu64 " %s", hundredths / 100, hundredths % 100 / 10,
                     unit->name);
    } else {
        buffer_print(text, "%" PRIu64 " %s", hundredths / 100, unit->name);
    }
}

void details_append_duration(struct buffer *text, uint64_t ns, const char *micro)
{
    const uint64_t second = 1000000000;
    if (ns >= 3600 * second) {
        buffer_print(text, "%" PRIu64 " h %02" PRIu64 " m", ns / (3600 * second),
                     ns / (60 * second) % 60);
    } else if (ns >= 60 * second) {
        buffer_print(text, "%" PRIu64 " m %02" PRIu64 " s", ns / (60 * second), ns / second % 60);
    } else if (ns >= second) {
        append_scaled(text, ns, &(struct unit){second, "s"});
    } else if (ns >= 1000000) {
        append_scaled(text, ns, &(struct unit){1000000, "ms"});
    } else if (ns >= 1000) {
        append_scaled(text, ns, &(struct unit){1000, micro});
    } else {
        append_scaled(text, ns, &(struct unit){1, "ns"});
    }
}

void details_append_bytes(struct buffer *text, uint64_t bytes)
{
    static const struct unit units[] = {
        {1000000000, "GB"}, {1000000, "MB"}, {1000, "kB"}, {1, "B"}};
    size_t i = 0;
    while (bytes < units[i].size && units[i].size > 1) {
        i++;
    }
    append_scaled(text, bytes, &units[i]);
}

/* ---- the pieces ---- */

struct teller {
    details_sink *sink;
    void *context;
    struct buffer piece;
    bool failed;
};

static void tell(struct teller *teller, enum detail_colour colour)
{
    buffer_append(&teller->piece, "", 1);
    if (teller->piece.failed) {
        teller->failed = true;
        return;
    }
    teller->sink(teller->context, colour, teller->piece.bytes);
    teller->piece.used = 0;
}

/* Whether `text` stands in `name` as a word of its own. */
static bool name_says(const char *name, const char *text)
{
    size_t size = strlen(text);
    for (const char *at = size > 0 ? strstr(name, text) : NULL; at != NULL;
         at = strstr(at + 1, text)) {
        if ((at == name || at[-1] == ' ') && (at[size] == '\0' || at[size] == ' ')) {
            return true;
        }
    }
    return false;
}

static void append_path(struct buffer *text, const char *path, const char *query)
{
    buffer_append_text(text, path);
    if (query != NULL && query[0] != '\0') {
        buffer_append_text(text, "?");
        buffer_append_text(text, query);
    }
}

/* From the path on, where there is one. */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    return path != NULL ? path : url;
}

/* Behind the command, where the name begins with it in whatever case. */
static const char *arguments_of(const char *text, const char *name)
{
    size_t size = strcspn(text, " ");
    bool is_told = text[size] == ' ' && strncasecmp(text, name, size) == 0 &&
                   (name[size] == ' ' || name[size] == '\0');
    return is_told ? text + size + 1 : text;
}

static void tell_attribute(struct teller *teller, const struct store_span *span,
                           const struct telling_attribute *attribute)
{
    const char *value = store_span_attribute(span, attribute->key);
    if (value == NULL || value[0] == '\0' || name_says(span->name, value)) {
        return;
    }
    /* The row's mark says so, and the failure's own words are worth more. */
    if (span->is_error && strcmp(value, "failed") == 0) {
        return;
    }
    switch (attribute->form) {
    case FORM_VALUE:
        buffer_append_text(&teller->piece, value);
        break;
    case FORM_LABELLED:
        buffer_append_text(&teller->piece, attribute->label);
        buffer_append_text(&teller->piece, "=");
        buffer_append_text(&teller->piece, value);
        break;
    case FORM_URL:
        buffer_append_text(&teller->piece, path_of(value));
        break;
    case FORM_COMMAND:
        buffer_append_text(&teller->piece, arguments_of(value, span->name));
        break;
    case FORM_PATH:
        append_path(&teller->piece, value, store_span_attribute(span, attribute->label));
        break;
    case FORM_BYTES:
        if (strcmp(value, "0") == 0) {
            return;
        }
        buffer_append_text(&teller->piece, attribute->label);
        buffer_append_text(&teller->piece, " ");
        details_append_bytes(&teller->piece, strtoull(value, NULL, 10));
        break;
    case FORM_MS: {
        double ms = strtod(value, NULL);
        buffer_append_text(&teller->piece, attribute->label);
        buffer_append_text(&teller->piece, " ");
        details_append_duration(&teller->piece, ms > 0 && ms < 1e12 ? (uint64_t)(ms * 1e6) : 0,
                                "us");
        break;
    }
    }
    bool is_status = strcmp(attribute->key, "http.response.status_code") == 0 ||
                     strcmp(attribute->key, "processing.status") == 0;
    tell(teller, is_status && span->is_error ? DETAIL_ERROR : DETAIL_PLAIN);
}

/* The address, unless the name or what was told of the URL holds it already. */
static void tell_server(struct teller *teller, const struct store_span *span)
{
    const char *address = store_span_attribute(span, "server.address");
    const char *port = store_span_attribute(span, "server.port");
    const char *url = store_span_attribute(span, "url.full");
    if (address == NULL || span->kind != STORE_CLIENT || strstr(span->name, address) != NULL ||
        (url != NULL && path_of(url) == url)) {
        return;
    }
    buffer_append_text(&teller->piece, address);
    if (port != NULL) {
        buffer_append_text(&teller->piece, ":");
        buffer_append_text(&teller->piece, port);
    }
    tell(teller, DETAIL_PLAIN);
}

static void tell_error(struct teller *teller, const struct store_span *span)
{
    const char *type = store_span_attribute(span, "error.type");
    const char *status = store_span_attribute(span, "http.response.status_code");
    bool is_told = type != NULL && status != NULL && strcmp(type, status) == 0;
    /* The failure's own words say more than that its type is not known. */
    is_told |= type != NULL && strcmp(type, "_OTHER") == 0 && span->status_message[0] != '\0';
    if (type != NULL && type[0] != '\0' && !is_told) {
        buffer_append_text(&teller->piece, "error.type=");
        buffer_append_text(&teller->piece, type);
        tell(teller, DETAIL_ERROR);
    }
    if (span->is_error && span->status_message[0] != '\0') {
        buffer_append_text(&teller->piece, span->status_message);
        tell(teller, DETAIL_ERROR);
    }
}

static void append_short_id(struct buffer *text, const uint8_t *id)
{
    for (size_t i = 0; i < 4; i++) {
        buffer_print(text, "%02x", id[i]);
    }
}

static void tell_place(struct teller *teller, const struct tree_row *row)
{
    const struct store_span *span = row->span;
    switch (row->place) {
    case TREE_ORPHAN:
        buffer_append_text(&teller->piece, "(parent ");
        append_short_id(&teller->piece, span->parent_span_id);
        buffer_append_text(&teller->piece, " is not here)");
        break;
    case TREE_JOINED:
        buffer_append_text(&teller->piece, "(trace ");
        append_short_id(&teller->piece, span->trace_id);
        buffer_append_text(&teller->piece, ", joined by links)");
        break;
    case TREE_CYCLE:
        buffer_append_text(&teller->piece, "(its parents form a ring)");
        break;
    case TREE_ROOT:
    case TREE_CHILD:
        return;
    }
    tell(teller, DETAIL_NOTE);
}

static void tell_links(struct teller *teller, const struct tree_row *row)
{
    const struct store_span *span = row->span;
    if (span->link_count == 0 || row->place == TREE_JOINED) {
        return;
    }
    buffer_append_text(&teller->piece, "(link to ");
    append_short_id(&teller->piece, span->links[0].trace_id);
    buffer_append_text(&teller->piece, "/");
    append_short_id(&teller->piece, span->links[0].span_id);
    if (span->link_count > 1) {
        buffer_print(&teller->piece, " and %zu more", span->link_count - 1);
    }
    buffer_append_text(&teller->piece, ")");
    tell(teller, DETAIL_NOTE);
}

bool details_tell(const struct tree_row *row, details_sink *sink, void *context)
{
    struct teller teller = {.sink = sink, .context = context};
    if (row->place != TREE_JOINED) {
        tell_place(&teller, row);
    }
    tell_attribute(&teller, row->span, &telling[0]);
    tell_error(&teller, row->span);
    for (size_t i = 1; i < sizeof(telling) / sizeof(telling[0]); i++) {
        tell_attribute(&teller, row->span, &telling[i]);
    }
    tell_server(&teller, row->span);
    if (row->place == TREE_JOINED) {
        tell_place(&teller, row); /* which a sign says already */
    }
    tell_links(&teller, row);
    buffer_finish(&teller.piece);
    return !teller.failed;
}
