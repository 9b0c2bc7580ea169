#include "base/compiler.h"
#include "worker/spans/kinds.h"

#define DEFAULT_PORT 6379

/* "{command} {target}": the script's or function's name, else the server. */
static struct slice span_name(struct span *span, struct slice command, struct slice script,
                              const struct peer *server)
{
    if (command.size == 0) {
        return SLICE("redis");
    }
    struct slice target = script.size > 0 ? script : spans_address_and_port(span, server);
    if (target.size == 0) {
        return command;
    }
    const struct slice parts[] = {command, SLICE(" "), target};
    struct slice name = span_join(span, parts, sizeof(parts) / sizeof(parts[0]));
    return name.data != NULL ? name : command;
}

static void add_error(struct span *span, const struct record *record, struct slice prefix)
{
    if (record->error != RECORD_ERROR_REPLY) {
        spans_add_error(span, record);
        return;
    }
    struct slice code = prefix.size > 0 ? span_text(span, prefix) : SLICE("ERR");
    span_add_literal(span, SLICE("db.response.status_code"), code);
    span_set_error(span, code);
}

static bool is_exec(struct slice command)
{
    return slice_equals_ignoring_case(command, SLICE("EXEC"));
}

/* One record shows one command; what it tells of a transaction or a wait is kept. */
static void add_circumstances(struct span *span, const struct record *record, struct slice command)
{
    if (unlikely((record->flags & RECORD_FLAG_BLOCKING) != 0)) {
        span_add_bool(span, SLICE("wirespan.redis.blocking"), true);
    }
    if (unlikely((record->flags & RECORD_FLAG_QUEUED) != 0)) {
        span_add_bool(span, SLICE("wirespan.redis.queued"), true);
    }
    if (unlikely((record->flags & RECORD_FLAG_NO_REPLY) != 0)) {
        span_add_bool(span, SLICE("wirespan.redis.no_reply"), true);
    }
    if (unlikely((record->flags & RECORD_FLAG_NULL_REPLY) != 0)) {
        span_add_bool(span, SLICE("wirespan.redis.null_reply"), true);
    }
    /* A batch of one is none. */
    if (unlikely(is_exec(command)) && record->error == RECORD_OK &&
        (record->flags & RECORD_FLAG_NULL_REPLY) == 0 && record->redis.reply_elements != 1) {
        span_add_int(span, SLICE("db.operation.batch.size"), (int64_t)record->redis.reply_elements);
    }
    if (unlikely(record->redis.error_elements > 0)) {
        span_add_int(span, SLICE("wirespan.redis.error_elements"), record->redis.error_elements);
    }
}

void spans_build_redis(struct span *span, const struct record *record,
                       const struct record_text *text)
{
    struct peer peer = spans_peer(span, record, text);
    struct peer server = spans_named_peer(span, &peer, text);
    struct slice command = span_text(span, text->fields[FIELD_COMMAND]);
    struct slice script = span_text(span, text->fields[FIELD_SCRIPT]);
    span->kind = SPAN_CLIENT;
    span->name = span_name(span, command, script, &server);

    span_add_literal(span, SLICE("db.system.name"), SLICE("redis"));
    if (command.size > 0) {
        span_add_string(span, SLICE("db.operation.name"), command);
    }
    if (record->redis.database >= 0) {
        span_add_literal(span, SLICE("db.namespace"),
                         span_decimal(span, (uint64_t)record->redis.database));
    }
    span_add_string(span, SLICE("db.query.text"), text->fields[FIELD_QUERY_TEXT]);
    if (script.size > 0) {
        span_add_string(span, SLICE("db.stored_procedure.name"), script);
    }
    span_add_string(span, SLICE("server.address"), server.address);
    if (server.address.data != NULL && server.port != 0 && server.port != DEFAULT_PORT) {
        span_add_int(span, SLICE("server.port"), server.port);
    }
    spans_add_network(span, &peer);
    add_circumstances(span, record, command);
    if (unlikely(record->error != RECORD_OK)) {
        add_error(span, record, text->fields[FIELD_ERROR_PREFIX]);
    }
}
