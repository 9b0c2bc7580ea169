/*
 * Options: requests or responses; carry=BYTES lent for lines in pieces (default: the usual 1024);
 * no-body=N: http1_has_no_body is called after the N-th head.
 * Directions: skip BYTES; fin.
 *
 * Events: begin, start METHOD TARGET 1.N, status CODE 1.N, field KIND NAME: VALUE, head (and what
 * it says), body BYTES, end, lost. What a line in pieces would lose is cut here from whole lines
 * too, and marked " ..."; at the end "unfinished" tells that the parser is in the midst of a
 * message.
 */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "wire/http1.h"

static struct {
    struct http1 parser;
    uint8_t *memory;
    uint64_t carry;
    uint64_t heads;
    uint64_t without_body; /* bit N: the N-th head */
    bool lost;
    /* What the shortcuts took of the input at hand, to be told by http1_next in turn. */
    bool took_head;
    bool took_rest;
    struct http1_head head;
    uint32_t fields_told;
    uint64_t payload_told;
    uint64_t payload;
    struct slice behind;
    struct http1 fast;
} subject;

static const char *const field_names[] = {
    [HTTP1_FIELD_OTHER] = "-",
    [HTTP1_FIELD_HOST] = "host",
    [HTTP1_FIELD_USER_AGENT] = "user-agent",
    [HTTP1_FIELD_CONTENT_LENGTH] = "content-length",
    [HTTP1_FIELD_TRANSFER_ENCODING] = "transfer-encoding",
    [HTTP1_FIELD_CONNECTION] = "connection",
    [HTTP1_FIELD_UPGRADE] = "upgrade",
    [HTTP1_FIELD_EXPECT] = "expect",
    [HTTP1_FIELD_CONTENT_TYPE] = "content-type",
    [HTTP1_FIELD_FORWARDED] = "forwarded",
    [HTTP1_FIELD_X_FORWARDED_FOR] = "x-forwarded-for",
    [HTTP1_FIELD_X_FORWARDED_PROTO] = "x-forwarded-proto",
    [HTTP1_FIELD_X_FORWARDED_HOST] = "x-forwarded-host",
    [HTTP1_FIELD_X_REQUEST_ID] = "x-request-id",
    [HTTP1_FIELD_TRACEPARENT] = "traceparent",
    [HTTP1_FIELD_TRACESTATE] = "tracestate",
    [HTTP1_FIELD_BAGGAGE] = "baggage",
    [HTTP1_FIELD_SEC_WEBSOCKET_KEY] = "sec-websocket-key",
    [HTTP1_FIELD_SEC_WEBSOCKET_PROTOCOL] = "sec-websocket-protocol",
    [HTTP1_FIELD_SEC_WEBSOCKET_EXTENSIONS] = "sec-websocket-extensions",
    [HTTP1_FIELD_SEC_WEBSOCKET_ACCEPT] = "sec-websocket-accept",
};

/* The memory is as large as what is lent, so that a sanitizer sees a write behind it. */
static void lend_carry(void)
{
    subject.memory = malloc(subject.carry);
    if (subject.memory == NULL) {
        abort();
    }
    http1_lend_carry(&subject.parser, subject.memory, (uint16_t)subject.carry);
}

static void take_carry_back(void)
{
    uint8_t *memory = http1_return_carry(&subject.parser);
    if (memory != subject.memory) {
        abort();
    }
    free(memory);
    subject.memory = NULL;
}

static bool reset(const char *options)
{
    enum http1_kind kind = HTTP1_REQUESTS;
    uint32_t fields = 0;
    uint64_t number;
    free(subject.memory);
    subject.memory = NULL;
    subject.carry = LIMIT_HTTP_LINE_CARRY;
    subject.heads = 0;
    subject.without_body = 0;
    subject.lost = false;
    subject.took_head = false;
    subject.took_rest = false;
    for (struct slice word = wire_next_word(&options); word.size > 0;
         word = wire_next_word(&options)) {
        if (slice_equals(word, SLICE("responses"))) {
            kind = HTTP1_RESPONSES;
        } else if (wire_word_number(word, "no-body", &number)) {
            subject.without_body |= (uint64_t)1 << number;
        } else if (wire_word_number(word, "only", &number)) {
            fields |= 1u << number;
        } else if (!wire_word_number(word, "carry", &subject.carry) &&
                   !slice_equals(word, SLICE("requests"))) {
            return false;
        }
    }
    http1_init(&subject.parser, kind);
    if (fields != 0) {
        http1_report_only(&subject.parser, fields);
    }
    return true;
}

