/* A command of Redis's that stores a job, into which two fields of its context may be written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Where it lies among the bytes that were looked at. */
struct resp_edit {
    size_t at;       /* its first byte */
    size_t header;   /* bytes of the line that says how many arguments it has */
    size_t key_ends; /* behind its key: where fields begin */
    uint32_t count;  /* of arguments, with the command's name */
};

/* Looks for the first `HMSET` or `HSET` of `job:{id}` that has a field `created_at` and neither
   `job_trace_id` nor `traceparent`. `bytes` begin with a command; of the one that is found all of
   the names of fields must be there, its last value may be missing. */
bool resp_edit_find(struct slice bytes, struct resp_edit *edit);

/* The bytes from `at` to `key_ends`, as they are with `job_trace_id` and `job_span_id` behind them.
   Returns how many they are; 0: there is no room. */
size_t resp_edit_write(struct slice bytes, const struct resp_edit *edit, const uint8_t trace_id[16],
                       const uint8_t span_id[8], uint8_t *text, size_t room);
