/* What is written to the records of jobs, and to those of the exchanges that are about jobs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/job_table.h"
#include "handoff/record.h"
#include "rules/match.h"

/* A text, cut to what a record has room for; an empty one is left out. */
void job_record_fact(struct record *record, enum field_tag tag, struct slice value);

/* The texts that a rule found, but for those that are told already. */
void job_record_facts(struct record *record, const struct rule *rule,
                      const struct rule_facts *facts);

/* The numbers and times that a rule found of the job's attempt in work. */
void job_record_numbers(struct record *record, struct job *job, const struct rule *rule,
                        const struct rule_facts *facts);

/* How many attempts were made before the one that the facts are about. */
uint32_t job_record_attempts(const struct rule_facts *facts);

/* The number that a text begins with, and 1 for what is true; 0: none. */
uint32_t job_record_number(struct slice text);

/* The span that the record would have been below by its thread is told as a link. */
void job_record_link_parent(struct record *record);

/* Puts a record into the job's trace: below what the job carries, else beside its submission. */
void job_record_join(struct record *record, const struct job *job);

/* Puts a record where a job is made: the context that the job carries is that of its maker. */
void job_record_submitted(struct record *record, const struct job *job);

/* Whether an id stands for no span. */
bool job_record_is_none(const uint8_t id[8]);
