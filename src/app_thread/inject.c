#include "app_thread/inject.h"

#include <string.h>

#include "app_thread/carried.h"
#include "app_thread/readable.h"
#include "app_thread/slab.h"
#include "base/compiler.h"
#include "wire/http1.h"
#include "wire/identify.h"
#include "wire/traceparent.h"

/* The rest of fields that were sent in part. */
struct owed {
    _Atomic bool taken;
    uint8_t field[INJECT_FIELD_BYTES];
    uint8_t field_size;
    uint16_t sent;      /* of the field and what is behind it */
    uint32_t carried;   /* whose line that is, which is pinned; 0: none */
    uint32_t block;     /* the buffer that it is in; 0: none */
    struct slice state; /* what is behind it */
};

bool inject_is_on;
static struct slice inject_to;
static struct slice inject_not_to;
static struct owed inject_owed[LIMIT_INJECT_OWED];
static _Atomic uint32_t inject_owed_count;

void inject_configure(bool is_on, struct slice to, struct slice not_to)
{
    inject_is_on = is_on;
    inject_to = to;
    inject_not_to = not_to;
}

/* ---- hosts ---- */

static struct slice without_blanks(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        slice_take(&text, 1);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* Without the port, if there is one. An IPv6 address stands in brackets. */
static struct slice name_of(struct slice host)
{
    for (size_t i = host.size; i > 0; i--) {
        uint8_t byte = host.data[i - 1];
        if (byte == ':') {
            return slice_of(host.data, i - 1);
        }
        if ((uint8_t)(byte - '0') > 9) {
            break;
        }
    }
    return host;
}

static bool is_meant(struct slice pattern, struct slice host)
{
    struct slice name = name_of(host);
    if (slice_equals(pattern, SLICE("*"))) {
        return true;
    }
    if (slice_starts_with(pattern, SLICE("*."))) {
        slice_take(&pattern, 1);
    }
    bool has_port = name_of(pattern).size != pattern.size;
    struct slice whole = has_port ? host : name;
    if (pattern.size > 0 && pattern.data[0] == '.' && whole.size > pattern.size) {
        slice_take(&whole, whole.size - pattern.size);
    }
    return pattern.size > 0 && slice_equals_ignoring_case(pattern, whole);
}

bool inject_list_has(struct slice list, struct slice host)
{
    while (list.size > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.size);
        size_t size = comma == NULL ? list.size : (size_t)(comma - list.data);
        struct slice pattern = without_blanks(slice_take(&list, size));
        slice_take(&list, comma == NULL ? 0 : 1);
        if (is_meant(pattern, host)) {
            return true;
        }
    }
    return false;
}

bool inject_is_allowed(struct slice host)
{
    return (inject_to.size == 0 || inject_list_has(inject_to, host)) &&
           (inject_not_to.size == 0 || !inject_list_has(inject_not_to, host));
}

bool inject_is_limited(void)
{
    return inject_to.size != 0 || inject_not_to.size != 0;
}

/* ---- the head ---- */

/* Whether a head takes the field; `*at`: the end of its first line. */
static bool takes_field(const struct http_preview *preview, uint32_t *at)
{
    const struct http1_head *head = &preview->head;
    if (slice_equals_ignoring_case(head->item.method, SLICE("CONNECT"))) {
        return false;
    }
    struct slice host = {NULL, 0};
    for (uint32_t i = 0; i < head->field_count; i++) {
        uint8_t field = head->fields[i].field;
        if (field == HTTP1_FIELD_TRACEPARENT || field == HTTP1_FIELD_TRACESTATE) {
            return false; /* the program has a context of its own */
        }
        host = field == HTTP1_FIELD_HOST ? head->fields[i].value : host;
    }
    const uint8_t *end = memchr(preview->data, '\n', preview->size);
    if (end == NULL || end == preview->data || end[-1] != '\r' || !inject_is_allowed(host)) {
        return false;
    }
    *at = (uint32_t)(end + 1 - preview->data);
    return true;
}

/* Looks at the page first that the bytes begin on: there the head mostly lies whole, and what the
   kernel is not asked about costs nothing. */
