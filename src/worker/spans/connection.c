/* Connections of which no exchange could be told: those that were never made, and those whose bytes
   could not be read. One span says so, and why. */
#include "base/compiler.h"
#include "worker/spans/kinds.h"

static struct slice reason_name(uint8_t reason)
{
    switch ((enum opaque_reason)reason) {
    case OPAQUE_TLS:
        return SLICE("tls");
    case OPAQUE_HTTP2:
        return SLICE("http2");
    case OPAQUE_TUNNEL:
        return SLICE("tunnel");
    case OPAQUE_UPGRADED:
        return SLICE("upgraded");
    case OPAQUE_REPLICATION:
        return SLICE("replication");
    case OPAQUE_MALFORMED:
        return SLICE("malformed");
    case OPAQUE_MIDSTREAM:
        return SLICE("midstream");
    case OPAQUE_UNKNOWN:
    case OPAQUE_NONE:
    case OPAQUE_REASON_COUNT:
        break;
    }
    return SLICE("unknown");
}

/* "{verb} {host}:{port}"; the verb alone where no host is known. */
static struct slice span_name(struct span *span, struct slice verb, const struct peer *server)
{
    struct slice target = spans_address_and_port(span, server);
    const struct slice parts[] = {verb, SLICE(" "), target};
    struct slice name = target.size > 0 ? span_join(span, parts, 3) : verb;
    return name.data != NULL ? name : verb;
}

static void add_server(struct span *span, const struct peer *server)
{
    span_add_string(span, SLICE("server.address"), server->address);
    if (server->address.data != NULL && server->port != 0) {
        span_add_int(span, SLICE("server.port"), server->port);
    }
}

static void build_look_up(struct span *span, const struct record *record,
                          const struct record_text *text)
{
    struct peer named = {.address = span_text(span, text->fields[FIELD_PEER_NAME])};
    span->name = span_name(span, SLICE("DNS lookup"), &named);
    span_add_string(span, SLICE("dns.question.name"), named.address);
    span_add_string(span, SLICE("server.address"), named.address);
    spans_add_error(span, record);
}

static void build_connect(struct span *span, const struct record *record,
                          const struct record_text *text)
{
    struct peer peer = spans_peer(span, record, text);
    struct peer server = spans_named_peer(span, &peer, text);
    span->name = span_name(span, SLICE("connect"), &server);
    add_server(span, &server);
    spans_add_network(span, &peer);
    spans_add_error(span, record);
}

static void build_opaque(struct span *span, const struct record *record,
                         const struct record_text *text)
{
    bool is_server = record->opaque.is_server != 0;
    struct peer peer = spans_peer(span, record, text);
    struct peer server = spans_named_peer(span, &peer, text);
    span->kind = is_server ? SPAN_SERVER : SPAN_CLIENT;
    if (is_server) {
        span->name = SLICE("connection");
        span_add_string(span, SLICE("client.address"), peer.address);
    } else {
        span->name = span_name(span, SLICE("connection"), &server);
        add_server(span, &server);
    }
    spans_add_network(span, &peer);
    if (text->fields[FIELD_PROTOCOL_TEXT].size > 0) {
        span_add_string(span, SLICE("network.protocol.name"), text->fields[FIELD_PROTOCOL_TEXT]);
    }
    span_add_literal(span, SLICE("wirespan.connection.opaque_reason"),
                     reason_name(record->opaque.reason));
    span_add_int(span, SLICE("wirespan.connection.sent_bytes"), (int64_t)record->opaque.bytes[0]);
    span_add_int(span, SLICE("wirespan.connection.received_bytes"),
                 (int64_t)record->opaque.bytes[1]);
    /* Closing it is how a connection ends, and so is the end of the process: nothing is known to
       have been under way. Only what the system reports is a failure. */
    if (record->error == RECORD_ERROR_ABORTED) {
        spans_add_abort(span, record->system_error);
    } else if (record->error != RECORD_OK && record->error != RECORD_ERROR_CANCELLED &&
               record->error != RECORD_ERROR_EOF) {
        spans_add_error(span, record);
    }
}

void spans_build_connection(struct span *span, const struct record *record,
                            const struct record_text *text)
{
    span->kind = SPAN_CLIENT;
    if (record->kind == RECORD_OPAQUE) {
        build_opaque(span, record, text);
    } else if (record->error == RECORD_ERROR_HOST_NOT_FOUND) {
        build_look_up(span, record, text);
    } else {
        build_connect(span, record, text);
    }
}
