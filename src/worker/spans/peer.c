#include <arpa/inet.h>

#include "base/compiler.h"
#include "worker/spans/kinds.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* inet_ntop would go through sprintf. */
static struct slice ipv4_text(struct span *span, const uint8_t address[4])
{
    uint8_t text[16];
    uint8_t *at = text;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = address[i];
        if (byte >= 100) {
            *at++ = (uint8_t)('0' + byte / 100);
        }
        if (byte >= 10) {
            *at++ = (uint8_t)('0' + byte / 10 % 10);
        }
        *at++ = (uint8_t)('0' + byte % 10);
        *at++ = '.';
    }
    const struct slice part = slice_of(text, (size_t)(at - text) - 1);
    return span_join(span, &part, 1);
}

static struct slice ipv6_text(struct span *span, const uint8_t address[16])
{
    if (memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        return ipv4_text(span, address + sizeof(mapped_prefix));
    }
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(AF_INET6, address, text, sizeof(text)) == NULL) {
        return (struct slice){NULL, 0};
    }
    const struct slice part = slice_of(text, strlen(text));
    return span_join(span, &part, 1);
}

struct peer spans_peer(struct span *span, const struct record *record,
                       const struct record_text *text)
{
    struct peer peer = {.address = {NULL, 0}};
    switch ((enum address_family)record->peer.family) {
    case ADDRESS_IPV4:
        peer.address = ipv4_text(span, record->peer.address);
        peer.port = record->peer.port;
        break;
    case ADDRESS_IPV6:
        peer.address = ipv6_text(span, record->peer.address);
        peer.port = record->peer.port;
        break;
    case ADDRESS_UNIX:
        peer.is_unix = true;
        if (text->fields[FIELD_PEER_PATH].size > 0) {
            peer.address = span_text(span, text->fields[FIELD_PEER_PATH]);
        }
        break;
    case ADDRESS_NONE:
        break;
    }
    return peer;
}

struct peer spans_named_peer(struct span *span, const struct peer *peer,
                             const struct record_text *text)
{
    struct peer named = *peer;
    if (!peer->is_unix && text->fields[FIELD_PEER_NAME].size > 0) {
        struct slice name = span_text(span, text->fields[FIELD_PEER_NAME]);
        named.address = name.data != NULL ? name : named.address;
    }
    return named;
}

void spans_add_network(struct span *span, const struct peer *peer)
{
    span_add_string(span, SLICE("network.peer.address"), peer->address);
    if (peer->address.data != NULL && peer->port != 0) {
        span_add_int(span, SLICE("network.peer.port"), peer->port);
    }
    if (unlikely(peer->is_unix)) {
        span_add_literal(span, SLICE("network.transport"), SLICE("unix"));
    }
}

struct slice spans_address_and_port(struct span *span, const struct peer *peer)
{
    if (peer->port == 0 || peer->address.data == NULL) {
        return peer->address;
    }
    bool needs_brackets = memchr(peer->address.data, ':', peer->address.size) != NULL;
    const struct slice parts[] = {
        needs_brackets ? SLICE("[") : SLICE(""),
        peer->address,
        needs_brackets ? SLICE("]:") : SLICE(":"),
        span_decimal(span, peer->port),
    };
    return span_join(span, parts, sizeof(parts) / sizeof(parts[0]));
}
