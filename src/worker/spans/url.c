#include "base/compiler.h"
#include "worker/spans/kinds.h"

static size_t find_byte(struct slice text, uint8_t byte)
{
    const uint8_t *at = text.size > 0 ? memchr(text.data, byte, text.size) : NULL;
    return at == NULL ? text.size : (size_t)(at - text.data);
}

static uint16_t parse_port(struct slice text)
{
    uint32_t number = 0;
    if (text.size > 5) {
        return 0;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return 0;
        }
        number = number * 10 + (uint32_t)(text.data[i] - '0');
    }
    return number <= UINT16_MAX ? (uint16_t)number : 0;
}

struct authority spans_parse_authority(struct slice text)
{
    struct authority authority = {.host = {NULL, 0}};
    size_t user = find_byte(text, '@');
    slice_take(&text, user < text.size ? user + 1 : 0);
    if (text.size > 0 && text.data[0] == '[') {
        size_t end = find_byte(text, ']');
        if (end == text.size) {
            return authority;
        }
        authority.host = slice_of(text.data + 1, end - 1);
        slice_take(&text, end + 1);
    } else {
        authority.host = slice_take(&text, find_byte(text, ':'));
    }
    if (text.size > 1 && text.data[0] == ':') {
        authority.port = parse_port(slice_of(text.data + 1, text.size - 1));
    }
    return authority;
}

/* "scheme://" at the beginning: the scheme's size, 0 if there is none. */
static size_t scheme_size(struct slice text)
{
    size_t colon = find_byte(text, ':');
    bool is_scheme = colon > 0 && text.size - colon >= 3 && text.data[colon + 1] == '/' &&
                     text.data[colon + 2] == '/';
    return is_scheme ? colon : 0;
}

static void split_path(struct target *target, struct slice text)
{
    size_t mark = find_byte(text, '?');
    target->path = slice_of(text.data, mark);
    if (mark < text.size) {
        target->query = slice_of(text.data + mark + 1, text.size - mark - 1);
    }
}

struct target spans_parse_target(struct slice text)
{
    struct target target = {.form = TARGET_ABSENT};
    if (text.size == 0) {
        return target;
    }
    if (likely(text.data[0] == '/')) {
        target.form = TARGET_ORIGIN;
        split_path(&target, text);
        return target;
    }
    if (slice_equals(text, SLICE("*"))) {
        target.form = TARGET_ASTERISK;
        return target;
    }
    size_t scheme = scheme_size(text);
    if (scheme == 0) {
        target.form = TARGET_AUTHORITY;
        target.authority = text;
        return target;
    }
    target.form = TARGET_ABSOLUTE;
    target.scheme = slice_take(&text, scheme);
    slice_take(&text, 3);
    size_t end = 0;
    while (end < text.size && text.data[end] != '/' && text.data[end] != '?') {
        end++;
    }
    target.authority = slice_take(&text, end);
    split_path(&target, text);
    return target;
}

/* ---- client ---- */

static uint16_t default_port(struct slice scheme)
{
    if (slice_equals_ignoring_case(scheme, SLICE("https")) ||
        slice_equals_ignoring_case(scheme, SLICE("wss"))) {
        return 443;
    }
    return 80;
}

static struct slice own_scheme(const struct record *record, const struct slice schemes[2])
{
    return schemes[(record->flags & RECORD_FLAG_TLS) != 0];
}

static void add_server(struct span *span, struct slice host, uint16_t port, struct slice scheme)
{
    if (host.size == 0) {
        return;
    }
    span_add_string(span, SLICE("server.address"), host);
    span_add_int(span, SLICE("server.port"), port != 0 ? port : default_port(scheme));
}

/* The server as the Host header names it, else as it was looked up, else its address. */
static void add_server_of_origin(struct span *span, const struct record_text *text,
                                 const struct peer *peer, struct slice scheme)
{
    struct authority host = spans_parse_authority(text->fields[FIELD_HOST]);
    if (host.host.size > 0) {
        add_server(span, host.host, host.port, scheme);
        return;
    }
    struct peer named = spans_named_peer(span, peer, text);
    if (named.is_unix) {
        span_add_string(span, SLICE("server.address"), named.address);
    } else {
        add_server(span, named.address, named.port, scheme);
    }
}

/* What stands between "scheme://" and the path: Host as sent, else made of the peer. */
static struct slice origin_authority(struct span *span, const struct record_text *text,
                                     const struct peer *peer, struct slice scheme)
{
    struct slice host = text->fields[FIELD_HOST];
    if (host.size > 0) {
        slice_take(&host, find_byte(host, '@') < host.size ? find_byte(host, '@') + 1 : 0);
        return span_text(span, host);
    }
    struct peer named = spans_named_peer(span, peer, text);
    if (named.is_unix) {
        return SLICE("localhost");
    }
    named.port = named.port == default_port(scheme) ? 0 : named.port;
    return spans_address_and_port(span, &named);
}