static inline __attribute__((always_inline)) bool find_head(struct slice bytes,
                                                            struct http_preview *preview)
{
    size_t on_page = READABLE_PAGE - (uintptr_t)bytes.data % READABLE_PAGE;
    size_t size = bytes.size;
    bytes.size = size < on_page ? size : on_page;
    /* Empty lines may stand before a request, methods in small letters are nobody's. */
    if (!readable(bytes.data, bytes.size) || (uint8_t)(bytes.data[0] - 'A') >= 26) {
        return false;
    }
    if (likely(http_exchange_preview(preview, bytes))) {
        return true;
    }
    if (size <= on_page || identify_client_bytes(bytes) > WIRE_HTTP1) {
        return false;
    }
    bytes.size = size < LIMIT_INJECT_HEAD_BYTES ? size : LIMIT_INJECT_HEAD_BYTES;
    return readable(bytes.data, bytes.size) && http_exchange_preview(preview, bytes);
}

/* A head that lies in several buffers, as far as it was looked at. */
struct spread_head {
    struct http1 parser;
    struct injection *injection;
    uint32_t size;  /* bytes that the parser has taken */
    uint8_t newest; /* the byte before those at hand */
    bool has_host;
    bool takes_none; /* nothing may be written into it */
};

/* The parser is behind the request line; `end` is what it left of `bytes`. */
static void plan_line(struct thread_state *self, struct spread_head *head,
                      const struct http1_item *line, struct slice bytes, const uint8_t *end,
                      uint64_t start_ns)
{
    struct http_preview *preview = &head->injection->preview;
    size_t size = (size_t)(end - bytes.data);
    uint8_t before_end = size >= 2 ? end[-2] : head->newest;
    head->injection->at = head->size + (uint32_t)size;
    head->takes_none |= before_end != '\r' || line->target_cut ||
                        slice_equals_ignoring_case(line->method, SLICE("CONNECT"));
    if (!head->takes_none) {
        preview->is_planned =
            exchange_plan_http(self, &preview->plan, line->method, line->target, start_ns);
    }
}

/* Looks at the next bytes of a head: true if it ends there. */
static bool pass_spread(struct thread_state *self, struct spread_head *head, struct slice bytes,
                        uint64_t start_ns)
{
    struct slice in = bytes;
    struct http1_item item;
    for (;;) {
        switch (http1_next(&head->parser, &in, &item)) {
        case HTTP1_MESSAGE_BEGIN:
            break;
        case HTTP1_START_LINE:
            plan_line(self, head, &item, bytes, in.data, start_ns);
            break;
        case HTTP1_FIELD:
            head->has_host |= item.field == HTTP1_FIELD_HOST;
            head->takes_none |= item.field == HTTP1_FIELD_HOST
                                    ? item.value_cut || !inject_is_allowed(item.value)
                                    : true; /* the program has a context of its own */
            break;
        case HTTP1_HEAD_END:
            head->takes_none |= !head->has_host && !inject_is_allowed(slice_of(NULL, 0));
            return true;
        case HTTP1_NEED_MORE:
            head->size += (uint32_t)bytes.size;
            head->newest = bytes.data[bytes.size - 1];
            return false;
        case HTTP1_NEED_CARRY:
        case HTTP1_BODY:
        case HTTP1_MESSAGE_END:
        case HTTP1_LOST:
        default:
            head->takes_none = true;
            return false;
        }
    }
}

/* Whether a whole head lies there. Looks at no page behind that of its end. */
static bool find_spread(struct thread_state *self, struct spread_head *head,
                        const struct iovec *iov, size_t count, uint64_t start_ns)
{
    for (size_t i = 0; i < count; i++) {
        struct slice rest = slice_of(iov[i].iov_base, iov[i].iov_len);
        while (rest.size > 0) {
            size_t most = READABLE_PAGE - (uintptr_t)rest.data % READABLE_PAGE;
            most = most < LIMIT_INJECT_HEAD_BYTES - head->size
                       ? most
                       : LIMIT_INJECT_HEAD_BYTES - head->size;
            struct slice bytes = slice_take(&rest, rest.size < most ? rest.size : most);
            if (!readable(bytes.data, bytes.size) ||
                (head->size == 0 && (uint8_t)(bytes.data[0] - 'A') >= 26)) {
                return false;
            }
            if (pass_spread(self, head, bytes, start_ns)) {
                return true;
            }
            if (head->takes_none) {
                return false;
            }
        }
    }
    return false;
}

