/*
 * Who a job is: the key that a process knows it by, and the ids that every process that meets it
 * comes to, without a word between them. They are those that the job carries, or else a hash of
 * what its rule calls its identity.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/job_table.h"
#include "rules/match.h"
#include "wire/traceparent.h"

/* By its queue and its identity, but for the time; never 0. */
uint64_t job_identity_key(const struct rule *rule, const struct rule_facts *facts);

/* Whether what is known of the job makes a name that no other job has. */
bool job_identity_is_complete(const struct rule *rule, const struct rule_facts *facts);

/* The context that stands in the job: its own before its workflow's. False: there is none. */
bool job_identity_context(const struct rule_facts *facts, struct traceparent *context);

/* Gives the job the ids that both sides come to: those that it carries, or else derived ones where
   it is named well enough. True if its trace is another one now. */
bool job_identity_derive(struct job *job, const struct rule *rule, const struct rule_facts *facts);
