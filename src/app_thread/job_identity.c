#include "app_thread/job_identity.h"

#include <string.h>

#include "app_thread/jobs.h"
#include "app_thread/trace_context.h"
#include "base/hash.h"
#include "wire/hex.h"
#include "wire/sha1.h"

static void hash_value(struct sha1 *sha1, struct slice value)
{
    const uint8_t size[2] = {(uint8_t)value.size, (uint8_t)(value.size >> 8)};
    sha1_update(sha1, slice_of(size, sizeof size));
    sha1_update(sha1, value);
}

/* The identity's variables, a time only where the id alone may come again. */
static void hash_identity(const struct rule *rule, const struct rule_facts *facts,
                          struct slice purpose, uint8_t hash[SHA1_BYTES])
{
    const struct rule_queue *queue = jobs_queue_of(rule);
    struct sha1 sha1;
    sha1_init(&sha1);
    hash_value(&sha1, purpose);
    hash_value(&sha1, rules_text(jobs_rules, queue->name));
    bool needs_time = !hex_ends_in_uuid(facts->values[RULE_ID]);
    for (uint32_t variable = 0; variable < RULE_VARIABLES; variable++) {
        bool is_time = (RULE_TIMES >> variable & 1) != 0;
        if ((queue->identity >> variable & 1) != 0 && (!is_time || needs_time)) {
            hash_value(&sha1, facts->values[variable]);
        }
    }
    sha1_finish(&sha1, hash);
}

uint64_t job_identity_key(const struct rule *rule, const struct rule_facts *facts)
{
    uint64_t key = HASH_BEGIN ^ rule->queue;
    uint64_t identity = jobs_queue_of(rule)->identity & ~RULE_TIMES;
    for (uint32_t variable = 0; variable < RULE_VARIABLES; variable++) {
        struct slice value =
            (identity >> variable & 1) != 0 ? facts->values[variable] : slice_of(NULL, 0);
        key = hash_byte(hash_bytes(key, value), (uint8_t)variable);
    }
    return key != 0 ? key : 1;
}

bool job_identity_is_complete(const struct rule *rule, const struct rule_facts *facts)
{
    const struct rule_queue *queue = jobs_queue_of(rule);
    if (hex_ends_in_uuid(facts->values[RULE_ID]) || (queue->flags & RULE_QUEUE_UNIQUE_IDS) != 0) {
        return true;
    }
    return ((queue->identity >> RULE_ENQUEUED & 1) != 0 && facts->values[RULE_ENQUEUED].size > 0) ||
           ((queue->identity >> RULE_CREATED & 1) != 0 && facts->values[RULE_CREATED].size > 0);
}

/* Both sides of the queue come to the same ids. */
static void derive_ids(const struct rule *rule, const struct rule_facts *facts,
                       uint8_t trace_id[16], uint8_t submit_id[8])
{
    uint8_t hash[SHA1_BYTES];
    hash_identity(rule, facts, SLICE("trace"), hash);
    memcpy(trace_id, hash, 16);
    hash_identity(rule, facts, SLICE("submit"), hash);
    memcpy(submit_id, hash, 8);
    trace_id[15] |= trace_id[15] == 0;
    submit_id[7] |= submit_id[7] == 0;
}

/* `count` bytes in hexadecimal, not all zero. */
static bool take_id(struct slice text, uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    if (text.size != 2 * count || !hex_read(text.data, bytes, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any != 0;
}

static bool take_context(const struct rule_facts *facts, enum rule_variable trace,
                         enum rule_variable parent, struct traceparent *context)
{
    if (!take_id(facts->values[trace], context->trace_id, sizeof context->trace_id) ||
        !take_id(facts->values[parent], context->parent_id, sizeof context->parent_id)) {
        return false;
    }
    context->flags = trace_context_flags(context->trace_id);
    return true;
}

bool job_identity_context(const struct rule_facts *facts, struct traceparent *context)
{
    return take_context(facts, RULE_TRACE, RULE_PARENT, context) ||
           traceparent_parse(facts->values[RULE_TRACEPARENT], context) ||
           take_context(facts, RULE_WORKFLOW_TRACE, RULE_WORKFLOW_PARENT, context);
}

bool job_identity_derive(struct job *job, const struct rule *rule, const struct rule_facts *facts)
{
    uint8_t trace_id[16];
    struct traceparent context;
    bool is_other = false;
    if (!job->is_derived && job_identity_is_complete(rule, facts)) {
        derive_ids(rule, facts, trace_id, job->submit_id);
        job->is_derived = true;
        if (!job->is_carried) {
            memcpy(job->trace_id, trace_id, sizeof job->trace_id);
            job->trace_flags = trace_context_flags(trace_id);
            is_other = true;
        }
    }
    if (!job->is_carried && job_identity_context(facts, &context)) {
        memcpy(job->trace_id, context.trace_id, sizeof job->trace_id);
        memcpy(job->parent_id, context.parent_id, sizeof job->parent_id);
        job->trace_flags = trace_context_follow(&context);
        job->is_carried = true;
        is_other = true;
    }
    return is_other;
}