/* A head of which the first buffer has only a part. */
static SLOW enum inject_plan plan_spread(struct thread_state *self, const struct iovec *iov,
                                         size_t count, uint64_t start_ns,
                                         struct injection *injection)
{
    struct http_preview *preview = &injection->preview;
    struct spread_head head = {.injection = injection};
    if (count > LIMIT_INJECT_PARTS || !readable(iov, count * sizeof(*iov)) || !inject_may_owe()) {
        return INJECT_UNKNOWN;
    }
    uint32_t carry = slab_take(SLAB_BUFFER);
    if (carry == 0) {
        return INJECT_UNKNOWN;
    }
    preview->data = NULL; /* it is read again when it is framed */
    preview->size = 0;
    preview->is_planned = false;
    preview->plan.slot = SEGMENT_NO_SLOT;
    http1_init(&head.parser, HTTP1_REQUESTS);
    http1_report_only(&head.parser, 1u << HTTP1_FIELD_HOST | 1u << HTTP1_FIELD_TRACEPARENT |
                                        1u << HTTP1_FIELD_TRACESTATE);
    http1_lend_carry(&head.parser, slab_address(carry), LIMIT_HTTP_LINE_CARRY);
    bool is_whole = find_spread(self, &head, iov, count, start_ns);
    slab_give(SLAB_BUFFER, carry);
    if (is_whole && !head.takes_none && preview->is_planned) {
        return INJECT_FIELD;
    }
    exchange_drop_plan(&preview->plan);
    preview->is_planned = false;
    return INJECT_UNKNOWN;
}

enum inject_plan inject_plan(struct thread_state *self, const struct iovec *iov, size_t count,
                             uint64_t start_ns, struct injection *injection)
{
    struct http_preview *preview = &injection->preview;
    if (!readable(iov, sizeof(*iov))) {
        return INJECT_UNKNOWN;
    }
    if (iov[0].iov_len == 0 || !find_head(slice_of(iov[0].iov_base, iov[0].iov_len), preview)) {
        return likely(count == 1) ? INJECT_UNKNOWN
                                  : plan_spread(self, iov, count, start_ns, injection);
    }
    if (count > LIMIT_INJECT_PARTS || !readable(iov, count * sizeof(*iov)) || !inject_may_owe() ||
        !takes_field(preview, &injection->at)) {
        return INJECT_NOTHING;
    }
    const struct http1_item *line = &preview->head.item;
    preview->is_planned =
        exchange_plan_http(self, &preview->plan, line->method, line->target, start_ns);
    return preview->is_planned ? INJECT_FIELD : INJECT_NOTHING;
}

SLOW enum inject_plan inject_plan_again(const struct iovec *iov,
                                        const struct trace_identity *identity,
                                        struct injection *injection)
{
    struct http_preview *preview = &injection->preview;
    if (iov[0].iov_len == 0 || !find_head(slice_of(iov[0].iov_base, iov[0].iov_len), preview)) {
        return INJECT_UNKNOWN;
    }
    preview->plan = (struct exchange_plan){.identity = *identity, .slot = SEGMENT_NO_SLOT};
    preview->is_planned = true;
    return INJECT_FIELD;
}

/* ---- sending ---- */

static void write_field(uint8_t field[INJECT_FIELD_BYTES], const struct trace_identity *identity)
{
    static const uint8_t name[] = "traceparent: ";
    memcpy(field, name, sizeof(name) - 1);
    traceparent_write(field + sizeof(name) - 1, identity->trace_id, identity->span_id,
                      identity->trace_flags);
    memcpy(field + INJECT_FIELD_BYTES - 2, "\r\n", 2);
}

size_t inject_build(struct injection *injection, const struct iovec *iov, size_t count,
                    uint8_t field[INJECT_FIELD_BYTES], struct iovec longer[INJECT_PARTS])
{
    const struct trace_identity *identity = &injection->preview.plan.identity;
    write_field(field, identity);
    injection->state = carried_pin_line(identity->carried);
    size_t parts = 0;
    size_t at = injection->at;
    while (iov[0].iov_len < at) {
        at -= iov[0].iov_len;
        longer[parts++] = *iov++;
        count--;
    }
    longer[parts++] = (struct iovec){iov[0].iov_base, at};
    longer[parts++] = (struct iovec){field, INJECT_FIELD_BYTES};
    if (injection->state.size > 0) {
        longer[parts++] = iovec_of(injection->state.data, injection->state.size);
    }
    longer[parts++] = (struct iovec){(uint8_t *)iov[0].iov_base + at, iov[0].iov_len - at};
    for (size_t i = 1; i < count; i++) {
        longer[parts++] = iov[i];
    }
    return parts;
}