/* What would be kept of the part of a line that starts at `line`. */
static struct slice kept_part(struct slice part, const uint8_t *line)
{
    size_t offset = (size_t)(part.data - line);
    size_t room = subject.carry > offset ? (size_t)subject.carry - offset : 0;
    part.size = part.size < room ? part.size : room;
    return part;
}

static void log_start_line(const struct http1_item *item, struct wire_log *log)
{
    if (subject.parser.kind == HTTP1_RESPONSES) {
        wire_log_line(log, "status %u 1.%u", item->status, item->version_minor);
        return;
    }
    struct slice target = kept_part(item->target, item->method.data);
    const bool cut = item->target_cut || target.size < item->target.size;
    wire_log_piece(log, "start", item->method);
    wire_log_piece(log, "start", SLICE(" "));
    wire_log_piece(log, "start", target);
    char rest[16];
    int size = snprintf(rest, sizeof rest, "%s 1.%u", cut ? "..." : "", item->version_minor);
    wire_log_piece(log, "start", slice_of(rest, (size_t)size));
    wire_log_close(log);
}

static void log_field(const struct http1_item *item, struct slice piece, struct slice rest,
                      struct wire_log *log)
{
    char label[64];
    struct slice value = kept_part(item->value, item->name.data);
    bool cut = item->value_cut;
    if (item->name.data >= piece.data && item->name.data < piece.data + piece.size) {
        size_t line = (size_t)(rest.data - item->name.data) - 1;
        line -= line > 0 && item->name.data[line - 1] == '\r';
        cut = line > subject.carry;
    }
    while (cut && value.size > 0 && strchr(" \t", value.data[value.size - 1]) != NULL) {
        value.size--;
    }
    snprintf(label, sizeof label, "field %s", field_names[item->field]);
    wire_log_piece(log, label, item->name);
    wire_log_piece(log, label, SLICE(": "));
    wire_log_piece(log, label, value);
    wire_log_piece(log, label, cut ? SLICE(" ...") : SLICE(""));
    wire_log_close(log);
}

static void log_head(const struct http1_item *item, struct wire_log *log)
{
    wire_log_line(log, "head%s%s%s%s", item->keeps_alive ? " keeps-alive" : "",
                  item->upgrades ? " upgrades" : "",
                  item->expects_continue ? " expects-continue" : "",
                  item->until_close ? " until-close" : "");
    if (subject.heads < 64 && (subject.without_body >> subject.heads & 1) != 0) {
        http1_has_no_body(&subject.parser);
    }
}

/* ---- the shortcuts against http1_next ---- */

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void try_head(struct slice in)
{
    subject.fast = subject.parser;
    subject.behind = in;
    subject.fields_told = 0;
    memset(&subject.head, 0xA5, sizeof subject.head);
    http1_report_only(&subject.fast, UINT32_MAX);
    require(!http1_take_head(&subject.fast, &subject.behind, &subject.head));
    http1_report_only(&subject.fast, subject.parser.wanted & ~(1u << HTTP1_FIELD_OTHER));
    subject.took_head = http1_take_head(&subject.fast, &subject.behind, &subject.head);
}

static void compare_start(const struct http1_item *item)
{
    const struct http1_item *taken = &subject.head.item;
    if (subject.took_head) {
        require(subject.parser.kind == HTTP1_RESPONSES
                    ? taken->status == item->status
                    : taken->method.data == item->method.data &&
                          taken->target.data == item->target.data);
        require(taken->version_minor == item->version_minor);
    }
}

static void compare_field(const struct http1_item *item)
{
    if (subject.took_head && item->field != HTTP1_FIELD_OTHER) {
        uint32_t at = subject.fields_told++;
        require(at < subject.head.field_count && subject.head.fields[at].field == item->field);
        require(subject.head.fields[at].value.size == item->value.size &&
                subject.head.fields[at].value.data == item->value.data);
    }
}

/* But for flags that mean nothing behind a head. */
static bool is_same_state(const struct http1 *a, const struct http1 *b)
{
    return a->kind == b->kind && a->state == b->state && a->version_minor == b->version_minor &&
           a->line_tail_size == b->line_tail_size && a->head_bytes == b->head_bytes &&
           a->line_bytes == b->line_bytes && a->remaining == b->remaining &&
           a->carry_used == b->carry_used && (a->kind == HTTP1_REQUESTS || a->status == b->status);
}