static void add_origin_url(struct span *span, const struct record_text *text,
                           const struct peer *peer, struct slice scheme, struct slice target)
{
    const struct slice parts[] = {
        scheme,
        SLICE("://"),
        origin_authority(span, text, peer, scheme),
        span_text(span, target),
    };
    if (parts[2].size > 0 && parts[3].data != NULL) {
        struct slice url = span_join(span, parts, sizeof(parts) / sizeof(parts[0]));
        span_add_string(span, SLICE("url.full"), url);
    }
}

void spans_add_client_url(struct span *span, const struct record *record,
                          const struct record_text *text, const struct peer *peer,
                          const struct slice schemes[2])
{
    struct slice raw = text->fields[FIELD_TARGET];
    struct target target = spans_parse_target(raw);
    struct slice scheme = own_scheme(record, schemes);
    struct authority authority;
    switch (target.form) {
    case TARGET_ORIGIN:
        add_origin_url(span, text, peer, scheme, raw);
        add_server_of_origin(span, text, peer, scheme);
        break;
    case TARGET_ASTERISK:
    case TARGET_ABSENT:
        add_origin_url(span, text, peer, scheme, SLICE(""));
        add_server_of_origin(span, text, peer, scheme);
        break;
    case TARGET_ABSOLUTE:
        span_add_string(span, SLICE("url.full"), raw);
        authority = spans_parse_authority(target.authority);
        add_server(span, authority.host, authority.port, target.scheme);
        break;
    case TARGET_AUTHORITY:
        /* RFC 9110, 7.1: the target of CONNECT consists of host and port alone. */
        span_add_string(span, SLICE("url.full"), raw);
        authority = spans_parse_authority(raw);
        add_server(span, authority.host, authority.port, SLICE("https"));
        break;
    }
}

/* ---- server ---- */

/* The first entry of a forwarding header's list, without quotes and blanks. */
static struct slice first_of_list(struct slice list)
{
    list.size = find_byte(list, ',');
    while (list.size > 0 && (list.data[0] == ' ' || list.data[0] == '"')) {
        slice_take(&list, 1);
    }
    while (list.size > 0 && (list.data[list.size - 1] == ' ' || list.data[list.size - 1] == '"')) {
        list.size--;
    }
    return list;
}

/* The scheme that the first proxy was asked for, if it says so in a word that can be one. */
static struct slice server_scheme(const struct record *record, const struct record_text *text,
                                  const struct target *target, const struct slice schemes[2])
{
    struct slice forwarded = first_of_list(text->fields[FIELD_FORWARDED_PROTO]);
    for (int i = 0; i < 2; i++) {
        if (slice_equals_ignoring_case(forwarded, schemes[i])) {
            return schemes[i];
        }
    }
    /* A WebSocket's proxies name the handshake's scheme. */
    if (slice_equals_ignoring_case(forwarded, SLICE("https"))) {
        return schemes[1];
    }
    if (slice_equals_ignoring_case(forwarded, SLICE("http"))) {
        return schemes[0];
    }
    return target->form == TARGET_ABSOLUTE ? target->scheme : own_scheme(record, schemes);
}

/* A client's address: the first proxy's word for it, else the other end of the socket. An address
   with a colon but without brackets is IPv6, not address and port. */
static struct slice client_address(const struct record_text *text, const struct peer *peer)
{
    struct slice first = first_of_list(text->fields[FIELD_FORWARDED_FOR]);
    if (first.size == 0) {
        return peer->address;
    }
    size_t colon = find_byte(first, ':');
    bool is_bare_ipv6 = colon < first.size && first.data[0] != '[' &&
                        find_byte(slice_of(first.data + colon + 1, first.size - colon - 1), ':') <
                            first.size - colon - 1;
    return is_bare_ipv6 ? first : spans_parse_authority(first).host;
}

static struct slice server_authority(const struct record_text *text, const struct target *target)
{
    struct slice forwarded = first_of_list(text->fields[FIELD_FORWARDED_HOST]);
    if (forwarded.size > 0) {
        return forwarded;
    }
    return target->authority.size > 0 ? target->authority : text->fields[FIELD_HOST];
}

void spans_add_server_url(struct span *span, const struct record *record,
                          const struct record_text *text, const struct peer *peer,
                          const struct slice schemes[2])
{
    struct target target = spans_parse_target(text->fields[FIELD_TARGET]);
    struct slice scheme = server_scheme(record, text, &target, schemes);
    span_add_string(span, SLICE("url.scheme"), scheme);
    if (target.path.size > 0) {
        span_add_string(span, SLICE("url.path"), target.path);
    } else if (target.form == TARGET_ABSOLUTE) {
        span_add_literal(span, SLICE("url.path"), SLICE("/"));
    }
    if (target.query.size > 0) {
        span_add_string(span, SLICE("url.query"), target.query);
    }
    struct authority authority = spans_parse_authority(server_authority(text, &target));
    add_server(span, authority.host, authority.port, scheme);
    span_add_string(span, SLICE("client.address"), client_address(text, peer));
}