bool inject_may_owe(void)
{
    return atomic_load_explicit(&inject_owed_count, memory_order_relaxed) <= LIMIT_INJECT_OWED / 2;
}

/* The table has room: inject_may_owe leaves half of it to threads that are sending just now. */
static uint32_t take_owed(void)
{
    atomic_fetch_add_explicit(&inject_owed_count, 1, memory_order_relaxed);
    for (uint32_t i = 0;; i = (i + 1) % LIMIT_INJECT_OWED) {
        if (!atomic_exchange_explicit(&inject_owed[i].taken, true, memory_order_acquire)) {
            return i;
        }
    }
}

static void owe(struct connection *connection, const struct injection *injection,
                const uint8_t *field, uint16_t sent)
{
    uint32_t number = take_owed();
    struct owed *owed = &inject_owed[number];
    memcpy(owed->field, field, sizeof(owed->field));
    owed->field_size = INJECT_FIELD_BYTES;
    owed->sent = sent;
    owed->state = injection->state;
    owed->block = 0;
    owed->carried = injection->state.size > 0 ? injection->preview.plan.identity.carried : 0;
    atomic_store_explicit(&connection->pairing.owed, number + 1, memory_order_release);
}

void inject_owe_buffer(struct connection *connection, uint32_t block, uint16_t size, uint16_t sent)
{
    uint32_t number = take_owed();
    struct owed *owed = &inject_owed[number];
    owed->field_size = 0;
    owed->sent = sent;
    owed->state = slice_of(slab_address(block), size);
    owed->block = block;
    owed->carried = 0;
    atomic_store_explicit(&connection->pairing.owed, number + 1, memory_order_release);
}

void inject_copied(const struct injection *injection)
{
    if (injection->state.size > 0) {
        carried_unpin(injection->preview.plan.identity.carried);
    }
}

ssize_t inject_settle(struct connection *connection, const struct injection *injection,
                      const uint8_t field[INJECT_FIELD_BYTES], ssize_t sent)
{
    ssize_t at = (ssize_t)injection->at;
    ssize_t size = (ssize_t)(INJECT_FIELD_BYTES + injection->state.size);
    if (sent > at && sent < at + size) {
        owe(connection, injection, field, (uint16_t)(sent - at));
        return at;
    }
    inject_copied(injection);
    return sent <= at ? sent : sent - size;
}

struct slice inject_take_owed(struct connection *connection, uint32_t *owed)
{
    *owed = atomic_exchange_explicit(&connection->pairing.owed, 0, memory_order_acquire);
    if (*owed == 0) {
        return slice_of(NULL, 0);
    }
    const struct owed *rest = &inject_owed[*owed - 1];
    if (rest->sent < rest->field_size) {
        return slice_of(rest->field + rest->sent, rest->field_size - rest->sent);
    }
    size_t of_state = rest->sent - rest->field_size;
    return slice_of(rest->state.data + of_state, rest->state.size - of_state);
}

static void give_up(uint32_t owed)
{
    if (inject_owed[owed - 1].carried != 0) {
        carried_unpin(inject_owed[owed - 1].carried);
    }
    if (inject_owed[owed - 1].block != 0) {
        slab_give(SLAB_BUFFER, inject_owed[owed - 1].block);
    }
    atomic_store_explicit(&inject_owed[owed - 1].taken, false, memory_order_release);
    atomic_fetch_sub_explicit(&inject_owed_count, 1, memory_order_relaxed);
}

bool inject_paid(struct connection *connection, uint32_t owed, ssize_t sent)
{
    struct owed *rest = &inject_owed[owed - 1];
    rest->sent = (uint16_t)(rest->sent + (sent > 0 ? sent : 0));
    if (rest->sent < rest->field_size + rest->state.size) {
        atomic_store_explicit(&connection->pairing.owed, owed, memory_order_release);
        return false;
    }
    give_up(owed);
    return true;
}

void inject_forget_owed(struct connection *connection)
{
    uint32_t owed = atomic_exchange_explicit(&connection->pairing.owed, 0, memory_order_acquire);
    if (owed != 0) {
        give_up(owed);
    }
}