static void compare_head(const struct http1_item *item, struct slice in)
{
    const struct http1_item *taken = &subject.head.item;
    if (subject.took_head) {
        require(subject.fields_told == subject.head.field_count && in.data == subject.behind.data);
        require(taken->keeps_alive == item->keeps_alive && taken->upgrades == item->upgrades &&
                taken->expects_continue == item->expects_continue &&
                taken->until_close == item->until_close);
        require(is_same_state(&subject.fast, &subject.parser));
    }
    subject.took_head = false;
}

static void try_rest(struct slice in)
{
    subject.fast = subject.parser;
    subject.behind = in;
    subject.payload_told = 0;
    subject.took_rest = http1_take_rest(&subject.fast, &subject.behind, &subject.payload);
}

static void compare_rest(struct slice in)
{
    if (subject.took_rest) {
        require(subject.payload == subject.payload_told && in.data == subject.behind.data);
        require(is_same_state(&subject.fast, &subject.parser));
    }
    subject.took_rest = false;
}

static void feed(struct slice piece, struct wire_log *log)
{
    struct slice in = piece;
    while (!subject.lost) {
        struct http1_item item;
        memset(&item, 0xA5, sizeof item);
        if (http1_is_idle(&subject.parser)) {
            try_head(in);
        }
        switch (http1_next(&subject.parser, &in, &item)) {
        case HTTP1_NEED_MORE:
            if (in.size > 0) {
                abort();
            }
            if (subject.parser.carry_used == 0 && subject.memory != NULL) {
                take_carry_back();
            }
            return;
        case HTTP1_NEED_CARRY:
            if (subject.memory != NULL) {
                abort();
            }
            lend_carry();
            break;
        case HTTP1_MESSAGE_BEGIN:
            wire_log_line(log, "begin");
            break;
        case HTTP1_START_LINE:
            compare_start(&item);
            log_start_line(&item, log);
            break;
        case HTTP1_FIELD:
            compare_field(&item);
            log_field(&item, piece, in, log);
            break;
        case HTTP1_HEAD_END:
            subject.heads++;
            compare_head(&item, in);
            log_head(&item, log);
            try_rest(in);
            break;
        case HTTP1_BODY:
            if (item.bytes.size == 0) {
                abort();
            }
            subject.payload_told += item.bytes.size;
            wire_log_piece(log, "body", item.bytes);
            break;
        case HTTP1_MESSAGE_END:
            compare_rest(in);
            wire_log_line(log, "end");
            break;
        case HTTP1_LOST:
            require(!subject.took_head && !subject.took_rest);
            wire_log_line(log, "lost");
            subject.lost = true;
            break;
        }
    }
}

static bool direct(const char *words, struct wire_log *log)
{
    static const char *const events[] = {[HTTP1_NEED_MORE] = "nothing",
                                         [HTTP1_BODY] = "body",
                                         [HTTP1_MESSAGE_END] = "end",
                                         [HTTP1_LOST] = "lost"};
    struct slice verb = wire_next_word(&words);
    if (slice_equals(verb, SLICE("skip"))) {
        uint64_t count = strtoull(words, NULL, 10);
        wire_log_line(log, "skip %lu: %s", count, events[http1_skip(&subject.parser, count)]);
        return true;
    }
    if (slice_equals(verb, SLICE("fin"))) {
        wire_log_line(log, "fin: %s", events[http1_end(&subject.parser)]);
        return true;
    }
    return false;
}

static void finish(struct wire_log *log)
{
    struct slice none = {NULL, 0};
    struct http1_item item;
    bool lost = http1_next(&subject.parser, &none, &item) == HTTP1_LOST;
    if (!lost && !http1_is_idle(&subject.parser)) {
        wire_log_line(log, "unfinished");
    }
    free(subject.memory);
    subject.memory = NULL;
}

static const char *const fuzz_options[] = {
    "requests", "responses", "requests carry=256", "responses carry=256", "responses no-body=1",
    NULL};

const struct wire_subject wire_subject = {.name = "http1",
                                          .reset = reset,
                                          .feed = feed,
                                          .direct = direct,
                                          .finish = finish,
                                          .fuzz_options = fuzz_options};
